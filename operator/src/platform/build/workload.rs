//! The Deployments of the six services.

use std::collections::BTreeMap;

use crds::platform::EnvVar as Wanted;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVar, PodSpec, PodTemplateSpec, SecretEnvSource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::json;

use super::{ANNOTATION_CONFIG, access, metadata, pod, selector, versioned};
use crate::platform::component::{Component, DataStore};
use crate::platform::validate::{SecretKey, Validated};
use crate::runtime::apply;

pub fn deployment(platform: &Validated, component: Component) -> Deployment {
    let options = component.options(&platform.spec.components);
    let labels = versioned(platform, component.name());
    let env = environment(platform, component);
    let mail = platform.smtp.as_deref().filter(|_| component == Component::Notification);
    Deployment {
        metadata: metadata(platform, platform.names.component(component), labels.clone()),
        spec: Some(DeploymentSpec {
            replicas: Some(options.replicas),
            selector: LabelSelector {
                match_labels: Some(selector(platform, component.name())),
                match_expressions: None,
            },
            revision_history_limit: Some(3),
            strategy: Some(never_less()),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    annotations: Some(BTreeMap::from([(ANNOTATION_CONFIG.to_owned(), config_hash(platform, &env, mail))])),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod_spec(platform, component, env)),
            },
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

/// A roll-out that never takes away what serves.
pub fn never_less() -> DeploymentStrategy {
    DeploymentStrategy {
        type_: Some("RollingUpdate".to_owned()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: Some(IntOrString::Int(1)),
            max_unavailable: Some(IntOrString::Int(0)),
        }),
    }
}

fn pod_spec(platform: &Validated, component: Component, env: Vec<EnvVar>) -> PodSpec {
    let options = component.options(&platform.spec.components);
    let account = (component == Component::Scheduler).then(|| access::scheduler_account(platform)).flatten();
    PodSpec {
        automount_service_account_token: Some(account.is_some()),
        service_account_name: account,
        // A Service called redis would otherwise set REDIS_PORT, which is a variable of the contract.
        enable_service_links: Some(false),
        security_context: Some(pod::security(pod::SERVICE_USER)),
        termination_grace_period_seconds: Some(component.termination_grace()),
        containers: vec![Container {
            name: component.name().to_owned(),
            image: Some(image(platform, component)),
            image_pull_policy: Some(platform.pull_policy.as_str().to_owned()),
            ports: Some(vec![pod::port("http", component.port())]),
            env: Some(env),
            env_from: mail(platform, component),
            liveness_probe: Some(pod::http_probe("/livez", "http", 10, 6)),
            readiness_probe: Some(pod::http_probe("/readyz", "http", 2, 3)),
            // Nobody calls an executor, and its runs are to be handed over at once.
            lifecycle: (component != Component::Executor).then(pod::linger),
            resources: Some(pod::resources(options.resources.as_ref(), "25m", "48Mi")),
            security_context: Some(pod::confinement()),
            volume_mounts: Some(vec![pod::mount("tmp", "/tmp")]),
            ..Container::default()
        }],
        volumes: Some(vec![pod::scratch("tmp")]),
        ..PodSpec::default()
    }
}

pub fn image(platform: &Validated, component: Component) -> String {
    format!("{}/{}:{}", platform.repository, component.image(), platform.tag)
}

/// The reference's variables (internals §1.4, §6), then the user's, which win.
fn environment(platform: &Validated, component: Component) -> Vec<EnvVar> {
    let mut variables = vec![
        pod::value("PYRO_HOST", "0.0.0.0"),
        pod::value("LOG_FORMAT", "json"),
        pod::value("ENABLE_METRICS", "true"),
        pod::secret("INTERNAL_RPC_TOKEN", &platform.rpc_token),
    ];
    variables.extend(
        Component::ALL
            .iter()
            .map(|peer| pod::value(peer.host_variable(), platform.names.component(*peer))),
    );
    variables.extend(data(platform, component).map(|(store, url)| pod::secret(store.url_variable(), url)));
    if component.checks_users() {
        variables.push(pod::secret("JWT_VERIFY_KEY", &platform.jwt));
    }
    if component.keeps_credentials() {
        variables.push(pod::secret("ENCRYPTION_KEY", &platform.encryption_key));
    }
    if component.signs_links() {
        variables.push(pod::secret("UNSUBSCRIBE_SECRET_KEY", &platform.unsubscribe_key));
    }
    if component == Component::Scheduler {
        variables.push(pod::value("SCHEDULER_STORE", platform.spec.scheduler.store.as_str()));
        variables.push(pod::value("PLATFORM_NAME", platform.names.platform()));
        variables.push(pod::value("PLATFORM_NAMESPACE", &platform.namespace));
    }
    if let Some(external) = platform.external_url() {
        if component.leads_to_the_api() {
            variables.push(pod::value("PLATFORM_BASE_URL", &external));
        }
        if component.leads_to_pages() {
            variables.push(pod::value("FRONTEND_BASE_URL", external));
        }
    }
    with_wanted(variables, &component.options(&platform.spec.components).env)
}

/// The operator's variables with the user's, which win.
pub fn with_wanted(mut variables: Vec<EnvVar>, wanted: &[Wanted]) -> Vec<EnvVar> {
    for wanted in wanted {
        let variable = user_variable(wanted);
        match variables.iter_mut().find(|ours| ours.name == wanted.name) {
            Some(ours) => *ours = variable,
            None => variables.push(variable),
        }
    }
    variables
}

fn user_variable(wanted: &Wanted) -> EnvVar {
    match &wanted.secret_key_ref {
        Some(reference) => pod::secret(
            &wanted.name,
            &SecretKey {
                secret: reference.name.clone(),
                key: reference.key.clone(),
            },
        ),
        None => pod::value(&wanted.name, wanted.value.clone().unwrap_or_default()),
    }
}

fn data(platform: &Validated, component: Component) -> impl Iterator<Item = (DataStore, &SecretKey)> {
    platform
        .data
        .iter()
        .filter(move |(store, _)| component.uses(**store))
        .map(|(store, data)| (*store, &data.url))
}

fn mail(platform: &Validated, component: Component) -> Option<Vec<EnvFromSource>> {
    let name = platform.smtp.as_ref().filter(|_| component == Component::Notification)?;
    Some(vec![EnvFromSource {
        secret_ref: Some(SecretEnvSource {
            name: name.clone(),
            optional: None,
        }),
        ..EnvFromSource::default()
    }])
}

/// Hash over the contents of the Secrets that the variables name, and of one that is taken whole.
pub fn config_hash(platform: &Validated, env: &[EnvVar], whole: Option<&str>) -> String {
    let mut used: Vec<&str> = env
        .iter()
        .filter_map(|variable| variable.value_from.as_ref()?.secret_key_ref.as_ref())
        .filter_map(|reference| platform.secrets_hash.get_key_value(&reference.name).map(|(name, _)| name.as_str()))
        .collect();
    used.extend(whole);
    used.sort_unstable();
    used.dedup();
    let contents: Vec<_> = used.iter().map(|name| json!([name, platform.secrets_hash.get(*name)])).collect();
    apply::hash(&json!(contents))
}
