//! What the service counts.

use prometheus_client::metrics::counter::Counter;
use runtime::Metrics;

#[derive(Clone)]
pub struct SchedulerMetrics {
    /// Runs that the operator submitted and that were new.
    pub submitted: Counter,
    /// Submissions of the operator that were refused.
    pub refused: Counter,
    /// Slots of schedules that became runs here.
    pub fired: Counter,
    /// Attempts to turn a slot into a run that failed.
    pub failed: Counter,
    /// Runs told by the stream of progress.
    pub streamed: Counter,
    /// Runs told because somebody asked for their keys.
    pub told_by_key: Counter,
}

impl SchedulerMetrics {
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            submitted: metrics.counter("scheduler_runs_submitted", "New runs submitted through this service"),
            refused: metrics.counter("scheduler_runs_refused", "Submissions that were refused"),
            fired: metrics.counter("scheduler_slots_fired", "Slots of schedules that became runs"),
            failed: metrics.counter("scheduler_slots_failed", "Attempts to start the run of a slot that failed"),
            streamed: metrics.counter("scheduler_progress_streamed", "Runs told by the stream of progress"),
            told_by_key: metrics.counter("scheduler_progress_told_by_key", "Runs told to an operator that asked for them"),
        }
    }
}
