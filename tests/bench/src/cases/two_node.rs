//! Runs a second of the two-node graph, from the POST to the end. Counted in the database: runs whose end lies in the window.

use std::time::Duration;

use workload::graphs;

use crate::Outcome;
use crate::options::Options;
use crate::report::Rows;
use crate::world::{Cpu, World, roomy};

const OPEN: usize = 320;
const WARM_UP: Duration = Duration::from_secs(5);

pub async fn run(options: &Options) -> Outcome<Rows> {
    let mut rows = Rows::of("two-node");
    let mut world = World::start(roomy()).await?;
    let graph = world.graph(&graphs::two_node()).await;
    world.keep_open(graph, OPEN, WARM_UP).await?;
    let (before, from) = (world.cpu(), world.database.now().await?);
    world.keep_open(graph, OPEN, options.duration).await?;
    let (after, to) = (world.cpu(), world.database.now().await?);
    world.database.all_ended(Duration::from_secs(120)).await?;
    let runs = world.database.runs_completed(from, to).await? as f64;
    rows.at_least("two-node runs a second", runs / (to - from), "1/s", 1000.0);
    for who in Cpu::ALL {
        rows.info(format!("CPU of {who} a run"), after.each_since(&before, who, runs), "µs");
    }
    world.stop().await;
    Ok(rows)
}
