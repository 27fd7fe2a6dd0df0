//! `db migrate`: what the platform's migration Job runs.

use std::time::Duration;

use runtime::{Settings, Shutdown};
use store::Store;
use tokio::time::Instant;

use crate::Error;

const PATIENCE: Duration = Duration::from_secs(60);
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(1);

/// Brings the schema up to date. Waits for a database that is still starting, not for one that refuses a migration.
pub async fn migrate(settings: Settings, shutdown: Shutdown) -> Result<(), Error> {
    migrate_within(&settings, &shutdown, PATIENCE).await
}

pub(crate) async fn migrate_within(settings: &Settings, shutdown: &Shutdown, patience: Duration) -> Result<(), Error> {
    let store = Store::connect(&settings.database.url, 2)?;
    let deadline = Instant::now() + patience;
    let mut waiting = false;
    loop {
        let attempt = tokio::select! {
            attempt = store.migrate() => attempt,
            () = shutdown.cancelled() => return Err(Error::Stopped),
        };
        match attempt {
            Ok(()) => break,
            Err(cause) if cause.is_unavailable() && Instant::now() >= deadline => {
                return Err(Error::NoDatabase {
                    seconds: patience.as_secs(),
                    cause,
                });
            }
            Err(error) if error.is_unavailable() => {
                if !waiting {
                    tracing::warn!(%error, "waiting for the database");
                    waiting = true;
                }
            }
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(BETWEEN_ATTEMPTS).await;
    }
    tracing::info!("the database schema is up to date");
    store.close().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_absent_database_is_an_error_that_says_what_to_do() {
        let settings = Settings::from_pairs([("DATABASE_URL", "postgresql://u:secret@127.0.0.1:1/x")]).unwrap();
        let error = migrate_within(&settings, &Shutdown::new(), Duration::ZERO).await.unwrap_err().to_string();
        assert!(
            error.contains("127.0.0.1:1") && error.contains("is it running") && !error.contains("secret"),
            "{error}"
        );
    }
}
