//! The operator's numbers.

use ::runtime::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::runtime::lanes::{CallLabel, LaneLabel};

/// Which controller a number is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Controller {
    pub controller: &'static str,
}

/// Everything that is counted. Cheap to clone.
#[derive(Clone)]
pub struct OperatorMetrics {
    pub registry: Metrics,
    pub leader: Gauge,
    /// From the last that this process saw of the leader before to the moment at which it led itself.
    pub fail_over: Histogram,
    pub reconciles: Family<Controller, Counter>,
    pub errors: Family<Controller, Counter>,
    pub writes: Family<Controller, Counter>,
    pub schedule_lateness: Histogram,
    pub fired: Counter,
    /// Creations that had been made ready before their due time.
    pub prepared: Counter,
    /// Requests to the API server that wait for their place, by lane.
    pub queue: Family<LaneLabel, Gauge>,
    /// How long they waited.
    pub queued: Histogram,
    /// Requests that were answered, by lane and status.
    pub calls: Family<CallLabel, Counter>,
}

impl OperatorMetrics {
    pub fn new() -> Self {
        let registry = Metrics::new();
        Self {
            leader: registry.gauge("operator_leader", "1 while this process leads"),
            fail_over: registry.seconds(
                "operator_fail_over_seconds",
                "From the last renewal or the release of the Lease, as this process saw it, to the moment at which it had the Lease",
            ),
            reconciles: registry.register("operator_reconciles", "Looks at an object, by controller", Family::default()),
            errors: registry.register(
                "operator_reconcile_errors",
                "Looks that ended with an error, by controller",
                Family::default(),
            ),
            writes: registry.register("operator_writes", "Objects and statuses written, by controller", Family::default()),
            schedule_lateness: registry.seconds("operator_schedule_lateness_seconds", "From a due time to the creation of its execution"),
            fired: registry.counter("operator_schedule_fired", "Due times that became executions"),
            prepared: registry.counter(
                "operator_schedule_prepared",
                "Creations of executions that had been made ready before their due time",
            ),
            queue: registry.register("operator_queue_depth", "Requests that wait for their place, by lane", Family::default()),
            queued: registry.seconds("operator_queue_seconds", "How long a request waited for its place"),
            calls: registry.register("operator_api_calls", "Requests to the API server, by lane and status", Family::default()),
            registry,
        }
    }
}

impl Default for OperatorMetrics {
    fn default() -> Self {
        Self::new()
    }
}
