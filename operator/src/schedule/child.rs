//! The execution of one due time. Its name says which: that is what makes it the only one.

use chrono::{DateTime, Utc};
use crds::{GraphExecution, GraphExecutionSpec, GraphSchedule, LABEL_SCHEDULE};
use kube::api::ObjectMeta;
use kube::{Resource, ResourceExt};
use sha2::{Digest, Sha256};

use crate::runtime::time;

/// Characters of the schedule's name that the child's name keeps.
const KEPT: usize = 40;
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// The execution of `slot`, or nothing when the schedule has no UID yet.
pub fn child(schedule: &GraphSchedule, slot: DateTime<Utc>) -> Option<GraphExecution> {
    let owner = schedule.controller_owner_ref(&())?;
    let spec = &schedule.spec;
    let mut child = GraphExecution::new(
        &name(&schedule.name_any(), &owner.uid, slot),
        GraphExecutionSpec {
            platform_ref: spec.platform_ref.clone(),
            graph: spec.graph.clone(),
            retry_of: None,
            owner: spec.owner.clone(),
            inputs: spec.inputs.clone(),
            inputs_ref: spec.inputs_ref.clone(),
            credentials: Default::default(),
            cancel: false,
            deadline: None,
            ignore_node_errors: false,
            ttl_seconds_after_finished: None,
            scheduled_for: Some(time::from_chrono(slot)),
        },
    );
    child.metadata = ObjectMeta {
        namespace: schedule.namespace(),
        labels: Some([(LABEL_SCHEDULE.to_owned(), schedule.name_any())].into()),
        owner_references: Some(vec![owner]),
        ..child.metadata
    };
    Some(child)
}

/// `<schedule, at most 40 characters>-<6 characters of a hash of its UID>-<slot in base 36>`.
pub fn name(schedule: &str, uid: &str, slot: DateTime<Utc>) -> String {
    let kept: String = schedule.chars().take(KEPT).collect();
    let kept = kept.trim_end_matches(['-', '.']);
    format!("{kept}-{}-{}", short_hash(uid), base36(slot.timestamp().unsigned_abs()))
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

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc)
    }

    #[test]
    fn the_name_is_a_function_of_schedule_uid_and_slot() {
        let slot = at("2026-11-22T16:00:00Z");
        let one = name("every-minute", "f3f1c6c4-0000-4000-8000-000000000001", slot);
        assert_eq!(one, name("every-minute", "f3f1c6c4-0000-4000-8000-000000000001", slot));
        assert_ne!(
            one,
            name("every-minute", "f3f1c6c4-0000-4000-8000-000000000002", slot),
            "a schedule of the same name made anew"
        );
        assert_ne!(
            one,
            name("every-minute", "f3f1c6c4-0000-4000-8000-000000000001", at("2026-11-22T16:01:00Z"))
        );
        assert!(
            one.starts_with("every-minute-") && one.ends_with(&base36(slot.timestamp().unsigned_abs())),
            "{one}"
        );
    }

    #[test]
    fn long_names_stay_names() {
        let long = format!("{}.-x", "a".repeat(38));
        let name = name(&long, "uid", at("2026-11-22T16:00:00Z"));
        assert!(name.starts_with(&format!("{}-", "a".repeat(38))), "{name}");
        assert!(name.len() <= 63);
    }

    #[test]
    fn base36_is_base36() {
        assert_eq!([0, 35, 36, 1_795_363_200].map(base36), ["0", "z", "10", "towv40"]);
    }
}
