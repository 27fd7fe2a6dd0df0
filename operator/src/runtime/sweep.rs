//! Looks at everything, a few objects at a time, behind all that has something to do.
//!
//! At a beginning, of a process, of its leadership or of a watch that has lost its place, nobody knows what has changed, so every object is
//! looked at. Ten thousand of them at once would keep the ones that something is due for, and those that come anew, waiting for seconds.
//! Whoever can be seen to rest waits here instead, and the rest of the controller goes on between any two of these looks.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures::{Stream, StreamExt, future, stream};
use kube::ResourceExt;
use kube::runtime::controller::{self, Action};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use tokio::sync::Notify;

use crate::runtime::kept::{Keep, Kept};

/// Looks under way at the same time. Enough that those that wait for the API server keep all of its places busy.
const WIDTH: usize = 64;
/// After so many, all others have their turn.
const STRIDE: usize = 8;

/// What a beginning does about an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is looked at at once.
    Now,
    /// It is looked at when there is time.
    Later,
    /// A look would find nothing to do.
    Never,
}

/// How a look ended.
pub type Outcome<K, E, Q> = Result<(ObjectRef<Kept<K>>, Action), controller::Error<E, Q>>;

/// The objects of one kind and namespace that are to be looked at when there is time, by name. Cheap to clone.
#[derive(Clone, Default)]
pub struct Sweep {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    waiting: BTreeSet<Box<str>>,
    under_way: HashSet<Box<str>>,
}

impl Sweep {
    /// This one is to be looked at, once however often it is asked for.
    pub fn add(&self, name: &str) {
        self.locked(|state| state.waiting.insert(name.into()));
        self.changed.notify_one();
    }

    /// Those whose turn it is. There is one reader, and each name that it takes is given back by [`hear`](Self::hear).
    pub fn turns(&self) -> impl Stream<Item = Box<str>> + Send + 'static {
        stream::unfold((self.clone(), 0_usize), async |(sweep, taken)| {
            if taken % STRIDE == STRIDE - 1 {
                tokio::task::yield_now().await;
            }
            loop {
                if let Some(name) = sweep.take() {
                    return Some((name, (sweep, taken.wrapping_add(1))));
                }
                sweep.changed.notified().await;
            }
        })
    }

    fn take(&self) -> Option<Box<str>> {
        self.locked(|state| {
            if state.under_way.len() >= WIDTH {
                return None;
            }
            let name = state.waiting.pop_first()?;
            state.under_way.insert(name.clone());
            Some(name)
        })
    }

    /// A look is over. Every object that a controller takes comes to such an end, also one that is gone.
    pub fn hear<K, E, Q>(&self, outcome: &Outcome<K, E, Q>)
    where
        K: Keep,
        E: std::error::Error + 'static,
        Q: std::error::Error + 'static,
    {
        use controller::Error::{ObjectNotFound, ReconcilerFailed};
        let name = match outcome {
            Ok((object, _)) => &object.name,
            Err(ObjectNotFound(object) | ReconcilerFailed(_, object)) => &object.name,
            Err(_) => return,
        };
        if self.locked(|state| state.under_way.remove(name.as_str())) {
            self.changed.notify_one();
        }
    }

    /// What a controller is called up by: every change that matters, and of what a list shows those whose [`Turn`] is now.
    pub fn called_up<K: Keep>(
        &self,
        events: impl Stream<Item = watcher::Result<Event<Kept<K>>>> + Send + 'static,
        matters: impl Fn(&Kept<K>) -> bool + Send + 'static,
        turn: impl Fn(&Kept<K>) -> Turn + Send + 'static,
    ) -> impl Stream<Item = watcher::Result<Kept<K>>> + Send + 'static {
        let sweep = self.clone();
        events.filter_map(move |event| {
            future::ready(match event {
                Ok(Event::Apply(row)) => matters(&row).then_some(Ok(row)),
                Ok(Event::InitApply(row)) => sweep.is_called_up(&row, &turn).then_some(Ok(row)),
                Ok(Event::Delete(_) | Event::Init | Event::InitDone) => None,
                Err(error) => Some(Err(error)),
            })
        })
    }

    /// The same for all that are kept, whenever something begins.
    pub fn beginnings<K: Keep>(
        &self,
        begins: impl Stream<Item = ()> + Send + 'static,
        known: Store<Kept<K>>,
        turn: impl Fn(&Kept<K>) -> Turn + Send + 'static,
    ) -> impl Stream<Item = ObjectRef<Kept<K>>> + Send + 'static {
        let sweep = self.clone();
        begins.flat_map(move |()| stream::iter(sweep.call_up(&known.state(), &turn)))
    }

    /// Of these objects those whose turn is now.
    pub fn call_up<'a, K: Keep>(&self, rows: impl IntoIterator<Item = &'a Arc<Kept<K>>>, turn: impl Fn(&Kept<K>) -> Turn) -> Vec<ObjectRef<Kept<K>>> {
        let called_up = rows.into_iter().filter(|row| self.is_called_up(row, &turn));
        called_up.map(|row| ObjectRef::from_obj(row.as_ref())).collect()
    }

    fn is_called_up<K: Keep>(&self, row: &Kept<K>, turn: impl Fn(&Kept<K>) -> Turn) -> bool {
        match turn(row) {
            Turn::Now => true,
            Turn::Later => {
                self.add(&row.name_any());
                false
            }
            Turn::Never => false,
        }
    }

    fn locked<T>(&self, use_state: impl FnOnce(&mut State) -> T) -> T {
        use_state(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::kept::Packer;
    use crds::GraphExecution;
    use kube::runtime::reflector;
    use serde_json::json;

    type Looked = Outcome<GraphExecution, std::io::Error, std::io::Error>;

    fn over(name: &str) -> Looked {
        Ok((ObjectRef::new(name), Action::await_change()))
    }

    fn gone(name: &str) -> Looked {
        let object = ObjectRef::<Kept<GraphExecution>>::new(name).erase();
        Err(controller::Error::ObjectNotFound(Box::new(object)))
    }

    fn execution(name: &str) -> Kept<GraphExecution> {
        let execution = json!({
            "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution",
            "metadata": {"name": name, "namespace": "n"}, "spec": {"platformRef": {"name": "p"}, "graph": {}},
        });
        Packer::default().pack(serde_json::from_value(execution).unwrap()).unwrap()
    }

    /// By the beginning of the name.
    fn turn(row: &Kept<GraphExecution>) -> Turn {
        match row.name_any().split_once('-') {
            Some(("now", _)) => Turn::Now,
            Some(("later", _)) => Turn::Later,
            _ => Turn::Never,
        }
    }

    /// Takes turns until there is none, which a few wake-ups tell.
    async fn taken(turns: &mut (impl Stream<Item = Box<str>> + Unpin)) -> Vec<Box<str>> {
        let mut names = Vec::new();
        for _ in 0..=2 * WIDTH {
            match futures::poll!(turns.next()) {
                std::task::Poll::Ready(Some(name)) => names.push(name),
                std::task::Poll::Ready(None) => break,
                std::task::Poll::Pending => tokio::task::yield_now().await,
            }
        }
        names
    }

    #[tokio::test]
    async fn a_few_are_under_way_and_each_that_ends_makes_room() {
        let sweep = Sweep::default();
        let mut turns = Box::pin(sweep.turns());
        for number in 0..WIDTH + 2 {
            sweep.add(&format!("{number:03}"));
            sweep.add(&format!("{number:03}"));
        }
        assert_eq!(taken(&mut turns).await.len(), WIDTH);
        sweep.hear(&over("nobody"));
        assert_eq!(taken(&mut turns).await.len(), 0);
        sweep.hear(&over("000"));
        sweep.hear(&over("000"));
        assert_eq!(taken(&mut turns).await.len(), 1);
        sweep.hear(&gone("001"));
        assert_eq!(taken(&mut turns).await.len(), 1);
        sweep.hear(&over("002"));
        assert_eq!(taken(&mut turns).await.len(), 0, "nobody waits");
        sweep.add("000");
        assert_eq!(taken(&mut turns).await.len(), 1, "again");
    }

    #[tokio::test]
    async fn others_have_their_turn_in_between() {
        let sweep = Sweep::default();
        for number in 0..2 * STRIDE {
            sweep.add(&number.to_string());
        }
        let mut turns = Box::pin(sweep.turns());
        let mut in_a_row = 0;
        while futures::poll!(turns.next()).is_ready() {
            in_a_row += 1;
        }
        assert!(in_a_row < STRIDE, "{in_a_row}");
    }

    #[tokio::test]
    async fn what_rests_is_not_called_up_by_a_list_but_by_a_change() {
        let sweep = Sweep::default();
        let said = [
            Event::Init,
            Event::InitApply(execution("later-1")),
            Event::InitApply(execution("now-1")),
            Event::InitApply(execution("never-1")),
            Event::InitDone,
            Event::Apply(execution("later-2")),
            Event::Apply(execution("echo-1")),
            Event::Delete(execution("now-2")),
        ];
        let matters = |row: &Kept<GraphExecution>| row.name_any() != "echo-1";
        let called_up = sweep.called_up(stream::iter(said.map(Ok)), matters, turn);
        let names: Vec<String> = called_up.map(|row| row.unwrap().name_any()).collect().await;
        assert_eq!(names, ["now-1", "later-2"]);
        assert_eq!(taken(&mut Box::pin(sweep.turns())).await, [Box::from("later-1")]);
    }

    #[tokio::test]
    async fn a_beginning_calls_up_what_does_not_rest() {
        let (store, mut writer) = reflector::store();
        writer.apply_watcher_event(&Event::Init);
        for name in ["later-1", "now-1", "never-1"] {
            writer.apply_watcher_event(&Event::InitApply(execution(name)));
        }
        writer.apply_watcher_event(&Event::InitDone);
        let sweep = Sweep::default();
        let called_up = sweep.beginnings(stream::once(future::ready(())), store, turn);
        let names: Vec<String> = called_up.map(|object| object.name).collect().await;
        assert_eq!(names, ["now-1"]);
        assert_eq!(taken(&mut Box::pin(sweep.turns())).await, [Box::from("later-1")]);
    }
}
