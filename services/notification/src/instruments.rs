//! What is counted. No labels of users.

use prometheus_client::metrics::counter::Counter;
use runtime::Metrics;

#[derive(Clone)]
pub struct Instruments {
    pub handled: Counter,
    pub refused: Counter,
    pub put_off: Counter,
    pub summaries: Counter,
}

impl Instruments {
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            handled: metrics.counter(
                "notification_messages_handled",
                "Notifications that were mailed, kept for a batch or not wanted",
            ),
            refused: metrics.counter(
                "notification_messages_dead_lettered",
                "Notifications that can never be delivered and went to the dead letters",
            ),
            put_off: metrics.counter("notification_messages_put_off", "Attempts that failed and are repeated"),
            summaries: metrics.counter(
                "notification_weekly_summaries_queued",
                "Weekly summaries put on their queue by this process",
            ),
        }
    }
}
