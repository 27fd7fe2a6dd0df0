//! Notifications that wait to be sent together: one batch a user and type, gone with its last event.

use indexmap::IndexMap;
use model::notification::{NotificationEvent, NotificationType, UserNotificationBatch, UserNotificationEvent};
use model::{Map, UserId};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{QueryBuilder, Row};
use uuid::Uuid;

use crate::execution_rows::{instant, map};
use crate::{Error, Result, Store, storable};

impl Store {
    /// Adds an event to the user's batch of this type. An event with an id that is there already is not added again.
    pub async fn add_to_notification_batch(
        &self,
        user_id: UserId,
        kind: NotificationType,
        event: &NotificationEvent,
    ) -> Result<UserNotificationBatch> {
        let mut data: Map = event.data.clone();
        storable::strip_map(&mut data);
        let event_id = event.id.as_deref().and_then(|id| id.parse().ok()).unwrap_or_else(Uuid::now_v7);
        sqlx::query(
            "WITH batch AS (
                 INSERT INTO notification_batches (id, user_id, type) VALUES ($1, $2, $3)
                 ON CONFLICT (user_id, type) DO UPDATE SET updated_at = now() RETURNING id)
             INSERT INTO notification_events (id, batch_id, type, data, created_at)
             SELECT $4, batch.id, $3, $5, $6 FROM batch ON CONFLICT (id) DO NOTHING",
        )
        .bind(Uuid::now_v7())
        .bind(user_id)
        .bind(kind.as_str())
        .bind(event_id)
        .bind(Json(data))
        .bind(event.created_at.into_inner())
        .execute(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        let batch = self.get_notification_batch(user_id, kind).await?;
        batch.ok_or_else(|| Error::NotFound(format!("the {} batch of user {user_id} was emptied meanwhile", kind.as_str())))
    }

    pub async fn get_notification_batch(&self, user_id: UserId, kind: NotificationType) -> Result<Option<UserNotificationBatch>> {
        Ok(self.notification_batches(Some(user_id), kind).await?.pop())
    }

    pub async fn get_notification_batches(&self, kind: NotificationType) -> Result<Vec<UserNotificationBatch>> {
        self.notification_batches(None, kind).await
    }

    /// Ids that are not in the batch are ignored.
    pub async fn remove_from_notification_batch(&self, user_id: UserId, kind: NotificationType, ids: &[Uuid]) -> Result<()> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let batch: Option<Uuid> = sqlx::query_scalar("SELECT id FROM notification_batches WHERE user_id = $1 AND type = $2 FOR UPDATE")
            .bind(user_id)
            .bind(kind.as_str())
            .fetch_optional(&mut *tx)
            .await?;
        sqlx::query("DELETE FROM notification_events WHERE batch_id = $1 AND id = ANY($2)")
            .bind(batch)
            .bind(ids)
            .execute(&mut *tx)
            .await?;
        sqlx::query("DELETE FROM notification_batches b WHERE id = $1 AND NOT EXISTS (SELECT FROM notification_events e WHERE e.batch_id = b.id)")
            .bind(batch)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Drops the batch of one type, or of every type.
    pub async fn clear_notification_batches(&self, user_id: UserId, kind: Option<NotificationType>) -> Result<()> {
        sqlx::query("DELETE FROM notification_batches WHERE user_id = $1 AND ($2::text IS NULL OR type = $2)")
            .bind(user_id)
            .bind(kind.map(NotificationType::as_str))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    async fn notification_batches(&self, user_id: Option<UserId>, kind: NotificationType) -> Result<Vec<UserNotificationBatch>> {
        let mut query = QueryBuilder::new(
            "SELECT b.id AS batch_id, b.user_id, b.created_at AS batch_created_at, b.updated_at AS batch_updated_at,
                    e.id, e.data, e.created_at, e.updated_at
             FROM notification_batches b JOIN notification_events e ON e.batch_id = b.id WHERE b.type = ",
        );
        query.push_bind(kind.as_str());
        if let Some(user_id) = user_id {
            query.push(" AND b.user_id = ").push_bind(user_id);
        }
        query.push(" ORDER BY b.created_at, b.id, e.created_at, e.id");
        let rows = query.build().fetch_all(&self.pool).await.map_err(|error| self.explain(error))?;
        let mut batches: IndexMap<Uuid, UserNotificationBatch> = IndexMap::new();
        for row in &rows {
            let event = event(row, kind)?;
            match batches.entry(row.try_get("batch_id")?) {
                indexmap::map::Entry::Occupied(mut batch) => batch.get_mut().notifications.push(event),
                indexmap::map::Entry::Vacant(place) => {
                    place.insert(UserNotificationBatch {
                        user_id: row.try_get("user_id")?,
                        kind,
                        notifications: vec![event],
                        created_at: instant(row, "batch_created_at")?,
                        updated_at: instant(row, "batch_updated_at")?,
                    });
                }
            }
        }
        Ok(batches.into_values().collect())
    }
}

fn event(row: &PgRow, kind: NotificationType) -> Result<UserNotificationEvent> {
    Ok(UserNotificationEvent {
        id: row.try_get::<Uuid, _>("id")?.to_string(),
        kind,
        data: map(row, "data")?,
        created_at: instant(row, "created_at")?,
        updated_at: instant(row, "updated_at")?,
    })
}
