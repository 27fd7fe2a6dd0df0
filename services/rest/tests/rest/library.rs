//! The library, versions and settings of graphs, deleting and forking them.

use http::Method;
use serde_json::{Value, json};

use crate::app::{TestApp, TestUser, text};
use crate::graphs::echo;

const REVIEW: &str = "8b2a7b3c-6e9d-4a5f-8c1b-2e3f4a5b6c7d";

async fn agents(app: &TestApp, user: &TestUser, query: &str) -> Value {
    let answer = app.get(user, &format!("/api/library/agents{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

fn named(name: &str) -> Value {
    let mut graph = echo();
    graph["name"] = json!(name);
    graph
}

fn names(page: &Value) -> Vec<&str> {
    page["agents"].as_array().unwrap().iter().map(|agent| text(agent, "name")).collect()
}

#[tokio::test]
async fn what_is_saved_is_in_the_library() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    assert_eq!(
        agents(&app, &user, "").await,
        json!({"agents": [], "pagination": {"total_items": 0, "total_pages": 0, "current_page": 1, "page_size": 15}})
    );
    let graph = app.graph(&user, echo()).await;
    let page = agents(&app, &user, "?page=1&page_size=8&sort_by=updatedAt").await;
    let agent = &page["agents"][0];
    assert_eq!(
        page["pagination"],
        json!({"total_items": 1, "total_pages": 1, "current_page": 1, "page_size": 8})
    );
    assert_eq!((&agent["graph_id"], &agent["graph_version"]), (&graph["id"], &json!(1)));
    assert_eq!((&agent["status"], &agent["new_output"]), (&json!("COMPLETED"), &json!(false)));
    assert_eq!((&agent["can_access_graph"], &agent["is_latest_version"]), (&json!(true), &json!(true)));
    assert_eq!(agent["input_schema"]["properties"]["x"]["title"], "x");
    assert_eq!(
        (&agent["settings"], &agent["marketplace_listing"]),
        (&json!({"human_in_the_loop_safe_mode": null}), &Value::Null)
    );
    assert!(text(agent, "updated_at").ends_with('Z'));

    let path = format!("/api/library/agents/{}", text(agent, "id"));
    assert_eq!(app.get(&user, &path).await.body, *agent);
    let by_graph = format!("/api/library/agents/by-graph/{}", text(&graph, "id"));
    assert_eq!(app.get(&user, &by_graph).await.body, *agent);
    assert_eq!(app.get(&user, &format!("{by_graph}?version=1")).await.body, *agent);
    assert_eq!(app.get(&user, &format!("{by_graph}?version=2")).await.status, 404);
    assert_eq!(app.get(&user, &format!("{by_graph}?version=null")).await.status, 422);

    let stranger = TestUser::new();
    let refusal = app.get(&stranger, &by_graph).await;
    assert_eq!(refusal.status, 404);
    assert_eq!(refusal.body.as_object().unwrap().len(), 1, "only detail: {}", refusal.text);
    let refusal = app.get(&stranger, &path).await;
    assert_eq!((refusal.status.as_u16(), refusal.body["message"].is_string()), (404, true));
    assert_eq!(agents(&app, &stranger, "").await["agents"], json!([]));
}

#[tokio::test]
async fn lists_are_searched_sorted_and_paged() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    for name in ["Apple_1", "Pear", "applex1"] {
        app.graph(&user, named(name)).await;
    }
    assert_eq!(names(&agents(&app, &user, "?sort_by=createdAt").await), ["Apple_1", "Pear", "applex1"]);
    assert_eq!(names(&agents(&app, &user, "").await), ["applex1", "Pear", "Apple_1"]);
    let page = agents(&app, &user, "?page=2&page_size=2").await;
    assert_eq!((names(&page), &page["pagination"]["total_pages"]), (vec!["Apple_1"], &json!(2)));
    // Nothing of a search is a pattern.
    assert_eq!(names(&agents(&app, &user, "?search_term=APPLE_1").await), ["Apple_1"]);
    assert_eq!(names(&agents(&app, &user, "?search_term=again").await).len(), 3);
    assert_eq!(agents(&app, &user, "?page_size=5000").await["pagination"]["page_size"], 1000);
    for query in ["?page=0", "?page_size=0", "?sort_by=name", &format!("?search_term={}", "x".repeat(101))] {
        let refused = app.get(&user, &format!("/api/library/agents{query}")).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.body["detail"][0]["loc"][0]),
            (422, &json!("query")),
            "{query}"
        );
    }
}

#[tokio::test]
async fn an_entry_is_changed_field_by_field() {
    let app = TestApp::start().await;
    let (user, stranger) = (TestUser::new(), TestUser::new());
    let graph = app.graph(&user, echo()).await;
    let agent = agents(&app, &user, "").await["agents"][0].clone();
    let path = format!("/api/library/agents/{}", text(&agent, "id"));
    let patch = |user, body: Value| app.request(Method::PATCH, &path).by(user).json(&body).send();

    let changed = patch(
        &user,
        json!({"is_favorite": true, "is_archived": null, "settings": {"human_in_the_loop_safe_mode": false}}),
    )
    .await;
    assert_eq!((changed.status.as_u16(), &changed.body["is_favorite"]), (200, &json!(true)));
    assert_eq!(changed.body["settings"], json!({"human_in_the_loop_safe_mode": false}));
    assert_eq!(
        names(&app.get(&user, "/api/library/agents/favorites?page=1&page_size=10").await.body),
        ["Echo"]
    );

    assert_eq!(patch(&stranger, json!({"is_favorite": false})).await.status, 404);
    assert_eq!(patch(&user, json!({"is_favorite": "perhaps"})).await.status, 422);
    assert_eq!(patch(&user, json!({"is_archived": true})).await.status, 200);
    assert_eq!(agents(&app, &user, "").await["agents"], json!([]));
    let run = format!("/api/graphs/{}/execute/1", text(&graph, "id"));
    assert_eq!(app.post(&user, &run, json!({"inputs": {"x": 1}})).await.status, 403);
}

#[tokio::test]
async fn deleting_an_entry_ends_its_schedules() {
    let app = TestApp::start().await;
    let (user, stranger) = (TestUser::new(), TestUser::new());
    let graph = app.graph(&user, echo()).await;
    let schedules = format!("/api/graphs/{}/schedules", text(&graph, "id"));
    let created = app
        .post(&user, &schedules, json!({"name": "s", "cron": "0 9 * * 1", "inputs": {"x": 1}}))
        .await;
    assert_eq!(created.status, 200, "{}", created.text);
    let path = format!("/api/library/agents/{}", text(&agents(&app, &user, "").await["agents"][0], "id"));
    let delete = |user| app.request(Method::DELETE, &path).by(user).send();

    assert_eq!(delete(&stranger).await.status, 404);
    let deleted = delete(&user).await;
    assert_eq!((deleted.status.as_u16(), deleted.text.as_str()), (204, ""));
    assert!(app.scheduler.schedules.lock().unwrap().is_empty());
    assert_eq!(delete(&user).await.status, 404);
    assert_eq!(agents(&app, &user, "").await["agents"], json!([]));
    // A further version brings the agent back.
    let mut next = echo();
    next["id"] = graph["id"].clone();
    let put = app
        .request(Method::PUT, &format!("/api/graphs/{}", text(&graph, "id")))
        .by(&user)
        .json(&next);
    assert_eq!(put.send().await.status, 200);
    assert_eq!(agents(&app, &user, "").await["agents"][0]["graph_version"], 2);
}

#[tokio::test]
async fn the_status_of_an_agent_follows_from_its_runs() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let graph = app.graph(&user, echo()).await;
    app.run(&user, &graph, json!({"x": 1})).await;
    let agent = &agents(&app, &user, "").await["agents"][0];
    assert_eq!(agent["status"], "WAITING");
}

#[tokio::test]
async fn the_active_version_is_chosen() {
    let app = TestApp::start().await;
    let (user, stranger) = (TestUser::new(), TestUser::new());
    let graph = app.graph(&user, named("first")).await;
    let path = format!("/api/graphs/{}", text(&graph, "id"));
    let mut next = named("second");
    next["id"] = graph["id"].clone();
    next["instructions"] = json!("Read me");
    let saved = app.request(Method::PUT, &path).by(&user).json(&next).send().await;
    assert_eq!((&saved.body["version"], &saved.body["instructions"]), (&json!(2), &json!("Read me")));
    assert_eq!(app.get(&user, &path).await.body["instructions"], "Read me");

    let activate = |user, version: Value| {
        let request = app.request(Method::PUT, &format!("{path}/versions/active"));
        request.by(user).json(&json!({"active_graph_version": version})).send()
    };
    let activated = activate(&user, json!(1)).await;
    assert_eq!((activated.status.as_u16(), activated.text.as_str()), (200, "null"));
    let listed = app.get(&user, "/api/graphs").await.body;
    assert_eq!(
        (&listed[0]["version"], &listed[0]["name"], &listed[0]["is_active"]),
        (&json!(1), &json!("first"), &json!(true))
    );
    assert_eq!(agents(&app, &user, "").await["agents"][0]["graph_version"], 1);
    // Without a version the highest one is read (rest.md trap 11).
    assert_eq!(app.get(&user, &path).await.body["version"], 2);
    assert_eq!(activate(&user, json!(3)).await.status, 404);
    assert_eq!(activate(&stranger, json!(1)).await.status, 404);
    assert_eq!(activate(&user, json!("x")).await.status, 422);
    let versions = app.get(&user, &format!("{path}/versions")).await.body;
    let active: Vec<_> = versions
        .as_array()
        .unwrap()
        .iter()
        .map(|graph| (&graph["version"], &graph["is_active"]))
        .collect();
    assert_eq!(active, [(&json!(2), &json!(false)), (&json!(1), &json!(true))]);
}

#[tokio::test]
async fn settings_of_a_graph_are_those_of_its_library_entry() {
    let app = TestApp::start().await;
    let (user, stranger) = (TestUser::new(), TestUser::new());
    let graph = app.graph(&user, echo()).await;
    let path = format!("/api/graphs/{}/settings", text(&graph, "id"));
    let patch = |user, body: Value| app.request(Method::PATCH, &path).by(user).json(&body).send();
    assert_eq!(
        patch(&user, json!({"human_in_the_loop_safe_mode": true})).await.body,
        json!({"human_in_the_loop_safe_mode": true})
    );
    assert_eq!(
        agents(&app, &user, "").await["agents"][0]["settings"],
        json!({"human_in_the_loop_safe_mode": true})
    );
    assert_eq!(patch(&stranger, json!({})).await.status, 404);
    let unknown = app
        .request(Method::PATCH, "/api/graphs/nothing/settings")
        .by(&user)
        .json(&json!({}))
        .send()
        .await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn a_graph_is_deleted_for_good_unless_it_runs() {
    let app = TestApp::start().await;
    let (user, stranger) = (TestUser::new(), TestUser::new());
    let graph = app.graph(&user, echo()).await;
    let path = format!("/api/graphs/{}", text(&graph, "id"));
    let delete = |user| app.request(Method::DELETE, &path).by(user).send();
    assert_eq!(delete(&stranger).await.status, 404);
    let run = app.run(&user, &graph, json!({"x": 1})).await;
    assert_eq!(delete(&user).await.status, 400);
    let stop = format!("{path}/executions/{}/stop", text(&run, "id"));
    assert_eq!(app.post(&user, &stop, Value::Null).await.status, 200);
    let deleted = delete(&user).await;
    assert_eq!((deleted.status.as_u16(), deleted.body), (200, json!({"version_counts": 1})));
    assert_eq!(app.get(&user, &path).await.status, 404);
    assert_eq!(agents(&app, &user, "").await["agents"], json!([]));
    assert_eq!(app.get(&user, "/api/executions").await.body, json!([]));
    assert_eq!(delete(&user).await.status, 404);
}

#[tokio::test]
async fn a_fork_is_a_graph_of_its_own() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let graph = app.graph(&user, echo()).await;
    let agent = agents(&app, &user, "").await["agents"][0].clone();
    let path = format!("/api/library/agents/{}/fork", text(&agent, "id"));
    let forked = app.post(&user, &path, Value::Null).await;
    assert_eq!(forked.status, 200, "{}", forked.text);
    assert_ne!((&forked.body["id"], &forked.body["graph_id"]), (&agent["id"], &agent["graph_id"]));
    let copy = app.get(&user, &format!("/api/graphs/{}", text(&forked.body, "graph_id"))).await.body;
    assert_eq!((&copy["forked_from_id"], &copy["forked_from_version"]), (&graph["id"], &json!(1)));
    assert_eq!((&copy["name"], &copy["input_schema"]), (&graph["name"], &graph["input_schema"]));
    assert_ne!(copy["nodes"][0]["id"], graph["nodes"][0]["id"]);
    assert_eq!(app.post(&TestUser::new(), &path, Value::Null).await.status, 404);
}

#[tokio::test]
async fn a_graph_that_asks_people_starts_in_safe_mode() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let node = json!({"id": "1", "block_id": REVIEW, "input_default": {"data": 1, "name": "n"}});
    app.graph(&user, json!({"name": "n", "description": "d", "nodes": [node]})).await;
    assert_eq!(
        agents(&app, &user, "").await["agents"][0]["settings"],
        json!({"human_in_the_loop_safe_mode": true})
    );
}

#[tokio::test]
async fn the_list_of_graphs_shows_what_each_takes() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    for number in 0..3 {
        let mut graph = named(&format!("g{number}"));
        graph["nodes"][0]["input_default"]["name"] = json!(format!("in{number}"));
        app.graph(&user, graph).await;
    }
    for _ in 0..2 {
        let listed = app.get(&user, "/api/graphs").await.body;
        for (graph, number) in listed.as_array().unwrap().iter().zip([2, 1, 0]) {
            assert_eq!(graph["name"], format!("g{number}"));
            assert_eq!(graph["input_schema"]["required"], json!([format!("in{number}")]));
            assert!(graph.get("nodes").is_none());
        }
    }
}

#[tokio::test]
async fn a_run_is_shared_under_a_link_that_can_be_changed() {
    let app = TestApp::builder().set("FRONTEND_BASE_URL", "https://front.test/").start().await;
    let user = TestUser::new();
    let graph = app.graph(&user, echo()).await;
    let run = app.run(&user, &graph, json!({"x": 1})).await;
    let path = format!("/api/graphs/{}/executions/{}/share", text(&graph, "id"), text(&run, "id"));
    let first = app.post(&user, &path, Value::Null).await;
    assert_eq!(first.status, 200, "{}", first.text);
    let shared = |share: &Value| format!("/api/public/shared/{}", text(share, "share_token"));
    let public = |path: String| app.request(Method::GET, &path).send();
    assert_eq!(
        text(&first.body, "share_url"),
        format!("https://front.test/share/{}", text(&first.body, "share_token"))
    );

    let seen = public(shared(&first.body)).await;
    assert_eq!((seen.status.as_u16(), seen.header("x-robots-tag")), (200, "noindex, nofollow"));
    assert_eq!((&seen.body["graph_name"], &seen.body["id"]), (&json!("Echo"), &run["id"]));
    let mut keys: Vec<_> = seen.body.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["created_at", "graph_description", "graph_name", "id", "outputs", "status"]);
    let meta = &app.get(&user, "/api/executions").await.body[0];
    assert_eq!((&meta["is_shared"], &meta["share_token"]), (&json!(true), &first.body["share_token"]));

    let second = app.post(&user, &path, json!({})).await;
    assert_eq!(public(shared(&first.body)).await.status, 404);
    assert_eq!(public(shared(&second.body)).await.status, 200);
    assert_eq!(app.post(&TestUser::new(), &path, Value::Null).await.status, 404);
    assert_eq!(app.request(Method::DELETE, &path).by(&TestUser::new()).send().await.status, 404);
    assert_eq!(app.request(Method::DELETE, &path).by(&user).send().await.status, 204);
    assert_eq!(public(shared(&second.body)).await.status, 404);
    let malformed = public("/api/public/shared/NOT-A-TOKEN".to_owned()).await;
    assert_eq!(
        (malformed.status.as_u16(), &malformed.body["detail"][0]["loc"]),
        (422, &json!(["path", "share_token"]))
    );
}
