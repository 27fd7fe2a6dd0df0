//! Reading node executions with what they received and produced.

use std::collections::HashMap;

use model::claim::NodeExecutionRecord;
use model::execution::Outputs;
use model::{BlockId, ExecutionStatus, GraphExecId, Map, NodeExecId, NodeExecutionResult, NodeId, Timestamp};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgExecutor, QueryBuilder, Row};

use crate::execution_rows::{instant, json, status, time, words};
use crate::{Result, Store};

/// Reads return at most this many node executions, the newest ones (internals §2.17).
pub(crate) const MAX_NODE_EXECUTIONS: i64 = 1000;

/// Which node executions to read. Nothing set means all of them.
#[derive(Debug, Clone, Default)]
pub struct NodeExecutionFilter {
    pub graph_exec_id: Option<GraphExecId>,
    pub node_id: Option<NodeId>,
    pub block_ids: Option<Vec<BlockId>>,
    pub statuses: Option<Vec<ExecutionStatus>>,
    pub limit: Option<i64>,
    pub added_after: Option<Timestamp>,
    pub added_before: Option<Timestamp>,
    /// Without it inputs and outputs stay empty.
    pub with_data: bool,
}

const COLUMNS: &str = "ne.id, ne.graph_exec_id, ne.node_id, ne.status, ne.added_at, ne.queued_at, ne.started_at, ne.ended_at, \
    n.block_id, ge.user_id, ge.graph_id, ge.graph_version";
const TABLES: &str = "node_executions ne JOIN graph_executions ge ON ge.id = ne.graph_exec_id JOIN nodes n ON n.id = ne.node_id";

impl Store {
    pub async fn get_node_execution(&self, node_exec_id: NodeExecId) -> Result<Option<NodeExecutionResult>> {
        let query = format!("SELECT {COLUMNS}, ne.execution_data FROM {TABLES} WHERE ne.id = $1");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query)).bind(node_exec_id).fetch_all(&self.pool).await?;
        Ok(self.with_values(&rows, true).await?.pop())
    }

    /// In the order in which they were queued; unqueued ones last. A limit keeps the newest.
    pub async fn get_node_executions(&self, filter: &NodeExecutionFilter) -> Result<Vec<NodeExecutionResult>> {
        let data = if filter.with_data {
            ", ne.execution_data"
        } else {
            ", NULL::jsonb AS execution_data"
        };
        let mut query = QueryBuilder::new(format!("SELECT {COLUMNS}{data} FROM {TABLES} WHERE true"));
        if let Some(graph_exec_id) = filter.graph_exec_id {
            query.push(" AND ne.graph_exec_id = ").push_bind(graph_exec_id);
        }
        if let Some(node_id) = filter.node_id {
            query.push(" AND ne.node_id = ").push_bind(node_id);
        }
        if let Some(block_ids) = &filter.block_ids {
            query.push(" AND n.block_id = ANY(").push_bind(block_ids).push(")");
        }
        if let Some(statuses) = &filter.statuses {
            query.push(" AND ne.status = ANY(").push_bind(words(statuses)).push(")");
        }
        if let Some(after) = filter.added_after {
            query.push(" AND ne.added_at >= ").push_bind(after.into_inner());
        }
        if let Some(before) = filter.added_before {
            query.push(" AND ne.added_at <= ").push_bind(before.into_inner());
        }
        query.push(" ORDER BY ne.queued_at DESC NULLS FIRST, ne.added_at DESC, ne.added_seq DESC LIMIT ");
        query.push_bind(filter.limit.unwrap_or(MAX_NODE_EXECUTIONS).clamp(0, MAX_NODE_EXECUTIONS));
        let mut rows = query.build().fetch_all(&self.pool).await.map_err(|error| self.explain(error))?;
        rows.reverse();
        self.with_values(&rows, filter.with_data).await
    }

    /// The execution of a node in a run that was queued last, INCOMPLETE ones left out (internals §2.9 step 3b).
    pub async fn get_latest_node_execution(&self, node_id: NodeId, graph_exec_id: GraphExecId) -> Result<Option<NodeExecutionResult>> {
        let mut latest = self
            .get_node_executions(&NodeExecutionFilter {
                graph_exec_id: Some(graph_exec_id),
                node_id: Some(node_id),
                statuses: Some(vec![
                    ExecutionStatus::Queued,
                    ExecutionStatus::Running,
                    ExecutionStatus::Completed,
                    ExecutionStatus::Terminated,
                    ExecutionStatus::Failed,
                ]),
                limit: Some(1),
                with_data: true,
                ..NodeExecutionFilter::default()
            })
            .await?;
        Ok(latest.pop())
    }

    async fn with_values(&self, rows: &[PgRow], with_data: bool) -> Result<Vec<NodeExecutionResult>> {
        let ids: Vec<NodeExecId> = rows.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?;
        let (mut inputs, mut outputs) = if with_data {
            (read_inputs(&self.pool, &ids).await?, read_outputs(&self.pool, &ids).await?)
        } else {
            Default::default()
        };
        rows.iter()
            .zip(ids)
            .map(|(row, id)| {
                let received = inputs.remove(&id).unwrap_or_default();
                Ok(NodeExecutionResult {
                    user_id: row.try_get("user_id")?,
                    graph_id: row.try_get("graph_id")?,
                    graph_version: row.try_get("graph_version")?,
                    graph_exec_id: row.try_get("graph_exec_id")?,
                    node_exec_id: id,
                    node_id: row.try_get("node_id")?,
                    block_id: row.try_get("block_id")?,
                    status: status(row)?,
                    // The resolved input once there is one, before that what has arrived so far.
                    input_data: json(row, "execution_data")?.unwrap_or(received),
                    output_data: outputs.remove(&id).unwrap_or_default(),
                    add_time: instant(row, "added_at")?,
                    queue_time: time(row, "queued_at")?,
                    start_time: time(row, "started_at")?,
                    end_time: time(row, "ended_at")?,
                })
            })
            .collect()
    }
}

/// All node executions of some runs in the order in which they were added, as a claim hands them over. By their place in the journal, not
/// by time: a run that changed hands has times of several clocks.
pub(crate) async fn read_records(
    connection: &mut sqlx::PgConnection,
    graph_exec_ids: &[GraphExecId],
) -> Result<HashMap<GraphExecId, Vec<NodeExecutionRecord>>> {
    let rows = sqlx::query(
        "SELECT n.* FROM unnest($1::uuid[]) AS wanted(id) CROSS JOIN LATERAL (
             SELECT id, graph_exec_id, node_id, status, execution_data, added_seq, added_at, queued_at, started_at, ended_at,
                 coalesce((stats ->> 'cost')::bigint, 0) + coalesce((stats ->> 'extra_cost')::bigint, 0) AS cost
             FROM node_executions WHERE graph_exec_id = wanted.id OFFSET 0) n ORDER BY n.added_seq",
    )
    .bind(graph_exec_ids)
    .fetch_all(&mut *connection)
    .await?;
    let ids: Vec<NodeExecId> = rows.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?;
    let mut inputs = read_inputs(&mut *connection, &ids).await?;
    let mut outputs = read_outputs(&mut *connection, &ids).await?;
    let mut records: HashMap<GraphExecId, Vec<NodeExecutionRecord>> = HashMap::new();
    for (row, id) in rows.iter().zip(ids) {
        let status = status(row)?;
        let received = inputs.remove(&id).unwrap_or_default();
        let resolved = json(row, "execution_data")?.or_else(|| (status != ExecutionStatus::Incomplete).then(|| received.clone()));
        records.entry(row.try_get("graph_exec_id")?).or_default().push(NodeExecutionRecord {
            node_exec_id: id,
            node_id: row.try_get("node_id")?,
            status,
            inputs: received,
            execution_data: resolved,
            outputs: outputs.remove(&id).unwrap_or_default(),
            cost: row.try_get("cost")?,
            add_time: instant(row, "added_at")?,
            queue_time: time(row, "queued_at")?,
            start_time: time(row, "started_at")?,
            end_time: time(row, "ended_at")?,
        });
    }
    Ok(records)
}

/// The values of a table by node execution. Looked up one node execution after the other: a planner without fresh statistics would rather
/// read the whole table for a long list.
fn values_of(table: &'static str) -> String {
    format!(
        "SELECT v.node_exec_id, v.name, v.value FROM unnest($1::uuid[]) AS wanted(id) CROSS JOIN LATERAL (
             SELECT node_exec_id, seq, name, value FROM {table} WHERE node_exec_id = wanted.id OFFSET 0) v ORDER BY v.node_exec_id, v.seq"
    )
}

pub(crate) async fn read_inputs(executor: impl PgExecutor<'_>, ids: &[NodeExecId]) -> Result<HashMap<NodeExecId, Map>> {
    let mut inputs: HashMap<NodeExecId, Map> = HashMap::new();
    let rows = sqlx::query(sqlx::AssertSqlSafe(values_of("node_inputs")));
    for row in rows.bind(ids).fetch_all(executor).await? {
        let value = row.try_get::<Json<Value>, _>("value")?.0;
        inputs
            .entry(row.try_get("node_exec_id")?)
            .or_default()
            .insert(row.try_get("name")?, value);
    }
    Ok(inputs)
}

pub(crate) async fn read_outputs(executor: impl PgExecutor<'_>, ids: &[NodeExecId]) -> Result<HashMap<NodeExecId, Outputs>> {
    let mut outputs: HashMap<NodeExecId, Outputs> = HashMap::new();
    let rows = sqlx::query(sqlx::AssertSqlSafe(values_of("node_outputs")));
    for row in rows.bind(ids).fetch_all(executor).await? {
        let value = row.try_get::<Json<Value>, _>("value")?.0;
        let of_node = outputs.entry(row.try_get("node_exec_id")?).or_default();
        of_node.entry(row.try_get("name")?).or_default().push(value);
    }
    Ok(outputs)
}
