//! Configuration: `config.default.toml` is the manual and the list of keys; a file and the environment overlay it.

mod load;
mod names;
mod secret;
mod service;

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

pub use load::ConfigError;
pub use secret::Secret;
use secret::redact_url;
pub use service::Service;

/// The effective configuration. Cheap to clone; the fields are those of [`Values`].
#[derive(Debug, Clone)]
pub struct Settings(Arc<Values>);

impl Settings {
    /// Defaults, then the file named in `AUTOGPT_CONFIG`, then the environment.
    pub fn load() -> Result<Self, ConfigError> {
        Self::load_with(std::iter::empty::<(&str, &str)>())
    }

    /// The same, with variables that win over the environment.
    pub fn load_with<Name: Into<String>, Value: Into<String>>(pairs: impl IntoIterator<Item = (Name, Value)>) -> Result<Self, ConfigError> {
        load::from_process(pairs).map(Self::from)
    }

    /// Defaults and nothing else, not even the environment.
    ///
    /// # Panics
    /// Never in a build whose tests passed: the embedded defaults are checked there.
    #[allow(clippy::expect_used)]
    pub fn for_test() -> Self {
        Self::from_pairs(std::iter::empty::<(&str, &str)>()).expect("the embedded defaults are valid")
    }

    /// Defaults overlaid by variables as they would stand in the environment.
    pub fn from_pairs<Name: Into<String>, Value: Into<String>>(pairs: impl IntoIterator<Item = (Name, Value)>) -> Result<Self, ConfigError> {
        load::from_pairs(pairs).map(Self::from)
    }

    /// The same settings as seen by one of the services: a peer whose host variable equals the service's own is looked
    /// for on localhost (internals §1.4).
    pub fn for_service(&self, service: Option<Service>) -> Self {
        let mut values = self.0.as_ref().clone();
        values.rpc.own = service;
        Self::from(values)
    }

    /// The effective configuration as TOML, secrets redacted.
    pub fn to_redacted_toml(&self) -> String {
        toml::to_string_pretty(self.0.as_ref()).unwrap_or_else(|error| format!("# cannot be printed: {error}\n"))
    }
}

impl From<Values> for Settings {
    fn from(values: Values) -> Self {
        Self(Arc::new(values))
    }
}

impl Deref for Settings {
    type Target = Values;
    fn deref(&self) -> &Values {
        &self.0
    }
}

/// All settings. What each means stands in `config.default.toml`.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Values {
    pub app_env: AppEnv,
    pub behave_as: BehaveAs,
    pub platform_base_url: String,
    pub frontend_base_url: String,
    pub otto_api_url: String,
    pub cors_allow_origins: Vec<String>,
    pub platform_service_user_id: Uuid,
    pub enable_metrics: bool,
    pub max_message_size_limit: usize,
    pub upload_file_size_limit_mb: u64,
    pub log: LogSettings,
    pub ports: Ports,
    pub hosts: Hosts,
    pub rpc: RpcSettings,
    pub database: DatabaseSettings,
    pub redis: RedisSettings,
    pub rabbitmq: RabbitMqSettings,
    pub auth: AuthSettings,
    pub executor: ExecutorSettings,
    pub blocks: BlockSettings,
    pub models: ModelSettings,
    pub assistant: AssistantSettings,
    pub oauth: OAuthSettings,
    pub websocket: WebSocketSettings,
    pub credits: CreditSettings,
    pub scheduler: SchedulerSettings,
    pub notification: NotificationSettings,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AppEnv {
    Local,
    Dev,
    Prod,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BehaveAs {
    Local,
    Cloud,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    pub level: String,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Json,
    Pretty,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ports {
    pub websocket: u16,
    pub execution_manager: u16,
    pub scheduler: u16,
    pub database_api: u16,
    pub agent_api: u16,
    pub notification: u16,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Hosts {
    pub agent_api: String,
    pub websocket: String,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RpcSettings {
    /// `PYRO_HOST`: what servers bind, and the default target.
    pub bind_host: String,
    #[serde(deserialize_with = "empty_as_none")]
    pub database_manager_host: Option<String>,
    #[serde(deserialize_with = "empty_as_none")]
    pub scheduler_host: Option<String>,
    #[serde(deserialize_with = "empty_as_none")]
    pub notification_host: Option<String>,
    #[serde(deserialize_with = "empty_as_none")]
    pub execution_manager_host: Option<String>,
    #[serde(deserialize_with = "empty_secret_as_none")]
    pub token: Option<Secret>,
    /// Seconds.
    pub call_timeout: u64,
    /// Attempts.
    pub comm_retry: u32,
    /// Seconds.
    pub max_wait: u64,
    #[serde(skip)]
    pub(crate) own: Option<Service>,
    #[serde(skip)]
    pub(crate) ports: Ports,
}

impl RpcSettings {
    /// `http://host:port` of an internal server, by the host rules of internals §1.4.
    pub fn base_url(&self, service: Service) -> String {
        service.base_url(self)
    }
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    /// Ready for the driver: built from the parts when not given, without parameters that only the reference's ORM knows.
    #[serde(serialize_with = "redact_url")]
    pub url: String,
    pub user: String,
    pub password: Secret,
    pub host: String,
    pub port: u16,
    pub name: String,
    #[serde(deserialize_with = "empty_as_none")]
    pub schema: Option<String>,
    pub connection_limit: u32,
    pub migrate_on_start: bool,
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RedisSettings {
    #[serde(rename = "url", serialize_with = "redact_url")]
    pub(crate) full_url: String,
    pub host: String,
    pub port: u16,
    pub password: Secret,
    pub execution_event_bus_name: String,
    pub notification_event_bus_name: String,
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RabbitMqSettings {
    #[serde(rename = "url", serialize_with = "redact_url")]
    pub(crate) full_url: String,
    pub host: String,
    pub port: u16,
    pub vhost: String,
    pub user: String,
    pub password: Secret,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AuthSettings {
    pub enable_auth: bool,
    pub jwt_verify_key: Secret,
    pub jwt_sign_algorithm: String,
    pub embedded: bool,
    #[serde(deserialize_with = "empty_as_none")]
    pub supabase_url: Option<String>,
    #[serde(deserialize_with = "empty_as_none")]
    pub jwks_url: Option<String>,
    pub encryption_key: Secret,
    pub unsubscribe_secret_key: Secret,
}

impl AuthSettings {
    /// Where the public keys of user tokens are published. None when one key is configured.
    pub fn key_set_url(&self) -> Option<String> {
        let published = || {
            let service = self.supabase_url.as_deref().filter(|_| self.jwt_verify_key.is_empty())?;
            Some(format!("{}/auth/v1/.well-known/jwks.json", service.trim_end_matches('/')))
        };
        self.jwks_url.clone().or_else(published)
    }

    /// Whether people sign up and log in here, and not at a service elsewhere.
    pub fn is_embedded(&self) -> bool {
        self.embedded && self.supabase_url.is_none() && self.jwks_url.is_none() && self.jwt_sign_algorithm.starts_with("HS")
    }
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ExecutorSettings {
    pub num_graph_workers: u32,
    pub max_concurrent_graph_executions_per_user: u32,
    pub max_concurrent_nodes_per_run: u32,
    pub max_concurrent_nodes: u32,
    /// Seconds.
    pub node_timeout_seconds: u64,
    /// Seconds.
    pub drain_seconds: u64,
    /// Seconds.
    pub lease_seconds: u64,
    pub max_attempts: u32,
    /// Seconds; 0: none.
    pub run_deadline_seconds: u64,
    /// Seconds; 0 for ever.
    pub review_deadline_seconds: u64,
    pub review_default_action: ReviewDefault,
}

impl ExecutorSettings {
    /// How long a run that names no deadline may take from its submission; none when it may take any time.
    pub fn run_deadline(&self) -> Option<std::time::Duration> {
        (self.run_deadline_seconds > 0).then(|| std::time::Duration::from_secs(self.run_deadline_seconds))
    }
}

/// What becomes of a review that nobody decides in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReviewDefault {
    Approve,
    Reject,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BlockSettings {
    /// `host` or `host:port`.
    pub trusted_hosts: Vec<String>,
    /// Seconds.
    pub web_timeout_seconds: u64,
    pub web_max_reply_bytes: usize,
    #[serde(deserialize_with = "empty_as_none")]
    pub files_dir: Option<String>,
}

/// Open connections at most; more are refused before the handshake.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WebSocketSettings {
    pub max_connections: usize,
    pub max_connections_per_user: usize,
}

/// Base URLs by provider, in the contract's words for providers.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    pub openai: String,
    pub anthropic: String,
    pub groq: String,
    pub open_router: String,
    pub llama_api: String,
    pub aiml_api: String,
    pub v0: String,
    pub deepseek: String,
    pub qwen: String,
    pub zhipuai: String,
    pub moonshot: String,
}

impl ModelSettings {
    /// Provider and base URL.
    pub fn base_urls(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("openai", &self.openai),
            ("anthropic", &self.anthropic),
            ("groq", &self.groq),
            ("open_router", &self.open_router),
            ("llama_api", &self.llama_api),
            ("aiml_api", &self.aiml_api),
            ("v0", &self.v0),
            ("deepseek", &self.deepseek),
            ("qwen", &self.qwen),
            ("zhipuai", &self.zhipuai),
            ("moonshot", &self.moonshot),
        ]
        .into_iter()
        .map(|(provider, base)| (provider, base.as_str()))
    }
}

/// The model that the platform itself asks.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AssistantSettings {
    pub base_url: String,
    pub model: String,
    pub api_key: Secret,
}

impl AssistantSettings {
    /// Whether there is a model to ask.
    pub fn is_there(&self) -> bool {
        !self.base_url.is_empty() && !self.model.is_empty()
    }
}

/// This platform as the services know it at which users can log in.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OAuthSettings {
    pub github_client_id: String,
    pub github_client_secret: Secret,
    pub google_client_id: String,
    pub google_client_secret: Secret,
    pub notion_client_id: String,
    pub notion_client_secret: Secret,
    pub twitter_client_id: String,
    pub twitter_client_secret: Secret,
    pub discord_client_id: String,
    pub discord_client_secret: Secret,
    pub linear_client_id: String,
    pub linear_client_secret: Secret,
    pub todoist_client_id: String,
    pub todoist_client_secret: Secret,
    pub reddit_client_id: String,
    pub reddit_client_secret: Secret,
    /// `provider=scheme://host:port`.
    pub hosts: Vec<String>,
    pub external_callback_origins: Vec<String>,
}

impl OAuthSettings {
    /// Provider, client id and client secret.
    pub fn clients(&self) -> impl Iterator<Item = (&'static str, &str, &Secret)> {
        [
            ("github", &self.github_client_id, &self.github_client_secret),
            ("google", &self.google_client_id, &self.google_client_secret),
            ("notion", &self.notion_client_id, &self.notion_client_secret),
            ("twitter", &self.twitter_client_id, &self.twitter_client_secret),
            ("discord", &self.discord_client_id, &self.discord_client_secret),
            ("linear", &self.linear_client_id, &self.linear_client_secret),
            ("todoist", &self.todoist_client_id, &self.todoist_client_secret),
            ("reddit", &self.reddit_client_id, &self.reddit_client_secret),
        ]
        .into_iter()
        .map(|(provider, id, secret)| (provider, id.as_str(), secret))
    }

    /// Where a provider is, when that is not where it usually is.
    pub fn host_of(&self, provider: &str) -> Option<url::Url> {
        let mut hosts = self.hosts.iter().filter_map(|entry| entry.split_once('='));
        let (_, host) = hosts.find(|(name, _)| name.trim() == provider)?;
        url::Url::parse(host.trim()).ok()
    }
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CreditSettings {
    pub enable_credit: bool,
    pub num_user_credits_refill: i64,
    pub low_balance_threshold: i64,
    pub execution_cost_count_threshold: u32,
    pub execution_cost_per_threshold: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleStoreKind {
    Kubernetes,
    Postgres,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SchedulerSettings {
    pub store: ScheduleStoreKind,
    #[serde(deserialize_with = "empty_as_none")]
    pub platform_name: Option<String>,
    #[serde(deserialize_with = "empty_as_none")]
    pub platform_namespace: Option<String>,
    pub retention_days: u32,
    pub retention_batch: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    StartTls,
    Implicit,
    None,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NotificationSettings {
    #[serde(deserialize_with = "empty_as_none")]
    pub smtp_server: Option<String>,
    pub smtp_port: u16,
    #[serde(deserialize_with = "empty_as_none")]
    pub smtp_username: Option<String>,
    pub smtp_password: Secret,
    pub smtp_tls: SmtpTls,
    pub sender_email: String,
    pub postmark_webhook_token: Secret,
    pub admin_email: String,
    /// Seconds.
    pub batch_check_seconds: u64,
    /// Seconds.
    pub batch_delay_seconds: u64,
}

/// The redacted form: addresses hold passwords.
impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&toml::to_string(self).unwrap_or_default())
    }
}

impl Values {
    /// Environment names that set something, for documentation and checks.
    pub fn environment_names() -> BTreeSet<&'static str> {
        names::ENVIRONMENT.iter().map(|(name, _)| *name).collect()
    }
}

fn empty_as_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Some(String::deserialize(deserializer)?).filter(|text| !text.is_empty()))
}

fn empty_secret_as_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(Some(Secret::deserialize(deserializer)?).filter(|secret| !secret.is_empty()))
}
