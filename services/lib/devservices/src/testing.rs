//! What tests ask for: a fresh database, a fresh virtual host, the Redis server. Needs the environment that
//! `devservices run` exports.

#![allow(clippy::panic)] // a test without its services cannot go on

use std::fmt::Display;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use url::Url;
use uuid::Uuid;

pub const DATABASE: &str = "TEST_DATABASE_URL";
pub const REDIS: &str = "TEST_REDIS_URL";
pub const AMQP: &str = "TEST_AMQP_URL";
pub const RABBITMQ_API: &str = "TEST_RABBITMQ_API_URL";

/// The URL of an empty database that only the caller knows.
///
/// # Panics
/// When the services are not there.
pub async fn database() -> String {
    let admin = variable(DATABASE);
    let name = format!("t_{}", Uuid::new_v4().simple());
    let mut connection = good("connect to PostgreSQL", PgConnection::connect(&admin).await);
    good(
        "create a database",
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await,
    );
    let mut url = good("read TEST_DATABASE_URL", Url::parse(&admin));
    url.set_path(&name);
    url.to_string()
}

/// The AMQP URL of an empty virtual host that only the caller knows.
///
/// # Panics
/// When the services are not there.
pub async fn vhost() -> String {
    runtime::install_tls_provider();
    let name = format!("t_{}", Uuid::new_v4().simple());
    management(reqwest::Method::PUT, &format!("/api/vhosts/{name}"), String::new()).await;
    let everything = r#"{"configure": ".*", "write": ".*", "read": ".*"}"#;
    management(reqwest::Method::PUT, &format!("/api/permissions/{name}/guest"), everything.to_owned()).await;
    let mut url = good("read TEST_AMQP_URL", Url::parse(&variable(AMQP)));
    url.set_path(&name);
    url.to_string()
}

/// The URL of the Redis server that all tests share: use names that hold a fresh UUID.
pub fn redis_url() -> String {
    variable(REDIS)
}

/// A list that the management API makes while queues come and go elsewhere may fail inside the server: it is asked for again.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(200);

/// A call to RabbitMQ's management API; returns the body.
///
/// # Panics
/// When the answer is no success.
pub async fn management(method: reqwest::Method, path: &str, body: String) -> String {
    let base = variable(RABBITMQ_API);
    let url = good("read TEST_RABBITMQ_API_URL", Url::parse(&base));
    let client = good("build a client", reqwest::Client::builder().no_proxy().build());
    let target = format!("{}{path}", url.origin().ascii_serialization());
    let mut attempts_left = if method.is_idempotent() { ATTEMPTS } else { 1 };
    loop {
        attempts_left -= 1;
        let request = client
            .request(method.clone(), &target)
            .basic_auth(url.username(), url.password())
            .header("content-type", "application/json")
            .body(body.clone());
        let response = good("reach RabbitMQ's management API", request.send().await);
        if response.status().is_server_error() && attempts_left > 0 {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let response = good("use RabbitMQ's management API", response.error_for_status());
        return good("read the answer of RabbitMQ's management API", response.text().await);
    }
}

fn variable(name: &str) -> String {
    match std::env::var(name) {
        Ok(value) => value,
        Err(_) => panic!("{name} is not set: run through `make test`, or `cargo run -p devservices -- run -- cargo test`"),
    }
}

fn good<T, E: Display>(what: &str, outcome: Result<T, E>) -> T {
    match outcome {
        Ok(value) => value,
        Err(error) => panic!("cannot {what}: {error}"),
    }
}
