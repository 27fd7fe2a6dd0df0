//! Appending to journals: many runs in one transaction, each fenced by its epoch and its position (design §6.5).

use std::collections::HashMap;

use model::{AppendOutcome, ExecutionStatus, GraphExecId, JournalBatch, JournalEntry, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::control;
use crate::execution_rows::lock_runs;
use crate::journal_plan::{JournalPlan, RunRow};
use crate::journal_rows::{self, Held};
use crate::{Error, Result, Store, journal_credits, storable};

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
        match self.append_presumed(owner, batches).await? {
            Some(outcomes) => Ok(outcomes),
            None => self.append_locked(owner, batches).await,
        }
    }

    /// One round trip for runs that stand as their executor believes. None, and nothing written, when one does not, or when its end
    /// concerns others.
    async fn append_presumed(&self, owner: Uuid, batches: &[&JournalBatch]) -> Result<Option<Vec<AppendOutcome>>> {
        let plan = match &self.credits {
            // The ledger has to be asked about nodes that start and end.
            Some(_) => None,
            None => JournalPlan::presumed(owner, batches),
        };
        let Some(plan) = plan else { return Ok(None) };
        let held = match journal_rows::write(&self.pool, owner, &plan, true).await {
            Ok(Some(held)) => held,
            Ok(None) => return Ok(None),
            Err(error) if error.is_about_the_data() => return Ok(None),
            Err(error) => return Err(error),
        };
        let held: HashMap<GraphExecId, Held> = held.into_iter().map(|run| (run.id, run)).collect();
        let outcomes = batches.iter().map(|batch| {
            let change = plan.runs.get(&batch.graph_exec_id)?;
            let run = held.get(&batch.graph_exec_id)?;
            Some(AppendOutcome::Applied {
                next_seq: change.journal_seq + 1,
                cancel_requested: run.cancel_requested,
                news: run.news,
            })
        });
        Ok(outcomes.collect())
    }

    /// Reads and locks the rows first.
    async fn append_locked(&self, owner: Uuid, batches: &[&JournalBatch]) -> Result<Vec<AppendOutcome>> {
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
            write(&mut tx, owner, &plan).await?;
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

/// Writes the first entries of a run that the caller has just inserted and nobody else sees before the commit. Entries are written for who
/// holds the run: that is the run itself until they stand.
pub(crate) async fn begin_with(connection: &mut PgConnection, graph_exec_id: GraphExecId, user_id: UserId, entries: Vec<JournalEntry>) -> Result<()> {
    let mut run = RunRow {
        id: graph_exec_id,
        user_id,
        status: ExecutionStatus::Queued,
        owner: Some(graph_exec_id),
        epoch: 0,
        journal_seq: 0,
        cancel_requested: false,
        news: 0,
    };
    let mut batch = JournalBatch {
        graph_exec_id,
        epoch: 0,
        first_seq: 1,
        news_seen: 0,
        entries,
    };
    make_batch_storable(&mut batch);
    let mut plan = JournalPlan::default();
    plan.add(graph_exec_id, Some(&mut run), &batch)?;
    hold(connection, graph_exec_id, Some(graph_exec_id)).await?;
    write(connection, graph_exec_id, &plan).await?;
    hold(connection, graph_exec_id, None).await
}

async fn hold(connection: &mut PgConnection, graph_exec_id: GraphExecId, owner: Option<Uuid>) -> Result<()> {
    sqlx::query("UPDATE graph_executions SET lease_owner = $2 WHERE id = $1")
        .bind(graph_exec_id)
        .bind(owner)
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes a plan whose runs are locked, and what follows from it for others.
async fn write(connection: &mut PgConnection, owner: Uuid, plan: &JournalPlan<'_>) -> Result<()> {
    if journal_rows::write(&mut *connection, owner, plan, false).await?.is_none() {
        return Err(Error::Illegal("a run is not as it was when it was locked".to_owned()));
    }
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
            JournalEntry::Suspended { .. } | JournalEntry::Progressed | JournalEntry::NodeCreated { .. } => {}
            JournalEntry::RunStatus { stats, .. } => {
                if let Some(error) = stats.as_mut().and_then(|stats| stats.error.as_mut()) {
                    storable::strip(error);
                }
            }
        }
    }
}
