//! The schedule controller: due times become executions, each exactly once.

pub mod calendar;
pub mod child;
pub mod controller;
pub mod decide;
mod history;
mod status;
pub mod timers;
