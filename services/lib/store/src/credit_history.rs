//! The ledger as people read it: newest first, the charges of a run together (rest.md §1 areas 10 and 13).

use chrono::{DateTime, Utc};
use model::{Timestamp, UserId};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Postgres, QueryBuilder, Row};

use crate::execution_rows::instant;
use crate::pages::{Window, like};
use crate::{Result, Store};

/// One entry.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerEntry {
    pub user_id: UserId,
    pub user_email: String,
    pub transaction_key: String,
    pub time: Timestamp,
    /// `TOP_UP`, `USAGE`, `GRANT`, `REFUND` or `CARD_CHECK`.
    pub kind: String,
    pub amount: i32,
    pub running_balance: i32,
    /// The user's balance now.
    pub current_balance: i32,
    pub metadata: Value,
}

/// Entries of all users, for administrators.
#[derive(Debug, Clone, Default)]
pub struct HistoryFilter<'a> {
    /// In the user's e-mail address or name, or in what the entry says.
    pub search: Option<&'a str>,
    pub kind: Option<&'a str>,
    pub limit: i64,
    pub offset: i64,
}

const COLUMNS: &str =
    "SELECT t.user_id, u.email, t.transaction_key, t.created_at, t.type, t.amount, coalesce(t.running_balance, 0) AS running_balance,
    coalesce(b.balance, 0) AS balance, coalesce(t.metadata, 'null') AS metadata";
const FROM: &str =
    " FROM credit_transactions t JOIN users u ON u.id = t.user_id LEFT JOIN user_balances b ON b.user_id = t.user_id WHERE t.is_active";

impl Store {
    /// Whether a ledger is kept.
    pub fn keeps_credits(&self) -> bool {
        self.credits.is_some()
    }

    /// The user's newest entries before `before`: at least `limit` when there are so many, and all of the last one's instant, so that the
    /// next page may begin before that.
    pub async fn credit_history(&self, user_id: UserId, before: Option<Timestamp>, kind: Option<&str>, limit: i64) -> Result<Vec<LedgerEntry>> {
        let mut query = QueryBuilder::<Postgres>::new(COLUMNS);
        query.push(FROM).push(" AND t.user_id = ").push_bind(user_id);
        if let Some(before) = before {
            query.push(" AND t.created_at < ").push_bind::<DateTime<Utc>>(before.into_inner());
        }
        if let Some(kind) = kind {
            query.push(" AND t.type = ").push_bind(kind.to_owned());
        }
        query
            .push(" ORDER BY t.created_at DESC FETCH FIRST ")
            .push_bind(limit)
            .push(" ROWS WITH TIES");
        let rows = query.build().fetch_all(&self.pool).await.map_err(|error| self.explain(error))?;
        rows.iter().map(entry).collect()
    }

    /// Entries of all users, newest first, and how many there are.
    pub async fn credit_history_of_all(&self, filter: &HistoryFilter<'_>) -> Result<(Vec<LedgerEntry>, i64)> {
        let restrict = |query: &mut QueryBuilder<Postgres>| {
            query.push(FROM);
            if let Some(kind) = filter.kind {
                query.push(" AND t.type = ").push_bind(kind.to_owned());
            }
            if let Some(search) = filter.search {
                query
                    .push(" AND concat_ws(' ', u.email, u.name, t.metadata ->> 'reason') ILIKE ")
                    .push_bind(like(search));
            }
        };
        let order = " ORDER BY t.created_at DESC, t.user_id, t.transaction_key";
        let window = Window {
            limit: filter.limit,
            offset: filter.offset,
        };
        let (rows, total) = self
            .page(QueryBuilder::new("SELECT count(*)"), QueryBuilder::new(COLUMNS), restrict, order, window)
            .await?;
        Ok((rows.iter().map(entry).collect::<Result<_>>()?, total))
    }

    /// When a balance is to be filled up by itself, as the user set it; none when he did not.
    pub async fn get_auto_top_up(&self, user_id: UserId) -> Result<Option<Value>> {
        let config: Option<Option<Json<Value>>> = sqlx::query_scalar("SELECT top_up_config FROM users WHERE id = $1")
            .bind(user_id)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        Ok(config.flatten().map(|json| json.0))
    }

    pub async fn set_auto_top_up(&self, user_id: UserId, config: &Value) -> Result<()> {
        sqlx::query("UPDATE users SET top_up_config = $2, updated_at = now() WHERE id = $1")
            .bind(user_id)
            .bind(Json(config))
            .execute(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        Ok(())
    }
}

fn entry(row: &PgRow) -> Result<LedgerEntry> {
    Ok(LedgerEntry {
        user_id: row.try_get("user_id")?,
        user_email: row.try_get("email")?,
        transaction_key: row.try_get("transaction_key")?,
        time: instant(row, "created_at")?,
        kind: row.try_get("type")?,
        amount: row.try_get("amount")?,
        running_balance: row.try_get("running_balance")?,
        current_balance: row.try_get("balance")?,
        metadata: row.try_get::<Json<Value>, _>("metadata")?.0,
    })
}
