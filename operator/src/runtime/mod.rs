//! What the three controllers stand on: leadership, caches, applying, time, events, metrics.

pub mod apply;
pub mod cache;
pub mod connection;
pub mod crds;
pub mod events;
pub mod kept;
pub mod lanes;
pub mod leadership;
pub mod lease;
pub mod metrics;
pub mod refusal;
pub mod retries;
pub mod sweep;
pub mod task;
pub mod time;
pub mod tolerant;

/// Objects of a kind that are looked at at the same time. At a start all of them want to be, and each look takes some room; what waits for
/// the API server waits in the lanes.
pub const LOOKS: u16 = 1024;
