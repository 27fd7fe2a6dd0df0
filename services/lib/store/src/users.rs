//! Users: found or created from what a token says.

use indexmap::IndexMap;
use model::notification::{NotificationPreference, NotificationType};
use model::user::User;
use model::{Map, Timestamp, UserId};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Postgres, QueryBuilder, Row};
use uuid::Uuid;

use crate::pages::{Window, like};
use crate::{Error, Result, Store};

const COLUMNS: &str = "id, email, email_verified, name, created_at, updated_at, metadata, stripe_customer_id, top_up_config, max_emails_per_day, \
    notify_on_agent_run, notify_on_zero_balance, notify_on_low_balance, notify_on_block_execution_failed, notify_on_continuous_agent_error, \
    notify_on_daily_summary, notify_on_weekly_summary, notify_on_monthly_summary, timezone";

impl Store {
    pub async fn get_user(&self, user_id: UserId) -> Result<Option<User>> {
        let query = format!("SELECT {COLUMNS} FROM users WHERE id = $1");
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(user_id)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        row.as_ref().map(user).transpose()
    }

    /// A page of the users whose e-mail address, name or id has the text in it, newest first, and how many there are. For administrators.
    pub async fn list_users(&self, search: Option<&str>, limit: i64, offset: i64) -> Result<(Vec<User>, i64)> {
        let restrict = |query: &mut QueryBuilder<Postgres>| {
            if let Some(text) = search {
                query.push(" WHERE concat_ws(' ', email, name, id::text) ILIKE ").push_bind(like(text));
            }
        };
        let rows = QueryBuilder::new(format!("SELECT {COLUMNS} FROM users"));
        let order = " ORDER BY created_at DESC, id";
        let (rows, total) = self
            .page(
                QueryBuilder::new("SELECT count(*) FROM users"),
                rows,
                restrict,
                order,
                Window { limit, offset },
            )
            .await?;
        Ok((rows.iter().map(user).collect::<Result<_>>()?, total))
    }

    /// The user of a token, made on first sight with a profile (rest.md trap 4). A changed e-mail or name in the token does not change the row.
    pub async fn get_or_create_user(&self, user_id: UserId, email: &str, name: Option<&str>) -> Result<User> {
        if let Some(user) = self.get_user(user_id).await? {
            return Ok(user);
        }
        let shown = name.unwrap_or_else(|| email.split('@').next().unwrap_or_default());
        let username = format!("user-{}", user_id.simple());
        self.make_user(user_id, email, true, name, &username, shown).await?;
        self.get_user(user_id).await?.ok_or_else(|| email_taken(email))
    }

    /// The user in whose name the platform itself runs things, made on first sight with a profile. It has no mailbox: nothing is sent to it.
    pub async fn ensure_service_user(&self, user_id: UserId) -> Result<()> {
        if self.is_user(user_id).await? {
            return Ok(());
        }
        let email = format!("{user_id}@service.invalid");
        let username = format!("platform-{}", user_id.simple());
        self.make_user(user_id, &email, false, Some("Platform"), &username, "Platform").await?;
        if self.is_user(user_id).await? {
            Ok(())
        } else {
            Err(email_taken(&email))
        }
    }

    async fn is_user(&self, user_id: UserId) -> Result<bool> {
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM users WHERE id = $1)")
            .bind(user_id)
            .fetch_one(&self.pool)
            .await
            .map_err(|error| self.explain(error))
    }

    /// Makes the user and the profile unless the id or the e-mail is taken. No conflict is an error: of two that make the same user at the same moment, the
    /// later one may meet the earlier one's e-mail before it meets its id.
    async fn make_user(&self, user_id: UserId, email: &str, verified: bool, name: Option<&str>, username: &str, shown: &str) -> Result<()> {
        sqlx::query(
            "WITH made AS (
                 INSERT INTO users (id, email, email_verified, name) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING id
             )
             INSERT INTO profiles (id, user_id, username, name) SELECT $5, id, $6, $7 FROM made ON CONFLICT (username) DO NOTHING",
        )
        .bind(user_id)
        .bind(email)
        .bind(verified)
        .bind(name)
        .bind(Uuid::now_v7())
        .bind(username)
        .bind(shown)
        .execute(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        Ok(())
    }

    pub async fn get_user_email(&self, user_id: UserId) -> Result<Option<String>> {
        Ok(sqlx::query_scalar("SELECT email FROM users WHERE id = $1")
            .bind(user_id)
            .fetch_optional(&self.pool)
            .await?)
    }

    /// False for an unknown user.
    pub async fn get_user_email_verified(&self, user_id: UserId) -> Result<bool> {
        let verified: Option<bool> = sqlx::query_scalar("SELECT email_verified FROM users WHERE id = $1")
            .bind(user_id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(verified.unwrap_or(false))
    }

    /// From now on no mail goes to the address; false when no user has it.
    pub async fn distrust_email(&self, email: &str) -> Result<bool> {
        let changed = sqlx::query("UPDATE users SET email_verified = false, updated_at = now() WHERE email IN ($1, lower($1))")
            .bind(email)
            .execute(&self.pool)
            .await?;
        Ok(changed.rows_affected() > 0)
    }

    /// An IANA zone or `not-set`.
    pub async fn set_user_timezone(&self, user_id: UserId, timezone: &str) -> Result<()> {
        sqlx::query("UPDATE users SET timezone = $2, updated_at = now() WHERE id = $1")
            .bind(user_id)
            .bind(timezone)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Which mails a user wants (rest.md §1 area 1); none for an unknown user.
    pub async fn get_notification_preference(&self, user_id: UserId) -> Result<Option<NotificationPreference>> {
        let Some(user) = self.get_user(user_id).await? else { return Ok(None) };
        let (agent_approved, agent_rejected) = self.get_store_review_switches(user_id).await?;
        Ok(Some(NotificationPreference {
            user_id,
            preferences: IndexMap::from([
                (NotificationType::AgentRun, user.notify_on_agent_run),
                (NotificationType::ZeroBalance, user.notify_on_zero_balance),
                (NotificationType::LowBalance, user.notify_on_low_balance),
                (NotificationType::BlockExecutionFailed, user.notify_on_block_execution_failed),
                (NotificationType::ContinuousAgentError, user.notify_on_continuous_agent_error),
                (NotificationType::DailySummary, user.notify_on_daily_summary),
                (NotificationType::WeeklySummary, user.notify_on_weekly_summary),
                (NotificationType::MonthlySummary, user.notify_on_monthly_summary),
                (NotificationType::AgentApproved, agent_approved),
                (NotificationType::AgentRejected, agent_rejected),
            ]),
            email: user.email,
            daily_limit: user.max_emails_per_day,
            emails_sent_today: 0,
            last_reset_date: Timestamp::now(),
        }))
    }

    /// Switches of the types that are named; the others stay as they are. Types without a switch are passed over.
    pub async fn set_notification_preference(&self, user_id: UserId, switches: &IndexMap<NotificationType, bool>, daily_limit: i32) -> Result<()> {
        let switch = |kind: NotificationType| switches.get(&kind).copied();
        sqlx::query(
            "UPDATE users SET max_emails_per_day = $2, updated_at = now(),
                 notify_on_agent_run = coalesce($3, notify_on_agent_run),
                 notify_on_zero_balance = coalesce($4, notify_on_zero_balance),
                 notify_on_low_balance = coalesce($5, notify_on_low_balance),
                 notify_on_block_execution_failed = coalesce($6, notify_on_block_execution_failed),
                 notify_on_continuous_agent_error = coalesce($7, notify_on_continuous_agent_error),
                 notify_on_daily_summary = coalesce($8, notify_on_daily_summary),
                 notify_on_weekly_summary = coalesce($9, notify_on_weekly_summary),
                 notify_on_monthly_summary = coalesce($10, notify_on_monthly_summary),
                 notify_on_agent_approved = coalesce($11, notify_on_agent_approved),
                 notify_on_agent_rejected = coalesce($12, notify_on_agent_rejected)
             WHERE id = $1",
        )
        .bind(user_id)
        .bind(daily_limit)
        .bind(switch(NotificationType::AgentRun))
        .bind(switch(NotificationType::ZeroBalance))
        .bind(switch(NotificationType::LowBalance))
        .bind(switch(NotificationType::BlockExecutionFailed))
        .bind(switch(NotificationType::ContinuousAgentError))
        .bind(switch(NotificationType::DailySummary))
        .bind(switch(NotificationType::WeeklySummary))
        .bind(switch(NotificationType::MonthlySummary))
        .bind(switch(NotificationType::AgentApproved))
        .bind(switch(NotificationType::AgentRejected))
        .execute(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        Ok(())
    }

    /// The two switches that the user object of the contract does not show: agent approved, agent rejected.
    pub async fn get_store_review_switches(&self, user_id: UserId) -> Result<(bool, bool)> {
        let row: Option<(bool, bool)> = sqlx::query_as("SELECT notify_on_agent_approved, notify_on_agent_rejected FROM users WHERE id = $1")
            .bind(user_id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.unwrap_or((true, true)))
    }

    /// Users that created a run in the window.
    pub async fn get_active_user_ids(&self, start: Timestamp, end: Timestamp) -> Result<Vec<UserId>> {
        Ok(
            sqlx::query_scalar("SELECT DISTINCT user_id FROM graph_executions WHERE created_at >= $1 AND created_at <= $2 ORDER BY user_id")
                .bind(start.into_inner())
                .bind(end.into_inner())
                .fetch_all(&self.pool)
                .await?,
        )
    }
}

fn email_taken(email: &str) -> Error {
    Error::Constraint {
        constraint: "users_email_key".to_owned(),
        message: format!("another user has the e-mail address {email}"),
    }
}

fn user(row: &PgRow) -> Result<User> {
    let time = |column: &str| Ok::<_, sqlx::Error>(Timestamp::from(row.try_get::<chrono::DateTime<chrono::Utc>, _>(column)?));
    Ok(User {
        id: row.try_get("id")?,
        email: row.try_get("email")?,
        email_verified: row.try_get("email_verified")?,
        name: row.try_get("name")?,
        created_at: time("created_at")?,
        updated_at: time("updated_at")?,
        metadata: row.try_get::<Json<Map>, _>("metadata")?.0,
        // The reference leaks the encrypted credentials here; the frontend needs the key only.
        integrations: String::new(),
        stripe_customer_id: row.try_get("stripe_customer_id")?,
        top_up_config: row.try_get::<Option<Json<Value>>, _>("top_up_config")?.map(|json| json.0),
        max_emails_per_day: row.try_get("max_emails_per_day")?,
        notify_on_agent_run: row.try_get("notify_on_agent_run")?,
        notify_on_zero_balance: row.try_get("notify_on_zero_balance")?,
        notify_on_low_balance: row.try_get("notify_on_low_balance")?,
        notify_on_block_execution_failed: row.try_get("notify_on_block_execution_failed")?,
        notify_on_continuous_agent_error: row.try_get("notify_on_continuous_agent_error")?,
        notify_on_daily_summary: row.try_get("notify_on_daily_summary")?,
        notify_on_weekly_summary: row.try_get("notify_on_weekly_summary")?,
        notify_on_monthly_summary: row.try_get("notify_on_monthly_summary")?,
        timezone: row.try_get("timezone")?,
    })
}
