//! Appending to journals: many runs in one transaction, each fenced by its epoch and its position (design §6.5).

use std::collections::HashMap;

use model::{AppendOutcome, ExecutionStatus, GraphExecId, JournalBatch, JournalEntry};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::control;
use crate::execution_rows::lock_runs;
use crate::journal_plan::{JournalPlan, RunRow};
use crate::{Result, Store, journal_credits, journal_nodes, storable};

impl Store {
    /// Applies what is next in line of each run; the answers are in the order of `batches`. Safe to repeat after any error.
    ///
    /// When the database refuses something in the common transaction, the runs are tried one by one and the offending one becomes FAILED
    /// with the reason; the others do not notice.
    pub async fn append_journal(&self, owner: Uuid, mut batches: Vec<JournalBatch>) -> Result<Vec<AppendOutcome>> {
        batches.iter_mut().for_each(make_batch_storable);
        let all: Vec<&JournalBatch> = batches.iter().collect();
        match self.append_together(owner, &all).await {
            Ok(outcomes) => Ok(outcomes),
            Err(error) if !error.is_about_the_data() => Err(error),
            Err(_) => self.append_singly(owner, &batches).await,
        }
    }

    async fn append_singly(&self, owner: Uuid, batches: &[JournalBatch]) -> Result<Vec<AppendOutcome>> {
        let mut runs: HashMap<GraphExecId, Vec<usize>> = HashMap::new();
        for (index, batch) in batches.iter().enumerate() {
            runs.entry(batch.graph_exec_id).or_default().push(index);
        }
        let mut answers = vec![AppendOutcome::Stale; batches.len()];
        for (graph_exec_id, indexes) in runs {
            let of_run: Vec<&JournalBatch> = indexes.iter().filter_map(|index| batches.get(*index)).collect();
            let outcomes = match self.append_together(owner, &of_run).await {
                Ok(outcomes) => outcomes,
                Err(error) if !error.is_about_the_data() => return Err(error),
                Err(error) => {
                    let reason = format!("The state of the run could not be saved: {error}");
                    tracing::error!(%graph_exec_id, %reason, "run failed: its journal was refused");
                    let epoch = of_run.first().map_or(0, |batch| batch.epoch);
                    self.fail_held_run(owner, graph_exec_id, epoch, &reason).await?;
                    vec![AppendOutcome::Rejected { reason }; of_run.len()]
                }
            };
            for (index, outcome) in indexes.into_iter().zip(outcomes) {
                if let Some(answer) = answers.get_mut(index) {
                    *answer = outcome;
                }
            }
        }
        Ok(answers)
    }

    async fn append_together(&self, owner: Uuid, batches: &[&JournalBatch]) -> Result<Vec<AppendOutcome>> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let ids: Vec<GraphExecId> = batches.iter().map(|batch| batch.graph_exec_id).collect();
        let ends = |entry: &JournalEntry| matches!(entry, JournalEntry::RunStatus { status, .. } if status.is_terminal());
        let ending = batches.iter().filter(|batch| batch.entries.iter().any(ends));
        let ending: Vec<GraphExecId> = ending.map(|batch| batch.graph_exec_id).collect();
        let locked = lock_runs(&mut tx, &ids, &ending).await?;
        let mut rows: HashMap<GraphExecId, RunRow> = locked.into_iter().map(|run| (run.id, run)).collect();
        let mut plan = JournalPlan::default();
        let mut outcomes = Vec::with_capacity(batches.len());
        for batch in batches {
            outcomes.push(plan.add(owner, rows.get_mut(&batch.graph_exec_id), batch)?);
        }
        if !plan.runs.is_empty() {
            if let Some(rules) = &self.credits {
                journal_credits::account(&mut tx, rules, &plan, &rows).await?;
            }
            write(&mut tx, &plan).await?;
            tx.commit().await?;
        }
        Ok(outcomes)
    }

    async fn fail_held_run(&self, owner: Uuid, graph_exec_id: GraphExecId, epoch: i64, reason: &str) -> Result<()> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let held: Option<GraphExecId> =
            sqlx::query_scalar("SELECT id FROM graph_executions WHERE id = $1 AND lease_owner = $2 AND lease_epoch = $3 FOR NO KEY UPDATE")
                .bind(graph_exec_id)
                .bind(owner)
                .bind(epoch)
                .fetch_optional(&mut *tx)
                .await?;
        control::finish(&mut tx, held.as_slice(), ExecutionStatus::Failed, Some(reason)).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Two statements for everything that the runs' nodes did and for the runs themselves, whatever their number.
async fn write(connection: &mut PgConnection, plan: &JournalPlan<'_>) -> Result<()> {
    journal_nodes::write(connection, plan).await?;
    update_runs(connection, plan).await?;
    let ended: Vec<GraphExecId> = plan
        .runs
        .iter()
        .filter(|(_, change)| change.ended_at.is_some())
        .map(|(id, _)| *id)
        .collect();
    control::after_end(connection, &ended).await?;
    let requeued: Vec<GraphExecId> = plan.runs.iter().filter(|(_, change)| change.requeued).map(|(id, _)| *id).collect();
    control::announce(connection, &requeued).await
}

async fn update_runs(connection: &mut PgConnection, plan: &JournalPlan<'_>) -> Result<()> {
    let runs = &plan.runs;
    sqlx::query(
        "UPDATE graph_executions g SET journal_seq = u.journal_seq, updated_at = now(),
             status = coalesce(u.status, g.status), stats = coalesce(u.stats, g.stats),
             started_at = coalesce(g.started_at, u.started_at), ended_at = coalesce(g.ended_at, u.ended_at),
             lease_owner = CASE WHEN u.gives_up THEN NULL ELSE g.lease_owner END,
             claimed_at = CASE WHEN u.gives_up THEN NULL ELSE g.claimed_at END,
             suspended_at = u.suspended_at,
             progress_xid = CASE WHEN u.status IS NULL THEN g.progress_xid ELSE pg_current_xact_id() END
         FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::jsonb[], $5::timestamptz[], $6::timestamptz[], $7::bool[], $8::timestamptz[])
             AS u(id, journal_seq, status, stats, started_at, ended_at, gives_up, suspended_at)
         WHERE g.id = u.id",
    )
    .bind(runs.keys().copied().collect::<Vec<_>>())
    .bind(runs.values().map(|change| change.journal_seq).collect::<Vec<_>>())
    .bind(
        runs.values()
            .map(|change| change.stored_status().map(ExecutionStatus::as_str))
            .collect::<Vec<_>>(),
    )
    .bind(runs.values().map(|change| change.stats.map(Json)).collect::<Vec<_>>())
    .bind(runs.values().map(|change| change.started_at).collect::<Vec<_>>())
    .bind(runs.values().map(|change| change.ended_at).collect::<Vec<_>>())
    .bind(runs.values().map(|change| change.gives_up_lease()).collect::<Vec<_>>())
    .bind(
        runs.values()
            .map(|change| change.suspended_at.filter(|_| !change.requeued))
            .collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn make_batch_storable(batch: &mut JournalBatch) {
    for entry in &mut batch.entries {
        match entry {
            JournalEntry::NodeInput { name, value, .. } | JournalEntry::NodeOutput { name, value, .. } => {
                storable::strip(name);
                storable::make_storable(value);
            }
            JournalEntry::NodeStatus { execution_data, stats, .. } => {
                if let Some(data) = execution_data {
                    storable::strip_map(data);
                }
                if let Some(error) = stats.as_mut().and_then(|stats| stats.error.as_mut()) {
                    storable::strip(error);
                }
            }
            JournalEntry::Suspended { .. } | JournalEntry::NodeCreated { .. } => {}
            JournalEntry::RunStatus { stats, .. } => {
                if let Some(error) = stats.as_mut().and_then(|stats| stats.error.as_mut()) {
                    storable::strip(error);
                }
            }
        }
    }
}
