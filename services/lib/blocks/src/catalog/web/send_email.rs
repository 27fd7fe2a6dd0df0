//! Sends a mail over the user's own mail server.

use std::time::Duration;

use engine::block::Effects;
use engine::types::PinType;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use model::credentials::CredentialSecret;
use serde_json::{Value, json};
use uuid::uuid;

use crate::acting::{Acted, Acting};
use crate::block::{BlockContext, Failure};
use crate::catalog::credentials;
use crate::describe::{Describe, output, required};
use crate::emit::Emitter;
use crate::immediate::Inputs;

const TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_PORT: u16 = 25;

pub(crate) fn block() -> Acting {
    let config = json!({
        "type": "object",
        "properties": {
            "smtp_server": { "type": "string", "title": "Smtp Server", "description": "The name of the mail server." },
            "smtp_port": { "type": "integer", "title": "Smtp Port", "default": DEFAULT_PORT, "description": "Its port." },
        },
        "required": ["smtp_server"],
    });
    let descriptor = Describe::new(
        uuid!("4335878a-394e-4e67-adf2-919877ff49ae"),
        "SendEmailBlock",
        "Sends a mail over your mail server.",
    )
    .categories(&["OUTPUT"])
    .effects(Effects::Once)
    .input(
        required("to_email", PinType::Str)
            .about("Who gets the mail.")
            .placeholder("recipient@example.com"),
    )
    .input(required("subject", PinType::Str).about("The subject."))
    .input(required("body", PinType::Str).about("The text."))
    .input(required("config", PinType::Opaque).schema(config).about("The mail server."))
    .input(credentials::pin(&["smtp"], "user_password"))
    .output(output("status", PinType::Str).about("Says that the mail was sent."));
    Acting::new(descriptor.build(), run)
}

fn run<'a>(mut input: Inputs, context: &'a BlockContext, out: &'a mut Emitter<'_>) -> Acted<'a> {
    Box::pin(async move {
        let CredentialSecret::UserPassword { username, password } = credentials::open(&mut input, context).await?.secret else {
            return Err(Failure::raised("Invalid credentials: type/provider mismatch"));
        };
        let no_address = |error: lettre::address::AddressError| Failure::reported(format!("Invalid email address: {error}"));
        let mail = Message::builder()
            .from(username.parse().map_err(no_address)?)
            .to(input.text("to_email").parse().map_err(no_address)?)
            .subject(input.text("subject"))
            .header(ContentType::TEXT_PLAIN)
            .body(input.text("body"))
            .map_err(|error| Failure::reported(format!("Failed to write the email: {error}")))?;
        let config = input.map("config");
        let server = config.get("smtp_server").and_then(Value::as_str).unwrap_or_default();
        let port = match config.get("smtp_port").and_then(Value::as_u64) {
            Some(port) => u16::try_from(port).map_err(|_| Failure::reported(format!("Cannot connect to SMTP server: {port} is no port")))?,
            None => DEFAULT_PORT,
        };
        let refused = |error: &dyn std::fmt::Display| Failure::reported(format!("Cannot connect to SMTP server '{server}' on port {port}: {error}"));
        // The address is looked at here and connected to as it is; the certificate is still that of the name.
        let address = context.outside.web().address(server, port).await.map_err(|error| refused(&error))?;
        let tls = TlsParameters::new(server.to_owned()).map_err(|error| refused(&error))?;
        let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.to_string())
            .port(port)
            .tls(Tls::Required(tls))
            .credentials(Credentials::new(username, password))
            .timeout(Some(TIMEOUT))
            .build();
        match transport.send(mail).await {
            Ok(_) => out.emit("status", "Email sent successfully").await,
            Err(error) if error.is_timeout() => Err(refused(&"no answer in time")),
            Err(error) if error.is_permanent() || error.is_transient() => {
                Err(Failure::reported(format!("The SMTP server refused the email: {error}")))
            }
            Err(error) => Err(refused(&error)),
        }
    })
}
