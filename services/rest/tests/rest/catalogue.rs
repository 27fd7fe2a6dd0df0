//! The catalogue: empty, and with what users offer and administrators approve.

use http::Method;
use serde_json::{Value, json};

use crate::app::{Answer, TestApp, TestUser, text};
use crate::graphs::echo;

fn admin() -> TestUser {
    TestUser::with(json!({"role": "admin"}))
}

/// An author with a user name, and his agent `slug` as it was submitted.
pub async fn submitted(app: &TestApp, author: &TestUser, slug: &str) -> (Value, Value) {
    let mut graph = echo();
    graph["nodes"][0]["input_default"]["value"] = json!("v");
    graph["nodes"][1]["input_default"]["api_key"] = json!("hidden");
    let graph = app.graph(author, graph).await;
    let submission = app.post(author, "/api/store/submissions", submission(&graph, slug)).await;
    assert_eq!(submission.status, 200, "{}", submission.text);
    (graph, submission.body)
}

fn submission(graph: &Value, slug: &str) -> Value {
    json!({"agent_id": graph["id"], "agent_version": graph["version"], "slug": slug, "name": format!("Agent {slug}"), "sub_heading": "sub",
           "description": "Does things", "image_urls": ["https://i.test/1.png"], "categories": ["text", slug]})
}

pub async fn named(app: &TestApp, username: &str) -> TestUser {
    let user = TestUser::new();
    let profile = json!({"name": "N", "username": username, "description": "d", "links": ["https://l.test"], "avatar_url": "https://a.test/a.png"});
    let saved = app.post(&user, "/api/store/profile", profile).await;
    assert_eq!(saved.status, 200, "{}", saved.text);
    user
}

pub async fn review(app: &TestApp, submission: &Value, approved: bool) -> Answer {
    let id = text(submission, "store_listing_version_id");
    let body = json!({"store_listing_version_id": id, "is_approved": approved, "comments": "c", "internal_comments": "secret"});
    app.post(&admin(), &format!("/api/store/admin/submissions/{id}/review"), body).await
}

async fn public(app: &TestApp, path: &str) -> Answer {
    app.request(Method::GET, path).send().await
}

fn slugs(page: &Value) -> Vec<&str> {
    page["agents"].as_array().unwrap().iter().map(|agent| text(agent, "slug")).collect()
}

#[tokio::test]
async fn an_empty_catalogue_has_empty_lists() {
    let app = TestApp::start().await;
    let pagination = json!({"total_items": 0, "total_pages": 0, "current_page": 1, "page_size": 20});
    let agents = public(&app, "/api/store/agents").await;
    assert_eq!(
        (agents.status.as_u16(), agents.body),
        (200, json!({"agents": [], "pagination": pagination}))
    );
    assert_eq!(public(&app, "/api/store/agents").await.header("cache-control"), "");
    let creators = public(&app, "/api/store/creators?featured=true&sorted_by=num_agents").await;
    assert_eq!(
        (creators.status.as_u16(), creators.body),
        (200, json!({"creators": [], "pagination": pagination}))
    );
    for path in [
        "/api/store/agents/nobody/nothing",
        "/api/store/creator/nobody",
        "/api/store/download/agents/6f7cbf2b-94b4-4e0c-a6a0-0f2bd5f1c1b1",
        "/api/store/download/agents/x",
    ] {
        let missing = public(&app, path).await;
        assert_eq!((missing.status.as_u16(), missing.body["message"].is_string()), (404, true), "{path}");
    }
    let user = TestUser::new();
    for path in ["/api/store/submissions", "/api/store/myagents"] {
        let page = app.get(&user, path).await;
        assert_eq!(
            (page.status.as_u16(), &page.body["pagination"]["total_items"]),
            (200, &json!(0)),
            "{path}"
        );
    }
    for path in ["/api/store/agents/x", "/api/store/graph/x", "/api/library/agents/marketplace/x"] {
        assert_eq!(app.get(&user, path).await.status, 404, "{path}");
        assert_eq!(public(&app, path).await.status, 401, "{path}");
    }
    for query in ["page=0", "page_size=0", "sorted_by=taste", "featured=maybe"] {
        assert_eq!(public(&app, &format!("/api/store/agents?{query}")).await.status, 422, "{query}");
    }
}

#[tokio::test]
async fn a_profile_is_there_from_the_first_read() {
    let app = TestApp::start().await;
    let user = TestUser::with(json!({"user_metadata": {"name": "Ada"}}));
    let profile = app.get(&user, "/api/store/profile").await;
    assert_eq!(profile.status, 200, "{}", profile.text);
    let mut keys: Vec<_> = profile.body.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["avatar_url", "description", "links", "name", "username"]);
    assert_eq!(profile.body["name"], "Ada");

    let body = json!({"name": "Ada L", "username": "Ada-L", "description": "x", "links": [], "avatar_url": "", "is_featured": true});
    let saved = app.post(&user, "/api/store/profile", body.clone()).await;
    assert_eq!(
        (saved.status.as_u16(), &saved.body["username"], &saved.body["agent_runs"]),
        (200, &json!("ada-l"), &json!(0))
    );
    assert_eq!(app.get(&user, "/api/store/profile").await.body["avatar_url"], Value::Null);
    assert_eq!(public(&app, "/api/store/creator/ADA-L").await.body, saved.body);
    // Nobody features himself, and a name belongs to one user.
    assert_eq!(public(&app, "/api/store/creators?featured=true").await.body["creators"], json!([]));
    let taken = app.post(&TestUser::new(), "/api/store/profile", body).await;
    assert_eq!(taken.status, 400, "{}", taken.text);
    for username in ["", "a/b", &"x".repeat(101)] {
        let body = json!({"name": "n", "username": username, "description": "", "links": [], "avatar_url": ""});
        let refused = app.post(&user, "/api/store/profile", body).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.body["detail"][0]["loc"]),
            (422, &json!(["body", "username"]))
        );
    }
}

#[tokio::test]
async fn an_agent_is_offered_once_it_is_approved() {
    let app = TestApp::start().await;
    let author = named(&app, "author").await;
    let (graph, submission) = submitted(&app, &author, "First-Agent").await;
    let version = text(&submission, "store_listing_version_id").to_owned();
    assert_eq!(
        (&submission["status"], &submission["slug"], &submission["version"]),
        (&json!("PENDING"), &json!("first-agent"), &json!(1))
    );
    assert_eq!(app.get(&author, "/api/store/myagents").await.body["agents"], json!([]));
    assert_eq!(public(&app, "/api/store/agents").await.body["agents"], json!([]));
    assert_eq!(public(&app, &format!("/api/store/download/agents/{version}")).await.status, 404);
    let reader = TestUser::new();
    let graph_path = format!("/api/graphs/{}", text(&graph, "id"));
    assert_eq!(app.get(&reader, &graph_path).await.status, 404);

    let approved = review(&app, &submission, true).await;
    assert_eq!(
        (approved.status.as_u16(), &approved.body["status"]),
        (200, &json!("APPROVED")),
        "{}",
        approved.text
    );
    assert_eq!(approved.body["internal_comments"], "secret");
    let own = app.get(&author, "/api/store/submissions").await.body;
    assert_eq!(
        (&own["submissions"][0]["internal_comments"], &own["submissions"][0]["review_comments"]),
        (&Value::Null, &json!("c"))
    );

    let listed = public(
        &app,
        "/api/store/agents?creator=AUTHOR&category=text&search_query=does%20agent&page_size=1000",
    )
    .await
    .body;
    let agent = &listed["agents"][0];
    assert_eq!(
        (&agent["slug"], &agent["creator"], &agent["runs"]),
        (&json!("first-agent"), &json!("author"), &json!(0))
    );
    assert_eq!((&agent["agent_image"], &agent["rating"]), (&json!("https://i.test/1.png"), &json!(0.0)));
    for query in ["creator=other", "category=other", "search_query=other", "featured=true"] {
        assert_eq!(
            public(&app, &format!("/api/store/agents?{query}")).await.body["agents"],
            json!([]),
            "{query}"
        );
    }
    let details = public(&app, "/api/store/agents/Author/First-Agent").await;
    assert_eq!(
        (details.status.as_u16(), &details.body["versions"]),
        (200, &json!(["1"])),
        "{}",
        details.text
    );
    assert_eq!(
        (&details.body["active_version_id"], &details.body["has_approved_version"]),
        (&json!(version), &json!(true))
    );
    assert_eq!(app.get(&reader, &format!("/api/store/agents/{version}")).await.body, details.body);
    assert_eq!(public(&app, "/api/store/creators").await.body["creators"][0]["num_agents"], 1);

    // Everybody reads it, without the author's secrets.
    let file = public(&app, &format!("/api/store/download/agents/{version}")).await;
    assert_eq!(
        file.header("content-disposition"),
        format!("attachment; filename=\"agent_{version}.json\"")
    );
    let meta = app.get(&reader, &format!("/api/store/graph/{version}")).await;
    assert_eq!((&meta.body["id"], meta.body.get("nodes")), (&graph["id"], None));
    let read = app.get(&reader, &graph_path).await;
    assert_eq!(read.status, 200, "{}", read.text);
    for text in [&file.text, &read.text] {
        assert!(!text.contains("hidden"), "{text}");
    }
    for text in [&file.text, &meta.text] {
        assert!(!text.contains(&author.id.to_string()), "{text}");
    }
    assert!(app.get(&author, &graph_path).await.text.contains("hidden"));
}

#[tokio::test]
async fn words_are_found_in_every_form_and_names_go_by_alphabet() {
    let app = TestApp::start().await;
    let author = named(&app, "author").await;
    for slug in ["Zeta", "alpha"] {
        let (_, submission) = submitted(&app, &author, slug).await;
        assert_eq!(review(&app, &submission, true).await.status, 200);
    }
    let find = async |query: &str| {
        let found = public(&app, &format!("/api/store/agents?sorted_by=name&search_query={query}")).await;
        assert_eq!(found.status, 200, "{}", found.text);
        slugs(&found.body).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    // All are called "Agent …" and do "things".
    for query in ["", "gent", "agents", "AGENT%20doing", "the%20agents", "th%20in%20gent"] {
        assert_eq!(find(query).await, ["alpha", "zeta"], "{query}");
    }
    assert_eq!(find("zetas").await, ["zeta"]);
    for query in ["agents%20beta", "the", "%26%20%7C%20!", "'"] {
        assert!(find(query).await.is_empty(), "{query}");
    }
    let creators = public(&app, "/api/store/creators?search_query=authors").await.body;
    assert_eq!(creators["creators"].as_array().unwrap().len(), 1, "{creators}");
}

#[tokio::test]
async fn what_is_offered_is_added_run_forked_and_rated() {
    let app = TestApp::start().await;
    let author = named(&app, "author").await;
    let (graph, submission) = submitted(&app, &author, "a").await;
    let version = text(&submission, "store_listing_version_id").to_owned();
    let reader = TestUser::new();
    let add = || app.post(&reader, "/api/library/agents", json!({"store_listing_version_id": version}));
    assert_eq!(add().await.status, 404);
    review(&app, &submission, true).await;

    let marketplace = format!("/api/library/agents/marketplace/{version}");
    assert_eq!(app.get(&reader, &marketplace).await.text, "null");
    let run_path = format!("/api/graphs/{}/execute/1", text(&graph, "id"));
    assert_eq!(app.post(&reader, &run_path, json!({"inputs": {"x": 1}})).await.status, 403);
    let added = add().await;
    assert_eq!(
        (added.status.as_u16(), &added.body["can_access_graph"]),
        (201, &json!(false)),
        "{}",
        added.text
    );
    assert_eq!(add().await.body["id"], added.body["id"]);
    assert_eq!(app.get(&reader, &marketplace).await.body["id"], added.body["id"]);
    let listing = &added.body["marketplace_listing"];
    assert_eq!((&listing["slug"], &listing["creator"]["slug"]), (&json!("a"), &json!("author")));
    assert_eq!(
        (&added.body["creator_name"], &added.body["creator_image_url"]),
        (&json!("N"), &json!("https://a.test/a.png"))
    );

    assert_eq!(app.post(&reader, &run_path, json!({"inputs": {"x": 1}})).await.status, 200);
    assert_eq!(public(&app, "/api/store/agents").await.body["agents"][0]["runs"], 1);
    let review_path = "/api/store/agents/author/a/review";
    let rate = |score: i64| {
        app.post(
            &reader,
            review_path,
            json!({"store_listing_version_id": version, "score": score, "comments": null}),
        )
    };
    assert_eq!(rate(6).await.status, 422);
    assert_eq!(rate(1).await.status, 200);
    assert_eq!(rate(4).await.body, json!({"score": 4, "comments": null}));
    assert_eq!(
        public(&app, "/api/store/agents?sorted_by=rating").await.body["agents"][0]["rating"],
        json!(4.0)
    );
    assert_eq!(
        public(&app, "/api/store/creators?sorted_by=agent_rating").await.body["creators"][0]["agent_rating"],
        json!(4.0)
    );

    let fork = app
        .post(&reader, &format!("/api/library/agents/{}/fork", text(&added.body, "id")), Value::Null)
        .await;
    assert_eq!(fork.status, 200, "{}", fork.text);
    let copy = app.get(&reader, &format!("/api/graphs/{}", text(&fork.body, "graph_id"))).await;
    assert_eq!((&copy.body["user_id"], &copy.body["forked_from_id"]), (&json!(reader.id), &graph["id"]));
    assert!(!copy.text.contains("hidden"));

    // What others have is not deleted under them.
    let delete = app
        .request(Method::DELETE, &format!("/api/graphs/{}", text(&graph, "id")))
        .by(&author)
        .send()
        .await;
    assert_eq!(delete.status, 400, "{}", delete.text);
}

#[tokio::test]
async fn versions_of_a_listing_follow_each_other() {
    let app = TestApp::start().await;
    let author = named(&app, "author").await;
    let (graph, first) = submitted(&app, &author, "a").await;
    let edit = |submission: &Value, name: &str| {
        let path = format!("/api/store/submissions/{}", text(submission, "store_listing_version_id"));
        let body = json!({"name": name, "sub_heading": "s"});
        app.request(Method::PUT, &path).by(&author).json(&body).send()
    };
    // Until it is reviewed it is changed itself, afterwards it gets a successor.
    assert_eq!(
        edit(&first, "edited").await.body["store_listing_version_id"],
        first["store_listing_version_id"]
    );
    review(&app, &first, true).await;
    let second = edit(&first, "second").await.body;
    assert_eq!((&second["version"], &second["status"]), (&json!(2), &json!("PENDING")));
    assert_eq!(public(&app, "/api/store/agents").await.body["agents"][0]["agent_name"], "edited");
    review(&app, &second, false).await;
    assert_eq!(public(&app, "/api/store/agents").await.body["agents"][0]["agent_name"], "edited");
    let third = app.post(&author, "/api/store/submissions", submission(&graph, "a")).await.body;
    review(&app, &third, true).await;
    let details = public(&app, "/api/store/agents/author/a").await.body;
    assert_eq!((&details["agent_name"], &details["versions"]), (&json!("Agent a"), &json!(["1", "3"])));

    let listings = app.get(&admin(), "/api/store/admin/listings?status=REJECTED&search=second").await;
    assert_eq!(listings.status, 200, "{}", listings.text);
    let listing = &listings.body["listings"][0];
    assert_eq!(
        (listing["versions"].as_array().unwrap().len(), &listing["latest_version"]["version"]),
        (3, &json!(3))
    );
    assert_eq!(listing["creator_email"], author.email);
    assert_eq!(app.get(&author, "/api/store/admin/listings").await.status, 403);
    let file = format!("/api/store/admin/submissions/download/{}", text(&second, "store_listing_version_id"));
    assert_eq!(app.get(&admin(), &file).await.body["id"], graph["id"]);
    assert_eq!(app.get(&author, &file).await.status, 403);

    let other = TestUser::new();
    let delete = |user, id: &Value| {
        let path = format!("/api/store/submissions/{}", id.as_str().unwrap());
        app.request(Method::DELETE, &path).by(user).send()
    };
    assert_eq!(delete(&other, &third["store_listing_version_id"]).await.status, 404);
    assert_eq!(delete(&author, &second["store_listing_version_id"]).await.text, "true");
    assert_eq!(public(&app, "/api/store/agents").await.body["agents"].as_array().unwrap().len(), 1);
    assert_eq!(delete(&author, &third["store_listing_version_id"]).await.text, "true");
    assert_eq!(public(&app, "/api/store/agents").await.body["agents"], json!([]));
    assert_eq!(app.get(&author, "/api/store/submissions").await.body["submissions"], json!([]));
    // The graph may be offered again.
    assert_eq!(app.post(&author, "/api/store/submissions", submission(&graph, "a")).await.status, 200);
}

#[tokio::test]
async fn a_submission_that_cannot_be_is_refused() {
    let app = TestApp::start().await;
    let (author, other) = (named(&app, "author").await, TestUser::new());
    let (graph, submission_a) = submitted(&app, &author, "a").await;
    assert_eq!(app.post(&other, "/api/store/submissions", submission(&graph, "a")).await.status, 404);
    let second = app.graph(&author, echo()).await;
    let taken = app.post(&author, "/api/store/submissions", submission(&second, "a")).await;
    assert_eq!(taken.status, 400, "{}", taken.text);
    let refused = app.post(&author, "/api/store/submissions", submission(&second, "no slug")).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.body["detail"][0]["loc"]),
        (422, &json!(["body", "slug"]))
    );
    assert_eq!(
        app.post(&author, "/api/store/submissions", json!({})).await.body["detail"]
            .as_array()
            .unwrap()
            .len(),
        5
    );
    let id = text(&submission_a, "store_listing_version_id");
    let path = format!("/api/store/admin/submissions/{id}/review");
    let body = json!({"store_listing_version_id": id, "is_approved": true, "comments": "c"});
    assert_eq!(app.post(&author, &path, body.clone()).await.status, 403);
    assert_eq!(app.post(&admin(), "/api/store/admin/submissions/x/review", body).await.status, 404);
    assert_eq!(slugs(&public(&app, "/api/store/agents").await.body), Vec::<&str>::new());
}

#[tokio::test]
async fn onboarding_remembers_what_was_done() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let first = app.get(&user, "/api/onboarding").await.body;
    for list in ["completedSteps", "notified", "rewardedFor", "integrations"] {
        assert_eq!(first[list], json!([]), "{list}");
    }
    assert_eq!(
        (&first["userId"], &first["agentRuns"], &first["walletShown"]),
        (&json!(user.id), &json!(0), &json!(false))
    );
    assert_eq!(app.get(&user, "/api/onboarding").await.body, first);
    let patch = |body: Value| app.request(Method::PATCH, "/api/onboarding").by(&user).json(&body).send();
    let body = json!({"completedSteps": ["WELCOME", "WELCOME", "CONGRATS"], "walletShown": true, "agentRuns": 3, "usageReason": "fun", "agentInput": {"a": 1},
                      "lastRunAt": "2026-01-02T03:04:05Z"});
    assert_eq!(patch(body).await.body["completedSteps"], json!(["WELCOME", "CONGRATS"]));
    let next = patch(json!({"completedSteps": ["INTEGRATIONS", "WELCOME"], "walletShown": false, "agentRuns": 1, "usageReason": null}))
        .await
        .body;
    assert_eq!(next["completedSteps"], json!(["WELCOME", "CONGRATS", "INTEGRATIONS"]));
    assert_eq!(
        (&next["walletShown"], &next["agentRuns"], &next["usageReason"]),
        (&json!(true), &json!(3), &json!("fun"))
    );
    assert_eq!(
        (&next["agentInput"], &next["lastRunAt"]),
        (&json!({"a": 1}), &json!("2026-01-02T03:04:05Z"))
    );
    let refused = patch(json!({"completedSteps": ["NOTHING"]})).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.body["detail"][0]["loc"]),
        (422, &json!(["body", "completedSteps", 0]))
    );
    let other = app.get(&TestUser::new(), "/api/onboarding").await.body;
    assert_eq!(other["completedSteps"], json!([]));
    let reset = app.post(&user, "/api/onboarding/reset", Value::Null).await;
    assert_eq!((reset.status.as_u16(), &reset.body["completedSteps"]), (200, &json!([])));

    assert_eq!(app.get(&user, "/api/onboarding/enabled").await.text, "false");
    assert_eq!(app.get(&user, "/api/onboarding/agents").await.body, json!([]));
    let author = named(&app, "author").await;
    let mut offered = Vec::new();
    for slug in ["a", "b"] {
        let (_, submission) = submitted(&app, &author, slug).await;
        review(&app, &submission, true).await;
        offered.push(format!("/api/store/submissions/{}", text(&submission, "store_listing_version_id")));
    }
    assert_eq!(app.get(&user, "/api/onboarding/enabled").await.text, "true");
    assert_eq!(app.get(&user, "/api/onboarding/agents").await.body.as_array().unwrap().len(), 2);
    assert_eq!(app.request(Method::DELETE, &offered[0]).by(&author).send().await.status, 200);
    assert_eq!(app.get(&user, "/api/onboarding/enabled").await.text, "false", "withdrawn");
}

#[tokio::test]
async fn programs_read_the_same_catalogue_with_a_key_for_it() {
    let app = TestApp::start().await;
    let author = named(&app, "author").await;
    let (_, submission) = submitted(&app, &author, "one").await;
    assert_eq!(review(&app, &submission, true).await.status, 200);
    submitted(&app, &author, "unapproved").await;
    let (_, key) = app.api_key(&TestUser::new(), json!(["READ_STORE"])).await;
    let (_, other) = app.api_key(&TestUser::new(), json!(["READ_BLOCK", "USE_TOOLS"])).await;
    let read = async |path: &str, key: &str| app.with_key(Method::GET, path, key, Value::Null).await;
    for (external, own) in [
        ("/store/agents?page_size=5", "/api/store/agents?page_size=5"),
        (
            "/store/agents?sorted_by=runs&search_query=nothing",
            "/api/store/agents?sorted_by=runs&search_query=nothing",
        ),
        ("/store/agents/author/one", "/api/store/agents/author/one"),
        ("/store/creators", "/api/store/creators"),
        // Here in the plural.
        ("/store/creators/author", "/api/store/creator/author"),
    ] {
        let answer = read(external, &key).await;
        assert_eq!(answer.status, 200, "{external}: {}", answer.text);
        assert_eq!(answer.body, public(&app, own).await.body, "{external}");
        assert_eq!(read(external, &other).await.status, 403, "{external}");
        assert_eq!(public(&app, &format!("/external-api/v1{external}")).await.status, 401, "{external}");
    }
    assert_eq!(slugs(&read("/store/agents", &key).await.body), ["one"]);
    for missing in ["/store/agents/author/unapproved", "/store/agents/nobody/one", "/store/creators/nobody"] {
        let answer = read(missing, &key).await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.as_object().unwrap().len()),
            (404, 1),
            "{}",
            answer.text
        );
    }
    let bad = read("/store/agents?sorted_by=colour&page=0", &key).await;
    assert_eq!((bad.status.as_u16(), bad.body["detail"].is_array()), (422, true), "{}", bad.text);
}

#[tokio::test]
async fn a_program_finds_an_agent_and_runs_it() {
    let app = TestApp::start().await;
    let author = named(&app, "author").await;
    let (graph, offered) = submitted(&app, &author, "one").await;
    assert_eq!(review(&app, &offered, true).await.status, 200);
    submitted(&app, &author, "unapproved").await;
    let user = TestUser::new();
    app.post(&user, "/api/auth/user/timezone", json!({"timezone": "Asia/Tokyo"})).await;
    let (_, key) = app.api_key(&user, json!(["USE_TOOLS"])).await;
    let (_, reader) = app.api_key(&user, json!(["READ_STORE"])).await;
    let call = async |tool: &str, key: &str, body: Value| app.with_key(Method::POST, &format!("/tools/{tool}"), key, body).await;

    let found = call("find-agent", &key, json!({"query": "AGENT"})).await;
    assert_eq!((found.status.as_u16(), &found.body["count"]), (200, &json!(1)), "{}", found.text);
    let name = text(&found.body["agents"][0], "username_agent_slug").to_owned();
    assert_eq!(name, "author/one");
    assert_eq!(
        call("find-agent", &key, json!({"query": "nothing of the kind"})).await.body["agents"],
        json!([])
    );

    let run = json!({"username_agent_slug": name, "inputs": {"x": 5}});
    let started = call("run-agent", &key, run.clone()).await;
    assert_eq!(
        (started.status.as_u16(), &started.body["status"]),
        (200, &json!("QUEUED")),
        "{}",
        started.text
    );
    assert_eq!((&started.body["graph_id"], &started.body["graph_version"]), (&graph["id"], &json!(1)));
    let runs = app.get(&user, "/api/executions").await.body;
    assert_eq!((&runs[0]["id"], &runs[0]["inputs"]), (&started.body["execution_id"], &json!({"x": 5})));
    let again = call("run-agent", &key, run.clone()).await.body;
    assert_eq!(again["library_agent_id"], started.body["library_agent_id"], "added once");
    let scheduled = call(
        "run-agent",
        &key,
        json!({"username_agent_slug": name, "inputs": {}, "cron": "0 9 * * 0", "schedule_name": "Mondays"}),
    )
    .await;
    assert!(
        scheduled.body["schedule_id"].is_string() && scheduled.body["next_run_time"].is_string(),
        "{}",
        scheduled.text
    );
    let schedule = &app.get(&user, "/api/schedules").await.body[0];
    assert_eq!(
        (&schedule["name"], &schedule["timezone"]),
        (&json!("Mondays"), &json!("Asia/Tokyo")),
        "the user's own zone, as with a schedule of his"
    );

    for tool in ["find-agent", "run-agent"] {
        assert_eq!(call(tool, &reader, run.clone()).await.status, 403);
        let malformed = call(tool, &key, json!({})).await;
        assert_eq!(
            (malformed.status.as_u16(), malformed.body["detail"].is_array()),
            (422, true),
            "{}",
            malformed.text
        );
    }
    for nobodys in ["author/unapproved", "nobody/one", "one"] {
        assert_eq!(
            call("run-agent", &key, json!({"username_agent_slug": nobodys})).await.status,
            404,
            "{nobodys}"
        );
    }
}

#[tokio::test]
async fn blocks_look_into_the_catalogue_and_add_to_the_callers_library() {
    const ADD: &str = "2602a7b1-3f4d-4e5f-9c8b-1a2b3c4d5e6f";
    const LIST: &str = "082602d3-a74d-4600-9e9c-15b3af7eae98";
    const DETAILS: &str = "b604f0ec-6e0d-40a7-bf55-9fd09997cced";
    const SEARCH: &str = "39524701-026c-4328-87cc-1b88c8e2cb4c";
    let app = TestApp::start().await;
    let author = named(&app, "author").await;
    let (graph, submission) = submitted(&app, &author, "one").await;
    assert_eq!(review(&app, &submission, true).await.status, 200);
    submitted(&app, &author, "unapproved").await;
    let version = text(&submission, "store_listing_version_id");
    let user = TestUser::new();
    let execute = async |block: &str, input: Value| app.post(&user, &format!("/api/blocks/{block}/execute"), input).await;

    let found = execute(SEARCH, json!({"query": "does things"})).await;
    assert_eq!(found.status, 200, "{}", found.text);
    assert_eq!(
        (&found.body["total_count"], &found.body["agents"]),
        (&json!([1]), &json!([found.body["agent"]]))
    );
    assert_eq!(
        (&found.body["agent"][0]["slug"], &found.body["agent"][0]["creator"]),
        (&json!("one"), &json!("author"))
    );
    assert_eq!(execute(SEARCH, json!({"category": "none"})).await.body["agents"], json!([[]]));
    assert_eq!(execute(SEARCH, json!({"limit": 101})).await.status, 400);

    let details = execute(DETAILS, json!({"creator": "author", "slug": "one"})).await;
    assert_eq!(
        (
            &details.body["found"],
            &details.body["store_listing_version_id"],
            &details.body["agent_name"]
        ),
        (&json!([true]), &json!([version]), &json!(["Agent one"])),
        "{}",
        details.text
    );
    for (block, input) in [
        (DETAILS, json!({"creator": "author", "slug": "unapproved"})),
        (ADD, json!({"store_listing_version_id": uuid::Uuid::new_v4()})),
        (ADD, json!({"store_listing_version_id": "x"})),
    ] {
        let missing = execute(block, input).await;
        assert_eq!(missing.status, 400, "{}", missing.text);
        assert!(missing.text.contains("not found"), "{}", missing.text);
    }

    assert_eq!(execute(LIST, json!({})).await.body["total_count"], json!([0]));
    for name in [Value::Null, json!("Mine")] {
        let added = execute(ADD, json!({"store_listing_version_id": version, "agent_name": name})).await;
        assert_eq!(added.status, 200, "{}", added.text);
        let shown = name.as_str().unwrap_or("Echo");
        assert_eq!(
            (&added.body["agent_id"], &added.body["agent_name"], &added.body["success"]),
            (&json!([graph["id"]]), &json!([shown]), &json!([true]))
        );
    }
    let listed = execute(LIST, json!({"search_query": "ECHO", "limit": 1})).await.body;
    assert_eq!(
        (&listed["total_count"], &listed["total_pages"], &listed["page"]),
        (&json!([1]), &json!([1]), &json!([1]))
    );
    assert_eq!(
        (&listed["agent"][0]["agent_id"], &listed["agent"][0]["agent_name"]),
        (&graph["id"], &json!("Echo"))
    );
    let own = app.get(&user, "/api/library/agents").await.body;
    assert_eq!(own["agents"][0]["id"], listed["agents"][0][0]["library_agent_id"]);
}
