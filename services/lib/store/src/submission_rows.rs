//! The rows of accepted runs, written by one statement however many runs arrive together.

use std::collections::HashMap;
use std::time::Duration;

use model::{ExecutionStatus, GraphExecId, GraphExecutionMeta, NodeExecId, NodeId, NodeInputMasks, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{PgExecutor, Row};

use crate::execution_rows::instant;
use crate::submissions::NewRun;
use crate::{Result, storable};

/// A run whose key has been used is left out with everything that belongs to it. Its parts are looked up in a hash table and not joined:
/// sessions join by index only.
const INSERT: &str = "WITH run AS (
         INSERT INTO graph_executions (id, user_id, graph_id, graph_version, status, inputs, credential_inputs, nodes_input_masks, compiled_masks,
             preset_id, context, parent_graph_exec_id, idempotency_key, traceparent, deadline_at)
         SELECT u.id, u.user_id, u.graph_id, u.graph_version, u.status, u.inputs, u.credential_inputs, u.nodes_input_masks, u.compiled_masks,
             u.preset_id, u.context, u.parent, u.idempotency_key, u.traceparent,
             least(u.deadline_at, (SELECT p.deadline_at FROM graph_executions p WHERE p.id = u.parent))
         FROM (SELECT set_config('lock_timeout', $25, true)) patience CROSS JOIN unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int[], $5::text[], $6::jsonb[], $7::jsonb[], $8::jsonb[], $9::jsonb[], $10::uuid[],
             $11::jsonb[], $12::uuid[], $13::text[], $14::text[], $15::timestamptz[])
             AS u(id, user_id, graph_id, graph_version, status, inputs, credential_inputs, nodes_input_masks, compiled_masks, preset_id, context,
                 parent, idempotency_key, traceparent, deadline_at)
         ON CONFLICT (idempotency_key) DO NOTHING
         RETURNING id, status, deadline_at, created_at, updated_at
     ), started AS (
         INSERT INTO node_executions (id, graph_exec_id, node_id, status, added_seq, added_at, queued_at)
         SELECT n.id, n.run, n.node_id, 'QUEUED', n.added_seq, now(), now()
         FROM unnest($16::uuid[], $17::uuid[], $18::uuid[], $19::bigint[]) AS n(id, run, node_id, added_seq)
         WHERE CASE WHEN n.run IN (SELECT id FROM run) THEN true ELSE false END
     ), received AS (
         INSERT INTO node_inputs (node_exec_id, seq, name, value, created_at)
         SELECT i.node_exec_id, i.seq, i.name, i.value, now()
         FROM unnest($20::uuid[], $21::uuid[], $22::bigint[], $23::text[], $24::jsonb[]) AS i(run, node_exec_id, seq, name, value)
         WHERE CASE WHEN i.run IN (SELECT id FROM run) THEN true ELSE false END
     ), alarm AS (
         INSERT INTO run_alarms (graph_exec_id, due_at) SELECT id, deadline_at FROM run WHERE deadline_at IS NOT NULL
     ), told AS (
         INSERT INTO outbox (graph_exec_id) SELECT id FROM run WHERE status = 'QUEUED'
     )
     SELECT id, created_at, updated_at FROM run";

/// A run as its rows will hold it: everything is JSON already, so that what writes many runs only copies.
#[derive(Debug)]
pub struct PackedRun {
    pub(crate) run: NewRun,
    inputs: Box<RawValue>,
    credential_inputs: Box<RawValue>,
    nodes_input_masks: Box<RawValue>,
    compiled_masks: Box<RawValue>,
    context: Box<RawValue>,
    pins: Vec<Pin>,
}

/// A value that a starting node begins with.
#[derive(Debug)]
struct Pin {
    node_exec_id: NodeExecId,
    name: String,
    value: Box<RawValue>,
}

impl PackedRun {
    /// Takes out what cannot be stored.
    pub fn new(mut run: NewRun) -> Result<Self> {
        storable::strip_map(&mut run.inputs);
        strip_masks(&mut run.nodes_input_masks);
        strip_masks(&mut run.compiled_masks);
        let mut pins = Vec::new();
        for node in &mut run.starting_nodes {
            storable::strip_map(&mut node.input);
            for (name, value) in &node.input {
                pins.push(Pin {
                    node_exec_id: node.node_exec_id,
                    name: name.clone(),
                    value: raw(value)?,
                });
            }
        }
        Ok(Self {
            inputs: raw(&run.inputs)?,
            credential_inputs: raw(&run.credential_inputs)?,
            nodes_input_masks: raw(&run.nodes_input_masks)?,
            compiled_masks: raw(&run.compiled_masks)?,
            context: raw(&run.context)?,
            pins,
            run,
        })
    }

    /// About what it takes to send it to the database.
    pub fn bytes(&self) -> usize {
        let values = [
            &self.inputs,
            &self.credential_inputs,
            &self.nodes_input_masks,
            &self.compiled_masks,
            &self.context,
        ];
        let values: usize = values.into_iter().map(|value| value.get().len()).sum();
        let pins: usize = self.pins.iter().map(|pin| pin.name.len() + pin.value.get().len()).sum();
        values + pins
    }

    /// Whether it is written by a statement of its own kind: it begins with a journal.
    pub fn has_journal(&self) -> bool {
        !self.run.taken_over.is_empty()
    }

    fn status(&self) -> ExecutionStatus {
        if self.run.queued {
            ExecutionStatus::Queued
        } else {
            ExecutionStatus::Incomplete
        }
    }

    /// The run as it reads right after it was inserted.
    fn meta(&self, created_at: Timestamp, updated_at: Timestamp) -> GraphExecutionMeta {
        let run = &self.run;
        GraphExecutionMeta {
            id: run.id,
            user_id: run.user_id,
            graph_id: run.graph_id,
            graph_version: run.graph_version,
            inputs: Some(run.inputs.clone()),
            credential_inputs: Some(run.credential_inputs.clone()).filter(|inputs| !inputs.is_empty()),
            nodes_input_masks: Some(run.nodes_input_masks.clone()),
            preset_id: run.preset_id.map(|id| id.to_string()),
            status: self.status(),
            started_at: created_at,
            ended_at: updated_at,
            is_shared: false,
            share_token: None,
            stats: None,
        }
    }
}

/// Inserts runs with their starting nodes, inputs, alarms and wake-ups. Those that are missing in the answer have a key that is taken.
/// Transactions that insert several keys must do so in the same order. `patience`: how long each lock is waited for, for ever when zero.
///
/// # Errors
/// [`Error::Locked`](crate::Error::Locked) when that was not long enough.
pub(crate) async fn insert(
    executor: impl PgExecutor<'_>,
    runs: &[&PackedRun],
    patience: Duration,
) -> Result<HashMap<GraphExecId, GraphExecutionMeta>> {
    let nodes = Nodes::of(runs);
    let pins = Pins::of(runs);
    let rows = sqlx::query(INSERT)
        .bind(column(runs, |run| run.run.id))
        .bind(column(runs, |run| run.run.user_id))
        .bind(column(runs, |run| run.run.graph_id))
        .bind(column(runs, |run| run.run.graph_version))
        .bind(column(runs, |run| run.status().as_str()))
        .bind(column(runs, |run| Json(&*run.inputs)))
        .bind(column(runs, |run| Json(&*run.credential_inputs)))
        .bind(column(runs, |run| Json(&*run.nodes_input_masks)))
        .bind(column(runs, |run| Json(&*run.compiled_masks)))
        .bind(column(runs, |run| run.run.preset_id))
        .bind(column(runs, |run| Json(&*run.context)))
        .bind(column(runs, |run| run.run.parent))
        .bind(column(runs, |run| run.run.idempotency_key.as_deref()))
        .bind(column(runs, |run| run.run.traceparent.as_deref()))
        .bind(column(runs, |run| run.run.deadline_at.map(Timestamp::into_inner)))
        .bind(nodes.ids)
        .bind(nodes.runs)
        .bind(nodes.node_ids)
        .bind(nodes.places)
        .bind(pins.runs)
        .bind(pins.node_exec_ids)
        .bind(pins.places)
        .bind(pins.names)
        .bind(pins.values)
        .bind(format!("{}ms", patience.as_millis()))
        .fetch_all(executor)
        .await?;
    let mut times: HashMap<GraphExecId, _> = HashMap::with_capacity(rows.len());
    for row in &rows {
        times.insert(row.try_get("id")?, (instant(row, "created_at")?, instant(row, "updated_at")?));
    }
    let inserted = runs.iter().filter_map(|run| {
        let (created_at, updated_at) = times.get(&run.run.id)?;
        Some((run.run.id, run.meta(*created_at, *updated_at)))
    });
    Ok(inserted.collect())
}

fn column<'a, T>(runs: &[&'a PackedRun], of: impl Fn(&'a PackedRun) -> T) -> Vec<T> {
    runs.iter().map(|run| of(run)).collect()
}

/// The starting nodes of all runs as columns. Their places end at 0, as those of the journal begin at 1.
#[derive(Default)]
struct Nodes {
    ids: Vec<NodeExecId>,
    runs: Vec<GraphExecId>,
    node_ids: Vec<NodeId>,
    places: Vec<i64>,
}

impl Nodes {
    fn of(runs: &[&PackedRun]) -> Self {
        let mut nodes = Self::default();
        for run in runs {
            let starting = &run.run.starting_nodes;
            for (node, place) in starting.iter().zip(places_up_to_zero(starting.len())) {
                nodes.ids.push(node.node_exec_id);
                nodes.runs.push(run.run.id);
                nodes.node_ids.push(node.node_id);
                nodes.places.push(place);
            }
        }
        nodes
    }
}

/// The input rows of the starting nodes of all runs as columns.
#[derive(Default)]
struct Pins<'a> {
    runs: Vec<GraphExecId>,
    node_exec_ids: Vec<NodeExecId>,
    places: Vec<i64>,
    names: Vec<&'a str>,
    values: Vec<Json<&'a RawValue>>,
}

impl<'a> Pins<'a> {
    fn of(runs: &[&'a PackedRun]) -> Self {
        let mut pins = Self::default();
        for run in runs {
            for (pin, place) in run.pins.iter().zip(places_up_to_zero(run.pins.len())) {
                pins.runs.push(run.run.id);
                pins.node_exec_ids.push(pin.node_exec_id);
                pins.places.push(place);
                pins.names.push(&pin.name);
                pins.values.push(Json(&pin.value));
            }
        }
        pins
    }
}

fn places_up_to_zero(count: usize) -> impl Iterator<Item = i64> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    1 - count..=0
}

fn raw(value: &impl Serialize) -> Result<Box<RawValue>> {
    Ok(serde_json::value::to_raw_value(value)?)
}

fn strip_masks(masks: &mut NodeInputMasks) {
    masks.values_mut().for_each(storable::strip_map);
}
