//! What the executor holds: nothing to do, then a thousand live runs.

use std::time::Duration;

use serde_json::json;
use workload::graphs;
use workload::kit::id;

use crate::Outcome;
use crate::options::Options;
use crate::report::Rows;
use crate::world::{World, roomy};

pub async fn run(options: &Options) -> Outcome<Rows> {
    let mut rows = Rows::of("memory");
    let mut world = World::start(roomy()).await?;
    rows.at_most("executor's RSS, idle", world.executor_rss()?, "MB", 64.0, "");
    let live = options.scaled(1000, 10);
    // A chain, so that each run has a state, whose second node takes longer than the case.
    let blocks = [(id::PASS, json!({})), (id::SLEEP, json!({"ms": 600_000})), (id::PASS, json!({}))];
    let graph = world.graph(&graphs::sequence(&blocks)).await;
    world.execute(graph, live).await?;
    world.database.sleeping(i64::try_from(live)?, Duration::from_secs(60)).await?;
    rows.at_most(format!("executor's RSS, {live} live runs"), world.executor_rss()?, "MB", 256.0, "");
    world.stop().await;
    Ok(rows)
}
