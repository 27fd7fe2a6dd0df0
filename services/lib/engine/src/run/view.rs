//! What a run shows: the records that events carry (internals §3.1).

use model::execution::Outputs;
use model::{ExecutionStatus, GraphExecution, GraphExecutionMeta, Map, NodeExecId, NodeExecutionResult, StoredStats, Timestamp};
use serde_json::Value;

use super::{Facts, Run};
use crate::webhook::PAYLOAD;

impl Run {
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    pub fn status(&self) -> ExecutionStatus {
        self.status
    }

    pub fn stats(&self) -> &StoredStats {
        &self.stats
    }

    /// When the run started, once it has.
    pub fn started_at(&self) -> Option<Timestamp> {
        self.started_at
    }

    pub fn is_cancelled(&self) -> bool {
        self.cancelled
    }

    /// Node executions that are started and not finished.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The full record of one node execution.
    pub fn node_execution(&self, node_exec_id: NodeExecId) -> Option<NodeExecutionResult> {
        let exec = self.execs.get(*self.by_id.get(&node_exec_id)?)?;
        let node = self.plan.at(exec.node)?;
        Some(NodeExecutionResult {
            user_id: self.facts.user_id,
            graph_id: self.facts.graph_id,
            graph_version: self.facts.graph_version,
            graph_exec_id: self.facts.graph_exec_id,
            node_exec_id: exec.id,
            node_id: node.id,
            block_id: node.block.id,
            status: exec.status,
            input_data: exec.data().clone(),
            output_data: exec.outputs.clone(),
            add_time: exec.add_time,
            queue_time: exec.queue_time,
            start_time: exec.start_time,
            end_time: exec.end_time,
        })
    }

    /// All node executions in the order in which they were added.
    pub fn node_executions(&self) -> impl Iterator<Item = NodeExecutionResult> {
        self.execs.iter().filter_map(|exec| self.node_execution(exec.id))
    }

    /// The run with its outputs so far. Whether it is shared is the database's to know: events say that it is not.
    pub fn graph_execution(&self) -> GraphExecution {
        let given = &self.facts.given;
        GraphExecution {
            meta: GraphExecutionMeta {
                id: self.facts.graph_exec_id,
                user_id: self.facts.user_id,
                graph_id: self.facts.graph_id,
                graph_version: self.facts.graph_version,
                inputs: Some(self.inputs()),
                credential_inputs: Some(given.credential_inputs.clone()).filter(|inputs| !inputs.is_empty()),
                nodes_input_masks: Some(given.nodes_input_masks.clone()),
                preset_id: given.preset_id.map(|id| id.to_string()),
                status: self.status,
                started_at: self.started_at.unwrap_or(self.facts.created_at),
                ended_at: self.changed_at,
                is_shared: false,
                share_token: None,
                stats: Some(self.stats.clone().into()),
            },
            outputs: self.outputs(),
        }
    }

    /// What the run was given, and what webhooks brought (internals §3.1).
    fn inputs(&self) -> Map {
        let mut inputs = self.facts.inputs.clone();
        for exec in self.triggers.iter().filter_map(|index| self.execs.get(*index)) {
            if let Some(payload) = exec.data().get(PAYLOAD) {
                inputs.insert(PAYLOAD.to_owned(), payload.clone());
            }
        }
        inputs
    }

    /// `name → values` of the output nodes: the values that they received, not what they made of them (finding 15).
    pub fn outputs(&self) -> Outputs {
        let mut outputs = Outputs::new();
        for exec in self.outputs.iter().filter_map(|index| self.execs.get(*index)) {
            let data = exec.data();
            if let Some(name) = data.get("name").and_then(Value::as_str) {
                let value = data.get("value").cloned().unwrap_or_default();
                outputs.entry(name.to_owned()).or_default().push(value);
            }
        }
        outputs
    }
}
