//! A namespace of its own for each test, with operators that have the rights that the chart gives them and no others.

use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::gvk::GroupVersionKind;
use kube::discovery::ApiResource;
use kube::{Client, Resource};
use operator::config::{Config, DefaultImages};
use operator::runtime::connection::connect;
use runtime::Shutdown;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::cluster::{Cluster, repository};
use crate::eventually::{self, eventually};

/// Who the tests are, to server-side apply.
const TESTER: &str = "tester";

/// One test's surroundings.
pub struct World {
    pub cluster: Cluster,
    pub client: Client,
    pub namespace: String,
}

impl World {
    /// A new namespace with the definitions installed, the Gateway API's among them, and the chart's rights for an operator.
    pub async fn new() -> Self {
        let world = Self::without_gateway_api().await;
        world.install_gateway_api().await;
        world
    }

    /// The same without the Gateway API, unless another test of this process has it.
    pub async fn without_gateway_api() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let cluster = Cluster::get().await;
        let client = cluster.admin();
        let namespace = format!("test-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let world = Self { cluster, client, namespace };
        world.install_definitions().await;
        let object = Namespace {
            metadata: ObjectMeta {
                name: Some(world.namespace.clone()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        Api::all(world.client.clone()).create(&PostParams::default(), &object).await.unwrap();
        for document in documents(&world.render(&[])) {
            let kind = document["kind"].as_str().unwrap();
            if matches!(kind, "ServiceAccount" | "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding") {
                world.apply(&document).await.unwrap();
            }
        }
        world
    }

    async fn install_definitions(&self) {
        for (_, definition) in crds::manifest::definitions() {
            self.install_definition(&definition.metadata.name.clone().unwrap(), &definition).await;
        }
    }

    /// The published definition of HTTPRoutes.
    pub async fn install_gateway_api(&self) {
        let definition = http_routes();
        self.install_definition(definition["metadata"]["name"].as_str().unwrap(), definition)
            .await;
    }

    async fn install_definition(&self, name: &str, definition: &(impl Serialize + std::fmt::Debug)) {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        api.patch(name, &PatchParams::apply(TESTER).force(), &Patch::Apply(definition))
            .await
            .unwrap();
        eventually("the definition is established", || async {
            let conditions = api
                .get(name)
                .await
                .unwrap()
                .status
                .and_then(|status| status.conditions)
                .unwrap_or_default();
            let established = conditions
                .iter()
                .any(|condition| condition.type_ == "Established" && condition.status == "True");
            if established { Ok(()) } else { Err(conditions) }
        })
        .await;
    }

    /// The chart as Helm renders it for this namespace.
    pub fn render(&self, arguments: &[&str]) -> String {
        let bundled = self.cluster.binaries.join("helm");
        let program = if bundled.exists() { bundled } else { "helm".into() };
        let output = Command::new(program)
            .args(["template", "autogpt", "charts/autogpt", "--namespace", &self.namespace])
            .args(["--set", &format!("watchNamespaces={{{}}}", self.namespace)])
            .args(arguments)
            .current_dir(repository())
            .output()
            .expect("helm is needed: run hack/tools.sh, or install it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Typed access to a kind in this namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Access to the kind of a manifest, in this namespace when the kind has namespaces.
    pub fn dynamic(&self, manifest: &Value) -> Api<DynamicObject> {
        let (version, kind) = (manifest["apiVersion"].as_str().unwrap(), manifest["kind"].as_str().unwrap());
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        if kind.starts_with("Cluster") {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
        }
    }

    /// Server-side applies a manifest.
    pub async fn apply(&self, manifest: &Value) -> kube::Result<DynamicObject> {
        let name = manifest["metadata"]["name"].as_str().unwrap();
        self.dynamic(manifest)
            .patch(name, &PatchParams::apply(TESTER).force(), &Patch::Apply(manifest))
            .await
    }

    /// Creates an object of a manifest's kind.
    pub async fn create<K>(&self, manifest: Value) -> K
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
    {
        let object: K = serde_json::from_value(manifest).unwrap();
        self.api::<K>().create(&PostParams::default(), &object).await.unwrap()
    }

    /// Merges into an object.
    pub async fn merge<K>(&self, name: &str, patch: Value) -> K
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        self.api::<K>().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap()
    }

    /// Merges into an object's status, as its own controller would.
    pub async fn merge_status<K>(&self, name: &str, status: Value) -> K
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let patch = serde_json::json!({"status": status});
        self.api::<K>()
            .patch_status(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap()
    }

    /// A Secret with these values.
    pub async fn secret(&self, name: &str, pairs: &[(&str, &str)]) -> Secret {
        let data: serde_json::Map<String, Value> = pairs.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect();
        self.create(serde_json::json!({"metadata": {"name": name}, "stringData": data})).await
    }

    /// What the operators of this world have written so far; see [`Cluster::writes_of`].
    pub fn writes(&self) -> Vec<String> {
        self.cluster
            .writes_of(&format!("system:serviceaccount:{}:autogpt-operator", self.namespace))
    }

    /// Waits until the operators have written nothing for `quiet`.
    pub async fn comes_to_rest(&self, quiet: Duration) {
        eventually::within(Duration::from_secs(120), "nothing is written any more", || async {
            let before = self.writes().len();
            tokio::time::sleep(quiet).await;
            let writes = self.writes();
            writes.get(before).cloned().map_or(Ok(()), Err)
        })
        .await;
    }

    /// A client with the operator's ServiceAccount.
    pub async fn operator_client(&self) -> Client {
        self.cluster.client(&self.operator_token().await)
    }

    /// A token of the operator's ServiceAccount, good for an hour.
    pub async fn operator_token(&self) -> String {
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec![],
                expiration_seconds: Some(3600),
                bound_object_ref: None,
            },
            ..TokenRequest::default()
        };
        let accounts: Api<ServiceAccount> = self.api();
        let token = accounts
            .create_token_request("autogpt-operator", &PostParams::default(), &request)
            .await
            .unwrap();
        token.status.unwrap().token
    }

    /// Starts an operator with the chart's rights.
    pub async fn operator(&self, identity: &str) -> Operator {
        self.operator_with(identity, |_| {}).await
    }

    /// Starts an operator with another configuration.
    pub async fn operator_with(&self, identity: &str, change: impl FnOnce(&mut Config)) -> Operator {
        let mut config = Config {
            watch_namespaces: vec![self.namespace.clone()],
            namespace: self.namespace.clone(),
            identity: identity.to_owned(),
            port: 0,
            apply_crds: true,
            scheduler_url: "http://127.0.0.1:9".to_owned(),
            stop_patience: Duration::from_secs(60),
            images: DefaultImages {
                repository: Some("registry.test/autogpt".to_owned()),
                tag: Some("1".to_owned()),
                pull_policy: None,
                postgres: "postgres:17".to_owned(),
                redis: "redis:7".to_owned(),
                rabbitmq: "rabbitmq:4".to_owned(),
            },
        };
        change(&mut config);
        let connection = self.cluster.config(&self.operator_token().await);
        let clients = operator::Clients {
            main: connect(connection.clone()).unwrap(),
            lease: connect(connection).unwrap(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = Shutdown::new();
        let task = tokio::spawn(operator::operate(config, clients, listener, shutdown.clone()));
        Operator { shutdown, task, address }
    }
}

/// The definition of HTTPRoutes, from the Gateway API's own module.
fn http_routes() -> &'static Value {
    static DEFINITION: OnceLock<Value> = OnceLock::new();
    DEFINITION.get_or_init(|| {
        let output = Command::new(repository().join("hack/tools.sh")).arg("gateway-api").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let file = String::from_utf8(output.stdout).unwrap();
        let all = documents(&std::fs::read_to_string(file.trim()).unwrap());
        let mut found = all
            .into_iter()
            .filter(|document| document["metadata"]["name"] == "httproutes.gateway.networking.k8s.io");
        found.next().expect("the definition of HTTPRoutes")
    })
}

/// The documents of a YAML text.
pub fn documents(yaml: &str) -> Vec<Value> {
    use serde::Deserialize;
    let documents = serde_yaml::Deserializer::from_str(yaml).map(|document| Value::deserialize(document).unwrap());
    documents.filter(|document| !document.is_null()).collect()
}

/// A running operator.
pub struct Operator {
    shutdown: Shutdown,
    task: JoinHandle<Result<(), operator::Error>>,
    /// Where its /readyz and /metrics are.
    pub address: String,
}

impl Operator {
    /// What its /metrics say.
    pub async fn metrics(&self) -> String {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = http.get(format!("{}/metrics", self.address)).send().await.unwrap();
        answer.text().await.unwrap()
    }

    /// As SIGTERM does.
    pub async fn stop(self) {
        self.shutdown.trigger();
        tokio::time::timeout(Duration::from_secs(10), self.task)
            .await
            .expect("it ends within 10 s")
            .unwrap()
            .unwrap();
    }

    /// As SIGKILL does: nothing is released.
    pub fn kill(self) {
        self.task.abort();
    }

    /// Whether it still runs; panics with its error when it does not.
    pub async fn assert_running(self) -> Self {
        if self.task.is_finished() {
            panic!("the operator ended: {:?}", self.task.await);
        }
        self
    }
}
