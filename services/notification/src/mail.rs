//! Sending: by SMTP when a server is configured, otherwise into the log.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use runtime::settings::{NotificationSettings, SmtpTls};

use crate::render::Rendered;

const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum MailError {
    #[error("SMTP_SERVER or SMTP_TLS: cannot prepare the connection: {0}")]
    Server(#[source] lettre::transport::smtp::Error),
    #[error("{address:?} is no mail address: {source}")]
    Address {
        address: String,
        source: lettre::address::AddressError,
    },
    #[error("the mail cannot be put together: {0}")]
    Message(#[source] lettre::error::Error),
    #[error("the mail server refused it for good: {0}")]
    Refused(#[source] lettre::transport::smtp::Error),
    #[error("the mail server is not to be reached or busy: {0}")]
    Unavailable(#[source] lettre::transport::smtp::Error),
}

impl MailError {
    /// Whether the same mail may go through later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

pub struct Mailer {
    sender: Mailbox,
    transport: Transport,
}

enum Transport {
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
    Log,
}

impl Mailer {
    /// Checks the sender's address at start, so that a typing error is seen then and not with the first mail.
    pub fn new(settings: &NotificationSettings) -> Result<Self, MailError> {
        let sender = mailbox(&settings.sender_email)?;
        let Some(server) = &settings.smtp_server else {
            tracing::info!("no SMTP_SERVER is set: mails are logged instead of sent");
            return Ok(Self {
                sender,
                transport: Transport::Log,
            });
        };
        let mut builder = match settings.smtp_tls {
            SmtpTls::StartTls => AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(server).map_err(MailError::Server)?,
            SmtpTls::Implicit => AsyncSmtpTransport::<Tokio1Executor>::relay(server).map_err(MailError::Server)?,
            SmtpTls::None => AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server),
        }
        .port(settings.smtp_port)
        .timeout(Some(TIMEOUT));
        if let Some(username) = &settings.smtp_username {
            builder = builder.credentials(Credentials::new(username.clone(), settings.smtp_password.expose().to_owned()));
        }
        Ok(Self {
            sender,
            transport: Transport::Smtp(builder.build()),
        })
    }

    /// `unsubscribe` is the address that switches such mails off when a mail program posts to it.
    pub async fn send(&self, to: &str, mail: Rendered, unsubscribe: Option<&str>) -> Result<(), MailError> {
        let mut message = Message::builder()
            .from(self.sender.clone())
            .to(mailbox(to)?)
            .subject(&mail.subject)
            .header(ContentType::TEXT_HTML);
        if let Some(url) = unsubscribe {
            message = message
                .header(ListUnsubscribe(format!("<{url}>")))
                .header(ListUnsubscribePost("List-Unsubscribe=One-Click".to_owned()));
        }
        let message = message.body(mail.html).map_err(MailError::Message)?;
        match &self.transport {
            Transport::Smtp(smtp) => match smtp.send(message).await {
                Ok(_) => Ok(()),
                Err(error) if error.is_permanent() => Err(MailError::Refused(error)),
                Err(error) => Err(MailError::Unavailable(error)),
            },
            Transport::Log => {
                tracing::info!(subject = mail.subject, "mail not sent: no SMTP_SERVER is set");
                Ok(())
            }
        }
    }
}

fn mailbox(address: &str) -> Result<Mailbox, MailError> {
    address.parse().map_err(|source| MailError::Address {
        address: address.to_owned(),
        source,
    })
}

/// A header of RFC 8058 (one-click unsubscription).
macro_rules! text_header {
    ($type:ident, $name:literal) => {
        #[derive(Clone)]
        struct $type(String);

        impl Header for $type {
            fn name() -> HeaderName {
                HeaderName::new_from_ascii_str($name)
            }

            fn parse(text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
                Ok(Self(text.to_owned()))
            }

            fn display(&self) -> HeaderValue {
                HeaderValue::new(Self::name(), self.0.clone())
            }
        }
    };
}

text_header!(ListUnsubscribe, "List-Unsubscribe");
text_header!(ListUnsubscribePost, "List-Unsubscribe-Post");
