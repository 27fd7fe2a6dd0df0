//! How the clock blocks show a moment: a strftime pattern or ISO 8601, in a time zone.

use std::fmt::Write;

use chrono::DateTime;
use chrono_tz::Tz;
use engine::types::PinType;
use model::Map;
use serde_json::{Value, json};

use crate::describe::{PinSpec, optional};

/// The zones that the builder offers.
const TIMEZONES: [&str; 38] = [
    "UTC",
    "Pacific/Honolulu",
    "America/Anchorage",
    "America/Los_Angeles",
    "America/Denver",
    "America/Chicago",
    "America/New_York",
    "America/Caracas",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Atlantic/South_Georgia",
    "Atlantic/Azores",
    "Europe/London",
    "Europe/Paris",
    "Europe/Athens",
    "Europe/Moscow",
    "Asia/Tehran",
    "Asia/Dubai",
    "Asia/Kabul",
    "Asia/Karachi",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Dhaka",
    "Asia/Yangon",
    "Asia/Bangkok",
    "Asia/Shanghai",
    "Australia/Eucla",
    "Asia/Tokyo",
    "Australia/Adelaide",
    "Australia/Sydney",
    "Australia/Lord_Howe",
    "Pacific/Noumea",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Pacific/Tongatapu",
    "Pacific/Kiritimati",
    "Etc/GMT-12",
    "Etc/GMT+12",
];

/// The `format_type` pin: one of two models, told apart by `discriminator`.
pub(super) fn pin(pattern: &str, has_microseconds: bool) -> PinSpec {
    let zone = json!({ "type": "string", "enum": TIMEZONES.as_slice(), "default": "UTC", "title": "Timezone" });
    let flag = |title: &str| json!({ "type": "boolean", "default": false, "title": title });
    let strftime = json!({
        "type": "object",
        "title": "Pattern",
        "properties": {
            "discriminator": { "type": "string", "const": "strftime" },
            "format": { "type": "string", "default": pattern, "title": "Format" },
            "timezone": zone,
            "use_user_timezone": flag("Use User Timezone"),
        },
        "required": ["discriminator"],
    });
    let mut iso_properties = Map::new();
    iso_properties.insert("discriminator".to_owned(), json!({ "type": "string", "const": "iso8601" }));
    iso_properties.insert("timezone".to_owned(), zone.clone());
    iso_properties.insert("use_user_timezone".to_owned(), flag("Use User Timezone"));
    if has_microseconds {
        iso_properties.insert("include_microseconds".to_owned(), flag("Include Microseconds"));
    }
    let iso = json!({ "type": "object", "title": "ISO 8601", "properties": iso_properties, "required": ["discriminator"] });
    let default = json!({ "discriminator": "strftime", "format": pattern, "timezone": "UTC", "use_user_timezone": false });
    optional("format_type", PinType::Opaque, default)
        .schema(json!({ "oneOf": [strftime, iso] }))
        .extra("discriminator", json!({ "propertyName": "discriminator", "pattern": pattern }))
        .about("How to show it.")
}

/// A `format_type` as read.
pub(super) struct Form {
    /// The pattern; `None` for ISO 8601.
    pub(super) strftime: Option<String>,
    pub(super) timezone: Tz,
    pub(super) use_user_timezone: bool,
    pub(super) include_microseconds: bool,
}

impl Form {
    /// Reads a validated value; `default_pattern` is what the model declares.
    pub(super) fn read(form: &Map, default_pattern: &str) -> Self {
        let text = |name: &str| form.get(name).and_then(Value::as_str);
        let flag = |name: &str| form.get(name).and_then(Value::as_bool).unwrap_or_default();
        let is_iso = text("discriminator") == Some("iso8601");
        Self {
            strftime: (!is_iso).then(|| text("format").unwrap_or(default_pattern).to_owned()),
            timezone: text("timezone").and_then(|name| name.parse().ok()).unwrap_or(Tz::UTC),
            use_user_timezone: flag("use_user_timezone"),
            include_microseconds: flag("include_microseconds"),
        }
    }
}

/// C's strftime in the C locale. Directives that it does not know stay as they are.
pub(super) fn strftime(moment: &DateTime<Tz>, pattern: &str) -> String {
    let mut shown = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some((text, directive)) = rest.split_once('%') {
        shown.push_str(text);
        let length = directive_length(directive);
        let (directive, after) = directive.split_at(length);
        // Microseconds, where chrono's own directive has nanoseconds.
        let known = match directive {
            "f" => "%6f".to_owned(),
            _ => format!("%{}", directive.trim_start_matches(['E', 'O'])),
        };
        if directive.is_empty() || write!(shown, "{}", moment.format(&known)).is_err() {
            shown.push('%');
            shown.push_str(directive);
        }
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// Bytes of a known directive behind its percent sign, padding flags included; 0 for an unknown one.
fn directive_length(directive: &str) -> usize {
    const KNOWN: &str = "aAbBcCdDeFgGhHIjklmMnpPrRsStTuUVwWxXyYzZf%";
    let flags = directive.len() - directive.trim_start_matches(['-', '_', '0', 'E', 'O']).len();
    match directive.get(flags..).and_then(|letters| letters.chars().next()) {
        Some(letter) if KNOWN.contains(letter) => flags + letter.len_utf8(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use chrono_tz::Tz;

    use super::{TIMEZONES, strftime};

    #[test]
    fn every_offered_zone_exists() {
        for name in TIMEZONES {
            assert!(name.parse::<Tz>().is_ok(), "{name}");
        }
    }

    #[test]
    fn patterns_follow_c() {
        let moment: DateTime<Utc> = "2026-11-02T05:07:09.012345Z".parse().unwrap();
        let moment = moment.with_timezone(&Tz::America__New_York);
        let cases = [
            ("%Y-%m-%d %H:%M:%S", "2026-11-02 00:07:09"),
            ("%f %% %Z %z", "012345 % EST -0500"),
            ("%-d/%e %A", "2/ 2 Monday"),
            ("%Q %", "%Q %"),
            ("é%jé", "é306é"),
        ];
        for (pattern, expected) in cases {
            assert_eq!(strftime(&moment, pattern), expected, "{pattern}");
        }
    }
}
