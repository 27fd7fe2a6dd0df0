//! All six services in one process, for a machine without Kubernetes.
//!
//! Servers that the environment does not name are started as children and stopped with this process.

mod data;
mod servers;
mod services;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use runtime::{BoxError, Settings, Shutdown};

use crate::data::DataDir;
use crate::servers::Servers;
use crate::services::Listeners;

/// Runs the AutoGPT Platform on this machine: REST on port 8006, WebSocket on 8001, and the four services behind them.
///
/// Every setting is an environment variable; --print-config lists them. With DATABASE_URL (or DB_HOST), REDIS_HOST or
/// RABBITMQ_HOST unset, PostgreSQL, Redis and RabbitMQ are started here and keep their data below the data directory.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where servers that are started here keep their data, and where the keys are that sign tokens and seal credentials.
    #[arg(long, env = "AUTOGPT_APP_DATA", default_value = ".app")]
    data_dir: PathBuf,
    /// Print the effective configuration, secrets redacted, and end.
    #[arg(long)]
    print_config: bool,
}

fn main() -> ExitCode {
    // The runtime looks for --print-config itself.
    let Arguments { data_dir, print_config: _ } = Arguments::parse();
    runtime::main("app", move |settings, shutdown| run(settings, data_dir, shutdown))
}

async fn run(settings: Settings, data_dir: PathBuf, shutdown: Shutdown) -> Result<(), BoxError> {
    // Ports first: a port in use must not cost the time of a start.
    let listeners = Listeners::bind(&settings).await?;
    let data = DataDir::open(&data_dir)?;
    let servers = tokio::select! {
        servers = Servers::start(&data) => servers?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let mut overlay = servers.addresses();
    if settings.auth.jwt_verify_key.is_empty() {
        overlay.push(("JWT_VERIFY_KEY", data.signing_key()?));
    }
    if settings.auth.encryption_key.expose().trim().is_empty() {
        overlay.push(("ENCRYPTION_KEY", data.encryption_key()?));
    }
    if settings.auth.unsubscribe_secret_key.is_empty() {
        overlay.push(("UNSUBSCRIBE_SECRET_KEY", data.unsubscribe_key()?));
    }
    overlay.push(("MIGRATE_ON_START", "true".to_owned()));
    let settings = Settings::load_with(overlay)?;
    if servers.has_own_database() {
        // It is there, so nobody needs to wait for its tables.
        db::migrate(settings.clone(), shutdown.clone()).await?;
    }
    services::announce(&settings);
    let outcome = services::run(settings, listeners, shutdown).await;
    servers.stop().await;
    outcome
}
