//! The platform controller: dereference → validate → build → roll-out decision → apply → status.

mod act;
pub mod build;
pub mod component;
pub mod controller;
pub mod dereference;
pub mod gateway;
pub mod live;
pub mod rollout;
mod status;
pub mod troubles;
pub mod validate;
