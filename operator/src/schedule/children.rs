//! The executions of a namespace, found by the schedule that owns them.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crds::{GraphExecution, GraphSchedule};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;

use crate::runtime::cache::Cache;
use crate::schedule::family::is_owned_by;

/// A watch over all executions, and an index of it. Cheap to clone.
#[derive(Clone)]
pub struct Children {
    cache: Cache<GraphExecution>,
    /// Names by the UID of an owner. One that has gone may still be named.
    owned: Arc<Mutex<HashMap<String, BTreeSet<String>>>>,
}

impl Children {
    /// Over a watch whose events are [noted](Self::note).
    pub fn new(cache: Cache<GraphExecution>) -> Self {
        Self {
            cache,
            owned: Arc::default(),
        }
    }

    /// Waits until all have been seen once.
    pub async fn ready(&self) {
        self.cache.ready().await;
    }

    /// Follows the watch.
    pub fn note(&self, event: &Event<GraphExecution>) {
        match event {
            Event::Apply(execution) | Event::InitApply(execution) => self.each_owner(execution, |names, name| {
                names.insert(name);
            }),
            Event::Delete(execution) => self.each_owner(execution, |names, name| {
                names.remove(&name);
            }),
            Event::Init | Event::InitDone => {}
        }
    }

    /// Those that the schedule owns.
    pub fn of(&self, schedule: &GraphSchedule) -> Vec<Arc<GraphExecution>> {
        let uid = schedule.uid().unwrap_or_default();
        let names = self.locked(|owned| owned.get(&uid).cloned()).unwrap_or_default();
        let namespace = schedule.namespace().unwrap_or_default();
        let found = names.iter().filter_map(|name| self.cache.get(&ObjectRef::new(name).within(&namespace)));
        found.filter(|child| is_owned_by(child, schedule)).collect()
    }

    fn each_owner(&self, execution: &GraphExecution, change: impl Fn(&mut BTreeSet<String>, String)) {
        for owner in execution.owner_references() {
            self.locked(|owned| {
                let names = owned.entry(owner.uid.clone()).or_default();
                change(names, execution.name_any());
                if names.is_empty() {
                    owned.remove(&owner.uid);
                }
            });
        }
    }

    fn locked<T>(&self, use_owned: impl FnOnce(&mut HashMap<String, BTreeSet<String>>) -> T) -> T {
        use_owned(&mut self.owned.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::runtime::reflector;
    use kube::runtime::reflector::store::Writer;
    use serde_json::json;

    fn execution(name: &str, owner: &str) -> GraphExecution {
        let owner = json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "name": "s", "uid": owner, "controller": true});
        serde_json::from_value(json!({
            "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution",
            "metadata": {"name": name, "namespace": "n", "ownerReferences": [owner]}, "spec": {"platformRef": {"name": "p"}, "graph": {}},
        }))
        .unwrap()
    }

    fn schedule(uid: &str) -> GraphSchedule {
        serde_json::from_value(json!({
            "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": {"name": "s", "namespace": "n", "uid": uid},
            "spec": {"platformRef": {"name": "p"}, "graph": {}, "schedules": []},
        }))
        .unwrap()
    }

    fn see(children: &Children, writer: &mut Writer<GraphExecution>, event: Event<GraphExecution>) {
        writer.apply_watcher_event(&event);
        children.note(&event);
    }

    #[test]
    fn a_schedule_finds_its_own_and_no_others() {
        let (store, mut writer) = reflector::store();
        let children = Children::new(Cache::of(store));
        let names = |uid: &str| -> Vec<String> { children.of(&schedule(uid)).iter().map(|child| child.name_any()).collect() };
        see(&children, &mut writer, Event::Init);
        for (name, owner) in [("a-1", "a"), ("a-2", "a"), ("b-1", "b")] {
            see(&children, &mut writer, Event::InitApply(execution(name, owner)));
        }
        see(&children, &mut writer, Event::InitDone);
        assert_eq!(
            (names("a"), names("b"), names("c").len()),
            (vec!["a-1".to_owned(), "a-2".to_owned()], vec!["b-1".to_owned()], 0)
        );
        see(&children, &mut writer, Event::Delete(execution("a-1", "a")));
        see(&children, &mut writer, Event::Apply(execution("a-3", "a")));
        assert_eq!(names("a"), ["a-2", "a-3"]);
        // A watch that begins anew does not tell what went meanwhile.
        see(&children, &mut writer, Event::Init);
        see(&children, &mut writer, Event::InitApply(execution("a-3", "a")));
        see(&children, &mut writer, Event::InitDone);
        assert_eq!((names("a"), names("b").len()), (vec!["a-3".to_owned()], 0));
    }
}
