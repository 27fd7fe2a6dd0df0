//! Pictures and videos of what the catalogue offers.

use model::UserId;
use uuid::Uuid;

use crate::{Result, Store};

impl Store {
    /// The id of the file. None when the user's files would be larger than `quota` bytes together.
    pub async fn keep_media(&self, user_id: UserId, content_type: &str, bytes: &[u8], quota: i64) -> Result<Option<Uuid>> {
        let size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        // Two uploads at once must not both find room for the last one.
        sqlx::query("SELECT FROM users WHERE id = $1 FOR UPDATE")
            .bind(user_id)
            .execute(&mut *tx)
            .await?;
        let kept: Option<Uuid> = sqlx::query_scalar(
            "INSERT INTO store_media (id, user_id, content_type, bytes, size)
             SELECT $1, $2, $3, $4, $5 WHERE (SELECT coalesce(sum(size), 0) FROM store_media WHERE user_id = $2) + $5 <= $6
             RETURNING id",
        )
        .bind(Uuid::new_v4())
        .bind(user_id)
        .bind(content_type)
        .bind(bytes)
        .bind(size)
        .bind(quota)
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await.map_err(|error| self.explain(error))?;
        Ok(kept)
    }

    /// `(content type, bytes)`, for everybody.
    pub async fn get_media(&self, id: Uuid) -> Result<Option<(String, Vec<u8>)>> {
        sqlx::query_as("SELECT content_type, bytes FROM store_media WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.explain(error))
    }
}
