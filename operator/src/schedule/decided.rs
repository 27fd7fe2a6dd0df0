//! Whether an execution of a schedule may run: only when the schedule has decided so, and that is stored.
//!
//! The execution comes first and the decision after it, so an execution that is seen proves nothing: whoever made it may have
//! been overtaken. Decisions never change, so one that is known need not be asked for again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crds::GraphExecution;
use crds::schedule::GraphScheduleStatus;
use kube::runtime::reflector::ObjectRef;
use schedule::decide::{Due, Effect, Outcome};
use tokio::sync::mpsc;

use crate::schedule::{book, family};

/// Executions that are remembered at most; what is forgotten is asked for.
const MOST: usize = 20_000;
/// Executions that the controller has not been told about yet; it looks again by itself.
const QUEUE: usize = 4096;

type Key = ObjectRef<GraphExecution>;

/// What this process knows of the executions that it makes. Cheap to clone.
#[derive(Clone)]
pub struct Decided {
    known: Arc<Mutex<HashMap<Key, bool>>>,
    news: mpsc::Sender<Key>,
}

impl Decided {
    /// With the executions whose decision is stored, as that happens.
    pub fn new() -> (Self, mpsc::Receiver<Key>) {
        let (news, receiver) = mpsc::channel(QUEUE);
        let decided = Self { known: Arc::default(), news };
        (decided, receiver)
    }

    /// These are being made; the decision follows.
    pub fn begin(&self, keys: &[Key]) {
        self.locked(|known| {
            if known.len() > MOST {
                known.clear();
            }
            known.extend(keys.iter().map(|key| (key.clone(), false)));
        });
    }

    /// The decision to run these is stored.
    pub fn commit(&self, keys: Vec<Key>) {
        self.locked(|known| known.extend(keys.iter().map(|key| (key.clone(), true))));
        for key in keys {
            // A full queue: the controller looks again by itself.
            let _ = self.news.try_send(key);
        }
    }

    /// The decision to run it is known to be stored, and it cannot be submitted yet.
    pub fn keep(&self, key: Key) {
        self.locked(|known| {
            if known.len() > MOST {
                known.clear();
            }
            known.insert(key, true);
        });
    }

    /// Nothing is known of these: the decision could not be stored.
    pub fn abandon(&self, keys: &[Key]) {
        self.locked(|known| known.retain(|key, _| !keys.contains(key)));
    }

    /// Whether the decision to run it is stored; nothing when this process does not know. A yes is said once.
    pub fn ask(&self, key: &Key) -> Option<bool> {
        self.locked(|known| match known.get(key) {
            Some(true) => known.remove(key),
            known => known.copied(),
        })
    }

    fn locked<T>(&self, use_known: impl FnOnce(&mut HashMap<Key, bool>) -> T) -> T {
        use_known(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The executions that a step creates, by name.
pub fn created(effects: &[Effect], key: impl Fn(&Due) -> Key) -> Vec<Key> {
    let created = effects.iter().filter_map(|effect| match effect {
        Effect::Create(due) => Some(key(due)),
        Effect::Cancel(_) => None,
    });
    created.collect()
}

/// What a schedule's status says about an execution that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    Run,
    /// The decision is still to come.
    NotYet,
    /// The schedule decided otherwise: why.
    Superseded(String),
}

/// Reads a status that was stored.
pub fn word(status: &GraphScheduleStatus, due: &Due) -> Word {
    // Not looked at since an older release wrote it.
    if status.counters.is_none() {
        return Word::NotYet;
    }
    let book = book::read(status);
    if book.active.contains(due) {
        return Word::Run;
    }
    if !family::is_decided(&book, due) {
        return Word::NotYet;
    }
    match book.recent.iter().find(|entry| entry.is_about(due)) {
        Some(entry) if entry.outcome == Outcome::Buffered => Word::NotYet,
        Some(entry) if !entry.outcome.is_run() => Word::Superseded(entry.reason.clone()),
        _ => Word::Superseded("its due time has had its run".to_owned()),
    }
}

/// Whether a status that was stored has taken note of how something due ended, so that its execution may go.
pub fn is_counted(status: &GraphScheduleStatus, due: &Due) -> bool {
    // Not looked at since an older release wrote it.
    if status.counters.is_none() {
        return false;
    }
    let book = book::read(status);
    family::is_decided(&book, due) && !book.active.contains(due)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_an_active_run_may_run() {
        let status: GraphScheduleStatus = serde_json::from_value(json!({
            "decidedThrough": "2026-01-01T00:05:00Z",
            "counters": {},
            "active": ["2026-01-01T00:04:00Z"],
            "buffer": ["2026-01-01T00:03:00Z"],
            "recentDecisions": [
                {"slot": "2026-01-01T00:05:00Z", "outcome": "Skipped", "reason": "busy"},
                {"slot": "2026-01-01T00:01:00Z", "outcome": "Fired"},
            ],
        }))
        .unwrap();
        let of = |text: &str| word(&status, &text.parse().unwrap());
        assert_eq!(of("2026-01-01T00:04:00Z"), Word::Run);
        assert_eq!(of("2026-01-01T00:03:00Z"), Word::NotYet, "it waits");
        assert_eq!(of("2026-01-01T00:06:00Z"), Word::NotYet, "it is to come");
        assert_eq!(of("2026-01-01T00:05:00Z"), Word::Superseded("busy".to_owned()));
        assert!(matches!(of("2026-01-01T00:01:00Z"), Word::Superseded(_)), "over, and made again by hand");
        let old = GraphScheduleStatus {
            counters: None,
            ..status.clone()
        };
        assert_eq!(word(&old, &"2026-01-01T00:05:00Z".parse().unwrap()), Word::NotYet);
    }

    #[test]
    fn an_end_is_counted_when_its_due_time_is_decided_and_not_active() {
        let known =
            json!({"decidedThrough": "2026-01-01T00:05:00Z", "counters": {}, "active": ["2026-01-01T00:04:00Z"], "buffer": ["2026-01-01T00:03:00Z"]});
        let status: GraphScheduleStatus = serde_json::from_value(known).unwrap();
        let of = |status: &GraphScheduleStatus, minute: u8| is_counted(status, &format!("2026-01-01T00:0{minute}:00Z").parse().unwrap());
        let counted = [1, 3, 4, 5, 6].map(|minute| of(&status, minute));
        assert_eq!(counted, [true, false, false, true, false]);
        let old = GraphScheduleStatus { counters: None, ..status };
        assert!(!of(&old, 1));
    }

    #[tokio::test]
    async fn what_this_process_decided_need_not_be_asked_for() {
        let (decided, mut news) = Decided::new();
        let key = Key::new("e").within("n");
        assert_eq!(decided.ask(&key), None);
        decided.begin(std::slice::from_ref(&key));
        assert_eq!(decided.ask(&key), Some(false));
        decided.commit(vec![key.clone()]);
        assert_eq!(news.recv().await, Some(key.clone()));
        assert_eq!((decided.ask(&key), decided.ask(&key)), (Some(true), None));
        decided.keep(key.clone());
        assert_eq!(decided.ask(&key), Some(true));
        decided.begin(std::slice::from_ref(&key));
        decided.abandon(std::slice::from_ref(&key));
        assert_eq!(decided.ask(&key), None);
    }
}
