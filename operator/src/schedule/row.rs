//! What is known of every schedule without opening it.

use chrono::{DateTime, Utc};
use crds::GraphSchedule;
use kube::ResourceExt;

use crate::runtime::kept::Keep;
use crate::runtime::sweep::Turn;
use crate::runtime::time;
use crate::schedule::{newest, spec};

/// See [`Keep::facts`].
#[derive(Debug, Clone, Default)]
pub struct ScheduleFacts {
    /// The platform that it names.
    pub platform: Box<str>,
    pub uid: Box<str>,
    /// Its resource version.
    pub version: Option<u64>,
    /// Whether the last look saw it as it is, and left nothing to wait for but the next due time.
    pub settled: bool,
    /// The next due time as the last look saw it.
    pub next: Option<DateTime<Utc>>,
}

impl ScheduleFacts {
    /// When it is looked at at a beginning.
    pub fn turn(&self, now: DateTime<Utc>) -> Turn {
        if self.settled && self.next.is_none_or(|next| next > now) {
            Turn::Later
        } else {
            Turn::Now
        }
    }
}

/// See [`ScheduleFacts::settled`].
fn is_settled(schedule: &GraphSchedule) -> bool {
    let Some(status) = &schedule.status else { return false };
    let answered = |request: &String| {
        let known = status.run_now.as_ref();
        known.is_some_and(|known| known.decided && known.request == *request)
    };
    schedule.metadata.deletion_timestamp.is_none()
        && status.counters.is_some()
        && status.observed_generation == schedule.metadata.generation
        && status.active.is_empty()
        && status.buffer.is_empty()
        && status.backfills.iter().all(|progress| progress.done)
        && spec::run_now(schedule).as_ref().is_none_or(answered)
}

impl Keep for GraphSchedule {
    type Facts = ScheduleFacts;

    fn slim(&mut self) {
        spec::slim(self);
    }

    fn facts(&self) -> ScheduleFacts {
        ScheduleFacts {
            platform: self.spec.platform_ref.name.as_str().into(),
            uid: self.uid().unwrap_or_default().into(),
            version: newest::version(self),
            settled: is_settled(self),
            next: self
                .status
                .as_ref()
                .and_then(|status| status.next_fire_times.first())
                .map(time::to_chrono),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// As one that rests, but for this in its metadata and status.
    fn turn(metadata: &Value, status: &Value) -> Turn {
        let mut object = json!({
            "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule",
            "metadata": {"name": "s", "uid": "u", "generation": 2},
            "spec": {"platformRef": {"name": "p"}, "graph": {}, "schedules": ["@hourly"]},
            "status": {"observedGeneration": 2, "counters": {}, "nextFireTimes": ["2026-01-01T01:00:00Z"],
                "runNow": {"request": "r", "slot": "2026-01-01T00:00:00Z", "decided": true}},
        });
        for (part, with) in [("metadata", metadata), ("status", status)] {
            object[part].as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        }
        let schedule: GraphSchedule = serde_json::from_value(object).unwrap();
        schedule.facts().turn("2026-01-01T00:30:00Z".parse().unwrap())
    }

    #[test]
    fn who_only_waits_for_a_due_time_that_is_to_come_rests() {
        let asks = |request: &str| json!({"annotations": {"autogpt.dev/run-now": request}});
        assert_eq!(turn(&json!({}), &json!({})), Turn::Later);
        assert_eq!(turn(&asks("r"), &json!({})), Turn::Later, "asked for and done");
        assert_eq!(turn(&json!({}), &json!({"nextFireTimes": []})), Turn::Later, "suspended or finished");
        assert_eq!(turn(&asks("another"), &json!({})), Turn::Now);
        assert_eq!(turn(&json!({"generation": 3}), &json!({})), Turn::Now, "edited");
        let going = json!({"deletionTimestamp": "2026-01-01T00:29:00Z"});
        assert_eq!(turn(&going, &json!({})), Turn::Now);
        for status in [
            json!({"counters": null}),
            json!({"nextFireTimes": ["2026-01-01T00:30:00Z"]}),
            json!({"active": ["2026-01-01T00:00:00Z"]}),
            json!({"buffer": ["2026-01-01T00:00:00Z"]}),
            json!({"backfills": [{"name": "b", "through": "2026-01-01T00:00:00Z", "done": false}]}),
        ] {
            assert_eq!(turn(&json!({}), &status), Turn::Now, "{status}");
        }
    }
}
