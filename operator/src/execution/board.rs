//! What is known of runs that are not over: the newest progress by idempotency key, and whose it is.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crds::GraphExecution;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use model::progress::RunProgress;

use crate::runtime::time;

/// The board. Only runs that somebody waits for are on it.
#[derive(Default)]
pub struct Board(Mutex<HashMap<String, Entry>>);

struct Entry {
    object: ObjectRef<GraphExecution>,
    progress: Option<RunProgress>,
}

impl Board {
    /// From now on progress of this run is kept.
    pub fn expect(&self, execution: &GraphExecution) {
        let Some(key) = key(execution) else { return };
        self.locked(|entries| {
            let object = ObjectRef::from_obj(execution);
            entries.entry(key).or_insert(Entry { object, progress: None });
        });
    }

    /// Progress of this run is of no interest any more.
    pub fn forget(&self, execution: &GraphExecution) {
        let Some(key) = key(execution) else { return };
        self.locked(|entries| {
            // A schedule's child that was deleted and made anew has the same key.
            if entries.get(&key).is_some_and(|entry| entry.object == ObjectRef::from_obj(execution)) {
                entries.remove(&key);
            }
        });
    }

    /// Notes progress; says whose it is, if anybody waits for it.
    pub fn note(&self, progress: RunProgress) -> Option<ObjectRef<GraphExecution>> {
        self.locked(|entries| {
            let entry = entries.get_mut(&progress.idempotency_key)?;
            if entry.progress.as_ref() == Some(&progress) {
                return None;
            }
            entry.progress = Some(progress);
            Some(entry.object.clone())
        })
    }

    /// The newest progress of a run.
    pub fn progress(&self, execution: &GraphExecution) -> Option<RunProgress> {
        let key = key(execution)?;
        self.locked(|entries| entries.get(&key)?.progress.clone())
    }

    fn locked<T>(&self, use_entries: impl FnOnce(&mut HashMap<String, Entry>) -> T) -> T {
        use_entries(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The idempotency key of an execution: `schedule UID/slot` of a schedule's child, whatever object stands for it, else
/// the object's own UID.
pub fn key(execution: &GraphExecution) -> Option<String> {
    let schedule = execution
        .owner_references()
        .iter()
        .find(|owner| owner.kind == "GraphSchedule" && owner.controller == Some(true));
    match (schedule, &execution.spec.scheduled_for) {
        (Some(owner), Some(slot)) => Some(format!("{}/{}", owner.uid, time::to_chrono(slot).format("%FT%TZ"))),
        _ => execution.uid(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn execution(metadata: serde_json::Value, scheduled_for: Option<&str>) -> GraphExecution {
        serde_json::from_value(json!({
            "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution", "metadata": metadata,
            "spec": {"platformRef": {"name": "p"}, "graph": {}, "scheduledFor": scheduled_for},
        }))
        .unwrap()
    }

    #[test]
    fn a_child_is_known_by_schedule_and_slot_and_others_by_their_uid() {
        let owner = json!([{"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "name": "s", "uid": "schedule-uid", "controller": true}]);
        let child = execution(
            json!({"name": "c", "uid": "child-uid", "ownerReferences": owner}),
            Some("2026-01-01T00:00:00Z"),
        );
        assert_eq!(key(&child).as_deref(), Some("schedule-uid/2026-01-01T00:00:00Z"));
        assert_eq!(key(&execution(json!({"name": "e", "uid": "own-uid"}), None)).as_deref(), Some("own-uid"));
        assert_eq!(
            key(&execution(json!({"name": "e", "uid": "own-uid"}), Some("2026-01-01T00:00:00Z"))).as_deref(),
            Some("own-uid")
        );
    }
}
