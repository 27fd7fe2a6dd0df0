//! Watches whether the database is there and its schema as new as this program.

use std::time::Duration;

use runtime::health::Check;
use runtime::{Settings, Shutdown};
use store::Store;

const BETWEEN_LOOKS: Duration = Duration::from_secs(2);

/// Reports to `check` until the shutdown. One log line when the database goes, one when it is back.
pub async fn watch(settings: Settings, store: Store, check: Check, shutdown: Shutdown) {
    let mut was_ready = None;
    loop {
        let looked = tokio::select! {
            looked = look(&settings, &store, was_ready.is_none()) => looked,
            () = shutdown.cancelled() => return,
        };
        match looked {
            Ok(()) => {
                if was_ready == Some(false) {
                    tracing::info!("the database is there");
                }
                was_ready = Some(true);
                check.ok();
            }
            Err(error) => {
                if was_ready != Some(false) {
                    tracing::warn!(%error, "waiting for the database");
                }
                was_ready = Some(false);
                check.fail(error.to_string());
            }
        }
        tokio::select! {
            () = tokio::time::sleep(BETWEEN_LOOKS) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

async fn look(settings: &Settings, store: &Store, first: bool) -> store::Result<()> {
    match store.check_schema().await {
        Ok(()) if !first => Ok(()),
        Err(store::Error::SchemaOld { .. }) if settings.database.migrate_on_start => {
            store.migrate().await?;
            store.ensure_service_user(settings.platform_service_user_id).await
        }
        Ok(()) => store.ensure_service_user(settings.platform_service_user_id).await,
        Err(error) => Err(error),
    }
}
