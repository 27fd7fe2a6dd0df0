//! Recovery: an executor is killed while it works; the runs that it held go on with the other one. From the kill until each of them is
//! somebody else's or over, from the database.

use std::time::{Duration, Instant};

use serde_json::json;
use workload::kit::id;
use workload::{Fleets, Role, graphs};

use crate::Outcome;
use crate::options::Options;
use crate::report::Rows;
use crate::world::{World, roomy};

/// Seconds that a lease lasts, as shipped.
const LEASE: f64 = 15.0;
/// How much longer no run may take (issue of the reliability figures).
const GRACE: f64 = 20.0;

pub async fn run(options: &Options) -> Outcome<Rows> {
    let mut rows = Rows::of("recovery");
    let count = options.scaled(400, 8);
    let fleets = Fleets { executor: 2, ..roomy() };
    let mut world = World::start(fleets).await?;
    let graph = world.graph(&graphs::chain(20, id::SLEEP, &json!({"ms": 1000}))).await;
    let runs = world.execute(graph, count).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let name = world.fleet.host(Role::Executor, 0)?;
    world.fleet.kill(Role::Executor, 0).await?;
    let killed = Instant::now();
    let held = world.database.runs_of_executor(&name).await?;
    let again = world.database.taken_over(&held, Duration::from_secs(120)).await?;
    rows.info("runs held by the killed executor", held.len() as f64, "runs");
    rows.at_most(
        "SIGKILL → the last of them goes on",
        (again - killed).as_secs_f64(),
        "s",
        LEASE + GRACE,
        "= lease + 20",
    );
    world.database.all_ended(Duration::from_secs(120)).await?;
    world.database.check_completed(&runs, 20).await?;
    rows.info("SIGKILL → the last of all runs has ended", killed.elapsed().as_secs_f64(), "s");
    world.stop().await;
    Ok(rows)
}
