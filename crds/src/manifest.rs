//! The CustomResourceDefinitions as installed: what kube derives, finished and checked.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, ValidationRule,
};
use kube::CustomResourceExt;
use serde_json::{Map, Value};

use crate::{AutoGPTPlatform, GraphExecution, GraphSchedule};

/// Which release of the project wrote a definition; an older operator leaves a newer one alone.
pub const ANNOTATION_RELEASE: &str = "autogpt.dev/release";

/// The definitions by name of their file.
pub fn definitions() -> Vec<(&'static str, CustomResourceDefinition)> {
    vec![
        ("autogptplatforms.yaml", finish(AutoGPTPlatform::crd())),
        ("graphexecutions.yaml", finish(GraphExecution::crd())),
        ("graphschedules.yaml", finish(GraphSchedule::crd())),
    ]
}

/// The text of a definition's file.
pub fn yaml(definition: &CustomResourceDefinition) -> Result<String, serde_yaml::Error> {
    Ok(format!(
        "# Generated from crds/src by `cargo run -p crds --bin crdgen`. Do not edit.\n{}",
        serde_yaml::to_string(definition)?
    ))
}

fn finish(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    let annotations = definition.metadata.annotations.get_or_insert_default();
    annotations.insert(ANNOTATION_RELEASE.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    for version in &mut definition.spec.versions {
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        if let Some(spec) = schema.and_then(|schema| schema.properties.as_mut()?.get_mut("spec")) {
            check_times(spec);
        }
    }
    definition
}

/// The API server's own check of a time lets an empty list pass, and years that no program can compute with; an object with either could not be
/// read. A rule of any kind makes it look at the value as a time.
fn check_times(schema: &mut JSONSchemaProps) {
    if schema.format.as_deref() == Some("date-time") {
        schema.x_kubernetes_validations.get_or_insert_default().push(ValidationRule {
            rule: "self > timestamp('0001-01-02T00:00:00Z') && self < timestamp('9999-12-30T00:00:00Z')".to_owned(),
            message: Some("must be a time like 2026-01-31T09:00:00Z".to_owned()),
            ..ValidationRule::default()
        });
    }
    schema.properties.iter_mut().flat_map(|fields| fields.values_mut()).for_each(check_times);
    if let Some(JSONSchemaPropsOrArray::Schema(item)) = schema.items.as_mut() {
        check_times(item);
    }
}

/// Complaints about a schema: strings, lists and maps without bounds, unsigned formats.
pub fn complaints(definition: &CustomResourceDefinition) -> Vec<String> {
    let mut found = Vec::new();
    for version in &definition.spec.versions {
        let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
        match schema.map(serde_json::to_value) {
            Some(Ok(Value::Object(root))) => look(&definition.spec.names.kind, &root, &mut found),
            _ => found.push(format!("{}: no schema", definition.spec.names.kind)),
        }
    }
    found
}

fn look(path: &str, schema: &Map<String, Value>, found: &mut Vec<String>) {
    let has = |key: &str| schema.contains_key(key);
    match schema.get("type").and_then(Value::as_str) {
        Some("string") if !has("maxLength") && !has("enum") && !has("format") => found.push(format!("{path}: no maxLength")),
        Some("array") if !has("maxItems") => found.push(format!("{path}: no maxItems")),
        Some("object") if has("additionalProperties") && !has("maxProperties") => found.push(format!("{path}: no maxProperties")),
        _ => {}
    }
    if schema
        .get("format")
        .and_then(Value::as_str)
        .is_some_and(|format| format.starts_with("uint"))
    {
        found.push(format!("{path}: unsigned format"));
    }
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        // metadata is the API server's
        if let Value::Object(property) = property {
            look(&format!("{path}.{name}"), property, found);
        }
    }
    if let Some(Value::Object(items)) = schema.get("items") {
        look(&format!("{path}[]"), items, found);
    }
    if let Some(Value::Object(values)) = schema.get("additionalProperties") {
        look(&format!("{path}{{}}"), values, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_string_and_list_has_a_bound() {
        let found: Vec<String> = definitions().iter().flat_map(|(_, definition)| complaints(definition)).collect();
        assert!(found.is_empty(), "{found:#?}");
    }

    #[test]
    fn the_charts_files_are_what_the_types_say() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/autogpt/crds");
        for (file, definition) in definitions() {
            let text = std::fs::read_to_string(format!("{directory}/{file}")).unwrap_or_default();
            assert!(
                text == yaml(&definition).unwrap(),
                "charts/autogpt/crds/{file} is out of date: cargo run -p crds --bin crdgen"
            );
            assert!(text.len() < 200_000, "{file} has {} bytes: too large to be applied", text.len());
        }
    }
}
