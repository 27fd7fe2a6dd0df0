//! Accepting a run: the row, its starting nodes, its wake-up and its key in one statement (design §6.1).

use std::collections::HashMap;
use std::time::Duration;

use indexmap::IndexMap;
use model::{
    CredentialsMetaInput, ExecutionContext, GraphExecId, GraphExecutionMeta, GraphId, JournalEntry, Map, NodeExecId, NodeId, NodeInputMasks,
    Timestamp, UserId,
};
use sqlx::Row;
use uuid::Uuid;

use crate::execution_rows::{META, json, meta};
use crate::submission_rows::{self, PackedRun};
use crate::{Error, Result, Store, journal};

/// A validated run that is to be accepted.
#[derive(Debug, Clone)]
pub struct NewRun {
    pub id: GraphExecId,
    pub user_id: UserId,
    pub graph_id: GraphId,
    pub graph_version: i32,
    pub inputs: Map,
    pub credential_inputs: IndexMap<String, CredentialsMetaInput>,
    /// As the caller gave them.
    pub nodes_input_masks: NodeInputMasks,
    /// With the credential references put on every node that needs them.
    pub compiled_masks: NodeInputMasks,
    pub preset_id: Option<Uuid>,
    pub context: ExecutionContext,
    pub parent: Option<GraphExecId>,
    pub idempotency_key: Option<String>,
    /// W3C `traceparent` of the call that submits it.
    pub traceparent: Option<String>,
    /// When the run is ended if it is not over by then. Never later than its parent's.
    pub deadline_at: Option<Timestamp>,
    pub starting_nodes: Vec<StartingNode>,
    /// What a run that retries another one has taken over: the first entries of its journal.
    pub taken_over: Vec<JournalEntry>,
    /// Off, the run stays INCOMPLETE and nobody is told of it (the contract's `create_graph_execution`).
    pub queued: bool,
}

#[derive(Debug, Clone)]
pub struct StartingNode {
    pub node_exec_id: NodeExecId,
    pub node_id: NodeId,
    pub input: Map,
}

/// A run that is in the database now.
#[derive(Debug, Clone)]
pub struct Accepted {
    pub execution: GraphExecutionMeta,
    /// False when the idempotency key had been used before: `execution` is the run of that time.
    pub created: bool,
}

impl Store {
    /// The run of an idempotency key, if it has been used.
    pub async fn find_by_idempotency_key(&self, key: &str) -> Result<Option<GraphExecutionMeta>> {
        Ok(self.find_by_idempotency_keys(&[key]).await?.remove(key))
    }

    /// QUEUED, with its starting nodes QUEUED and a row in the outbox. Durable when this returns.
    pub async fn accept_run(&self, run: NewRun) -> Result<Accepted> {
        self.accept_packed(&PackedRun::new(run)?).await
    }

    /// As [`Store::accept_run`], in a transaction of its own.
    pub async fn accept_packed(&self, run: &PackedRun) -> Result<Accepted> {
        self.accept_runs(&[run], Duration::ZERO)
            .await
            .pop()
            .unwrap_or_else(|| Err(Error::no_execution(run.run.id)))
    }

    /// As [`Store::accept_run`], for runs that arrive together: one transaction, one answer a run, in their order. What one of them is refused
    /// for the others do not notice. When somebody holds a lock that one of them needs, such as by deleting its graph, for longer than
    /// `patience`, those that were written together with it are answered with [`Error::Locked`]. Zero: there is no end to the patience.
    pub async fn accept_runs(&self, runs: &[&PackedRun], patience: Duration) -> Vec<Result<Accepted>> {
        let mut answers: Vec<Option<Result<Accepted>>> = runs.iter().map(|_| None).collect();
        // Keys in the same order in every transaction: two that insert the same ones wait for each other in turn, and not in a circle.
        let mut order: Vec<usize> = (0..runs.len()).collect();
        order.sort_by_key(|index| runs.get(*index).and_then(|run| run.run.idempotency_key.as_deref()));
        // A statement that finds a key taken inserts nothing for it; the winner is visible to the next statement. The loop ends the case that
        // the winner was deleted in between.
        for _ in 0..3 {
            if !order.is_empty() {
                self.insert_or_split(runs, &order, patience, &mut answers).await;
                order.retain(|index| matches!(answers.get(*index), Some(None)));
                self.answer_with_winners(runs, &order, &mut answers).await;
                order.retain(|index| matches!(answers.get(*index), Some(None)));
            }
        }
        let answers = answers.into_iter().zip(runs);
        answers
            .map(|(answer, run)| answer.unwrap_or_else(|| Err(Error::no_execution(run.run.id))))
            .collect()
    }

    /// Inserts the runs of `order` together; when the data of one is refused, by halves. Answers every run but those whose key is taken.
    async fn insert_or_split(&self, runs: &[&PackedRun], order: &[usize], patience: Duration, answers: &mut [Option<Result<Accepted>>]) {
        let mut parts = vec![order];
        while let Some(part) = parts.pop() {
            let of_part: Vec<&PackedRun> = part.iter().filter_map(|index| runs.get(*index).copied()).collect();
            match self.insert_runs(&of_part, patience).await {
                Ok(mut inserted) => {
                    for (index, run) in part.iter().zip(of_part) {
                        let accepted = inserted.remove(&run.run.id).map(|execution| Ok(Accepted { execution, created: true }));
                        set(answers, *index, accepted);
                    }
                }
                Err(error) if error.is_about_the_data() && part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Err(error) => part.iter().for_each(|index| set(answers, *index, Some(Err(error.clone())))),
            }
        }
    }

    /// Answers the runs of `order` whose keys are those of other runs with these.
    async fn answer_with_winners(&self, runs: &[&PackedRun], order: &[usize], answers: &mut [Option<Result<Accepted>>]) {
        let key = |index: usize| runs.get(index).and_then(|run| run.run.idempotency_key.as_deref());
        let keys: Vec<&str> = order.iter().filter_map(|index| key(*index)).collect();
        if keys.is_empty() {
            return;
        }
        match self.find_by_idempotency_keys(&keys).await {
            Ok(winners) => {
                for index in order {
                    let winner = key(*index).and_then(|key| winners.get(key).cloned());
                    set(answers, *index, winner.map(|execution| Ok(Accepted { execution, created: false })));
                }
            }
            Err(error) => order.iter().for_each(|index| set(answers, *index, Some(Err(error.clone())))),
        }
    }

    async fn find_by_idempotency_keys(&self, keys: &[&str]) -> Result<HashMap<String, GraphExecutionMeta>> {
        let query = format!("SELECT idempotency_key, {META} FROM graph_executions WHERE idempotency_key = ANY($1)");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(keys)
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        rows.iter().map(|row| Ok((row.try_get("idempotency_key")?, meta(row)?))).collect()
    }

    async fn insert_runs(&self, runs: &[&PackedRun], patience: Duration) -> Result<HashMap<GraphExecId, GraphExecutionMeta>> {
        if !runs.iter().any(|run| run.has_journal()) {
            let mut connection = self.pool.acquire().await.map_err(|error| self.explain(error))?;
            return submission_rows::insert(&mut *connection, runs, patience).await;
        }
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let inserted = submission_rows::insert(&mut *tx, runs, patience).await?;
        for PackedRun { run, .. } in runs {
            if inserted.contains_key(&run.id) && !run.taken_over.is_empty() {
                journal::begin_with(&mut tx, run.id, run.user_id, run.taken_over.clone()).await?;
            }
        }
        tx.commit().await?;
        Ok(inserted)
    }

    /// As [`Store::accept_run`], for a run that a node of another run starts: under the lock of that run, so that a cancellation of the tree
    /// sees every run of it, and only while the run that asks is held under `epoch` and not being cancelled.
    pub async fn accept_child(&self, run: NewRun, parent: GraphExecId, epoch: i64) -> Result<Accepted> {
        let run = PackedRun::new(run)?;
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let held = sqlx::query("SELECT 1 FROM graph_executions WHERE id = $1 AND lease_epoch = $2 AND lease_owner IS NOT NULL AND NOT cancel_requested FOR NO KEY UPDATE")
            .bind(parent)
            .bind(epoch)
            .fetch_optional(&mut *tx)
            .await?;
        if held.is_none() {
            return Err(Error::Illegal(format!(
                "execution {parent}, which asks for another run, is over or in other hands"
            )));
        }
        let created = submission_rows::insert(&mut *tx, &[&run], Duration::ZERO).await?.remove(&run.run.id);
        tx.commit().await?;
        match (created, &run.run.idempotency_key) {
            (Some(execution), _) => Ok(Accepted { execution, created: true }),
            (None, Some(key)) => {
                let execution = self.find_by_idempotency_key(key).await?.ok_or_else(|| Error::no_execution(run.run.id))?;
                Ok(Accepted { execution, created: false })
            }
            (None, None) => Err(Error::no_execution(run.run.id)),
        }
    }

    /// Whose run it is, and what it knows about its surroundings.
    pub async fn run_context(&self, graph_exec_id: GraphExecId) -> Result<Option<(UserId, ExecutionContext)>> {
        let row = sqlx::query("SELECT user_id, context FROM graph_executions WHERE id = $1")
            .bind(graph_exec_id)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        row.map(|row| Ok((row.try_get("user_id")?, json(&row, "context")?.unwrap_or_default())))
            .transpose()
    }

    /// How many runs are above a run.
    pub async fn depth(&self, graph_exec_id: GraphExecId) -> Result<i64> {
        Ok(sqlx::query_scalar(
            "WITH RECURSIVE above AS (
                 SELECT parent_graph_exec_id AS id FROM graph_executions WHERE id = $1
                 UNION ALL
                 SELECT g.parent_graph_exec_id FROM graph_executions g JOIN above ON g.id = above.id
             ) SELECT count(*) FROM above WHERE id IS NOT NULL",
        )
        .bind(graph_exec_id)
        .fetch_one(&self.pool)
        .await?)
    }
}

fn set<T>(answers: &mut [Option<T>], index: usize, answer: Option<T>) {
    if let Some(slot) = answers.get_mut(index) {
        *slot = answer;
    }
}
