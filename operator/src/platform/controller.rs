//! The pipeline for one platform, and the loop that feeds it.

use std::sync::Arc;
use std::time::Duration;

use crds::conditions::reason;
use crds::platform::PlatformStatus;
use crds::{AutoGPTPlatform, GROUP, VERSION};
use futures::{StreamExt, future, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, PartialObjectMeta, Patch, PatchParams};
use kube::runtime::controller::{self, Action};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;

use ::runtime::Shutdown;

use crate::config::DefaultImages;
use crate::platform::live::{Caches, Live};
use crate::platform::{act, build, dereference, live, rollout, status, validate};
use crate::runtime::apply::ApplyError;
use crate::runtime::cache::{self, hear_outcome};
use crate::runtime::connection::{Reconnect, watching};
use crate::runtime::events::{Events, MANAGER};
use crate::runtime::leadership::Leadership;
use crate::runtime::metrics::{self, OperatorMetrics};
use crate::runtime::refusal::refusal;
use crate::runtime::retries::{Cause, Retries};
use crate::runtime::time;

const LABEL: metrics::Controller = metrics::Controller { controller: "platform" };
/// Watches are not normally missed; this is for when one was.
const RESYNC: Duration = Duration::from_secs(600);
/// Changes within so short a time are looked at together.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// Why one look at a platform failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the Secrets cannot be read: {0}")]
    Secrets(#[source] Box<kube::Error>),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error("the status cannot be written: {0}")]
    Status(#[source] Box<kube::Error>),
}

impl Error {
    /// What the API server was asked for, and what came of it.
    fn asked(&self) -> Option<(String, &kube::Error)> {
        match self {
            Self::Secrets(error) => Some(("the Secrets cannot be read".to_owned(), error)),
            Self::Apply(ApplyError::Refused { what, source }) => Some((format!("{what} was refused"), source)),
            Self::Status(error) => Some(("the status was refused".to_owned(), error)),
            Self::Apply(ApplyError::Unwritable { .. }) => None,
        }
    }

    fn cause(&self) -> Cause {
        self.asked().map_or(Cause::Refused, |(_, error)| Cause::of(error))
    }
}

/// What a look needs.
pub struct Context {
    pub client: Client,
    pub caches: Caches,
    pub images: DefaultImages,
    pub events: Events,
    pub metrics: OperatorMetrics,
    pub retries: Retries,
    pub leadership: Leadership,
}

/// Keeps the platforms of one namespace until the shutdown.
pub async fn run(
    client: Client,
    namespace: String,
    images: DefaultImages,
    events: Events,
    metrics: OperatorMetrics,
    leadership: Leadership,
    shutdown: Shutdown,
) {
    let (caches, triggers) = live::watch(&client, &namespace);
    let gateway_api = caches.http_routes.changes();
    let platforms: Api<AutoGPTPlatform> = Api::namespaced(client.clone(), &namespace);
    let (known, events_of_platforms) = cache::watch(platforms, watching(), |_| {});
    let store = known.store();
    let controller = Controller::for_stream(events_of_platforms.applied_objects(), store.clone());
    let context = Arc::new(Context {
        client: client.clone(),
        caches,
        images,
        events,
        metrics,
        retries: Retries::default(),
        leadership: leadership.clone(),
    });
    controller
        // A roll-out changes many objects at once: one look for all of them.
        .with_config(controller::Config::default().debounce(DEBOUNCE))
        .reconcile_on(triggers)
        .reconcile_on(secret_changes(&client, &namespace, store))
        .reconcile_all_on(leadership.begins())
        .reconcile_all_on(gateway_api)
        .graceful_shutdown_on(async move { shutdown.cancelled().await })
        .run(reconcile, on_error, context)
        .for_each(|outcome| {
            hear_outcome("AutoGPTPlatform", &outcome);
            future::ready(())
        })
        .await;
}

/// A Secret that changes may matter to every platform of its namespace. Only names are watched, never contents.
fn secret_changes(
    client: &Client,
    namespace: &str,
    platforms: Store<AutoGPTPlatform>,
) -> impl futures::Stream<Item = ObjectRef<AutoGPTPlatform>> + Send + 'static {
    let api: Api<PartialObjectMeta<Secret>> = Api::namespaced(client.clone(), namespace);
    watcher(api, watching())
        .backoff(Reconnect::default())
        .touched_objects()
        .filter_map(|change| async move { change.ok() })
        .flat_map(move |secret| {
            let name = secret.name_any();
            let concerned: Vec<_> = platforms
                .state()
                .iter()
                .filter(|platform| dereference::secret_names(platform).contains(&name))
                .map(|platform| ObjectRef::from_obj(platform.as_ref()))
                .collect();
            stream::iter(concerned)
        })
}

fn on_error(platform: Arc<AutoGPTPlatform>, error: &Error, context: Arc<Context>) -> Action {
    context.metrics.errors.get_or_create(&LABEL).inc();
    let wait = context.retries.next(&platform.name_any(), error.cause());
    tracing::warn!(platform = %platform.name_any(), %error, retry_in = ?wait, "the platform could not be brought to its wanted state");
    Action::requeue(wait)
}

/// One look: guard → observe → decide → act → report.
async fn reconcile(platform: Arc<AutoGPTPlatform>, context: Arc<Context>) -> Result<Action, Error> {
    if !context.leadership.holds() {
        return Ok(Action::await_change());
    }
    context.metrics.reconciles.get_or_create(&LABEL).inc();
    context.caches.ready().await;
    if platform.metadata.deletion_timestamp.is_some() {
        // Owner references take everything with it.
        return Ok(Action::await_change());
    }
    let next = match Box::pin(bring_about(&platform, &context)).await {
        Ok(status) => status,
        Err(error) => {
            say(&platform, &error, &context).await;
            return Err(error);
        }
    };
    write_status(&platform, next, &context).await?;
    context.retries.reset(&platform.name_any());
    Ok(Action::requeue(RESYNC))
}

/// Has the platform say what the API server refuses.
async fn say(platform: &AutoGPTPlatform, error: &Error, context: &Context) {
    let Some((what, refusal)) = error.asked().and_then(|(what, error)| Some((what, refusal(error)?))) else {
        return;
    };
    let message = refusal.of(&what);
    let why = match error {
        Error::Apply(_) => reason::APPLY_REFUSED,
        Error::Secrets(_) | Error::Status(_) => refusal.reason,
    };
    context.events.warning(platform, why, message.clone());
    if context.retries.may_say(&platform.name_any(), platform.metadata.generation) {
        let next = status::not_applied(platform, why, message, &time::now());
        if let Err(error) = write_status(platform, next, context).await {
            tracing::debug!(platform = %platform.name_any(), %error, "the refusal is in the events only");
        }
    }
}

async fn bring_about(platform: &AutoGPTPlatform, context: &Context) -> Result<PlatformStatus, Error> {
    let now = time::now();
    let client = &context.client;
    let mut found = dereference::dereference(client, platform)
        .await
        .map_err(|error| Error::Secrets(Box::new(error)))?;
    let mut validated = match validate::validate(platform, &found, &context.images) {
        Ok(validated) => validated,
        Err(problems) => {
            let status = status::refused(platform, &problems, &now);
            return Ok(if platform.spec.paused {
                status::paused(platform, status, &now)
            } else {
                status
            });
        }
    };
    if !platform.spec.paused && validated.generated.iter().any(|(_, _, missing)| *missing) {
        let done = act::generate_secrets(client, &validated).await?;
        tell(platform, &done, context);
        found = dereference::dereference(client, platform)
            .await
            .map_err(|error| Error::Secrets(Box::new(error)))?;
        validated = match validate::validate(platform, &found, &context.images) {
            Ok(validated) => validated,
            Err(problems) => return Ok(status::refused(platform, &problems, &now)),
        };
    }
    let wanted = build::build(&validated);
    let live: Live = context.caches.of(&platform.name_any());
    let observed = rollout::observe(&wanted, &live);
    let decision = rollout::decide(&observed);
    let status = status::of(platform, &validated, &wanted, &live, &observed, &decision, &now);
    if platform.spec.paused {
        return Ok(status::paused(platform, status, &now));
    }
    let done = act::act(client, &validated, &found, &wanted, &live, &decision).await?;
    tell(platform, &done, context);
    Ok(status)
}

fn tell(platform: &AutoGPTPlatform, done: &act::Done, context: &Context) {
    context.metrics.writes.get_or_create(&LABEL).inc_by(done.writes() as u64);
    for (reason, list) in [("Created", &done.created), ("Updated", &done.updated), ("Removed", &done.removed)] {
        if !list.is_empty() {
            tracing::info!(platform = %platform.name_any(), objects = %list.join(", "), "{}", reason.to_lowercase());
            context.events.normal(platform, reason, list.join(", "));
        }
    }
    if !done.reverted.is_empty() {
        let note = format!("changed by somebody else, now as wanted again: {}", done.reverted.join("; "));
        context.events.warning(platform, "DriftReverted", note);
    }
}

async fn write_status(platform: &AutoGPTPlatform, next: PlatformStatus, context: &Context) -> Result<(), Error> {
    if platform.status.as_ref() == Some(&next) {
        return Ok(());
    }
    let api: Api<AutoGPTPlatform> = Api::namespaced(context.client.clone(), &platform.namespace().unwrap_or_default());
    let patch = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "AutoGPTPlatform",
        "metadata": {"name": platform.name_any(), "uid": platform.uid()},
        "status": next,
    });
    context.metrics.writes.get_or_create(&LABEL).inc();
    match api
        .patch_status(&platform.name_any(), &PatchParams::apply(MANAGER).force(), &Patch::Apply(&patch))
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(Error::Status(Box::new(error))),
    }
}
