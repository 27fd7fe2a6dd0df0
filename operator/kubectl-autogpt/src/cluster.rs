//! The way to the API server, as kubectl finds it.

use clap::Args;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::complaint::{Complaint, chain};

/// Who this is, to those who look at managed fields.
const MANAGER: &str = "kubectl-autogpt";

/// Where to look, with kubectl's words.
#[derive(Debug, Clone, Args)]
pub struct Access {
    /// Namespace; that of the context when absent
    #[arg(short, long, global = true)]
    pub namespace: Option<String>,
    /// Context of the kubeconfig; the current one when absent
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// Path of the kubeconfig; $KUBECONFIG or ~/.kube/config when absent
    #[arg(long, global = true)]
    pub kubeconfig: Option<std::path::PathBuf>,
}

/// One namespace of one cluster.
pub struct Cluster {
    pub client: Client,
    pub namespace: String,
}

impl Cluster {
    pub async fn connect(access: &Access) -> Result<Self, Complaint> {
        let bad = |error: &dyn std::error::Error| {
            Complaint::new(
                format!("the kubeconfig cannot be used: {}", chain(error)),
                "name one with --kubeconfig or KUBECONFIG, and a context of it with --context",
            )
        };
        let options = KubeConfigOptions {
            context: access.context.clone(),
            ..KubeConfigOptions::default()
        };
        let config = match &access.kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(|error| bad(&error))?;
                Config::from_custom_kubeconfig(file, &options).await
            }
            None => Config::from_kubeconfig(&options).await,
        };
        let config = config.map_err(|error| bad(&error))?;
        let namespace = access.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| bad(&error))?;
        Ok(Self { client, namespace })
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub async fn get<K>(&self, name: &str) -> Result<K, Complaint>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let found = self.api::<K>().get(name).await;
        found.map_err(|error| Complaint::of_kube(&format!("read {} {name} in namespace {}", K::kind(&()), self.namespace), &error))
    }

    pub async fn list<K>(&self) -> Result<Vec<K>, Complaint>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let found = self.api::<K>().list(&ListParams::default()).await;
        let found = found.map_err(|error| Complaint::of_kube(&format!("list {} in namespace {}", K::plural(&()), self.namespace), &error))?;
        Ok(found.items)
    }

    /// Merges into an object.
    pub async fn merge<K>(&self, name: &str, patch: &Value) -> Result<K, Complaint>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        self.merge_as(MANAGER, name, patch).await
    }

    /// Merges what names a `resourceVersion` into an object. False when the object has another one by now.
    pub async fn merge_unless_changed<K>(&self, name: &str, patch: &Value) -> Result<bool, Complaint>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        match self.patch::<K>(MANAGER, name, patch).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.is_conflict() => Ok(false),
            Err(error) => Err(self.unchanged::<K>(name, &error)),
        }
    }

    /// [Merges](Self::merge) under another name in the managed fields.
    pub async fn merge_as<K>(&self, manager: &str, name: &str, patch: &Value) -> Result<K, Complaint>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let merged = self.patch(manager, name, patch).await;
        merged.map_err(|error| self.unchanged::<K>(name, &error))
    }

    async fn patch<K>(&self, manager: &str, name: &str, patch: &Value) -> kube::Result<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let parameters = PatchParams {
            field_manager: Some(manager.to_owned()),
            ..PatchParams::default()
        };
        self.api::<K>().patch(name, &parameters, &Patch::Merge(patch)).await
    }

    fn unchanged<K: Resource<DynamicType = ()>>(&self, name: &str, error: &kube::Error) -> Complaint {
        Complaint::of_kube(&format!("change {} {name} in namespace {}", K::kind(&()), self.namespace), error)
    }
}
