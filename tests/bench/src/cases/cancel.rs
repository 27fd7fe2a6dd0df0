//! Cancel: runs spread over three executors, all waiting for a model, are stopped over REST. From the POST to the event that says that the
//! run has ended, on the client's clock.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use workload::kit::id;
use workload::{Fleets, graphs};

use crate::Outcome;
use crate::options::Options;
use crate::report::Rows;
use crate::stats::{ms, percentile};
use crate::world::{World, roomy};

const EXECUTORS: usize = 3;
/// Stops that are asked for at the same time.
const AT_ONCE: usize = 8;

pub async fn run(options: &Options) -> Outcome<Rows> {
    let mut rows = Rows::of("cancel");
    let count = options.scaled(300, 12);
    let fleets = Fleets {
        executor: EXECUTORS,
        ..roomy()
    }
    // So many that no executor alone can take all.
    .with("NUM_GRAPH_WORKERS", count.div_ceil(EXECUTORS) + 2);
    let mut world = World::start(fleets).await?;
    let graph = world.graph(&graphs::chain(1, id::SLEEP, &json!({"ms": 600_000}))).await;
    let runs = world.execute(graph, count).await?;
    world.database.sleeping(i64::try_from(count)?, Duration::from_secs(60)).await?;
    let listener = world.listener().await?;
    let mut stopping = JoinSet::new();
    let mut asked = Vec::new();
    let mut answers = Vec::new();
    for run in &runs {
        if stopping.len() >= AT_ONCE
            && let Some(answer) = stopping.join_next().await
        {
            answers.push(answer??);
        }
        asked.push((*run, Instant::now()));
        let (user, path) = (world.user.clone(), format!("/api/graphs/{graph}/executions/{run}/stop"));
        stopping.spawn(async move {
            let started = Instant::now();
            let answer = user.post(&path, &json!({})).await;
            if answer.status == 200 {
                Ok(ms(started.elapsed()))
            } else {
                Err(format!("POST {path}: {answer:?}"))
            }
        });
    }
    while let Some(answer) = stopping.join_next().await {
        answers.push(answer??);
    }
    listener.all_ended(&runs, Duration::from_secs(60)).await?;
    let landed = asked
        .iter()
        .filter_map(|(run, asked)| Some(ms(listener.of(*run).ended?.saturating_duration_since(*asked))));
    let mut landed: Vec<f64> = landed.collect();
    rows.info(format!("{count} runs on {EXECUTORS} executors, p50"), percentile(&mut landed, 0.5), "ms");
    rows.at_most(
        format!("{count} runs on {EXECUTORS} executors, p99"),
        percentile(&mut landed, 0.99),
        "ms",
        2000.0,
        "",
    );
    rows.info("POST stop → 2xx, p50", percentile(&mut answers, 0.5), "ms");
    rows.info("POST stop → 2xx, p99", percentile(&mut answers, 0.99), "ms");
    world.stop().await;
    Ok(rows)
}
