//! What a run that retries a finished one needs of it.

use std::collections::HashMap;

use indexmap::IndexMap;
use model::history::{CompletedNode, Emitted, RunHistory};
use model::{CredentialsMetaInput, ExecutionStatus, GraphExecId, GraphId, Map, NodeExecId, NodeInputMasks, UserId};
use serde_json::Value;
use sqlx::Row;
use sqlx::types::Json;
use uuid::Uuid;

use crate::execution_rows::{json, map, status};
use crate::node_executions::read_inputs;
use crate::{Result, Store};

/// A run with what it was submitted with.
#[derive(Debug, Clone)]
pub struct FormerRun {
    pub user_id: UserId,
    pub graph_id: GraphId,
    pub graph_version: i32,
    pub status: ExecutionStatus,
    /// Node executions that ended badly.
    pub failed_nodes: i64,
    pub inputs: Map,
    pub credential_inputs: IndexMap<String, CredentialsMetaInput>,
    pub nodes_input_masks: NodeInputMasks,
    pub preset_id: Option<Uuid>,
}

impl Store {
    /// None for an unknown run, or one that its user has deleted.
    pub async fn former_run(&self, graph_exec_id: GraphExecId) -> Result<Option<FormerRun>> {
        let row = sqlx::query(
            "SELECT user_id, graph_id, graph_version, status, inputs, credential_inputs, nodes_input_masks, preset_id,
                 (SELECT count(*) FROM node_executions n WHERE n.graph_exec_id = g.id AND n.status = 'FAILED') AS failed_nodes
             FROM graph_executions g WHERE id = $1 AND NOT is_deleted",
        )
        .bind(graph_exec_id)
        .fetch_optional(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(FormerRun {
            user_id: row.try_get("user_id")?,
            graph_id: row.try_get("graph_id")?,
            graph_version: row.try_get("graph_version")?,
            status: status(&row)?,
            failed_nodes: row.try_get("failed_nodes")?,
            inputs: map(&row, "inputs")?,
            credential_inputs: json(&row, "credential_inputs")?.unwrap_or_default(),
            nodes_input_masks: json(&row, "nodes_input_masks")?.unwrap_or_default(),
            preset_id: row.try_get("preset_id")?,
        }))
    }

    /// The node executions of a finished run that completed, and what they emitted.
    pub async fn run_history(&self, graph_exec_id: GraphExecId) -> Result<RunHistory> {
        let rows = sqlx::query(
            "SELECT id, node_id, execution_data FROM node_executions WHERE graph_exec_id = $1 AND status = 'COMPLETED' ORDER BY started_at, added_seq",
        )
        .bind(graph_exec_id)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        let ids: Vec<NodeExecId> = rows.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?;
        // The input rows of starting nodes are their resolved input.
        let starting: Vec<NodeExecId> = rows
            .iter()
            .zip(&ids)
            .filter_map(|(row, id)| json::<Map>(row, "execution_data").is_ok_and(|data| data.is_none()).then_some(*id))
            .collect();
        let mut received = read_inputs(&self.pool, &starting).await?;
        let completed = rows.iter().zip(&ids).map(|(row, id)| {
            Ok(CompletedNode {
                node_id: row.try_get("node_id")?,
                input: json(row, "execution_data")?.or_else(|| received.remove(id)).unwrap_or_default(),
            })
        });
        Ok(RunHistory {
            completed: completed.collect::<Result<_>>()?,
            emitted: self.emitted(&ids).await?,
        })
    }

    /// In the order of the journal, over all of these node executions.
    async fn emitted(&self, ids: &[NodeExecId]) -> Result<Vec<Emitted>> {
        let places: HashMap<NodeExecId, usize> = ids.iter().enumerate().map(|(place, id)| (*id, place)).collect();
        let rows = sqlx::query(
            "SELECT v.* FROM unnest($1::uuid[]) AS wanted(id) CROSS JOIN LATERAL (
                 SELECT node_exec_id, seq, name, value FROM node_outputs WHERE node_exec_id = wanted.id OFFSET 0) v ORDER BY v.seq",
        )
        .bind(ids)
        .fetch_all(&self.pool)
        .await?;
        let mut emitted = Vec::with_capacity(rows.len());
        for row in &rows {
            if let Some(node) = places.get(&row.try_get::<NodeExecId, _>("node_exec_id")?) {
                emitted.push(Emitted {
                    node: *node,
                    name: row.try_get("name")?,
                    value: row.try_get::<Json<Value>, _>("value")?.0,
                });
            }
        }
        Ok(emitted)
    }
}
