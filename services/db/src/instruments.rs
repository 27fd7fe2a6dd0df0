//! What is counted. No labels of users, graphs or runs.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use runtime::Metrics;

#[derive(Clone)]
pub struct Instruments {
    pub relayed: Counter,
    pub outbox_lag: Gauge<f64, AtomicU64>,
    pub leases_expired: Counter,
    pub runs_requeued: Counter,
    pub runs_dead: Counter,
    pub runs_past_deadline: Counter,
    pub runs_claimed: Counter,
    pub journal_batches: Counter,
    pub journal_seconds: Histogram,
}

impl Instruments {
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            relayed: metrics.counter("database_manager_outbox_relayed", "Wake-ups that RabbitMQ has confirmed"),
            outbox_lag: metrics.register(
                "database_manager_outbox_lag_seconds",
                "Age of the oldest wake-up that RabbitMQ has not confirmed",
                Gauge::<f64, AtomicU64>::default(),
            ),
            leases_expired: metrics.counter("database_manager_leases_expired", "Executors that stopped renewing their lease"),
            runs_requeued: metrics.counter("database_manager_runs_requeued", "Runs taken from executors that were gone"),
            runs_dead: metrics.counter("database_manager_runs_dead", "Runs that were given up and put on the dead list"),
            runs_past_deadline: metrics.counter("database_manager_runs_past_deadline", "Waiting runs that were ended at their deadline"),
            runs_claimed: metrics.counter("database_manager_runs_claimed", "Runs given to executors"),
            journal_batches: metrics.counter("database_manager_journal_batches", "Journal batches received"),
            journal_seconds: metrics.seconds("database_manager_journal_append_seconds", "Time of one append with all its batches"),
        }
    }
}
