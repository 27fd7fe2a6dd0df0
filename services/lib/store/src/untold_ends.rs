//! Ends that no executor tells about: a run that was cancelled while it waited, that was past its deadline, that was given up. Whoever ends
//! such a run leaves a row here in the same transaction ([`crate::control::finish`]), and the database manager tells its watchers after the
//! commit, whatever process dies in between.

use model::{GraphExecId, GraphExecution};
use sqlx::{PgConnection, Postgres, Row, Transaction};

use crate::execution_rows::{META, meta};
use crate::executions::IoBlocks;
use crate::{Result, Store};

/// Rows taken at once.
const BATCH: i64 = 100;

/// The end of a run as its watchers are told about it.
#[derive(Debug, Clone)]
pub struct UntoldEnd {
    pub execution: GraphExecution,
    /// Position of the last entry in the run's journal. No entry comes after it, so the end has the next position.
    pub journal_seq: i64,
}

/// Rows that this process has locked. Dropped without [`UntoldEnds::told`] they stay for the next one.
pub struct UntoldEnds {
    tx: Transaction<'static, Postgres>,
    pub ends: Vec<UntoldEnd>,
}

impl Store {
    /// Ends that nobody else is telling about; none when there is nothing to tell.
    pub async fn take_untold_ends(&self, blocks: &IoBlocks) -> Result<Option<UntoldEnds>> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let query = format!(
            "SELECT g.* FROM (SELECT graph_exec_id FROM untold_ends ORDER BY graph_exec_id LIMIT $1 FOR UPDATE SKIP LOCKED) u
             CROSS JOIN LATERAL (SELECT {META}, journal_seq FROM graph_executions WHERE id = u.graph_exec_id OFFSET 0) g ORDER BY g.id"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query)).bind(BATCH).fetch_all(&mut *tx).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let mut ends = Vec::with_capacity(rows.len());
        for row in &rows {
            ends.push(UntoldEnd {
                execution: self.with_outputs(meta(row)?, blocks).await?,
                journal_seq: row.try_get("journal_seq")?,
            });
        }
        Ok(Some(UntoldEnds { tx, ends }))
    }
}

impl UntoldEnds {
    /// Forgets the rows. The commit does not wait for the disk: should a crash undo it, the events come again, which does no harm.
    pub async fn told(mut self) -> Result<()> {
        let ids: Vec<GraphExecId> = self.ends.iter().map(|end| end.execution.meta.id).collect();
        sqlx::query("DELETE FROM untold_ends WHERE graph_exec_id = ANY($1) AND (SELECT set_config('synchronous_commit', 'off', true)) = 'off'")
            .bind(ids)
            .execute(&mut *self.tx)
            .await?;
        self.tx.commit().await?;
        Ok(())
    }
}

/// Notes ends that the caller writes in the same transaction.
pub(crate) async fn note(connection: &mut PgConnection, ended: &[GraphExecId]) -> Result<()> {
    if ended.is_empty() {
        return Ok(());
    }
    sqlx::query("INSERT INTO untold_ends (graph_exec_id) SELECT * FROM unnest($1::uuid[]) ON CONFLICT DO NOTHING")
        .bind(ended)
        .execute(connection)
        .await?;
    Ok(())
}
