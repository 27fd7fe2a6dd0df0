//! The cron dialect of the REST contract (internals §4.4, findings 24–25).
//!
//! Five fields, weekdays from 0 = Monday, day of month *and* weekday must match. It is spoken at the edge only: schedules are kept in
//! this dialect as the user wrote them, shown with the next time that the reference would show ([`ContractCron::shown_after`]), and
//! fired by the standard dialect's rules ([`ContractCron::to_standard`], [`Firing`]), the same for both stores.

mod firing;
mod parse;
mod shown;
mod standard;
mod wall;

pub use firing::{Firing, FiringError};
pub use parse::{ContractCron, CronError};
