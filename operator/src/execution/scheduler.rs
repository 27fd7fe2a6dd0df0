//! The way to a platform's scheduler service.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::runtime::Settings;
use crds::AutoGPTPlatform;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::{Client, ResourceExt};
use rpc::services::SchedulerClient;
use tokio::time::Instant;

use crate::config::Config;
use crate::platform::validate::{KEY_RPC_TOKEN, Names};

/// Why there is no way.
#[derive(Debug, thiserror::Error)]
pub enum WayError {
    #[error("Secret {0} is not there yet: the platform is being set up")]
    NoToken(String),
    #[error("Secret {name} cannot be read: {source}")]
    Unreadable { name: String, source: Box<kube::Error> },
    #[error("the token in Secret {name} cannot be used: {why}; delete the Secret to have it made anew")]
    BadToken { name: String, why: String },
}

/// A token is read again after so long, by one of those who need it,
const FRESH: Duration = Duration::from_secs(5);
/// and by all of them when that did not succeed for so long.
const STALE: Duration = Duration::from_secs(20);

/// Makes clients of platforms' scheduler services. Cheap to clone; clones share the clients and their connections.
#[derive(Clone)]
pub struct Ways {
    client: Client,
    config: Arc<Config>,
    known: Arc<Mutex<Known>>,
}

/// The ways that were used last, by UID of the platform.
#[derive(Default)]
struct Known(HashMap<String, Way>);

struct Way {
    token: String,
    scheduler: SchedulerClient,
    read: Instant,
    /// When somebody began to read the token again.
    asked: Instant,
}

impl Known {
    /// The way to this platform, unless the caller is to read its token.
    fn get(&mut self, uid: &str, now: Instant) -> Option<SchedulerClient> {
        let way = self.0.get_mut(uid).filter(|way| now - way.read < STALE)?;
        if now - way.asked >= FRESH {
            way.asked = now;
            return None;
        }
        Some(way.scheduler.clone())
    }

    /// Takes note of a token; a way with the same one stays as it is.
    fn put(&mut self, uid: &str, token: &str, now: Instant, make: impl FnOnce() -> SchedulerClient) -> SchedulerClient {
        self.0.retain(|_, way| now - way.read < STALE);
        let known = self.0.remove(uid).filter(|way| way.token == token);
        let way = Way {
            token: token.to_owned(),
            scheduler: known.map_or_else(make, |way| way.scheduler),
            read: now,
            asked: now,
        };
        self.0.entry(uid.to_owned()).insert_entry(way).get().scheduler.clone()
    }
}

impl Ways {
    pub fn new(client: Client, config: Arc<Config>) -> Self {
        Self {
            client,
            config,
            known: Arc::default(),
        }
    }

    /// A client with the platform's token, as it was some seconds ago at most unless it cannot be read. Every call is tried once: retrying is
    /// the controller's.
    pub async fn to(&self, platform: &AutoGPTPlatform) -> Result<SchedulerClient, WayError> {
        let uid = platform.uid().unwrap_or_default();
        if let Some(scheduler) = self.locked(|known| known.get(&uid, Instant::now())) {
            return Ok(scheduler);
        }
        let (name, namespace) = (platform.name_any(), platform.namespace().unwrap_or_default());
        let secret = Names::new(&name).rpc_token();
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &namespace);
        let found = api.get_opt(&secret).await.map_err(|source| WayError::Unreadable {
            name: secret.clone(),
            source: Box::new(source),
        })?;
        let token = found.and_then(|found| found.data).and_then(|mut data| data.remove(KEY_RPC_TOKEN));
        let token = token.ok_or_else(|| WayError::NoToken(secret.clone()))?;
        let bad = |why: String| WayError::BadToken { name: secret.clone(), why };
        let token = String::from_utf8(token.0).map_err(|error| bad(error.to_string()))?;
        let settings = Settings::from_pairs([("INTERNAL_RPC_TOKEN", token.trim())]).map_err(|error| bad(error.to_string()))?;
        let make = || SchedulerClient::at(self.config.scheduler_url(&name, &namespace), &settings).without_retries();
        Ok(self.locked(|known| known.put(&uid, &token, Instant::now(), make)))
    }

    fn locked<T>(&self, use_known: impl FnOnce(&mut Known) -> T) -> T {
        use_known(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_reads_a_token_again_and_the_others_need_not_wait() {
        ::runtime::install_tls_provider();
        let make = || SchedulerClient::at("http://127.0.0.1:9", &Settings::from_pairs([("INTERNAL_RPC_TOKEN", "t")]).unwrap());
        let (mut known, begun) = (Known::default(), Instant::now());
        let after = |time: Duration| begun + time;
        assert!(known.get("p", begun).is_none(), "nobody has read it");
        known.put("p", "t", begun, make);
        assert!(known.get("p", begun).is_some() && known.get("q", begun).is_none());
        assert!(
            known.get("p", after(FRESH)).is_none() && known.get("p", after(FRESH)).is_some(),
            "one of them"
        );
        assert!(
            known.get("p", after(STALE)).is_none() && known.get("p", after(STALE)).is_none(),
            "it cannot be read"
        );
        known.put("p", "t", after(FRESH), || panic!("the same token has the same way"));
        let mut made = false;
        known.put("p", "another", after(FRESH), || {
            made = true;
            make()
        });
        assert!(made, "another token has another way");
        known.put("q", "t", after(FRESH + STALE), make);
        assert_eq!(known.0.len(), 1, "a platform that nobody asks for is forgotten");
    }
}
