//! The ledger: a balance changes together with the entry that explains it.

use model::UserId;
use serde_json::Value;
use sqlx::types::Json;

use crate::{Result, Store};

impl Store {
    /// Zero for a user without a ledger.
    pub async fn get_credits(&self, user_id: UserId) -> Result<i64> {
        let balance: Option<i32> = sqlx::query_scalar("SELECT balance FROM user_balances WHERE user_id = $1")
            .bind(user_id)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        Ok(i64::from(balance.unwrap_or(0)))
    }

    /// Books `amount` (negative for a charge) under a key that is booked once only. Returns the balance, or none when it would become
    /// negative: then nothing is booked.
    pub async fn book_credits(&self, user_id: UserId, key: &str, kind: &str, amount: i32, metadata: &Value) -> Result<Option<i64>> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        sqlx::query("INSERT INTO user_balances (user_id) VALUES ($1) ON CONFLICT DO NOTHING")
            .bind(user_id)
            .execute(&mut *tx)
            .await?;
        let balance: i32 = sqlx::query_scalar("SELECT balance FROM user_balances WHERE user_id = $1 FOR UPDATE")
            .bind(user_id)
            .fetch_one(&mut *tx)
            .await?;
        let known: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM credit_transactions WHERE user_id = $1 AND transaction_key = $2)")
            .bind(user_id)
            .bind(key)
            .fetch_one(&mut *tx)
            .await?;
        if known {
            return Ok(Some(i64::from(balance)));
        }
        let after = balance.saturating_add(amount);
        if amount < 0 && after < 0 {
            return Ok(None);
        }
        sqlx::query("UPDATE user_balances SET balance = $2, updated_at = now() WHERE user_id = $1")
            .bind(user_id)
            .bind(after)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO credit_transactions (user_id, transaction_key, type, amount, running_balance, metadata) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(user_id)
        .bind(key)
        .bind(kind)
        .bind(amount)
        .bind(after)
        .bind(Json(metadata))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Some(i64::from(after)))
    }
}
