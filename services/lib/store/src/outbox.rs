//! The outbox: wake-ups that still have to reach RabbitMQ. A row goes only after the broker has confirmed its message.

use model::{ExecutionContext, RunMessage};
use sqlx::{Postgres, Row, Transaction};

use crate::execution_rows::json;
use crate::{Result, Store};

/// Rows taken at once.
const BATCH: i64 = 500;

/// Rows that this process has locked. Dropped without [`OutboxBatch::settle`] they stay and are sent again: a message may come twice,
/// never not at all. A row whose run has been claimed meanwhile has no message: nobody waits for it any more.
pub struct OutboxBatch {
    tx: Transaction<'static, Postgres>,
    /// Rows without a message.
    needless: Vec<i64>,
    /// The row of each message.
    ids: Vec<i64>,
    pub messages: Vec<RunMessage>,
    /// The trace of each message's run.
    pub traceparents: Vec<Option<String>>,
}

impl Store {
    /// The oldest rows that no other relay holds; none when there is nothing to do.
    pub async fn take_outbox(&self) -> Result<Option<OutboxBatch>> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let rows = sqlx::query(
            "SELECT o.id AS outbox_id, g.* FROM (SELECT id, graph_exec_id FROM outbox ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED) o
             CROSS JOIN LATERAL (
                 SELECT id, user_id, graph_id, graph_version, compiled_masks, context, traceparent, lease_owner IS NOT NULL AS is_claimed
                 FROM graph_executions WHERE id = o.graph_exec_id OFFSET 0) g ORDER BY o.id",
        )
        .bind(BATCH)
        .fetch_all(&mut *tx)
        .await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let mut needless = Vec::new();
        let mut ids = Vec::with_capacity(rows.len());
        let mut messages = Vec::with_capacity(rows.len());
        let mut traceparents = Vec::with_capacity(rows.len());
        for row in &rows {
            if row.try_get("is_claimed")? {
                needless.push(row.try_get("outbox_id")?);
                continue;
            }
            ids.push(row.try_get("outbox_id")?);
            traceparents.push(row.try_get("traceparent")?);
            messages.push(RunMessage {
                user_id: row.try_get("user_id")?,
                graph_exec_id: row.try_get("id")?,
                graph_id: row.try_get("graph_id")?,
                graph_version: row.try_get("graph_version")?,
                nodes_input_masks: json(row, "compiled_masks")?,
                execution_context: json::<ExecutionContext>(row, "context")?.unwrap_or_default(),
            });
        }
        Ok(Some(OutboxBatch {
            tx,
            needless,
            ids,
            messages,
            traceparents,
        }))
    }

    /// How long the oldest wake-up has been waiting for its confirmation, in seconds; 0 when none is.
    pub async fn outbox_lag(&self) -> Result<f64> {
        let lag = "SELECT coalesce((SELECT extract(epoch FROM clock_timestamp() - created_at) FROM outbox ORDER BY id LIMIT 1), 0)::float8";
        Ok(sqlx::query_scalar(lag).fetch_one(&self.pool).await?)
    }

    /// Wake-ups that are not yet confirmed.
    pub async fn outbox_length(&self) -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM outbox").fetch_one(&self.pool).await?)
    }
}

impl OutboxBatch {
    /// Forgets the rows without a message and those whose message the broker has confirmed, `confirmed` being one answer a message; the others
    /// are free again.
    ///
    /// The commit does not wait for the disk, where it would keep the claim of the very runs waiting: should a crash undo it, the messages
    /// come again, which does no harm.
    pub async fn settle(mut self, confirmed: &[bool]) -> Result<()> {
        let mut done = self.needless;
        done.extend(self.ids.iter().zip(confirmed).filter(|(_, confirmed)| **confirmed).map(|(id, _)| *id));
        sqlx::query("DELETE FROM outbox WHERE id = ANY($1) AND (SELECT set_config('synchronous_commit', 'off', true)) = 'off'")
            .bind(done)
            .execute(&mut *self.tx)
            .await?;
        self.tx.commit().await?;
        Ok(())
    }
}
