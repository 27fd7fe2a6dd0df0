//! Logins at services of others that have begun.

use std::time::Duration;

use chrono::{DateTime, Utc};
use model::{Timestamp, UserId};
use serde_json::Value;
use sqlx::postgres::types::PgInterval;

use crate::{Error, Result, Store};

/// A login that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthLogin {
    /// SHA-256 of the state token.
    pub state_hash: Vec<u8>,
    pub user_id: UserId,
    pub provider: String,
    /// Those that were asked for.
    pub scopes: Vec<String>,
    pub code_verifier: String,
    pub redirect_uri: String,
    /// For whoever began it.
    pub metadata: Value,
}

impl Store {
    /// Keeps a login for so long, and forgets those of everybody that have ended, and of this user all but the `most` youngest. The answer is
    /// when it ends.
    pub async fn begin_oauth_login(&self, login: &OAuthLogin, lives: Duration, most: i64) -> Result<Timestamp> {
        let lives = PgInterval::try_from(lives).map_err(|error| Error::Unstorable(error.to_string()))?;
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let expires_at: DateTime<Utc> = sqlx::query_scalar(
            "INSERT INTO oauth_logins (state_hash, user_id, provider, scopes, code_verifier, redirect_uri, metadata, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, now() + $8) RETURNING expires_at",
        )
        .bind(&login.state_hash)
        .bind(login.user_id)
        .bind(&login.provider)
        .bind(&login.scopes)
        .bind(&login.code_verifier)
        .bind(&login.redirect_uri)
        .bind(&login.metadata)
        .bind(lives)
        .fetch_one(&mut *tx)
        .await?;
        // SKIP LOCKED: two that begin at once forget the same rows.
        sqlx::query(
            "DELETE FROM oauth_logins WHERE state_hash IN (
                 SELECT state_hash FROM oauth_logins WHERE expires_at <= now() LIMIT 100 FOR UPDATE SKIP LOCKED)
             OR state_hash IN (SELECT state_hash FROM oauth_logins WHERE user_id = $1 ORDER BY created_at DESC, state_hash OFFSET $2)",
        )
        .bind(login.user_id)
        .bind(most)
        .execute(&mut *tx)
        .await?;
        tx.commit().await.map_err(|error| self.explain(error))?;
        Ok(expires_at.into())
    }

    /// Takes a login out; none when this user has not begun it at this provider, or it has ended.
    pub async fn end_oauth_login(&self, user_id: UserId, provider: &str, state_hash: &[u8]) -> Result<Option<OAuthLogin>> {
        type Row = (Vec<String>, String, String, Value);
        let row: Option<Row> = sqlx::query_as(
            "DELETE FROM oauth_logins WHERE state_hash = $1 AND user_id = $2 AND provider = $3 AND expires_at > now()
             RETURNING scopes, code_verifier, redirect_uri, metadata",
        )
        .bind(state_hash)
        .bind(user_id)
        .bind(provider)
        .fetch_optional(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        Ok(row.map(|(scopes, code_verifier, redirect_uri, metadata)| OAuthLogin {
            state_hash: state_hash.to_vec(),
            user_id,
            provider: provider.to_owned(),
            scopes,
            code_verifier,
            redirect_uri,
            metadata,
        }))
    }
}
