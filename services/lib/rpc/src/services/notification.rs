//! The notification service (internals §1.7).

use model::notification::NotificationType;

crate::service! {
    /// Starts e-mail work that is not triggered by a message.
    pub service NotificationManager => NotificationManagerClient, router notification_manager_router, at NotificationManager {
        /// Puts one WEEKLY_SUMMARY message on the queue for each user who was active in the last seven days.
        async fn queue_weekly_summary() -> ();

        /// Sends the batches of these types that are due.
        async fn process_existing_batches(notification_types: Vec<NotificationType>) -> (), idempotent;

        /// An alert for the platform's operators; `channel` is `platform` or `product`.
        async fn discord_system_alert(content: String, channel: String = "platform".to_owned()) -> ();
    }
}
