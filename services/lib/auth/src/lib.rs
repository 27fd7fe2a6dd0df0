//! Who is calling: user tokens and the axum extractors built on them (rest.md §3.1).
//!
//! A [`Verifier`] is made once from the settings and put into the service's state; the extractors
//! [`AuthenticatedUser`] and [`AdminUser`] take it from there. The WebSocket service, whose token comes in the
//! query string, calls [`Verifier::verify`] itself.

pub mod api_key;
pub mod cors;
mod extract;
pub mod issue;
mod jwks;
mod known;
pub mod password;
mod token;
pub mod unsubscribe;

pub use extract::{AdminUser, AuthenticatedUser, IMPERSONATION_HEADER, Rejection, bearer};
pub use issue::Issuer;
pub use password::Passwords;
pub use token::{Claims, KeyError, TokenError, Verifier};

/// The user of every connection while `ENABLE_AUTH=false`; only the WebSocket service honours that (rest.md §3.1).
pub const DEFAULT_USER_ID: uuid::Uuid = uuid::uuid!("3e53486c-cf57-477e-ba2a-cb02dc828e1a");
