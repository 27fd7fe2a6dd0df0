//! The internal RPC contract (internals §1): `POST /{method}` with one JSON object of arguments, a bare JSON answer,
//! and errors as `{"type", "args"}`.
//!
//! A service is declared once, with [`service!`]; that gives the trait that a server implements, the router that
//! serves it and the client that implements the same trait over HTTP.

mod arguments;
mod client;
mod error;
mod lax;
mod macros;
mod server;
pub mod services;

pub use error::{RpcError, RpcErrorKind};
pub use server::BODY_LIMIT;

/// What the expansion of [`service!`] refers to.
#[doc(hidden)]
pub mod private {
    pub use std::sync::Arc;

    pub use async_trait::async_trait;
    pub use axum::{self, body::Bytes};
    pub use runtime::{Health, Service, Settings};

    pub use crate::arguments::{Arguments, absent};
    pub use crate::client::{Body, Client};
    pub use crate::server::{Server, reply};
}
