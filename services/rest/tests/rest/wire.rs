//! What every answer has in common: headers, compression, cross-origin rules, limits, health.

use std::time::Duration;

use http::Method;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::{NO_DATABASE, TestApp, TestUser};

#[tokio::test]
async fn unknown_routes_and_methods_have_their_own_words() {
    let app = TestApp::start().await;
    let unknown = app.request(Method::GET, "/api/nothing").send().await;
    assert_eq!((unknown.status.as_u16(), unknown.text.as_str()), (404, r#"{"detail":"Not Found"}"#));
    let wrong = app.request(Method::PATCH, "/api/graphs").send().await;
    assert_eq!((wrong.status.as_u16(), wrong.text.as_str()), (405, r#"{"detail":"Method Not Allowed"}"#));
    assert_eq!(
        app.request(Method::GET, "/api/executions").send().await.refusal(),
        (401, &json!("Authorization header is missing"))
    );
}

#[tokio::test]
async fn security_headers_are_on_every_answer_and_only_some_may_be_cached() {
    let app = TestApp::start().await;
    for path in ["/health", "/api/nothing", "/api/graphs"] {
        let answer = app.request(Method::GET, path).send().await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY");
        assert_eq!(answer.header("x-xss-protection"), "1; mode=block");
        assert_eq!(answer.header("referrer-policy"), "strict-origin-when-cross-origin");
        assert_eq!(answer.header("cache-control"), "no-store, no-cache, must-revalidate, private", "{path}");
        assert_eq!((answer.header("pragma"), answer.header("expires")), ("no-cache", "0"));
    }
    let blocks = app.get(&TestUser::new(), "/api/blocks").await;
    assert_eq!((blocks.header("cache-control"), blocks.header("pragma")), ("", ""));
}

#[tokio::test]
async fn long_answers_are_compressed_for_those_who_can_read_them() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let node = json!({"id": "n", "block_id": crate::graphs::OUTPUT, "input_default": {"name": "y", "value": "v".repeat(60_000)}});
    let graph = app.graph(&user, json!({"name": "n", "description": "d", "nodes": [node]})).await;
    let path = format!("/api/graphs/{}", crate::app::text(&graph, "id"));
    let read = |path: String| app.request(Method::GET, &path).by(&user).header("accept-encoding", "gzip").send();
    assert_eq!(read(path.clone()).await.header("content-encoding"), "gzip");
    assert_eq!(app.get(&user, &path).await.header("content-encoding"), "");
    assert_eq!(read("/api/executions".to_owned()).await.header("content-encoding"), "");
}

#[tokio::test]
async fn a_body_may_be_large_but_not_endless() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let large = format!(r#"{{"name":"n","description":"{}","x":1}}"#, "d".repeat(3_000_000));
    let answer = app
        .request(Method::POST, "/api/graphs")
        .by(&user)
        .raw(format!(r#"{{"graph":{large}}}"#))
        .send()
        .await;
    assert_eq!(answer.status, 200, "beyond the framework's 2 MB");
    let endless = "x".repeat(64 * 1024 * 1024 + 1);
    let answer = app.request(Method::POST, "/api/graphs").by(&user).raw(endless).send().await;
    assert_eq!(answer.refusal(), (413, &json!("The body is larger than 64 MiB")));
}

/// Sends the head of a request with a body of a million bytes and `sent` of them; the line of the answer's status.
async fn status_line_after(app: &TestApp, path: &str, sent: usize) -> String {
    let address = app.base.strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&vec![b' '; sent]).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(10), socket.read(&mut answer)).await;
    let read = read.unwrap_or_else(|_| panic!("{path}: the rest of the body is waited for")).unwrap();
    String::from_utf8_lossy(&answer[..read]).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn nothing_is_taken_in_of_those_who_may_not_send_it() {
    let app = TestApp::builder().set("POSTMARK_WEBHOOK_TOKEN", "a token of the tests").start().await;
    let nobodys = uuid::Uuid::new_v4();
    for (path, status) in [
        ("/api/graphs".to_owned(), "401 Unauthorized"),
        ("/api/email/".to_owned(), "401 Unauthorized"),
        ("/external-api/v1/tools/run-agent".to_owned(), "401 Unauthorized"),
        (format!("/external-api/v1/graphs/{nobodys}/execute/1"), "401 Unauthorized"),
        (format!("/api/integrations/generic_webhook/webhooks/{nobodys}/ingress"), "404 Not Found"),
    ] {
        assert_eq!(status_line_after(&app, &path, 0).await, format!("HTTP/1.1 {status}"), "{path}");
    }
    // Who logs in needs a few hundred bytes, and anybody may try.
    let login = "/auth/v1/token?grant_type=password";
    assert_eq!(status_line_after(&app, login, 70 * 1024).await, "HTTP/1.1 400 Bad Request");
}

#[tokio::test]
async fn what_the_framework_refuses_is_refused_in_the_contracts_form() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    for path in ["/api/graphs/%ff%fe", "/api/store/agents/%ff/%ff", "/api/public/shared/%c0%80"] {
        let refused = app.get(&user, path).await;
        assert_eq!(
            (refused.status.as_u16(), refused.header("content-type")),
            (400, "application/json"),
            "{path}"
        );
        assert!(refused.body["detail"].as_str().unwrap().contains("UTF-8"), "{path}: {}", refused.text);
    }
}

/// The frontend's proxy sends the literal `null` where it has nothing to send (rest.md trap 3).
#[tokio::test]
async fn a_request_without_a_payload_may_say_nothing_null_or_an_empty_object() {
    const TRIGGER: &str = "8fa8c167-2002-47ce-aba8-97572fc5d387";
    let app = TestApp::builder()
        .set("PLATFORM_BASE_URL", "https://agents.example.test")
        .set("CHAT_BASE_URL", "http://127.0.0.1:1/v1")
        .set("CHAT_MODEL", "none");
    let app = app.start().await;
    let user = TestUser::new();
    let graph = app.graph(&user, crate::graphs::echo()).await;
    let graph_id = crate::app::text(&graph, "id");
    let agent = app.get(&user, &format!("/api/library/agents/by-graph/{graph_id}")).await.body;
    let preset = json!({"graph_id": graph_id, "graph_version": 1, "inputs": {"x": 1}, "credentials": {}, "name": "p", "description": ""});
    let preset = app.post(&user, "/api/library/presets", preset).await.body;
    let hooked = app
        .graph(&user, json!({"name": "n", "description": "d", "nodes": [{"block_id": TRIGGER}]}))
        .await;
    let run = app.run(&user, &graph, json!({"x": 1})).await;
    let of_run = format!("/api/graphs/{graph_id}/executions/{}", crate::app::text(&run, "id"));
    let paths = [
        "/api/auth/user".to_owned(),
        "/api/onboarding/reset".to_owned(),
        "/api/chat/sessions".to_owned(),
        format!("{of_run}/share"),
        format!("{of_run}/stop"),
        format!("/api/graphs/{graph_id}/execute/1"),
        format!("/api/library/agents/{}/fork", crate::app::text(&agent, "id")),
        format!("/api/library/presets/{}/execute", crate::app::text(&preset, "id")),
        format!("/api/integrations/webhooks/{}/ping", crate::app::text(&hooked["nodes"][0], "webhook_id")),
    ];
    for path in paths {
        for body in ["null", "", "{}"] {
            let answer = app.request(Method::POST, &path).by(&user).raw(body).send().await;
            assert_eq!(answer.status, 200, "{path} with {body:?}: {}", answer.text);
        }
        let bare = app.request(Method::POST, &path).by(&user).send().await;
        assert_eq!(bare.status, 200, "{path} without a type: {}", bare.text);
    }
}

#[tokio::test]
async fn only_the_named_origins_may_call_from_a_browser() {
    let app = TestApp::start().await;
    let preflight = async |origin: &str| {
        let request = app.request(Method::OPTIONS, "/api/graphs").header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        request
            .header("access-control-request-headers", "authorization,content-type")
            .send()
            .await
    };
    let allowed = preflight("http://127.0.0.1:3000").await;
    assert_eq!(allowed.header("access-control-allow-origin"), "http://127.0.0.1:3000");
    assert_eq!(allowed.header("access-control-allow-credentials"), "true");
    assert_eq!(allowed.header("access-control-allow-headers"), "authorization,content-type");
    assert_eq!(preflight("http://evil.test").await.header("access-control-allow-origin"), "");
    let refused = app
        .request(Method::GET, "/api/graphs")
        .header("origin", "http://localhost:3000")
        .send()
        .await;
    assert_eq!(refused.header("access-control-allow-origin"), "http://localhost:3000", "on errors too");
}

#[tokio::test]
async fn health_follows_the_contract_and_readiness_the_platform() {
    let app = TestApp::start().await;
    let healthy = app.request(Method::GET, "/health").send().await;
    assert_eq!((healthy.status.as_u16(), healthy.text.as_str()), (200, r#"{"status":"healthy"}"#));
    app.readiness(200, "ready").await;
    assert_eq!(app.request(Method::GET, "/livez").send().await.status, 200);
    assert_eq!(app.request(Method::GET, "/metrics").send().await.status, 404);
    let app = TestApp::builder().set("ENABLE_METRICS", "true").start().await;
    app.request(Method::GET, "/api/graphs/some-id").send().await;
    let metrics = app.request(Method::GET, "/metrics").send().await.text;
    let counted = r#"autogpt_http_requests_total{method="GET",route="/api/graphs/{graph_id}",status="401"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn without_a_database_the_service_runs_and_says_what_is_missing() {
    let app = TestApp::builder().without_database().start().await;
    assert_eq!(app.request(Method::GET, "/livez").send().await.status, 200);
    app.readiness(503, "PostgreSQL at 127.0.0.1:1/nowhere does not answer").await;
    let unhealthy = app.request(Method::GET, "/health").send().await;
    assert_eq!(
        (unhealthy.status.as_u16(), &unhealthy.body["message"]),
        (503, &json!("Failed to process GET /health"))
    );
    assert_eq!((unhealthy.header("retry-after"), &unhealthy.body["detail"]), ("2", &json!(NO_DATABASE)));
    assert!(crate::app::text(&unhealthy.body, "hint").contains("try again later"));
    let refused = tokio::time::timeout(Duration::from_secs(10), app.get(&TestUser::new(), "/api/executions"))
        .await
        .unwrap();
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, "2"));
    assert_eq!(refused.body["detail"], json!(NO_DATABASE));
    let blocks = app.request(Method::GET, "/external-api/v1/blocks");
    let refused = blocks.header("x-api-key", &format!("agpt_{}", "k".repeat(43))).send().await;
    assert_eq!(refused.refusal(), (503, &json!(NO_DATABASE)));
}

#[tokio::test]
async fn a_database_without_room_is_waited_for() {
    let app = TestApp::start().await;
    let (user, mut connection) = (TestUser::new(), PgConnection::connect(&app.database).await.unwrap());
    let graph = || json!({"graph": {"name": "n", "description": "d", "nodes": []}});
    assert_eq!(app.post(&user, "/api/graphs", graph()).await.status, 200);
    // Too many connections, disk full, out of memory.
    for code in ["53300", "53100", "53200"] {
        let refuse = format!(
            "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no room' USING ERRCODE = '{code}'; END $$; \
             CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON graphs EXECUTE FUNCTION refuse()"
        );
        connection.execute(AssertSqlSafe(refuse)).await.unwrap();
        let refused = app.post(&user, "/api/graphs", graph()).await;
        assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, "2"), "{code}");
        assert_eq!(refused.body["detail"], json!(NO_DATABASE));
    }
    connection.execute("DROP TRIGGER refuse ON graphs").await.unwrap();
    assert_eq!(app.post(&user, "/api/graphs", graph()).await.status, 200);
}

#[tokio::test]
async fn pages_and_documents_for_people_are_there() {
    let app = TestApp::builder().set("ENABLE_METRICS", "true").start().await;
    for (page, document) in [("/docs", "/openapi.json"), ("/external-api/docs", "/external-api/openapi.json")] {
        let described = app.request(Method::GET, document).send().await.body;
        let shown = app.request(Method::GET, page).send().await;
        assert_eq!((shown.status.as_u16(), shown.header("content-type")), (200, "text/html; charset=utf-8"));
        assert!(shown.text.contains(&format!(r#"href="{document}""#)), "{page}");
        assert!(!shown.text.contains("<script") && !shown.text.contains("http://") && !shown.text.contains("https://"));
        for path in described["paths"].as_object().unwrap().keys() {
            assert!(shown.text.contains(&format!("<code>{path}</code>")), "{path} on {page}");
        }
    }
    app.request(Method::GET, "/external-api/v1/blocks").send().await;
    let metrics = app.request(Method::GET, "/external-api/metrics").send().await.text;
    assert!(metrics.contains(r#"route="/external-api/v1/blocks",status="401"} 1"#), "{metrics}");
    let app = TestApp::builder().set("APP_ENV", "dev").start().await;
    for path in ["/docs", "/external-api/docs", "/external-api/metrics"] {
        assert_eq!(app.request(Method::GET, path).send().await.status, 404, "{path}");
    }
    assert_eq!(app.request(Method::GET, "/openapi.json").send().await.status, 200);
}

#[tokio::test]
async fn caches_are_counted_for_prometheus() {
    let app = TestApp::start().await;
    let count = async |cache: &str| {
        let answer = app.request(Method::GET, "/api/store/metrics/cache").send().await;
        assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
        let name = format!("autogpt_cache_entries{{cache=\"{cache}\"}} ");
        let value = answer.text.lines().find_map(|line| line.strip_prefix(&name)).map(str::parse::<u64>);
        value.unwrap_or_else(|| panic!("no {cache} in {}", answer.text)).unwrap()
    };
    let (before, keys, plans) = (count("users").await, count("api_keys").await, count("graph_plans").await);
    assert_eq!((before, keys, plans), (0, 0, 0));
    let user = TestUser::new();
    app.get(&user, "/api/graphs").await;
    assert_eq!((count("users").await, count("graph_interfaces").await), (1, 0));
}

#[tokio::test]
async fn a_slash_at_the_end_leads_to_the_address_without_it() {
    let app = TestApp::start().await;
    let moved = app.request(Method::POST, "/api/email").send().await;
    assert_eq!((moved.status.as_u16(), moved.header("location")), (307, "/api/email/"));
    let moved = app.request(Method::GET, "/api/library/agents/?page=2").send().await;
    assert_eq!((moved.status.as_u16(), moved.header("location")), (307, "/api/library/agents?page=2"));
    assert_eq!(app.request(Method::GET, "/api/nothing/").send().await.status, 404);
}
