//! From rows to the execution types of the contract.

use chrono::{DateTime, Utc};
use indexmap::IndexMap;
use model::{CredentialsMetaInput, ExecutionStats, ExecutionStatus, GraphExecId, GraphExecutionMeta, Map, NodeInputMasks, StoredStats, Timestamp};
use serde::de::DeserializeOwned;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::Result;
use crate::rules::RunRow;

/// Everything that [`meta`] reads.
pub(crate) const META: &str = "id, user_id, graph_id, graph_version, status, inputs, credential_inputs, nodes_input_masks, preset_id, stats, \
    is_shared, share_token, created_at, started_at, updated_at";

pub(crate) fn meta(row: &PgRow) -> Result<GraphExecutionMeta> {
    let credential_inputs: Option<IndexMap<String, CredentialsMetaInput>> = json(row, "credential_inputs")?;
    let stats: Option<StoredStats> = json(row, "stats")?;
    Ok(GraphExecutionMeta {
        id: row.try_get("id")?,
        user_id: row.try_get("user_id")?,
        graph_id: row.try_get("graph_id")?,
        graph_version: row.try_get("graph_version")?,
        inputs: json(row, "inputs")?,
        credential_inputs: credential_inputs.filter(|inputs| !inputs.is_empty()),
        // `{}` and never null (findings 21).
        nodes_input_masks: Some(json::<NodeInputMasks>(row, "nodes_input_masks")?.unwrap_or_default()),
        preset_id: row.try_get::<Option<Uuid>, _>("preset_id")?.map(|id| id.to_string()),
        status: status(row)?,
        started_at: match time(row, "started_at")? {
            Some(started_at) => started_at,
            None => instant(row, "created_at")?,
        },
        ended_at: instant(row, "updated_at")?,
        is_shared: row.try_get("is_shared")?,
        share_token: row.try_get::<Option<Uuid>, _>("share_token")?.map(|token| token.to_string()),
        stats: stats.map(ExecutionStats::from),
    })
}

/// Locks these runs, in id order as everything that locks several runs does, and reads what decides about them. Runs that end have news
/// for those that started them, so these are locked with them.
pub(crate) async fn lock_runs(connection: &mut PgConnection, ids: &[GraphExecId], ending: &[GraphExecId]) -> Result<Vec<RunRow>> {
    let rows = sqlx::query(
        "SELECT id, user_id, status, lease_owner, lease_epoch, journal_seq, cancel_requested, news FROM graph_executions
         WHERE id = ANY($1 || ARRAY(SELECT parent_graph_exec_id FROM graph_executions WHERE id = ANY($2) AND parent_graph_exec_id IS NOT NULL))
         ORDER BY id FOR NO KEY UPDATE",
    )
    .bind(ids)
    .bind(ending)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(RunRow {
                id: row.try_get("id")?,
                user_id: row.try_get("user_id")?,
                status: status(row)?,
                owner: row.try_get("lease_owner")?,
                epoch: row.try_get("lease_epoch")?,
                journal_seq: row.try_get("journal_seq")?,
                cancel_requested: row.try_get("cancel_requested")?,
                news: row.try_get("news")?,
            })
        })
        .collect()
}

pub(crate) fn status(row: &PgRow) -> Result<ExecutionStatus> {
    Ok(row.try_get::<&str, _>("status")?.parse()?)
}

pub(crate) fn time(row: &PgRow, column: &str) -> Result<Option<Timestamp>> {
    Ok(row.try_get::<Option<DateTime<Utc>>, _>(column)?.map(Timestamp::from))
}

pub(crate) fn instant(row: &PgRow, column: &str) -> Result<Timestamp> {
    Ok(Timestamp::from(row.try_get::<DateTime<Utc>, _>(column)?))
}

pub(crate) fn json<T: DeserializeOwned + 'static>(row: &PgRow, column: &str) -> Result<Option<T>> {
    Ok(row.try_get::<Option<Json<T>>, _>(column)?.map(|json| json.0))
}

/// A JSON object, empty when the column is null.
pub(crate) fn map(row: &PgRow, column: &str) -> Result<Map> {
    Ok(json(row, column)?.unwrap_or_default())
}

pub(crate) fn words(statuses: &[ExecutionStatus]) -> Vec<&'static str> {
    statuses.iter().map(|status| status.as_str()).collect()
}
