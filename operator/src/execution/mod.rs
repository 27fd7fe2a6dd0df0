//! The execution controller: submits runs, follows them, cancels them, cleans up after them.

pub mod board;
pub mod controller;
mod credentials;
pub mod follow;
mod gate;
mod going;
pub mod graph;
pub mod outputs;
mod retry;
mod revocation;
pub mod row;
pub mod scheduler;
pub mod status;
mod submit;
mod unstopped;
