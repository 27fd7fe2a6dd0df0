//! The executions of a namespace, found by the schedule that owns them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crds::GraphExecution;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;

use crate::runtime::cache::Cache;
use crate::runtime::kept::Kept;

/// A watch over all executions, and an index of it. Cheap to clone.
#[derive(Clone)]
pub struct Children {
    cache: Cache<Kept<GraphExecution>>,
    owned: Arc<Mutex<Owned>>,
}

/// UID of an owner and name. One that has gone may still be named.
type Owned = BTreeSet<(Box<str>, Box<str>)>;

impl Children {
    /// Over a watch whose events are [noted](Self::note).
    pub fn new(cache: Cache<Kept<GraphExecution>>) -> Self {
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
    pub fn note(&self, event: &Event<Kept<GraphExecution>>) {
        let (row, there) = match event {
            Event::Apply(row) | Event::InitApply(row) => (row, true),
            Event::Delete(row) => (row, false),
            Event::Init | Event::InitDone => return,
        };
        for owner in &row.facts.owners {
            let pair = (owner.clone(), Box::from(row.name_any()));
            self.locked(|owned| if there { owned.insert(pair) } else { owned.remove(&pair) });
        }
    }

    /// Those that the schedule with this UID owns.
    pub fn of(&self, uid: &str, namespace: &str) -> Vec<Arc<Kept<GraphExecution>>> {
        let keys: Vec<_> = self.locked(|owned| {
            let ours = owned.range((Box::from(uid), Box::default())..).take_while(|(owner, _)| **owner == *uid);
            ours.map(|(_, name)| ObjectRef::new(name).within(namespace)).collect()
        });
        let rows = keys.iter().filter_map(|key| self.cache.get(key));
        rows.filter(|row| row.facts.is_owned_by(uid)).collect()
    }

    fn locked<T>(&self, use_owned: impl FnOnce(&mut Owned) -> T) -> T {
        use_owned(&mut self.owned.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::kept::Packer;
    use kube::runtime::reflector;
    use kube::runtime::reflector::store::Writer;
    use serde_json::json;

    fn execution(name: &str, owner: &str) -> Kept<GraphExecution> {
        let owner = json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "name": "s", "uid": owner, "controller": true});
        let execution: GraphExecution = serde_json::from_value(json!({
            "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution",
            "metadata": {"name": name, "namespace": "n", "ownerReferences": [owner]}, "spec": {"platformRef": {"name": "p"}, "graph": {}},
        }))
        .unwrap();
        Packer::default().pack(execution).unwrap()
    }

    fn see(children: &Children, writer: &mut Writer<Kept<GraphExecution>>, event: Event<Kept<GraphExecution>>) {
        writer.apply_watcher_event(&event);
        children.note(&event);
    }

    #[test]
    fn a_schedule_finds_its_own_and_no_others() {
        let (store, mut writer) = reflector::store();
        let children = Children::new(Cache::of(store));
        let names = |uid: &str| -> Vec<String> { children.of(uid, "n").iter().map(|child| child.name_any()).collect() };
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
