//! Every rule of the three schemas, on the server that enforces them: what is accepted, and what is refused with which words.

use controllers_tests::World;
use controllers_tests::cluster::repository;
use controllers_tests::world::documents;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

const ID: &str = "0190f1d2-0000-7000-8000-000000000001";

fn manifest(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// `base` with one field, given by its path, set or (null) removed.
fn with(base: &Value, path: &str, value: Value) -> Value {
    let mut changed = base.clone();
    let mut place = &mut changed;
    let keys: Vec<&str> = path.split('.').collect();
    for key in &keys[..keys.len() - 1] {
        place = place.as_object_mut().unwrap().entry((*key).to_owned()).or_insert_with(|| json!({}));
    }
    let place = place.as_object_mut().unwrap();
    match value {
        Value::Null => place.remove(keys[keys.len() - 1]),
        value => place.insert(keys[keys.len() - 1].to_owned(), value),
    };
    changed
}

/// Creates without storing; the refusal in words.
async fn try_create(world: &World, manifest: &Value) -> Result<(), String> {
    let parameters = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let object = serde_json::from_value(manifest.clone()).unwrap();
    match world.dynamic(manifest).create(&parameters, &object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 422 => Err(status.message),
        Err(error) => panic!("{error:?}"),
    }
}

/// A table: path below spec, value, and the words of the refusal, or "" for accepted.
async fn judge(world: &World, kind: &str, base: &Value, table: &[(&str, Value, &str)]) {
    assert_eq!(try_create(world, &manifest(kind, "plain", base.clone())).await, Ok(()), "the base itself");
    for (path, value, words) in table {
        let outcome = try_create(world, &manifest(kind, "plain", with(base, path, value.clone()))).await;
        match (&outcome, words.is_empty()) {
            (Ok(()), true) => {}
            (Err(message), false) if message.contains(words) => {}
            _ => panic!("{kind} {path} = {value:.200}: expected {words:?}, found {outcome:?}"),
        }
    }
}

fn graph() -> Value {
    json!({"name": "g", "nodes": [{"id": "a", "block_id": ID}]})
}

fn references(count: usize) -> Value {
    let reference = |number| (format!("k{number}"), json!({"secretRef": {"name": "s"}}));
    (0..count).map(reference).collect::<serde_json::Map<_, _>>().into()
}

fn many(count: usize) -> Value {
    (0..count)
        .map(|number| (format!("k{number}"), json!(number)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[tokio::test]
async fn executions() {
    let world = World::new().await;
    let base = json!({"platformRef": {"name": "p"}, "graph": {"id": ID}});
    let table = [
        ("platformRef", Value::Null, "spec.platformRef: Required value"),
        ("platformRef.name", json!("P"), "should match"),
        ("platformRef.name", json!("p".repeat(41)), "Too long"),
        ("graph", Value::Null, "give exactly one of graph and retryOf"),
        ("retryOf", json!({"name": "former"}), "give exactly one of graph and retryOf"),
        ("graph.id", json!("1"), "should be at least 36 chars long"),
        ("graph.id", json!("x".repeat(36)), "should match"),
        ("graph.version", json!(2), ""),
        ("graph.version", json!(0), "greater than or equal to 1"),
        ("graph.version", json!("2"), "must be of type integer"),
        ("graph", json!({}), "exactly one of graph.id, graph.inline and graph.configMapRef"),
        ("graph", json!({"id": ID, "inline": graph()}), "exactly one of"),
        ("graph", json!({"id": ID, "configMapRef": {"name": "m"}}), "exactly one of"),
        ("graph", json!({"inline": graph(), "version": 1}), "graph.version belongs to graph.id"),
        ("graph", json!({"inline": graph()}), ""),
        ("graph", json!({"inline": with(&graph(), "anything", json!({"else": [1]}))}), ""),
        (
            "graph",
            json!({"inline": with(&graph(), "name", Value::Null)}),
            "inline.name: Required value",
        ),
        ("graph", json!({"inline": with(&graph(), "name", json!(""))}), "at least 1 chars long"),
        ("graph", json!({"inline": with(&graph(), "nodes", json!([]))}), "at least 1 items"),
        (
            "graph",
            json!({"inline": with(&graph(), "nodes", json!([{"id": "a"}]))}),
            "block_id: Required value",
        ),
        (
            "graph",
            json!({"inline": with(&graph(), "nodes", json!([{"id": "a", "block_id": "x".repeat(36)}]))}),
            "should match",
        ),
        (
            "graph",
            json!({"inline": with(&graph(), "nodes", json!([{"id": "x".repeat(129), "block_id": ID}]))}),
            "Too long",
        ),
        (
            "graph",
            json!({"inline": with(&graph(), "links", json!([{"source_id": "a"}]))}),
            "sink_id: Required value",
        ),
        ("graph", json!({"configMapRef": {"name": "m"}}), ""),
        ("graph", json!({"configMapRef": {"name": "m", "key": "a/b"}}), "should match"),
        ("owner", json!(ID), ""),
        ("owner", json!("me"), "at least 36"),
        ("inputs", json!({"a": {"b": [1, null, "c"]}, "d": 1.5}), ""),
        ("inputs", json!("a"), "must be of type object"),
        ("inputs", many(256), ""),
        ("inputs", many(257), "must have at most 256 items"),
        ("inputsRef", json!({"scheduleId": ID}), ""),
        ("inputsRef", json!({}), "scheduleId: Required value"),
        ("credentials", json!({"github_api_key_credentials": {"secretRef": {"name": "s"}}}), ""),
        ("credentials", json!({"a": {"secretRef": {"name": "S"}}}), "should match"),
        ("credentials", json!({"a": {}}), "secretRef: Required value"),
        ("credentials", json!({"a": "s"}), "must be of type object"),
        ("credentials", json!(["s"]), "must be of type object"),
        ("credentials", references(32), ""),
        ("credentials", references(33), "must have at most 32 items"),
        ("cancel", json!(true), ""),
        ("cancel", json!("yes"), "must be of type boolean"),
        ("deadline", json!("90s"), ""),
        ("deadline", json!("1h30m"), ""),
        ("deadline", json!("1.5h"), ""),
        ("deadline", json!("8760h"), ""),
        ("deadline", json!("8760h1s"), "deadline must be from 1s to 8760h, for example 90s"),
        ("deadline", json!("0.5s"), "deadline must be from 1s to 8760h, for example 90s"),
        ("deadline", json!("-5s"), "should match"),
        ("deadline", json!("soon"), "should match"),
        ("deadline", json!("99999999h99999999h99999999h"), "deadline"),
        ("deadline", json!(90), "must be of type string"),
        ("ignoreNodeErrors", json!(true), ""),
        ("ttlSecondsAfterFinished", json!(0), ""),
        ("ttlSecondsAfterFinished", json!(-1), "greater than or equal to 0"),
        ("ttlSecondsAfterFinished", json!(31_536_001), "less than or equal to 31536000"),
        ("scheduledFor", json!("2026-01-01T00:00:00Z"), ""),
        ("scheduledFor", json!("noon"), "date-time"),
    ];
    judge(&world, "GraphExecution", &base, &table).await;
    let both = with(&with(&base, "inputs", json!({})), "inputsRef", json!({"scheduleId": ID}));
    let refusal = try_create(&world, &manifest("GraphExecution", "plain", both)).await.unwrap_err();
    assert!(refusal.contains("give inputs or inputsRef, not both"), "{refusal}");
    let retry = json!({"platformRef": {"name": "p"}, "retryOf": {"name": "former"}});
    let table = [
        ("retryOf", json!({"name": "Former"}), "should match"),
        ("retryOf", json!({}), "retryOf.name: Required value"),
        ("retryOf", json!("former"), "must be of type object"),
        ("retryOf", json!({"name": "plain"}), "retryOf names the object itself"),
        ("deadline", json!("1h"), ""),
        ("ignoreNodeErrors", json!(true), ""),
        ("inputs", json!({"a": 1}), "leave out owner, inputs"),
        ("owner", json!(ID), "leave out owner, inputs"),
        ("credentials", references(1), "leave out owner, inputs"),
    ];
    judge(&world, "GraphExecution", &retry, &table).await;
    names(&world, "GraphExecution", &base, 63).await;
}

fn backfill(name: &str, from: u32, to: u32) -> Value {
    json!({"name": name, "from": format!("2026-01-0{from}T00:00:00Z"), "to": format!("2026-01-0{to}T00:00:00Z")})
}

#[tokio::test]
async fn schedules() {
    let world = World::new().await;
    let base = json!({"platformRef": {"name": "p"}, "graph": {"id": ID}, "schedules": ["* * * * *"]});
    let table = [
        ("platformRef", Value::Null, "Required value"),
        ("graph", json!({}), "exactly one of"),
        ("owner", json!("me"), "at least 36"),
        ("schedules", Value::Null, "spec.schedules: Required value"),
        ("schedules", json!([]), "at least 1 items"),
        ("schedules", json!(["x".repeat(120)]), ""),
        ("schedules", json!(["x".repeat(121)]), "Too long"),
        ("schedules", json!([""]), "at least 1 chars long"),
        ("schedules", json!(vec!["@daily"; 20]), ""),
        ("schedules", json!(vec!["@daily"; 21]), "must have at most 20 items"),
        ("schedules", json!("@daily"), "must be of type array"),
        ("timeZone", json!("Europe/Berlin"), ""),
        ("timeZone", json!(""), "at least 1 chars long"),
        ("timeZone", json!("x".repeat(65)), "Too long"),
        ("dayMatch", json!("Both"), ""),
        ("dayMatch", json!("Neither"), "Unsupported value"),
        ("seconds", json!(true), ""),
        ("startAt", json!("soon"), "date-time"),
        ("maxRuns", json!(0), "greater than or equal to 1"),
        ("exclusions", json!([{"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}]), ""),
        (
            "exclusions",
            json!([{"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}]),
            "must end later than it begins",
        ),
        ("jitter", json!("5m"), ""),
        ("jitter", json!("25h"), "jitter must be at most 24h"),
        ("jitter", json!("5 minutes"), "should match"),
        ("overlapPolicy", json!("CancelOther"), ""),
        ("overlapPolicy", json!("Forbid"), "Unsupported value"),
        ("bufferLimit", json!(5), "bufferLimit belongs to overlapPolicy BufferAll"),
        ("catchUp", json!({"policy": "All", "limit": 1000, "window": "24h"}), ""),
        ("catchUp", json!({"limit": 5}), "catchUp.limit belongs to policy All"),
        ("catchUp", json!({"window": "90000h"}), "catchUp.window must be at most 87600h"),
        ("catchUp", json!({"policy": "All", "limit": 1001}), "less than or equal to 1000"),
        ("pauseOnFailure", json!(0), "greater than or equal to 1"),
        ("backfills", json!([backfill("b", 1, 2)]), ""),
        ("backfills", json!([backfill("b", 2, 1)]), "must not end before it begins"),
        ("backfills", json!([backfill("B", 1, 2)]), "should match"),
        ("backfills", json!([backfill("b", 1, 2), backfill("b", 3, 4)]), "Duplicate value"),
        ("deadline", json!("0s"), "deadline must be from 1s to 8760h"),
        ("ttlSecondsAfterFinished", json!(-1), "greater than or equal to 0"),
        ("credentials", json!({"github": {"secretRef": {"name": "token"}}}), ""),
        ("suspend", json!({}), ""),
        ("suspend", json!({"note": "holidays"}), ""),
        ("suspend", json!(true), "must be of type object"),
        ("suspend", json!({"note": "x".repeat(1025)}), "Too long"),
        ("historyLimit", json!({"succeeded": 0, "failed": 1000}), ""),
        ("historyLimit", json!({"succeeded": -1}), "greater than or equal to 0"),
        ("historyLimit", json!({"failed": 1001}), "less than or equal to 1000"),
        ("inputs", many(257), "must have at most 256 items"),
        ("inputsRef", json!({"scheduleId": ID}), ""),
    ];
    judge(&world, "GraphSchedule", &base, &table).await;
    let window = with(
        &with(&base, "startAt", json!("2026-01-02T00:00:00Z")),
        "endAt",
        json!("2026-01-01T00:00:00Z"),
    );
    let refusal = try_create(&world, &manifest("GraphSchedule", "window", window)).await.unwrap_err();
    assert!(refusal.contains("endAt must be later than startAt"), "{refusal}");
    let both = with(&with(&base, "inputs", json!({})), "inputsRef", json!({"scheduleId": ID}));
    let refusal = try_create(&world, &manifest("GraphSchedule", "plain", both)).await.unwrap_err();
    assert!(refusal.contains("give inputs or inputsRef, not both"), "{refusal}");
    names(&world, "GraphSchedule", &base, 63).await;
}

#[tokio::test]
async fn platforms() {
    let world = World::new().await;
    let external = json!({"external": {"secretRef": {"name": "s"}}});
    let gateway = json!({"parentRef": {"name": "g"}});
    let env = |variables: Value| json!({"env": variables});
    let table = [
        (
            "image",
            json!({"repository": "ghcr.io:443/a/b", "tag": "v1.2_3", "pullPolicy": "Always"}),
            "",
        ),
        ("image.repository", json!("/a"), "should match"),
        ("image.tag", json!("a b"), "should match"),
        ("image.tag", json!("x".repeat(129)), "Too long"),
        ("image.pullPolicy", json!("Sometimes"), "Unsupported value"),
        (
            "dataImages",
            json!({"postgres": "postgres@sha256:0", "redis": "r:7", "rabbitmq": "q"}),
            "",
        ),
        ("dataImages.redis", json!("-r"), "should match"),
        ("postgres", external.clone(), ""),
        ("redis", external.clone(), ""),
        ("rabbitmq", external.clone(), ""),
        ("postgres", json!({}), "exactly one of external and managed"),
        ("postgres", with(&external, "managed", json!({})), "exactly one of external and managed"),
        ("postgres", json!({"external": {}}), "secretRef: Required value"),
        ("postgres", json!({"external": {"secretRef": {"name": "S"}}}), "should match"),
        ("postgres.managed.storage", json!({"size": "10Gi", "storageClassName": "fast"}), ""),
        ("postgres.managed.storage.size", json!(1_000_000), ""),
        ("postgres.managed.storage.size", json!("many"), "should match"),
        ("postgres.managed.storage.size", json!("-1Gi"), "should match"),
        ("postgres.managed.resources", json!({"requests": {"cpu": 1, "memory": "1.5Gi"}}), ""),
        ("components.rest.replicas", json!(0), ""),
        ("components.rest.replicas", json!(-1), "greater than or equal to 0"),
        ("components.rest.replicas", json!(101), "less than or equal to 100"),
        ("components.executor.resources", json!({"limits": {"cpu": "500m"}}), ""),
        ("components.executor.resources", json!({"limits": {"cpu": "half"}}), "should match"),
        (
            "components.rest",
            env(json!([{"name": "A", "value": ""}, {"name": "B", "secretKeyRef": {"name": "s", "key": "k"}}])),
            "",
        ),
        ("components.rest", env(json!([{"name": "A"}])), "exactly one of value and secretKeyRef"),
        (
            "components.rest",
            env(json!([{"name": "A", "value": "", "secretKeyRef": {"name": "s", "key": "k"}}])),
            "exactly one of value",
        ),
        (
            "components.rest",
            env(json!([{"name": "A", "value": ""}, {"name": "A", "value": ""}])),
            "Duplicate value",
        ),
        ("components.rest", env(json!([{"name": "1A", "value": ""}])), "should match"),
        ("components.rest", env(json!([{"name": "A", "value": "x".repeat(32_769)}])), "Too long"),
        ("auth", json!({"jwtSecretRef": {"name": "s", "key": "k"}}), ""),
        ("auth", json!({"jwtSecretRef": {"name": "s"}}), "key: Required value"),
        ("scheduler.store", json!("postgres"), ""),
        ("scheduler.store", json!("memory"), "Unsupported value"),
        ("smtp", json!({"secretRef": {"name": "s"}}), ""),
        ("smtp", json!({}), "secretRef: Required value"),
        ("access.owners", json!(["*", ID]), ""),
        ("access.owners", json!(["**"]), "should match"),
        ("access.owners", json!(["*", "*"]), "Duplicate value"),
        ("ingress", json!({"host": "*.example.com", "tls": {"secretName": "s"}}), ""),
        ("ingress", json!({"tls": {"secretName": "s"}}), "tls needs a host"),
        (
            "gateway",
            json!({"parentRef": {"name": "g", "namespace": "n", "sectionName": "web", "port": 80}, "hostnames": ["a.example", "*.b.example"], "url": "https://a.example:8443"}),
            "",
        ),
        ("gateway", json!({}), "parentRef: Required value"),
        ("gateway", json!({"parentRef": {}}), "name: Required value"),
        ("gateway.parentRef", json!({"name": "G"}), "should match"),
        ("gateway.parentRef", json!({"name": "g", "namespace": "a.b"}), "should match"),
        ("gateway.parentRef", json!({"name": "g", "port": 0}), "greater than or equal to 1"),
        ("gateway", with(&gateway, "hostnames", json!(["a:80"])), "should match"),
        ("gateway", with(&gateway, "hostnames", json!(["a", "a"])), "Duplicate value"),
        (
            "gateway",
            with(&gateway, "hostnames", json!(["192.0.2.1"])),
            "a hostname is a name, not an IP address",
        ),
        (
            "gateway",
            with(
                &gateway,
                "hostnames",
                json!((0..17).map(|number| format!("h{number}")).collect::<Vec<_>>()),
            ),
            "Too many",
        ),
        ("gateway", with(&gateway, "url", json!("a.example")), "should match"),
        ("paused", json!(true), ""),
        ("deletionPolicy", json!("Delete"), ""),
        ("deletionPolicy", json!("Orphan"), "Unsupported value"),
    ];
    judge(&world, "AutoGPTPlatform", &json!({}), &table).await;
    names(&world, "AutoGPTPlatform", &json!({}), 40).await;
    for name in ["1st", "a.b"] {
        let refusal = try_create(&world, &manifest("AutoGPTPlatform", name, json!({}))).await.unwrap_err();
        assert!(refusal.contains("begins with a letter and has no dots"), "{refusal}");
    }
}

async fn names(world: &World, kind: &str, base: &Value, longest: usize) {
    assert_eq!(try_create(world, &manifest(kind, &"a".repeat(longest), base.clone())).await, Ok(()));
    let refusal = try_create(world, &manifest(kind, &"a".repeat(longest + 1), base.clone()))
        .await
        .unwrap_err();
    assert!(refusal.contains(&format!("at most {longest} characters")), "{refusal}");
}

#[tokio::test]
async fn defaults_are_the_schemas() {
    let world = World::new().await;
    let platform = world.apply(&manifest("AutoGPTPlatform", "p", json!({}))).await.unwrap();
    let spec = &platform.data["spec"];
    for store in ["postgres", "redis", "rabbitmq"] {
        assert_eq!(spec[store], Value::Null, "a default would stand in the way of whoever changes it");
    }
    let managed = world
        .apply(&manifest("AutoGPTPlatform", "q", json!({"redis": {"managed": {}}})))
        .await
        .unwrap();
    assert_eq!(managed.data["spec"]["redis"], json!({"managed": {"storage": {"size": "2Gi"}}}));
    assert_eq!(
        (&spec["deletionPolicy"], &spec["scheduler"]["store"]),
        (&json!("Retain"), &json!("kubernetes"))
    );
    assert_eq!(spec["components"]["databaseManager"]["replicas"], 1);
    let schedule = json!({"platformRef": {"name": "p"}, "graph": {"id": ID}, "schedules": ["@daily"]});
    let schedule = world.apply(&manifest("GraphSchedule", "s", schedule)).await.unwrap();
    let spec = &schedule.data["spec"];
    assert_eq!((&spec["timeZone"], &spec["dayMatch"]), (&json!("UTC"), &json!("Either")));
    assert_eq!(spec["historyLimit"], json!({"succeeded": 3, "failed": 3}));
    assert_eq!(
        (&spec["overlapPolicy"], &spec["catchUp"]),
        (&json!("Allow"), &json!({"policy": "Latest"}))
    );
}

#[tokio::test]
async fn only_cancel_and_ttl_of_an_execution_change() {
    let world = World::new().await;
    let spec = json!({"platformRef": {"name": "p"}, "graph": {"inline": graph()}, "inputs": {"a": 1}, "owner": ID, "deadline": "90s"});
    let stored = manifest("GraphExecution", "e", spec);
    world.apply(&stored).await.unwrap();
    let api = world.dynamic(&stored);
    let change = async |patch: Value| match api.patch("e", &PatchParams::default(), &Patch::Merge(&json!({"spec": patch}))).await {
        Ok(_) => String::new(),
        Err(kube::Error::Api(status)) => status.message,
        Err(error) => panic!("{error:?}"),
    };
    for (patch, words) in [
        (json!({"platformRef": {"name": "q"}}), "platformRef cannot change"),
        (json!({"graph": {"inline": {"name": "other"}}}), "graph cannot change"),
        (json!({"graph": {"inline": {"unknown": {"deep": 1}}}}), "graph cannot change"),
        (
            json!({"graph": {"inline": {"nodes": [{"id": "a", "block_id": ID, "input_default": {"x": 1}}]}}}),
            "graph cannot change",
        ),
        (json!({"graph": {"inline": null, "id": ID}}), "graph cannot change"),
        (json!({"graph": null, "retryOf": {"name": "former"}}), "cannot change"),
        (json!({"inputs": {"a": 2}}), "inputs cannot change"),
        (json!({"inputs": null}), "inputs cannot change"),
        (json!({"inputs": null, "inputsRef": {"scheduleId": ID}}), "cannot change"),
        (json!({"owner": null}), "owner cannot change"),
        (json!({"ignoreNodeErrors": true}), "ignoreNodeErrors cannot change"),
        (json!({"deadline": "91s"}), "deadline cannot change"),
        (json!({"deadline": null}), "deadline cannot change"),
        (json!({"credentials": {"a": {"secretRef": {"name": "s"}}}}), "credentials cannot change"),
        (json!({"scheduledFor": "2026-01-01T00:00:00Z"}), "scheduledFor cannot change"),
        (json!({"ttlSecondsAfterFinished": 5}), ""),
        (json!({"ttlSecondsAfterFinished": null}), ""),
        (json!({"cancel": true}), ""),
        (json!({"cancel": false}), "a cancelled run cannot be resumed"),
    ] {
        let message = change(patch.clone()).await;
        assert!(
            if words.is_empty() { message.is_empty() } else { message.contains(words) },
            "{patch}: {message}"
        );
    }
}

#[tokio::test]
async fn what_is_fixed_in_platforms_and_schedules_stays() {
    let world = World::new().await;
    let platform = manifest("AutoGPTPlatform", "p", json!({"postgres": {"managed": {}}}));
    world.apply(&platform).await.unwrap();
    let larger = json!({"spec": {"postgres": {"managed": {"storage": {"size": "9Gi"}}}}});
    let refusal = world
        .dynamic(&platform)
        .patch("p", &PatchParams::default(), &Patch::Merge(&larger))
        .await
        .unwrap_err();
    assert!(
        refusal.to_string().contains("storage of a managed data service cannot change"),
        "{refusal}"
    );
    let schedule = manifest(
        "GraphSchedule",
        "s",
        json!({"platformRef": {"name": "p"}, "graph": {"id": ID}, "schedules": ["@daily"]}),
    );
    world.apply(&schedule).await.unwrap();
    let elsewhere = json!({"spec": {"platformRef": {"name": "q"}}});
    let refusal = world
        .dynamic(&schedule)
        .patch("s", &PatchParams::default(), &Patch::Merge(&elsewhere))
        .await
        .unwrap_err();
    assert!(refusal.to_string().contains("platformRef cannot change"), "{refusal}");
    let edited = json!({"spec": {"schedules": ["@hourly"], "graph": {"id": null, "inline": graph()}}});
    world
        .dynamic(&schedule)
        .patch("s", &PatchParams::default(), &Patch::Merge(&edited))
        .await
        .unwrap();
}

#[tokio::test]
async fn the_examples_are_accepted() {
    let world = World::new().await;
    let mut seen = 0;
    for file in std::fs::read_dir(repository().join("examples")).unwrap() {
        let path = file.unwrap().path();
        for mut document in documents(&std::fs::read_to_string(&path).unwrap()) {
            document["metadata"]["namespace"] = json!(world.namespace);
            let outcome = try_create(&world, &document).await;
            assert_eq!(outcome, Ok(()), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 5);
}
