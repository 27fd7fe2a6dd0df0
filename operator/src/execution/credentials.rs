//! The Secrets that a run may use, and what they hold.

use crds::conditions::reason;
use crds::{CredentialReferences, GraphExecution, LABEL_CREDENTIAL};
use indexmap::IndexMap;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::{Client, Resource, ResourceExt};
use model::credentials::{CredentialSecret, PutCredential};

use crate::execution::gate::NotNow;

/// Every Secret that the references name, by the name of the credentials input. They are read live, and nothing of them is kept.
pub async fn read_all(
    client: &Client,
    execution: &GraphExecution,
    references: &CredentialReferences,
) -> Result<Result<IndexMap<String, PutCredential>, NotNow>, kube::Error> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &execution.namespace().unwrap_or_default());
    let mut found = IndexMap::new();
    for (input, reference) in references {
        let name = &reference.secret_ref.name;
        match read(name, api.get_opt(name).await?.as_ref()) {
            Ok(credential) => found.insert(input.clone(), credential),
            Err(not_now) => return Ok(Err(not_now)),
        };
    }
    Ok(Ok(found))
}

/// What stands before the names of a namespace's Secrets in the origins of their copies.
pub fn origins(namespace: &str) -> String {
    format!("Secret/{namespace}/")
}

/// What a Secret holds, when it may be used. Pure.
fn read(name: &str, secret: Option<&Secret>) -> Result<PutCredential, NotNow> {
    let no = |reason, never, message| NotNow { reason, message, never };
    let Some(secret) = secret else {
        let message = format!(
            "there is no Secret {name} in this namespace: create it with the label {LABEL_CREDENTIAL}=PROVIDER, and the run starts by itself"
        );
        return Err(no(reason::CREDENTIALS_MISSING, false, message));
    };
    if belongs_to_a_platform(secret) {
        let message = format!("Secret {name} belongs to a platform, whose Secrets no run may use: name another one in a new GraphExecution");
        return Err(no(reason::CREDENTIALS_NOT_ALLOWED, true, message));
    }
    let Some(provider) = secret.labels().get(LABEL_CREDENTIAL).filter(|provider| !provider.is_empty()) else {
        let message = format!(
            "Secret {name} is not meant for runs: `kubectl label secret {name} {LABEL_CREDENTIAL}=PROVIDER` allows it, and the run starts by itself"
        );
        return Err(no(reason::CREDENTIALS_NOT_ALLOWED, false, message));
    };
    let secret_value = value(secret).ok_or_else(|| {
        let message = format!(
            "Secret {name} holds no credential: give it the key api_key, or username and password, or host and a key for each header, none of them empty; the run starts by itself then"
        );
        no(reason::CREDENTIALS_INVALID, false, message)
    })?;
    Ok(PutCredential {
        origin: origins(&secret.namespace().unwrap_or_default()) + name,
        provider: provider.clone(),
        title: Some(name.to_owned()),
        secret: secret_value,
    })
}

/// By owner, and by the labels of what the operator generates.
fn belongs_to_a_platform(secret: &Secret) -> bool {
    let owned = secret
        .meta()
        .owner_references
        .iter()
        .flatten()
        .any(|owner| owner.kind == "AutoGPTPlatform");
    owned || secret.labels().get(crate::platform::build::LABEL_MANAGED_BY).map(String::as_str) == Some(crate::runtime::events::MANAGER)
}

fn value(secret: &Secret) -> Option<CredentialSecret> {
    let data = secret.data.as_ref()?;
    let text = |key: &str| {
        let bytes = &data.get(key)?.0;
        let text = std::str::from_utf8(bytes).ok()?.trim_end_matches(['\r', '\n']);
        (!text.is_empty()).then(|| text.to_owned())
    };
    if data.contains_key("api_key") {
        return Some(CredentialSecret::api_key(text("api_key")?));
    }
    if data.contains_key("password") {
        return Some(CredentialSecret::UserPassword {
            username: text("username")?,
            password: text("password")?,
        });
    }
    let headers: Option<IndexMap<String, String>> = data
        .keys()
        .filter(|key| *key != "host")
        .map(|key| Some((key.clone(), text(key)?)))
        .collect();
    Some(CredentialSecret::HostScoped {
        host: text("host")?,
        headers: headers.filter(|headers| !headers.is_empty())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn secret(metadata: Value, data: Value) -> Secret {
        let mut all = json!({"name": "s", "namespace": "n", "labels": {LABEL_CREDENTIAL: "github"}});
        all.as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
        let mut secret: Secret = serde_json::from_value(json!({"metadata": all})).unwrap();
        let bytes = |value: &Value| k8s_openapi::ByteString(value.as_str().unwrap().as_bytes().to_vec());
        secret.data = Some(data.as_object().unwrap().iter().map(|(key, value)| (key.clone(), bytes(value))).collect());
        secret
    }

    fn kind(data: Value) -> Result<&'static str, &'static str> {
        match read("s", Some(&secret(json!({}), data))) {
            Ok(credential) => Ok(credential.secret.kind()),
            Err(not_now) => Err(not_now.reason),
        }
    }

    #[test]
    fn the_keys_say_what_kind_it_is() {
        let read = read("s", Some(&secret(json!({}), json!({"api_key": "abc\n"})))).unwrap();
        assert_eq!(read.secret, CredentialSecret::api_key("abc"));
        assert_eq!(
            (read.origin.as_str(), read.provider.as_str(), read.title.as_deref()),
            ("Secret/n/s", "github", Some("s"))
        );
        assert_eq!(kind(json!({"username": "u", "password": "p"})), Ok("user_password"));
        assert_eq!(kind(json!({"host": "example.com", "Authorization": "Bearer x"})), Ok("host_scoped"));
        for nothing in [
            json!({}),
            json!({"api_key": ""}),
            json!({"password": "p"}),
            json!({"host": "h"}),
            json!({"token": "t"}),
        ] {
            assert_eq!(kind(nothing.clone()), Err(reason::CREDENTIALS_INVALID), "{nothing}");
        }
    }

    #[test]
    fn only_secrets_that_are_meant_for_it_may_be_used() {
        let key = || json!({"api_key": "abc"});
        let owner = json!([{"apiVersion": "autogpt.dev/v1alpha1", "kind": "AutoGPTPlatform", "name": "p", "uid": "u"}]);
        for (found, reason, never, words) in [
            (None, reason::CREDENTIALS_MISSING, false, "create it with the label"),
            (
                Some(secret(json!({"labels": {}}), key())),
                reason::CREDENTIALS_NOT_ALLOWED,
                false,
                "kubectl label secret s",
            ),
            (
                Some(secret(json!({"ownerReferences": owner}), key())),
                reason::CREDENTIALS_NOT_ALLOWED,
                true,
                "belongs to a platform",
            ),
            (
                Some(secret(
                    json!({"labels": {LABEL_CREDENTIAL: "x", "app.kubernetes.io/managed-by": crate::runtime::events::MANAGER}}),
                    key(),
                )),
                reason::CREDENTIALS_NOT_ALLOWED,
                true,
                "belongs to a platform",
            ),
        ] {
            let not_now = read("s", found.as_ref()).unwrap_err();
            assert_eq!((not_now.reason, not_now.never), (reason, never));
            assert!(not_now.message.contains(words), "{}", not_now.message);
        }
    }
}
