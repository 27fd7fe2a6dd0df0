//! Mails over real SMTP connections.

#![allow(clippy::unwrap_used)]

mod support;

use notification::{Mailer, Renderer};
use runtime::Settings;
use support::SmtpServer;

fn mailer(port: u16) -> Mailer {
    let pairs = [
        ("SMTP_SERVER", "127.0.0.1".to_owned()),
        ("SMTP_PORT", port.to_string()),
        ("SMTP_TLS", "none".to_owned()),
        ("NOTIFICATION_SENDER_EMAIL", "platform@example.com".to_owned()),
    ];
    Mailer::new(&Settings::from_pairs(pairs).unwrap().notification).unwrap()
}

fn mail() -> notification::Rendered {
    Renderer::new("")
        .unwrap()
        .render(model::notification::NotificationType::AgentRun, &[model::Map::new()])
        .unwrap()
}

#[tokio::test]
async fn a_mail_arrives_with_sender_recipient_subject_and_html() {
    let server = SmtpServer::start().await;
    mailer(server.port).send("somebody@example.com", mail(), None).await.unwrap();
    let received = server.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].to, "somebody@example.com");
    for part in ["From: platform@example.com", "Subject: Your agent runs", "Content-Type: text/html"] {
        assert!(received[0].data.contains(part), "{part} in {}", received[0].data);
    }
}

#[tokio::test]
async fn a_mail_says_where_such_mails_are_switched_off() {
    let server = SmtpServer::start().await;
    let mailer = mailer(server.port);
    let url = "https://platform.example.com/api/email/unsubscribe?token=abc%3D";
    mailer.send("a@example.com", mail(), Some(url)).await.unwrap();
    mailer.send("b@example.com", mail(), None).await.unwrap();
    let received = server.received();
    // A long line goes on in the next one.
    let with_link = received[0].data.replace("\n ", " ");
    for header in [&format!("List-Unsubscribe: <{url}>"), "List-Unsubscribe-Post: List-Unsubscribe=One-Click"] {
        assert!(with_link.contains(header), "{header} in {}", received[0].data);
    }
    assert!(!received[1].data.contains("List-Unsubscribe"), "{}", received[1].data);
}

#[tokio::test]
async fn a_refusal_for_good_and_one_for_now_are_told_apart() {
    let server = SmtpServer::start().await;
    let refused = mailer(server.port).send("nobody@example.com", mail(), None).await.unwrap_err();
    assert!(!refused.is_transient(), "{refused}");
    let busy = mailer(server.port).send("busy@example.com", mail(), None).await.unwrap_err();
    assert!(busy.is_transient(), "{busy}");
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn an_absent_server_is_a_passing_failure() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let error = mailer(port).send("somebody@example.com", mail(), None).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_without_a_connection() {
    let error = mailer(1).send("not an address", mail(), None).await.unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("not an address"), "{error}");
}
