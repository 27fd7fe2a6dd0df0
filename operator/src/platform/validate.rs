//! From what was written to what is meant: a [`Validated`] platform can be built without looking anywhere else.

use std::collections::BTreeMap;

use crds::conditions::reason;
use crds::platform::{Component as Options, DataService, EnvVar, Managed, PullPolicy};
use crds::{AutoGPTPlatform, PlatformSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use crate::config::DefaultImages;
use crate::platform::build::frontend;
use crate::platform::component::{Component, DataStore};
use crate::platform::dereference::Dereferenced;
use crate::runtime::apply;

/// Key of an address and login in the Secret of a data service.
pub const KEY_URL: &str = "url";
/// Key of the users' token key in the generated Secret.
pub const KEY_JWT: &str = "JWT_VERIFY_KEY";
/// Key of the internal token in the generated Secret.
pub const KEY_RPC_TOKEN: &str = "token";
/// Where the key (or keys, the present one first, separated by commas) stands in its Secret.
pub const KEY_ENCRYPTION: &str = "key";

/// Key of what signs the links in mails in the generated Secret.
pub const KEY_UNSUBSCRIBE: &str = "key";

/// The names of a platform's objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names(String);

impl Names {
    pub fn new(platform: &str) -> Self {
        Self(platform.to_owned())
    }

    pub fn platform(&self) -> &str {
        &self.0
    }

    pub fn component(&self, component: Component) -> String {
        format!("{}-{}", self.0, component.name())
    }

    pub fn data(&self, store: DataStore) -> String {
        format!("{}-{}", self.0, store.name())
    }

    pub fn frontend(&self) -> String {
        format!("{}-{}", self.0, frontend::COMPONENT)
    }

    pub fn jwt(&self) -> String {
        format!("{}-jwt", self.0)
    }

    pub fn rpc_token(&self) -> String {
        format!("{}-rpc-token", self.0)
    }

    pub fn encryption(&self) -> String {
        format!("{}-encryption", self.0)
    }

    pub fn unsubscribe(&self) -> String {
        format!("{}-unsubscribe", self.0)
    }

    pub fn migration(&self, hash: &str) -> String {
        format!("{}-migrate-{hash}", self.0)
    }
}

/// A key of a Secret that is known to be there or to be generated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretKey {
    pub secret: String,
    pub key: String,
}

impl SecretKey {
    fn new(secret: impl Into<String>, key: impl Into<String>) -> Self {
        Self {
            secret: secret.into(),
            key: key.into(),
        }
    }
}

/// One data service.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    pub url: SecretKey,
    /// Present when the operator runs it.
    pub managed: Option<ManagedData>,
}

/// A data service that the operator runs.
#[derive(Debug, Clone, PartialEq)]
pub struct ManagedData {
    pub image: String,
    pub options: Managed,
}

/// A Secret that the operator makes when it is absent. The values are made when it is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Generated {
    Jwt,
    RpcToken,
    EncryptionKey,
    UnsubscribeKey,
    Data(DataStore),
}

/// A platform without open questions.
#[derive(Debug, Clone, PartialEq)]
pub struct Validated {
    pub names: Names,
    pub namespace: String,
    pub owner: OwnerReference,
    pub spec: PlatformSpec,
    pub repository: String,
    pub tag: String,
    pub pull_policy: PullPolicy,
    pub data: BTreeMap<DataStore, Data>,
    pub jwt: SecretKey,
    pub rpc_token: SecretKey,
    /// Seals the credentials of users.
    pub encryption_key: SecretKey,
    /// Signs the links in mails that switch them off.
    pub unsubscribe_key: SecretKey,
    pub smtp: Option<String>,
    /// Secrets of the platform's own, and whether each is still to be made.
    pub generated: Vec<(String, Generated, bool)>,
    /// Changes when the contents of any Secret in use change.
    pub secrets_hash: BTreeMap<String, String>,
}

impl Validated {
    /// The address of everything from outside: of the Ingress when it has a host that is no pattern, otherwise what is said of the Gateway.
    pub fn external_url(&self) -> Option<String> {
        let of_ingress = || {
            let ingress = self.spec.ingress.as_ref()?;
            let host = ingress.host.as_deref().filter(|host| !host.starts_with('*'))?;
            let scheme = if ingress.tls.is_some() { "https" } else { "http" };
            Some(format!("{scheme}://{host}"))
        };
        of_ingress().or_else(|| self.spec.gateway.as_ref()?.url.clone())
    }
}

/// Something that the user must put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub reason: &'static str,
    pub message: String,
}

/// Parses a platform; all problems at once.
pub fn validate(platform: &AutoGPTPlatform, found: &Dereferenced, defaults: &DefaultImages) -> Result<Validated, Vec<Problem>> {
    let spec = &platform.spec;
    let names = Names::new(&platform.name_any());
    let mut problems = Vec::new();
    let mut generated = Vec::new();

    let mut own = |name: String, kind: Generated, keys: &[&str], problems: &mut Vec<Problem>| {
        let missing = !found.exists(&name);
        if !missing {
            problems.extend(keys.iter().filter(|key| found.value(&name, key).is_none()).map(|key| Problem {
                reason: reason::SECRET_INCOMPLETE,
                message: format!("Secret {name} has no key {key}: add it, or delete the Secret to have it made anew"),
            }));
        }
        generated.push((name, kind, missing));
    };

    let rpc_token = SecretKey::new(names.rpc_token(), KEY_RPC_TOKEN);
    own(rpc_token.secret.clone(), Generated::RpcToken, &[KEY_RPC_TOKEN], &mut problems);
    let encryption_key = SecretKey::new(names.encryption(), KEY_ENCRYPTION);
    own(encryption_key.secret.clone(), Generated::EncryptionKey, &[KEY_ENCRYPTION], &mut problems);
    let unsubscribe_key = SecretKey::new(names.unsubscribe(), KEY_UNSUBSCRIBE);
    own(
        unsubscribe_key.secret.clone(),
        Generated::UnsubscribeKey,
        &[KEY_UNSUBSCRIBE],
        &mut problems,
    );
    let jwt = match &spec.auth.jwt_secret_ref {
        Some(reference) => SecretKey::new(&reference.name, &reference.key),
        None => {
            own(names.jwt(), Generated::Jwt, &[KEY_JWT], &mut problems);
            SecretKey::new(names.jwt(), KEY_JWT)
        }
    };
    let mut data = BTreeMap::new();
    for (store, service, image) in [
        (
            DataStore::Postgres,
            &spec.postgres,
            spec.data_images.postgres.as_ref().unwrap_or(&defaults.postgres),
        ),
        (DataStore::Redis, &spec.redis, spec.data_images.redis.as_ref().unwrap_or(&defaults.redis)),
        (
            DataStore::RabbitMq,
            &spec.rabbitmq,
            spec.data_images.rabbitmq.as_ref().unwrap_or(&defaults.rabbitmq),
        ),
    ] {
        let DataService { external, managed } = service.clone().unwrap_or_default();
        let entry = match external {
            Some(external) => Data {
                url: SecretKey::new(&external.secret_ref.name, KEY_URL),
                managed: None,
            },
            None => {
                own(names.data(store), Generated::Data(store), data_keys(store), &mut problems);
                Data {
                    url: SecretKey::new(names.data(store), KEY_URL),
                    managed: Some(ManagedData {
                        image: image.clone(),
                        options: managed.unwrap_or_default(),
                    }),
                }
            }
        };
        if entry.managed.is_none() {
            let hint = format!(
                "kubectl -n {} create secret generic {} --from-literal=url={}",
                namespace(platform),
                entry.url.secret,
                store.url_example()
            );
            require(found, &entry.url, &format!("spec.{}.external", store.name()), &hint, &mut problems);
        }
        data.insert(store, entry);
    }
    if spec.auth.jwt_secret_ref.is_some() {
        let hint = format!(
            "kubectl -n {} create secret generic {} --from-literal={}=$(openssl rand -hex 32)",
            namespace(platform),
            jwt.secret,
            jwt.key
        );
        require(found, &jwt, "spec.auth.jwtSecretRef", &hint, &mut problems);
    }
    let smtp = spec.smtp.as_ref().map(|smtp| smtp.secret_ref.name.clone());
    if let Some(name) = smtp.as_ref().filter(|name| !found.exists(name)) {
        let hint = format!(
            "kubectl -n {} create secret generic {name} --from-literal=SMTP_SERVER=mail.example.com",
            namespace(platform)
        );
        problems.push(missing(name, "spec.smtp", &hint));
    }
    for (place, env) in environments(spec) {
        for reference in env.iter().filter_map(|variable| variable.secret_key_ref.as_ref()) {
            let key = SecretKey::new(&reference.name, &reference.key);
            let hint = format!(
                "kubectl -n {} create secret generic {} --from-literal={}=VALUE",
                namespace(platform),
                key.secret,
                key.key
            );
            require(found, &key, &format!("{place}.env"), &hint, &mut problems);
        }
    }

    let repository = spec.image.repository.clone().or_else(|| defaults.repository.clone());
    let tag = spec.image.tag.clone().or_else(|| defaults.tag.clone());
    let owner = platform.controller_owner_ref(&());
    match (repository, tag, owner) {
        (Some(repository), Some(tag), Some(owner)) if problems.is_empty() => {
            let secrets_hash = found
                .secrets
                .iter()
                .map(|(name, secret)| (name.clone(), contents(secret.as_ref().map(|secret| &secret.data))))
                .collect();
            Ok(Validated {
                namespace: namespace(platform),
                names,
                owner,
                repository,
                tag,
                pull_policy: spec.image.pull_policy.unwrap_or_else(|| policy(defaults.pull_policy.as_deref())),
                spec: spec.clone(),
                data,
                jwt,
                rpc_token,
                encryption_key,
                unsubscribe_key,
                smtp,
                generated,
                secrets_hash,
            })
        }
        (repository, tag, _) => {
            if repository.is_none() || tag.is_none() {
                problems.push(Problem {
                    reason: reason::IMAGE_MISSING,
                    message: "there is no image to run: set spec.image.repository and spec.image.tag, or image.repository and image.tag of the chart"
                        .to_owned(),
                });
            }
            Err(problems)
        }
    }
}

/// The variables that users add, with the place of each list.
pub fn environments(spec: &PlatformSpec) -> Vec<(String, &[EnvVar])> {
    let of_component = |component: Component| {
        let Options { env, .. } = component.options(&spec.components);
        (format!("spec.components, {}", component.name()), env.as_slice())
    };
    let mut all: Vec<_> = Component::ALL.into_iter().map(of_component).collect();
    all.extend(
        spec.frontend
            .as_ref()
            .map(|frontend| ("spec.frontend".to_owned(), frontend.env.as_slice())),
    );
    all
}

/// The keys of a managed data service's Secret.
pub fn data_keys(store: DataStore) -> &'static [&'static str] {
    match store {
        DataStore::Postgres => &["username", "password", "database", KEY_URL],
        DataStore::Redis => &["password", KEY_URL],
        DataStore::RabbitMq => &["username", "password", KEY_URL],
    }
}

fn namespace(platform: &AutoGPTPlatform) -> String {
    platform.namespace().unwrap_or_default()
}

fn require(found: &Dereferenced, key: &SecretKey, place: &str, hint: &str, problems: &mut Vec<Problem>) {
    if !found.exists(&key.secret) {
        problems.push(missing(&key.secret, place, hint));
    } else if found.value(&key.secret, &key.key).is_none() {
        problems.push(Problem {
            reason: reason::SECRET_INCOMPLETE,
            message: format!("Secret {}, named in {place}, has no key {}: add it", key.secret, key.key),
        });
    }
}

fn missing(name: &str, place: &str, hint: &str) -> Problem {
    Problem {
        reason: reason::SECRET_MISSING,
        message: format!("Secret {name}, named in {place}, does not exist: create it, for example with `{hint}`"),
    }
}

fn policy(text: Option<&str>) -> PullPolicy {
    match text {
        Some("Always") => PullPolicy::Always,
        Some("Never") => PullPolicy::Never,
        _ => PullPolicy::IfNotPresent,
    }
}

fn contents(data: Option<&Option<BTreeMap<String, k8s_openapi::ByteString>>>) -> String {
    let value: Value = data.and_then(Option::as_ref).map_or(Value::Null, |data| json!(data));
    apply::hash(&value)
}
