//! The execution of something due. Its name says of what: that is what makes it the only one.

use crds::{GraphExecution, GraphExecutionSpec, GraphSchedule, LABEL_SCHEDULE, LABEL_SCHEDULE_UID};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;
use kube::{Resource, ResourceExt};
use schedule::decide::{Due, Origin, instant};
use sha2::{Digest, Sha256};

use crate::runtime::time;

/// Characters of the schedule's name that the child's name keeps.
const KEPT: usize = 40;
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// The execution of something due, or nothing when the schedule has no UID yet.
pub fn child(schedule: &GraphSchedule, due: &Due) -> Option<GraphExecution> {
    let owner = schedule.controller_owner_ref(&())?;
    let spec = &schedule.spec;
    let mut child = GraphExecution::new(
        &name(&schedule.name_any(), &owner.uid, due),
        GraphExecutionSpec {
            platform_ref: spec.platform_ref.clone(),
            graph: spec.graph.clone(),
            retry_of: None,
            owner: spec.owner.clone(),
            inputs: spec.inputs.clone(),
            inputs_ref: spec.inputs_ref.clone(),
            credentials: spec.credentials.clone(),
            cancel: false,
            deadline: spec.deadline.clone(),
            ignore_node_errors: spec.ignore_node_errors,
            ttl_seconds_after_finished: spec.ttl_seconds_after_finished,
            scheduled_for: Some(time::from_chrono(due.slot)),
            request: Some(due.request()).filter(|request| !request.is_empty()),
        },
    );
    child.metadata = ObjectMeta {
        namespace: schedule.namespace(),
        labels: Some(
            [
                (LABEL_SCHEDULE.to_owned(), schedule.name_any()),
                (LABEL_SCHEDULE_UID.to_owned(), owner.uid.clone()),
            ]
            .into(),
        ),
        owner_references: Some(vec![owner]),
        ..child.metadata
    };
    Some(child)
}

/// The same as it is sent to the API server.
pub fn written(schedule: &GraphSchedule, due: &Due) -> Option<Vec<u8>> {
    // Nothing that could be read cannot be written.
    serde_json::to_vec(&child(schedule, due)?).ok()
}

/// What the execution says that it is of: see [`slot`].
pub fn due(execution: &GraphExecution) -> Option<Due> {
    let slot = instant(time::to_chrono(execution.spec.scheduled_for.as_ref()?));
    match &execution.spec.request {
        None => slot.parse().ok(),
        Some(request) => format!("{slot}/{request}").parse().ok(),
    }
}

/// The schedule that controls an execution.
pub fn owner(execution: &GraphExecution) -> Option<&OwnerReference> {
    let mut owners = execution.owner_references().iter();
    owners.find(|owner| owner.kind == "GraphSchedule" && owner.controller == Some(true))
}

/// The UID of the schedule whose execution this is, and what it is of. The labels remember the schedule when the owner was taken away, as
/// deleting a schedule without its executions does. Nothing for an execution under another name than its schedule gives: it is a copy, and
/// one of its own.
pub fn slot(execution: &GraphExecution) -> Option<(&str, Due)> {
    let label = |name: &str| execution.labels().get(name).map(String::as_str);
    let (schedule, uid) = match owner(execution) {
        Some(owner) => (owner.name.as_str(), owner.uid.as_str()),
        None => (label(LABEL_SCHEDULE)?, label(LABEL_SCHEDULE_UID)?),
    };
    let due = due(execution)?;
    let is_named_so = execution.metadata.name.as_deref() == Some(&*name(schedule, uid, &due));
    is_named_so.then_some((uid, due))
}

/// `<schedule, at most 40 characters>-<6 characters of a hash of its UID>-<due time in base 36>`, with `-m<request>` or
/// `-b<backfill>` behind. Requests and backfills with longer names than 6 characters stand there as hashes.
pub fn name(schedule: &str, uid: &str, due: &Due) -> String {
    let kept: String = schedule.chars().take(KEPT).collect();
    let kept = kept.trim_end_matches(['-', '.']);
    let name = format!("{kept}-{}-{}", short_hash(uid), base36(due.slot.timestamp().unsigned_abs()));
    match &due.origin {
        Origin::Calendar => name,
        Origin::RunNow(request) => format!("{name}-m{}", token(request)),
        Origin::Backfill(backfill) => format!("{name}-b{}", token(backfill)),
    }
}

fn token(text: &str) -> String {
    let plain = (1..=6).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if plain { text.to_owned() } else { short_hash(text) }
}

fn short_hash(uid: &str) -> String {
    let digest = Sha256::digest(uid.as_bytes());
    digest
        .iter()
        .take(6)
        .filter_map(|byte| DIGITS.get(usize::from(byte % 36)))
        .map(|digit| char::from(*digit))
        .collect()
}

fn base36(mut number: u64) -> String {
    let mut digits: Vec<u8> = Vec::new();
    loop {
        digits.extend(usize::try_from(number % 36).ok().and_then(|index| DIGITS.get(index)));
        number /= 36;
        if number == 0 {
            break;
        }
    }
    digits.iter().rev().map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Utc};

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc)
    }

    const UID: &str = "f3f1c6c4-0000-4000-8000-000000000001";

    fn key(text: &str) -> Due {
        text.parse().unwrap()
    }

    #[test]
    fn the_name_is_a_function_of_schedule_uid_and_what_is_due() {
        let due = key("2026-11-22T16:00:00Z");
        let one = name("every-minute", UID, &due);
        assert_eq!(one, name("every-minute", UID, &due));
        let others = [
            name("every-minute", "f3f1c6c4-0000-4000-8000-000000000002", &due),
            name("every-minute", UID, &key("2026-11-22T16:01:00Z")),
            name("every-minute", UID, &key("2026-11-22T16:00:00Z/run-now/a")),
            name("every-minute", UID, &key("2026-11-22T16:00:00Z/run-now/b")),
            name("every-minute", UID, &key("2026-11-22T16:00:00Z/backfill/a")),
            name("every-minute", UID, &key("2026-11-22T16:00:00Z/backfill/last-month")),
        ];
        let all: std::collections::BTreeSet<_> = others.iter().chain([&one]).collect();
        assert_eq!(all.len(), 7);
        let slot = base36(due.slot.timestamp().unsigned_abs());
        assert!(one.starts_with("every-minute-") && one.ends_with(&slot), "{one}");
        assert!(others[2].ends_with("-ma") && others[4].ends_with("-ba"), "{others:?}");
    }

    #[test]
    fn long_names_stay_names() {
        let long = format!("{}.-x", "a".repeat(38));
        let plain = name(&long, "uid", &key("2026-11-22T16:00:00Z"));
        assert!(plain.starts_with(&format!("{}-", "a".repeat(38))), "{plain}");
        let far = Due {
            slot: at("4000-12-31T23:59:59Z"),
            origin: Origin::RunNow("a long request".to_owned()),
        };
        let name = name(&"a".repeat(63), "uid", &far);
        assert!(name.len() <= 63, "{name}");
    }

    #[test]
    fn a_child_says_what_it_is_of() {
        let schedule: GraphSchedule = serde_json::from_value(serde_json::json!({
            "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": {"name": "s", "uid": UID},
            "spec": {"platformRef": {"name": "p"}, "graph": {}, "schedules": ["@daily"]},
        }))
        .unwrap();
        for text in [
            "2026-11-22T16:00:00Z",
            "2026-11-22T16:00:00Z/run-now/x",
            "2026-11-22T16:00:00Z/backfill/y",
        ] {
            let mut child = child(&schedule, &key(text)).unwrap();
            assert_eq!(slot(&child), Some((UID, key(text))));
            let mut copy = child.clone();
            copy.metadata.name = Some("copy".to_owned());
            assert_eq!((slot(&copy), due(&copy)), (None, Some(key(text))));
            child.metadata.owner_references = None;
            assert_eq!(slot(&child), Some((UID, key(text))), "its schedule was deleted without it");
            copy.metadata.owner_references = None;
            assert_eq!(slot(&copy), None);
        }
    }

    #[test]
    fn base36_is_base36() {
        assert_eq!([0, 35, 36, 1_795_363_200].map(base36), ["0", "z", "10", "towv40"]);
    }
}
