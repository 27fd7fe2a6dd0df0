//! The way to a platform's scheduler service.

use std::sync::Arc;

use ::runtime::Settings;
use crds::AutoGPTPlatform;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::{Client, ResourceExt};
use rpc::services::SchedulerClient;

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

/// Makes clients of platforms' scheduler services.
#[derive(Clone)]
pub struct Ways {
    client: Client,
    config: Arc<Config>,
}

impl Ways {
    pub fn new(client: Client, config: Arc<Config>) -> Self {
        Self { client, config }
    }

    /// A client with the platform's present token. Every call is tried once: retrying is the controller's.
    pub async fn to(&self, platform: &AutoGPTPlatform) -> Result<SchedulerClient, WayError> {
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
        Ok(SchedulerClient::at(self.config.scheduler_url(&name, &namespace), &settings).without_retries())
    }
}
