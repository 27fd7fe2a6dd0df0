//! The run path over HTTP, against the `app` binary: all six services in one process, on real servers.

mod app;
mod recorded;
mod refusals;
mod runs;
