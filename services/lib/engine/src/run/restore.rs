//! A claimed run taken up again, new or after another executor (internals §2.8 step 3).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use model::{ClaimedRun, ExecutionStatus, NodeExecId, NodeExecutionRecord, Timestamp};

use super::state::{Exec, ExecIndex, NodeState};
use super::{Facts, Run};
use crate::block::BlockKind;
use crate::plan::{NodeIndex, Plan};
use crate::value::storable_map;

/// The latest time of a run that has been begun. Before that its times are the database's, which says nothing about executors.
fn latest(claimed: &ClaimedRun) -> Option<Timestamp> {
    let started_at = claimed.started_at?;
    let times = claimed.node_executions.iter();
    let times = times.flat_map(|record| [record.queue_time, record.start_time, record.end_time]);
    times.flatten().chain([started_at]).max()
}

impl Run {
    /// Rebuilds the run from what is stored. `mint` gives ids for new node executions.
    ///
    /// Node executions that were RUNNING are ready again. What they had emitted is recorded already and is not routed twice when
    /// they emit it again; what waited for an earlier execution of its node is routed when that one ends.
    pub fn restore(plan: Arc<Plan>, claimed: ClaimedRun, mint: impl FnMut() -> NodeExecId + Send + 'static) -> Self {
        let mut run = Self {
            status: claimed.status,
            started_at: claimed.started_at,
            changed_at: claimed.started_at.unwrap_or(claimed.created_at),
            latest: latest(&claimed),
            begun_at: None,
            stats: claimed.stats,
            execs: Vec::with_capacity(claimed.node_executions.len()),
            by_id: HashMap::with_capacity(claimed.node_executions.len()),
            nodes: plan.nodes().iter().map(|_| NodeState::default()).collect(),
            ready: VecDeque::new(),
            in_flight: 0,
            waiting: Vec::new(),
            parked: Vec::new(),
            outputs: Vec::new(),
            triggers: Vec::new(),
            cancelled: claimed.cancel_requested,
            failure: None,
            journal: Vec::new(),
            next_seq: claimed.next_seq,
            mint: Box::new(mint),
            facts: Facts {
                graph_exec_id: claimed.graph_exec_id,
                user_id: claimed.user_id,
                graph_id: claimed.graph_id,
                graph_version: claimed.graph_version,
                epoch: claimed.epoch,
                created_at: claimed.created_at,
                inputs: claimed.inputs,
                nodes_input_masks: claimed.nodes_input_masks,
                given: claimed.given,
                context: claimed.context,
            },
            plan,
        };
        // A node that waits for a person is counted when it ends.
        let ended = claimed.node_executions.iter().filter(|record| record.status.is_terminal());
        let cost = ended.map(|record| record.cost).sum();
        for record in claimed.node_executions {
            // A node that the graph does not have cannot have been written by a run of it.
            if let Some(node) = run.plan.index(record.node_id) {
                run.adopt(node, record);
            }
        }
        run.recount(cost);
        run.queue_again();
        for node in 0..run.nodes.len() {
            run.resume_drain(node);
        }
        run
    }

    fn adopt(&mut self, node: NodeIndex, record: NodeExecutionRecord) {
        let index = self.execs.len();
        self.by_id.insert(record.node_exec_id, index);
        if let Some(state) = self.nodes.get_mut(node) {
            state.execs.push(index);
            if record.status == ExecutionStatus::Incomplete {
                state.incomplete.insert(index);
            }
        }
        // What is run again emits again what it had emitted.
        let again = matches!(record.status, ExecutionStatus::Running | ExecutionStatus::Review);
        let emitted = record.outputs.iter().filter(|_| again);
        self.execs.push(Exec {
            status: record.status,
            replay: emitted.map(|(name, values)| (name.clone(), values.iter().cloned().collect())).collect(),
            inputs: record.inputs,
            execution_data: record.execution_data.and_then(|data| storable_map(data).ok()),
            outputs: record.outputs,
            queue_time: record.queue_time,
            start_time: record.start_time,
            end_time: record.end_time,
            ..Exec::new(record.node_exec_id, node, record.add_time)
        });
    }

    /// Statistics are stored when a run ends: after a crash the counts and the cost are those of the node executions.
    fn recount(&mut self, cost: i64) {
        let count = |status: ExecutionStatus| self.execs.iter().filter(|exec| exec.status == status).count() as i64;
        let failed = count(ExecutionStatus::Failed);
        let ended = count(ExecutionStatus::Completed) + count(ExecutionStatus::Review) + failed;
        self.stats.node_count = self.stats.node_count.max(ended);
        self.stats.node_error_count = self.stats.node_error_count.max(failed);
        self.stats.cost = self.stats.cost.max(cost);
    }

    fn queue_again(&mut self) {
        let mut by_queue_time: Vec<ExecIndex> = (0..self.execs.len()).collect();
        by_queue_time.sort_by_key(|index| self.execs.get(*index).map(|exec| exec.queue_time));
        for index in by_queue_time {
            let Some(exec) = self.execs.get(index).filter(|exec| exec.status != ExecutionStatus::Incomplete) else {
                continue;
            };
            if let Some(state) = self.nodes.get_mut(exec.node) {
                state.latest_queued = Some(index);
            }
            let kind = self.plan.at(exec.node).map(|node| node.block.kind);
            if matches!(exec.status, ExecutionStatus::Queued | ExecutionStatus::Running | ExecutionStatus::Review) {
                self.ready.push_back(index);
            }
            self.note_shown(kind, index);
        }
    }

    /// Notes a queued execution whose input the run shows as its own.
    pub(super) fn note_shown(&mut self, kind: Option<BlockKind>, index: ExecIndex) {
        match kind {
            Some(BlockKind::Output) => self.outputs.push(index),
            Some(BlockKind::Webhook | BlockKind::WebhookManual) => self.triggers.push(index),
            _ => {}
        }
    }

    /// Outputs are routed in start order. So everything of the node's first unfinished execution is routed as far as it is
    /// recorded, and nothing of those that started after it.
    fn resume_drain(&mut self, node: NodeIndex) {
        let Some(state) = self.nodes.get_mut(node) else { return };
        let mut started: Vec<ExecIndex> = state.execs.clone();
        started.retain(|index| self.execs.get(*index).is_some_and(|exec| exec.start_time.is_some()));
        started.sort_by_key(|index| self.execs.get(*index).map(|exec| exec.start_time));
        let is_running = |index: &ExecIndex| self.execs.get(*index).is_some_and(|exec| exec.status == ExecutionStatus::Running);
        let Some(first) = started.iter().position(is_running) else { return };
        for (position, index) in started.into_iter().skip(first).enumerate() {
            let Some(exec) = self.execs.get_mut(index) else { continue };
            let recorded = exec
                .outputs
                .iter()
                .flat_map(|(name, values)| values.iter().map(move |value| (name.clone(), value.clone())));
            if position > 0 {
                exec.unrouted = recorded.collect();
            }
            exec.draining = true;
            state.drain.push_back(index);
        }
    }
}
