//! The executions of a namespace, found by the schedule that owns them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crds::GraphExecution;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;

use crate::runtime::cache::Cache;
use crate::runtime::kept::Kept;

/// What a schedule, by name, hears of an execution of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// There is something to know about it, or it went.
    Changed(Box<str>),
    /// The same, but nobody knows since when: a list shows it.
    Listed(Box<str>),
}

/// A watch over all executions, and an index of it. Cheap to clone.
#[derive(Clone)]
pub struct Children {
    cache: Cache<Kept<GraphExecution>>,
    owned: Arc<Mutex<Owned>>,
}

/// By UID of an owner and name, the news of it that were told. One that has gone may still be named.
type Owned = BTreeMap<(Box<str>, Box<str>), u64>;

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

    /// Follows the watch; the answer is for the schedule that is concerned.
    pub fn note(&self, event: &Event<Kept<GraphExecution>>) -> Option<News> {
        let (row, news): (_, fn(Box<str>) -> News) = match event {
            Event::Apply(row) => (row, News::Changed),
            Event::InitApply(row) => (row, News::Listed),
            Event::Delete(row) => {
                for owner in &row.facts.owners {
                    self.locked(|owned| owned.remove(&pair(owner, row)));
                }
                return row.facts.schedule.clone().map(News::Changed);
            }
            Event::Init | Event::InitDone => return None,
        };
        // Whose owner was taken away, was somebody's.
        let mut anything = row.facts.owners.is_empty();
        for owner in &row.facts.owners {
            let told = self.locked(|owned| owned.insert(pair(owner, row), row.facts.news));
            anything |= told.unwrap_or_default() != row.facts.news;
        }
        row.facts.schedule.clone().filter(|_| anything).map(news)
    }

    /// Those that the schedule with this UID owns.
    pub fn of(&self, uid: &str, namespace: &str) -> Vec<Arc<Kept<GraphExecution>>> {
        let keys: Vec<_> = self.locked(|owned| {
            let ours = owned
                .range((Box::from(uid), Box::default())..)
                .take_while(|((owner, _), _)| **owner == *uid);
            ours.map(|((_, name), _)| ObjectRef::new(name).within(namespace)).collect()
        });
        let rows = keys.iter().filter_map(|key| self.cache.get(key));
        rows.filter(|row| row.facts.is_owned_by(uid)).collect()
    }

    fn locked<T>(&self, use_owned: impl FnOnce(&mut Owned) -> T) -> T {
        use_owned(&mut self.owned.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn pair(owner: &str, row: &Kept<GraphExecution>) -> (Box<str>, Box<str>) {
    (owner.into(), row.name_any().into())
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

    fn over(mut execution: GraphExecution) -> GraphExecution {
        execution.status = serde_json::from_value(json!({"phase": "COMPLETED", "conditions": []})).unwrap();
        execution.labels_mut().insert(crds::LABEL_SCHEDULE.to_owned(), "s".to_owned());
        execution
    }

    #[test]
    fn a_schedule_hears_of_what_it_wants_to_know_once() {
        let (store, mut writer) = reflector::store();
        let children = Children::new(Cache::of(store));
        let new = || {
            let mut new = over(execution("a-1", "a").open().unwrap());
            new.status = None;
            Packer::default().pack(new).unwrap()
        };
        let ended = || Packer::default().pack(over(execution("a-1", "a").open().unwrap())).unwrap();
        let mut told = |event| see(&children, &mut writer, event);
        assert_eq!(told(Event::Apply(new())), None, "it was made");
        assert_eq!(told(Event::Apply(new())), None);
        assert_eq!(told(Event::Apply(ended())), Some(News::Changed("s".into())));
        assert_eq!(told(Event::Apply(ended())), None);
        assert_eq!(told(Event::Init), None);
        assert_eq!(told(Event::InitApply(ended())), None);
        assert_eq!(told(Event::InitDone), None);
        assert_eq!(told(Event::Delete(ended())), Some(News::Changed("s".into())));
        assert_eq!(told(Event::Init), None);
        assert_eq!(told(Event::InitApply(ended())), Some(News::Listed("s".into())));
    }

    fn see(children: &Children, writer: &mut Writer<Kept<GraphExecution>>, event: Event<Kept<GraphExecution>>) -> Option<News> {
        writer.apply_watcher_event(&event);
        children.note(&event)
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
