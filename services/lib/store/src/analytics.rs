//! What frontends report about their use. Written only.

use model::{Map, UserId};
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
}
