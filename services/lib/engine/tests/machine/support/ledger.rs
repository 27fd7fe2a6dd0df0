//! The journal applied as the database applies it, refusing what the transition table forbids.

use std::collections::HashMap;

use model::history::{CompletedNode, Emitted, RunHistory};
use model::{ClaimedRun, ExecutionStatus, JournalEntry, NodeExecId, NodeExecutionRecord};
use serde_json::Value;

pub struct Ledger {
    pub run: ClaimedRun,
    positions: HashMap<NodeExecId, usize>,
    /// Every output in the order of the journal.
    emitted: Vec<(NodeExecId, String, Value)>,
}

impl Ledger {
    pub fn new(run: ClaimedRun) -> Self {
        let records = run.node_executions.iter().enumerate();
        Self {
            positions: records.map(|(position, record)| (record.node_exec_id, position)).collect(),
            emitted: Vec::new(),
            run,
        }
    }

    /// What the database would tell a run that retries this one.
    pub fn history(&self) -> RunHistory {
        let mut completed: Vec<&NodeExecutionRecord> = self.run.node_executions.iter().collect();
        completed.retain(|record| record.status == ExecutionStatus::Completed);
        completed.sort_by_key(|record| record.start_time);
        let place = |id| completed.iter().position(|record| record.node_exec_id == id);
        RunHistory {
            emitted: self
                .emitted
                .iter()
                .filter_map(|(id, name, value)| {
                    Some(Emitted {
                        node: place(*id)?,
                        name: name.clone(),
                        value: value.clone(),
                    })
                })
                .collect(),
            completed: completed
                .iter()
                .map(|record| CompletedNode {
                    node_id: record.node_id,
                    input: record.execution_data.clone().unwrap_or_default(),
                })
                .collect(),
        }
    }

    pub fn append(&mut self, first_seq: i64, entries: Vec<JournalEntry>) {
        assert_eq!(first_seq, self.run.next_seq, "a gap in the journal");
        for entry in entries {
            self.run.next_seq += 1;
            self.apply(entry);
        }
    }

    fn node(&mut self, id: NodeExecId) -> &mut NodeExecutionRecord {
        &mut self.run.node_executions[self.positions[&id]]
    }

    fn apply(&mut self, entry: JournalEntry) {
        match entry {
            JournalEntry::RunStatus { status, stats, at } => {
                assert!(self.run.status.can_become(status), "{} -> {status}", self.run.status);
                self.run.status = status;
                self.run.stats = stats.unwrap_or_else(|| self.run.stats.clone());
                if status == ExecutionStatus::Running {
                    self.run.started_at.get_or_insert(at);
                }
            }
            JournalEntry::Suspended { stats, .. } => self.run.stats = stats,
            JournalEntry::Progressed => {}
            JournalEntry::NodeCreated { node_exec_id, node_id, at } => {
                self.positions.insert(node_exec_id, self.run.node_executions.len());
                self.run.node_executions.push(NodeExecutionRecord {
                    node_exec_id,
                    node_id,
                    status: ExecutionStatus::Incomplete,
                    inputs: Default::default(),
                    execution_data: None,
                    outputs: Default::default(),
                    cost: 0,
                    add_time: at,
                    queue_time: None,
                    start_time: None,
                    end_time: None,
                });
            }
            JournalEntry::NodeInput {
                node_exec_id, name, value, ..
            } => {
                let record = self.node(node_exec_id);
                assert_eq!(record.status, ExecutionStatus::Incomplete);
                assert!(record.inputs.insert(name, value).is_none(), "an input arrived twice");
            }
            JournalEntry::NodeStatus {
                node_exec_id,
                status,
                execution_data,
                stats,
                at,
            } => {
                let record = self.node(node_exec_id);
                assert!(record.status.can_become(status), "{} -> {status}", record.status);
                assert_eq!(execution_data.is_some(), status == ExecutionStatus::Queued);
                record.status = status;
                record.cost = stats.map_or(record.cost, |stats| stats.cost + stats.extra_cost);
                record.execution_data = execution_data.or(record.execution_data.take());
                match status {
                    ExecutionStatus::Queued => record.queue_time = Some(at),
                    ExecutionStatus::Running => record.start_time = Some(at),
                    ExecutionStatus::Completed | ExecutionStatus::Failed => record.end_time = Some(at),
                    _ => {}
                }
            }
            JournalEntry::NodeOutput {
                node_exec_id, name, value, ..
            } => {
                self.emitted.push((node_exec_id, name.clone(), value.clone()));
                let record = self.node(node_exec_id);
                assert_eq!(record.status, ExecutionStatus::Running);
                record.outputs.entry(name).or_default().push(value);
            }
        }
    }
}
