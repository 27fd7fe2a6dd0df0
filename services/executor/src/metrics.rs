//! The gauges of the contract (internals §1.3) and what tells how intake goes.

use std::sync::atomic::AtomicU64;

use axum::Router;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use runtime::{Health, Metrics};

#[derive(Clone)]
pub struct ExecutorMetrics {
    active: Gauge,
    pool: Gauge,
    utilization: Gauge<f64, AtomicU64>,
    pub claimed: Counter,
    pub lost: Counter,
    /// From the submission of a run to its first claim.
    pub queue_seconds: Histogram,
    pub run_seconds: Histogram,
}

/// What the work on all runs adds to.
#[derive(Clone)]
pub struct WorkMetrics {
    pub node_seconds: Histogram,
    /// Attempts of nodes after their first.
    pub node_retries: Counter,
    pub journal_entries: Histogram,
    pub journal_runs: Histogram,
}

impl WorkMetrics {
    pub fn new(metrics: &Metrics) -> Self {
        // 1 to about 16 000.
        let sizes = || Histogram::new(exponential_buckets(1.0, 2.0, 15));
        Self {
            node_seconds: metrics.seconds("execution_manager_node_seconds", "How long a node execution took"),
            node_retries: metrics.counter("executor_node_retries", "Attempts of nodes after their first"),
            journal_entries: metrics.register("execution_manager_journal_entries", "Journal entries of one append call", sizes()),
            journal_runs: metrics.register("execution_manager_journal_runs", "Runs that one append call carries entries of", sizes()),
        }
    }
}

impl ExecutorMetrics {
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            active: metrics.gauge("execution_manager_active_runs", "Runs that this executor works on"),
            pool: metrics.gauge("execution_manager_pool_size", "Runs that this executor can work on at the same time"),
            utilization: metrics.register(
                "execution_manager_utilization_ratio",
                "Active runs by pool size; 1 while draining",
                Gauge::<f64, AtomicU64>::default(),
            ),
            claimed: metrics.counter("execution_manager_claimed_runs", "Runs claimed"),
            lost: metrics.counter(
                "execution_manager_lost_runs",
                "Runs that went to another executor while this one worked on them",
            ),
            queue_seconds: metrics.seconds("execution_manager_queue_seconds", "From the submission of a run to its first claim"),
            run_seconds: metrics.seconds(
                "execution_manager_run_seconds",
                "How long this executor worked on a run until it was over",
            ),
        }
    }

    pub fn show(&self, active: usize, pool: usize, draining: bool) {
        self.active.set(i64::try_from(active).unwrap_or(i64::MAX));
        self.pool.set(i64::try_from(pool).unwrap_or(i64::MAX));
        self.utilization
            .set(if draining || pool == 0 { 1.0 } else { active as f64 / pool as f64 });
    }
}

/// `/livez` and `/readyz`; every other path answers with the metrics, as the contract has it.
pub fn router(metrics: &Metrics, health: &Health) -> Router {
    let metrics = metrics.clone();
    health.router().fallback(async move || metrics.response())
}
