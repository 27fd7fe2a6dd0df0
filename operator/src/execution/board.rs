//! What is known of runs that are not over: the newest progress by idempotency key, whose it is, and whether the platform was asked for it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use crds::{AutoGPTPlatform, GraphExecution};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use model::progress::{Look, RunProgress};
use model::{ExecutionStatus, GraphExecId};

use crate::schedule::child;

/// The board. Only runs that somebody waits for are on it.
#[derive(Default)]
pub struct Board(Mutex<HashMap<String, Entry>>);

struct Entry {
    object: ObjectRef<GraphExecution>,
    platform: String,
    /// Its look is here until the object shows it, and not kept any longer: outputs are large.
    progress: Option<RunProgress>,
    /// Tells the newest look from others.
    look: u64,
    asked: Asked,
}

/// Whether the platform was asked for a run by its key since somebody waits for it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Nobody needs to: the stream tells what becomes of it.
    No,
    Wanted,
    /// A question is under way.
    Asking,
    /// It answered. What changes later is told by the stream.
    Yes,
}

impl Board {
    /// From now on progress of this run is kept. False when it was before.
    pub fn expect(&self, execution: &GraphExecution) -> bool {
        let Some(key) = key(execution) else { return false };
        self.locked(|entries| {
            let before = entries.len();
            entries.entry(key).or_insert_with(|| Entry {
                object: ObjectRef::from_obj(execution),
                platform: execution.spec.platform_ref.name.clone(),
                progress: None,
                look: 0,
                asked: Asked::No,
            });
            entries.len() > before
        })
    }

    /// The platform is to be asked for every run of its own that somebody waits for.
    pub fn want_all(&self, platform: &ObjectRef<AutoGPTPlatform>) {
        self.locked(|entries| {
            let of_platform = entries.values_mut().filter(|entry| entry.is_of(platform));
            of_platform.for_each(|entry| entry.asked = Asked::Wanted);
        });
    }

    /// The platform is to be asked for this run.
    pub fn want(&self, execution: &GraphExecution) {
        self.ask(execution, |_| Asked::Wanted);
    }

    /// What was asked so far says nothing: the platform may have got the run after that.
    pub fn doubt(&self, execution: &GraphExecution) {
        self.ask(execution, |asked| match asked {
            Asked::No | Asked::Yes => Asked::No,
            Asked::Wanted | Asked::Asking => Asked::Wanted,
        });
    }

    fn ask(&self, execution: &GraphExecution, change: impl FnOnce(Asked) -> Asked) {
        let Some(key) = key(execution) else { return };
        self.locked(|entries| {
            if let Some(entry) = entries.get_mut(&key) {
                entry.asked = change(entry.asked);
            }
        });
    }

    /// Whether the platform was asked for this run and has answered: nothing is known of it, then the platform did not have it.
    pub fn is_answered(&self, execution: &GraphExecution) -> bool {
        let Some(key) = key(execution) else { return false };
        self.locked(|entries| entries.get(&key).is_some_and(|entry| entry.asked == Asked::Yes))
    }

    /// Whether an answer about this run is to come.
    pub fn is_questioned(&self, execution: &GraphExecution) -> bool {
        let Some(key) = key(execution) else { return false };
        let is_open = |entry: &Entry| matches!(entry.asked, Asked::Wanted | Asked::Asking);
        self.locked(|entries| entries.get(&key).is_some_and(is_open))
    }

    /// At most so many keys that a platform is to be asked for, those of a question without an answer among them.
    pub fn questions(&self, platform: &ObjectRef<AutoGPTPlatform>, limit: usize) -> Vec<String> {
        self.locked(|entries| {
            let open = entries
                .iter_mut()
                .filter(|(_, entry)| matches!(entry.asked, Asked::Wanted | Asked::Asking) && entry.is_of(platform));
            let asking = open.take(limit).map(|(key, entry)| {
                entry.asked = Asked::Asking;
                key.clone()
            });
            asking.collect()
        })
    }

    /// The platform has answered, and the answers are noted.
    pub fn answered(&self, keys: &[String]) {
        self.locked(|entries| {
            for key in keys {
                if let Some(entry) = entries.get_mut(key).filter(|entry| entry.asked == Asked::Asking) {
                    entry.asked = Asked::Yes;
                }
            }
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

    /// Notes progress; says whose it is, if anybody waits for it and it is new. A run that is over is over, whatever an answer says that
    /// took longer.
    pub fn note(&self, mut progress: RunProgress) -> Option<ObjectRef<GraphExecution>> {
        let look = progress.look.take();
        self.locked(|entries| {
            let entry = entries.get_mut(&progress.idempotency_key)?;
            let is_over = progress.status.is_terminal();
            let mut shown = None;
            if let Some(known) = &mut entry.progress {
                if known.status.is_terminal() && !is_over {
                    return None;
                }
                shown = known.look.take();
                let is_known = *known == progress && look.as_ref().is_none_or(|look| mark(look) == entry.look);
                if is_known {
                    known.look = shown;
                    return None;
                }
            }
            if let Some(look) = &look {
                entry.look = mark(look);
            }
            // One that the object does not show yet is not lost over a change of status.
            progress.look = look.or(shown).filter(|_| !is_over);
            entry.progress = Some(progress);
            Some(entry.object.clone())
        })
    }

    /// The object shows this.
    pub fn is_shown(&self, execution: &GraphExecution, progress: &RunProgress) {
        let Some(key) = key(execution) else { return };
        self.locked(|entries| {
            let known = entries.get_mut(&key).and_then(|entry| entry.progress.as_mut());
            if let Some(known) = known.filter(|known| known.look == progress.look) {
                known.look = None;
            }
        });
    }

    /// The newest progress of a run.
    pub fn progress(&self, execution: &GraphExecution) -> Option<RunProgress> {
        let key = key(execution)?;
        self.locked(|entries| entries.get(&key)?.progress.clone())
    }

    /// At most so many runs of a platform that are RUNNING, in the order of their ids, beginning behind `after`.
    pub fn running(&self, platform: &ObjectRef<AutoGPTPlatform>, after: GraphExecId, limit: usize) -> Vec<GraphExecId> {
        let mut ids: Vec<GraphExecId> = self.locked(|entries| {
            let of_platform = entries.values().filter(|entry| entry.is_of(platform));
            let progress = of_platform.filter_map(|entry| entry.progress.as_ref());
            let running = progress.filter(|progress| progress.status == ExecutionStatus::Running);
            running.map(|progress| progress.graph_exec_id).collect()
        });
        ids.sort_unstable();
        let first = ids.partition_point(|id| *id <= after);
        ids.rotate_left(first);
        ids.truncate(limit);
        ids
    }

    fn locked<T>(&self, use_entries: impl FnOnce(&mut HashMap<String, Entry>) -> T) -> T {
        use_entries(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Entry {
    fn is_of(&self, platform: &ObjectRef<AutoGPTPlatform>) -> bool {
        self.platform == platform.name && self.object.namespace == platform.namespace
    }
}

fn mark(look: &Look) -> u64 {
    let mut hasher = DefaultHasher::new();
    serde_json::to_vec(look).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

/// The idempotency key of an execution: schedule UID, due time and request of a schedule's child, whatever object stands for
/// it under the child's name, else the object's own UID.
pub fn key(execution: &GraphExecution) -> Option<String> {
    match child::slot(execution) {
        Some((uid, due)) => Some(format!("{uid}/{due}")),
        None => execution.uid(),
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

    fn progress(key: &str, run: u128, status: &str) -> RunProgress {
        serde_json::from_value(json!({
            "graph_exec_id": GraphExecId::from_u128(run), "idempotency_key": key, "graph_id": GraphExecId::nil(), "graph_version": 1, "status": status,
            "started_at": null, "ended_at": null, "stats": null, "node_counts": {}, "outputs": null,
        }))
        .unwrap()
    }

    #[test]
    fn a_late_answer_does_not_reopen_a_run() {
        let board = Board::default();
        let awaited = execution(json!({"name": "e", "uid": "u"}), None);
        board.expect(&awaited);
        assert!(board.note(progress("u", 1, "RUNNING")).is_some());
        assert!(board.note(progress("u", 1, "RUNNING")).is_none(), "nothing new");
        assert!(board.note(progress("u", 1, "COMPLETED")).is_some());
        assert!(board.note(progress("u", 1, "RUNNING")).is_none());
        assert_eq!(board.progress(&awaited).unwrap().status, ExecutionStatus::Completed);
        assert!(board.note(progress("nobody", 2, "RUNNING")).is_none());
    }

    #[test]
    fn a_look_is_kept_until_it_is_shown_and_no_longer() {
        let board = Board::default();
        let awaited = execution(json!({"name": "e", "uid": "u"}), None);
        board.expect(&awaited);
        let look = |value: i32| -> RunProgress {
            let look = serde_json::from_value(json!({"nodes": [], "outputs": {"y": [value]}, "is_cut": false})).unwrap();
            RunProgress {
                look: Some(look),
                ..progress("u", 1, "RUNNING")
            }
        };
        assert!(board.note(look(1)).is_some());
        assert!(board.note(look(1)).is_none(), "nothing new");
        assert!(board.note(progress("u", 1, "REVIEW")).is_some());
        let kept = board.progress(&awaited).unwrap();
        assert_eq!(
            (kept.status, &kept.look),
            (ExecutionStatus::Review, &look(1).look),
            "nobody has shown it yet"
        );
        board.note(look(2));
        board.is_shown(&awaited, &kept);
        assert_eq!(board.progress(&awaited).unwrap().look, look(2).look, "that is another one");
        board.is_shown(&awaited, &look(2));
        assert_eq!(board.progress(&awaited).unwrap().look, None);
        assert!(board.note(look(2)).is_none(), "the same again");
        assert!(board.note(look(3)).is_some());
        assert!(board.note(progress("u", 1, "COMPLETED")).is_some());
        assert_eq!(board.progress(&awaited).unwrap().look, None, "a run that is over has nothing under way");
    }

    #[test]
    fn what_was_answered_before_a_question_is_no_answer() {
        let board = Board::default();
        let platform = ObjectRef::new("p");
        let [first, second] = ["a", "b"].map(|uid| execution(json!({"name": uid, "uid": uid}), None));
        let questions = |limit| {
            let mut keys = board.questions(&platform, limit);
            keys.sort_unstable();
            keys
        };
        assert!(board.expect(&first) && board.expect(&second) && !board.expect(&first));
        assert!(questions(9).is_empty() && !board.is_answered(&first), "the stream tells");
        board.want_all(&platform);
        assert!(board.questions(&ObjectRef::new("q"), 9).is_empty());
        assert_eq!(
            (questions(1).len(), questions(9)),
            (1, vec!["a".to_owned(), "b".to_owned()]),
            "no answer yet"
        );
        board.want(&second);
        board.answered(&["a".to_owned(), "b".to_owned()]);
        assert!(board.is_answered(&first) && !board.is_answered(&second));
        assert_eq!(questions(9), ["b"]);
        board.doubt(&second);
        board.answered(&["b".to_owned()]);
        assert!(!board.is_answered(&second), "the question was older");
        assert_eq!(questions(9), ["b"]);
        board.answered(&["b".to_owned()]);
        assert!(board.is_answered(&second));
        board.doubt(&second);
        assert!(!board.is_answered(&second) && questions(9).is_empty());
        board.want_all(&platform);
        assert_eq!(questions(9), ["a", "b"]);
    }

    #[test]
    fn running_runs_take_turns() {
        let board = Board::default();
        for (run, status) in [(1, "RUNNING"), (2, "QUEUED"), (3, "RUNNING"), (4, "RUNNING"), (5, "COMPLETED")] {
            let uid = run.to_string();
            board.expect(&execution(json!({"name": "e", "uid": uid}), None));
            board.note(progress(&uid, run, status));
        }
        let of = |platform: &str, after: u128| {
            let ids = board.running(&ObjectRef::new(platform), GraphExecId::from_u128(after), 2);
            ids.iter().map(GraphExecId::as_u128).collect::<Vec<_>>()
        };
        assert_eq!((of("p", 0), of("p", 3), of("p", 4)), (vec![1, 3], vec![4, 1], vec![1, 3]));
        assert!(of("q", 0).is_empty());
    }

    #[test]
    fn a_child_is_known_by_schedule_and_slot_and_others_by_their_uid() {
        let owner = json!([{"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "name": "s", "uid": "schedule-uid", "controller": true}]);
        let slot = "2026-01-01T00:00:00Z";
        let name = |due: &str| child::name("s", "schedule-uid", &due.parse().unwrap());
        let child = execution(json!({"name": name(slot), "uid": "child-uid", "ownerReferences": owner}), Some(slot));
        assert_eq!(key(&child).as_deref(), Some("schedule-uid/2026-01-01T00:00:00Z"));
        let mut asked_for = child.clone();
        asked_for.spec.request = Some("run-now/r".to_owned());
        asked_for.metadata.name = Some(name("2026-01-01T00:00:00Z/run-now/r"));
        assert_eq!(key(&asked_for).as_deref(), Some("schedule-uid/2026-01-01T00:00:00Z/run-now/r"));
        let mut orphan = child.clone();
        orphan.metadata.owner_references = None;
        let labels = [("autogpt.dev/schedule", "s"), ("autogpt.dev/schedule-uid", "schedule-uid")];
        orphan.metadata.labels = Some(labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert_eq!(key(&orphan), key(&child), "also after its schedule was deleted without it");
        for mut copy in [child.clone(), orphan.clone()] {
            copy.metadata.name = Some("copy".to_owned());
            assert_eq!(key(&copy).as_deref(), Some("child-uid"), "it has a run of its own");
            copy.metadata.name = child.metadata.name.clone();
            copy.spec.scheduled_for = asked_for.spec.scheduled_for.clone();
            copy.spec.request = Some("run-now/another".to_owned());
            assert_eq!(key(&copy).as_deref(), Some("child-uid"), "of something else");
        }
        assert_eq!(key(&execution(json!({"name": "e", "uid": "own-uid"}), None)).as_deref(), Some("own-uid"));
        assert_eq!(
            key(&execution(json!({"name": "e", "uid": "own-uid"}), Some(slot))).as_deref(),
            Some("own-uid")
        );
    }
}
