//! What asks for a run: a due time, and on whose behalf.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};

/// On whose behalf something is due.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The calendar's.
    #[default]
    Calendar,
    /// Somebody asked for a run now, under this request id.
    RunNow(String),
    /// The backfill of this name.
    Backfill(String),
}

/// Something that is due. Displays as its key, `2026-11-22T16:00:00Z`, `…/run-now/<request>` or `…/backfill/<name>`,
/// which is unique within its schedule; parses from it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Due {
    /// The due time, in whole seconds.
    pub slot: DateTime<Utc>,
    pub origin: Origin,
}

impl Due {
    /// A due time of the calendar.
    pub fn at(slot: DateTime<Utc>) -> Self {
        Self {
            slot,
            origin: Origin::Calendar,
        }
    }

    /// What the key has after the due time: empty, `run-now/<request>` or `backfill/<name>`.
    pub fn request(&self) -> String {
        match &self.origin {
            Origin::Calendar => String::new(),
            Origin::RunNow(request) => format!("run-now/{request}"),
            Origin::Backfill(name) => format!("backfill/{name}"),
        }
    }
}

/// An instant as people and keys have it: `2026-11-22T16:00:00Z`.
pub fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&instant(self.slot))?;
        match self.origin {
            Origin::Calendar => Ok(()),
            Origin::RunNow(_) | Origin::Backfill(_) => write!(f, "/{}", self.request()),
        }
    }
}

/// A text that is no key of something due.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no due time: write 2026-11-22T16:00:00Z, or that with /run-now/REQUEST or /backfill/NAME behind")]
pub struct BadDue(pub String);

impl FromStr for Due {
    type Err = BadDue;

    fn from_str(text: &str) -> Result<Self, BadDue> {
        let bad = || BadDue(text.to_owned());
        let (slot, request) = text.split_once('/').map_or((text, None), |(slot, request)| (slot, Some(request)));
        let slot = DateTime::parse_from_rfc3339(slot).map_err(|_| bad())?.with_timezone(&Utc);
        let origin = match request.map(|request| request.split_once('/')) {
            None => Origin::Calendar,
            Some(Some(("run-now", request))) => Origin::RunNow(request.to_owned()),
            Some(Some(("backfill", name))) => Origin::Backfill(name.to_owned()),
            Some(_) => return Err(bad()),
        };
        Ok(Self { slot, origin })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back() {
        for key in [
            "2026-11-22T16:00:00Z",
            "2026-11-22T16:00:00Z/run-now/a/b",
            "2026-11-22T16:00:00Z/backfill/last-week",
        ] {
            assert_eq!(key.parse::<Due>().unwrap().to_string(), key);
        }
        for nonsense in ["", "now", "2026-11-22T16:00:00Z/x", "2026-11-22T16:00:00Z/x/y"] {
            assert!(nonsense.parse::<Due>().is_err(), "{nonsense}");
        }
    }
}
