//! Instants as people read them.

use chrono::{DateTime, TimeDelta, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// From Kubernetes' time.
pub fn instant(time: &Time) -> DateTime<Utc> {
    DateTime::from_timestamp(time.0.as_second(), 0).unwrap_or_default()
}

/// `42s`, `5m`, `3h`, `12d`: the largest unit that fits.
pub fn span(span: TimeDelta) -> String {
    let seconds = span.num_seconds().abs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// `in 5m` or `5m ago`.
pub fn relative(instant: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let distance = instant - now;
    if distance > TimeDelta::zero() {
        format!("in {}", span(distance))
    } else {
        format!("{} ago", span(distance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_one_unit() {
        for (seconds, text) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (7_199, "119m"),
            (7_200, "2h"),
            (172_800, "2d"),
            (-5, "5s"),
        ] {
            assert_eq!(span(TimeDelta::seconds(seconds)), text);
        }
        let now = Utc::now();
        assert_eq!(relative(now + TimeDelta::seconds(90), now), "in 90s");
        assert_eq!(relative(now - TimeDelta::seconds(90), now), "90s ago");
    }
}
