//! The summary of a week: by itself on Tuesday at 09:00 UTC or as soon after it as somebody can, and by hand.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use runtime::{Settings, Shutdown};
use sqlx::{Connection, Executor, PgConnection};
use store::Store;
use support::SmtpServer;
use tokio::net::TcpListener;
use uuid::Uuid;

/// The end of the week that ended last, in SQL.
const WEEK_END: &str = "(date_trunc('week', now() AT TIME ZONE 'UTC' - interval '33 hours') + interval '33 hours') AT TIME ZONE 'UTC'";

/// Servers, a database manager and the mail server; the notification service is started by each test. Ends them when it is dropped.
struct World {
    connection: PgConnection,
    store: Store,
    smtp: SmtpServer,
    settings: Settings,
    shutdown: Shutdown,
}

impl World {
    async fn new() -> Self {
        let (database, amqp) = (devservices::testing::database().await, devservices::testing::vhost().await);
        let store = Store::connect(&database, 2).unwrap();
        store.migrate().await.unwrap();
        let smtp = SmtpServer::start().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = Settings::from_pairs([
            ("DATABASE_URL", database.clone()),
            ("RABBITMQ_URL", amqp),
            ("DATABASEMANAGER_HOST", "127.0.0.1".to_owned()),
            ("DATABASE_API_PORT", listener.local_addr().unwrap().port().to_string()),
            ("SMTP_SERVER", "127.0.0.1".to_owned()),
            ("SMTP_PORT", smtp.port.to_string()),
            ("SMTP_TLS", "none".to_owned()),
            ("NOTIFICATION_SENDER_EMAIL", "platform@example.com".to_owned()),
            ("BATCH_CHECK_SECONDS", "1".to_owned()),
            ("ENABLE_METRICS", "true".to_owned()),
        ])
        .unwrap();
        let shutdown = Shutdown::new();
        tokio::spawn(Box::pin(db::run(
            settings.clone(),
            blocks::Registry::standard(),
            listener,
            shutdown.clone(),
        )));
        Self {
            connection: PgConnection::connect(&database).await.unwrap(),
            store,
            smtp,
            settings,
            shutdown,
        }
    }

    /// A user with a finished run of that time, which is SQL. The mail address.
    async fn user_with_run(&mut self, at: &str) -> String {
        let (user, graph, run) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
        let address = format!("{user}@example.com");
        self.store.get_or_create_user(user, &address, None).await.unwrap();
        let rows = format!(
            "INSERT INTO graphs (id, version, user_id, name, description) VALUES ('{graph}', 1, '{user}', 'Echo', '');
             INSERT INTO graph_executions (id, user_id, graph_id, graph_version, status, context, created_at, ended_at)
             VALUES ('{run}', '{user}', '{graph}', 1, 'COMPLETED', '{{}}', {at}, {at})"
        );
        self.connection.execute(sqlx::AssertSqlSafe(rows)).await.unwrap();
        address
    }

    /// Another replica of the service. Its address.
    async fn replica(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(Box::pin(notification::run(self.settings.clone(), listener, self.shutdown.clone())));
        url
    }

    async fn mails(&self, wanted: usize) -> Vec<support::Received> {
        let start = Instant::now();
        while self.smtp.received().len() < wanted {
            let so_far = self.smtp.received().len();
            assert!(start.elapsed() < Duration::from_secs(30), "{so_far} of {wanted} mails after 30 s");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.smtp.received()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

/// How many summaries a replica has queued.
async fn queued(replica: &str) -> usize {
    let answer = reqwest::get(format!("{replica}/metrics")).await.unwrap();
    assert_eq!(answer.status(), 200);
    let text = answer.text().await.unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("notification_weekly_summaries_queued_total "));
    line.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_replicas_one_sends_each_user_the_summary_of_the_week() {
    runtime::install_tls_provider();
    let mut world = World::new().await;
    let mut active = BTreeSet::new();
    for _ in 0..30 {
        active.insert(world.user_with_run(&format!("{WEEK_END} - interval '2 days'")).await);
    }
    world.user_with_run(&format!("{WEEK_END} - interval '8 days'")).await;
    world.user_with_run(&format!("{WEEK_END} + interval '1 second'")).await;
    let (one, other) = (world.replica().await, world.replica().await);
    let mails = world.mails(active.len()).await;
    assert!(mails.iter().all(|mail| mail.data.contains("Your week in agents")), "{}", mails[0].data);
    // One that starts later finds nothing left to do.
    let late = world.replica().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let told: Vec<String> = world.smtp.received().into_iter().map(|mail| mail.to).collect();
    assert_eq!(told.len(), active.len(), "nobody is told twice");
    assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), active);
    assert_eq!((queued(&one).await + queued(&other).await, queued(&late).await), (active.len(), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_for_the_summaries_does_not_wait_for_them() {
    runtime::install_tls_provider();
    let mut world = World::new().await;
    let address = world.user_with_run("now()").await;
    let replica = world.replica().await;
    // Until somebody lets go of the runs, nobody can read who had some.
    let mut locked = world.connection.begin().await.unwrap();
    locked.execute("LOCK TABLE graph_executions IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let asked = reqwest::Client::new()
        .post(format!("{replica}/queue_weekly_summary"))
        .header("content-type", "application/json")
        .body("{}")
        .send();
    let answer = tokio::time::timeout(Duration::from_secs(10), asked)
        .await
        .expect("the answer waits for the work")
        .unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, "null"));
    locked.rollback().await.unwrap();
    assert_eq!(world.mails(1).await[0].to, address);
}
