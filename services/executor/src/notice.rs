//! The AGENT_RUN notification at the end of a run (internals §2.8 step 10, §5.2).

use std::time::Duration;

use bus::amqp::topology::Topology;
use bus::amqp::{Error, Outgoing, Publisher};
use engine::run::Run;
use model::notification::{NotificationEvent, NotificationType};
use model::{Map, Timestamp};
use runtime::{Settings, Shutdown};
use serde_json::{Value, json};
use tokio::sync::mpsc;

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

/// Sends notifications in order, waiting while RabbitMQ is away. At the shutdown those that wait get a last chance.
pub async fn publish(settings: Settings, mut queue: mpsc::Receiver<NotificationEvent>, shutdown: Shutdown) {
    let publisher = Publisher::new(&settings, "executor notifications", &[Topology::Notifications]);
    loop {
        let event = tokio::select! {
            biased;
            event = queue.recv() => event,
            () = shutdown.cancelled() => None,
        };
        let Some(event) = event else { return };
        let message = match Outgoing::notification(&event) {
            Ok(message) => message,
            Err(error) => {
                tracing::error!(%error, "a notification is dropped");
                continue;
            }
        };
        let send = runtime::retry::retry_forever("RabbitMQ for notifications", &shutdown, || publish_once(&publisher, &message));
        if send.await.is_none() {
            let _ = tokio::time::timeout(LAST_WORDS, publisher.publish(&message)).await;
            return;
        }
    }
}

/// A message that no queue takes is dropped, as the contract has it.
async fn publish_once(publisher: &Publisher, message: &Outgoing) -> Result<(), Error> {
    match publisher.publish(message).await {
        Err(error @ Error::Unroutable { .. }) => {
            tracing::warn!(%error, "a notification is dropped");
            Ok(())
        }
        other => other,
    }
}
