//! The commit prober: one row committed every 50 ms beside the load. Latency bars are multiples of its median, because the disk is the
//! noisiest part of a shared machine.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::Outcome;
use crate::stats::{median, ms};

const EVERY: Duration = Duration::from_millis(50);

pub struct Prober {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Outcome<Vec<f64>>>,
}

impl Prober {
    pub async fn start(database_url: &str) -> Outcome<Self> {
        let mut connection = PgConnection::connect(database_url).await?;
        sqlx::query("CREATE TABLE IF NOT EXISTS commit_probe (id bigserial PRIMARY KEY, at timestamptz DEFAULT now())")
            .execute(&mut connection)
            .await?;
        let (stop, stopped) = oneshot::channel();
        Ok(Self {
            stop,
            task: tokio::spawn(probe(connection, stopped)),
        })
    }

    /// The median of the commits since the start, in milliseconds.
    pub async fn stop(self) -> Outcome<f64> {
        let _ = self.stop.send(());
        let mut samples = self.task.await??;
        Ok(median(&mut samples))
    }
}

/// The median over a while on a server of its own beside which nothing runs.
pub async fn alone(duration: Duration) -> Outcome<f64> {
    let directory = workload::fleet::directory()?;
    let stack = devservices::Stack::start(directory.path(), devservices::Options { durable: true }).await?;
    let prober = Prober::start(&stack.database_url).await?;
    tokio::time::sleep(duration).await;
    let commit = prober.stop().await;
    stack.discard().await;
    commit
}

async fn probe(mut connection: PgConnection, mut stopped: oneshot::Receiver<()>) -> Outcome<Vec<f64>> {
    let mut samples = Vec::new();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = &mut stopped => return Ok(samples),
            _ = ticks.tick() => {}
        }
        let started = Instant::now();
        sqlx::query("INSERT INTO commit_probe DEFAULT VALUES").execute(&mut connection).await?;
        samples.push(ms(started.elapsed()));
    }
}
