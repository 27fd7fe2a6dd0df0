//! The schema: bring it up to this program's version, or tell how far it is.

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Connection, Executor, PgConnection};

use crate::connect::quoted;
use crate::{Error, Result, Store};

static MIGRATOR: Migrator = sqlx::migrate!("../../../migrations");

/// Name of the advisory lock of whoever migrates.
const LOCK: i64 = 0x6175_746f_6770_7401;
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Where the database's schema stands compared with what this program was built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    /// As new as the program, or newer: migrations only add.
    Ready,
    Old {
        have: i64,
        want: i64,
    },
    /// A migration began and never ended.
    Dirty {
        version: i64,
    },
}

impl Store {
    /// Runs the migrations that are missing. Several processes may do so at once: one works, the others wait.
    pub async fn migrate(&self) -> Result<()> {
        if let Some(schema) = &self.schema {
            let create = format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema));
            self.pool
                .execute(sqlx::AssertSqlSafe(create))
                .await
                .map_err(|error| self.explain(error))?;
        }
        // An older program meets a newer schema during a roll-out back: what it needs is still there.
        let mut migrator = Migrator::with_migrations(MIGRATOR.iter().cloned().collect());
        migrator.set_ignore_missing(true);
        migrator.set_locking(false);
        // A connection of its own: the lock goes with it, however this ends.
        let mut holder = self.pool.acquire().await.map_err(|error| self.explain(error))?.detach();
        lock(&mut holder).await?;
        let outcome = migrator.run(&self.pool).await;
        holder.close().await?;
        outcome.map_err(|error| match error {
            MigrateError::Execute(error) => self.explain(error),
            MigrateError::Dirty(version) => Error::SchemaDirty { version },
            other => Error::Migration(other.to_string()),
        })
    }

    pub async fn schema_state(&self) -> Result<SchemaState> {
        let want = MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0);
        let known: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
            .fetch_one(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        if !known {
            return Ok(SchemaState::Old { have: 0, want });
        }
        let rows: Vec<(i64, bool)> = sqlx::query_as("SELECT version, success FROM _sqlx_migrations ORDER BY version")
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        if let Some((version, _)) = rows.iter().find(|(_, success)| !success) {
            return Ok(SchemaState::Dirty { version: *version });
        }
        let have = rows.last().map_or(0, |(version, _)| *version);
        Ok(if have < want {
            SchemaState::Old { have, want }
        } else {
            SchemaState::Ready
        })
    }

    /// An error with the remedy unless the schema is ready.
    pub async fn check_schema(&self) -> Result<()> {
        match self.schema_state().await? {
            SchemaState::Ready => Ok(()),
            SchemaState::Old { have, want } => Err(Error::SchemaOld { have, want }),
            SchemaState::Dirty { version } => Err(Error::SchemaDirty { version }),
        }
    }
}

/// Waits for the lock by asking again. A statement that waits for it has a snapshot all the while, and an index that is built concurrently
/// waits for every snapshot: the two would wait for each other.
async fn lock(connection: &mut PgConnection) -> Result<()> {
    loop {
        let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(LOCK)
            .fetch_one(&mut *connection)
            .await?;
        if locked {
            return Ok(());
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}
