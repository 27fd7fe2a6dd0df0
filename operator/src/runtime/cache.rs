//! A watched kind in memory, and the stream of its changes.

use std::fmt::Debug;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{Stream, StreamExt, future, stream};
use k8s_openapi::NamespaceResourceScope;
use kube::api::Api;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, controller, utils, watcher};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::runtime::connection::Reconnect;
use crate::runtime::kept::{Keep, Kept, Packer};
use crate::runtime::tolerant::tolerant;

/// A watched kind in memory. Cheap to clone.
#[derive(Clone)]
pub struct Cache<K: Resource<DynamicType = ()> + Clone + 'static> {
    store: Store<K>,
    filled: watch::Receiver<bool>,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Cache<K> {
    /// Of a store that somebody else fills.
    #[cfg(test)]
    pub fn of(store: Store<K>) -> Self {
        Self {
            store,
            filled: watch::channel(true).1,
        }
    }

    /// The store itself.
    pub fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// Waits until it has been filled once.
    ///
    /// Not by `Store::wait_until_ready`: that wakes only the last of several who wait at the same time.
    pub async fn ready(&self) {
        // An error means that everything ends.
        let _ = self.filled.clone().wait_for(|filled| *filled).await;
    }
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Deref for Cache<K> {
    type Target = Store<K>;
    fn deref(&self) -> &Store<K> {
        &self.store
    }
}

/// Starts watching. The stream yields every object that changed or went, and must be polled for the cache to follow.
pub fn cache<K>(api: Api<K>, config: watcher::Config) -> (Cache<K>, impl Stream<Item = Result<K, watcher::Error>> + Send + 'static)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let (cache, events) = watch(api, config, without_writers);
    (cache, events.touched_objects())
}

/// Starts watching; what `slim` leaves of an object is kept and handed on. The stream yields what the watch says, and must be polled for the
/// cache to follow.
pub fn watch<K>(
    api: Api<K>,
    config: watcher::Config,
    slim: fn(&mut K),
) -> (Cache<K>, impl Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send + 'static)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let (cache, events) = reflected(tolerant(api, config).backoff(Reconnect::default()).modify(slim));
    (cache, without_errors(events, Complaint::about(K::kind(&()).into_owned())))
}

/// Reports errors and passes everything else on. Whoever reads must not hear of them: [`kube::runtime::Controller`] answers each with a
/// longer pause of all that it listens to, and this watch is tried again by itself.
fn without_errors<K: Send + 'static>(
    events: impl Stream<Item = Said<K>> + Send + 'static,
    mut complaint: Complaint,
) -> impl Stream<Item = Said<K>> + Send + 'static {
    events.filter(move |event| {
        complaint.hear_event(event);
        future::ready(event.is_ok())
    })
}

/// What a watch says.
type Said<K> = watcher::Result<watcher::Event<K>>;

/// Starts watching a kind of which there may be many: what is kept of an object and handed on is [`Kept`]. The stream yields what the watch
/// says, and must be polled for the cache to follow.
pub fn keep<K: Keep>(api: Api<K>, config: watcher::Config) -> (Cache<Kept<K>>, impl Stream<Item = Said<Kept<K>>> + Send + 'static) {
    let mut packer = Packer::default();
    let packed = tolerant(api, config.page_size(PAGE))
        .backoff(Reconnect::default())
        .filter_map(move |event| future::ready(packed(&mut packer, event)));
    let (cache, events) = reflected(packed);
    (cache, without_errors(events, Complaint::about(K::kind(&()).into_owned())))
}

/// Objects in one answer to a list: so many are there whole at a time.
const PAGE: u32 = 250;

/// The event with the object packed.
fn packed<K: Keep>(packer: &mut Packer, event: Said<K>) -> Option<Said<Kept<K>>> {
    use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
    let mut pack = |object: K| {
        let name = object.name_any();
        // Nothing that could be read cannot be written.
        let packed = packer.pack(object);
        packed
            .inspect_err(|error| tracing::error!(kind = %K::kind(&()), name, %error, "passed over"))
            .ok()
    };
    Some(match event {
        Ok(Apply(object)) => Ok(Apply(pack(object)?)),
        Ok(Delete(object)) => Ok(Delete(pack(object)?)),
        Ok(InitApply(object)) => Ok(InitApply(pack(object)?)),
        Ok(Init) => Ok(Init),
        Ok(InitDone) => Ok(InitDone),
        Err(error) => Err(error),
    })
}

/// Writes what the stream says into a cache, and passes it on when the cache shows it.
///
/// A list comes in pages, and the cache shows it when the last one is there. Who is told of an object before that does not find it, or finds
/// it as it was, and is not told again. So a list is passed on behind its end; and with it, as deleted, what went while nobody watched.
fn reflected<K>(events: impl Stream<Item = Said<K>> + Send + 'static) -> (Cache<K>, impl Stream<Item = Said<K>> + Send + 'static)
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    use watcher::Event::{Delete, InitApply, InitDone};
    let (store, mut writer) = reflector::store();
    let (fill, filled) = watch::channel(false);
    let shown = store.clone();
    let events = events.flat_map(move |event| {
        let listed = matches!(event, Ok(InitDone));
        let before = if listed { shown.state() } else { Vec::new() };
        if let Ok(event) = &event {
            writer.apply_watcher_event(event);
        }
        let after = if listed { shown.state() } else { Vec::new() };
        let shown = shown.clone();
        let is_gone = move |object: &Arc<K>| shown.get(&ObjectRef::from_obj(object.as_ref())).is_none();
        let went = before.into_iter().filter(is_gone).map(|object| Delete(Arc::unwrap_or_clone(object)));
        let there = after.into_iter().map(|object| InitApply(Arc::unwrap_or_clone(object)));
        let itself = Some(event).filter(|event| !matches!(event, Ok(InitApply(_))));
        stream::iter(went.chain(there).map(Ok).chain(itself))
    });
    let events = events.inspect(move |event| {
        if matches!(event, Ok(InitDone)) {
            fill.send_replace(true);
        }
    });
    (Cache { store, filled }, events)
}

/// Whether a kind is there that a cluster need not have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Served {
    /// Nothing has been heard yet.
    #[default]
    Unknown,
    Yes,
    /// Its definition or the right to read it is missing; in words.
    No(String),
}

/// A watched kind that a cluster need not have. Where it is missing, it is asked for again every half minute. Cheap to clone.
#[derive(Clone)]
pub struct Optional<K: Resource<DynamicType = ()> + Clone + 'static> {
    cache: Cache<K>,
    served: watch::Receiver<Served>,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Optional<K> {
    /// Whether it is there.
    pub fn served(&self) -> Served {
        self.served.borrow().clone()
    }

    /// Waits until it has been filled once, or is known to be missing.
    pub async fn settled(&self) {
        // An error means that everything ends.
        let _ = self.served.clone().wait_for(|served| *served != Served::Unknown).await;
    }

    /// Yields whenever it appears or goes.
    pub fn changes(&self) -> impl Stream<Item = ()> + Send + 'static {
        stream::unfold(self.served.clone(), |mut served| async move {
            served.changed().await.ok()?;
            Some(((), served))
        })
    }
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Deref for Optional<K> {
    type Target = Store<K>;
    fn deref(&self) -> &Store<K> {
        &self.cache.store
    }
}

/// As [`cache`], for a kind that a cluster need not have.
pub fn optional<K>(api: Api<K>, config: watcher::Config) -> (Optional<K>, impl Stream<Item = Result<K, watcher::Error>> + Send + 'static)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let (tell, served) = watch::channel(Served::Unknown);
    let mut complaint = Complaint::about(K::kind(&()).into_owned());
    let patience = Patience::default();
    let is_missing = patience.missing.clone();
    let events = tolerant(api, config).inspect(move |event| {
        if event.as_ref().is_err_and(|error| missing(error).is_some()) {
            is_missing.store(true, Ordering::Relaxed);
        }
    });
    let (cache, events) = reflected(events.backoff(patience).modify(without_writers));
    let events = events.inspect(move |event| {
        let next = match event {
            Ok(watcher::Event::InitDone) => Served::Yes,
            Err(error) if let Some(why) = missing(error) => Served::No(why),
            // A server that does not answer says nothing about what it has.
            _ => return complaint.hear_event(event),
        };
        tell.send_if_modified(|before| {
            let changed = *before != next;
            if changed {
                tracing::info!(kind = %K::kind(&()), served = ?next, "a kind that a cluster need not have");
                *before = next;
            }
            changed
        });
    });
    (Optional { cache, served }, events.touched_objects())
}

/// A kind that is missing is asked for again after so long.
const MISSING: Duration = Duration::from_secs(30);

/// When a kind that may be missing is asked for again: that may stay so, which a server that does not answer does not.
#[derive(Default)]
struct Patience {
    reconnect: Reconnect,
    missing: Arc<AtomicBool>,
}

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = self.reconnect.next();
        if self.missing.swap(false, Ordering::Relaxed) {
            Some(MISSING)
        } else {
            wait
        }
    }
}

impl utils::Backoff for Patience {
    fn reset(&mut self) {
        self.reconnect.reset();
    }
}

/// Why a kind cannot be watched, when the server says that it does not have it or does not show it.
fn missing(error: &watcher::Error) -> Option<String> {
    let (watcher::Error::InitialListFailed(kube::Error::Api(status)) | watcher::Error::WatchStartFailed(kube::Error::Api(status))) = error else {
        return None;
    };
    match status.code {
        404 => Some("its definition is not installed".to_owned()),
        403 => Some(format!("the operator may not read it: {}", status.message.trim())),
        _ => None,
    }
}

/// The history of who wrote which field is half of an object and read by nobody here.
pub fn without_writers<K: Resource>(object: &mut K) {
    object.meta_mut().managed_fields = None;
}

/// Says once that a kind cannot be watched, and once that it can again.
pub struct Complaint {
    what: String,
    made: bool,
}

impl Complaint {
    /// Nothing is wrong yet.
    pub fn about(what: String) -> Self {
        Self { what, made: false }
    }

    /// Takes note of what a watch says. That it begins says nothing about whether it can.
    pub fn hear_event<K>(&mut self, event: &Said<K>) {
        if !matches!(event, Ok(watcher::Event::Init)) {
            self.hear(event.as_ref().err());
        }
    }

    fn hear(&mut self, error: Option<&watcher::Error>) {
        match error {
            Some(error) if !self.made => {
                tracing::warn!(kind = %self.what, %error, "cannot be watched, trying again; check that its definition and the operator's rights are there");
            }
            None if self.made => tracing::info!(kind = %self.what, "is watched again"),
            _ => {}
        }
        self.made = error.is_some();
    }
}

/// Takes note of how a look ended. Errors are reported where they happen; what is left is about objects that are gone.
pub fn hear_outcome<T, E: std::error::Error, Q: std::error::Error>(kind: &str, outcome: &Result<T, controller::Error<E, Q>>) {
    if let Err(error) = outcome {
        tracing::debug!(kind, %error, "a look ended with an error");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;

    #[tokio::test]
    async fn everybody_who_waits_is_woken() {
        let (fill, filled) = watch::channel(false);
        let cache = Cache::<ConfigMap> {
            store: reflector::store().0,
            filled,
        };
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let cache = cache.clone();
                tokio::spawn(async move { cache.ready().await })
            })
            .collect();
        tokio::task::yield_now().await;
        fill.send_replace(true);
        for task in waiting {
            tokio::time::timeout(Duration::from_secs(5), task).await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn who_is_told_of_something_finds_it_as_it_is_told() {
        use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
        let map = |name: &str, version: &str| -> ConfigMap {
            serde_json::from_value(serde_json::json!({"metadata": {"name": name, "namespace": "n", "resourceVersion": version}})).unwrap()
        };
        let said = [
            Init,
            InitApply(map("stays", "1")),
            InitApply(map("goes", "1")),
            InitDone,
            Apply(map("stays", "2")),
            Init,
            InitApply(map("stays", "3")),
            InitApply(map("comes", "3")),
            InitDone,
            Delete(map("stays", "4")),
        ];
        let (cache, events) = reflected(stream::iter(said.map(Ok)));
        let mut events = Box::pin(events);
        let (mut lists, mut told) = (0, Vec::new());
        while let Some(event) = events.next().await {
            let (what, object) = match event.unwrap() {
                Apply(object) | InitApply(object) => ("is", object),
                Delete(object) => ("went", object),
                Init => continue,
                InitDone => {
                    lists += 1;
                    continue;
                }
            };
            let found = cache.get(&ObjectRef::from_obj(&object));
            let expected = (what == "is").then_some(&object);
            assert_eq!(found.as_deref(), expected, "{what}");
            told.push(format!("{lists} {what} {}", object.name_any()));
        }
        told.sort();
        let expected = [
            "0 is goes",
            "0 is stays",
            "1 is comes",
            "1 is stays",
            "1 is stays",
            "1 went goes",
            "2 went stays",
        ];
        assert_eq!(told, expected, "a list is told behind its pages and before its end");
    }
}
