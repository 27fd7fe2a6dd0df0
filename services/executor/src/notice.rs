//! What users are told by mail: that a run has ended (internals §2.8 step 10) and that their credits do (§2.12). Shapes: §5.2.

use std::time::Duration;

use bus::amqp::topology::Topology;
use bus::amqp::{Error, Outgoing, Publisher};
use engine::run::Run;
use model::notification::{NotificationEvent, NotificationType};
use model::{CreditReservation, Map, Timestamp, UserId};
use runtime::retry::Backoff;
use runtime::{Settings, Shutdown};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Notifications that wait for the broker's confirmation together: one by one they would be slower than the runs that they are about.
const AT_ONCE: usize = 256;
/// How long the last notifications may take when the process is ending.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What the mail about a finished run says.
pub fn agent_run(run: &Run, agent_name: &str) -> NotificationEvent {
    let execution = run.graph_execution();
    let stats = execution.meta.stats.unwrap_or_default();
    let outputs: Vec<Value> = execution
        .outputs
        .into_iter()
        .map(|(name, values)| json!({"name": name, "output": values}))
        .collect();
    let mut data = Map::new();
    data.insert("agent_name".to_owned(), agent_name.into());
    data.insert("credits_used".to_owned(), json!(stats.cost as f64));
    data.insert("execution_time".to_owned(), json!(stats.duration));
    data.insert("node_count".to_owned(), stats.node_exec_count.into());
    data.insert("graph_id".to_owned(), execution.meta.graph_id.to_string().into());
    data.insert("outputs".to_owned(), outputs.into());
    NotificationEvent {
        kind: NotificationType::AgentRun,
        user_id: execution.meta.user_id,
        created_at: Timestamp::now(),
        // The same run always gives the same id, so that a doubled message can be recognised.
        id: Some(execution.meta.id.to_string()),
        data,
    }
}

/// An agent ran out of credits.
pub fn zero_balance(refused: &CreditReservation, agent_name: &str, balance: i64, shortfall: i64, billing_page: &str) -> NotificationEvent {
    let data = [
        ("agent_name", agent_name.into()),
        ("current_balance", json!(balance as f64)),
        ("billing_page_link", billing_page.into()),
        ("shortfall", json!(shortfall as f64)),
    ];
    NotificationEvent {
        kind: NotificationType::ZeroBalance,
        user_id: refused.user_id,
        created_at: Timestamp::now(),
        id: Some(refused.node_exec_id.to_string()),
        data: fields(data),
    }
}

/// The balance fell below the threshold.
pub fn low_balance(user_id: UserId, balance: i64, billing_page: &str) -> NotificationEvent {
    let data = [("current_balance", json!(balance as f64)), ("billing_page_link", billing_page.into())];
    NotificationEvent {
        kind: NotificationType::LowBalance,
        user_id,
        created_at: Timestamp::now(),
        id: None,
        data: fields(data),
    }
}

fn fields(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Map {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Sends notifications in order, waiting while RabbitMQ is away. At the shutdown those that wait get a last chance.
pub async fn publish(settings: Settings, mut queue: mpsc::Receiver<NotificationEvent>, shutdown: Shutdown) {
    let publisher = Publisher::new(&settings, "executor notifications", &[Topology::Notifications]);
    let mut events = Vec::with_capacity(AT_ONCE);
    loop {
        let received = tokio::select! {
            biased;
            received = queue.recv_many(&mut events, AT_ONCE) => received,
            () = shutdown.cancelled() => 0,
        };
        if received == 0 {
            return;
        }
        let mut messages: Vec<Outgoing> = events.drain(..).filter_map(|event| message(&event)).collect();
        let mut backoff = Backoff::default();
        while !messages.is_empty() {
            tokio::select! {
                results = publisher.publish_all(&messages) => messages = not_sent(messages, results, backoff.attempts() == 0),
                () = shutdown.cancelled() => {
                    let _ = tokio::time::timeout(LAST_WORDS, publisher.publish_all(&messages)).await;
                    return;
                }
            }
            if !messages.is_empty() {
                tokio::select! {
                    () = tokio::time::sleep(backoff.next_delay()) => {}
                    () = shutdown.cancelled() => {}
                }
            }
        }
    }
}

fn message(event: &NotificationEvent) -> Option<Outgoing> {
    Outgoing::notification(event)
        .inspect_err(|error| tracing::error!(%error, "a notification is dropped"))
        .ok()
}

/// What has to be sent again. A message that no queue takes is dropped, as the contract has it.
fn not_sent(messages: Vec<Outgoing>, results: Vec<Result<(), Error>>, first: bool) -> Vec<Outgoing> {
    let mut left = Vec::new();
    for (message, result) in messages.into_iter().zip(results) {
        match result {
            Ok(()) => {}
            Err(error @ Error::Unroutable { .. }) => tracing::warn!(%error, "a notification is dropped"),
            Err(error) => {
                if first && left.is_empty() {
                    tracing::warn!(%error, "notifications wait for RabbitMQ");
                }
                left.push(message);
            }
        }
    }
    left
}
