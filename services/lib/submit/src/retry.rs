//! Retrying a finished run: a new run with the same graph and inputs, which begins with what that one completed. The finished run stays as
//! it is.

use std::sync::Arc;

use engine::run::Run;
use model::{ClaimedRun, ExecutionStatus, Given, GraphExecId, JournalEntry, NodeExecutionRecord, StoredStats, Timestamp, UserId};
use store::{Accepted, FormerRun, NewRun, StartingNode};
use uuid::Uuid;

use crate::runs::in_a_trace;
use crate::{Origin, ReadyGraph, SubmitCommand, SubmitError, Submitter};

/// A request to retry a run.
#[derive(Debug, Clone)]
pub struct RetryCommand {
    /// Whose run it is.
    pub user_id: UserId,
    /// The finished run.
    pub of: GraphExecId,
    /// The same key always answers with the same run.
    pub idempotency_key: Option<String>,
    /// When the new run is ended if it is not over by then.
    pub deadline: Option<Timestamp>,
    pub origin: Origin,
}

impl Submitter {
    /// Accepts a run that goes on where a finished one failed: what completed there with the same input is not run again, and not charged again.
    ///
    /// # Errors
    /// When there is no such run of this user, it is not over, nothing of it failed, or its graph cannot run any more.
    pub async fn retry(&self, command: RetryCommand) -> Result<Accepted, SubmitError> {
        in_a_trace(command.origin, Box::pin(self.retry_here(command))).await
    }

    async fn retry_here(&self, command: RetryCommand) -> Result<Accepted, SubmitError> {
        if let Some(known) = self.known(command.idempotency_key.as_deref(), command.user_id).await? {
            return Ok(known);
        }
        let of = command.of;
        let former = self.store().former_run(of).await?.filter(|former| former.user_id == command.user_id);
        let former = former.ok_or_else(|| {
            SubmitError::Invalid(format!(
                "there is no run {of} to retry: it was deleted, or its time of retention is over; start a new one"
            ))
        })?;
        check(of, &former)?;
        let command = SubmitCommand {
            user_id: former.user_id,
            graph_id: former.graph_id,
            graph_version: Some(former.graph_version),
            inputs: former.inputs,
            credentials: former.credential_inputs,
            masks: former.nodes_input_masks,
            preset_id: former.preset_id.map(|id| id.to_string()),
            context: None,
            idempotency_key: command.idempotency_key,
            deadline: command.deadline,
            origin: command.origin,
        };
        let mut run = self.prepare(&command).await?;
        let ready = self.ready_graph(run.graph_id, run.graph_version).await?;
        run.taken_over = self.take_over(of, &run, &ready).await?;
        self.accept_prepared(run, &command).await
    }

    async fn take_over(&self, of: GraphExecId, run: &NewRun, ready: &ReadyGraph) -> Result<Vec<JournalEntry>, SubmitError> {
        let history = self.store().run_history(of).await?;
        let now = Timestamp::now();
        let mut machine = Run::restore(Arc::clone(&ready.plan), unclaimed(run, now), Uuid::now_v7);
        let count = machine.replay(history, now);
        tracing::debug!(graph_exec_id = %run.id, retry_of = %of, count, "node executions taken over");
        Ok(machine.take_journal())
    }
}

/// Whether there is anything to retry.
fn check(of: GraphExecId, former: &FormerRun) -> Result<(), SubmitError> {
    match former.status {
        ExecutionStatus::Failed | ExecutionStatus::Terminated => Ok(()),
        ExecutionStatus::Completed if former.failed_nodes > 0 => Ok(()),
        ExecutionStatus::Completed => Err(SubmitError::Invalid(format!(
            "run {of} completed and none of its nodes failed: there is nothing to retry; start a new one"
        ))),
        status => Err(SubmitError::Invalid(format!(
            "run {of} is {status}: only a run that is over can be retried"
        ))),
    }
}

/// The run as its first executor would claim it.
fn unclaimed(run: &NewRun, now: Timestamp) -> ClaimedRun {
    ClaimedRun {
        graph_exec_id: run.id,
        user_id: run.user_id,
        graph_id: run.graph_id,
        graph_version: run.graph_version,
        epoch: 0,
        next_seq: 1,
        status: ExecutionStatus::Queued,
        created_at: now,
        started_at: None,
        inputs: run.inputs.clone(),
        nodes_input_masks: run.compiled_masks.clone(),
        given: Given {
            preset_id: run.preset_id,
            credential_inputs: run.credential_inputs.clone(),
            nodes_input_masks: run.nodes_input_masks.clone(),
        },
        context: run.context.clone(),
        stats: StoredStats::default(),
        cancel_requested: false,
        news: 0,
        traceparent: None,
        seconds_left: None,
        node_executions: run.starting_nodes.iter().map(|node| queued(node, now)).collect(),
    }
}

fn queued(node: &StartingNode, now: Timestamp) -> NodeExecutionRecord {
    NodeExecutionRecord {
        node_exec_id: node.node_exec_id,
        node_id: node.node_id,
        status: ExecutionStatus::Queued,
        inputs: node.input.clone(),
        execution_data: Some(node.input.clone()),
        outputs: Default::default(),
        cost: 0,
        add_time: now,
        queue_time: Some(now),
        start_time: None,
        end_time: None,
    }
}
