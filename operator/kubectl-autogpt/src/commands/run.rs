//! `run` and `retry`: new executions.

use std::io::Write;

use crds::{AutoGPTPlatform, GROUP, GraphExecution, VERSION};
use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::{Map, Value, json};

use super::{Done, Run, follow};
use crate::cluster::Cluster;
use crate::complaint::Complaint;
use crate::inputs::{self, Document};

/// Characters of the graph's name that the execution's name keeps.
const KEPT: usize = 40;

pub async fn run(cluster: &Cluster, arguments: Run, out: &mut impl Write) -> Result<Done, Complaint> {
    let given = inputs::pairs(&arguments.inputs)?;
    let mut manifest = match inputs::document(&arguments.file)? {
        Document::Graph(graph) => {
            let prefix = slug(graph.get("name").and_then(Value::as_str).unwrap_or_default());
            manifest(&prefix, json!({"graph": {"inline": graph}}))
        }
        Document::Execution(manifest) => manifest,
    };
    let spec = spec(&mut manifest)?;
    if !given.is_empty() {
        let inputs = spec.entry("inputs").or_insert_with(|| json!({}));
        if let Some(inputs) = inputs.as_object_mut() {
            inputs.extend(given);
        }
    }
    if let Some(deadline) = arguments.deadline {
        spec.insert("deadline".to_owned(), Value::from(deadline));
    }
    if arguments.platform.is_some() || !spec.contains_key("platformRef") {
        let platform = platform(cluster, arguments.platform).await?;
        spec.insert("platformRef".to_owned(), json!({"name": platform}));
    }
    create(cluster, manifest, arguments.name, arguments.follow, out).await
}

pub async fn retry(cluster: &Cluster, of: &str, name: Option<String>, follow: bool, out: &mut impl Write) -> Result<Done, Complaint> {
    let former: GraphExecution = cluster.get(of).await?;
    let spec = json!({"platformRef": former.spec.platform_ref, "retryOf": {"name": of}});
    create(cluster, manifest(&slug(of), spec), name, follow, out).await
}

fn manifest(prefix: &str, spec: Value) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "GraphExecution",
        "metadata": {"generateName": format!("{prefix}-")}, "spec": spec,
    })
}

fn spec(manifest: &mut Value) -> Result<&mut Map<String, Value>, Complaint> {
    manifest
        .get_mut("spec")
        .and_then(Value::as_object_mut)
        .ok_or_else(|| Complaint::new("the GraphExecution has no spec", "see examples/execution.yaml for one that has"))
}

async fn create(cluster: &Cluster, mut manifest: Value, name: Option<String>, follow: bool, out: &mut impl Write) -> Result<Done, Complaint> {
    if let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut) {
        // The file may come from elsewhere: it runs where the command says.
        metadata.insert("namespace".to_owned(), Value::from(cluster.namespace.clone()));
        if let Some(name) = name {
            metadata.remove("generateName");
            metadata.insert("name".to_owned(), Value::from(name));
        }
    }
    let execution: GraphExecution = serde_json::from_value(manifest).map_err(|error| {
        Complaint::new(
            format!("this is no GraphExecution: {error}"),
            "compare with examples/execution.yaml, or with `kubectl explain gexec.spec`",
        )
    })?;
    let created = cluster.api::<GraphExecution>().create(&PostParams::default(), &execution).await;
    let created = created.map_err(|error| Complaint::of_kube(&format!("create a GraphExecution in namespace {}", cluster.namespace), &error))?;
    let name = created.name_any();
    writeln!(out, "graphexecution/{name} created")?;
    if follow {
        return follow::run(cluster, &name, out).await;
    }
    writeln!(out, "`kubectl autogpt follow {name}` shows how it gets on")?;
    Ok(Done::Well)
}

/// The platform by name, or the only one of the namespace.
async fn platform(cluster: &Cluster, named: Option<String>) -> Result<String, Complaint> {
    if let Some(name) = named {
        return Ok(name);
    }
    let names: Vec<String> = cluster.list::<AutoGPTPlatform>().await?.iter().map(ResourceExt::name_any).collect();
    match names.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Complaint::new(
            format!("there is no AutoGPTPlatform in namespace {}", cluster.namespace),
            "name another namespace with -n, or create a platform: examples/platform.yaml",
        )),
        several => Err(Complaint::new(
            format!("there are several platforms in namespace {}: {}", cluster.namespace, several.join(", ")),
            "say which one with --platform",
        )),
    }
}

/// A beginning of an object's name.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for letter in name.chars().take(KEPT) {
        match letter.to_ascii_lowercase() {
            letter if letter.is_ascii_alphanumeric() => slug.push(letter),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    let slug = slug.trim_matches('-');
    if slug.is_empty() { "run".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_graphs_begin_names_of_objects() {
        for (name, expected) in [("Hello", "hello"), ("  My 2nd graph! ", "my-2nd-graph"), ("日本", "run"), ("", "run")] {
            assert_eq!(slug(name), expected);
        }
        assert!(slug(&"ab ".repeat(40)).len() <= KEPT);
    }
}
