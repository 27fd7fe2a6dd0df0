//! What goes wrong here, and under which name it crosses the wire (internals §1.2).

use rpc::{RpcError, RpcErrorKind};
use submit::SubmitError;

/// Why the service does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("DATABASE_URL cannot be used: {0}")]
    Database(#[from] store::Error),
    #[error(transparent)]
    EncryptionKey(#[from] vault::KeyError),
    #[error("{0}")]
    Kubernetes(String),
    #[error("SCHEDULER_STORE is kubernetes, so PLATFORM_NAME must be set to the name of the AutoGPTPlatform object that this service belongs to")]
    PlatformNameMissing,
    #[error("the scheduler's server ended: {0}")]
    Serve(#[from] std::io::Error),
}

/// Why a schedule could not be kept, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("the Kubernetes API server refused or did not answer: {0}")]
    Kubernetes(#[from] kube::Error),
    #[error(transparent)]
    Cron(#[from] crate::cron::FiringError),
    #[error("the cron line {0:?} names no date that ever comes")]
    NeverDue(String),
}

impl From<ScheduleError> for RpcError {
    fn from(error: ScheduleError) -> Self {
        match error {
            ScheduleError::Store(error) => of_store(error),
            ScheduleError::Kubernetes(_) | ScheduleError::Cron(_) => Self::runtime(error.to_string()),
            ScheduleError::NeverDue(_) => Self::value(error.to_string()),
        }
    }
}

pub(crate) fn of_submit(error: SubmitError) -> RpcError {
    let message = error.to_string();
    match error {
        SubmitError::GraphNotFound { .. } => RpcError::graph_not_found(message),
        SubmitError::NotAccessible => RpcError::new(RpcErrorKind::GraphNotAccessible, message),
        SubmitError::NotInLibrary => RpcError::new(RpcErrorKind::GraphNotInLibrary, message),
        SubmitError::Validation { message, node_errors } => RpcError::graph_validation(message, node_errors),
        SubmitError::Invalid(message) => RpcError::value(message),
        SubmitError::InsufficientBalance => RpcError::new(RpcErrorKind::InsufficientBalance, message),
        SubmitError::Store(error) => of_store(error),
    }
}

/// Nobody who asks can do anything about the keys: that is the platform's.
pub(crate) fn of_vault(error: vault::Error) -> RpcError {
    match error {
        vault::Error::UnknownUser { .. } => RpcError::value(error.to_string()),
        vault::Error::Store(error) => of_store(error),
        error => RpcError::runtime(error.to_string()),
    }
}

pub(crate) fn of_store(error: store::Error) -> RpcError {
    match error {
        store::Error::NotFound(message) => RpcError::not_found(message),
        error @ (store::Error::Unstorable(_) | store::Error::Constraint { .. }) => RpcError::new(RpcErrorKind::Data, error.to_string()),
        error => RpcError::database(error),
    }
}
