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
    overlay.extend(keys(&settings, &data)?);
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

/// The keys that the settings leave out. Where an auth service elsewhere publishes the keys of its tokens there is none to be generated: one
/// that is set would be believed instead of them.
fn keys(settings: &Settings, data: &DataDir) -> Result<Vec<(&'static str, String)>, BoxError> {
    let auth = &settings.auth;
    let mut keys = Vec::new();
    if auth.jwt_verify_key.is_empty() && auth.key_set_url().is_none() {
        keys.push(("JWT_VERIFY_KEY", data.signing_key()?));
    }
    if auth.encryption_key.expose().trim().is_empty() {
        keys.push(("ENCRYPTION_KEY", data.encryption_key()?));
    }
    if auth.unsubscribe_secret_key.is_empty() {
        keys.push(("UNSUBSCRIBE_SECRET_KEY", data.unsubscribe_key()?));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use runtime::Settings;

    use super::{DataDir, keys};

    /// What the services are started with.
    fn started_with(given: &[(&'static str, &str)]) -> Settings {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::open(directory.path()).unwrap();
        let given: Vec<(&str, String)> = given.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let generated = keys(&Settings::from_pairs(given.clone()).unwrap(), &data).unwrap();
        Settings::from_pairs(given.into_iter().chain(generated)).unwrap()
    }

    #[test]
    fn an_auth_service_elsewhere_keeps_its_published_keys() {
        let elsewhere = started_with(&[("SUPABASE_URL", "http://auth.example.test")]);
        assert_eq!(
            elsewhere.auth.key_set_url().as_deref(),
            Some("http://auth.example.test/auth/v1/.well-known/jwks.json")
        );
        let published = started_with(&[("JWT_JWKS_URL", "http://keys.example.test/set")]);
        assert!(published.auth.jwt_verify_key.is_empty());
    }

    #[test]
    fn without_one_tokens_are_signed_with_a_generated_secret() {
        for given in [&[][..], &[("EMBEDDED_AUTH", "false")]] {
            let settings = started_with(given);
            assert_eq!(settings.auth.key_set_url(), None);
            assert!(!settings.auth.jwt_verify_key.is_empty(), "{given:?}");
        }
        assert_eq!(started_with(&[("JWT_VERIFY_KEY", "mine")]).auth.jwt_verify_key.expose(), "mine");
    }
}
