//! The machine as a whole: graphs of small test blocks, run in memory, their journal kept as a database would.

mod contract;
mod judging;
mod properties;
mod resuming;
mod support;
