//! JSON that is meant to do harm: each body gets an answer in words, and the service goes on.

use http::Method;
use serde_json::{Value, json};

use crate::app::{TestApp, TestUser};

/// A graph with this text as the value of a node.
fn graph_with(value: &str) -> String {
    let output = crate::graphs::OUTPUT;
    format!(
        r#"{{"graph":{{"name":"n","description":"d","nodes":[{{"id":"a","block_id":"{output}","input_default":{{"name":"y","value":{value}}}}}]}}}}"#
    )
}

#[tokio::test]
async fn hostile_json_is_answered_in_words() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let cases: [(&str, Vec<u8>, &[u16]); 15] = [
        ("deep", graph_with(&nested(100_000)).into_bytes(), &[422]),
        ("deep and not closed", graph_with(&"[{\"a\":".repeat(100_000)).into_bytes(), &[422]),
        ("at the edge of deep", graph_with(&nested(110)).into_bytes(), &[200, 400]),
        ("a key given twice", graph_with(r#"{"a":1,"a":2}"#).into_bytes(), &[200]),
        ("a huge integer", graph_with(&"9".repeat(5_000)).into_bytes(), &[200]),
        ("a huge exponent", graph_with("1e999999999").into_bytes(), &[200]),
        ("a lone surrogate", graph_with(r#""\ud800""#).into_bytes(), &[422]),
        ("half a pair", graph_with(r#""\udc00\ud800x""#).into_bytes(), &[422]),
        ("a NUL", graph_with(r#""a\u0000b""#).into_bytes(), &[200]),
        ("no UTF-8", [b"{\"graph\":\"".as_slice(), &[0xff, 0xfe, 0xc0], b"\"}"].concat(), &[422]),
        ("UTF-16", "{\"graph\":{}}".encode_utf16().flat_map(u16::to_le_bytes).collect(), &[422]),
        ("a byte order mark", [b"\xef\xbb\xbf".as_slice(), b"{}"].concat(), &[422]),
        (
            "a million keys",
            format!("{{{}}}", (0..1_000_000).map(|i| format!("\"{i}\":0")).collect::<Vec<_>>().join(",")).into_bytes(),
            &[422],
        ),
        (
            "three million values",
            graph_with(&format!("[{}0]", "0,".repeat(3_000_000))).into_bytes(),
            &[422],
        ),
        (
            "wrong types everywhere",
            br#"{"graph":{"name":[],"description":{},"nodes":"x","links":7,"version":1e99}}"#.to_vec(),
            &[422],
        ),
    ];
    for (what, body, expected) in cases {
        let answer = app.request(Method::POST, "/api/graphs").by(&user).raw(body).send().await;
        let start: String = answer.text.chars().take(300).collect();
        assert!(expected.contains(&answer.status.as_u16()), "{what}: {} {start}", answer.status);
        assert!(
            answer.status == 200 || !answer.body["detail"].is_null(),
            "{what} is refused without a word: {start}"
        );
        assert!(answer.text.len() < 100_000, "{what}: an answer of {} bytes", answer.text.len());
    }
    let listed = app.get(&user, "/api/graphs").await;
    assert_eq!(listed.status, 200, "{}", listed.text);
}

/// Of a key that is given twice the last one counts, as with the reference's parser, in the answer and in what is read later.
#[tokio::test]
async fn the_last_of_two_equal_keys_counts() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let answer = app
        .request(Method::POST, "/api/graphs")
        .by(&user)
        .raw(graph_with(r#"{"a":1,"a":2}"#))
        .send()
        .await;
    let path = format!("/api/graphs/{}", crate::app::text(&answer.body, "id"));
    for graph in [answer.body, app.get(&user, &path).await.body] {
        assert_eq!(graph["nodes"][0]["input_default"]["value"], json!({"a": 2}));
    }
}

#[tokio::test]
async fn versions_and_ids_that_nothing_has_are_not_found() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let graph = app
        .graph(&user, serde_json::from_str::<Value>(&graph_with("1")).unwrap()["graph"].clone())
        .await;
    let id = crate::app::text(&graph, "id");
    for version in ["0", "-1", "2", "2147483648", "9223372036854775807"] {
        let read = app.get(&user, &format!("/api/graphs/{id}/versions/{version}")).await;
        assert_eq!(read.status, 404, "{version}: {}", read.text);
        let run = app.post(&user, &format!("/api/graphs/{id}/execute/{version}"), json!({})).await;
        assert_eq!(run.status, 400, "{version}: {}", run.text);
    }
    for version in ["x", "1.5", "99999999999999999999999", "%00", "NaN"] {
        let read = app.get(&user, &format!("/api/graphs/{id}/versions/{version}")).await;
        assert_eq!(read.status, 422, "{version}: {}", read.text);
    }
    for id in [
        "%00",
        "x'--",
        "..%2f..",
        "%ff%fe",
        &"9".repeat(5_000),
        "00000000-0000-0000-0000-000000000000",
    ] {
        let read = app.get(&user, &format!("/api/graphs/{id}")).await;
        assert!(matches!(read.status.as_u16(), 400 | 404), "{id}: {} {}", read.status, read.text);
    }
}
