//! What frontends report about their use, written only; and what a model says about runs.

use model::{GraphExecId, Map, UserId};
use sqlx::types::Json;
use uuid::Uuid;

use crate::{Result, Store};

impl Store {
    /// A number that somebody measured; returns the id of its row.
    pub async fn log_metric(&self, user_id: UserId, name: &str, value: f64, data: &str) -> Result<Uuid> {
        sqlx::query_scalar("INSERT INTO analytics_metrics (id, user_id, metric_name, value, data_string) VALUES ($1, $2, $3, $4, $5) RETURNING id")
            .bind(Uuid::now_v7())
            .bind(user_id)
            .bind(name)
            .bind(value)
            .bind(data)
            .fetch_one(&self.pool)
            .await
            .map_err(|error| self.explain(error))
    }

    /// Something that happened; returns the id of its row.
    pub async fn log_analytics(&self, user_id: UserId, kind: &str, data: &Map, index: &str) -> Result<Uuid> {
        sqlx::query_scalar("INSERT INTO analytics_details (id, user_id, type, data, data_index) VALUES ($1, $2, $3, $4, $5) RETURNING id")
            .bind(Uuid::now_v7())
            .bind(user_id)
            .bind(kind)
            .bind(Json(data))
            .bind(index)
            .fetch_one(&self.pool)
            .await
            .map_err(|error| self.explain(error))
    }

    /// Adds a summary and a score to the statistics of a run that is over, whoever has it. False when there is none.
    pub async fn score_execution(&self, id: GraphExecId, summary: &str, score: f64) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE graph_executions
             SET stats = coalesce(stats, '{}') || jsonb_build_object('activity_status', $2::text, 'correctness_score', $3::double precision)
             WHERE id = $1 AND ended_at IS NOT NULL AND NOT is_deleted",
        )
        .bind(id)
        .bind(summary)
        .bind(score)
        .execute(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        Ok(done.rows_affected() == 1)
    }
}
