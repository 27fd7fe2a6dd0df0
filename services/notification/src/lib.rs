//! The notification service (8007): takes notifications from their queues and sends mails (internals §5).

mod delivery;
mod mail;
mod manager;
mod render;

pub use delivery::{Delivery, DeliveryError};
pub use mail::{MailError, Mailer};
pub use manager::Manager;
pub use render::{Rendered, Renderer};
