//! Hops in chains: one run of 1 000 nodes, and 64 runs of 100 at once; durable nodes (their start is durable before they run) and pure ones.
//!
//! A hop is the time between the starts of two neighbours, from the rows of the node executions (the executor's clock).

use std::time::Duration;

use serde_json::json;
use workload::graphs;
use workload::kit::id;

use crate::Outcome;
use crate::judge::{Bar, Measured, judge};
use crate::options::Options;
use crate::report::Rows;
use crate::stats::{median, percentile, shown};
use crate::world::{World, roomy};

struct Shape {
    what: &'static str,
    block: &'static str,
    runs: usize,
    length: usize,
    bar: Bar,
}

const SHAPES: [Shape; 4] = [
    Shape {
        what: "durable, 1 run",
        block: id::PASS,
        runs: 1,
        length: 1000,
        bar: Bar::new(1.3, 0.2),
    },
    Shape {
        what: "durable, 64 runs",
        block: id::PASS,
        runs: 64,
        length: 100,
        bar: Bar::new(2.3, 0.2),
    },
    Shape {
        what: "pure, 1 run",
        block: id::PURE_PASS,
        runs: 1,
        length: 1000,
        bar: Bar::new(0.0, 0.3),
    },
    Shape {
        what: "pure, 64 runs",
        block: id::PURE_PASS,
        runs: 64,
        length: 100,
        bar: Bar::new(0.0, 0.3),
    },
];

pub async fn run(options: &Options) -> Outcome<Rows> {
    let mut rows = Rows::of("chain");
    let mut world = World::start(roomy()).await?;
    let warm_up = world.graph(&graphs::chain(50, id::PASS, &json!({}))).await;
    world.execute(warm_up, 20).await?;
    world.database.all_ended(Duration::from_secs(60)).await?;
    for shape in &SHAPES {
        measure(&mut world, options, shape, &mut rows).await?;
    }
    world.stop().await;
    Ok(rows)
}

async fn measure(world: &mut World, options: &Options, shape: &Shape, rows: &mut Rows) -> Outcome<()> {
    let length = options.scaled(shape.length, 20);
    let graph = world.graph(&graphs::chain(length, shape.block, &json!({}))).await;
    let (mut measured, mut all, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..3 {
        let prober = world.prober().await?;
        let before = world.cpu();
        let runs = world.execute(graph, shape.runs).await?;
        world.database.all_ended(Duration::from_secs(300)).await?;
        let after = world.cpu();
        let commit = prober.stop().await?;
        world.database.check_completed(&runs, i64::try_from(length)?).await?;
        let mut hops = world.database.hops(&runs).await?;
        measured.push(Measured {
            value: median(&mut hops),
            commit,
        });
        all.extend(hops);
        cpu.push(after.each_since(&before, "executor", (shape.runs * length) as f64));
    }
    judge(rows, &format!("hop, {} × {length}, p50", shape.what), measured, shape.bar);
    rows.info(
        format!("hop, {}, p99 ({} hops)", shape.what, shown(all.len() as f64)),
        percentile(&mut all, 0.99),
        "ms",
    );
    rows.at_most(format!("executor's CPU a node, {}", shape.what), median(&mut cpu), "µs", 100.0, "");
    Ok(())
}
