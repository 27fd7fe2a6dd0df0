//! How errors of the store look to callers (internals §1.2).

use rpc::{RpcError, RpcErrorKind};
use store::Error;
use submit::SubmitError;

/// The error that crosses the wire.
pub fn from_store(error: Error) -> RpcError {
    match error {
        Error::Leased(_) | Error::Illegal(_) => RpcError::value(error.to_string()),
        Error::NotFound(message) => RpcError::not_found(message),
        Error::Constraint { .. } | Error::Unstorable(_) => RpcError::new(RpcErrorKind::Data, error.to_string()),
        other => RpcError::database(other),
    }
}

pub fn from_submit(error: SubmitError) -> RpcError {
    let message = error.to_string();
    match error {
        SubmitError::GraphNotFound { .. } => RpcError::graph_not_found(message),
        SubmitError::NotAccessible => RpcError::new(RpcErrorKind::GraphNotAccessible, message),
        SubmitError::NotInLibrary => RpcError::new(RpcErrorKind::GraphNotInLibrary, message),
        SubmitError::Validation { node_errors, .. } => RpcError::graph_validation(message, node_errors),
        SubmitError::InsufficientBalance => RpcError::new(RpcErrorKind::InsufficientBalance, message),
        SubmitError::Invalid(_) => RpcError::value(message),
        SubmitError::Store(error) => from_store(error),
    }
}
