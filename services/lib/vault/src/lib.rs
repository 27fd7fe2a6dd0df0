//! Credentials of users: sealed by a [`Cipher`], kept in PostgreSQL, opened for the block that needs them.

mod cipher;
mod credentials;

pub use cipher::{Cipher, KeyError, OpenError, SealError, Sealed};
pub use credentials::{Credentials, Error};
