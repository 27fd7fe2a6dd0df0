//! Why a run that is not over does not run: one word that an API can show (quality §4, invariant 1).

use model::{ExecutionStatus, GraphExecId, Waiting, WaitingReason};
use sqlx::Row;

use crate::claims::held_of;
use crate::execution_rows::{status, time};
use crate::{Result, Store};

impl Store {
    /// None when the run is being worked on, is over, or is unknown. `per_user_and_graph` is the limit of the claim.
    pub async fn waiting(&self, graph_exec_id: GraphExecId, per_user_and_graph: u32) -> Result<Option<Waiting>> {
        let query = format!(
            "SELECT g.status, g.lease_owner IS NOT NULL AS held, CASE WHEN g.not_before > clock_timestamp() THEN g.not_before END AS until,
                 {held} >= $2 AS full
             FROM graph_executions g WHERE g.id = $1 AND g.ended_at IS NULL",
            held = held_of("g", "$2")
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(graph_exec_id)
            .bind(i64::from(per_user_and_graph))
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        let Some(row) = row else { return Ok(None) };
        let until = time(&row, "until")?;
        let reason = reason(status(&row)?, row.try_get("held")?, until.is_some(), row.try_get("full")?);
        Ok(reason.map(|reason| Waiting {
            reason,
            until: until.filter(|_| reason == WaitingReason::RetryingLater),
        }))
    }
}

fn reason(status: ExecutionStatus, held: bool, postponed: bool, full: bool) -> Option<WaitingReason> {
    match status {
        ExecutionStatus::Incomplete => Some(WaitingReason::NotQueued),
        ExecutionStatus::Queued if held => Some(WaitingReason::Starting),
        ExecutionStatus::Queued if postponed => Some(WaitingReason::RetryingLater),
        ExecutionStatus::Queued if full => Some(WaitingReason::LimitReached),
        ExecutionStatus::Queued => Some(WaitingReason::WaitingForExecutor),
        // Nobody holds a running run only when it was put aside until the runs that it started are over.
        ExecutionStatus::Running if !held => Some(WaitingReason::WaitingForChildRuns),
        ExecutionStatus::Review => Some(WaitingReason::WaitingForReview),
        ExecutionStatus::Running | ExecutionStatus::Completed | ExecutionStatus::Terminated | ExecutionStatus::Failed => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_that_neither_runs_nor_is_over_has_a_reason() {
        for status in ExecutionStatus::ALL {
            for held in [false, true] {
                let named = reason(status, held, false, false).is_some();
                let runs = status == ExecutionStatus::Running && held;
                assert_eq!(named, !runs && !status.is_terminal(), "{status} {held}");
            }
        }
    }

    #[test]
    fn the_nearest_reason_is_named() {
        let queued = |held, postponed, full| reason(ExecutionStatus::Queued, held, postponed, full);
        assert_eq!(queued(true, false, true), Some(WaitingReason::Starting));
        assert_eq!(queued(false, true, true), Some(WaitingReason::RetryingLater));
        assert_eq!(queued(false, false, true), Some(WaitingReason::LimitReached));
        assert_eq!(queued(false, false, false), Some(WaitingReason::WaitingForExecutor));
    }
}
