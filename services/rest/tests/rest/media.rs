//! Pictures and videos for the catalogue.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::{Answer, TestApp, TestUser};

const BASE: &str = "https://agents.example.test";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\nand more";

const EDGE: &str = "edge-of-the-part";

async fn upload(app: &TestApp, user: &TestUser, name: &str, content_type: &str, content: &[u8]) -> Answer {
    let head =
        format!("--{EDGE}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"../a b.png\"\r\nContent-Type: {content_type}\r\n\r\n");
    let body = [head.as_bytes(), content, format!("\r\n--{EDGE}--\r\n").as_bytes()].concat();
    let request = app.request(Method::POST, "/api/store/submissions/media").by(user);
    request.body(&format!("multipart/form-data; boundary={EDGE}"), body).send().await
}

#[tokio::test]
async fn an_upload_has_an_address_that_everybody_can_read() {
    let app = TestApp::builder().set("PLATFORM_BASE_URL", BASE).start().await;
    let user = TestUser::new();
    let large = [PNG, &vec![7; 12 << 20]].concat();
    for content in [PNG, &large] {
        let answer = upload(&app, &user, "file", "image/png", content).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let path = answer.body.as_str().unwrap().strip_prefix(BASE).unwrap().to_owned();
        let shown = app.request(Method::GET, &path).send().await;
        assert_eq!((shown.status.as_u16(), shown.header("content-type")), (200, "image/png"));
        assert_eq!(shown.header("content-security-policy"), "default-src 'none'; sandbox");
        assert!(shown.header("cache-control").contains("immutable") && shown.header("x-content-type-options") == "nosniff");
        assert!(shown.bytes == content, "{} bytes came back otherwise", content.len());
    }
    for unknown in [uuid::Uuid::new_v4().to_string(), "x".to_owned()] {
        assert_eq!(app.request(Method::GET, &format!("/api/store/media/{unknown}")).send().await.status, 404);
    }
}

#[tokio::test]
async fn what_is_no_picture_or_too_large_is_refused() {
    let app = TestApp::builder().set("PLATFORM_BASE_URL", BASE).start().await;
    let user = TestUser::new();
    for (content_type, content) in [
        ("image/png", &b"<svg onload='x()'>"[..]),
        ("text/html", PNG),
        ("video/mp4", PNG),
        ("image/png", b""),
    ] {
        let refused = upload(&app, &user, "file", content_type, content).await;
        assert_eq!(
            (refused.status.as_u16(), refused.body["detail"].is_string()),
            (400, true),
            "{}",
            refused.text
        );
    }
    let large = [PNG, &vec![7; 50 << 20]].concat();
    let refused = upload(&app, &user, "file", "image/png", &large).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert!(refused.text.contains("50 MB"), "{}", refused.text);
    let other = upload(&app, &user, "other", "image/png", PNG).await;
    assert_eq!((other.status.as_u16(), &other.body["detail"][0]["loc"]), (422, &json!(["body", "file"])));
    assert_eq!(app.post(&user, "/api/store/submissions/media", Value::Null).await.status, 422);
    assert_eq!(app.request(Method::POST, "/api/store/submissions/media").send().await.status, 401);
    let kept = app.store.keep_media(user.id, "image/png", PNG, 20).await.unwrap();
    assert!(kept.is_some(), "nothing was kept of them");
    assert_eq!(app.store.keep_media(user.id, "image/png", PNG, 20).await.unwrap(), None, "a quota holds");
}

/// An upload of which the end does not come.
async fn half_an_upload(app: &TestApp, user: &TestUser) -> TcpStream {
    let mut socket = TcpStream::connect(app.base.strip_prefix("http://").unwrap()).await.unwrap();
    let head = format!(
        "POST /api/store/submissions/media HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Length: 1000000\r\n\
         Content-Type: multipart/form-data; boundary={EDGE}\r\n\r\n\
         --{EDGE}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n",
        user.token
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(PNG).await.unwrap();
    socket
}

#[tokio::test]
async fn who_sends_slowly_holds_up_nobody_else() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let mut slow = Vec::new();
    for _ in 0..8 {
        slow.push(half_an_upload(&app, &user).await);
    }
    // They are being received by now.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let third = tokio::time::timeout(Duration::from_secs(10), upload(&app, &user, "file", "image/png", PNG)).await;
    assert_eq!(third.expect("an upload waits for those that do not come").status, 200);
    let mut answer = Vec::new();
    slow.remove(0).read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("too slowly"), "{answer}");
}

#[tokio::test]
async fn without_a_public_address_uploads_are_for_this_machine_and_in_production_for_nobody() {
    let app = TestApp::builder().set("AGENT_API_PORT", "18906").start().await;
    let kept = upload(&app, &TestUser::new(), "file", "image/png", PNG).await;
    assert_eq!(kept.status, 200, "{}", kept.text);
    let path = kept.body.as_str().unwrap().strip_prefix("http://localhost:18906").unwrap().to_owned();
    assert_eq!(app.request(Method::GET, &path).send().await.bytes, PNG);

    let app = TestApp::builder()
        .set("APP_ENV", "prod")
        .set("BACKEND_CORS_ALLOW_ORIGINS", "[]")
        .start()
        .await;
    let refused = upload(&app, &TestUser::new(), "file", "image/png", PNG).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert!(refused.text.contains("PLATFORM_BASE_URL"), "{}", refused.text);
}
