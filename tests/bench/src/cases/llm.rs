//! Agents as they are used: 500 runs at once, each three calls of a stubbed language model one after the other, every call two seconds long
//! and streaming fifty tokens. Nothing but waiting takes six seconds.

use std::time::{Duration, Instant};

use serde_json::json;
use workload::graphs;
use workload::kit::id;

use crate::Outcome;
use crate::options::Options;
use crate::report::Rows;
use crate::stats::percentile;
use crate::world::{World, roomy};

const CALLS: usize = 3;
const TOKENS: usize = 50;
const CALL: Duration = Duration::from_secs(2);

pub async fn run(options: &Options) -> Outcome<Rows> {
    let mut rows = Rows::of("llm");
    let mut world = World::start(roomy()).await?;
    let block = (id::TOKEN_STREAM, json!({"tokens": TOKENS, "total_ms": CALL.as_millis()}));
    let graph = calls(&block);
    let graph = world.graph(&graph).await;
    let listener = world.listener().await?;
    let count = options.scaled(500, 10);
    let (before, started) = (world.cpu(), Instant::now());
    let runs = world.execute(graph, count).await?;
    listener.all_ended(&runs, Duration::from_secs(300)).await?;
    let wall = started.elapsed().as_secs_f64();
    let after = world.cpu();
    world.database.check_completed(&runs, i64::try_from(CALLS)?).await?;
    let mut seconds = world.database.durations(&runs).await?;
    let tokens = (count * CALLS * TOKENS) as f64;
    let events: u64 = runs.iter().map(|run| listener.of(*run).events).sum();
    rows.info(format!("{count} runs of {CALLS} calls of 2 s, wall"), wall, "s");
    rows.info("a run, p50", percentile(&mut seconds, 0.5), "s");
    rows.info("a run, p99", percentile(&mut seconds, 0.99), "s");
    rows.info("tokens a second, each durable", tokens / wall, "1/s");
    rows.info("events a second", events as f64 / wall, "1/s");
    for who in ["executor", "db", "postgres"] {
        rows.info(format!("CPU of {who} a token"), after.each_since(&before, who, tokens), "µs");
    }
    rows.info("executor's RSS afterwards", world.executor_rss()?, "MB");
    world.stop().await;
    Ok(rows)
}

/// The calls in a row: the whole answer of each is the prompt of the next.
fn calls((block, defaults): &(&str, serde_json::Value)) -> serde_json::Value {
    let mut graph = graphs::sequence(&vec![(*block, defaults.clone()); CALLS]);
    for link in graph["links"].as_array_mut().into_iter().flatten() {
        link["source_name"] = json!("response");
    }
    graph
}
