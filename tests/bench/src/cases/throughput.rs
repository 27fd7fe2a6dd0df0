//! Durable node executions a second with at least 256 in flight: chains of 100, as many open runs as nodes in flight.
//!
//! Counted in the database: node executions whose end lies in the window, which begins when the load is up.

use std::time::Duration;

use serde_json::json;
use workload::graphs;
use workload::kit::id;

use crate::Outcome;
use crate::options::Options;
use crate::report::Rows;
use crate::world::{Cpu, World, roomy};

/// A little more than must be in flight: between two runs a slot is empty for a moment.
const OPEN: usize = 320;
const LENGTH: usize = 100;
const WARM_UP: Duration = Duration::from_secs(5);

pub async fn run(options: &Options) -> Outcome<Rows> {
    let mut rows = Rows::of("throughput");
    let mut world = World::start(roomy()).await?;
    let graph = world.graph(&graphs::chain(LENGTH, id::PASS, &json!({}))).await;
    world.keep_open(graph, OPEN, WARM_UP).await?;
    let prober = world.prober().await?;
    let (before, from) = (world.cpu(), world.database.now().await?);
    world.keep_open(graph, OPEN, options.duration).await?;
    let (after, to) = (world.cpu(), world.database.now().await?);
    let commit = prober.stop().await?;
    world.database.all_ended(Duration::from_secs(120)).await?;
    let nodes = world.database.nodes_completed(from, to).await? as f64;
    rows.at_least("durable node executions a second", nodes / (to - from), "1/s", 5000.0);
    rows.at_most("executor's CPU a node", after.each_since(&before, "executor", nodes), "µs", 100.0, "");
    for who in Cpu::ALL.into_iter().filter(|who| *who != "executor") {
        rows.info(format!("CPU of {who} a node"), after.each_since(&before, who, nodes), "µs");
    }
    rows.info("commit, p50", commit, "ms");
    world.stop().await;
    Ok(rows)
}
