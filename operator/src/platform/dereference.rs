//! Everything outside the object that its meaning depends on: Secrets that it names or that are its own.

use std::collections::BTreeMap;

use crds::AutoGPTPlatform;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::{Client, ResourceExt};

use crate::platform::component::DataStore;
use crate::platform::validate::{Names, environments};

/// The Secrets that were looked for; absent ones as `None`.
#[derive(Debug, Clone, Default)]
pub struct Dereferenced {
    pub secrets: BTreeMap<String, Option<Secret>>,
}

impl Dereferenced {
    /// The value of a key, when there is such a Secret and it has the key with something in it.
    pub fn value(&self, secret: &str, key: &str) -> Option<&[u8]> {
        let secret = self.secrets.get(secret)?.as_ref()?;
        secret
            .data
            .as_ref()?
            .get(key)
            .map(|bytes| bytes.0.as_slice())
            .filter(|bytes| !bytes.is_empty())
    }

    /// Whether there is such a Secret.
    pub fn exists(&self, secret: &str) -> bool {
        self.secrets.get(secret).is_some_and(Option::is_some)
    }
}

/// The names of all Secrets that matter to a platform.
pub fn secret_names(platform: &AutoGPTPlatform) -> Vec<String> {
    let spec = &platform.spec;
    let names = Names::new(&platform.name_any());
    let mut found = vec![names.rpc_token(), names.encryption(), names.unsubscribe()];
    found.push(
        spec.auth
            .jwt_secret_ref
            .as_ref()
            .map_or_else(|| names.jwt(), |reference| reference.name.clone()),
    );
    for (store, service) in [
        (DataStore::Postgres, &spec.postgres),
        (DataStore::Redis, &spec.redis),
        (DataStore::RabbitMq, &spec.rabbitmq),
    ] {
        let external = service.as_ref().and_then(|service| service.external.as_ref());
        found.push(external.map_or_else(|| names.data(store), |external| external.secret_ref.name.clone()));
    }
    found.extend(spec.smtp.iter().map(|smtp| smtp.secret_ref.name.clone()));
    for (_, env) in environments(spec) {
        let references = env.iter().filter_map(|variable| variable.secret_key_ref.as_ref());
        found.extend(references.map(|reference| reference.name.clone()));
    }
    found.sort();
    found.dedup();
    found
}

/// Reads them.
pub async fn dereference(client: &Client, platform: &AutoGPTPlatform) -> Result<Dereferenced, kube::Error> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &platform.namespace().unwrap_or_default());
    let mut secrets = BTreeMap::new();
    for name in secret_names(platform) {
        let secret = api.get_opt(&name).await?;
        secrets.insert(name, secret);
    }
    Ok(Dereferenced { secrets })
}
