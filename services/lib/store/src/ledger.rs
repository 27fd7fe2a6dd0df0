//! The ledger: what was decided about everything that was due, of schedules that are rows and of those that are objects.

use model::Timestamp;
use model::schedule::{ScheduleDecision, SlotOutcome};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::execution_rows::{instant, time};
use crate::{Error, Result, Store, storable};

const DECISION: &str = "schedule_uid, slot, request, through, due_times, decision, reason, execution, graph_exec_id, decided_at";

impl Store {
    /// Writes decisions down, all or none. One that is there stays; a later one about the same replaces it, so that the last word about
    /// something that waited is what stands.
    pub async fn record_decisions(&self, decisions: &[ScheduleDecision]) -> Result<()> {
        let text = |of: fn(&ScheduleDecision) -> &str| -> Vec<String> { decisions.iter().map(|decision| storable::text(of(decision))).collect() };
        let times = |of: fn(&ScheduleDecision) -> Option<Timestamp>| -> Vec<_> {
            decisions.iter().map(|decision| of(decision).map(Timestamp::into_inner)).collect()
        };
        let query = format!(
            "INSERT INTO schedule_decisions ({DECISION})
             SELECT DISTINCT ON (schedule_uid, slot, request) * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::timestamptz[],
                 $5::bigint[], $6::text[], $7::text[], $8::text[], $9::uuid[], $10::timestamptz[]) AS new({DECISION})
             ORDER BY schedule_uid, slot, request, decided_at DESC
             ON CONFLICT (schedule_uid, slot, request) DO UPDATE SET through = excluded.through, due_times = excluded.due_times,
                 decision = excluded.decision, reason = excluded.reason, execution = excluded.execution, graph_exec_id = excluded.graph_exec_id,
                 decided_at = excluded.decided_at
             WHERE excluded.decided_at > schedule_decisions.decided_at
                 OR excluded.decided_at = schedule_decisions.decided_at AND excluded.decision <> schedule_decisions.decision"
        );
        sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(decisions.iter().map(|decision| decision.schedule_uid).collect::<Vec<_>>())
            .bind(times(|decision| Some(decision.slot)))
            .bind(text(|decision| &decision.request))
            .bind(times(|decision| decision.through))
            .bind(decisions.iter().map(|decision| decision.count.max(1)).collect::<Vec<_>>())
            .bind(text(|decision| decision.outcome.as_str()))
            .bind(text(|decision| &decision.reason))
            .bind(
                decisions
                    .iter()
                    .map(|decision| decision.execution.as_deref().map(storable::text))
                    .collect::<Vec<_>>(),
            )
            .bind(decisions.iter().map(|decision| decision.graph_exec_id).collect::<Vec<_>>())
            .bind(times(|decision| Some(decision.decided_at)))
            .execute(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        Ok(())
    }

    /// Up to `limit` decisions about due times of a schedule from `since` to `until`, newest due time first, with the one about a range
    /// that began before and reaches into this span.
    pub async fn list_decisions(
        &self,
        schedule_uid: Uuid,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
        limit: i64,
    ) -> Result<Vec<ScheduleDecision>> {
        // Ranges of one schedule do not overlap: the newest one before the span is the only one that can reach into it.
        let query = format!(
            "(SELECT {DECISION} FROM schedule_decisions
              WHERE schedule_uid = $1 AND slot >= coalesce($2, '-infinity') AND slot <= coalesce($3, 'infinity')
              ORDER BY slot DESC, request LIMIT $4)
             UNION ALL
             SELECT * FROM (
                 SELECT {DECISION} FROM schedule_decisions WHERE schedule_uid = $1 AND slot < $2 AND through IS NOT NULL
                 ORDER BY slot DESC LIMIT 1) before
             WHERE through >= $2
             ORDER BY slot DESC, request LIMIT $4"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(schedule_uid)
            .bind(since.map(Timestamp::into_inner))
            .bind(until.map(Timestamp::into_inner))
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        rows.iter().map(read).collect()
    }
}

fn read(row: &PgRow) -> Result<ScheduleDecision> {
    let word: String = row.try_get("decision")?;
    Ok(ScheduleDecision {
        schedule_uid: row.try_get("schedule_uid")?,
        slot: instant(row, "slot")?,
        request: row.try_get("request")?,
        through: time(row, "through")?,
        count: row.try_get("due_times")?,
        outcome: SlotOutcome::from_word(&word).ok_or_else(|| Error::Unstorable(format!("the ledger has the unknown decision {word}")))?,
        reason: row.try_get("reason")?,
        execution: row.try_get("execution")?,
        graph_exec_id: row.try_get("graph_exec_id")?,
        decided_at: instant(row, "decided_at")?,
    })
}
