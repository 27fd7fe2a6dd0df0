//! Conversations of users with the platform's assistant.

use chrono::{DateTime, Utc};
use model::{Timestamp, UserId};
use sqlx::FromRow;
use uuid::Uuid;

use crate::{Result, Store};

/// A conversation, without what was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatSession {
    pub id: Uuid,
    pub user_id: UserId,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct ChatMessage {
    /// `user` or `assistant`.
    pub role: String,
    pub content: String,
}

type SessionRow = (Uuid, UserId, DateTime<Utc>, DateTime<Utc>);

impl From<SessionRow> for ChatSession {
    fn from((id, user_id, created_at, updated_at): SessionRow) -> Self {
        Self {
            id,
            user_id,
            created_at: created_at.into(),
            updated_at: updated_at.into(),
        }
    }
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Kept,
    /// The user has no such session.
    NoSession,
    /// The session has as many messages as it may have.
    Full,
}

impl Store {
    /// Begins a conversation. Of those of a user the `most` youngest stay.
    pub async fn begin_chat(&self, user_id: UserId, most: i64) -> Result<ChatSession> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let begun: SessionRow =
            sqlx::query_as("INSERT INTO chat_sessions (id, user_id) VALUES ($1, $2) RETURNING id, user_id, created_at, updated_at")
                .bind(Uuid::new_v4())
                .bind(user_id)
                .fetch_one(&mut *tx)
                .await?;
        sqlx::query("DELETE FROM chat_sessions WHERE id IN (SELECT id FROM chat_sessions WHERE user_id = $1 ORDER BY updated_at DESC, id OFFSET $2)")
            .bind(user_id)
            .bind(most)
            .execute(&mut *tx)
            .await?;
        tx.commit().await.map_err(|error| self.explain(error))?;
        Ok(begun.into())
    }

    /// None for another user's session.
    pub async fn get_chat(&self, user_id: UserId, id: Uuid) -> Result<Option<ChatSession>> {
        let found: Option<SessionRow> =
            sqlx::query_as("SELECT id, user_id, created_at, updated_at FROM chat_sessions WHERE id = $1 AND user_id = $2")
                .bind(id)
                .bind(user_id)
                .fetch_optional(&self.pool)
                .await
                .map_err(|error| self.explain(error))?;
        Ok(found.map(ChatSession::from))
    }

    /// The newest `limit` messages of a session, oldest first.
    pub async fn chat_messages(&self, user_id: UserId, id: Uuid, limit: i64) -> Result<Vec<ChatMessage>> {
        sqlx::query_as(
            "SELECT role, content FROM (
                 SELECT m.seq, m.role, m.content FROM chat_messages m JOIN chat_sessions s ON s.id = m.session_id
                 WHERE s.id = $1 AND s.user_id = $2 ORDER BY m.seq DESC LIMIT $3) newest
             ORDER BY seq",
        )
        .bind(id)
        .bind(user_id)
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.explain(error))
    }

    /// Adds a message to a session of the user that has fewer than `most`.
    pub async fn say_in_chat(&self, user_id: UserId, id: Uuid, role: &str, content: &str, most: i32) -> Result<Said> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let held = sqlx::query("UPDATE chat_sessions SET updated_at = clock_timestamp() WHERE id = $1 AND user_id = $2")
            .bind(id)
            .bind(user_id)
            .execute(&mut *tx)
            .await?;
        if held.rows_affected() == 0 {
            return Ok(Said::NoSession);
        }
        let kept = sqlx::query(
            "INSERT INTO chat_messages (session_id, seq, role, content)
             SELECT $1, last + 1, $2, $3 FROM (SELECT coalesce(max(seq), 0) AS last FROM chat_messages WHERE session_id = $1) told WHERE last < $4",
        )
        .bind(id)
        .bind(role)
        .bind(content)
        .bind(most)
        .execute(&mut *tx)
        .await?;
        if kept.rows_affected() == 0 {
            return Ok(Said::Full);
        }
        tx.commit().await.map_err(|error| self.explain(error))?;
        Ok(Said::Kept)
    }
}
