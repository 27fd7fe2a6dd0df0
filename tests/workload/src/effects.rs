//! The effect table: what the world outside saw of the runs.
//!
//! It lies in a database of its own, is written over connections of its own, and has no unique key: whatever the platform does twice stands
//! in it twice.

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// The variable that names the database to the test blocks.
pub const VARIABLE: &str = "EFFECTS_DATABASE_URL";
/// Effects that one process writes at the same time.
const CONNECTIONS: u32 = 16;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS effects (
    node_exec_id    uuid NOT NULL,
    idempotency_key text NOT NULL,
    node_id         uuid NOT NULL,
    graph_exec_id   uuid NOT NULL,
    once            boolean NOT NULL,
    at              timestamptz NOT NULL DEFAULT clock_timestamp()
)";

/// One effect.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Effect {
    pub node_exec_id: Uuid,
    pub idempotency_key: String,
    pub node_id: Uuid,
    pub graph_exec_id: Uuid,
    /// Of a block that must not start twice.
    pub once: bool,
    pub at: DateTime<Utc>,
}

/// Creates the database `effects` on the server of `admin_url`, with its table, and returns its URL.
///
/// # Errors
/// When the server is not there or refuses.
pub async fn create(admin_url: &str) -> sqlx::Result<String> {
    let mut admin = PgConnection::connect(admin_url).await?;
    admin.execute(AssertSqlSafe("CREATE DATABASE effects".to_owned())).await?;
    let url = match admin_url.rsplit_once('/') {
        Some((server, _)) => format!("{server}/effects"),
        None => admin_url.to_owned(),
    };
    PgConnection::connect(&url).await?.execute(TABLE).await?;
    Ok(url)
}

/// The way of the test blocks to the table. Connects when the first effect is written.
#[derive(Debug, Default)]
pub struct EffectLog {
    pool: OnceCell<PgPool>,
}

impl EffectLog {
    async fn pool(&self) -> Result<&PgPool, String> {
        let connect = async || {
            let url = std::env::var(VARIABLE).map_err(|_| format!("{VARIABLE} is not set: there is no effect table"))?;
            PgPoolOptions::new()
                .max_connections(CONNECTIONS)
                .connect_lazy(&url)
                .map_err(|error| error.to_string())
        };
        self.pool.get_or_try_init(connect).await
    }

    /// Waits until the table can be reached.
    pub async fn reach(&self) -> Result<(), String> {
        let pool = self.pool().await?;
        while pool.acquire().await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Appends one row. After an error nobody knows whether it is there.
    pub async fn append(&self, effect: &Effect) -> Result<(), String> {
        let pool = self.pool().await?;
        let insert =
            sqlx::query("INSERT INTO effects (node_exec_id, idempotency_key, node_id, graph_exec_id, once, at) VALUES ($1, $2, $3, $4, $5, $6)")
                .bind(effect.node_exec_id)
                .bind(&effect.idempotency_key)
                .bind(effect.node_id)
                .bind(effect.graph_exec_id)
                .bind(effect.once)
                .bind(effect.at);
        insert.execute(pool).await.map(drop).map_err(|error| error.to_string())
    }
}
