//! The platform's doors: REST and WebSocket each by itself, or everything at one address behind the ingress controller.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

/// Where a platform is reached: host name and port for REST and for the WebSocket. Everything is on this machine.
#[derive(Debug, Clone, Copy)]
pub struct Door {
    pub host: &'static str,
    pub rest: u16,
    pub websocket: u16,
}

/// The Services, by the forwarder.
pub const SERVICES: Door = Door {
    host: "127.0.0.1",
    rest: 18006,
    websocket: 18001,
};

/// The ingress controller, under a name.
pub const fn ingress(host: &'static str) -> Door {
    Door {
        host,
        rest: 18080,
        websocket: 18080,
    }
}

pub const AGENT_INPUT: &str = "c0a8e994-ebf1-4a9c-a4d8-89d09c86741b";
pub const AGENT_OUTPUT: &str = "363ae599-353e-4804-937e-b2ee3cef3da4";
pub const FILL_TEXT_TEMPLATE: &str = "db7d8f02-2f44-4c55-ab7a-eae0941f0c30";

impl Door {
    /// A client that finds the host on this machine, whatever the machine's resolver knows.
    pub fn client(&self) -> reqwest::Client {
        // The second of two tests in a process finds it installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .resolve(self.host, SocketAddr::from((Ipv4Addr::LOCALHOST, self.rest)))
            .build()
            .expect("an HTTP client")
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}:{}{path}", self.host, self.rest)
    }
}

/// A user of the platform with a token.
pub struct User {
    http: reqwest::Client,
    door: Door,
    token: String,
}

impl User {
    pub fn new(door: Door, token: String) -> Self {
        Self {
            http: door.client(),
            door,
            token,
        }
    }

    /// Makes an account with a password and logs in with it, as the frontend does.
    pub async fn sign_up(door: Door, email: &str) -> Self {
        let nobody = Self::new(door, String::new());
        let account = json!({"email": email, "password": "correct horse battery", "gotrue_meta_security": {}});
        let made = nobody.post("/auth/v1/signup", account.clone()).await;
        assert!(made["access_token"].is_string(), "{made}");
        let session = nobody.post("/auth/v1/token?grant_type=password", account).await;
        let token = session["access_token"].as_str().expect("an access token").to_owned();
        let user = Self::new(door, token);
        assert_eq!(user.get("/auth/v1/user").await["email"], email);
        user
    }

    /// What an API key of the user gets.
    pub async fn get_with_key(&self, path: &str, key: &str) -> (u16, Value) {
        let response = self.http.get(self.door.url(path)).header("X-API-Key", key).send().await;
        let response = response.unwrap_or_else(|error| panic!("{path}: {error}"));
        let status = response.status().as_u16();
        (status, response.json().await.expect("JSON"))
    }

    /// Whether a GET is answered with 200.
    pub async fn reaches(&self, path: &str) -> bool {
        let request = self.http.get(self.door.url(path)).bearer_auth(&self.token);
        request.send().await.is_ok_and(|response| response.status().is_success())
    }

    /// Status and body of one call.
    pub async fn call(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.http.request(method, self.door.url(path));
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.unwrap_or_else(|error| panic!("{path}: {error}"));
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(reqwest::Method::POST, path, Some(body)).await;
        assert_eq!(status, 200, "POST {path}: {answer}");
        answer
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.call(reqwest::Method::GET, path, None).await;
        assert_eq!(status, 200, "GET {path}: {answer}");
        answer
    }

    /// Polls a run until its status is one of `wanted`.
    pub async fn run_reaches(&self, graph: &str, execution: &str, wanted: &[&str], limit: Duration) -> Value {
        let start = Instant::now();
        loop {
            let run = self.get(&format!("/api/graphs/{graph}/executions/{execution}")).await;
            if run["status"].as_str().is_some_and(|status| wanted.contains(&status)) {
                return run;
            }
            assert!(start.elapsed() < limit, "run {execution} is still {} after {limit:?}", run["status"]);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Subscribes to the runs of a graph, does `act`, and returns all frames up to the end of the first run.
    pub async fn watch_graph<F: Future<Output = ()>>(&self, graph: &str, act: impl FnOnce() -> F) -> Vec<Value> {
        let connection = TcpStream::connect((Ipv4Addr::LOCALHOST, self.door.websocket))
            .await
            .expect("a connection");
        let url = format!("ws://{}:{}/ws?token={}", self.door.host, self.door.websocket, self.token);
        let (mut socket, _) = tokio_tungstenite::client_async(url, connection).await.expect("the WebSocket opens");
        let subscribe = json!({"method": "subscribe_graph_executions", "data": {"graph_id": graph}});
        socket.send(Message::text(subscribe.to_string())).await.expect("the socket takes a frame");
        let mut frames = vec![next_frame(&mut socket).await];
        assert_eq!(frames[0]["success"], true, "{frames:?}");
        act().await;
        loop {
            let frame = next_frame(&mut socket).await;
            let done = frame["data"]["status"] == "COMPLETED";
            frames.push(frame);
            if done {
                return frames;
            }
        }
    }
}

async fn next_frame<S>(socket: &mut S) -> Value
where
    S: futures::Stream<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin,
{
    let message = tokio::time::timeout(Duration::from_secs(30), socket.next())
        .await
        .expect("a frame within 30 s")
        .expect("an open socket")
        .expect("a sound frame");
    serde_json::from_str(message.to_text().expect("a text frame")).expect("JSON")
}

/// Two inputs, joined by a template, to one output.
pub fn greeting_graph() -> Value {
    json!({
        "name": "greeting",
        "description": "two inputs joined",
        "nodes": [
            {"id": "1", "block_id": AGENT_INPUT, "input_default": {"name": "a"}},
            {"id": "2", "block_id": AGENT_INPUT, "input_default": {"name": "b"}},
            {"id": "3", "block_id": FILL_TEXT_TEMPLATE, "input_default": {"format": "{{a}}, {{b}}!"}},
            {"id": "4", "block_id": AGENT_OUTPUT, "input_default": {"name": "text"}}
        ],
        "links": [
            {"source_id": "1", "sink_id": "3", "source_name": "result", "sink_name": "values_#_a"},
            {"source_id": "2", "sink_id": "3", "source_name": "result", "sink_name": "values_#_b"},
            {"source_id": "3", "sink_id": "4", "source_name": "output", "sink_name": "value"}
        ]
    })
}
