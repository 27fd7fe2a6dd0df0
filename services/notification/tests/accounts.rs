//! From a forgotten password to a new session: the REST service asks for the mail, this service sends it by SMTP, and the link in it works.

#![allow(clippy::unwrap_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::time::{Duration, Instant};

use runtime::{Settings, Shutdown};
use serde_json::{Value, json};
use store::Store;
use support::{Received, SmtpServer};
use tokio::net::TcpListener;
use uuid::Uuid;

/// A mail that was sent to this address, waited for.
async fn mail_to(smtp: &SmtpServer, address: &str) -> Received {
    let began = Instant::now();
    loop {
        if let Some(mail) = smtp.received().into_iter().find(|mail| mail.to == address) {
            return mail;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "no mail after 60 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The address of the first link, as a mail program reads it: quoted-printable, then HTML.
fn link(mail: &Received) -> String {
    let html = mail.data.replace("=\n", "").replace("=3D", "=");
    let (_, rest) = html.split_once("<a href=\"").unwrap();
    let (link, _) = rest.split_once('"').unwrap();
    link.replace("&#x2f;", "/").replace("&amp;", "&")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_brings_back_an_account_whose_password_is_forgotten() {
    runtime::install_tls_provider();
    let (database, amqp) = (devservices::testing::database().await, devservices::testing::vhost().await);
    Store::connect(&database, 1).unwrap().migrate().await.unwrap();
    let smtp = SmtpServer::start().await;
    let mut listeners = Vec::new();
    for _ in 0..3 {
        listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let ports: Vec<u16> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
    let base = format!("http://127.0.0.1:{}", ports[2]);
    let settings = Settings::from_pairs([
        ("DATABASE_URL", database),
        ("RABBITMQ_URL", amqp),
        ("REDIS_URL", devservices::testing::redis_url()),
        ("DATABASEMANAGER_HOST", "127.0.0.1".to_owned()),
        ("DATABASE_API_PORT", ports[0].to_string()),
        ("SMTP_SERVER", "127.0.0.1".to_owned()),
        ("SMTP_PORT", smtp.port.to_string()),
        ("SMTP_TLS", "none".to_owned()),
        ("NOTIFICATION_SENDER_EMAIL", "platform@example.com".to_owned()),
        ("JWT_VERIFY_KEY", "a secret of the tests, long enough for HS256".to_owned()),
        ("PLATFORM_BASE_URL", base.clone()),
    ])
    .unwrap();
    let shutdown = Shutdown::new();
    let _end = shutdown.token().drop_guard();
    let mut listeners = listeners.into_iter();
    let mut next = || listeners.next().unwrap();
    let blocks = blocks::Registry::standard;
    tokio::spawn(Box::pin(db::run(settings.clone(), blocks(), next(), shutdown.clone())));
    tokio::spawn(Box::pin(notification::run(settings.clone(), next(), shutdown.clone())));
    tokio::spawn(Box::pin(rest::run(settings.clone(), blocks(), next(), shutdown.clone())));

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = async |path: &str, body: Value| {
        let answer = client.post(format!("{base}/auth/v1{path}")).json(&body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.unwrap_or_default())
    };
    let email = format!("{}@example.com", Uuid::new_v4());
    let (status, answer) = post("/signup", json!({"email": email, "password": "correct horse battery"})).await;
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = post("/recover", json!({ "email": email })).await;
    assert_eq!(status, 200, "{answer}");

    let mail = mail_to(&smtp, &email).await;
    assert!(mail.data.contains("From: platform@example.com"), "{}", mail.data);
    let link = link(&mail);
    let token = link.split(['?', '&']).find_map(|part| part.strip_prefix("token="));
    let token = token.unwrap_or_else(|| panic!("no token in {link}"));
    let (status, session) = post("/verify", json!({"type": "recovery", "token_hash": token})).await;
    assert_eq!((status, &session["user"]["email"]), (200, &json!(email)), "{session}");
    let bearer = session["access_token"].as_str().unwrap();
    let change = client.put(format!("{base}/auth/v1/user")).bearer_auth(bearer);
    let changed = change.json(&json!({"password": "another horse battery"})).send().await.unwrap();
    assert_eq!(changed.status().as_u16(), 200);
    let log_in = async |password: &str| post("/token?grant_type=password", json!({"email": email, "password": password})).await.0;
    assert_eq!((log_in("another horse battery").await, log_in("correct horse battery").await), (200, 400));
    let (status, again) = post("/verify", json!({"type": "recovery", "token_hash": token})).await;
    assert_eq!(status, 403, "a link works once: {again}");
}
