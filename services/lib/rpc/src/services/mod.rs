//! The three internal servers, one declaration each.

mod database_manager;
mod notification;
mod scheduler;

pub use database_manager::{DatabaseManager, DatabaseManagerClient, database_manager_router};
pub use notification::{NotificationManager, NotificationManagerClient, notification_manager_router};
pub use scheduler::{Scheduler, SchedulerClient, scheduler_router};
