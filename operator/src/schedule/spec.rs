//! What a GraphSchedule asks for, in the words of `schedule`. Pure.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use crds::schedule::{Backfill, BackfillOverlap, CatchUpPolicy, DayMatch, GraphScheduleSpec, OverlapPolicy};
use crds::{ANNOTATION_RUN_NOW, GraphSchedule, MANAGER_EXPLAIN};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::ResourceExt;
use schedule::decide::{self, CatchUp, Overlap, Policy};
use schedule::{CalendarSpec, Exclusion};
use serde_json::json;

use crate::runtime::{apply, time};

/// Where the schema leaves out a number.
const BUFFER_LIMIT: i32 = 10;
const CATCH_UP_LIMIT: i32 = 10;
/// A request to run now that is longer is known by its hash.
const LONGEST_REQUEST: usize = 40;

/// Its calendar.
pub fn calendar(schedule: &GraphSchedule) -> CalendarSpec {
    let spec = &schedule.spec;
    CalendarSpec {
        lines: spec.schedules.iter().map(|line| line.trim().to_owned()).collect(),
        time_zone: spec.time_zone.clone(),
        day_match: match spec.day_match {
            DayMatch::Either => schedule::DayMatch::Either,
            DayMatch::Both => schedule::DayMatch::Both,
        },
        seconds: spec.seconds,
        start_at: spec.start_at.as_ref().map(time::to_chrono),
        end_at: spec.end_at.as_ref().map(time::to_chrono),
        exclusions: spec
            .exclusions
            .iter()
            .map(|span| Exclusion {
                from: time::to_chrono(&span.from),
                to: time::to_chrono(&span.to),
            })
            .collect(),
        jitter: spec
            .jitter
            .as_deref()
            .and_then(span)
            .and_then(|span| span.to_std().ok())
            .unwrap_or_default(),
        jitter_seed: schedule.uid().unwrap_or_default(),
    }
}

/// A hash over everything that decides what is due.
pub fn calendar_hash(spec: &GraphScheduleSpec) -> String {
    apply::hash(&json!([
        spec.schedules,
        spec.time_zone,
        spec.day_match,
        spec.seconds,
        spec.start_at,
        spec.end_at,
        spec.exclusions
    ]))
}

/// Its policies.
pub fn policy(spec: &GraphScheduleSpec) -> Policy {
    Policy {
        overlap: match spec.overlap_policy {
            OverlapPolicy::Allow => Overlap::Allow,
            OverlapPolicy::Skip => Overlap::Skip,
            OverlapPolicy::BufferOne => Overlap::BufferOne,
            OverlapPolicy::BufferAll => Overlap::BufferAll(count(spec.buffer_limit.unwrap_or(BUFFER_LIMIT))),
            OverlapPolicy::CancelOther => Overlap::CancelOther,
            OverlapPolicy::Replace => Overlap::Replace,
        },
        catch_up: match spec.catch_up.policy {
            CatchUpPolicy::Latest => CatchUp::Latest,
            CatchUpPolicy::None => CatchUp::None,
            CatchUpPolicy::All => CatchUp::All(count(spec.catch_up.limit.unwrap_or(CATCH_UP_LIMIT))),
        },
        window: spec.catch_up.window.as_deref().and_then(span),
        max_runs: spec.max_runs.and_then(|most| u64::try_from(most).ok()),
        pause_on_failure: spec.pause_on_failure.and_then(|most| u32::try_from(most).ok()),
    }
}

/// Its backfills.
pub fn backfills(spec: &GraphScheduleSpec) -> Vec<decide::Backfill> {
    let of = |backfill: &Backfill| decide::Backfill {
        name: backfill.name.clone(),
        from: time::to_chrono(&backfill.from),
        to: time::to_chrono(&backfill.to),
        overlap: match backfill.overlap_policy {
            BackfillOverlap::Allow => Overlap::Allow,
            BackfillOverlap::Skip => Overlap::Skip,
            BackfillOverlap::BufferAll => Overlap::BufferAll(1),
        },
    };
    spec.backfills.iter().map(of).collect()
}

/// The request to run now that it carries.
pub fn run_now(schedule: &GraphSchedule) -> Option<String> {
    let request = schedule.annotations().get(ANNOTATION_RUN_NOW)?.trim();
    let plain = request.len() <= LONGEST_REQUEST && request.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    match request {
        "" => None,
        request if plain => Some(request.to_owned()),
        request => Some(apply::hash(&json!(request))),
    }
}

/// Why it is suspended, as a sentence.
pub fn suspended(spec: &GraphScheduleSpec) -> Option<String> {
    let suspend = spec.suspend.as_ref()?;
    Some(match suspend.note.as_deref().map(str::trim) {
        None | Some("") => "the schedule is suspended (spec.suspend)".to_owned(),
        Some(note) => format!("the schedule is suspended (spec.suspend): {note}"),
    })
}

/// When it was made.
pub fn created(schedule: &GraphSchedule) -> DateTime<Utc> {
    schedule.metadata.creation_timestamp.as_ref().map_or_else(Utc::now, time::to_chrono)
}

/// When it was written last by anybody but the writers of its status and those who only ask something.
pub fn written(schedule: &GraphSchedule) -> Option<DateTime<Utc>> {
    let writes = schedule
        .managed_fields()
        .iter()
        .filter(|entry| entry.subresource.as_deref() != Some("status") && entry.manager.as_deref() != Some(MANAGER_EXPLAIN));
    writes.filter_map(|entry| entry.time.as_ref().map(time::to_chrono)).max()
}

/// Leaves of the history of who wrote which field only when the object was [written]. The API server keeps its own history of an object
/// that is put without one.
pub fn slim(schedule: &mut GraphSchedule) {
    let time = written(schedule).map(time::from_chrono);
    schedule.metadata.managed_fields = time.map(|time| {
        vec![ManagedFieldsEntry {
            time: Some(time),
            ..ManagedFieldsEntry::default()
        }]
    });
}

/// When the specification was changed after the last look. The API server notes no time of a write that only takes fields away: then it is
/// the present moment, for what is due before an edit must not fire. So it is when a request to run now came meanwhile, which may be the
/// write that has a time.
fn changed(schedule: &GraphSchedule, now: DateTime<Utc>) -> DateTime<Utc> {
    let status = schedule.status.as_ref();
    let seen = status.and_then(|status| status.observed_write_time.as_ref());
    let known = status.and_then(|status| status.run_now.as_ref());
    let asked = run_now(schedule).is_some_and(|request| known.is_none_or(|known| known.request != request));
    written(schedule)
        .filter(|written| !asked && seen.is_none_or(|seen| *written > time::to_chrono(seen)))
        .unwrap_or(now)
}

/// When the calendar was edited after the last look, if it was.
pub fn edited(schedule: &GraphSchedule, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let seen = schedule.status.as_ref()?.calendar_hash.as_ref()?;
    (*seen != calendar_hash(&schedule.spec)).then(|| changed(schedule, now))
}

/// A duration as Kubernetes writes it; nothing when it is negative or unreadable, which the schema rules out.
fn span(text: &str) -> Option<TimeDelta> {
    let parsed: kube::core::Duration = text.parse().ok()?;
    (!parsed.is_negative())
        .then(|| TimeDelta::from_std(Duration::from(parsed)).ok())
        .flatten()
}

fn count(number: i32) -> usize {
    usize::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(spec: serde_json::Value) -> GraphSchedule {
        let mut all = json!({"platformRef": {"name": "p"}, "graph": {}, "schedules": ["@daily"]});
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        serde_json::from_value(json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": {"name": "s"}, "spec": all}))
            .unwrap()
    }

    #[test]
    fn policies_are_those_of_the_specification() {
        let spec = schedule(json!({
            "overlapPolicy": "BufferAll", "bufferLimit": 3, "maxRuns": 7, "pauseOnFailure": 2,
            "catchUp": {"policy": "All", "window": "1h30m", "limit": 5},
        }));
        let expected = Policy {
            overlap: Overlap::BufferAll(3),
            catch_up: CatchUp::All(5),
            window: Some(TimeDelta::minutes(90)),
            max_runs: Some(7),
            pause_on_failure: Some(2),
        };
        assert_eq!(policy(&spec.spec), expected);
        assert_eq!(policy(&schedule(json!({})).spec), Policy::default());
    }

    #[test]
    fn only_what_decides_about_due_times_changes_the_hash() {
        let hash = |spec| calendar_hash(&schedule(spec).spec);
        let plain = hash(json!({}));
        for same in [
            json!({"suspend": {}}),
            json!({"overlapPolicy": "Skip"}),
            json!({"jitter": "5m"}),
            json!({"maxRuns": 3}),
        ] {
            assert_eq!(hash(same.clone()), plain, "{same}");
        }
        for other in [
            json!({"timeZone": "Asia/Tokyo"}),
            json!({"seconds": true}),
            json!({"endAt": "2030-01-01T00:00:00Z"}),
        ] {
            assert_ne!(hash(other.clone()), plain, "{other}");
        }
    }

    #[test]
    fn an_edit_is_still_known_of_a_slim_object() {
        let entry = |manager: &str, subresource: Option<&str>, minute: u32| json!({"manager": manager, "subresource": subresource, "time": format!("2026-01-01T00:{minute:02}:00Z"), "fieldsV1": {"f:spec": {}}});
        let mut schedule = schedule(json!({}));
        schedule.metadata.managed_fields = serde_json::from_value(json!([
            entry("kubectl", None, 1),
            entry("helm", None, 2),
            entry("autogpt-operator", Some("status"), 3),
            entry(MANAGER_EXPLAIN, None, 4),
        ]))
        .unwrap();
        let before = written(&schedule);
        assert_eq!(before.map(|time| time.to_rfc3339()).as_deref(), Some("2026-01-01T00:02:00+00:00"));
        slim(&mut schedule);
        assert_eq!((written(&schedule), schedule.managed_fields().len()), (before, 1));
        assert!(schedule.managed_fields()[0].fields_v1.is_none());
    }

    #[test]
    fn a_change_without_a_time_was_made_now() {
        let at = |minute: u32| format!("2026-01-01T00:{minute:02}:00Z").parse::<DateTime<Utc>>().unwrap();
        let changed = |seen: Option<u32>, written: Option<u32>| {
            let mut schedule = schedule(json!({}));
            schedule.metadata.managed_fields = serde_json::from_value(json!(written.map(|minute| [json!({"time": at(minute)})]))).unwrap();
            schedule.status = serde_json::from_value(json!({"calendarHash": "other", "observedWriteTime": seen.map(at)})).unwrap();
            let changed = changed(&schedule, at(9));
            assert_eq!(edited(&schedule, at(9)), Some(changed));
            changed
        };
        assert_eq!(changed(Some(1), Some(2)), at(2), "a field was added or changed");
        assert_eq!(changed(Some(1), Some(1)), at(9), "fields were taken away");
        assert_eq!(changed(Some(2), Some(1)), at(9), "and with them whoever wrote last");
        assert_eq!(changed(Some(1), None), at(9));
        assert_eq!(changed(None, Some(1)), at(1), "before this was noted");

        let mut asked = schedule(json!({}));
        asked.annotations_mut().insert(ANNOTATION_RUN_NOW.to_owned(), "new".to_owned());
        asked.metadata.managed_fields = serde_json::from_value(json!([{"time": at(2)}])).unwrap();
        let edited_with = |request: &str| {
            let known = json!({"request": request, "slot": at(0), "decided": true});
            let mut asked = asked.clone();
            asked.status = serde_json::from_value(json!({"calendarHash": "other", "observedWriteTime": at(1), "runNow": known})).unwrap();
            edited(&asked, at(9))
        };
        assert_eq!(edited_with("old"), Some(at(9)), "the request may be the write that has a time");
        assert_eq!(edited_with("new"), Some(at(2)));
    }

    #[test]
    fn a_request_is_short_and_plain() {
        let request = |text: &str| {
            let mut schedule = schedule(json!({}));
            schedule.annotations_mut().insert(ANNOTATION_RUN_NOW.to_owned(), text.to_owned());
            run_now(&schedule)
        };
        assert_eq!(request(" now-1 ").as_deref(), Some("now-1"));
        assert_eq!(request("  "), None);
        for strange in ["ü", &"x".repeat(1000), "a\nb"] {
            assert_eq!(request(strange).map(|request| request.len()), Some(16), "{strange}");
        }
        assert_eq!(run_now(&schedule(json!({}))), None);
    }
}
