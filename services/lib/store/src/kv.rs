//! What the persistence blocks keep.

use model::{NodeExecId, UserId};
use serde_json::Value;
use sqlx::types::Json;

use crate::{Result, Store, storable};

impl Store {
    pub async fn get_kv(&self, user_id: UserId, key: &str) -> Result<Option<Value>> {
        let data: Option<Option<Json<Value>>> = sqlx::query_scalar("SELECT data FROM execution_kv_data WHERE user_id = $1 AND key = $2")
            .bind(user_id)
            .bind(key)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        Ok(data.flatten().map(|json| json.0))
    }

    pub async fn set_kv(&self, user_id: UserId, node_exec_id: NodeExecId, key: &str, mut data: Option<Value>) -> Result<Option<Value>> {
        if let Some(data) = &mut data {
            storable::make_storable(data);
        }
        sqlx::query(
            "INSERT INTO execution_kv_data (user_id, key, node_exec_id, data) VALUES ($1, $2, $3, $4)
             ON CONFLICT (user_id, key) DO UPDATE SET node_exec_id = excluded.node_exec_id, data = excluded.data, updated_at = now()",
        )
        .bind(user_id)
        .bind(key)
        .bind(node_exec_id)
        .bind(data.as_ref().map(Json))
        .execute(&self.pool)
        .await?;
        Ok(data)
    }
}
