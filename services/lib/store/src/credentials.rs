//! Credentials of users, as they are stored: sealed by somebody else.

use model::UserId;
use model::credentials::CredentialCopy;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::{Result, Store};

/// A row of `credentials`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    pub id: Uuid,
    pub user_id: UserId,
    pub provider: String,
    /// `api_key`, `oauth2`, `user_password` or `host_scoped`.
    pub kind: String,
    pub title: Option<String>,
    pub username: Option<String>,
    pub host: Option<String>,
    /// What the tokens of a login allow.
    pub scopes: Option<Vec<String>>,
    /// Where it comes from when not from a person.
    pub origin: Option<String>,
    /// Which key opens `sealed`.
    pub key_id: String,
    pub sealed: Vec<u8>,
}

const COLUMNS: &str = "id, user_id, provider, type, title, username, host, scopes, origin, key_id, sealed";

impl Store {
    /// New, or in place of the one with this id of the same user.
    pub async fn put_credential(&self, credential: &Credential) -> Result<()> {
        let query = format!(
            "INSERT INTO credentials ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             ON CONFLICT (id) DO UPDATE SET provider = excluded.provider, type = excluded.type, title = excluded.title, username = excluded.username,
                 host = excluded.host, scopes = excluded.scopes, key_id = excluded.key_id, sealed = excluded.sealed, updated_at = now()
             WHERE credentials.user_id = excluded.user_id"
        );
        sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(credential.id)
            .bind(credential.user_id)
            .bind(&credential.provider)
            .bind(&credential.kind)
            .bind(&credential.title)
            .bind(&credential.username)
            .bind(&credential.host)
            .bind(&credential.scopes)
            .bind(&credential.origin)
            .bind(&credential.key_id)
            .bind(&credential.sealed)
            .execute(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        Ok(())
    }

    /// None when the user has none with this id.
    pub async fn get_credential(&self, user_id: UserId, id: Uuid) -> Result<Option<Credential>> {
        let query = format!("SELECT {COLUMNS} FROM credentials WHERE id = $1 AND user_id = $2");
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(id)
            .bind(user_id)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        row.as_ref().map(credential).transpose()
    }

    /// A user's credentials, oldest first; those of one provider when one is named.
    pub async fn list_credentials(&self, user_id: UserId, provider: Option<&str>) -> Result<Vec<Credential>> {
        let query = format!(
            "SELECT {COLUMNS} FROM credentials WHERE user_id = $1 AND ($2::text IS NULL OR provider = $2) ORDER BY created_at, id LIMIT 1000"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(user_id)
            .bind(provider)
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        rows.iter().map(credential).collect()
    }

    /// False when the user has none with this id at this provider.
    pub async fn delete_credential(&self, user_id: UserId, provider: &str, id: Uuid) -> Result<bool> {
        let done = sqlx::query("DELETE FROM credentials WHERE id = $1 AND user_id = $2 AND provider = $3")
            .bind(id)
            .bind(user_id)
            .bind(provider)
            .execute(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        Ok(done.rows_affected() > 0)
    }

    /// Credentials of all users whose origin begins with `prefix`, in the order of their ids, after `after`.
    pub async fn credential_copies(&self, prefix: &str, after: Uuid, limit: i64) -> Result<Vec<CredentialCopy>> {
        let rows = sqlx::query(
            "SELECT id, origin, (extract(epoch FROM updated_at) * 1000000)::bigint AS kept FROM credentials
             WHERE starts_with(origin, $1) AND id > $2 ORDER BY id LIMIT $3",
        )
        .bind(prefix)
        .bind(after)
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        let copy = |row: &PgRow| {
            Ok(CredentialCopy {
                id: row.try_get("id")?,
                origin: row.try_get("origin")?,
                kept: row.try_get("kept")?,
            })
        };
        rows.iter().map(copy).collect()
    }

    /// Deletes these, apart from those that were kept again meanwhile. The answer is how many they were.
    pub async fn forget_credentials(&self, copies: &[CredentialCopy]) -> Result<u64> {
        let (ids, kept): (Vec<Uuid>, Vec<i64>) = copies.iter().map(|copy| (copy.id, copy.kept)).unzip();
        let done = sqlx::query(
            "DELETE FROM credentials USING unnest($1::uuid[], $2::bigint[]) AS gone (id, kept)
             WHERE credentials.id = gone.id AND (extract(epoch FROM updated_at) * 1000000)::bigint = gone.kept",
        )
        .bind(ids)
        .bind(kept)
        .execute(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        Ok(done.rows_affected())
    }

    /// Which of these credentials the user does not have.
    pub async fn missing_credentials(&self, user_id: UserId, ids: &[Uuid]) -> Result<Vec<Uuid>> {
        sqlx::query_scalar(
            "SELECT wanted FROM unnest($2::uuid[]) wanted WHERE NOT EXISTS (SELECT FROM credentials WHERE id = wanted AND user_id = $1)",
        )
        .bind(user_id)
        .bind(ids)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.explain(error))
    }

    /// `(id, provider, kind)` of those of these credentials that the user has.
    pub async fn known_credentials(&self, user_id: UserId, ids: &[Uuid]) -> Result<Vec<(Uuid, String, String)>> {
        sqlx::query_as("SELECT id, provider, type FROM credentials WHERE user_id = $1 AND id = ANY($2)")
            .bind(user_id)
            .bind(ids)
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.explain(error))
    }

    /// Credentials of all users that other keys than this one seal, in the order of their ids, after `after`.
    pub async fn credentials_of_other_keys(&self, key_id: &str, after: Uuid, limit: i64) -> Result<Vec<Credential>> {
        let query = format!("SELECT {COLUMNS} FROM credentials WHERE key_id <> $1 AND id > $2 ORDER BY id LIMIT $3");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(key_id)
            .bind(after)
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        rows.iter().map(credential).collect()
    }

    /// Another seal around the same secret; false when somebody has stored another secret meanwhile.
    pub async fn reseal_credential(&self, former: &Credential, key_id: &str, sealed: &[u8]) -> Result<bool> {
        let done = sqlx::query("UPDATE credentials SET key_id = $3, sealed = $4 WHERE id = $1 AND sealed = $2")
            .bind(former.id)
            .bind(&former.sealed)
            .bind(key_id)
            .bind(sealed)
            .execute(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        Ok(done.rows_affected() > 0)
    }
}

fn credential(row: &PgRow) -> Result<Credential> {
    Ok(Credential {
        id: row.try_get("id")?,
        user_id: row.try_get("user_id")?,
        provider: row.try_get("provider")?,
        kind: row.try_get("type")?,
        title: row.try_get("title")?,
        username: row.try_get("username")?,
        host: row.try_get("host")?,
        scopes: row.try_get("scopes")?,
        origin: row.try_get("origin")?,
        key_id: row.try_get("key_id")?,
        sealed: row.try_get("sealed")?,
    })
}
