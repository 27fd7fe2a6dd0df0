//! The rows of a journal plan, written by one statement: every further one is a round trip that each hop of each run waits for.

use model::{ExecutionStatus, GraphExecId, NodeExecId};
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{PgExecutor, Row};
use uuid::Uuid;

use crate::Result;
use crate::journal_plan::{Created, JournalPlan, NodeChange, RunChange, ValueRow};

/// All or nothing: the runs stand as the plan takes them to stand, or no row changes. The parts do not see each other's rows, and need not: a
/// node execution is either created here or changed. Values are for these or for node executions that their run has already. Rows are found
/// by their keys; whatever else is asked of them is in a CASE, which no index can answer ([`connect`](crate::connect)).
const WRITE: &str = "WITH held AS MATERIALIZED (
         SELECT g.id, g.cancel_requested, g.news
         FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::bool[]) AS b(id, epoch, journal_seq, expected, is_quiet)
         JOIN graph_executions g ON g.id = b.id
         WHERE CASE WHEN g.lease_owner = $6 AND g.lease_epoch = b.epoch AND g.journal_seq = b.journal_seq
                   AND g.status = ANY(string_to_array(b.expected, ','))
               THEN NOT b.is_quiet OR g.parent_graph_exec_id IS NULL
                   AND (SELECT bool_or(r.status = 'WAITING') FROM pending_human_reviews r WHERE r.graph_exec_id = g.id) IS NOT TRUE
               ELSE false END
         ORDER BY g.id FOR NO KEY UPDATE OF g
     ), every AS MATERIALIZED (
         SELECT count(*) = cardinality($1::uuid[]) AS run_is_held FROM held
     ), created AS (
         INSERT INTO node_executions (id, graph_exec_id, node_id, status, added_seq, execution_data, stats, added_at, queued_at, started_at, ended_at)
         SELECT * FROM unnest($7::uuid[], $8::uuid[], $9::uuid[], $10::text[], $11::bigint[], $12::jsonb[], $13::jsonb[],
             $14::timestamptz[], $15::timestamptz[], $16::timestamptz[], $17::timestamptz[]) WHERE (SELECT run_is_held FROM every)
     ), changed AS (
         UPDATE node_executions ne SET status = u.status,
             execution_data = coalesce(u.execution_data, ne.execution_data), stats = coalesce(u.stats, ne.stats),
             queued_at = coalesce(u.queued_at, ne.queued_at), started_at = coalesce(u.started_at, ne.started_at),
             ended_at = coalesce(u.ended_at, ne.ended_at)
         FROM unnest($18::uuid[], $19::uuid[], $20::text[], $21::text[], $22::jsonb[], $23::jsonb[], $24::timestamptz[], $25::timestamptz[],
             $26::timestamptz[]) AS u(id, graph_exec_id, expected, status, execution_data, stats, queued_at, started_at, ended_at)
         WHERE (SELECT run_is_held FROM every) AND ne.id = u.id
           AND CASE WHEN ne.graph_exec_id = u.graph_exec_id AND ne.status = ANY(string_to_array(u.expected, ',')) THEN true ELSE false END
         RETURNING ne.id
     ), received AS (
         INSERT INTO node_inputs (node_exec_id, seq, name, value, created_at)
         SELECT * FROM unnest($27::uuid[], $28::bigint[], $29::text[], $30::jsonb[], $31::timestamptz[]) WHERE (SELECT run_is_held FROM every)
     ), emitted AS (
         INSERT INTO node_outputs (node_exec_id, seq, name, value, created_at)
         SELECT * FROM unnest($32::uuid[], $33::bigint[], $34::text[], $35::jsonb[], $36::timestamptz[]) WHERE (SELECT run_is_held FROM every)
     ), moved AS (
         UPDATE graph_executions g SET journal_seq = u.journal_seq, updated_at = now(),
             status = coalesce(u.status, g.status), stats = coalesce(u.stats, g.stats),
             started_at = coalesce(g.started_at, u.started_at), ended_at = coalesce(g.ended_at, u.ended_at),
             lease_owner = CASE WHEN u.gives_up THEN NULL ELSE g.lease_owner END,
             claimed_at = CASE WHEN u.gives_up THEN NULL ELSE g.claimed_at END,
             suspended_at = u.suspended_at,
             progress_xid = CASE WHEN u.status IS NULL THEN g.progress_xid ELSE pg_current_xact_id() END
         FROM unnest($1::uuid[], $37::bigint[], $38::text[], $39::jsonb[], $40::timestamptz[], $41::timestamptz[], $42::bool[], $43::timestamptz[])
             AS u(id, journal_seq, status, stats, started_at, ended_at, gives_up, suspended_at)
         WHERE (SELECT run_is_held FROM every) AND g.id = u.id
     ), presupposed AS (
         SELECT FROM unnest($44::uuid[], $45::uuid[]) AS p(id, graph_exec_id) CROSS JOIN LATERAL (
             SELECT ne.graph_exec_id FROM node_executions ne WHERE ne.id = p.id OFFSET 0) ne WHERE ne.graph_exec_id = p.graph_exec_id
     )
     SELECT id, cancel_requested, news FROM held WHERE CASE
         WHEN NOT (SELECT run_is_held FROM every) THEN false
         WHEN (SELECT count(*) FROM changed) = cardinality($18::uuid[]) AND (SELECT count(*) FROM presupposed) = cardinality($44::uuid[]) THEN true
         ELSE refuse_append() END";

/// What a run said when its rows were written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub id: GraphExecId,
    pub cancel_requested: bool,
    pub news: i64,
}

/// Writes a plan when every run of it is `owner`'s and stands as the plan says, and with `quiet_ends` only when nobody has to be told about
/// the end of those that end: no run above and no person. None when it is not so; then nothing is written.
///
/// # Errors
/// [`Error::Illegal`](crate::Error::Illegal) when a stored node execution does not allow its change, or a value is for one that its run does
/// not have.
pub(crate) async fn write(executor: impl PgExecutor<'_>, owner: Uuid, plan: &JournalPlan<'_>, quiet_ends: bool) -> Result<Option<Vec<Held>>> {
    let runs = &plan.runs;
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
    let presupposed = plan.presupposed();
    let (received, emitted) = (Columns::of(&plan.inputs), Columns::of(&plan.outputs));
    let rows = sqlx::query(WRITE)
        .bind(runs.keys().copied().collect::<Vec<_>>())
        .bind(runs.values().map(|change| change.before.epoch).collect::<Vec<_>>())
        .bind(runs.values().map(|change| change.before.journal_seq).collect::<Vec<_>>())
        .bind(runs.values().map(RunChange::expected).collect::<Vec<_>>())
        .bind(runs.values().map(|change| quiet_ends && change.ended_at.is_some()).collect::<Vec<_>>())
        .bind(owner)
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
        .bind(runs.values().map(|change| change.journal_seq).collect::<Vec<_>>())
        .bind(
            runs.values()
                .map(|change| change.stored_status().map(ExecutionStatus::as_str))
                .collect::<Vec<_>>(),
        )
        .bind(runs.values().map(|change| change.stats.map(Json)).collect::<Vec<_>>())
        .bind(runs.values().map(|change| change.started_at).collect::<Vec<_>>())
        .bind(runs.values().map(|change| change.ended_at).collect::<Vec<_>>())
        .bind(runs.values().map(RunChange::gives_up_lease).collect::<Vec<_>>())
        .bind(
            runs.values()
                .map(|change| change.suspended_at.filter(|_| !change.requeued))
                .collect::<Vec<_>>(),
        )
        .bind(presupposed.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind(presupposed.iter().map(|(_, graph_exec_id)| *graph_exec_id).collect::<Vec<_>>())
        .fetch_all(executor)
        .await?;
    if rows.len() != runs.len() {
        return Ok(None);
    }
    let held = rows.iter().map(|row| {
        Ok(Held {
            id: row.try_get("id")?,
            cancel_requested: row.try_get("cancel_requested")?,
            news: row.try_get("news")?,
        })
    });
    held.collect::<Result<_>>().map(Some)
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
