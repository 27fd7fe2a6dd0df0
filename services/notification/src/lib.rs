//! The notification service (8007): takes notifications from their queues and sends mails (internals §5).

mod delivery;
mod instruments;
mod mail;
mod manager;
mod queues;
mod render;
mod weekly;

use std::sync::Arc;
use std::time::Duration;

use bus::amqp::Publisher;
use bus::amqp::topology::Topology;
use model::notification::{NotificationEvent, NotificationType, Strategy};
use rpc::services::{DatabaseManagerClient, notification_manager_router};
use runtime::{Health, Metrics, Settings, Shutdown};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::instruments::Instruments;
use crate::weekly::Weekly;

pub use delivery::{Delivery, DeliveryError, Links};
pub use mail::{MailError, Mailer};
pub use manager::Manager;
pub use render::{Rendered, Renderer};

/// Summaries that may wait for RabbitMQ.
const OUTGOING: usize = 256;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the RPC server on port 8007 ended: {0}")]
    Serve(#[from] std::io::Error),
    #[error("the mail settings cannot be used: {0}")]
    Mail(#[from] MailError),
    #[error("an embedded mail template is broken: {0}")]
    Template(#[from] minijinja::Error),
}

/// Consumes the four queues, looks for batches and summaries that are due, and answers the RPC methods, until the shutdown.
pub async fn run(settings: Settings, listener: TcpListener, shutdown: Shutdown) -> Result<(), Error> {
    let health = Health::new(&shutdown);
    let metrics = Metrics::new();
    let instruments = Instruments::new(&metrics);
    let delivery = Arc::new(Delivery {
        database: Arc::new(DatabaseManagerClient::new(&settings).without_retries()),
        renderer: Renderer::new(&settings.frontend_base_url)?,
        mailer: Mailer::new(&settings.notification)?,
        admin_email: settings.notification.admin_email.clone(),
        batch_delay: Duration::from_secs(settings.notification.batch_delay_seconds),
        links: Links::from_settings(&settings),
    });
    let (outgoing, waiting) = mpsc::channel(OUTGOING);

    let mut tasks = JoinSet::new();
    for strategy in [Strategy::Immediate, Strategy::Admin, Strategy::Summary, Strategy::Batch] {
        tasks.spawn(queues::consume(
            settings.clone(),
            strategy,
            Arc::clone(&delivery),
            instruments.clone(),
            health.check(queues::check_name(strategy)),
            shutdown.clone(),
        ));
    }
    let publisher = Publisher::new(&settings, "notification", &[Topology::Notifications]);
    tasks.spawn(publish(publisher.clone(), waiting, shutdown.clone()));
    let pause = Duration::from_secs(settings.notification.batch_check_seconds.max(1));
    let weekly = Weekly {
        database: Arc::clone(&delivery.database),
        publisher,
        queued: instruments.summaries.clone(),
        pause,
    };
    tasks.spawn(weekly.run(shutdown.clone()));
    tasks.spawn(flush_batches(Arc::clone(&delivery), pause, shutdown.clone()));

    let manager = Arc::new(Manager { delivery, outgoing });
    let mut router = notification_manager_router(manager, &settings, &health);
    if settings.enable_metrics {
        router = router.merge(metrics.router());
    }
    runtime::serve::http(listener, router, shutdown.clone()).await?;
    while tasks.join_next().await.is_some() {}
    Ok(())
}

/// Looks for due batches at intervals; nothing else sends a batch whose user has no further runs.
async fn flush_batches(delivery: Arc<Delivery>, pause: Duration, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return,
        }
        if let Err(error) = delivery.flush(NotificationType::AgentRun).await {
            tracing::warn!(%error, "batches were not looked at");
        }
    }
}

async fn publish(publisher: Publisher, mut waiting: mpsc::Receiver<NotificationEvent>, shutdown: Shutdown) {
    loop {
        let event = tokio::select! {
            event = waiting.recv() => event,
            () = shutdown.cancelled() => return,
        };
        let Some(event) = event else { return };
        if let Err(error) = publisher.notification(&event).await {
            tracing::warn!(user = %event.user_id, %error, "a summary could not be queued");
        }
    }
}
