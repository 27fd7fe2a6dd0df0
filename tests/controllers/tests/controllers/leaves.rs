//! Every leaf of the three kinds with values that nobody would write, made from the definitions themselves: each is refused with a message,
//! or handled; the operator lives on, and stops writing and looking.

use std::collections::BTreeMap;
use std::time::Duration;

use controllers_tests::eventually::within;
use controllers_tests::{Operator, World};
use kube::CustomResourceExt;
use kube::api::{DeleteParams, DynamicObject, ListParams, PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// Objects that the operator has to look at, at the same time.
const AT_ONCE: usize = 60;
/// Long enough to see a loop that does not wait, short enough for a test.
const QUIET: Duration = Duration::from_secs(3);
const LIMIT: Duration = Duration::from_secs(60);
/// Writes of one object until it is as the operator wants it: its own status, what it makes, the status of that.
const WRITES: usize = 60;
/// Looks in [`QUIET`] at so many objects, when nothing is written any more: what waits for something is tried again now and then.
fn most_looks(objects: usize) -> f64 {
    f64::from(u32::try_from(objects).unwrap()) * 3.0 + 30.0
}

/// One way to write a field.
struct Mutation {
    path: String,
    spec: Value,
}

/// Values at and beyond the bounds of a leaf, of other types, and none.
fn values(schema: &Value) -> Vec<Value> {
    let mut values = vec![json!(null), json!(0), json!("x"), json!(true), json!([]), json!({}), json!([{"x": [1]}])];
    let number = |name: &str| schema.get(name).and_then(Value::as_i64);
    let length = |name: &str| number(name).and_then(|number| usize::try_from(number).ok());
    match schema["type"].as_str().unwrap_or_default() {
        "string" => {
            values.extend([json!(""), json!("\u{0}"), json!("ß∞\u{202e}"), json!("-"), json!("..")]);
            for bound in [length("minLength"), length("maxLength")].into_iter().flatten() {
                values.extend([bound.saturating_sub(1), bound, bound + 1].map(|length| json!("a".repeat(length))));
            }
            values.extend(schema["enum"].as_array().into_iter().flatten().cloned());
            if schema["format"] == "date-time" {
                values.extend(
                    [
                        "0001-01-01T00:00:00Z",
                        "9999-12-31T23:59:59Z",
                        "2026-02-30T00:00:00Z",
                        "2026-01-01T00:00:00+14:00",
                    ]
                    .map(Value::from),
                );
            }
            // What the fields of these kinds mean: durations, quantities, names, URLs, cron lines.
            values.extend(
                [
                    "0s",
                    "1ns",
                    "87600h",
                    "1Gi",
                    "1e400",
                    "9".repeat(40).as_str(),
                    "https://x/",
                    "* * * * *",
                    "a.b",
                ]
                .map(Value::from),
            );
        }
        "integer" | "number" => {
            values.extend([json!(-1), json!(1), json!(1.5), json!(i64::MAX), json!(i64::MIN), json!(1e300)]);
            for bound in [number("minimum"), number("maximum")].into_iter().flatten() {
                values.extend([bound.saturating_sub(1), bound, bound.saturating_add(1)].map(Value::from));
            }
        }
        "boolean" => values.push(json!(false)),
        "array" => {
            let item = sample(&schema["items"]);
            values.extend([json!([item]), json!([item, item])]);
            if let Some(most) = length("maxItems") {
                values.extend([vec![item.clone(); most], vec![item; most + 1]].map(Value::from));
            }
        }
        _ => {
            values.push(json!({"": ""}));
            if schema.get("additionalProperties").is_some_and(Value::is_object) {
                values.push(json!({"k": sample(&schema["additionalProperties"])}));
            }
        }
    }
    values
}

/// Something that the schema might accept.
fn sample(schema: &Value) -> Value {
    if let Some(default) = schema.get("default") {
        return default.clone();
    }
    if let Some(first) = schema["enum"].as_array().and_then(|words| words.first()) {
        return first.clone();
    }
    match schema["type"].as_str().unwrap_or_default() {
        "string" if schema["format"] == "date-time" => json!("2026-01-01T00:00:00Z"),
        "string" => json!("a".repeat(usize::try_from(schema["minLength"].as_u64().unwrap_or(1)).unwrap())),
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or(json!(1)),
        "boolean" => json!(true),
        "array" => json!([]),
        _ => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let fields = required.map(|name| (name.to_owned(), sample(&schema["properties"][name])));
            Value::Object(fields.collect())
        }
    }
}

/// A key where the schema has none in particular.
const ANY: &str = "any";

/// Every leaf below a schema, with the path to it.
fn leaves(schema: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    if let Some(properties) = schema["properties"].as_object() {
        for (name, schema) in properties {
            leaves(schema, &below(name), found);
        }
    }
    if schema["items"].is_object() {
        leaves(&schema["items"], &below("0"), found);
    }
    if schema["additionalProperties"].is_object() {
        leaves(&schema["additionalProperties"], &below(ANY), found);
    }
    if !path.is_empty() {
        found.push((path.to_owned(), schema.clone()));
    }
}

/// `spec` with the field at a path set or removed; what is missing on the way is made as the schema has it.
fn with(spec: &Value, schema: &Value, path: &str, value: &Value) -> Value {
    let mut changed = spec.clone();
    let (mut place, mut schema) = (&mut changed, schema);
    let keys: Vec<&str> = path.split('.').collect();
    for (index, key) in keys.iter().enumerate() {
        let is_last = index + 1 == keys.len();
        if *key == "0" {
            schema = &schema["items"];
            if !place.is_array() {
                *place = json!([]);
            }
            let list = place.as_array_mut().unwrap();
            if list.is_empty() {
                list.push(sample(schema));
            }
            if is_last {
                list[0] = value.clone();
                return changed;
            }
            place = &mut list[0];
        } else {
            schema = schema["properties"].get(*key).unwrap_or(&schema["additionalProperties"]);
            if !place.is_object() {
                *place = json!({});
            }
            let fields: &mut Map<String, Value> = place.as_object_mut().unwrap();
            match (is_last, value) {
                (true, Value::Null) => drop(fields.remove(*key)),
                (true, value) => drop(fields.insert((*key).to_owned(), value.clone())),
                (false, _) => {}
            }
            if is_last {
                return changed;
            }
            place = fields.entry((*key).to_owned()).or_insert_with(|| sample(schema));
        }
    }
    changed
}

fn mutations(base: &Value, schema: &Value) -> Vec<Mutation> {
    let mut found = Vec::new();
    leaves(schema, "", &mut found);
    let mut seen = std::collections::BTreeSet::new();
    let mut mutations = Vec::new();
    for (path, leaf) in found {
        for value in values(&leaf) {
            let spec = with(base, schema, &path, &value);
            if spec != *base && seen.insert(spec.to_string()) {
                mutations.push(Mutation { path: path.clone(), spec });
            }
        }
    }
    mutations
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// Whether the operator has looked at an object.
fn is_looked_at(object: &DynamicObject) -> bool {
    let status = &object.data["status"];
    status["observedGeneration"].is_i64() || status["conditions"].as_array().is_some_and(|conditions| !conditions.is_empty())
}

/// How many looks there were so far.
async fn looks(operator: &Operator) -> f64 {
    let text = operator.metrics().await;
    let of_controllers = text.lines().filter(|line| line.starts_with("operator_reconciles_total{"));
    let counts = of_controllers.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
    let all: f64 = counts.sum();
    assert!(all > 0.0, "{text}");
    all
}

async fn endure<K: CustomResourceExt + DeserializeOwned>(kind: &str, base: Value, of_each_leaf: usize) {
    let definition = serde_json::to_value(K::crd()).unwrap();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let world = World::new().await;
    let platform = json!({"paused": true});
    if kind != "AutoGPTPlatform" {
        world.apply(&object("AutoGPTPlatform", "p", &platform)).await.unwrap();
    }
    let operator = world.operator("a").await;
    let api = world.dynamic(&object(kind, "x", &base));
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let mut accepted: Vec<(&str, Value)> = Vec::new();
    let mut refused = 0;
    let mutations = mutations(&base, schema);
    for (number, mutation) in mutations.iter().enumerate() {
        let manifest = object(kind, &format!("m-{number}"), &mutation.spec);
        match api.create(&dry, &serde_json::from_value(manifest.clone()).unwrap()).await {
            Ok(_) => {
                let of_this_leaf = accepted.iter().filter(|(path, _)| *path == mutation.path).count();
                if let Err(error) = serde_json::from_value::<K>(manifest.clone()) {
                    panic!("{}: accepted, and nobody can read it: {error}: {manifest}", mutation.path);
                }
                if of_this_leaf < of_each_leaf {
                    accepted.push((&mutation.path, manifest));
                }
            }
            Err(kube::Error::Api(status)) => {
                assert!(matches!(status.code, 400 | 422), "{}: {status:?}", mutation.path);
                assert!(status.message.len() > 20, "{}: {status:?}", mutation.path);
                refused += 1;
            }
            Err(error) => panic!("{} {}: {error}", mutation.path, mutation.spec),
        }
    }
    let paths: BTreeMap<&str, ()> = mutations.iter().map(|mutation| (mutation.path.as_str(), ())).collect();
    eprintln!(
        "{kind}: {} leaves, {refused} values refused, {} accepted and tried",
        paths.len(),
        accepted.len()
    );
    assert!(refused > 0 && !accepted.is_empty());
    for some in accepted.chunks(AT_ONCE) {
        let before = world.writes().len();
        for (_, manifest) in some {
            api.create(&PostParams::default(), &serde_json::from_value(manifest.clone()).unwrap())
                .await
                .unwrap();
        }
        within(LIMIT, "every object is looked at", || async {
            let list = api.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
            let ours = list
                .items
                .iter()
                .filter(|object| object.metadata.name.as_ref().is_some_and(|name| name.starts_with("m-")));
            let left: Vec<String> = ours
                .filter(|object| !is_looked_at(object))
                .map(|object| object.data.to_string())
                .collect();
            left.into_iter().next().map_or(Ok(()), Err)
        })
        .await;
        world.comes_to_rest(QUIET).await;
        let all = world.writes().len() - before;
        assert!(all <= some.len() * WRITES, "{all} writes for {} objects", some.len());
        // A platform is looked at whenever anything moves that it owns.
        if kind != "AutoGPTPlatform" {
            let before = looks(&operator).await;
            tokio::time::sleep(QUIET).await;
            let looked = looks(&operator).await - before;
            assert!(looked <= most_looks(some.len()), "{looked} looks at {} objects at rest", some.len());
        }
        api.delete_collection(&DeleteParams::background(), &ListParams::default()).await.unwrap();
        if kind != "AutoGPTPlatform" {
            continue;
        }
        within(LIMIT, "the objects are gone", || async {
            let left = api.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items.len();
            if left == 0 { Ok(()) } else { Err(left.to_string()) }
        })
        .await;
    }
    let healthy = object(kind, "healthy", &base);
    world.apply(&healthy).await.unwrap();
    within(LIMIT, "another object is looked at", || async {
        let found = api.get("healthy").await.map_err(|error| error.to_string())?;
        if is_looked_at(&found) { Ok(()) } else { Err(found.data.to_string()) }
    })
    .await;
    operator.assert_running().await.stop().await;
}

#[tokio::test]
async fn of_schedules() {
    let base = json!({"platformRef": {"name": "p"}, "graph": {"configMapRef": {"name": "g"}}, "schedules": ["0 0 29 2 *"]});
    endure::<crds::GraphSchedule>("GraphSchedule", base, usize::MAX).await;
}

#[tokio::test]
async fn of_executions() {
    let base = json!({"platformRef": {"name": "p"}, "graph": {"configMapRef": {"name": "g"}}});
    endure::<crds::GraphExecution>("GraphExecution", base, usize::MAX).await;
}

#[tokio::test]
async fn of_platforms() {
    // Each makes a dozen objects.
    endure::<crds::AutoGPTPlatform>("AutoGPTPlatform", json!({}), 1).await;
}
