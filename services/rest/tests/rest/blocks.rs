//! The block list and direct execution.

use std::io::Read;

use http::Method;
use serde_json::{Value, json};

use crate::app::{TestApp, TestUser, text};

const CALCULATOR: &str = "b1ab9b19-67a6-406d-abf5-2dba76d00c79";
/// SendAuthenticatedWebRequest.
const AUTHENTICATED: &str = "fff86bcd-e001-4bad-a7f6-2eae4720c8dc";

#[tokio::test]
async fn the_list_is_plain_or_compressed_and_known_by_its_tag() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let list = |name: &'static str, value: &'static str| app.request(Method::GET, "/api/blocks").by(&user).header(name, value).send();

    let plain = app.get(&user, "/api/blocks").await;
    assert_eq!((plain.status.as_u16(), plain.header("content-encoding")), (200, ""));
    let blocks = plain.body.as_array().unwrap();
    let calculator = blocks.iter().find(|block| block["id"] == CALCULATOR).unwrap();
    for key in [
        "name",
        "inputSchema",
        "outputSchema",
        "description",
        "categories",
        "contributors",
        "staticOutput",
        "uiType",
        "costs",
    ] {
        assert!(calculator.get(key).is_some(), "{key}");
    }

    let compressed = list("accept-encoding", "br, gzip;q=0.5").await;
    assert_eq!(compressed.header("content-encoding"), "gzip");
    assert_eq!(compressed.header("vary"), "accept-encoding");
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(compressed.bytes.as_slice())
        .read_to_end(&mut unpacked)
        .unwrap();
    assert_eq!(unpacked, plain.bytes);
    assert_eq!(list("accept-encoding", "gzip;q=0").await.header("content-encoding"), "");

    let tag = plain.header("etag").to_owned();
    let unchanged = app
        .request(Method::GET, "/api/blocks")
        .by(&user)
        .header("if-none-match", &tag)
        .send()
        .await;
    assert_eq!(
        (unchanged.status.as_u16(), unchanged.bytes.len(), unchanged.header("etag")),
        (304, 0, tag.as_str())
    );
    assert_eq!(list("if-none-match", "\"other\"").await.status, 200);
    assert_eq!(app.request(Method::GET, "/api/blocks").send().await.status, 401);
}

#[tokio::test]
async fn a_block_answers_with_its_outputs_by_pin() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let path = format!("/api/blocks/{CALCULATOR}/execute");
    let answer = app.post(&user, &path, json!({"operation": "Add", "a": 2, "b": 3})).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body),
        (200, &json!({"result": [5.0]})),
        "{}",
        answer.text
    );
    // The prefix rule frees this answer from the no-store headers too.
    assert_eq!(answer.header("cache-control"), "");

    let refused = app.post(&user, &path, json!({"operation": "Add", "a": 2})).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert_eq!(refused.body["message"], json!(format!("Failed to process POST {path}")));
    assert!(refused.body["detail"].is_string() && refused.body["hint"].is_string());
}

/// One small request must not cost the service its memory.
#[tokio::test]
async fn a_block_that_would_make_too_much_is_refused() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let a_lot = "x".repeat(100_000);
    for (block, input, words) in [
        (
            "d67a9c52-5e4e-11e2-bcfd-0800200c9a71",
            json!({"repeat": i64::MAX, "input_message": a_lot}),
            "more than 256 MiB",
        ),
        (
            "7e7c87ab-3469-4bcc-9abe-67705091b713",
            json!({"text": a_lot, "old": "x", "new": a_lot}),
            "longer than 64 MiB",
        ),
        (
            "e30a4d42-7b7d-4e6a-b36e-1f9b8e3b7d85",
            json!({"input": vec![""; 100_000], "delimiter": a_lot}),
            "longer than 64 MiB",
        ),
        (
            "d5ea33c8-a575-477a-b42f-2fe3be5055ec",
            json!({"text": "x".repeat(2_500_000), "delimiter": "x"}),
            "more than 2000000 parts",
        ),
    ] {
        let answer = app.post(&user, &format!("/api/blocks/{block}/execute"), input).await;
        assert_eq!(answer.status, 400, "{block}: {}", answer.text);
        assert!(text(&answer.body, "detail").contains(words), "{block}: {}", answer.text);
    }
}

#[tokio::test]
async fn an_unknown_block_is_not_found() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    for id in ["00000000-0000-0000-0000-000000000000", "nope"] {
        let answer = app.post(&user, &format!("/api/blocks/{id}/execute"), json!({})).await;
        assert_eq!(answer.refusal(), (404, &json!(format!("Block #{id} not found."))));
    }
}

#[tokio::test]
async fn a_body_that_is_no_object_is_refused_with_its_place() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let path = format!("/api/blocks/{CALCULATOR}/execute");
    let cases: [(&str, Value); 5] = [
        ("", json!(["missing", ["body"]])),
        ("null", json!(["missing", ["body"]])),
        ("[1]", json!(["dict_type", ["body"]])),
        ("5", json!(["dict_type", ["body"]])),
        ("{\"a\": }", json!(["json_invalid", ["body", 6]])),
    ];
    for (body, expected) in cases {
        let answer = app.request(Method::POST, &path).by(&user).raw(body).send().await;
        assert_eq!(answer.status, 422, "{body}");
        assert_eq!(answer.body["message"], json!(format!("Invalid data for POST {path}")));
        let problem = &answer.body["detail"][0];
        assert_eq!(json!([problem["type"], problem["loc"]]), expected, "{body}");
        assert!(problem["msg"].is_string());
    }
}

#[tokio::test]
async fn numbers_that_json_cannot_hold_are_read_as_null() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let path = format!("/api/blocks/{CALCULATOR}/execute");
    // A null counts as absent, so the block misses `a`: a clear refusal instead of a broken body.
    let answer = app
        .request(Method::POST, &path)
        .by(&user)
        .raw(r#"{"operation":"Add","a":NaN,"b":1e999}"#)
        .send()
        .await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    let answer = app
        .request(Method::POST, &path)
        .by(&user)
        .raw(r#"{"operation":"Add","a":1,"b":2,"other":Infinity}"#)
        .send()
        .await;
    assert_eq!(answer.body, json!({"result": [3.0]}));
}

/// A service outside that tells which headers it got, and its address.
async fn mirror() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let told = |headers: http::HeaderMap| async move {
        let key = headers.get("x-key").map_or("", |value| value.to_str().unwrap());
        axum::Json(json!({ "x-key": key }))
    };
    let service = axum::Router::new().route("/", axum::routing::get(told));
    tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
    address
}

#[tokio::test]
async fn a_block_that_is_run_alone_gets_the_callers_credentials_and_nobody_elses() {
    let mirror = mirror().await;
    let app = TestApp::builder().set("BLOCK_TRUSTED_HOSTS", &json!([mirror]).to_string()).start().await;
    let (user, stranger) = (TestUser::new(), TestUser::new());
    let secret = json!({"provider": "http", "type": "host_scoped", "host": mirror, "headers": {"X-Key": "hush"}});
    let kept = app.post(&user, "/api/integrations/http/credentials", secret).await;
    assert_eq!(kept.status, 201, "{}", kept.text);
    let input = |id: &str, kind: &str| json!({"url": format!("http://{mirror}/"), "method": "GET", "credentials": {"id": id, "provider": "http", "type": kind}});
    let path = format!("/api/blocks/{AUTHENTICATED}/execute");
    let own = text(&kept.body, "id");
    let answer = app.post(&user, &path, input(own, "host_scoped")).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["response"]),
        (200, &json!([{"x-key": "hush"}])),
        "{}",
        answer.text
    );
    let (_, key) = app.api_key(&user, json!(["EXECUTE_BLOCK"])).await;
    let external = format!("/blocks/{AUTHENTICATED}/execute");
    let answer = app.with_key(Method::POST, &external, &key, input(own, "host_scoped")).await;
    assert_eq!(answer.body["response"], json!([{"x-key": "hush"}]), "{}", answer.text);

    let unknown = uuid::Uuid::new_v4().to_string();
    for (caller, id) in [(&stranger, own), (&user, unknown.as_str()), (&user, "no id")] {
        let refused = app.post(caller, &path, input(id, "host_scoped")).await;
        assert_eq!(refused.status, 400, "{}", refused.text);
        let detail = text(&refused.body, "detail");
        assert!(
            detail.contains(&format!("Unknown credentials #{id}")) && !refused.text.contains("hush"),
            "{detail}"
        );
    }
    let other = json!({"provider": "http", "type": "api_key", "api_key": "k"});
    let other = app.post(&user, "/api/integrations/http/credentials", other).await;
    assert_eq!(other.status, 201, "{}", other.text);
    let mismatch = app.post(&user, &path, input(text(&other.body, "id"), "host_scoped")).await;
    assert_eq!(mismatch.status, 400, "{}", mismatch.text);
    assert!(mismatch.text.contains("type/provider mismatch"), "{}", mismatch.text);
}
