//! Wide graphs: 1 → 1 000 → 1 durable nodes, and a random graph of 10 000. Twice the nodes must not take much more than twice the time.
//!
//! A time is from the first start to the last end of the run's nodes (the executor's clock).

use std::time::Duration;

use serde_json::Value;
use workload::graphs;
use workload::kit::id;

use crate::Outcome;
use crate::options::Options;
use crate::report::Rows;
use crate::stats::median;
use crate::world::{World, roomy};

pub async fn run(options: &Options) -> Outcome<Rows> {
    let mut rows = Rows::of("fan-out");
    let mut world = World::start(roomy()).await?;
    let wide = |nodes: usize| graphs::fan_out(nodes, id::PASS);
    let random = |nodes: usize| graphs::random_dag(nodes, 7);
    for (what, full, make) in [
        ("1 → n → 1", 1000, &wide as &dyn Fn(usize) -> Value),
        ("random", 10_000, &random as &dyn Fn(usize) -> Value),
    ] {
        let nodes = options.scaled(full, 100);
        let half = seconds(&mut world, &make(nodes / 2)).await?;
        let whole = seconds(&mut world, &make(nodes)).await?;
        rows.info(format!("{what}, {nodes} nodes, median of 3"), whole * 1000.0, "ms");
        rows.info(format!("{what}, {nodes} nodes, node executions a second"), nodes as f64 / whole, "1/s");
        rows.at_most(format!("{what}, t({nodes}) / t({})", nodes / 2), whole / half, "ratio", 2.2, "");
    }
    world.stop().await;
    Ok(rows)
}

async fn seconds(world: &mut World, graph: &Value) -> Outcome<f64> {
    let graph = world.graph(graph).await;
    let mut spans = Vec::new();
    for _ in 0..3 {
        for run in world.execute(graph, 1).await? {
            world.database.all_ended(Duration::from_secs(300)).await?;
            let (span, nodes) = world.database.span(run).await?;
            world.database.check_completed(&[run], nodes).await?;
            spans.push(span);
        }
    }
    Ok(median(&mut spans))
}
