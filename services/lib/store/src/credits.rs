//! The ledger: a balance changes together with the entry that explains it, under the lock of its row (internals §2.12).
//!
//! Lock order: run rows, then the counts of node executions, then balances in the order of their users. Whoever holds a balance waits
//! for nothing but later balances.

use model::credits::{CreditCheck, CreditReservation, ReserveOutcome};
use model::{ExecutionStatus, UserId};
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};

use crate::{Error, Result, Store};

/// What everybody has while no ledger is kept.
const WITHOUT_CREDITS: i64 = 100;

/// How a ledger is kept. Amounts in credits, which are cents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreditRules {
    /// A balance below is filled up to this with the first look in a month (UTC). Zero: never.
    pub monthly_refill: i32,
    /// Falling below this is something to tell the user.
    pub low_balance: i32,
    /// A fee is due each time a user has started so many node executions in a day (UTC). Zero: never.
    pub fee_every: i64,
    pub fee: i32,
}

impl CreditRules {
    /// From settings as people write them: what is negative or too large for the ledger is taken as the nearest number that is not.
    pub fn new(monthly_refill: i64, low_balance: i64, fee_every: u32, fee: u32) -> Self {
        let amount = |number: i64| i32::try_from(number.max(0)).unwrap_or(i32::MAX);
        Self {
            monthly_refill: amount(monthly_refill),
            low_balance: amount(low_balance),
            fee_every: i64::from(fee_every),
            fee: amount(i64::from(fee)),
        }
    }

    /// Whether a balance that changes by `amount` to `after` falls below the threshold.
    pub(crate) fn falls_low(&self, amount: i32, after: i32) -> bool {
        after < self.low_balance && after.saturating_sub(amount) >= self.low_balance
    }
}

/// An entry to be.
pub(crate) struct Booking<'a> {
    pub user_id: UserId,
    pub key: &'a str,
    pub kind: &'a str,
    /// Negative for a charge.
    pub amount: i32,
    pub metadata: &'a Value,
}

/// A balance whose row is locked.
pub(crate) struct Balance {
    pub credits: i32,
    /// It fell below the threshold without anybody having been told.
    low_due: bool,
}

impl Store {
    /// What the user may spend. The first look in a month fills the balance up. Zero for a user without a ledger.
    pub async fn get_credits(&self, user_id: UserId) -> Result<i64> {
        let Some(rules) = self.credits else { return Ok(WITHOUT_CREDITS) };
        let row = sqlx::query(
            "SELECT b.balance, EXISTS (SELECT FROM credit_transactions t WHERE t.user_id = $1 AND t.transaction_key = month.key) AS granted, month.key
             FROM (SELECT 'MONTHLY-CREDIT-TOP-UP-' || to_char(date_trunc('month', now() AT TIME ZONE 'UTC'), 'YYYY-MM-DD') AS key) month
             LEFT JOIN user_balances b ON b.user_id = $1",
        )
        .bind(user_id)
        .fetch_one(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        let balance: Option<i32> = row.try_get("balance")?;
        if rules.monthly_refill <= 0 || row.try_get("granted")? {
            return Ok(i64::from(balance.unwrap_or(0)));
        }
        self.refill(user_id, row.try_get("key")?, rules.monthly_refill).await
    }

    /// Grants what is missing to `full`, once under the month's key. A month in which nothing is missing at the first look is noted with
    /// an entry that does not count, so that what is spent later in the month is not given back.
    async fn refill(&self, user_id: UserId, key: &str, full: i32) -> Result<i64> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let Some(balance) = lock_balance(&mut tx, user_id).await? else {
            return Ok(0);
        };
        if entry(&mut tx, user_id, key).await?.is_some() {
            return Ok(i64::from(balance.credits));
        }
        let booking = Booking {
            user_id,
            key,
            kind: "GRANT",
            amount: full.saturating_sub(balance.credits).max(0),
            metadata: &serde_json::json!({"reason": "Monthly credit refill"}),
        };
        let after = book(&mut tx, &balance, &booking).await?;
        tx.commit().await?;
        Ok(i64::from(after))
    }

    /// What a run may start with, and whether its user has to be told that little is left.
    pub async fn check_credits(&self, user_id: UserId) -> Result<CreditCheck> {
        let balance = self.get_credits(user_id).await?;
        let Some(rules) = self.credits else {
            return Ok(CreditCheck { balance, low_balance: false });
        };
        let due: Option<i32> =
            sqlx::query_scalar("UPDATE user_balances SET low_balance_due = false WHERE user_id = $1 AND low_balance_due RETURNING balance")
                .bind(user_id)
                .fetch_optional(&self.pool)
                .await?;
        Ok(CreditCheck {
            balance,
            low_balance: due.is_some_and(|balance| balance < rules.low_balance),
        })
    }

    /// Books `amount` (negative for a charge) under a key that is booked once only. Returns the balance, or none when it would become
    /// negative: then nothing is booked.
    pub async fn book_credits(&self, user_id: UserId, key: &str, kind: &str, amount: i32, metadata: &Value) -> Result<Option<i64>> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let balance = lock_balance(&mut tx, user_id).await?;
        let balance = balance.ok_or_else(|| Error::NotFound(format!("User #{user_id} not found")))?;
        if entry(&mut tx, user_id, key).await?.is_some() {
            return Ok(Some(i64::from(balance.credits)));
        }
        if amount < 0 && balance.credits.saturating_add(amount) < 0 {
            return Ok(None);
        }
        let booking = Booking {
            user_id,
            key,
            kind,
            amount,
            metadata,
        };
        let after = book(&mut tx, &balance, &booking).await?;
        if self.credits.is_some_and(|rules| rules.falls_low(amount, after)) {
            set_low_due(&mut tx, user_id, true).await?;
        }
        tx.commit().await?;
        Ok(Some(i64::from(after)))
    }

    /// Holds back what a node costs, before it starts. Safe to repeat: a node execution is charged once per kind, whoever asks however
    /// often. What was given back when the node had not started can be held back again.
    pub async fn reserve_credits(&self, reservation: &CreditReservation) -> Result<ReserveOutcome> {
        let Some(rules) = self.credits else {
            return Ok(ReserveOutcome::Granted {
                charged: reservation.amount,
                balance: WITHOUT_CREDITS,
                low_balance: false,
            });
        };
        let amount = i32::try_from(reservation.amount).ok().filter(|amount| *amount > 0);
        let amount = amount.ok_or_else(|| Error::Unstorable(format!("a charge of {} credits", reservation.amount)))?;
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        if !is_running(&mut tx, reservation).await? {
            return Ok(ReserveOutcome::Stale);
        }
        let user_id = reservation.user_id;
        let Some(balance) = lock_balance(&mut tx, user_id).await? else {
            return Ok(ReserveOutcome::Stale);
        };
        let key = format!("USAGE-{}-{}", reservation.node_exec_id, reservation.kind);
        let known = entry(&mut tx, user_id, &key).await?;
        if let Some(known) = known.filter(|entry| entry.is_active) {
            // The answer may have been lost with what it was to tell.
            return Ok(ReserveOutcome::Granted {
                charged: -i64::from(known.amount),
                balance: i64::from(balance.credits),
                low_balance: known.after.is_some_and(|after| rules.falls_low(known.amount, after)),
            });
        }
        if balance.credits < amount {
            let tell = note_zero_balance(&mut tx, reservation).await?;
            tx.commit().await?;
            return Ok(ReserveOutcome::Refused {
                balance: i64::from(balance.credits),
                shortfall: i64::from(amount) - i64::from(balance.credits),
                tell,
            });
        }
        let booking = Booking {
            user_id,
            key: &key,
            kind: "USAGE",
            amount: -amount,
            metadata: &serde_json::to_value(&reservation.metadata).unwrap_or_default(),
        };
        let after = book(&mut tx, &balance, &booking).await?;
        sqlx::query("INSERT INTO credit_reservations (node_exec_id, kind, graph_exec_id, user_id, transaction_key) VALUES ($1, $2, $3, $4, $5)")
            .bind(reservation.node_exec_id)
            .bind(&reservation.kind)
            .bind(reservation.graph_exec_id)
            .bind(user_id)
            .bind(&key)
            .execute(&mut *tx)
            .await?;
        if balance.low_due {
            set_low_due(&mut tx, user_id, false).await?;
        }
        tx.commit().await?;
        Ok(ReserveOutcome::Granted {
            charged: i64::from(amount),
            balance: i64::from(after),
            low_balance: (balance.low_due && after < rules.low_balance) || rules.falls_low(-amount, after),
        })
    }
}

/// Whether the node is durably at work in a run that is held under this epoch. Until the end of the transaction it stays so: whoever
/// ends the node or takes the run away waits, and then finds the reservation.
async fn is_running(connection: &mut PgConnection, reservation: &CreditReservation) -> Result<bool> {
    let held: Option<i32> = sqlx::query_scalar(
        "SELECT 1 FROM graph_executions WHERE id = $1 AND user_id = $2 AND lease_epoch = $3 AND lease_owner IS NOT NULL FOR SHARE",
    )
    .bind(reservation.graph_exec_id)
    .bind(reservation.user_id)
    .bind(reservation.epoch)
    .fetch_optional(&mut *connection)
    .await?;
    if held.is_none() {
        return Ok(false);
    }
    // In a statement of its own, which sees what was committed while the lock was waited for.
    Ok(
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM node_executions WHERE id = $1 AND graph_exec_id = $2 AND status = $3)")
            .bind(reservation.node_exec_id)
            .bind(reservation.graph_exec_id)
            .bind(ExecutionStatus::Running.as_str())
            .fetch_one(connection)
            .await?,
    )
}

/// Whether the user is to be told: once a graph until there are credits again, and again to whoever was refused first.
async fn note_zero_balance(connection: &mut PgConnection, reservation: &CreditReservation) -> Result<bool> {
    sqlx::query("INSERT INTO zero_balance_notices (user_id, graph_id, node_exec_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind(reservation.user_id)
        .bind(reservation.graph_id)
        .bind(reservation.node_exec_id)
        .execute(&mut *connection)
        .await?;
    Ok(
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM zero_balance_notices WHERE user_id = $1 AND graph_id = $2 AND node_exec_id = $3)")
            .bind(reservation.user_id)
            .bind(reservation.graph_id)
            .bind(reservation.node_exec_id)
            .fetch_one(connection)
            .await?,
    )
}

/// Locks the user's balance until the end of the transaction. None for a user that does not exist.
pub(crate) async fn lock_balance(connection: &mut PgConnection, user_id: UserId) -> Result<Option<Balance>> {
    let select = "SELECT balance, low_balance_due FROM user_balances WHERE user_id = $1 FOR UPDATE";
    let mut row = sqlx::query(select).bind(user_id).fetch_optional(&mut *connection).await?;
    if row.is_none() {
        sqlx::query("INSERT INTO user_balances (user_id) SELECT id FROM users WHERE id = $1 ON CONFLICT DO NOTHING")
            .bind(user_id)
            .execute(&mut *connection)
            .await?;
        row = sqlx::query(select).bind(user_id).fetch_optional(&mut *connection).await?;
    }
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Balance {
        credits: row.try_get("balance")?,
        low_due: row.try_get("low_balance_due")?,
    }))
}

/// An entry that is there.
struct Entry {
    amount: i32,
    /// The balance after it.
    after: Option<i32>,
    is_active: bool,
}

async fn entry(connection: &mut PgConnection, user_id: UserId, key: &str) -> Result<Option<Entry>> {
    let row = sqlx::query("SELECT amount, running_balance, is_active FROM credit_transactions WHERE user_id = $1 AND transaction_key = $2")
        .bind(user_id)
        .bind(key)
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Entry {
        amount: row.try_get("amount")?,
        after: row.try_get("running_balance")?,
        is_active: row.try_get("is_active")?,
    }))
}

/// Writes an entry with the balance that it makes, which is returned. The caller holds the balance, has looked for the key, and has
/// seen that there is enough. An entry that was taken back is made anew. An entry of nothing is a note and does not count.
pub(crate) async fn book(connection: &mut PgConnection, balance: &Balance, booking: &Booking<'_>) -> Result<i32> {
    let after = balance.credits.saturating_add(booking.amount);
    sqlx::query("UPDATE user_balances SET balance = $2, updated_at = now() WHERE user_id = $1")
        .bind(booking.user_id)
        .bind(after)
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO credit_transactions (user_id, transaction_key, type, amount, running_balance, is_active, metadata)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (user_id, transaction_key) DO UPDATE SET amount = excluded.amount, running_balance = excluded.running_balance,
             is_active = excluded.is_active, metadata = excluded.metadata, created_at = now()",
    )
    .bind(booking.user_id)
    .bind(booking.key)
    .bind(booking.kind)
    // At the ceiling of the column less is booked than was asked for: the balance stays the sum of the entries.
    .bind(after.saturating_sub(balance.credits))
    .bind(after)
    .bind(booking.amount != 0)
    .bind(Json(booking.metadata))
    .execute(&mut *connection)
    .await?;
    if booking.amount > 0 {
        sqlx::query("DELETE FROM zero_balance_notices WHERE user_id = $1")
            .bind(booking.user_id)
            .execute(connection)
            .await?;
    }
    Ok(after)
}

pub(crate) async fn set_low_due(connection: &mut PgConnection, user_id: UserId, due: bool) -> Result<()> {
    sqlx::query("UPDATE user_balances SET low_balance_due = $2 WHERE user_id = $1")
        .bind(user_id)
        .bind(due)
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes a charge back whose node never started. The caller holds the balance.
pub(crate) async fn give_back(connection: &mut PgConnection, user_id: UserId, key: &str) -> Result<()> {
    sqlx::query(
        "WITH gone AS (
             UPDATE credit_transactions SET is_active = false WHERE user_id = $1 AND transaction_key = $2 AND is_active RETURNING amount)
         UPDATE user_balances SET balance = balance - gone.amount, updated_at = now() FROM gone WHERE user_id = $1",
    )
    .bind(user_id)
    .bind(key)
    .execute(connection)
    .await?;
    Ok(())
}
