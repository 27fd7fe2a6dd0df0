//! Errors as they cross the wire (internals §1.2): a class name of the reference, positional arguments, and a status
//! that follows from the class.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use model::Map;
use serde::{Deserialize, Serialize};
use serde_json::Value;

macro_rules! kinds {
    ($($kind:ident = $name:literal => $status:ident),* $(,)?) => {
        /// The class names that cross the wire.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum RpcErrorKind { $($kind),* }

        impl RpcErrorKind {
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// The reference's class name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name),* }
            }

            /// 400 for the ValueError family and DataError, 500 for everything else.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$kind => StatusCode::$status),* }
            }
        }
    };
}

kinds! {
    BlockError = "BlockError" => INTERNAL_SERVER_ERROR,
    BlockExecutionError = "BlockExecutionError" => BAD_REQUEST,
    BlockInputError = "BlockInputError" => BAD_REQUEST,
    BlockOutputError = "BlockOutputError" => BAD_REQUEST,
    BlockUnknownError = "BlockUnknownError" => INTERNAL_SERVER_ERROR,
    Connection = "ConnectionError" => INTERNAL_SERVER_ERROR,
    Data = "DataError" => BAD_REQUEST,
    Database = "DatabaseError" => INTERNAL_SERVER_ERROR,
    GraphNotAccessible = "GraphNotAccessibleError" => BAD_REQUEST,
    GraphNotFound = "GraphNotFoundError" => BAD_REQUEST,
    GraphNotInLibrary = "GraphNotInLibraryError" => BAD_REQUEST,
    GraphValidation = "GraphValidationError" => BAD_REQUEST,
    HttpClient = "HTTPClientError" => INTERNAL_SERVER_ERROR,
    HttpServer = "HTTPServerError" => INTERNAL_SERVER_ERROR,
    InsufficientBalance = "InsufficientBalanceError" => BAD_REQUEST,
    MissingConfig = "MissingConfigError" => INTERNAL_SERVER_ERROR,
    Moderation = "ModerationError" => BAD_REQUEST,
    NeedConfirmation = "NeedConfirmation" => INTERNAL_SERVER_ERROR,
    NotAuthorized = "NotAuthorizedError" => BAD_REQUEST,
    NotFound = "NotFoundError" => BAD_REQUEST,
    Redis = "RedisError" => INTERNAL_SERVER_ERROR,
    Runtime = "RuntimeError" => INTERNAL_SERVER_ERROR,
    Timeout = "TimeoutError" => INTERNAL_SERVER_ERROR,
    UnhealthyService = "UnhealthyServiceError" => SERVICE_UNAVAILABLE,
    Value = "ValueError" => BAD_REQUEST,
}

impl RpcErrorKind {
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

/// A failed call, the same on both sides of the wire.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}: {message}", .kind.name())]
pub struct RpcError {
    pub kind: RpcErrorKind,
    /// The first argument as text.
    pub message: String,
    /// The positional arguments; `[message]` for most classes.
    pub args: Vec<Value>,
    /// Beyond the reference: `node_errors` of a GraphValidationError.
    pub extras: Option<Box<Map>>,
}

impl RpcError {
    pub fn new(kind: RpcErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            kind,
            args: vec![Value::String(message.clone())],
            message,
            extras: None,
        }
    }

    pub fn value(message: impl Into<String>) -> Self {
        Self::new(RpcErrorKind::Value, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(RpcErrorKind::NotFound, message)
    }

    pub fn not_authorized(message: impl Into<String>) -> Self {
        Self::new(RpcErrorKind::NotAuthorized, message)
    }

    pub fn graph_not_found(message: impl Into<String>) -> Self {
        Self::new(RpcErrorKind::GraphNotFound, message)
    }

    pub fn database(error: impl std::fmt::Display) -> Self {
        Self::new(RpcErrorKind::Database, error.to_string())
    }

    pub fn runtime(message: impl Into<String>) -> Self {
        Self::new(RpcErrorKind::Runtime, message)
    }

    pub fn unhealthy(message: impl Into<String>) -> Self {
        Self::new(RpcErrorKind::UnhealthyService, message)
    }

    /// `node_errors`: node id → field → message.
    pub fn graph_validation(message: impl Into<String>, node_errors: impl Serialize) -> Self {
        let mut error = Self::new(RpcErrorKind::GraphValidation, message);
        let node_errors = serde_json::to_value(node_errors).unwrap_or_default();
        error.extras = Some(Box::new(Map::from_iter([("node_errors".to_owned(), node_errors)])));
        error
    }

    /// Arguments `[message, user_id, balance, amount]`.
    pub fn insufficient_balance(message: impl Into<String>, user_id: model::UserId, balance: i64, amount: i64) -> Self {
        let mut error = Self::new(RpcErrorKind::InsufficientBalance, message);
        error.args.extend([user_id.to_string().into(), balance.into(), amount.into()]);
        error
    }

    /// The per-node errors of a GraphValidationError.
    pub fn node_errors(&self) -> Option<&Value> {
        self.extras.as_ref()?.get("node_errors")
    }

    /// Whether the same call may succeed later: the server or the way to it failed, not the request.
    pub fn is_transient(&self) -> bool {
        self.kind != RpcErrorKind::HttpClient && self.kind.status().is_server_error()
    }

    /// What a client sees of an answer that is not 2xx.
    pub(crate) fn from_answer(status: StatusCode, body: &[u8]) -> Self {
        match serde_json::from_slice::<WireError>(body) {
            Ok(wire) => {
                let by_status = if status.is_server_error() {
                    RpcErrorKind::HttpServer
                } else {
                    RpcErrorKind::HttpClient
                };
                let message = match wire.args.first() {
                    Some(Value::String(text)) => text.clone(),
                    Some(other) => other.to_string(),
                    None => wire.kind.clone(),
                };
                match RpcErrorKind::from_name(&wire.kind) {
                    Some(kind) => Self {
                        kind,
                        message,
                        args: wire.args,
                        extras: wire.extras,
                    },
                    None => Self {
                        kind: by_status,
                        message: format!("{}: {message}", wire.kind),
                        args: wire.args,
                        extras: wire.extras,
                    },
                }
            }
            Err(_) => {
                let kind = if status.is_client_error() {
                    RpcErrorKind::HttpClient
                } else {
                    RpcErrorKind::HttpServer
                };
                let excerpt: String = String::from_utf8_lossy(body).chars().take(500).collect();
                Self::new(kind, format!("{status}: {excerpt}"))
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
struct WireError {
    #[serde(rename = "type")]
    kind: String,
    args: Vec<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    extras: Option<Box<Map>>,
}

impl IntoResponse for RpcError {
    fn into_response(self) -> Response {
        let status = self.kind.status();
        let wire = WireError {
            kind: self.kind.name().to_owned(),
            args: self.args,
            extras: self.extras,
        };
        (status, Json(wire)).into_response()
    }
}
