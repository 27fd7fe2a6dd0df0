//! API keys (rest.md §3.3). The keys themselves never come here, only what they are looked up by.

use model::api_key::{ApiKeyInfo, ApiKeyPermission};
use model::{Timestamp, UserId};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::execution_rows::instant;
use crate::{Result, Store};

/// A list ends here.
const NEWEST: i64 = 500;

/// A key that is to be kept.
#[derive(Debug, Clone, Copy)]
pub struct NewApiKey<'a> {
    pub name: &'a str,
    pub description: Option<&'a str>,
    pub head: &'a str,
    pub tail: &'a str,
    pub lookup: &'a [u8],
    pub permissions: &'a [ApiKeyPermission],
}

/// Who a key lets in, and to what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyHolder {
    pub key_id: Uuid,
    pub user_id: UserId,
    pub permissions: Vec<ApiKeyPermission>,
}

/// A row of the reference whose key has not been used here yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignApiKey {
    pub holder: ApiKeyHolder,
    /// scrypt in hexadecimal; SHA-256 where there is no salt.
    pub hash: String,
    pub salt: Option<String>,
}

const COLUMNS: &str = "id, user_id, name, description, head, tail, permissions, status, created_at, last_used_at, revoked_at";

impl Store {
    pub async fn create_api_key(&self, user_id: UserId, key: &NewApiKey<'_>) -> Result<ApiKeyInfo> {
        let query = format!(
            "INSERT INTO api_keys (id, user_id, name, description, head, tail, lookup, permissions) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING {COLUMNS}"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(Uuid::now_v7())
            .bind(user_id)
            .bind(key.name)
            .bind(key.description)
            .bind(key.head)
            .bind(key.tail)
            .bind(key.lookup)
            .bind(words(key.permissions))
            .fetch_one(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        info(&row)
    }

    /// Newest first, at most 500.
    pub async fn list_api_keys(&self, user_id: UserId) -> Result<Vec<ApiKeyInfo>> {
        let query = format!("SELECT {COLUMNS} FROM api_keys WHERE user_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(user_id)
            .bind(NEWEST)
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        rows.iter().map(info).collect()
    }

    pub async fn get_api_key(&self, user_id: UserId, id: Uuid) -> Result<Option<ApiKeyInfo>> {
        let query = format!("SELECT {COLUMNS} FROM api_keys WHERE id = $2 AND user_id = $1");
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(user_id)
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        row.as_ref().map(info).transpose()
    }

    /// For good. None when the user has none with this id.
    pub async fn revoke_api_key(&self, user_id: UserId, id: Uuid) -> Result<Option<ApiKeyInfo>> {
        let change = "status = 'REVOKED', revoked_at = coalesce(revoked_at, now())";
        self.change_api_key(user_id, id, change, None).await
    }

    /// A revoked key stays revoked.
    pub async fn suspend_api_key(&self, user_id: UserId, id: Uuid) -> Result<Option<ApiKeyInfo>> {
        let change = "status = CASE status WHEN 'ACTIVE' THEN 'SUSPENDED' ELSE status END";
        self.change_api_key(user_id, id, change, None).await
    }

    pub async fn set_api_key_permissions(&self, user_id: UserId, id: Uuid, permissions: &[ApiKeyPermission]) -> Result<Option<ApiKeyInfo>> {
        self.change_api_key(user_id, id, "permissions = $3", Some(permissions)).await
    }

    async fn change_api_key(
        &self,
        user_id: UserId,
        id: Uuid,
        change: &'static str,
        permissions: Option<&[ApiKeyPermission]>,
    ) -> Result<Option<ApiKeyInfo>> {
        // The parameter is there in every variant, used or not.
        let query = format!(
            "UPDATE api_keys SET {change} WHERE id = $2 AND user_id = $1 AND ($3::text[] IS NULL OR $3::text[] IS NOT NULL) RETURNING {COLUMNS}"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(user_id)
            .bind(id)
            .bind(permissions.map(words))
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        row.as_ref().map(info).transpose()
    }

    /// Whose active key one of these belongs to, in one indexed read.
    pub async fn holder_of_api_key(&self, lookups: &[Vec<u8>]) -> Result<Option<ApiKeyHolder>> {
        let row = sqlx::query("SELECT id, user_id, permissions FROM api_keys WHERE lookup = ANY($1) AND status = 'ACTIVE'")
            .bind(lookups)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        row.as_ref().map(holder).transpose()
    }

    /// Active rows of the reference with this beginning: which of them it is only their hashes can tell.
    pub async fn foreign_api_keys(&self, head: &str) -> Result<Vec<ForeignApiKey>> {
        let rows = sqlx::query(
            "SELECT id, user_id, permissions, hash, salt FROM api_keys WHERE head = $1 AND lookup IS NULL AND status = 'ACTIVE' LIMIT 20",
        )
        .bind(head)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        let foreign = rows.iter().map(|row| {
            Ok(ForeignApiKey {
                holder: holder(row)?,
                hash: row.try_get("hash")?,
                salt: row.try_get("salt")?,
            })
        });
        foreign.collect()
    }

    /// Notes that a key was used, at most once a minute, and by what it is found from now on.
    pub async fn touch_api_key(&self, id: Uuid, lookup: &[u8]) -> Result<()> {
        sqlx::query(
            "UPDATE api_keys SET last_used_at = now(), lookup = $2, hash = NULL, salt = NULL
             WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute' OR lookup IS DISTINCT FROM $2)",
        )
        .bind(id)
        .bind(lookup)
        .execute(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        Ok(())
    }
}

fn words(permissions: &[ApiKeyPermission]) -> Vec<&'static str> {
    permissions.iter().map(|permission| permission.as_str()).collect()
}

/// Words that this version does not know grant nothing.
fn permissions(row: &PgRow) -> Result<Vec<ApiKeyPermission>> {
    let words: Vec<String> = row.try_get("permissions")?;
    Ok(words.iter().filter_map(|word| ApiKeyPermission::from_word(word)).collect())
}

fn holder(row: &PgRow) -> Result<ApiKeyHolder> {
    Ok(ApiKeyHolder {
        key_id: row.try_get("id")?,
        user_id: row.try_get("user_id")?,
        permissions: permissions(row)?,
    })
}

fn info(row: &PgRow) -> Result<ApiKeyInfo> {
    let optional = |column: &str| Ok::<_, sqlx::Error>(row.try_get::<Option<chrono::DateTime<chrono::Utc>>, _>(column)?.map(Timestamp::from));
    Ok(ApiKeyInfo {
        id: row.try_get::<Uuid, _>("id")?.to_string(),
        name: row.try_get("name")?,
        head: row.try_get("head")?,
        tail: row.try_get("tail")?,
        status: row.try_get("status")?,
        permissions: permissions(row)?,
        created_at: instant(row, "created_at")?,
        last_used_at: optional("last_used_at")?,
        revoked_at: optional("revoked_at")?,
        description: row.try_get("description")?,
        user_id: row.try_get("user_id")?,
    })
}
