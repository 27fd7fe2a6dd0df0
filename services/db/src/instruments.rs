//! What is counted. No labels of users, graphs or runs.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use runtime::Metrics;

#[derive(Clone)]
pub struct Instruments {
    pub relayed: Counter,
    pub leases_expired: Counter,
    pub runs_requeued: Counter,
    pub runs_claimed: Counter,
    pub journal_batches: Counter,
    pub journal_seconds: Histogram,
}

impl Instruments {
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            relayed: metrics.counter("database_manager_outbox_relayed", "Wake-ups that RabbitMQ has confirmed"),
            leases_expired: metrics.counter("database_manager_leases_expired", "Executors that stopped renewing their lease"),
            runs_requeued: metrics.counter("database_manager_runs_requeued", "Runs taken from executors that were gone"),
            runs_claimed: metrics.counter("database_manager_runs_claimed", "Runs given to executors"),
            journal_batches: metrics.counter("database_manager_journal_batches", "Journal batches received"),
            journal_seconds: metrics.seconds("database_manager_journal_append_seconds", "Time of one append with all its batches"),
        }
    }
}
