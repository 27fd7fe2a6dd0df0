//! Large values: a block makes one, two durable blocks pass it on. From the POST to the end of the run, on the client's clock.

use std::time::{Duration, Instant};

use serde_json::json;
use workload::graphs;
use workload::kit::id;

use crate::Outcome;
use crate::options::Options;
use crate::report::Rows;
use crate::stats::{median, ms};
use crate::world::{World, roomy};

const SIZES: [(&str, usize); 4] = [("1 KiB", 1 << 10), ("64 KiB", 64 << 10), ("1 MiB", 1 << 20), ("10 MiB", 10 << 20)];

pub async fn run(options: &Options) -> Outcome<Rows> {
    let mut rows = Rows::of("payload");
    let mut world = World::start(roomy()).await?;
    let listener = world.listener().await?;
    for (name, bytes) in SIZES {
        let nothing = json!({});
        let maker = (id::LARGE_OUTPUT, json!({"bytes": bytes}));
        let graph = graphs::sequence(&[maker, (id::PASS, nothing.clone()), (id::PASS, nothing)]);
        let graph = world.graph(&graph).await;
        let mut times = Vec::new();
        for _ in 0..options.scaled(5, 3) {
            let asked = Instant::now();
            let run = world.execute(graph, 1).await?;
            listener.all_ended(&run, Duration::from_secs(120)).await?;
            times.push(ms(asked.elapsed()));
            world.database.check_completed(&run, 3).await?;
        }
        rows.info(format!("three nodes with a value of {name}, p50"), median(&mut times), "ms");
    }
    rows.info("executor's RSS afterwards", world.executor_rss()?, "MB");
    world.stop().await;
    Ok(rows)
}
