//! PostgreSQL's disk runs full under load and has room again.
//!
//! First tables cannot grow: statements fail and the server lives on. Then the log of the server cannot grow either, which ends it (PANIC);
//! it comes back when there is room.

use std::time::Duration;

use devservices::Part;
use serde_json::json;
use sqlx::postgres::PgPool;
use tokio::time::Instant;
use workload::kit::id;
use workload::{Fleets, graphs};

use crate::Result;
use crate::invariants::Expected;
use crate::report::Outcome;
use crate::scope::{Scope, Size};
use crate::world::World;

const USERS: usize = 8;
/// MiB for everything that PostgreSQL has: several times what the runs of the full size need.
const DISK: u64 = 384;
/// Under load the first table grows within moments.
const PATIENCE: Duration = Duration::from_secs(20);
/// The disk stays full for so long after the first statement has failed, and again after the server has ended.
const AWAY: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(100);
/// One message of the server's log, in bytes, and how many at most are written to use it up.
const MESSAGE: usize = 1 << 20;
const MESSAGES: usize = 512;

pub async fn full(scope: &Scope) -> Result<Outcome> {
    let every = Duration::from_secs(40);
    let size = scope.size(Size { faults: 4, runs: 1600 }, every);
    let plan = Fleets {
        executor: 3,
        disk: Some(DISK),
        ..Fleets::default()
    };
    let mut world = World::start(scope, plan, 2 * (PATIENCE + AWAY)).await?;
    keep_log_small(&world.platform).await?;
    let tables = platform_tables(&world.platform).await?;
    let tickets = world.tickets(USERS, &graphs::chain(10, id::EFFECT, &json!({"ms": 250}))).await?;
    let load = world.submit(tickets, size.runs, every.mul_f64(size.faults as f64));
    let mut failed = 0;
    for _ in 0..size.faults {
        tokio::time::sleep(every / 6).await;
        failed += no_room_for_tables(&mut world, &tables).await?;
        tokio::time::sleep(every / 3).await;
        no_room_for_the_log(&mut world).await?;
        tokio::time::sleep(every / 6).await;
    }
    world
        .remarks
        .push(format!("{failed} statements found no room, and the server ended {} times", size.faults));
    let accepted = load.await??;
    world.follow(&accepted);
    world.judge("disk_full", Expected::completed(accepted)).await
}

/// So that the server's log does not take the room that is there for the tables.
async fn keep_log_small(platform: &PgPool) -> Result<()> {
    for statement in [
        "ALTER SYSTEM SET min_wal_size = '32MB'",
        "ALTER SYSTEM SET max_wal_size = '64MB'",
        "SELECT pg_reload_conf()",
    ] {
        sqlx::query(statement).execute(platform).await?;
    }
    Ok(())
}

/// Where the tables of the platform lie, as the server's log names it.
async fn platform_tables(platform: &PgPool) -> Result<String> {
    let query = "SELECT 'base/' || oid || '/' FROM pg_database WHERE datname = current_database()";
    Ok(sqlx::query_scalar(query).fetch_one(platform).await?)
}

/// Statements of the platform fail until there is room; the answer is how many did.
async fn no_room_for_tables(world: &mut World, tables: &str) -> Result<usize> {
    let no_room = |world: &World| -> Result<usize> {
        let message = format!("ERROR:  could not extend file \"{tables}");
        Ok(server_log(world)?.matches(&message).count())
    };
    world.faults += 1;
    let before = no_room(world)?;
    let begun = Instant::now();
    while no_room(world)? == before && begun.elapsed() < PATIENCE {
        stay_full(world, LOOK).await?;
    }
    stay_full(world, AWAY).await?;
    let failed = no_room(world)? - before;
    if failed == 0 {
        complain(world, "no statement failed for want of room");
    }
    disk(world)?.free()?;
    Ok(failed)
}

/// The server ends when its log cannot grow, and does not come back before there is room.
async fn no_room_for_the_log(world: &mut World) -> Result<()> {
    world.faults += 1;
    disk(world)?.fill()?;
    use_up_log(&world.platform).await;
    stay_full(world, AWAY).await?;
    if !server_log(world)?.contains("PANIC:") {
        complain(world, "the server did not end for want of room");
    }
    disk(world)?.free()?;
    world.fleet.stack.kill(Part::Postgres).await;
    world.fleet.stack.restart(Part::Postgres).await?;
    Ok(())
}

/// Writes nothing but log, until the server does not answer.
async fn use_up_log(platform: &PgPool) {
    for _ in 0..MESSAGES {
        let message = sqlx::query("SELECT pg_logical_emit_message(false, 'faults', repeat('x', $1))").bind(MESSAGE as i32);
        if message.execute(platform).await.is_err() {
            return;
        }
    }
}

/// Whatever becomes free meanwhile is taken.
async fn stay_full(world: &World, time: Duration) -> Result<()> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        disk(world)?.fill()?;
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn disk(world: &World) -> Result<&workload::disk::Disk> {
    Ok(world.fleet.disk().ok_or("PostgreSQL has no disk of its own")?)
}

fn server_log(world: &World) -> Result<String> {
    Ok(String::from_utf8_lossy(&std::fs::read(world.fleet.stack.postgres_log())?).into_owned())
}

fn complain(world: &mut World, what: &str) {
    world.complaints.push(format!("{what}: the case proves nothing"));
}
