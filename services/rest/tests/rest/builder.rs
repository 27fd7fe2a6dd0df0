//! The menu of the new builder.

use http::Method;
use serde_json::{Value, json};

use crate::app::{Answer, TestApp, TestUser, text};
use crate::catalogue::{named, review, submitted};
use crate::graphs::{INPUT, OUTPUT, echo};

async fn get(app: &TestApp, user: &TestUser, path: &str) -> Answer {
    let answer = app.get(user, &format!("/api/builder{path}")).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer
}

fn ids(blocks: &Value) -> Vec<&str> {
    blocks.as_array().unwrap().iter().map(|block| text(block, "id")).collect()
}

#[tokio::test]
async fn blocks_are_found_by_category_section_and_provider() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let all = app.get(&user, "/api/blocks").await.body;
    let total = all.as_array().unwrap().len();
    let first = get(&app, &user, "/blocks?page_size=7").await.body;
    assert_eq!(
        (first["blocks"].as_array().unwrap().len(), &first["pagination"]["total_items"]),
        (7, &json!(total))
    );
    let listed = get(&app, &user, "/blocks?type=all&page_size=1000").await.body["blocks"].clone();
    let mut sorted = (ids(&listed), ids(&all));
    sorted.0.sort_unstable();
    sorted.1.sort_unstable();
    assert_eq!(sorted.0, sorted.1, "the menu has every block once");

    let mut sections = 0;
    for (section, kinds) in [
        ("input", &["Input"][..]),
        ("output", &["Output"]),
        ("action", &["Standard", "Note", "Agent"]),
    ] {
        let found = get(&app, &user, &format!("/blocks?type={section}&page_size=1000")).await.body;
        let blocks = found["blocks"].as_array().unwrap();
        assert!(kinds.iter().all(|kind| blocks.iter().any(|block| block["uiType"] == *kind)), "{section}");
        assert!(section == "action" || blocks.iter().all(|block| block["uiType"] == kinds[0]), "{section}");
        sections += blocks.len();
    }
    assert_eq!(sections, total);

    let categories = get(&app, &user, "/categories?blocks_per_category=2").await.body;
    for category in categories.as_array().unwrap() {
        let name = text(category, "name");
        let found = get(&app, &user, &format!("/blocks?category={}&page_size=1000", name.to_lowercase()))
            .await
            .body;
        assert_eq!(found["pagination"]["total_items"], category["total_blocks"], "{name}");
        let shown = category["blocks"].as_array().unwrap();
        assert_eq!(shown[..], found["blocks"].as_array().unwrap()[..shown.len()], "{name}");
        assert_eq!(json!(shown.len()), json!(category["total_blocks"].as_u64().unwrap().min(2)), "{name}");
    }

    let providers = get(&app, &user, "/providers").await.body;
    let named: Vec<&str> = providers["providers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| text(entry, "name"))
        .collect();
    assert!(named.contains(&"http") && named.contains(&"openai"), "{named:?}");
    for provider in providers["providers"].as_array().unwrap() {
        let found = get(&app, &user, &format!("/blocks?provider={}", text(provider, "name"))).await.body;
        assert_eq!(found["pagination"]["total_items"], provider["integration_count"]);
    }
    let batch = get(&app, &user, &format!("/blocks/batch?block_ids={OUTPUT}&block_ids=none&block_ids={INPUT}")).await;
    assert_eq!(ids(&batch.body), [OUTPUT, INPUT]);

    for (path, status) in [
        ("/blocks?category=TEXT&type=input", 400),
        ("/blocks?category=TEXT&provider=http", 400),
        ("/blocks?type=colour", 422),
        ("/blocks?page=0", 422),
        ("/blocks/batch", 422),
        ("/categories?blocks_per_category=x", 422),
    ] {
        assert_eq!(app.get(&user, &format!("/api/builder{path}")).await.status, status, "{path}");
    }
    let anybody = app.request(Method::GET, "/api/builder/blocks").send().await;
    assert_eq!(anybody.status, 401);
}

#[tokio::test]
async fn a_search_finds_blocks_the_users_own_agents_and_what_is_offered() {
    let app = TestApp::start().await;
    let author = named(&app, "author").await;
    let (_, submission) = submitted(&app, &author, "echoing").await;
    assert_eq!(review(&app, &submission, true).await.status, 200);
    let user = TestUser::new();
    app.graph(&user, echo()).await;
    app.graph(&TestUser::new(), echo()).await;

    let found = get(&app, &user, "/search?search_query=echo").await.body;
    let totals = &found["total_items"];
    assert_eq!((&totals["my_agents"], &totals["marketplace_agents"]), (&json!(1), &json!(1)), "{totals}");
    let total: u64 = totals.as_object().unwrap().values().map(|number| number.as_u64().unwrap()).sum();
    let items = found["items"].as_array().unwrap();
    assert_eq!((items.len() as u64, &found["more_pages"]), (total, &json!(false)));
    assert!(items.iter().any(|item| item["slug"] == "echoing") && items.iter().any(|item| item["name"] == "Echo"));

    // The same in pages of one.
    let mut paged = Vec::new();
    for page in 1..=total {
        let one = get(&app, &user, &format!("/search?search_query=echo&page={page}&page_size=1")).await.body;
        assert_eq!(one["more_pages"], json!(page < total));
        paged.extend(one["items"].as_array().unwrap().clone());
    }
    assert_eq!(&paged, items);

    let only = get(&app, &user, "/search?search_query=echo&filter=my_agents&filter=marketplace_agents")
        .await
        .body;
    assert_eq!(only["items"].as_array().unwrap().len(), 2);
    let by = |name: &str| format!("/search?filter=marketplace_agents&by_creator={name}&by_creator=nobody");
    assert_eq!(get(&app, &user, &by("Author")).await.body["total_items"]["marketplace_agents"], 1);
    assert_eq!(get(&app, &user, &by("other")).await.body["items"], json!([]));
    let calculator = get(&app, &user, "/search?search_query=CALCULATORblock").await.body;
    assert_eq!(calculator["items"][0]["name"], "CalculatorBlock");

    let counts = get(&app, &user, "/counts").await.body;
    assert_eq!((&counts["my_agents"], &counts["marketplace_agents"]), (&json!(1), &json!(1)));
    let blocks = ["input_blocks", "action_blocks", "output_blocks"].map(|name| counts[name].as_u64().unwrap());
    assert_eq!(json!(blocks.iter().sum::<u64>()), counts["all_blocks"]);
    let suggestions = get(&app, &user, "/suggestions").await.body;
    let mut top = ids(&suggestions["top_blocks"]);
    top.sort_unstable();
    assert_eq!(top, [OUTPUT, INPUT], "what the user's own graph has");
    let stranger = get(&app, &TestUser::new(), "/suggestions").await.body;
    assert_eq!(stranger["top_blocks"], json!([]));
}
