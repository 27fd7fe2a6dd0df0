//! Who is to get a summary of the past week, each once (internals §4.2, §5.3).
//!
//! A week ends on Tuesday at 09:00 UTC, the contract's time, by the clock of the database. What nobody did then is done later in the week.

use chrono::{DateTime, TimeDelta, Utc};
use model::notification::DueSummary;
use model::{Timestamp, UserId};

use crate::{Result, Store};

/// A claim holds for so long: who has not queued the summary by then has gone.
const CLAIM_SECONDS: f64 = 300.0;

impl Store {
    /// Takes up to `limit` users who had runs in the week that ended last and whose summary nobody has queued or is about to queue.
    pub async fn claim_weekly_summaries(&self, limit: i64) -> Result<Vec<DueSummary>> {
        let rows: Vec<(UserId, DateTime<Utc>)> = sqlx::query_as(
            "WITH week AS (
                 SELECT (date_trunc('week', now() AT TIME ZONE 'UTC' - interval '33 hours') + interval '33 hours') AT TIME ZONE 'UTC' AS ends),
             forgotten AS (DELETE FROM weekly_summaries USING week WHERE week_end < ends - interval '28 days'),
             due AS (
                 SELECT DISTINCT run.user_id FROM graph_executions run, week
                 WHERE run.created_at >= ends - interval '7 days' AND run.created_at < ends
                     AND NOT EXISTS (
                         SELECT FROM weekly_summaries told WHERE told.user_id = run.user_id AND told.week_end = ends
                             AND (told.queued_at IS NOT NULL OR told.claimed_at >= now() - make_interval(secs => $2)))
                 ORDER BY run.user_id LIMIT $1)
             INSERT INTO weekly_summaries AS told (user_id, week_end) SELECT user_id, ends FROM due, week ORDER BY user_id
             ON CONFLICT (user_id, week_end) DO UPDATE SET claimed_at = now()
                 WHERE told.queued_at IS NULL AND told.claimed_at < now() - make_interval(secs => $2)
             RETURNING user_id, week_end",
        )
        .bind(limit)
        .bind(CLAIM_SECONDS)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        let due = rows.into_iter().map(|(user_id, week_end)| DueSummary {
            user_id,
            start_time: Timestamp::from(week_end - TimeDelta::days(7)),
            end_time: Timestamp::from(week_end),
        });
        Ok(due.collect())
    }

    /// The user's summary of the week that ended then is on its queue.
    pub async fn weekly_summary_queued(&self, user_id: UserId, week_end: Timestamp) -> Result<()> {
        sqlx::query("UPDATE weekly_summaries SET queued_at = now() WHERE user_id = $1 AND week_end = $2")
            .bind(user_id)
            .bind(week_end.into_inner())
            .execute(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        Ok(())
    }
}
