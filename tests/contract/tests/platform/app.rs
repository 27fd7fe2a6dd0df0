//! One `app` process for all tests of this file.

use std::sync::OnceLock;
use std::time::Duration;

use contract_tests::client::Client;
use contract_tests::process::{self, Process, Variables};
use tempfile::TempDir;

/// From an empty data directory to ready; a cold start of RabbitMQ on a busy machine is most of it.
const START: Duration = Duration::from_secs(90);

pub struct App {
    pub variables: Variables,
    _process: Process,
    _data: TempDir,
}

/// The app, started by whoever asks first.
pub fn app() -> &'static App {
    static APP: OnceLock<App> = OnceLock::new();
    // Tests have a runtime each: the start gets one of its own, outside of theirs.
    APP.get_or_init(|| {
        std::thread::spawn(|| tokio::runtime::Runtime::new().expect("a runtime").block_on(start()))
            .join()
            .expect("the app starts")
    })
}

async fn start() -> App {
    let data = tempfile::tempdir().expect("a data directory");
    let mut variables = process::variables();
    variables.insert("ENABLE_METRICS".to_owned(), "true".to_owned());
    // Under `devservices run` its servers are used; else the app starts its own.
    if std::env::var_os("TEST_DATABASE_URL").is_some() {
        variables.insert("DATABASE_URL".to_owned(), devservices::testing::database().await);
        variables.insert("RABBITMQ_URL".to_owned(), devservices::testing::vhost().await);
        variables.insert("REDIS_URL".to_owned(), devservices::testing::redis_url());
    }
    let directory = data.path().display().to_string();
    let process = Process::start("app", &["--data-dir", &directory], &variables);
    for port in ["AGENT_API_PORT", "EXECUTION_MANAGER_PORT", "DATABASE_API_PORT"] {
        process::ready(&process, &format!("{}/readyz", process::url(&variables, port)), START).await;
    }
    App {
        variables,
        _process: process,
        _data: data,
    }
}

impl App {
    pub fn rest(&self) -> String {
        process::url(&self.variables, "AGENT_API_PORT")
    }

    pub async fn user(&self) -> Client {
        Client::new_user(&self.rest()).await
    }
}
