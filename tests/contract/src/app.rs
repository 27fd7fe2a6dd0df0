//! The `app` binary: all six services in one process, on real servers.

use std::time::Duration;

use tempfile::TempDir;

use crate::client::Client;
use crate::process::{self, Process, Variables};

/// From an empty data directory to ready; a cold start of RabbitMQ on a busy machine is most of it.
const START: Duration = Duration::from_secs(90);

/// A running app. Ends with its owner.
pub struct App {
    pub variables: Variables,
    _process: Process,
    _data: TempDir,
}

impl App {
    /// Starts it, ready when this returns; `more` are variables beside those of every platform of the tests.
    pub async fn start(more: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().expect("a data directory");
        let mut variables = process::variables();
        variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
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
        Self {
            variables,
            _process: process,
            _data: data,
        }
    }

    pub fn rest(&self) -> String {
        process::url(&self.variables, "AGENT_API_PORT")
    }

    pub async fn user(&self) -> Client {
        Client::new_user(&self.rest()).await
    }
}
