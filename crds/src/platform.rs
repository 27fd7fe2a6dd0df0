//! AutoGPTPlatform: one whole platform in one namespace.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{LocalObjectReference, OBJECT_NAME, SecretKeyReference, condition_list, quantity};
use crate::exposure::{Frontend, Gateway, Ingress};

/// One platform: six services, their database, cache and broker.
#[derive(CustomResource, KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "autogpt.dev",
    version = "v1alpha1",
    kind = "AutoGPTPlatform",
    plural = "autogptplatforms",
    singular = "autogptplatform",
    shortname = "agp",
    category = "autogpt",
    namespaced,
    status = "PlatformStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "One AutoGPT platform: its six services, and the database, cache and broker that they need.",
    validation = Rule::new("size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message("the name may have at most 40 characters, begins with a letter and has no dots: Services are named after it"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].message", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct PlatformSpec {
    /// Where the images of the six services come from; the operator's own repository and tag where absent.
    #[serde(default)]
    pub image: Image,
    /// Images of managed data services; the operator's defaults where absent.
    #[serde(default)]
    pub data_images: DataImages,
    /// The six services.
    #[serde(default)]
    pub components: Components,
    /// The database: external, or managed (one replica, for trying out), which it is when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<DataService>,
    /// The cache for live events: external, or managed (one replica, for trying out), which it is when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<DataService>,
    /// The broker: external, or managed (one replica, for trying out), which it is when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rabbitmq: Option<DataService>,
    /// How users' tokens are checked.
    #[serde(default)]
    pub auth: Auth,
    /// How schedules made through the REST API are kept.
    #[serde(default)]
    pub scheduler: SchedulerOptions,
    /// A Secret whose keys become environment variables of the notification service (SMTP_SERVER, SMTP_PORT, SMTP_USERNAME, SMTP_PASSWORD, SMTP_TLS, NOTIFICATION_SENDER_EMAIL). Mail is only logged when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smtp: Option<SecretRef>,
    /// How the platform is reached from outside. The Services are reachable inside the cluster only when this and gateway are absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,
    /// The same by the Gateway API, beside or instead of the Ingress. The cluster needs its definitions, a Gateway and a controller for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Gateway>,
    /// The web frontend; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frontend: Option<Frontend>,
    /// What GraphExecutions and GraphSchedules of this namespace may do.
    #[serde(default)]
    pub access: Access,
    /// Stops the operator from changing anything of this platform; status is still reported.
    #[serde(default)]
    pub paused: bool,
    /// What deleting this object does to volumes and generated Secrets: Retain keeps them, and a platform of the same name takes them up again.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// Where images come from: `<repository>/<rest|ws|db|scheduler|executor|notification>:<tag>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Registry and path, without the name of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[a-zA-Z0-9]([-a-zA-Z0-9._:/]*[a-zA-Z0-9])?$"))]
    pub repository: Option<String>,
    /// Tag: the version of the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[a-zA-Z0-9_][-a-zA-Z0-9._]*$"))]
    pub tag: Option<String>,
    /// When the kubelet pulls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_policy: Option<PullPolicy>,
}

/// When the kubelet pulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

impl PullPolicy {
    /// As Kubernetes spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// Images of managed data services, with the environment variables and paths of the official images.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataImages {
    /// For example postgres:17.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 383), regex(pattern = IMAGE))]
    pub postgres: Option<String>,
    /// For example redis:7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 383), regex(pattern = IMAGE))]
    pub redis: Option<String>,
    /// For example rabbitmq:4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 383), regex(pattern = IMAGE))]
    pub rabbitmq: Option<String>,
}

pub(crate) const IMAGE: &str = r"^[a-zA-Z0-9][-a-zA-Z0-9._:/@]*$";

/// The six services.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Components {
    /// The REST API.
    #[serde(default)]
    pub rest: Component,
    /// Live events for browsers.
    #[serde(default)]
    pub websocket: Component,
    /// The only service that talks to the database on behalf of others.
    #[serde(default)]
    pub database_manager: Component,
    /// Schedules and submissions.
    #[serde(default)]
    pub scheduler: Component,
    /// Runs graphs.
    #[serde(default)]
    pub executor: Component,
    /// Sends mail.
    #[serde(default)]
    pub notification: Component,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    /// Number of pods.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: i32,
    /// Requests and limits of its container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Further environment variables: settings of the service that have no field here, for example OAuth clients and the model of the chat (docs/settings.md). They win over the operator's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub env: Vec<EnvVar>,
}

pub(crate) fn one() -> i32 {
    1
}

impl Default for Component {
    fn default() -> Self {
        Self {
            replicas: one(),
            resources: None,
            env: Vec::new(),
        }
    }
}

/// Requests and limits of a container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What is set aside for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<ResourceList>,
    /// What it may not exceed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ResourceList>,
}

/// Amounts of resources.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceList {
    /// Processor time: 500m is half a core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "quantity")]
    pub cpu: Option<Quantity>,
    /// Memory: 256Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "quantity")]
    pub memory: Option<Quantity>,
}

/// An environment variable: a value, or a key of a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.value) != has(self.secretKeyRef)").message("give exactly one of value and secretKeyRef"))]
pub struct EnvVar {
    /// Its name.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,
    /// Its value, as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32_768))]
    pub value: Option<String>,
    /// A key of a Secret of the same namespace that holds its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyReference>,
}

/// A database, cache or broker: somebody else's, or run by the operator. No default in the schema: it would stand in the
/// way of whoever changes from one to the other.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.external) != has(self.managed)").message("give exactly one of external and managed"))]
pub struct DataService {
    /// One that exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// One that the operator runs: a single replica, for trying out. Use external in production.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<Managed>,
}

/// A data service that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct External {
    /// A Secret of the same namespace with the key `url`: `postgresql://user:password@host:5432/database`, `redis://:password@host:6379` or `amqp://user:password@host:5672/`.
    pub secret_ref: LocalObjectReference,
}

/// A data service that the operator runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Managed {
    /// Its volume. Cannot change once it is made.
    #[serde(default)]
    pub storage: Storage,
    /// Requests and limits of its container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// A volume to claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message("the storage of a managed data service cannot change; back up, delete the StatefulSet and its claim, and create it anew"))]
pub struct Storage {
    /// How much.
    #[serde(default = "two_gibibytes")]
    #[schemars(schema_with = "size")]
    pub size: Quantity,
    /// StorageClass; the cluster's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub storage_class_name: Option<String>,
}

fn two_gibibytes() -> Quantity {
    Quantity("2Gi".to_owned())
}

fn size(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let mut schema = quantity(generator);
    schema.remove("nullable");
    schema
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            size: two_gibibytes(),
            storage_class_name: None,
        }
    }
}

/// How users' tokens are checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Auth {
    /// Key of a Secret with the HS256 key of users' tokens. When absent, the key JWT_VERIFY_KEY of the Secret `<platform>-jwt`, which is generated unless it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt_secret_ref: Option<SecretKeyReference>,
}

/// How schedules made through the REST API are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SchedulerOptions {
    /// As GraphSchedule objects, or as rows of the database.
    #[serde(default)]
    pub store: ScheduleStore,
}

/// Where schedules made through the REST API live.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleStore {
    #[default]
    Kubernetes,
    Postgres,
}

impl ScheduleStore {
    /// As the scheduler service's SCHEDULER_STORE spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Postgres => "postgres",
        }
    }
}

/// A Secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// The Secret, in the same namespace.
    pub secret_ref: LocalObjectReference,
}

/// What GraphExecutions and GraphSchedules of this namespace may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// Ids of the platform users in whose name they may run, or `*`. The platform's service user is always allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), inner(length(min = 1, max = 36), regex(pattern = OWNER)), extend("x-kubernetes-list-type" = "set"))]
    pub owners: Vec<String>,
}

/// A UUID or `*`.
const OWNER: &str = r"^(\*|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})$";

impl Access {
    /// Whether a run may be in this user's name.
    pub fn allows(&self, owner: &str) -> bool {
        self.owners.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(owner))
    }
}

/// What becomes of volumes and generated Secrets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    #[default]
    Retain,
    Delete,
}

/// The platform as last seen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlatformStatus {
    /// Generation of the specification that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// The version that serves: the tag of the newest complete roll-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub version: Option<String>,
    /// Pods of each service and data service.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub components: Vec<ComponentStatus>,
    /// Addresses inside the cluster, and the one from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Endpoints>,
    /// Ready, Progressing, Degraded, MigrationsApplied, DependenciesReady, IngressReady, GatewayReady.
    #[serde(default)]
    #[schemars(schema_with = "condition_list")]
    pub conditions: Vec<Condition>,
}

/// Pods of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentStatus {
    /// Which one.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Pods that should be there.
    #[schemars(range(min = 0))]
    pub desired: i32,
    /// Pods that are ready.
    #[schemars(range(min = 0))]
    pub ready: i32,
    /// Pods that run the wanted version and configuration.
    #[schemars(range(min = 0))]
    pub updated: i32,
}

/// Addresses inside the cluster, and the one from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// The REST API.
    #[schemars(length(max = 255))]
    pub rest: String,
    /// Live events.
    #[schemars(length(max = 255))]
    pub websocket: String,
    /// Everything, through the Ingress when it has a host, otherwise through the Gateway when its url is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 270))]
    pub external: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::Access;

    #[test]
    fn owners_are_named_or_all() {
        let some = Access {
            owners: vec!["0190F1D2-0000-7000-8000-000000000001".to_owned()],
        };
        assert!(some.allows("0190f1d2-0000-7000-8000-000000000001"));
        assert!(!some.allows("0190f1d2-0000-7000-8000-000000000002"));
        assert!(
            Access {
                owners: vec!["*".to_owned()]
            }
            .allows("anybody")
        );
        assert!(!Access::default().allows("anybody"));
    }
}
