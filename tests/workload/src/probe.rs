//! How fast the disk is: what latencies are to be compared with.

use std::time::{Duration, Instant};

use runtime::BoxError;
use sqlx::{Connection, Executor, PgConnection};

use crate::{Fleet, Fleets};

const COMMITS: usize = 21;
const APART: Duration = Duration::from_millis(50);

/// Median time in milliseconds of a commit of one row, one every 50 ms, on a PostgreSQL of its own; `durable` is with fsync.
///
/// # Errors
/// When the servers cannot be started.
pub async fn commit_p50_ms(durable: bool) -> Result<f64, BoxError> {
    let servers = Fleet::start(Fleets {
        db: 0,
        executor: 0,
        scheduler: 0,
        rest: 0,
        durable,
        ..Fleets::default()
    })
    .await?;
    let mut connection = PgConnection::connect(servers.database_url()).await?;
    connection.execute("CREATE TABLE probe (at timestamptz)").await?;
    let mut times = Vec::with_capacity(COMMITS);
    for _ in 0..COMMITS {
        let started = Instant::now();
        connection.execute("INSERT INTO probe VALUES (now())").await?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
        tokio::time::sleep(APART).await;
    }
    connection.close().await?;
    servers.stop().await;
    times.sort_by(f64::total_cmp);
    Ok(times.get(COMMITS / 2).copied().unwrap_or_default())
}
