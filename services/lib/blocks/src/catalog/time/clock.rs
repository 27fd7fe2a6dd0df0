//! The three blocks that tell the time.

use std::borrow::Cow;

use async_trait::async_trait;
use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;
use engine::block::BlockDescriptor;
use engine::types::PinType;
use model::Map;
use serde_json::{Value, json};
use uuid::uuid;

use super::moment_format::{self, Form};
use crate::block::{Block, BlockContext, Failure};
use crate::checks::{Declared, PinChecks};
use crate::describe::{Describe, PinSpec, optional, output, required};
use crate::emit::Emitter;
use crate::immediate::Inputs;
use crate::python;

/// What a clock block shows.
#[derive(Clone, Copy, PartialEq)]
enum Shows {
    Time,
    Date,
    DateAndTime,
}

impl Shows {
    fn default_pattern(self) -> &'static str {
        match self {
            Shows::Time => "%H:%M:%S",
            Shows::Date => "%Y-%m-%d",
            Shows::DateAndTime => "%Y-%m-%d %H:%M:%S",
        }
    }

    fn pin(self) -> &'static str {
        match self {
            Shows::Time => "time",
            Shows::Date => "date",
            Shows::DateAndTime => "date_time",
        }
    }
}

pub(crate) struct Clock {
    declared: Declared,
    shows: Shows,
}

impl Clock {
    pub(crate) fn time() -> Self {
        let descriptor = Describe::new(
            uuid!("a892b8d9-3e4e-4e9c-9c1e-75f8efcf1bfa"),
            "GetCurrentTimeBlock",
            "Gives the current time of day.",
        )
        .categories(&["TEXT"])
        .input(trigger())
        .input(moment_format::pin(Shows::Time.default_pattern(), true))
        .output(output("time", PinType::Str).about("The current time."));
        Self::new(descriptor, Shows::Time)
    }

    pub(crate) fn date() -> Self {
        let offset = PinType::union([PinType::Int, PinType::Str]);
        let descriptor = Describe::new(
            uuid!("b29c1b50-5d0e-4d9f-8f9d-1b0e6fcbf0b1"),
            "GetCurrentDateBlock",
            "Gives the current date.",
        )
        .categories(&["TEXT"])
        .input(trigger())
        .input(
            optional("offset", offset, json!(0))
                .basic()
                .about("How many days to go back; negative ones go forward."),
        )
        .input(moment_format::pin(Shows::Date.default_pattern(), false))
        .output(output("date", PinType::Str).about("The date."));
        Self::new(descriptor, Shows::Date)
    }

    pub(crate) fn date_and_time() -> Self {
        let descriptor = Describe::new(
            uuid!("716a67b3-6760-42e7-86dc-18645c6e00fc"),
            "GetCurrentDateAndTimeBlock",
            "Gives the current date and time.",
        )
        .categories(&["TEXT"])
        .input(trigger())
        .input(moment_format::pin(Shows::DateAndTime.default_pattern(), true))
        .output(output("date_time", PinType::Str).about("The current date and time."));
        Self::new(descriptor, Shows::DateAndTime)
    }

    fn new(described: Describe, shows: Shows) -> Self {
        Self {
            declared: described.build(),
            shows,
        }
    }

    fn text(&self, mut input: Inputs, user_timezone: &str, now: DateTime<Utc>) -> Result<String, Failure> {
        let form = Form::read(&input.map("format_type"), self.shows.default_pattern());
        let zone: Tz = if form.use_user_timezone {
            user_timezone.parse().unwrap_or(Tz::UTC)
        } else {
            form.timezone
        };
        let days = if self.shows == Shows::Date { days(&input.value("offset")) } else { 0 };
        let back = Duration::try_days(days).and_then(|back| now.checked_sub_signed(back));
        let moment = back.ok_or_else(|| Failure::raised("date value out of range"))?.with_timezone(&zone);
        if let Some(pattern) = form.strftime {
            return Ok(moment_format::strftime(&moment, &pattern));
        }
        let micros = if form.include_microseconds { "%.6f" } else { "" };
        let pattern = match self.shows {
            Shows::Date => "%Y-%m-%d".to_owned(),
            Shows::Time => format!("T%H:%M:%S{micros}%:z"),
            Shows::DateAndTime => format!("%Y-%m-%dT%H:%M:%S{micros}%:z"),
        };
        Ok(moment.format(&pattern).to_string())
    }
}

fn trigger() -> PinSpec {
    required("trigger", PinType::Str).about("Anything: triggers the block.")
}

/// A number of days; text that is no number counts as none.
fn days(offset: &Value) -> i64 {
    match offset {
        Value::String(text) => python::strip(text).parse().unwrap_or_default(),
        number => python::integer(number).unwrap_or_default(),
    }
}

#[async_trait]
impl Block for Clock {
    fn descriptor(&self) -> &BlockDescriptor {
        &self.declared.descriptor
    }

    fn checks(&self) -> Cow<'_, PinChecks> {
        Cow::Borrowed(&self.declared.checks)
    }

    async fn run(&self, input: Map, context: &BlockContext, out: &mut Emitter<'_>) -> Result<(), Failure> {
        let text = self.text(Inputs(input), &context.execution.user_timezone, Utc::now())?;
        out.emit(self.shows.pin(), text).await
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use serde_json::{Value, json};

    use super::Clock;
    use crate::immediate::Inputs;

    fn shown(clock: &Clock, input: Value, user_timezone: &str) -> String {
        let now: DateTime<Utc> = "2026-11-22T23:52:56.123456Z".parse().unwrap();
        let Value::Object(input) = input else { panic!("an object") };
        clock.text(Inputs(input), user_timezone, now).unwrap()
    }

    #[test]
    fn iso_forms_carry_the_offset() {
        let iso = |extra: Value| {
            let mut form = json!({ "discriminator": "iso8601", "timezone": "Asia/Kolkata" });
            form.as_object_mut().unwrap().extend(extra.as_object().cloned().unwrap());
            json!({ "format_type": form })
        };
        assert_eq!(shown(&Clock::time(), iso(json!({})), "UTC"), "T05:22:56+05:30");
        assert_eq!(
            shown(&Clock::date_and_time(), iso(json!({ "include_microseconds": true })), "UTC"),
            "2026-11-23T05:22:56.123456+05:30"
        );
        assert_eq!(
            shown(&Clock::date_and_time(), iso(json!({ "use_user_timezone": true })), "America/New_York"),
            "2026-11-22T18:52:56-05:00"
        );
        assert_eq!(
            shown(&Clock::date_and_time(), iso(json!({ "use_user_timezone": true })), "not-set"),
            "2026-11-22T23:52:56+00:00"
        );
    }

    #[test]
    fn a_date_goes_back_by_its_offset() {
        let form = json!({ "discriminator": "strftime", "format": "%Y-%m-%d" });
        for (offset, expected) in [(json!(7), "2026-11-15"), (json!("-1"), "2026-11-23"), (json!("abc"), "2026-11-22")] {
            assert_eq!(shown(&Clock::date(), json!({ "offset": offset, "format_type": form }), "UTC"), expected);
        }
    }

    #[test]
    fn an_offset_beyond_all_dates_is_a_failure() {
        let input = json!({ "offset": i64::MAX }).as_object().cloned().unwrap();
        assert!(Clock::date().text(Inputs(input), "UTC", Utc::now()).is_err());
    }
}
