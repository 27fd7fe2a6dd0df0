//! Reading runs: one, many, with outputs, with nodes (rest.md §2.6).

use std::collections::HashMap;

use indexmap::IndexMap;
use model::execution::Outputs;
use model::{BlockId, ExecutionStatus, GraphExecId, GraphExecution, GraphExecutionMeta, GraphExecutionWithNodes, GraphId, Map, Timestamp, UserId};
use serde_json::Value;
use sqlx::{Postgres, QueryBuilder, Row};

use crate::execution_rows::{META, json, meta, words};
use crate::node_executions::{MAX_NODE_EXECUTIONS, NodeExecutionFilter, read_inputs};
use crate::{Error, Result, Store};

/// Which blocks carry a run's inputs and outputs; the catalog knows, the database does not.
#[derive(Debug, Clone, Default)]
pub struct IoBlocks {
    pub input: Vec<BlockId>,
    pub output: Vec<BlockId>,
    pub webhook: Vec<BlockId>,
}

/// Which runs to list. Soft-deleted ones are never among them.
#[derive(Debug, Clone, Default)]
pub struct ExecutionFilter {
    pub graph_exec_id: Option<GraphExecId>,
    pub graph_id: Option<GraphId>,
    pub graph_version: Option<i32>,
    pub user_id: Option<UserId>,
    pub statuses: Option<Vec<ExecutionStatus>>,
    pub created_after: Option<Timestamp>,
    pub created_before: Option<Timestamp>,
    pub limit: Option<i64>,
}

/// One page of a list and how many there are altogether.
#[derive(Debug, Clone)]
pub struct ExecutionPage {
    pub executions: Vec<GraphExecutionMeta>,
    pub total: i64,
}

/// Lists without a limit of their own stop here.
const MAX_EXECUTIONS: i64 = 1000;

impl Store {
    /// Newest first. The contract's list of a user asks for 250.
    pub async fn list_executions(&self, filter: &ExecutionFilter) -> Result<Vec<GraphExecutionMeta>> {
        let mut query = QueryBuilder::new(format!("SELECT {META} FROM graph_executions WHERE NOT is_deleted"));
        restrict(&mut query, filter);
        query.push(" ORDER BY created_at DESC, id DESC LIMIT ");
        query.push_bind(filter.limit.unwrap_or(MAX_EXECUTIONS).clamp(0, MAX_EXECUTIONS));
        let rows = query.build().fetch_all(&self.pool).await.map_err(|error| self.explain(error))?;
        rows.iter().map(meta).collect()
    }

    pub async fn count_executions(&self, filter: &ExecutionFilter) -> Result<i64> {
        let mut query = QueryBuilder::new("SELECT count(*) FROM graph_executions WHERE NOT is_deleted");
        restrict(&mut query, filter);
        Ok(query.build_query_scalar().fetch_one(&self.pool).await?)
    }

    /// `page` counts from 1.
    pub async fn page_executions(&self, user_id: UserId, graph_id: GraphId, page: i64, page_size: i64) -> Result<ExecutionPage> {
        let filter = ExecutionFilter {
            user_id: Some(user_id),
            graph_id: Some(graph_id),
            ..ExecutionFilter::default()
        };
        let mut query = QueryBuilder::new(format!("SELECT {META} FROM graph_executions WHERE NOT is_deleted"));
        restrict(&mut query, &filter);
        query.push(" ORDER BY created_at DESC, id DESC LIMIT ").push_bind(page_size);
        query.push(" OFFSET ").push_bind((page - 1).max(0).saturating_mul(page_size));
        let rows = query.build().fetch_all(&self.pool).await.map_err(|error| self.explain(error))?;
        Ok(ExecutionPage {
            executions: rows.iter().map(meta).collect::<Result<_>>()?,
            total: self.count_executions(&filter).await?,
        })
    }

    /// None for another user's run.
    pub async fn get_execution_meta(&self, user_id: UserId, graph_exec_id: GraphExecId) -> Result<Option<GraphExecutionMeta>> {
        let one = ExecutionFilter {
            graph_exec_id: Some(graph_exec_id),
            user_id: Some(user_id),
            ..ExecutionFilter::default()
        };
        Ok(self.list_executions(&one).await?.pop())
    }

    /// Without a user the run of anybody: for internal callers only.
    pub async fn get_execution(&self, user_id: Option<UserId>, graph_exec_id: GraphExecId, blocks: &IoBlocks) -> Result<Option<GraphExecution>> {
        let one = ExecutionFilter {
            graph_exec_id: Some(graph_exec_id),
            user_id,
            ..ExecutionFilter::default()
        };
        let Some(meta) = self.list_executions(&one).await?.pop() else {
            return Ok(None);
        };
        Ok(Some(self.with_outputs(meta, blocks).await?))
    }

    pub async fn get_execution_with_nodes(
        &self,
        user_id: Option<UserId>,
        graph_exec_id: GraphExecId,
        blocks: &IoBlocks,
    ) -> Result<Option<GraphExecutionWithNodes>> {
        let Some(execution) = self.get_execution(user_id, graph_exec_id, blocks).await? else {
            return Ok(None);
        };
        let node_executions = self
            .get_node_executions(&NodeExecutionFilter {
                graph_exec_id: Some(graph_exec_id),
                with_data: true,
                ..NodeExecutionFilter::default()
            })
            .await?;
        Ok(Some(GraphExecutionWithNodes {
            execution,
            node_executions,
            waiting: None,
        }))
    }

    /// Runs that a node of this run has started.
    pub async fn get_child_executions(&self, parent: GraphExecId) -> Result<Vec<GraphExecutionMeta>> {
        let query = format!("SELECT {META} FROM graph_executions WHERE parent_graph_exec_id = $1 AND NOT is_deleted ORDER BY created_at, id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query)).bind(parent).fetch_all(&self.pool).await?;
        rows.iter().map(meta).collect()
    }

    /// Hides a run from every list and read. False when the user has no such run.
    pub async fn soft_delete_execution(&self, user_id: UserId, graph_exec_id: GraphExecId) -> Result<bool> {
        let done = sqlx::query("UPDATE graph_executions SET is_deleted = true, updated_at = now() WHERE id = $1 AND user_id = $2 AND NOT is_deleted")
            .bind(graph_exec_id)
            .bind(user_id)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Adds what the run's input and output nodes hold (internals §3.1).
    pub(crate) async fn with_outputs(&self, mut meta: GraphExecutionMeta, blocks: &IoBlocks) -> Result<GraphExecution> {
        let received = self.io_node_inputs(&[meta.id], blocks).await?.remove(&meta.id).unwrap_or_default();
        let mut inputs = meta.inputs.take().unwrap_or_else(|| inputs_of(&received, blocks));
        inputs.extend(payload_of(&received, blocks).map(|payload| ("payload".to_owned(), payload.clone())));
        meta.inputs = Some(inputs);
        let outputs = outputs_of(&received, blocks);
        Ok(GraphExecution { meta, outputs })
    }

    /// Of each of these runs that has any.
    pub(crate) async fn outputs(&self, ids: &[GraphExecId], blocks: &IoBlocks) -> Result<HashMap<GraphExecId, Outputs>> {
        let received = self.io_node_inputs(ids, blocks).await?;
        Ok(received.into_iter().map(|(id, received)| (id, outputs_of(&received, blocks))).collect())
    }

    /// What the output nodes of a run have made of their values: name and formatted value (finding 15), in the order in which the values
    /// arrived. Nodes run side by side, so that the order in which they end is chance.
    pub async fn formatted_outputs(&self, graph_exec_id: GraphExecId, blocks: &IoBlocks) -> Result<Vec<(String, Value)>> {
        let rows = sqlx::query(
            "SELECT coalesce(ne.execution_data->>'name', (SELECT i.value#>>'{}' FROM node_inputs i WHERE i.node_exec_id = ne.id AND i.name = 'name' ORDER BY i.seq LIMIT 1),
                        n.input_default->>'name') AS name, o.value
             FROM node_executions ne JOIN nodes n ON n.id = ne.node_id JOIN node_outputs o ON o.node_exec_id = ne.id AND o.name = 'output'
             WHERE ne.graph_exec_id = $1 AND n.block_id = ANY($2) AND ne.status = 'COMPLETED'
             ORDER BY ne.queued_at, ne.added_seq, o.seq",
        )
        .bind(graph_exec_id)
        .bind(&blocks.output)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .filter_map(|row| match row.try_get::<Option<String>, _>("name") {
                Ok(Some(name)) => Some(row.try_get("value").map(|value| (name, value)).map_err(Error::from)),
                Ok(None) => None,
                Err(error) => Some(Err(error.into())),
            })
            .collect()
    }

    /// How far the journal of a run of the user has come.
    pub async fn journal_position(&self, user_id: UserId, id: GraphExecId) -> Result<Option<i64>> {
        let position = sqlx::query_scalar("SELECT journal_seq FROM graph_executions WHERE id = $1 AND user_id = $2 AND NOT is_deleted");
        let position = position.bind(id).bind(user_id).fetch_optional(&self.pool).await;
        position.map_err(|error| self.explain(error))
    }

    /// What the input, output and webhook nodes of each of these runs have received, by queue time.
    async fn io_node_inputs(&self, ids: &[GraphExecId], blocks: &IoBlocks) -> Result<HashMap<GraphExecId, Vec<(BlockId, Map)>>> {
        let mut found: HashMap<GraphExecId, Vec<(BlockId, Map)>> = HashMap::new();
        if ids.is_empty() {
            return Ok(found);
        }
        let wanted: Vec<BlockId> = [&blocks.input, &blocks.output, &blocks.webhook].into_iter().flatten().copied().collect();
        let mut rows = sqlx::query(
            "SELECT io.* FROM unnest($1::uuid[]) WITH ORDINALITY AS of_run(id, place) CROSS JOIN LATERAL (
                 SELECT ne.graph_exec_id, ne.id, n.block_id, ne.execution_data, ne.queued_at, ne.added_at, ne.added_seq
                 FROM node_executions ne JOIN nodes n ON n.id = ne.node_id
                 WHERE ne.graph_exec_id = of_run.id AND n.block_id = ANY($2) AND ne.status <> 'INCOMPLETE'
                 ORDER BY ne.queued_at DESC NULLS FIRST, ne.added_at DESC, ne.added_seq DESC LIMIT $3) io
             ORDER BY of_run.place, io.queued_at DESC NULLS FIRST, io.added_at DESC, io.added_seq DESC",
        )
        .bind(ids)
        .bind(wanted)
        .bind(MAX_NODE_EXECUTIONS)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        rows.reverse();
        let mut read = Vec::with_capacity(rows.len());
        let mut unresolved = Vec::new();
        for row in &rows {
            let id = row.try_get("id")?;
            let resolved: Option<Map> = json(row, "execution_data")?;
            if resolved.is_none() {
                unresolved.push(id);
            }
            read.push((row.try_get("graph_exec_id")?, id, row.try_get("block_id")?, resolved));
        }
        let mut arrived = read_inputs(&self.pool, &unresolved).await?;
        for (graph_exec_id, id, block_id, resolved) in read {
            let data = resolved.unwrap_or_else(|| arrived.remove(&id).unwrap_or_default());
            found.entry(graph_exec_id).or_default().push((block_id, data));
        }
        Ok(found)
    }
}

/// `name → value` of the input nodes.
fn inputs_of(received: &[(BlockId, Map)], blocks: &IoBlocks) -> Map {
    let mut inputs = Map::new();
    for (_, data) in received.iter().filter(|(block_id, _)| blocks.input.contains(block_id)) {
        if let Some(name) = data.get("name").and_then(Value::as_str) {
            inputs.insert(name.to_owned(), data.get("value").cloned().unwrap_or_default());
        }
    }
    inputs
}

/// What webhooks brought last.
fn payload_of<'a>(received: &'a [(BlockId, Map)], blocks: &IoBlocks) -> Option<&'a Value> {
    let of_webhooks = received.iter().rev().filter(|(block_id, _)| blocks.webhook.contains(block_id));
    of_webhooks.into_iter().find_map(|(_, data)| data.get("payload"))
}

/// Per `name` the *input* values of the output nodes, not what they format.
fn outputs_of(received: &[(BlockId, Map)], blocks: &IoBlocks) -> Outputs {
    let mut outputs: Outputs = IndexMap::new();
    for (_, data) in received.iter().filter(|(block_id, _)| blocks.output.contains(block_id)) {
        if let Some(name) = data.get("name").and_then(Value::as_str) {
            let value = data.get("value").cloned().unwrap_or_default();
            outputs.entry(name.to_owned()).or_default().push(value);
        }
    }
    outputs
}

fn restrict(query: &mut QueryBuilder<Postgres>, filter: &ExecutionFilter) {
    if let Some(id) = filter.graph_exec_id {
        query.push(" AND id = ").push_bind(id);
    }
    if let Some(graph_id) = filter.graph_id {
        query.push(" AND graph_id = ").push_bind(graph_id);
    }
    if let Some(version) = filter.graph_version {
        query.push(" AND graph_version = ").push_bind(version);
    }
    if let Some(user_id) = filter.user_id {
        query.push(" AND user_id = ").push_bind(user_id);
    }
    if let Some(statuses) = &filter.statuses {
        query.push(" AND status = ANY(").push_bind(words(statuses)).push(")");
    }
    if let Some(after) = filter.created_after {
        query.push(" AND created_at >= ").push_bind(after.into_inner());
    }
    if let Some(before) = filter.created_before {
        query.push(" AND created_at <= ").push_bind(before.into_inner());
    }
}

impl Error {
    /// The contract's words for a run that is not there.
    pub(crate) fn no_execution(graph_exec_id: GraphExecId) -> Self {
        Self::NotFound(format!("Graph execution #{graph_exec_id} not found"))
    }
}
