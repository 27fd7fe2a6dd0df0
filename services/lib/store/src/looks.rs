//! What runs under way have to show: their newest node executions and their outputs so far, of many runs with one statement each.

use std::collections::HashMap;

use model::progress::{Look, NodeProgress};
use model::{GraphExecId, Map, NodeExecId};
use serde_json::Value;
use sqlx::Row;

use crate::execution_rows::{json, status, time};
use crate::node_executions::read_inputs;
use crate::{IoBlocks, Result, Store};

/// Node executions of one run in a look.
const NODES: i64 = 10;
/// Outputs of one run in a look, in number,
const OUTPUTS: i64 = 256;
/// and in bytes as stored. A text that goes beyond is shortened, another value left out.
const OUTPUT_BYTES: i64 = 64 * 1024;

impl Store {
    /// One look for each of these runs.
    pub(crate) async fn looks(&self, ids: &[GraphExecId], blocks: &IoBlocks) -> Result<HashMap<GraphExecId, Look>> {
        let mut looks: HashMap<GraphExecId, Look> = ids.iter().map(|id| (*id, Look::default())).collect();
        if ids.is_empty() {
            return Ok(looks);
        }
        self.add_nodes(ids, &mut looks).await?;
        self.add_outputs(ids, blocks, &mut looks).await?;
        Ok(looks)
    }

    async fn add_nodes(&self, ids: &[GraphExecId], looks: &mut HashMap<GraphExecId, Look>) -> Result<()> {
        let rows = sqlx::query(
            "SELECT l.*, n.block_id, left(n.metadata ->> 'customized_name', 100) AS name
             FROM unnest($1::uuid[]) AS wanted(id) CROSS JOIN LATERAL (
                 SELECT id AS node_exec_id, graph_exec_id, node_id, status, started_at, ended_at, left(stats ->> 'error', 500) AS error, added_seq,
                     coalesce(ended_at, started_at, queued_at, added_at) AS changed_at
                 FROM node_executions WHERE graph_exec_id = wanted.id AND status NOT IN ('INCOMPLETE', 'QUEUED')
                 ORDER BY changed_at DESC, added_seq DESC LIMIT $2) l
             JOIN nodes n ON n.id = l.node_id
             ORDER BY l.changed_at, l.added_seq",
        )
        .bind(ids)
        .bind(NODES)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        for row in &rows {
            let Some(look) = looks.get_mut(&row.try_get("graph_exec_id")?) else {
                continue;
            };
            look.nodes.push(NodeProgress {
                node_exec_id: row.try_get("node_exec_id")?,
                node_id: row.try_get("node_id")?,
                block_id: row.try_get("block_id")?,
                name: row.try_get::<Option<String>, _>("name")?.filter(|name| !name.trim().is_empty()),
                status: status(row)?,
                started_at: time(row, "started_at")?,
                ended_at: time(row, "ended_at")?,
                error: row.try_get("error")?,
            });
        }
        Ok(())
    }

    /// The same values in the same order as those of a run that is over.
    async fn add_outputs(&self, ids: &[GraphExecId], blocks: &IoBlocks, looks: &mut HashMap<GraphExecId, Look>) -> Result<()> {
        let rows = sqlx::query(
            "SELECT o.graph_exec_id, o.id, o.place > $3 OR o.through > $4 AS is_beyond,
                    CASE WHEN o.place > $3 THEN NULL
                         WHEN o.through <= $4 THEN o.execution_data
                         WHEN jsonb_typeof(o.execution_data -> 'value') = 'string' THEN jsonb_build_object(
                             'name', o.execution_data -> 'name', 'value', left(o.execution_data ->> 'value', $4::int)) END AS execution_data
             FROM unnest($1::uuid[]) AS wanted(id) CROSS JOIN LATERAL (
                 SELECT ne.graph_exec_id, ne.id, ne.execution_data, coalesce(pg_column_size(ne.execution_data), 0) AS size,
                     sum(coalesce(pg_column_size(ne.execution_data), 0)) OVER in_order AS through, row_number() OVER in_order AS place
                 FROM node_executions ne JOIN nodes n ON n.id = ne.node_id
                 WHERE ne.graph_exec_id = wanted.id AND n.block_id = ANY($2) AND ne.status <> 'INCOMPLETE'
                 WINDOW in_order AS (ORDER BY ne.queued_at NULLS LAST, ne.added_at, ne.added_seq ROWS UNBOUNDED PRECEDING)) o
             WHERE o.place <= $3 + 1 AND o.through - o.size <= $4
             ORDER BY o.graph_exec_id, o.place",
        )
        .bind(ids)
        .bind(&blocks.output)
        .bind(OUTPUTS)
        .bind(OUTPUT_BYTES)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        let mut found = Vec::with_capacity(rows.len());
        let mut unresolved: Vec<NodeExecId> = Vec::new();
        for row in &rows {
            let id = row.try_get("id")?;
            let is_beyond: bool = row.try_get("is_beyond")?;
            let data: Option<Map> = json(row, "execution_data")?;
            if data.is_none() && !is_beyond {
                unresolved.push(id);
            }
            found.push((row.try_get("graph_exec_id")?, id, is_beyond, data));
        }
        let mut arrived = read_inputs(&self.pool, &unresolved).await?;
        for (graph_exec_id, id, is_beyond, data) in found {
            let Some(look) = looks.get_mut(&graph_exec_id) else { continue };
            look.is_cut |= is_beyond;
            let mut data = data.or_else(|| arrived.remove(&id)).unwrap_or_default();
            if let Some(Value::String(name)) = data.swap_remove("name") {
                let value = data.swap_remove("value").unwrap_or_default();
                look.outputs.entry(name).or_default().push(value);
            }
        }
        Ok(())
    }
}
