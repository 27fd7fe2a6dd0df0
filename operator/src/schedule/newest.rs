//! The newest version of each schedule that this process has written, until the watch shows it.
//!
//! Deciding from an older one would be found out, because statuses are written conditionally, but only after its effects.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crds::GraphSchedule;
use kube::ResourceExt;

/// By UID.
#[derive(Default)]
pub struct Newest(Mutex<HashMap<String, GraphSchedule>>);

impl Newest {
    /// Takes note of what the server answered.
    pub fn note(&self, written: &GraphSchedule) {
        if let Some(uid) = written.uid() {
            self.locked(|known| known.insert(uid, written.clone()));
        }
    }

    /// The object as the watch shows it, or as it was written when the watch lags behind.
    pub fn at_least(&self, seen: GraphSchedule) -> GraphSchedule {
        let uid = seen.uid().unwrap_or_default();
        self.locked(|known| match known.get(&uid) {
            Some(written) if is_older(&seen, written) => written.clone(),
            Some(_) => {
                known.remove(&uid);
                seen
            }
            None => seen,
        })
    }

    /// Whether the watch shows what this process has written, and nothing else has happened.
    pub fn is_echo(&self, uid: &str, version: Option<u64>) -> bool {
        self.locked(|known| {
            let echo = known
                .get(uid)
                .is_some_and(|written| version.is_some() && self::version(written) == version);
            if echo {
                known.remove(uid);
            }
            echo
        })
    }

    /// Whether this process has written a version that the watch may not have shown.
    pub fn is_ahead(&self, uid: &str) -> bool {
        self.locked(|known| known.contains_key(uid))
    }

    /// The schedule is going.
    pub fn forget(&self, schedule: &GraphSchedule) {
        let uid = schedule.uid().unwrap_or_default();
        self.locked(|known| known.remove(&uid));
    }

    fn locked<T>(&self, use_known: impl FnOnce(&mut HashMap<String, GraphSchedule>) -> T) -> T {
        use_known(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Resource versions are numbers in every API server there is. Were they not, the conditional write would still decide.
pub fn version(object: &GraphSchedule) -> Option<u64> {
    object.resource_version()?.parse().ok()
}

fn is_older(seen: &GraphSchedule, written: &GraphSchedule) -> bool {
    version(seen).zip(version(written)).is_some_and(|(seen, written)| seen < written)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(version: &str) -> GraphSchedule {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": {"name": "s", "uid": "u", "resourceVersion": version},
            "spec": {"platformRef": {"name": "p"}, "graph": {}, "schedules": []},
        }))
        .unwrap()
    }

    #[test]
    fn what_was_written_counts_until_the_watch_shows_it() {
        let newest = Newest::default();
        newest.note(&at("10"));
        assert_eq!(newest.at_least(at("9")), at("10"));
        assert_eq!(newest.at_least(at("11")), at("11"));
        assert_eq!(newest.at_least(at("9")), at("9"), "forgotten");
    }

    #[test]
    fn what_was_written_comes_back_once() {
        let newest = Newest::default();
        assert!(!newest.is_echo("u", Some(10)));
        newest.note(&at("10"));
        assert!(!newest.is_echo("u", Some(11)), "somebody else has written, too");
        assert!(!newest.is_echo("u", None));
        assert!(newest.is_ahead("u") && newest.is_echo("u", Some(10)));
        assert!(!newest.is_ahead("u") && !newest.is_echo("u", Some(10)));
    }
}
