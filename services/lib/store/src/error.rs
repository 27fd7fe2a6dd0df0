//! What can go wrong with the database, and what to do about it.

use std::sync::Arc;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("DATABASE_URL is not a PostgreSQL URL: {0}. It looks like postgresql://user:password@host:5432/database")]
    Url(String),

    /// No answer. Nothing is known about what was asked: repeat what may be repeated.
    #[error("PostgreSQL at {target} does not answer ({reason}): is it running, and do host, port and network policy let this process reach it?")]
    Unavailable { target: String, reason: String },

    #[error("PostgreSQL at {target} refuses the connection ({reason}): check user, password and database in DATABASE_URL")]
    Refused { target: String, reason: String },

    /// It is there, and has no room left: nothing was done.
    #[error("PostgreSQL is out of resources ({0}): it needs more connections, memory or disk")]
    Exhausted(String),

    #[error("the database schema is at version {have}, this program needs {want}: run `db migrate` (in Kubernetes, the platform's migration Job)")]
    SchemaOld { have: i64, want: i64 },

    #[error("migration {version} was interrupted: repair what it left half done, delete its row from _sqlx_migrations and run `db migrate` again")]
    SchemaDirty { version: i64 },

    #[error("migration failed: {0}")]
    Migration(String),

    /// A unique, foreign-key or check constraint refused the row.
    #[error("refused by constraint {constraint}: {message}")]
    Constraint { constraint: String, message: String },

    /// The value itself cannot be stored: too large, too deep, out of range.
    #[error("the value cannot be stored: {0}")]
    Unstorable(String),

    /// A journal entry contradicts what is stored.
    #[error("the change cannot be applied: {0}")]
    Illegal(String),

    /// Somebody else holds what this needs, for longer than was to be waited.
    #[error("a lock was not free in time: {0}")]
    Locked(String),

    /// A row says something that this program does not understand.
    #[error("unreadable row: {0}")]
    Decode(String),

    /// A run that has a live lease is written by its owner only.
    #[error("run {0} is being executed: only its executor may change it")]
    Leased(uuid::Uuid),

    #[error("{0}")]
    NotFound(String),

    #[error("database error: {0}")]
    Database(Arc<sqlx::Error>),
}

impl Error {
    /// Name of the constraint that refused a row.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Constraint { constraint, .. } => Some(constraint),
            _ => None,
        }
    }

    /// Whether the same data would be refused again however often it is sent.
    pub(crate) fn is_about_the_data(&self) -> bool {
        matches!(self, Self::Constraint { .. } | Self::Unstorable(_) | Self::Illegal(_))
    }

    /// Whether waiting may help: the database is away, was about to go, or is full.
    pub fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. } | Self::Refused { .. } | Self::Exhausted(_) | Self::SchemaOld { .. }
        )
    }

    /// The error with the server's name in it, where it is about reaching the server.
    pub(crate) fn at(error: sqlx::Error, server: &str) -> Self {
        match Self::from(error) {
            Self::Unavailable { reason, .. } => Self::Unavailable {
                target: server.to_owned(),
                reason,
            },
            Self::Refused { reason, .. } => Self::Refused {
                target: server.to_owned(),
                reason,
            },
            other => other,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(database) => from_database(database),
            sqlx::Error::ColumnDecode { index, source } => Self::Decode(format!("column {index}: {source}")),
            sqlx::Error::ColumnNotFound(name) => Self::Decode(format!("no column {name}")),
            sqlx::Error::PoolTimedOut => unavailable("no free connection in time".to_owned()),
            sqlx::Error::PoolClosed => unavailable("this process is shutting down".to_owned()),
            sqlx::Error::Io(io) => unavailable(io.to_string()),
            sqlx::Error::Tls(tls) => unavailable(tls.to_string()),
            other => Self::Database(Arc::new(other)),
        }
    }
}

/// Stands in errors of connections whose server is not at hand where they are made.
const SOME_SERVER: &str = "the configured address";

fn unavailable(reason: String) -> Error {
    Error::Unavailable {
        target: SOME_SERVER.to_owned(),
        reason,
    }
}

fn from_database(error: Box<dyn sqlx::error::DatabaseError>) -> Error {
    let code = error.code().unwrap_or_default().into_owned();
    let message = error.message().to_owned();
    match code.get(..2) {
        Some("23") => Error::Constraint {
            constraint: error.constraint().unwrap_or_default().to_owned(),
            message,
        },
        // Data exceptions and program limits: length, depth, range, encoding.
        Some("22" | "54") => Error::Unstorable(message),
        // Shutting down, starting up, connection lost.
        Some("57" | "08") => unavailable(message),
        // Too many connections, disk full, out of memory.
        Some("53") => Error::Exhausted(message),
        Some("28" | "3D") => Error::Refused {
            target: SOME_SERVER.to_owned(),
            reason: message,
        },
        _ if code == "55P03" => Error::Locked(message),
        // `refuse_append` of the migrations.
        _ if code == "AG001" => Error::Illegal(message),
        // A table or column that is not there: the schema is older than the program.
        _ if matches!(code.as_str(), "42P01" | "42703") => Error::Migration(format!(
            "{message}: the database schema is older than this program, run `db migrate` (in Kubernetes, the platform's migration Job)"
        )),
        _ => Error::Database(Arc::new(sqlx::Error::Database(error))),
    }
}

impl From<model::status::UnknownStatus> for Error {
    fn from(error: model::status::UnknownStatus) -> Self {
        Self::Decode(error.to_string())
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Decode(error.to_string())
    }
}
