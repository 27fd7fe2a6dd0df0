//! The platform's copy of a Secret goes when the Secret goes, or is no longer labelled as one for runs: who takes a key away wants it gone.
//!
//! What the platforms have is compared with what is there, so a Secret that went while nobody watched is noticed as well. The end of an
//! execution changes nothing: others may name the same Secret.

use std::collections::BTreeSet;
use std::time::Duration;

use crds::{AutoGPTPlatform, LABEL_CREDENTIAL};
use futures::{Stream, StreamExt, future};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams, PartialObjectMeta};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use model::credentials::CredentialCopy;
use rpc::RpcError;
use rpc::services::Scheduler;
use tokio::time::{Instant, sleep_until};

use crate::Shared;
use crate::execution::credentials;
use crate::execution::scheduler::{WayError, Ways};
use crate::runtime::cache::{Cache, Complaint};
use crate::runtime::connection::{Reconnect, watching};
use crate::runtime::leadership::Leadership;

/// A Secret that is deleted and made anew within this time was there all the while.
const GRACE: Duration = Duration::from_secs(5);
/// Without any news, platforms and Secrets are compared so often;
const EVERY: Duration = Duration::from_secs(900);
/// after a failure sooner.
const AGAIN: Duration = Duration::from_secs(60);
/// A comparison that takes longer is begun anew.
const PATIENCE: Duration = Duration::from_secs(60);
/// Secrets in one answer.
const PAGE: u32 = 500;

/// Why the comparison did not come to its end.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Way(#[from] WayError),
    #[error("the platform does not answer: {0}")]
    Platform(#[from] RpcError),
    #[error("the Secrets cannot be listed: {0}")]
    Secrets(#[from] Box<kube::Error>),
}

/// Compares Secrets and copies of one namespace.
pub struct Revocation {
    client: Client,
    namespace: String,
    ways: Ways,
    platforms: Cache<AutoGPTPlatform>,
    leadership: Leadership,
}

impl Revocation {
    pub fn new(shared: &Shared, platforms: Cache<AutoGPTPlatform>) -> Self {
        Self {
            client: shared.client.clone(),
            namespace: shared.namespace.clone(),
            ways: shared.ways.clone(),
            platforms,
            leadership: shared.leadership.clone(),
        }
    }

    /// Until the shutdown.
    pub async fn run(self, stop: ::runtime::Shutdown) {
        let mut losses = std::pin::pin!(self.losses());
        let mut begins = std::pin::pin!(self.leadership.begins());
        let mut next = Instant::now() + GRACE;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(()) = losses.next() => next = next.min(Instant::now() + GRACE),
                Some(()) = begins.next() => next = next.min(Instant::now() + GRACE),
                () = sleep_until(next) => next = Instant::now() + self.compare().await,
            }
        }
    }

    /// Yields when a Secret for runs may have gone.
    fn losses(&self) -> impl Stream<Item = ()> + Send + 'static {
        let api = self.names_of_secrets();
        let mut complaint = Complaint::about("Secret".to_owned());
        watcher(api, watching().labels(LABEL_CREDENTIAL))
            .backoff(Reconnect::default())
            .filter_map(move |event| {
                complaint.hear_event(&event);
                future::ready(matches!(event, Ok(Event::Delete(_) | Event::InitDone)).then_some(()))
            })
    }

    /// Compares; the answer is how long the next comparison has time.
    async fn compare(&self) -> Duration {
        if !self.leadership.holds() {
            return EVERY;
        }
        self.platforms.ready().await;
        let mut wait = EVERY;
        for platform in self.platforms.state() {
            let outcome = tokio::time::timeout(PATIENCE, self.revoke(&platform)).await;
            match outcome {
                Ok(Ok(0) | Err(Error::Way(WayError::NoToken(_)))) => {}
                Ok(Ok(count)) => tracing::info!(
                    platform = platform.name_any(),
                    count,
                    "credentials of Secrets that are gone were forgotten"
                ),
                Ok(Err(error)) => {
                    tracing::debug!(platform = platform.name_any(), %error, "credentials of Secrets that are gone may still be there");
                    wait = AGAIN;
                }
                Err(_) => wait = AGAIN,
            }
        }
        wait
    }

    /// Has a platform forget what came of Secrets that are gone.
    async fn revoke(&self, platform: &AutoGPTPlatform) -> Result<u64, Error> {
        let client = self.ways.to(platform).await?;
        let origins = credentials::origins(&self.namespace);
        let (mut after, mut count) = (None, 0);
        loop {
            let copies = client.list_credential_copies(origins.clone(), after).await?;
            let Some(last) = copies.last() else { return Ok(count) };
            after = Some(last.id);
            // Only now: a Secret that is not there was not there after its copy had been made.
            let gone = gone(copies, &origins, &self.secrets().await?);
            if !gone.is_empty() {
                count += client.forget_credentials(gone).await?;
            }
        }
    }

    /// Never their contents.
    fn names_of_secrets(&self) -> Api<PartialObjectMeta<Secret>> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The Secrets that are for runs.
    async fn secrets(&self) -> Result<BTreeSet<String>, Error> {
        let api = self.names_of_secrets();
        let mut page = ListParams::default().labels(LABEL_CREDENTIAL).limit(PAGE);
        let mut names = BTreeSet::new();
        loop {
            let list = api.list(&page).await.map_err(Box::new)?;
            names.extend(list.iter().map(ResourceExt::name_any));
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(names),
            }
        }
    }
}

/// The copies whose Secret is not there. Pure.
fn gone(copies: Vec<CredentialCopy>, origins: &str, there: &BTreeSet<String>) -> Vec<CredentialCopy> {
    let is_gone = |copy: &CredentialCopy| copy.origin.strip_prefix(origins).is_some_and(|name| !there.contains(name));
    copies.into_iter().filter(is_gone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_copies_of_this_namespace_whose_secret_is_gone_go() {
        let copy = |origin: &str| CredentialCopy {
            id: uuid::Uuid::nil(),
            origin: origin.to_owned(),
            kept: 1,
        };
        let copies = ["Secret/n/a", "Secret/n/b", "Secret/other/b", "user/b"].map(copy).to_vec();
        let there = BTreeSet::from(["a".to_owned()]);
        assert_eq!(gone(copies, &credentials::origins("n"), &there), [copy("Secret/n/b")]);
    }
}
