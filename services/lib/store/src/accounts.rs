//! Accounts of the embedded auth service: people, their sessions, refresh tokens, codes and attempts (rest.md §3.4).
//!
//! Tokens and codes are given as SHA-256 hashes; nobody who reads the tables can use them.

use std::time::Duration;

use model::{Map, Timestamp, UserId};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor, Row};
use uuid::Uuid;

use crate::execution_rows::{instant, map};
use crate::{Error, Result, Store};

/// A used refresh token is accepted again for so long: pages that load at the same time refresh at the same time.
const REUSE_SECONDS: f64 = 10.0;
/// Used refresh tokens are remembered for so long.
const REMEMBERED_DAYS: i32 = 7;

/// Sessions of one user; the one that was used least lately goes when another begins. Browsers are thrown away without a logout.
const MOST_SESSIONS: i64 = 100;

/// A person who can log in here.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    pub user_id: UserId,
    /// In lower case.
    pub email: String,
    /// A PHC string. None for a user who came with a token of another issuer.
    pub password_hash: Option<String>,
    pub role: String,
    pub user_metadata: Map,
    pub email_confirmed_at: Option<Timestamp>,
    pub last_sign_in_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// What somebody changes of their own account; what is none stays as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct AccountChange<'a> {
    pub email: Option<&'a str>,
    /// A PHC string. Every session but `kept_session` ends, and no code that was sent works any more.
    pub password_hash: Option<&'a str>,
    pub kept_session: Option<Uuid>,
    /// Laid over what is known about the user; a null removes a key.
    pub user_metadata: Option<&'a Map>,
}

/// What becomes of a refresh token.
#[derive(Debug, Clone, PartialEq)]
pub enum Refreshed {
    /// The session goes on with the new token.
    Session {
        account: Box<Account>,
        session_id: Uuid,
    },
    /// It had been used before: its session has been ended.
    Reused,
    Unknown,
}

/// Which sessions of a user end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionScope {
    Only(Uuid),
    AllBut(Uuid),
    All,
}

/// What a code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodePurpose {
    /// Stands in a mail to somebody who forgot the password.
    Recovery,
    /// Is exchanged for a session by the application that began.
    Exchange,
}

impl CodePurpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::Recovery => "recovery",
            Self::Exchange => "exchange",
        }
    }
}

/// A PKCE challenge and its method (`plain` or `s256`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    pub text: String,
    pub method: String,
}

const COLUMNS: &str = "user_id, email, password_hash, role, user_metadata, email_confirmed_at, last_sign_in_at, created_at, updated_at";

impl Store {
    /// A new user with profile and account; none when the address is taken, by whomever.
    pub async fn create_account(&self, user_id: UserId, email: &str, password_hash: &str, user_metadata: &Map) -> Result<Option<Account>> {
        let name = ["full_name", "name"].iter().find_map(|key| user_metadata.get(*key)?.as_str());
        let query = format!(
            "WITH made AS (INSERT INTO users (id, email, name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING id),
             profile AS (
                 INSERT INTO profiles (id, user_id, username, name) SELECT $4, id, $5, coalesce($3, split_part($2, '@', 1)) FROM made
                 ON CONFLICT (username) DO NOTHING)
             INSERT INTO auth_accounts (user_id, email, password_hash, user_metadata, email_confirmed_at)
             SELECT id, $2, $6, $7, now() FROM made RETURNING {COLUMNS}"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(user_id)
            .bind(email)
            .bind(name)
            .bind(Uuid::now_v7())
            .bind(format!("user-{}", user_id.simple()))
            .bind(password_hash)
            .bind(Json(user_metadata))
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        row.as_ref().map(account).transpose()
    }

    pub async fn account_of_email(&self, email: &str) -> Result<Option<Account>> {
        let query = format!("SELECT {COLUMNS} FROM auth_accounts WHERE email = $1");
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(email)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        row.as_ref().map(account).transpose()
    }

    /// The person behind a token, and whether the token's session still exists, in one indexed read. A user without an account
    /// here came with a token of another issuer.
    pub async fn account_of_token(&self, user_id: UserId, session_id: Option<Uuid>) -> Result<Option<(Account, bool)>> {
        let row = sqlx::query(
            "SELECT u.id AS user_id, u.email, a.password_hash, coalesce(a.role, 'authenticated') AS role,
                 coalesce(a.user_metadata, '{}') AS user_metadata, coalesce(a.email_confirmed_at, u.created_at) AS email_confirmed_at,
                 a.last_sign_in_at, u.created_at, greatest(u.updated_at, a.updated_at) AS updated_at,
                 $2::uuid IS NULL OR EXISTS (SELECT FROM auth_sessions s WHERE s.id = $2 AND s.user_id = u.id) AS session_exists
             FROM users u LEFT JOIN auth_accounts a ON a.user_id = u.id WHERE u.id = $1",
        )
        .bind(user_id)
        .bind(session_id)
        .fetch_optional(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some((account(&row)?, row.try_get("session_exists")?)))
    }

    /// A session with its first refresh token. The account, which knows of this login.
    pub async fn begin_session(&self, user_id: UserId, session_id: Uuid, token_hash: &[u8]) -> Result<Account> {
        let query = format!(
            "WITH signed_in AS (UPDATE auth_accounts SET last_sign_in_at = now() WHERE user_id = $1 RETURNING {COLUMNS}),
             forgotten AS (
                 DELETE FROM auth_sessions WHERE id IN (SELECT id FROM auth_sessions WHERE user_id = $1 ORDER BY updated_at DESC, id DESC OFFSET $4)),
             session AS (INSERT INTO auth_sessions (id, user_id) VALUES ($2, $1) RETURNING id),
             token AS (INSERT INTO auth_refresh_tokens (hash, session_id) SELECT $3, id FROM session)
             SELECT {COLUMNS} FROM signed_in"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(user_id)
            .bind(session_id)
            .bind(token_hash)
            // With the new one.
            .bind(MOST_SESSIONS - 1)
            .fetch_one(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        account(&row)
    }

    /// Takes a refresh token and puts another in its place. One that was used before ends its session: somebody has a copy.
    pub async fn refresh_session(&self, token_hash: &[u8], next_hash: &[u8]) -> Result<Refreshed> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let found: Option<(Uuid, UserId, bool)> = sqlx::query_as(
            "SELECT s.id, s.user_id, coalesce(t.used_at < now() - make_interval(secs => $2), false)
             FROM auth_refresh_tokens t JOIN auth_sessions s ON s.id = t.session_id WHERE t.hash = $1 FOR UPDATE OF s",
        )
        .bind(token_hash)
        .bind(REUSE_SECONDS)
        .fetch_optional(&mut *tx)
        .await?;
        let Some((session_id, user_id, reused)) = found else {
            return Ok(Refreshed::Unknown);
        };
        if reused {
            end_sessions(&mut *tx, user_id, SessionScope::Only(session_id)).await?;
            tx.commit().await?;
            return Ok(Refreshed::Reused);
        }
        sqlx::query(
            "WITH used AS (UPDATE auth_refresh_tokens SET used_at = coalesce(used_at, now()) WHERE hash = $1),
             forgotten AS (DELETE FROM auth_refresh_tokens WHERE session_id = $3 AND used_at < now() - make_interval(days => $4)),
             touched AS (UPDATE auth_sessions SET updated_at = now() WHERE id = $3)
             INSERT INTO auth_refresh_tokens (hash, session_id) VALUES ($2, $3)",
        )
        .bind(token_hash)
        .bind(next_hash)
        .bind(session_id)
        .bind(REMEMBERED_DAYS)
        .execute(&mut *tx)
        .await?;
        let query = format!("SELECT {COLUMNS} FROM auth_accounts WHERE user_id = $1");
        let row = sqlx::query(sqlx::AssertSqlSafe(query)).bind(user_id).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok(Refreshed::Session {
            account: Box::new(account(&row)?),
            session_id,
        })
    }

    pub async fn end_sessions(&self, user_id: UserId, scope: SessionScope) -> Result<()> {
        end_sessions(&self.pool, user_id, scope).await
    }

    /// All of a change, or nothing of it: false when somebody else has the address.
    pub async fn change_account(&self, user_id: UserId, change: &AccountChange<'_>) -> Result<bool> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        if let Some(email) = change.email
            && !set_email(&mut *tx, user_id, email).await?
        {
            return Ok(false);
        }
        if let Some(hash) = change.password_hash {
            set_password(&mut tx, user_id, hash, change.kept_session).await?;
        }
        if let Some(metadata) = change.user_metadata {
            sqlx::query("UPDATE auth_accounts SET user_metadata = jsonb_strip_nulls(user_metadata || $2), updated_at = now() WHERE user_id = $1")
                .bind(user_id)
                .bind(Json(metadata))
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await.map_err(|error| self.explain(error))?;
        Ok(true)
    }

    /// Another address, for the account (where there is one) and the platform; false when somebody else has it.
    pub async fn set_user_email(&self, user_id: UserId, email: &str) -> Result<bool> {
        let change = AccountChange {
            email: Some(email),
            ..AccountChange::default()
        };
        self.change_account(user_id, &change).await
    }

    /// Keeps a code for one use; the user's expired ones go.
    pub async fn put_code(
        &self,
        hash: &[u8],
        user_id: UserId,
        purpose: CodePurpose,
        challenge: Option<&Challenge>,
        lifetime: Duration,
    ) -> Result<()> {
        sqlx::query(
            "WITH expired AS (DELETE FROM auth_codes WHERE user_id = $2 AND expires_at < now())
             INSERT INTO auth_codes (hash, user_id, purpose, challenge, challenge_method, expires_at)
             VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))",
        )
        .bind(hash)
        .bind(user_id)
        .bind(purpose.as_str())
        .bind(challenge.map(|challenge| challenge.text.as_str()))
        .bind(challenge.map(|challenge| challenge.method.as_str()))
        .bind(lifetime.as_secs_f64())
        .execute(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        Ok(())
    }

    /// Uses a code up: whose it is, and the challenge that it was asked for with. None when it is unknown, used or expired, or not of the user
    /// with this address (in lower case), whose code it stays then.
    pub async fn take_code(&self, hash: &[u8], purpose: CodePurpose, email: Option<&str>) -> Result<Option<(Account, Option<Challenge>)>> {
        let query = format!(
            "WITH taken AS (
                 DELETE FROM auth_codes WHERE hash = $1 AND purpose = $2
                     AND ($3::text IS NULL OR user_id = (SELECT user_id FROM auth_accounts WHERE email = $3))
                 RETURNING user_id AS owner, challenge, challenge_method, expires_at)
             SELECT {COLUMNS}, challenge, challenge_method FROM taken JOIN auth_accounts ON user_id = owner WHERE expires_at > now()"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(hash)
            .bind(purpose.as_str())
            .bind(email)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        let Some(row) = row else { return Ok(None) };
        let (text, method): (Option<String>, Option<String>) = (row.try_get("challenge")?, row.try_get("challenge_method")?);
        Ok(Some((account(&row)?, text.zip(method).map(|(text, method)| Challenge { text, method }))))
    }

    /// Counts an attempt and returns how many there were within the window. Windows that are long over are forgotten.
    pub async fn count_attempt(&self, subject: &str, window: Duration) -> Result<i32> {
        sqlx::query_scalar(
            "WITH stale AS (
                 DELETE FROM auth_attempts WHERE subject IN
                     (SELECT subject FROM auth_attempts WHERE started_at < now() - interval '1 day' AND subject <> $1 ORDER BY started_at LIMIT 10
                      FOR UPDATE SKIP LOCKED))
             INSERT INTO auth_attempts AS old (subject, started_at, count) VALUES ($1, now(), 1)
             ON CONFLICT (subject) DO UPDATE SET
                 count = CASE WHEN old.started_at < now() - make_interval(secs => $2) THEN 1 ELSE least(old.count, 1000000) + 1 END,
                 started_at = CASE WHEN old.started_at < now() - make_interval(secs => $2) THEN now() ELSE old.started_at END
             RETURNING count",
        )
        .bind(subject)
        .bind(window.as_secs_f64())
        .fetch_one(&self.pool)
        .await
        .map_err(|error| self.explain(error))
    }

    pub async fn forget_attempts(&self, subject: &str) -> Result<()> {
        sqlx::query("DELETE FROM auth_attempts WHERE subject = $1")
            .bind(subject)
            .execute(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        Ok(())
    }
}

async fn set_email(executor: impl PgExecutor<'_>, user_id: UserId, email: &str) -> Result<bool> {
    let changed = sqlx::query(
        "WITH account AS (UPDATE auth_accounts SET email = $2, updated_at = now() WHERE user_id = $1)
         UPDATE users SET email = $2, email_verified = email_verified OR email <> $2, updated_at = now() WHERE id = $1",
    )
    .bind(user_id)
    .bind(email)
    .execute(executor)
    .await
    .map_err(Error::from);
    match changed {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.constraint(), Some("users_email_key" | "auth_accounts_email_key")) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn set_password(connection: &mut PgConnection, user_id: UserId, hash: &str, kept: Option<Uuid>) -> Result<()> {
    sqlx::query("UPDATE auth_accounts SET password_hash = $2, updated_at = now() WHERE user_id = $1")
        .bind(user_id)
        .bind(hash)
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM auth_codes WHERE user_id = $1")
        .bind(user_id)
        .execute(&mut *connection)
        .await?;
    end_sessions(connection, user_id, kept.map_or(SessionScope::All, SessionScope::AllBut)).await
}

async fn end_sessions(executor: impl PgExecutor<'_>, user_id: UserId, scope: SessionScope) -> Result<()> {
    let (only, but) = match scope {
        SessionScope::Only(id) => (Some(id), None),
        SessionScope::AllBut(id) => (None, Some(id)),
        SessionScope::All => (None, None),
    };
    sqlx::query("DELETE FROM auth_sessions WHERE user_id = $1 AND ($2::uuid IS NULL OR id = $2) AND ($3::uuid IS NULL OR id <> $3)")
        .bind(user_id)
        .bind(only)
        .bind(but)
        .execute(executor)
        .await?;
    Ok(())
}

fn account(row: &PgRow) -> Result<Account> {
    Ok(Account {
        user_id: row.try_get("user_id")?,
        email: row.try_get("email")?,
        password_hash: row.try_get("password_hash")?,
        role: row.try_get("role")?,
        user_metadata: map(row, "user_metadata")?,
        email_confirmed_at: optional_instant(row, "email_confirmed_at")?,
        last_sign_in_at: optional_instant(row, "last_sign_in_at")?,
        created_at: instant(row, "created_at")?,
        updated_at: instant(row, "updated_at")?,
    })
}

fn optional_instant(row: &PgRow, column: &str) -> Result<Option<Timestamp>> {
    Ok(row.try_get::<Option<chrono::DateTime<chrono::Utc>>, _>(column)?.map(Timestamp::from))
}
