//! Saving and reading graphs.

use http::Method;
use serde_json::{Value, json};

use crate::app::{TestApp, TestUser, text};

pub const INPUT: &str = "c0a8e994-ebf1-4a9c-a4d8-89d09c86741b";
pub const OUTPUT: &str = "363ae599-353e-4804-937e-b2ee3cef3da4";
const AGENT: &str = "e189baac-8c20-45a1-94a7-55177ea42565";
const CALCULATOR: &str = "b1ab9b19-67a6-406d-abf5-2dba76d00c79";

/// Input `x` → output `y`, with ids as the builder sends them.
pub fn echo() -> Value {
    json!({
        "name": "Echo",
        "description": "Says it again",
        "nodes": [
            {"id": "1", "block_id": INPUT, "input_default": {"name": "x"}, "metadata": {"position": {"x": -8741.130012345679, "y": 0.1}}},
            {"id": "2", "block_id": OUTPUT, "input_default": {"name": "y"}, "metadata": {"position": {"x": 1e-7, "y": 3.0}}},
        ],
        "links": [{"source_id": "1", "sink_id": "2", "source_name": "result", "sink_name": "value"}],
    })
}

/// A calculator whose inputs nobody fills.
pub fn incomplete() -> Value {
    json!({"name": "n", "description": "d", "nodes": [{"id": "1", "block_id": CALCULATOR, "input_default": {"a": 1}}]})
}

fn node<'a>(graph: &'a Value, block_id: &str) -> &'a Value {
    graph["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|node| node["block_id"] == block_id)
        .unwrap()
}

#[tokio::test]
async fn a_new_graph_gets_ids_of_the_server_and_reads_back_the_same() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let created = app.graph(&user, echo()).await;
    assert_eq!(
        (&created["version"], &created["is_active"], &created["user_id"]),
        (&json!(1), &json!(true), &json!(user.id))
    );

    let (input, output) = (node(&created, INPUT), node(&created, OUTPUT));
    for node in [input, output] {
        assert!(uuid::Uuid::parse_str(text(node, "id")).is_ok());
        assert_eq!(
            (&node["graph_id"], &node["graph_version"], &node["webhook"]),
            (&created["id"], &json!(1), &Value::Null)
        );
    }
    let link = &created["links"][0];
    assert_eq!((&link["source_id"], &link["sink_id"]), (&input["id"], &output["id"]));
    assert_eq!((&input["output_links"], &output["input_links"]), (&json!([link]), &json!([link])));

    let read = app.get(&user, &format!("/api/graphs/{}", text(&created, "id"))).await;
    assert_eq!(read.body, created);
    let keys = [
        "id",
        "version",
        "is_active",
        "name",
        "description",
        "instructions",
        "recommended_schedule_cron",
        "nodes",
        "links",
        "forked_from_id",
        "forked_from_version",
        "sub_graphs",
        "user_id",
        "created_at",
        "input_schema",
        "output_schema",
        "has_external_trigger",
        "has_human_in_the_loop",
        "trigger_setup_info",
        "credentials_input_schema",
    ];
    let mut found: Vec<_> = created.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = keys.to_vec();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert!(text(&created, "created_at").ends_with('Z'));
    assert_eq!(created["input_schema"]["required"], json!(["x"]));
}

#[tokio::test]
async fn an_agent_inside_is_shown_with_bare_nodes() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let inner = app.graph(&user, echo()).await;
    let settings = json!({"graph_id": inner["id"], "graph_version": 1, "inputs": {}, "input_schema": {}, "output_schema": {}});
    let node = json!({"id": "a", "block_id": AGENT, "input_default": settings});
    let outer = app.graph(&user, json!({"name": "outer", "description": "d", "nodes": [node]})).await;
    let read = app.get(&user, &format!("/api/graphs/{}", text(&outer, "id"))).await.body;
    assert_eq!(outer["sub_graphs"], read["sub_graphs"], "as the answer to the save said");
    let saved = json!({"id": outer["id"], "name": "outer", "description": "d", "nodes": outer["nodes"]});
    let path = format!("/api/graphs/{}", text(&outer, "id"));
    let saved = app.request(Method::PUT, &path).by(&user).json(&saved).send().await.body;
    assert_eq!((&saved["version"], &saved["sub_graphs"]), (&json!(2), &read["sub_graphs"]));
    let shown = &read["sub_graphs"][0];
    assert_eq!((&shown["id"], shown.get("user_id")), (&inner["id"], None), "{read:#}");
    for node in shown["nodes"].as_array().unwrap() {
        let mut keys: Vec<_> = node.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["block_id", "id", "input_default", "input_links", "metadata", "output_links"]);
    }
}

#[tokio::test]
async fn positions_and_defaults_come_back_to_the_last_digit() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let created = app.graph(&user, echo()).await;
    let read = app.get(&user, &format!("/api/graphs/{}", text(&created, "id"))).await;
    for shown in ["-8741.130012345679", "0.1", "3.0"] {
        assert!(read.text.contains(shown), "{shown} in {}", read.text);
    }
    assert_eq!(node(&read.body, OUTPUT)["input_default"], json!({"name": "y"}));
}

#[tokio::test]
async fn control_characters_are_gone_from_the_answer_as_from_the_store() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let mut graph = echo();
    graph["name"] = json!("a\u{0}b\tc");
    graph["nodes"][0]["input_default"]["val\u{1}ue"] = json!("x\u{7f}y");
    let created = app.graph(&user, graph).await;
    assert_eq!(
        (&created["name"], &node(&created, INPUT)["input_default"]["value"]),
        (&json!("ab\tc"), &json!("xy"))
    );
    assert_eq!(app.get(&user, &format!("/api/graphs/{}", text(&created, "id"))).await.body, created);
}

#[tokio::test]
async fn the_list_shows_active_versions_without_nodes() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    assert_eq!(app.get(&user, "/api/graphs").await.body, json!([]));
    let created = app.graph(&user, echo()).await;
    let list = app.get(&user, "/api/graphs").await.body;
    let mut expected = created.clone();
    for key in ["nodes", "links", "created_at"] {
        expected.as_object_mut().unwrap().remove(key);
    }
    assert_eq!(list, json!([expected]));
    assert_eq!(app.get(&TestUser::new(), "/api/graphs").await.body, json!([]));
}

#[tokio::test]
async fn a_save_makes_the_next_version_with_new_node_ids() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let first = app.graph(&user, echo()).await;
    let path = format!("/api/graphs/{}", text(&first, "id"));
    let mut changed = first.clone();
    changed["name"] = json!("Echo again");
    let second = app.request(Method::PUT, &path).by(&user).json(&changed).send().await;
    assert_eq!(second.status, 200, "{}", second.text);
    assert_eq!((&second.body["version"], &second.body["name"]), (&json!(2), &json!("Echo again")));
    assert_ne!(node(&second.body, INPUT)["id"], node(&first, INPUT)["id"]);

    assert_eq!(app.get(&user, &path).await.body, second.body, "the highest version when none is named");
    assert_eq!(app.get(&user, &format!("{path}?version=1")).await.body["name"], "Echo");
    assert_eq!(app.get(&user, &format!("{path}/versions/2")).await.body, second.body);
    let versions = app.get(&user, &format!("{path}/versions")).await.body;
    let numbers: Vec<_> = versions.as_array().unwrap().iter().map(|graph| graph["version"].clone()).collect();
    assert_eq!(numbers, [json!(2), json!(1)]);
    assert_eq!(app.get(&user, "/api/graphs").await.body.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_save_under_another_id_or_of_nobodys_graph_is_refused() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let graph = app.graph(&user, echo()).await;
    let path = format!("/api/graphs/{}", text(&graph, "id"));
    let put = async |user: &TestUser, path: &str, body: &Value| app.request(Method::PUT, path).by(user).json(body).send().await.status;
    let mut other = graph.clone();
    other["id"] = json!(uuid::Uuid::new_v4());
    assert_eq!(put(&user, &path, &other).await, 400);
    assert_eq!(put(&TestUser::new(), &path, &graph).await, 404);
    assert_eq!(put(&user, &format!("/api/graphs/{}", text(&other, "id")), &other).await, 404);
}

#[tokio::test]
async fn graphs_that_are_not_there_are_not_found() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let graph = app.graph(&user, echo()).await;
    let id = text(&graph, "id");
    let stranger = TestUser::new();
    for path in [
        format!("/api/graphs/{id}"),
        format!("/api/graphs/{id}/versions"),
        format!("/api/graphs/{id}/versions/1"),
    ] {
        assert_eq!(
            app.get(&stranger, &path).await.refusal(),
            (404, &json!(format!("Graph #{id} not found."))),
            "{path}"
        );
    }
    for path in ["/api/graphs/nope", "/api/graphs/00000000-0000-4000-8000-000000000000"] {
        assert_eq!(app.get(&user, path).await.status, 404);
    }
    for (version, status) in [("9", 404), ("99999999999", 404), ("null", 422), ("1.5", 422)] {
        assert_eq!(
            app.get(&user, &format!("/api/graphs/{id}/versions/{version}")).await.status,
            status,
            "{version}"
        );
        assert_eq!(
            app.get(&user, &format!("/api/graphs/{id}?version={version}")).await.status,
            status,
            "{version}"
        );
    }
}

#[tokio::test]
async fn an_export_holds_no_secrets_and_no_owner() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let mut graph = echo();
    graph["nodes"][0]["input_default"] = json!({"name": "x", "value": "hidden", "secret": true});
    let created = app.graph(&user, graph).await;
    let exported = app.get(&user, &format!("/api/graphs/{}?for_export=true", text(&created, "id"))).await;
    assert_eq!(exported.body["user_id"], "");
    assert!(!exported.text.contains("hidden"), "{}", exported.text);
}

/// Export to a file, and import of the file by somebody else: a bundle of his own that names nobody.
#[tokio::test]
async fn an_exported_agent_is_imported_by_somebody_else_with_the_agents_that_it_runs() {
    let app = TestApp::start().await;
    let (user, other) = (TestUser::new(), TestUser::new());
    let mut inner = echo();
    inner["nodes"][0]["input_default"]["value"] = json!("v");
    let inner = app.graph(&user, inner).await;
    let settings =
        json!({"graph_id": inner["id"], "graph_version": 1, "input_schema": inner["input_schema"], "output_schema": inner["output_schema"]});
    let outer = json!({
        "name": "outer", "description": "d",
        "nodes": [
            {"id": "1", "block_id": AGENT, "input_default": settings, "metadata": {"position": {"x": 0.30000000000000004, "y": -1e-7}}},
            {"id": "2", "block_id": OUTPUT, "input_default": {"name": "y"}},
        ],
        "links": [{"source_id": "1", "sink_id": "2", "source_name": "y", "sink_name": "value"}],
    });
    let outer = app.graph(&user, outer).await;
    let exported = app
        .get(&user, &format!("/api/graphs/{}?version=1&for_export=true", text(&outer, "id")))
        .await;
    assert_eq!(exported.status, 200, "{}", exported.text);
    assert!(!exported.text.contains(&user.id.to_string()), "{}", exported.text);

    let imported = app.graph(&other, exported.body.clone()).await;
    assert_ne!(imported["id"], outer["id"]);
    assert_eq!((&imported["version"], &imported["user_id"]), (&json!(1), &json!(other.id)));
    let (agent, output) = (node(&imported, AGENT), node(&imported, OUTPUT));
    assert_eq!(agent["metadata"], node(&outer, AGENT)["metadata"]);
    let link = &imported["links"][0];
    assert_eq!((&link["source_id"], &link["sink_id"]), (&agent["id"], &output["id"]));
    let bundled = &imported["sub_graphs"][0];
    assert_ne!(bundled["id"], inner["id"]);
    assert_eq!(
        (&agent["input_default"]["graph_id"], &agent["input_default"]["user_id"]),
        (&bundled["id"], &json!(other.id))
    );
    let copy = app.get(&other, &format!("/api/graphs/{}", text(bundled, "id"))).await;
    assert_eq!((copy.status.as_u16(), &copy.body["name"]), (200, &json!("Echo")), "{}", copy.text);
    assert_eq!(app.get(&other, &format!("/api/graphs/{}", text(&inner, "id"))).await.status, 404);
    app.run(&other, &imported, json!({})).await;
}

#[tokio::test]
async fn the_structure_is_judged_on_save() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let refusal = async |change: &dyn Fn(&mut Value)| {
        let mut graph = echo();
        change(&mut graph);
        let answer = app.post(&user, "/api/graphs", json!({ "graph": graph })).await;
        assert!(answer.body["detail"].is_string() || answer.status == 200, "{}", answer.text);
        answer.status.as_u16()
    };
    assert_eq!(refusal(&|graph| graph["links"][0]["sink_id"] = json!("77")).await, 400);
    assert_eq!(refusal(&|graph| graph["nodes"][0]["block_id"] = json!("nope")).await, 400);
    assert_eq!(refusal(&|graph| graph["links"][0]["source_name"] = json!("nowhere")).await, 400);
    assert_eq!(refusal(&|graph| graph["nodes"][0]["input_default"] = json!({})).await, 400);
    assert_eq!(
        refusal(&|graph| graph["nodes"][0]["input_default"]["name"] = json!("credentials")).await,
        400
    );
}

#[tokio::test]
async fn a_body_of_the_wrong_shape_names_every_place() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let problems = async |body: Value| {
        let answer = app.post(&user, "/api/graphs", body).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["message"]),
            (422, &json!("Invalid data for POST /api/graphs"))
        );
        let brief = answer.body["detail"]
            .as_array()
            .unwrap()
            .iter()
            .map(|problem| json!([problem["type"], problem["loc"], problem["msg"]]));
        Value::Array(brief.collect())
    };
    assert_eq!(
        problems(json!({"graph": {}})).await,
        json!([
            ["missing", ["body", "graph", "name"], "Field required"],
            ["missing", ["body", "graph", "description"], "Field required"]
        ])
    );
    assert_eq!(
        problems(json!({"graph": {"name": "x", "description": "d", "nodes": null}})).await,
        json!([["list_type", ["body", "graph", "nodes"], "Input should be a valid list"]])
    );
    assert_eq!(
        problems(json!([])).await,
        json!([[
            "model_attributes_type",
            ["body"],
            "Input should be a valid dictionary or object to extract fields from"
        ]])
    );
    assert_eq!(
        problems(json!({"graph": {"name": "x", "description": "d", "nodes": [{"id": 5}]}})).await,
        json!([
            ["string_type", ["body", "graph", "nodes", 0, "id"], "Input should be a valid string"],
            ["missing", ["body", "graph", "nodes", 0, "block_id"], "Field required"]
        ])
    );
}

/// A web request with the credentials of this id in its node.
fn authenticated(credentials: Value) -> Value {
    json!({"name": "n", "description": "d", "nodes": [{"id": "1", "block_id": "fff86bcd-e001-4bad-a7f6-2eae4720c8dc",
        "input_default": {"url": "https://a.test", "credentials": credentials}}]})
}

#[tokio::test]
async fn credentials_that_the_owner_does_not_have_refuse_the_save_and_the_run() {
    let app = TestApp::start().await;
    let (user, stranger) = (TestUser::new(), TestUser::new());
    let kept = async |user: &TestUser| {
        let secret = json!({"provider": "http", "type": "host_scoped", "host": "a.test", "headers": {"X-Key": "k"}});
        let answer = app.post(user, "/api/integrations/http/credentials", secret).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        text(&answer.body, "id").to_owned()
    };
    let (own, foreign) = (kept(&user).await, kept(&stranger).await);
    let reference = |id: &str, kind: &str| json!({"id": id, "provider": "http", "type": kind});
    let unknown = uuid::Uuid::new_v4().to_string();
    let saved = app.graph(&user, authenticated(reference(&own, "host_scoped"))).await;
    let path = format!("/api/graphs/{}", text(&saved, "id"));
    for id in [foreign.as_str(), unknown.as_str(), "no id"] {
        let graph = authenticated(reference(id, "host_scoped"));
        let created = app.post(&user, "/api/graphs", json!({ "graph": graph })).await;
        let updated = app.request(Method::PUT, &path).by(&user).json(&graph).send().await;
        for refused in [created, updated] {
            assert_eq!(refused.status, 400, "{}", refused.text);
            assert!(
                text(&refused.body, "detail").contains(&format!("Unknown credentials #{id}")),
                "{}",
                refused.text
            );
        }
    }
    assert_eq!(
        app.get(&user, "/api/graphs").await.body.as_array().unwrap().len(),
        1,
        "nothing was kept of them"
    );

    // For a run the map says which field of which node (rest.md §2.4).
    let open = app.graph(&user, authenticated(Value::Null)).await;
    let node = text(&open["nodes"][0], "id");
    let needed = open["credentials_input_schema"]["properties"].as_object().unwrap();
    let name = needed.keys().next().unwrap().clone();
    let execute = format!("/api/graphs/{}/execute/1", text(&open, "id"));
    let run = async |given: Value| app.post(&user, &execute, json!({ "credentials_inputs": { name.as_str(): given } })).await;
    for (given, problem) in [
        (reference(&foreign, "host_scoped"), format!("Unknown credentials #{foreign}")),
        (reference(&unknown, "host_scoped"), format!("Unknown credentials #{unknown}")),
        (reference(&own, "api_key"), "Invalid credentials: type/provider mismatch".to_owned()),
    ] {
        let refused = run(given).await;
        assert_eq!(refused.status, 400, "{}", refused.text);
        assert_eq!(
            refused.body["detail"]["node_errors"],
            json!({ node: { "credentials": problem } }),
            "{}",
            refused.text
        );
    }
    assert_eq!(run(reference(&own, "host_scoped")).await.status, 200);
}
