//! The schedule controller: due times become executions, each exactly once.
//!
//! [`look`](look::look) decides, purely, over the [`book`], which is the status; [`controller`] carries it out with
//! [`act`] and stores it conditionally.

pub mod act;
pub mod book;
pub mod child;
pub mod children;
mod cleaner;
pub mod controller;
pub mod decided;
mod explain;
pub mod family;
mod history;
pub mod ledger;
pub mod look;
mod newest;
pub mod prepare;
mod recorder;
mod row;
pub mod spec;
mod status;
pub mod timers;
