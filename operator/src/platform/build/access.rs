//! Who may do what: the scheduler service's account, and the Secrets that are generated.

use std::collections::BTreeMap;

use crds::platform::ScheduleStore;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};

use super::{LABEL_MANAGED_BY, labels, metadata};
use crate::platform::component::{Component, DataStore};
use crate::platform::validate::{Generated, KEY_ENCRYPTION, KEY_JWT, KEY_RPC_TOKEN, KEY_UNSUBSCRIBE, KEY_URL, Names, Validated};

/// Name of the scheduler service's account, when it needs one.
pub fn scheduler_account(platform: &Validated) -> Option<String> {
    (platform.spec.scheduler.store == ScheduleStore::Kubernetes).then(|| platform.names.component(Component::Scheduler))
}

/// The scheduler service keeps schedules as GraphSchedule objects, and writes events about those that it removes: of this namespace, and
/// nothing else.
pub fn for_scheduler(platform: &Validated) -> Option<(ServiceAccount, Role, RoleBinding)> {
    let name = scheduler_account(platform)?;
    let labels = labels(platform, Component::Scheduler.name());
    let account = ServiceAccount {
        metadata: metadata(platform, name.clone(), labels.clone()),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    };
    let role = Role {
        metadata: metadata(platform, name.clone(), labels.clone()),
        rules: Some(vec![
            rule(
                crds::GROUP,
                "graphschedules",
                &["get", "list", "watch", "create", "update", "patch", "delete"],
            ),
            rule("events.k8s.io", "events", &["create"]),
        ]),
    };
    let binding = RoleBinding {
        metadata: metadata(platform, name.clone(), labels),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "Role".to_owned(),
            name: name.clone(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name,
            namespace: Some(platform.namespace.clone()),
            api_group: None,
        }]),
    };
    Some((account, role, binding))
}

fn rule(group: &str, resource: &str, verbs: &[&str]) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    }
}

/// Labels of a generated Secret; one that lacks them was made by somebody else and is only read.
pub fn labels_of_secret(names: &Names) -> BTreeMap<String, String> {
    [
        (super::LABEL_NAME, "autogpt"),
        (super::LABEL_INSTANCE, names.platform()),
        (super::LABEL_PART_OF, "autogpt"),
        (LABEL_MANAGED_BY, crate::runtime::events::MANAGER),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// The contents of a new Secret. `random` yields text that is safe in URLs.
pub fn generate(names: &Names, kind: &Generated, mut random: impl FnMut() -> String) -> BTreeMap<String, String> {
    let pairs = match kind {
        Generated::Jwt => vec![(KEY_JWT, random())],
        Generated::EncryptionKey => vec![(KEY_ENCRYPTION, random())],
        Generated::UnsubscribeKey => vec![(KEY_UNSUBSCRIBE, random())],
        Generated::RpcToken => vec![(KEY_RPC_TOKEN, random())],
        Generated::Data(store) => {
            let (user, password) = ("autogpt", random());
            let address = format!("{}:{}", names.data(*store), store.port());
            match store {
                DataStore::Postgres => vec![
                    ("username", user.to_owned()),
                    (KEY_URL, format!("postgresql://{user}:{password}@{address}/{user}")),
                    ("password", password),
                    ("database", user.to_owned()),
                ],
                DataStore::Redis => vec![(KEY_URL, format!("redis://:{password}@{address}")), ("password", password)],
                DataStore::RabbitMq => vec![
                    ("username", user.to_owned()),
                    (KEY_URL, format!("amqp://{user}:{password}@{address}/")),
                    ("password", password),
                ],
            }
        }
    };
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
