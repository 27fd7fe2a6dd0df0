//! Ending runs from outside their executor: cancellation, and the clean end of a run that nobody may work on any more.

use model::{ExecutionStatus, GraphExecId, UserId};
use sqlx::PgConnection;

use crate::execution_rows::{lock_runs, words};
use crate::rules::Cancel;
use crate::{Error, Result, Store, reviews, untold_ends};

/// What became of a request to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CancelRequest {
    pub graph_exec_id: GraphExecId,
    /// The status after the request.
    pub status: ExecutionStatus,
    /// An executor holds the run and must be told.
    pub held: bool,
}

impl Store {
    /// Asks for the end of a run and of all runs below it. What nobody holds is TERMINATED at once; for the rest the flag is set, which
    /// its executor sees with its next write or renewal at the latest. The first element is the run itself; an unknown run is an error.
    /// With a user, a run of somebody else is unknown.
    pub async fn request_cancel(&self, user_id: Option<UserId>, graph_exec_id: GraphExecId) -> Result<Vec<CancelRequest>> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let tree = lock_tree(&mut tx, user_id, graph_exec_id).await?;
        if tree.is_empty() {
            return Err(Error::no_execution(graph_exec_id));
        }
        let (mut flagged, mut ended) = (Vec::new(), Vec::new());
        let mut requests = Vec::with_capacity(tree.len());
        for mut run in lock_runs(&mut tx, &tree, &[]).await? {
            let held = run.owner.is_some();
            match run.request_cancel() {
                Cancel::Over => {}
                Cancel::Flagged => flagged.push(run.id),
                Cancel::Terminated => ended.push(run.id),
            }
            requests.push(CancelRequest {
                graph_exec_id: run.id,
                status: run.status,
                held,
            });
        }
        flagged.extend(&ended);
        sqlx::query("UPDATE graph_executions SET cancel_requested = true WHERE id = ANY($1)")
            .bind(&flagged)
            .execute(&mut *tx)
            .await?;
        finish(&mut tx, &ended, ExecutionStatus::Terminated, None).await?;
        tx.commit().await?;
        requests.sort_by_key(|request| request.graph_exec_id != graph_exec_id);
        Ok(requests)
    }
}

impl Store {
    /// Whether the end of a run has been asked for. False for an unknown run.
    pub async fn is_cancel_requested(&self, graph_exec_id: GraphExecId) -> Result<bool> {
        let flag: Option<bool> = sqlx::query_scalar("SELECT cancel_requested FROM graph_executions WHERE id = $1")
            .bind(graph_exec_id)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        Ok(flag.unwrap_or_default())
    }

    /// Whether a run or any run below it is not over.
    pub async fn is_tree_open(&self, graph_exec_id: GraphExecId) -> Result<bool> {
        sqlx::query_scalar(
            "WITH RECURSIVE tree AS (
                 SELECT id, ended_at FROM graph_executions WHERE id = $1
                 UNION
                 SELECT child.id, child.ended_at FROM graph_executions child JOIN tree ON child.parent_graph_exec_id = tree.id
             ) SELECT EXISTS (SELECT FROM tree WHERE ended_at IS NULL)",
        )
        .bind(graph_exec_id)
        .fetch_one(&self.pool)
        .await
        .map_err(|error| self.explain(error))
    }
}

/// Locks a run, all runs below it, and the one above it, which hears of the end. A child comes into being under the lock of its parent
/// ([`Store::accept_child`]), so once a look finds no further runs there are none.
async fn lock_tree(connection: &mut PgConnection, user_id: Option<UserId>, root: GraphExecId) -> Result<Vec<GraphExecId>> {
    let mut locked: Vec<GraphExecId> = Vec::new();
    loop {
        let tree: Vec<GraphExecId> = sqlx::query_scalar(
            "WITH RECURSIVE tree AS (
                 SELECT id FROM graph_executions WHERE id = $1 AND ($2::uuid IS NULL OR user_id = $2)
                 UNION
                 SELECT child.id FROM graph_executions child JOIN tree ON child.parent_graph_exec_id = tree.id
             ) SELECT id FROM tree ORDER BY id",
        )
        .bind(root)
        .bind(user_id)
        .fetch_all(&mut *connection)
        .await?;
        if tree == locked {
            return Ok(tree);
        }
        sqlx::query(
            "SELECT id FROM graph_executions
             WHERE id = ANY($1 || ARRAY(SELECT parent_graph_exec_id FROM graph_executions WHERE id = $2 AND parent_graph_exec_id IS NOT NULL))
             ORDER BY id FOR NO KEY UPDATE",
        )
        .bind(&tree)
        .bind(root)
        .execute(&mut *connection)
        .await?;
        locked = tree;
    }
}

/// Ends runs whose rows the caller has locked: nodes that were queued or under way get the same status, the lease goes, parents are
/// woken, watchers are told soon. Runs that are over already stay as they are.
pub(crate) async fn finish(connection: &mut PgConnection, ids: &[GraphExecId], to: ExecutionStatus, error: Option<&str>) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let ended: Vec<GraphExecId> = sqlx::query_scalar(
        "UPDATE graph_executions SET status = $2, lease_owner = NULL, claimed_at = NULL, suspended_at = NULL, not_before = NULL,
             ended_at = now(), updated_at = now(),
             progress_xid = pg_current_xact_id(),
             stats = CASE WHEN $3::text IS NULL THEN stats ELSE coalesce(stats, '{}') || jsonb_build_object('error', $3::text) END
         WHERE id = ANY($1) AND status = ANY($4) RETURNING id",
    )
    .bind(ids)
    .bind(to.as_str())
    .bind(error)
    .bind(words(to.allowed_from()))
    .fetch_all(&mut *connection)
    .await?;
    // What is held back for nodes that were under way is charged: whether their blocks had begun, nobody can tell any more.
    sqlx::query(
        "WITH charged AS (DELETE FROM credit_reservations WHERE graph_exec_id = ANY($1))
         UPDATE node_executions SET status = $2, ended_at = CASE WHEN $2 = 'FAILED' THEN now() END WHERE graph_exec_id = ANY($1) AND status IN ('QUEUED', 'RUNNING', 'REVIEW')",
    )
    .bind(&ended)
    .bind(to.as_str())
    .execute(&mut *connection)
    .await?;
    untold_ends::note(connection, &ended).await?;
    after_end(connection, &ended).await
}

/// What follows from the end of runs: nobody is asked about them any more, and their parents hear of it.
pub(crate) async fn after_end(connection: &mut PgConnection, ended: &[GraphExecId]) -> Result<()> {
    reviews::close(connection, ended).await?;
    wake_parents(connection, ended).await
}

/// Runs that wait for an executor now.
pub(crate) async fn announce(connection: &mut PgConnection, ids: &[GraphExecId]) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query("INSERT INTO outbox (graph_exec_id) SELECT * FROM unnest($1::uuid[])")
        .bind(ids)
        .execute(connection)
        .await?;
    Ok(())
}

/// The end of a run is news for the run that started it (design §6.7).
async fn wake_parents(connection: &mut PgConnection, ended: &[GraphExecId]) -> Result<()> {
    if ended.is_empty() {
        return Ok(());
    }
    let parents: Vec<GraphExecId> = sqlx::query_scalar(
        "SELECT id FROM graph_executions
         WHERE ended_at IS NULL AND id = ANY(ARRAY(
             SELECT parent_graph_exec_id FROM graph_executions WHERE id = ANY($1) AND parent_graph_exec_id IS NOT NULL))
         ORDER BY id FOR NO KEY UPDATE",
    )
    .bind(ended)
    .fetch_all(&mut *connection)
    .await?;
    tell_news(connection, &parents).await
}

/// Raises the news of runs whose rows the caller has locked. Those that are suspended wait for an executor now; an executor that holds one
/// hears of it with its next write or renewal.
pub(crate) async fn tell_news(connection: &mut PgConnection, ids: &[GraphExecId]) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query("UPDATE graph_executions SET news = news + 1 WHERE id = ANY($1)")
        .bind(ids)
        .execute(&mut *connection)
        .await?;
    resume_suspended(connection, ids).await?;
    Ok(())
}

/// Back to the queue; the rows are locked. Runs that are not suspended stay as they are.
pub(crate) async fn resume_suspended(connection: &mut PgConnection, ids: &[GraphExecId]) -> Result<u64> {
    let resumed = sqlx::query(
        "WITH back AS (
             UPDATE graph_executions SET status = 'QUEUED', suspended_at = NULL, updated_at = now(), progress_xid = pg_current_xact_id()
             WHERE id = ANY($1) AND suspended_at IS NOT NULL RETURNING id)
         INSERT INTO outbox (graph_exec_id) SELECT id FROM back",
    )
    .bind(ids)
    .execute(connection)
    .await?;
    Ok(resumed.rows_affected())
}
