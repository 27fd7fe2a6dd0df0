//! What the three controllers stand on: leadership, caches, applying, time, events, metrics.

pub mod apply;
pub mod cache;
pub mod crds;
pub mod events;
pub mod lanes;
pub mod leadership;
pub mod lease;
pub mod metrics;
pub mod retries;
pub mod time;
pub mod tolerant;
