//! The pool. Connecting is lazy: a service starts without PostgreSQL and waits for it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Executor};
use tokio::sync::Mutex;
use url::Url;

use crate::turns::Turns;
use crate::{CreditRules, Error, LEASE, MAX_ATTEMPTS, OutboxNotifier, Result};

/// How long a caller waits for a connection before it is told that the database is away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that was used so recently is not asked whether it still works before it is used again: that question would cost every
/// statement a round trip.
const FRESH: Duration = Duration::from_secs(1);
/// How long a session goes by the plans that it has made, unless it is busy just then. They were made for tables as large as they were, and
/// tables of a young platform grow a hundredfold in a minute.
const PLANS_FOR: Duration = Duration::from_secs(10);

/// The platform's database. Clones share one pool and cost next to nothing: a request makes several.
#[derive(Clone)]
pub struct Store {
    pub(crate) pool: PgPool,
    pub(crate) options: Arc<PgConnectOptions>,
    /// The schema named in the URL (`?schema=platform`, as the reference spells it), else the server's default.
    pub(crate) schema: Option<Arc<str>>,
    /// How long an executor's lease lasts.
    pub(crate) lease: Duration,
    /// After how many attempts in a row without progress a run is given up.
    pub(crate) max_attempts: u32,
    /// Whose turn it is, for all claims of this process.
    pub(crate) turns: Arc<Mutex<Turns>>,
    /// None: no ledger is kept.
    pub(crate) credits: Option<CreditRules>,
    /// Started by whoever needs it first.
    pub(crate) notifier: Arc<OnceLock<OutboxNotifier>>,
    /// Host, port and database for messages; never the password.
    target: Arc<str>,
}

impl Store {
    /// Fails only when the URL is none: whether a server answers shows with the first query.
    pub fn connect(url: &str, max_connections: u32) -> Result<Self> {
        let (url, schema) = without_foreign_parameters(url)?;
        let options: PgConnectOptions = url.as_str().parse().map_err(|error: sqlx::Error| Error::Url(error.to_string()))?;
        let options = options.disable_statement_logging();
        let target = format!(
            "{}:{}/{}",
            options.get_host(),
            options.get_port(),
            options.get_database().unwrap_or("postgres")
        );
        let session = session_settings(schema.as_deref());
        let pool = PgPoolOptions::new()
            .max_connections(max_connections.max(1))
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(|connection, usage| {
                Box::pin(async move {
                    if are_plans_old(usage.age, usage.idle_for) {
                        return Ok(connection.execute("DISCARD PLANS").await.is_ok());
                    }
                    Ok(usage.idle_for < FRESH || connection.ping().await.is_ok())
                })
            })
            .after_connect(move |connection, _| {
                let session = session.clone();
                Box::pin(async move { connection.execute(sqlx::AssertSqlSafe(session)).await.map(drop) })
            })
            .connect_lazy_with(options.clone());
        Ok(Self {
            pool,
            options: Arc::new(options),
            schema,
            lease: LEASE,
            max_attempts: MAX_ATTEMPTS,
            turns: Arc::default(),
            credits: None,
            notifier: Arc::default(),
            target: target.into(),
        })
    }

    /// The same store with leases of another length than [`LEASE`].
    pub fn with_lease(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    /// The same store with another patience than [`MAX_ATTEMPTS`]; at least one attempt is made.
    pub fn with_max_attempts(self, max_attempts: u32) -> Self {
        Self { max_attempts, ..self }
    }

    /// The same store with a ledger that is kept by `rules`; without, nothing is charged and everybody has a constant balance.
    pub fn with_credits(self, credits: Option<CreditRules>) -> Self {
        Self { credits, ..self }
    }

    /// Answers when the database does.
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.pool).await.map_err(|error| self.explain(error))?;
        Ok(())
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Names the server in errors that are about reaching it.
    pub(crate) fn explain(&self, error: sqlx::Error) -> Error {
        Error::at(error, &self.target)
    }
}

/// Whether a session that is `age` old and was not used for `idle_for` has come to the end of a period while it was not used.
fn are_plans_old(age: Duration, idle_for: Duration) -> bool {
    let periods = |age: Duration| age.as_secs() / PLANS_FOR.as_secs();
    periods(age) > periods(age.saturating_sub(idle_for))
}

/// What every session begins with.
const SESSION: &str = "\
    -- A transaction that a dead process left open must not hold the progress horizon and row locks for ever.
    SET idle_in_transaction_session_timeout = '30s';
    -- Plans must not depend on whether the statistics are fresh. While a table is young and has none, the planner would read it whole for
    -- every append and claim, and keep that plan while the table grows. Every statement here has an index to go by. Of two indexes it may
    -- still take the wrong one, of a small table a whole one: so what is asked often names rows by their key alone, and asks what else there is
    -- to ask in a CASE.
    SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off;
    -- So a statement has one plan, made once for each session. Left to itself the server makes a new one each time for whatever takes arrays,
    -- as it sees how short they are; of an append that is more than half of its time.
    SET plan_cache_mode = force_generic_plan;
    -- The penalty that stands for `off` would look like a query worth compiling.
    SET jit = off";

fn session_settings(schema: Option<&str>) -> String {
    let mut settings = SESSION.to_owned();
    if let Some(schema) = schema {
        settings.push_str(&format!("; SET search_path = {}", quoted(schema)));
    }
    settings
}

pub(crate) fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// Takes the parameters out that only the reference's ORM knows.
fn without_foreign_parameters(url: &str) -> Result<(Url, Option<Arc<str>>)> {
    let mut url = Url::parse(url).map_err(|error| Error::Url(error.to_string()))?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(Error::Url(format!("its scheme is {:?}", url.scheme())));
    }
    let mut schema = None;
    let mut kept = Vec::new();
    for (key, value) in url.query_pairs() {
        match &*key {
            "schema" | "options[search_path]" => schema = Some(Arc::from(&*value)),
            "connect_timeout" | "connection_limit" | "pool_timeout" | "pgbouncer" => {}
            _ => kept.push((key.into_owned(), value.into_owned())),
        }
    }
    url.set_query(None);
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
    Ok((url, schema))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_absent_server_is_no_error_until_it_is_asked() {
        let store = Store::connect("postgresql://me:secret@127.0.0.1:1/nowhere?schema=platform&connect_timeout=60", 1).unwrap();
        let error = store.ping().await.unwrap_err();
        let text = error.to_string();
        assert!(error.is_unavailable(), "{text}");
        assert!(text.contains("127.0.0.1:1/nowhere") && !text.contains("secret"), "{text}");
    }

    #[test]
    fn plans_are_made_anew_once_a_period() {
        let seconds = Duration::from_secs;
        assert!(!are_plans_old(seconds(9), seconds(9)));
        assert!(are_plans_old(seconds(10), seconds(1)));
        assert!(!are_plans_old(seconds(19), seconds(9)));
        assert!(are_plans_old(seconds(95), seconds(30)));
    }

    #[test]
    fn a_url_of_another_kind_is_refused_with_an_example() {
        let error = Store::connect("mysql://localhost/x", 1).err().unwrap();
        assert!(error.to_string().contains("postgresql://user:password@host"), "{error}");
    }
}
