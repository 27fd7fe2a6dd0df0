//! What an append does to nodes and their values: one statement, because each one more is a round trip that every hop of every run waits for.

use model::NodeExecId;
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};

use crate::journal_plan::{Created, JournalPlan, NodeChange, ValueRow};
use crate::{Error, Result};

/// The parts do not see each other's rows, and need not: a node execution is either created here or changed. Foreign keys are checked when
/// all is done.
const WRITE: &str = "WITH created AS (
         INSERT INTO node_executions (id, graph_exec_id, node_id, status, added_seq, execution_data, stats, added_at, queued_at, started_at, ended_at)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::jsonb[], $7::jsonb[],
             $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[])
     ), changed AS (
         UPDATE node_executions ne SET status = u.status,
             execution_data = coalesce(u.execution_data, ne.execution_data), stats = coalesce(u.stats, ne.stats),
             queued_at = coalesce(u.queued_at, ne.queued_at), started_at = coalesce(u.started_at, ne.started_at),
             ended_at = coalesce(u.ended_at, ne.ended_at)
         FROM unnest($12::uuid[], $13::uuid[], $14::text[], $15::text[], $16::jsonb[], $17::jsonb[], $18::timestamptz[], $19::timestamptz[],
             $20::timestamptz[]) AS u(id, graph_exec_id, expected, status, execution_data, stats, queued_at, started_at, ended_at)
         WHERE ne.id = u.id AND ne.graph_exec_id = u.graph_exec_id AND ne.status = ANY(string_to_array(u.expected, ','))
         RETURNING ne.id
     ), received AS (
         INSERT INTO node_inputs (node_exec_id, seq, name, value, created_at)
         SELECT * FROM unnest($21::uuid[], $22::bigint[], $23::text[], $24::jsonb[], $25::timestamptz[])
     ), emitted AS (
         INSERT INTO node_outputs (node_exec_id, seq, name, value, created_at)
         SELECT * FROM unnest($26::uuid[], $27::bigint[], $28::text[], $29::jsonb[], $30::timestamptz[])
     )
     SELECT count(*) AS changed FROM changed";

/// Writes the node executions of a plan with what they received and emitted.
pub(crate) async fn write(connection: &mut PgConnection, plan: &JournalPlan<'_>) -> Result<()> {
    if plan.nodes.is_empty() && plan.inputs.is_empty() && plan.outputs.is_empty() {
        return Ok(());
    }
    let created: Vec<(NodeExecId, &NodeChange, Created)> = plan
        .nodes
        .iter()
        .filter_map(|(id, change)| Some((*id, change, change.created?)))
        .collect();
    let changed: Vec<(NodeExecId, &NodeChange)> = plan
        .nodes
        .iter()
        .filter(|(_, change)| change.created.is_none())
        .map(|(id, change)| (*id, change))
        .collect();
    let (received, emitted) = (Columns::of(&plan.inputs), Columns::of(&plan.outputs));
    let row = sqlx::query(WRITE)
        .bind(created.iter().map(|(id, ..)| *id).collect::<Vec<_>>())
        .bind(created.iter().map(|(_, change, _)| change.graph_exec_id).collect::<Vec<_>>())
        .bind(created.iter().map(|(.., created)| created.node_id).collect::<Vec<_>>())
        .bind(created.iter().map(|(_, change, _)| change.status.as_str()).collect::<Vec<_>>())
        .bind(created.iter().map(|(.., created)| created.seq).collect::<Vec<_>>())
        .bind(created.iter().map(|(_, change, _)| change.execution_data.map(Json)).collect::<Vec<_>>())
        .bind(created.iter().map(|(_, change, _)| change.stats.map(Json)).collect::<Vec<_>>())
        .bind(created.iter().map(|(.., created)| created.at).collect::<Vec<_>>())
        .bind(created.iter().map(|(_, change, _)| change.queued_at).collect::<Vec<_>>())
        .bind(created.iter().map(|(_, change, _)| change.started_at).collect::<Vec<_>>())
        .bind(created.iter().map(|(_, change, _)| change.ended_at).collect::<Vec<_>>())
        .bind(changed.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind(changed.iter().map(|(_, change)| change.graph_exec_id).collect::<Vec<_>>())
        .bind(changed.iter().map(|(_, change)| change.expected()).collect::<Vec<_>>())
        .bind(changed.iter().map(|(_, change)| change.status.as_str()).collect::<Vec<_>>())
        .bind(changed.iter().map(|(_, change)| change.execution_data.map(Json)).collect::<Vec<_>>())
        .bind(changed.iter().map(|(_, change)| change.stats.map(Json)).collect::<Vec<_>>())
        .bind(changed.iter().map(|(_, change)| change.queued_at).collect::<Vec<_>>())
        .bind(changed.iter().map(|(_, change)| change.started_at).collect::<Vec<_>>())
        .bind(changed.iter().map(|(_, change)| change.ended_at).collect::<Vec<_>>())
        .bind(received.node_exec_ids)
        .bind(received.seqs)
        .bind(received.names)
        .bind(received.values)
        .bind(received.times)
        .bind(emitted.node_exec_ids)
        .bind(emitted.seqs)
        .bind(emitted.names)
        .bind(emitted.values)
        .bind(emitted.times)
        .fetch_one(connection)
        .await?;
    if row.try_get::<i64, _>("changed")? == i64::try_from(changed.len()).unwrap_or(i64::MAX) {
        return Ok(());
    }
    Err(Error::Illegal(
        "a node execution is unknown to its run, or its stored status does not allow the new one".to_owned(),
    ))
}

/// Rows of a table of values as columns.
struct Columns<'a> {
    node_exec_ids: Vec<NodeExecId>,
    seqs: Vec<i64>,
    names: Vec<&'a str>,
    values: Vec<Json<&'a Value>>,
    times: Vec<chrono::DateTime<chrono::Utc>>,
}

impl<'a> Columns<'a> {
    fn of(rows: &[ValueRow<'a>]) -> Self {
        Self {
            node_exec_ids: rows.iter().map(|row| row.node_exec_id).collect(),
            seqs: rows.iter().map(|row| row.seq).collect(),
            names: rows.iter().map(|row| row.name).collect(),
            values: rows.iter().map(|row| Json(row.value)).collect(),
            times: rows.iter().map(|row| row.at).collect(),
        }
    }
}
