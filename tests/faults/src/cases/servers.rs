//! PostgreSQL, RabbitMQ, Redis and the database manager go away and come back.

use std::collections::HashMap;
use std::time::Duration;

use devservices::Part;
use serde_json::json;
use sqlx::postgres::PgPool;
use uuid::Uuid;
use workload::kit::id;
use workload::{Fleets, Role, graphs};

use crate::Result;
use crate::invariants::Expected;
use crate::report::Outcome;
use crate::scope::{Scope, Size};
use crate::world::World;

const USERS: usize = 8;
/// For so long a PostgreSQL that is away must cost no take-over.
const OUTAGE: Duration = Duration::from_secs(20);

fn effects() -> serde_json::Value {
    graphs::chain(10, id::EFFECT, &json!({"ms": 250}))
}

/// A server is killed again and again, each time for `away`.
async fn server(scope: &Scope, case: &'static str, part: Part, away: Duration) -> Result<Outcome> {
    let every = Duration::from_secs(15);
    let size = scope.size(Size { faults: 5, runs: 1000 }, every);
    let mut world = World::with_executors(scope, 3).await?;
    let tickets = world.tickets(USERS, &effects()).await?;
    let load = world.submit(tickets, size.runs, every.mul_f64(size.faults as f64));
    for _ in 0..size.faults {
        tokio::time::sleep(every / 3).await;
        world.outage(part, away).await?;
        tokio::time::sleep(every / 3).await;
    }
    let accepted = load.await??;
    if part != Part::Redis {
        world.follow(&accepted);
    }
    world.judge(case, Expected::completed(accepted)).await
}

pub async fn rabbitmq(scope: &Scope) -> Result<Outcome> {
    server(scope, "rabbitmq_kill", Part::RabbitMq, Duration::from_secs(3)).await
}

pub async fn postgres(scope: &Scope) -> Result<Outcome> {
    server(scope, "postgres_kill", Part::Postgres, Duration::from_secs(2)).await
}

pub async fn redis(scope: &Scope) -> Result<Outcome> {
    server(scope, "redis_kill", Part::Redis, Duration::from_secs(3)).await
}

/// While RabbitMQ is short of memory it takes no message. Runs are accepted and worked off all the same, as the database manager tells
/// idle executors itself; the wake-ups wait and arrive later.
pub async fn broker_alarm(scope: &Scope) -> Result<Outcome> {
    let (every, alarm) = (Duration::from_secs(12), Duration::from_secs(6));
    let size = scope.size(Size { faults: 4, runs: 800 }, every);
    let mut world = World::with_executors(scope, 3).await?;
    let tickets = world.tickets(USERS, &effects()).await?;
    let load = world.submit(tickets, size.runs, every.mul_f64(size.faults as f64));
    let mut waiting = 0;
    for _ in 0..size.faults {
        tokio::time::sleep((every - alarm) / 2).await;
        world.faults += 1;
        world.fleet.stack.set_broker_alarm(true).await?;
        tokio::time::sleep(alarm).await;
        let held: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox").fetch_one(&world.platform).await?;
        waiting = waiting.max(held);
        world.fleet.stack.set_broker_alarm(false).await?;
        tokio::time::sleep((every - alarm) / 2).await;
    }
    world.remarks.push(format!("{waiting} wake-ups waited at once"));
    if waiting == 0 {
        world
            .complaints
            .push("no wake-up waited: the alarm blocked nobody, and the case proves nothing".to_owned());
    }
    let accepted = load.await??;
    world.follow(&accepted);
    world.judge("broker_alarm", Expected::completed(accepted)).await
}

pub async fn database_manager(scope: &Scope) -> Result<Outcome> {
    let every = Duration::from_secs(5);
    let size = scope.size(Size { faults: 15, runs: 1000 }, every);
    let mut world = World::with_executors(scope, 3).await?;
    let tickets = world.tickets(USERS, &effects()).await?;
    let load = world.submit(tickets, size.runs, every.mul_f64(size.faults as f64));
    for _ in 0..size.faults {
        tokio::time::sleep(every - Duration::from_millis(500)).await;
        world.crash(Role::Db, 0, Duration::from_millis(500)).await?;
    }
    world.fleet.ready(Role::Db, 0).await?;
    let accepted = load.await??;
    world.follow(&accepted);
    world.judge("db_kill", Expected::completed(accepted)).await
}

/// Runs that somebody works on when PostgreSQL goes are the same executor's when it is back.
pub async fn outage(scope: &Scope) -> Result<Outcome> {
    let before = Duration::from_secs(10);
    let size = scope.size(Size { faults: 2, runs: 600 }, before + OUTAGE);
    let mut world = World::start(
        scope,
        Fleets {
            executor: 3,
            ..Fleets::default()
        },
        OUTAGE,
    )
    .await?;
    // Runs are under way for longer than the time between submission and outage.
    let tickets = world.tickets(USERS, &graphs::chain(10, id::EFFECT, &json!({"ms": 800}))).await?;
    let mut accepted = Vec::new();
    let (mut held, mut moved) = (0, 0);
    for _ in 0..size.faults {
        let load = world.submit(tickets.clone(), size.runs.div_ceil(size.faults), before);
        tokio::time::sleep(before / 2).await;
        let owned = epochs(&world.platform, "WHERE lease_owner IS NOT NULL").await?;
        world.outage(Part::Postgres, OUTAGE).await?;
        accepted.extend(load.await??);
        world.watch.settle().await?;
        let after = epochs(&world.platform, "").await?;
        held += owned.len();
        moved += owned.iter().filter(|(run, epoch)| after.get(*run) != Some(*epoch)).count();
    }
    world
        .remarks
        .push(format!("{held} runs were held when PostgreSQL went away, {moved} changed hands"));
    if held == 0 || moved > 0 {
        world.complaints.push(format!(
            "of {held} held runs {moved} changed hands in an outage of {} s",
            OUTAGE.as_secs()
        ));
    }
    world.judge("postgres_outage", Expected::completed(accepted)).await
}

async fn epochs(platform: &PgPool, which: &str) -> Result<HashMap<Uuid, i64>> {
    let query = format!("SELECT id, lease_epoch FROM graph_executions {which}");
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(sqlx::AssertSqlSafe(query)).fetch_all(platform).await?;
    Ok(rows.into_iter().collect())
}
