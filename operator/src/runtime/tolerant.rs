//! A watch that one malformed object does not stop.
//!
//! The schemas refuse what cannot be read, but a definition of another release, or one that somebody relaxed, may let it in, and then the
//! list of all objects cannot be read either. Reading every object with care costs several times as much, so it begins when it must.

use std::fmt::Debug;

use futures::{Stream, StreamExt, future, stream};
use k8s_openapi::NamespaceResourceScope;
use kube::Resource;
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Event, watcher};
use serde::de::DeserializeOwned;

/// Watches as [`watcher`] does; from the first object on that cannot be read, each such object is passed over with a warning. An object that
/// was readable before stays known as it was.
pub fn tolerant<K>(api: Api<K>, config: watcher::Config) -> impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let namespace = api.namespace().unwrap_or_default().to_owned();
    let careful: Api<DeserializeGuard<K>> = Api::namespaced(api.clone().into_client(), &namespace);
    let strict = watcher(api, config.clone()).boxed();
    let careful = watcher(careful, config).filter_map(|event| future::ready(readable(event))).boxed();
    stream::unfold((strict, Some(careful)), async |(mut events, mut careful)| {
        let mut event = events.next().await?;
        if event.as_ref().is_err_and(is_malformed)
            && let Some(careful) = careful.take()
        {
            tracing::warn!(kind = %K::kind(&()), "an object cannot be read: such objects are passed over from now on");
            events = careful;
            event = events.next().await?;
        }
        Some((event, (events, careful)))
    })
}

fn is_malformed(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    matches!(
        error,
        InitialListFailed(kube::Error::SerdeError(_)) | WatchStartFailed(kube::Error::SerdeError(_)) | WatchFailed(kube::Error::SerdeError(_))
    )
}

/// The event, unless it is about an object that cannot be read.
fn readable<K: Resource<DynamicType = ()>>(event: watcher::Result<Event<DeserializeGuard<K>>>) -> Option<watcher::Result<Event<K>>> {
    let event = match event {
        Ok(event) => event,
        Err(error) => return Some(Err(error)),
    };
    let read = |object: DeserializeGuard<K>| match object.0 {
        Ok(object) => Some(object),
        Err(invalid) => {
            let (name, error) = (invalid.metadata.name.unwrap_or_default(), invalid.error);
            tracing::warn!(kind = %K::kind(&()), %name, %error, "passed over: correct or delete the object");
            None
        }
    };
    Some(Ok(match event {
        Event::Apply(object) => Event::Apply(read(object)?),
        Event::Delete(object) => Event::Delete(read(object)?),
        Event::InitApply(object) => Event::InitApply(read(object)?),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    }))
}
