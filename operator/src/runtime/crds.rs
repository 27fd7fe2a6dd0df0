//! Brings the definitions of the custom resources up to date when the operator starts.
//!
//! Helm installs what lies in `crds/` once and never again, so upgrades are the operator's. It never downgrades: a newer
//! release's definitions may hold fields that stored objects already use.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};

use crate::runtime::events::MANAGER;

/// Why the definitions are not as they should be.
#[derive(Debug, thiserror::Error)]
pub enum CrdError {
    #[error("the definition of {name} cannot be read: {source}; give the operator the right to get it, or set APPLY_CRDS=false")]
    Unreadable { name: String, source: Box<kube::Error> },
    #[error("the definition of {name} is missing: apply the chart's crds/ directory (kubectl apply --server-side -f charts/autogpt/crds)")]
    Missing { name: String },
    #[error("the definition of {name} cannot be updated: {source}; give the operator the right to patch it, or set APPLY_CRDS=false")]
    Unwritable { name: String, source: Box<kube::Error> },
}

/// Updates each definition whose release is older than ours or whose text differs.
pub async fn update(client: &Client) -> Result<(), CrdError> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for (_, definition) in crds::manifest::definitions() {
        let name = definition.name_any();
        let live = match api.get_opt(&name).await {
            Ok(live) => live,
            Err(source) => {
                return Err(CrdError::Unreadable {
                    name,
                    source: Box::new(source),
                });
            }
        };
        let Some(live) = live else { return Err(CrdError::Missing { name }) };
        let (theirs, ours) = (release(&live), release(&definition));
        if theirs > ours {
            tracing::warn!(%name, "a newer release installed this definition: left as it is");
            continue;
        }
        if theirs == ours && holds(&live, &definition) {
            continue;
        }
        api.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&definition))
            .await
            .map_err(|source| CrdError::Unwritable {
                name: name.clone(),
                source: Box::new(source),
            })?;
        tracing::info!(%name, "brought the definition up to date");
    }
    Ok(())
}

/// The release that wrote a definition; one that does not say so is older than all.
fn release(definition: &CustomResourceDefinition) -> Vec<u64> {
    let text = definition.annotations().get(crds::manifest::ANNOTATION_RELEASE);
    text.iter()
        .flat_map(|text| text.split(['.', '-', '+']))
        .map_while(|part| part.parse().ok())
        .collect()
}

/// The API server fills in defaults (such as the conversion strategy), so only what we say is compared.
fn holds(live: &CustomResourceDefinition, definition: &CustomResourceDefinition) -> bool {
    live.spec.versions == definition.spec.versions
        && live.spec.names.short_names == definition.spec.names.short_names
        && live.spec.names.categories == definition.spec.names.categories
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_number() {
        let of = |text: &str| {
            let mut definition = crds::manifest::definitions().remove(0).1;
            definition
                .annotations_mut()
                .insert(crds::manifest::ANNOTATION_RELEASE.to_owned(), text.to_owned());
            release(&definition)
        };
        assert!(of("0.10.0") > of("0.9.3"));
        assert!(of("1.0.0") > of("0.99.0"));
        assert!(of("") < of("0.0.1"));
    }
}
