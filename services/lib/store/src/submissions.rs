//! Accepting a run: the row, its starting nodes, its wake-up and its key in one statement (design §6.1).

use indexmap::IndexMap;
use model::{
    CredentialsMetaInput, ExecutionContext, GraphExecId, GraphExecutionMeta, GraphId, JournalEntry, Map, NodeExecId, NodeId, NodeInputMasks,
    Timestamp, UserId,
};
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::execution_rows::{META, json, meta};
use crate::{Error, Result, Store, journal, storable};

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
        let query = format!("SELECT {META} FROM graph_executions WHERE idempotency_key = $1");
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(key)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        row.as_ref().map(meta).transpose()
    }

    /// QUEUED, with its starting nodes QUEUED and a row in the outbox. Durable when this returns.
    pub async fn accept_run(&self, run: NewRun) -> Result<Accepted> {
        let key = run.idempotency_key.clone();
        // A statement that finds the key taken inserts nothing; the winner is visible to the next statement. The loop ends the
        // case that the winner was deleted in between.
        for _ in 0..3 {
            if let Some(execution) = self.insert_run(&run).await? {
                return Ok(Accepted { execution, created: true });
            }
            if let Some(key) = &key
                && let Some(execution) = self.find_by_idempotency_key(key).await?
            {
                return Ok(Accepted { execution, created: false });
            }
        }
        Err(Error::no_execution(run.id))
    }

    /// As [`Store::accept_run`], for a run that a node of another run starts: under the lock of that run, so that a cancellation of the tree
    /// sees every run of it, and only while the run that asks is held under `epoch` and not being cancelled.
    pub async fn accept_child(&self, run: NewRun, parent: GraphExecId, epoch: i64) -> Result<Accepted> {
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
        let created = insert_run(&mut tx, &run).await?;
        tx.commit().await?;
        match (created, &run.idempotency_key) {
            (Some(execution), _) => Ok(Accepted { execution, created: true }),
            (None, Some(key)) => {
                let execution = self.find_by_idempotency_key(key).await?.ok_or_else(|| Error::no_execution(run.id))?;
                Ok(Accepted { execution, created: false })
            }
            (None, None) => Err(Error::no_execution(run.id)),
        }
    }

    async fn insert_run(&self, run: &NewRun) -> Result<Option<GraphExecutionMeta>> {
        if run.taken_over.is_empty() {
            let mut connection = self.pool.acquire().await.map_err(|error| self.explain(error))?;
            return insert_run(&mut connection, run).await;
        }
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let inserted = insert_run(&mut tx, run).await?;
        if inserted.is_some() {
            journal::begin_with(&mut tx, run.id, run.user_id, run.taken_over.clone()).await?;
            tx.commit().await?;
        }
        Ok(inserted)
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

async fn insert_run(connection: &mut PgConnection, run: &NewRun) -> Result<Option<GraphExecutionMeta>> {
    let pins = StartingPins::of(&run.starting_nodes);
    let query = format!(
        "WITH run AS (
                 INSERT INTO graph_executions (id, user_id, graph_id, graph_version, status, inputs, credential_inputs, nodes_input_masks,
                     compiled_masks, preset_id, context, parent_graph_exec_id, idempotency_key, traceparent, deadline_at)
                 VALUES ($1, $2, $3, $4, CASE WHEN $20 THEN 'QUEUED' ELSE 'INCOMPLETE' END, $5, $6, $7, $8, $9, $10, $11, $12, $21,
                     least($22, (SELECT deadline_at FROM graph_executions WHERE id = $11)))
                 ON CONFLICT (idempotency_key) DO NOTHING
                 RETURNING {META}, deadline_at
             ), started AS (
                 INSERT INTO node_executions (id, graph_exec_id, node_id, status, added_seq, added_at, queued_at)
                 SELECT n.id, run.id, n.node_id, 'QUEUED', n.place - $15, run.created_at, run.created_at
                 FROM run CROSS JOIN unnest($13::uuid[], $14::uuid[]) WITH ORDINALITY AS n(id, node_id, place)
             ), received AS (
                 INSERT INTO node_inputs (node_exec_id, seq, name, value, created_at)
                 SELECT i.node_exec_id, i.place - $19, i.name, i.value, run.created_at
                 FROM run CROSS JOIN unnest($16::uuid[], $17::text[], $18::jsonb[]) WITH ORDINALITY AS i(node_exec_id, name, value, place)
             ), alarm AS (
                 INSERT INTO run_alarms (graph_exec_id, due_at) SELECT run.id, run.deadline_at FROM run WHERE run.deadline_at IS NOT NULL
             ), told AS (
                 INSERT INTO outbox (graph_exec_id) SELECT run.id FROM run WHERE $20
             )
             SELECT {META} FROM run"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(run.id)
        .bind(run.user_id)
        .bind(run.graph_id)
        .bind(run.graph_version)
        .bind(Json(storable(&run.inputs)))
        .bind(Json(&run.credential_inputs))
        .bind(Json(storable_masks(&run.nodes_input_masks)))
        .bind(Json(storable_masks(&run.compiled_masks)))
        .bind(run.preset_id)
        .bind(Json(&run.context))
        .bind(run.parent)
        .bind(&run.idempotency_key)
        .bind(run.starting_nodes.iter().map(|node| node.node_exec_id).collect::<Vec<_>>())
        .bind(run.starting_nodes.iter().map(|node| node.node_id).collect::<Vec<_>>())
        .bind(i64::try_from(run.starting_nodes.len()).unwrap_or(i64::MAX))
        .bind(pins.node_exec_ids)
        .bind(pins.names)
        .bind(pins.values)
        .bind(pins.count)
        .bind(run.queued)
        .bind(&run.traceparent)
        .bind(run.deadline_at.map(Timestamp::into_inner))
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(meta).transpose()
}

/// The input rows of the starting nodes as columns.
struct StartingPins {
    node_exec_ids: Vec<NodeExecId>,
    names: Vec<String>,
    values: Vec<Json<Value>>,
    count: i64,
}

impl StartingPins {
    fn of(nodes: &[StartingNode]) -> Self {
        let mut pins = Self {
            node_exec_ids: Vec::new(),
            names: Vec::new(),
            values: Vec::new(),
            count: 0,
        };
        for node in nodes {
            for (name, value) in storable(&node.input) {
                pins.node_exec_ids.push(node.node_exec_id);
                pins.names.push(name);
                pins.values.push(Json(value));
                pins.count += 1;
            }
        }
        pins
    }
}

fn storable(map: &Map) -> Map {
    let mut map = map.clone();
    storable::strip_map(&mut map);
    map
}

fn storable_masks(masks: &NodeInputMasks) -> NodeInputMasks {
    masks.iter().map(|(node_id, mask)| (*node_id, storable(mask))).collect()
}
