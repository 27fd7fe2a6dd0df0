//! Uploads and reports.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::json;

use crate::app::{Answer, TestApp, TestUser, text};

async fn upload(app: &TestApp, user: &TestUser, query: &str, content: Vec<u8>) -> Answer {
    const EDGE: &str = "edge-of-the-part";
    let mut body =
        format!("--{EDGE}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a b.txt\"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n")
            .into_bytes();
    body.extend(content);
    body.extend(format!("\r\n--{EDGE}--\r\n").into_bytes());
    let request = app.request(Method::POST, &format!("/api/files/upload{query}")).by(user);
    request.body(&format!("multipart/form-data; boundary={EDGE}"), body).send().await
}

#[tokio::test]
async fn a_file_comes_back_as_a_data_uri() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    // Below and above what stays in memory, and 12 MB.
    for size in [0, 1, 48 * 1024, 12 << 20, 20 << 20] {
        let content: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
        let answer = upload(&app, &user, "?expiration_hours=2", content.clone()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!((&answer.body["size"], &answer.body["expires_in_hours"]), (&json!(size), &json!(2)));
        assert_eq!(
            (&answer.body["content_type"], &answer.body["file_name"]),
            (&json!("text/plain"), &json!("a b.txt"))
        );
        let encoded = text(&answer.body, "file_uri").strip_prefix("data:text/plain;base64,").unwrap();
        assert!(STANDARD.decode(encoded).unwrap() == content, "{size} bytes came back otherwise");
    }
}

#[tokio::test]
async fn an_upload_that_cannot_be_is_refused() {
    let app = TestApp::builder().set("UPLOAD_FILE_SIZE_LIMIT_MB", "1").start().await;
    let user = TestUser::new();
    assert_eq!(upload(&app, &user, "", vec![0; 1 << 20]).await.status, 200);
    let large = upload(&app, &user, "", vec![0; (1 << 20) + 1]).await;
    assert_eq!(large.status, 400);
    assert!(text(&large.body, "detail").contains("1MB"), "{}", large.text);
    for query in ["?expiration_hours=0", "?expiration_hours=49"] {
        assert_eq!(upload(&app, &user, query, vec![0]).await.status, 400, "{query}");
    }
    let json = app.post(&user, "/api/files/upload", json!({})).await;
    assert_eq!((json.status.as_u16(), &json.body["detail"][0]["loc"]), (422, &json!(["body", "file"])));
    let request = app.request(Method::POST, "/api/files/upload").by(&user);
    let cut = request.body(
        "multipart/form-data; boundary=e",
        b"--e\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nhalf".to_vec(),
    );
    assert_eq!(cut.send().await.status, 400);
    assert_eq!(app.request(Method::POST, "/api/files/upload").send().await.status, 401);
}

#[tokio::test]
async fn reports_of_frontends_are_kept() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let metric = json!({"metric_name": "m", "metric_value": 1.5, "data_string": "d"});
    let logged = app.post(&user, "/api/analytics/log_raw_metric", metric).await;
    assert!(uuid::Uuid::parse_str(logged.body.as_str().unwrap()).is_ok(), "{}", logged.text);
    let event = json!({"type": "t", "data": {"a": 1}, "data_index": "i"});
    let logged = app.post(&user, "/api/analytics/log_raw_analytics", event).await;
    assert!(uuid::Uuid::parse_str(logged.body.as_str().unwrap()).is_ok(), "{}", logged.text);
    let refused = app
        .post(
            &user,
            "/api/analytics/log_raw_metric",
            json!({"metric_name": "", "metric_value": "x", "data_string": ""}),
        )
        .await;
    assert_eq!(
        (refused.status.as_u16(), refused.body["detail"].as_array().unwrap().len()),
        (422, 3),
        "{}",
        refused.text
    );
}
