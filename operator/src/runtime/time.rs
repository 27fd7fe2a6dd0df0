//! Kubernetes' time (jiff, mostly whole seconds) and the calendar's (chrono).

use chrono::{DateTime, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use k8s_openapi::jiff;

/// The present moment as Kubernetes writes it: whole seconds.
pub fn now() -> Time {
    from_chrono(Utc::now())
}

/// As Kubernetes writes it: whole seconds.
pub fn from_chrono(instant: DateTime<Utc>) -> Time {
    Time(jiff::Timestamp::from_second(instant.timestamp()).unwrap_or_default())
}

/// As Kubernetes writes what is shorter than a second.
pub fn with_micros(instant: DateTime<Utc>) -> MicroTime {
    MicroTime(jiff::Timestamp::from_microsecond(instant.timestamp_micros()).unwrap_or_default())
}

/// For calculations.
pub fn to_chrono(time: &Time) -> DateTime<Utc> {
    DateTime::from_timestamp(time.0.as_second(), 0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_survive() {
        let instant = DateTime::parse_from_rfc3339("2026-03-29T01:00:00.750Z").unwrap().with_timezone(&Utc);
        let time = from_chrono(instant);
        assert_eq!(serde_json::to_value(&time).unwrap(), "2026-03-29T01:00:00Z");
        assert_eq!(to_chrono(&time).timestamp(), instant.timestamp());
    }
}
