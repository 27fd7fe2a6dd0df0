//! What users do to each other and to their own runs, all at once.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::StreamExt;
use serde_json::json;
use uuid::Uuid;
use workload::kit::id;
use workload::{Client, Fleets, graphs};

use crate::Result;
use crate::invariants::Expected;
use crate::load::Accepted;
use crate::report::Outcome;
use crate::scope::{Scope, Size};
use crate::twice::CancelsTwice;
use crate::world::World;

/// A user with free quota starts within the length of a run that has its slot, and this (invariant 14).
const AND_A_SECOND: Duration = Duration::from_secs(1);
const NOISY_RUN: Duration = Duration::from_millis(250);
/// By then the first of the runs have begun runs of their own.
const BEGUN: Duration = Duration::from_secs(3);
/// Cancellations under way at once.
const HANDS: usize = 32;

/// A fault is a run of the noisy user.
pub async fn noisy(scope: &Scope) -> Result<Outcome> {
    let size = scope.size(Size { faults: 5000, runs: 200 }, Duration::from_millis(12));
    let plan = Fleets {
        executor: 2,
        ..Fleets::default()
    };
    let mut world = World::start(scope, plan, Duration::ZERO).await?;
    let loud_client = world.fleet.user().await?;
    let half = u64::try_from(NOISY_RUN.as_millis())? / 2;
    let mut loud = Vec::new();
    for _ in 0..4 {
        loud.push(world.ticket(&loud_client, &graphs::chain(2, id::EFFECT, &json!({"ms": half}))).await);
    }
    let quiet = world.tickets(20, &graphs::two_node()).await?;
    // The flood comes as fast as it is accepted; the others come all the while it is worked off.
    let flood = world.submit(loud, size.faults, Duration::ZERO);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let others = world.submit(quiet, size.runs, Duration::from_millis(10) * u32::try_from(size.faults)?);
    let (flood, others) = (flood.await??, others.await??);
    world.watch.settle().await?;
    world.faults = flood.len() as u64;

    let waited = waits(&world, &others).await?;
    let limit = NOISY_RUN + AND_A_SECOND;
    let late = waited.iter().filter(|waited| **waited > limit).count();
    let (median, worst) = (
        waited.get(waited.len() / 2).copied().unwrap_or_default(),
        waited.last().copied().unwrap_or_default(),
    );
    let longest_queue = waits(&world, &flood).await?.last().copied().unwrap_or_default();
    world.remarks.push(format!(
        "acceptance to start of the quiet users: median {median:.0?}, worst {worst:.0?}; the flood queued for up to {longest_queue:.1?}"
    ));
    if late > 0 {
        world
            .complaints
            .push(format!("{late} of {} runs of quiet users started later than {limit:.2?}", others.len()));
    }
    world.follow(&others);
    let accepted = [flood, others].concat();
    world.judge("noisy_user", Expected::completed(accepted)).await
}

/// From acceptance to start, shortest first.
async fn waits(world: &World, runs: &[Accepted]) -> Result<Vec<Duration>> {
    let ids: Vec<Uuid> = runs.iter().map(|run| run.run).collect();
    let seconds: Vec<f64> = sqlx::query_scalar(
        "SELECT extract(epoch FROM started_at - created_at)::float8 AS waited FROM graph_executions WHERE id = ANY($1) AND started_at IS NOT NULL
         ORDER BY waited",
    )
    .bind(ids)
    .fetch_all(&world.platform)
    .await?;
    Ok(seconds.into_iter().map(|seconds| Duration::from_secs_f64(seconds.max(0.0))).collect())
}

/// A fault is a cancelled run. No node of it starts after the cancellation was acknowledged, and every hint to cancel comes twice more, late
/// and out of order.
pub async fn cancel_storm(scope: &Scope) -> Result<Outcome> {
    let size = scope.size(Size { faults: 600, runs: 600 }, Duration::from_millis(50));
    let plan = Fleets {
        executor: 3,
        ..Fleets::default()
    };
    let mut world = World::start(scope, plan, Duration::ZERO).await?;
    let defaults = json!({"ms": 100});
    let repeater = CancelsTwice::start(&world.fleet.stack.amqp_url).await?;
    let flat = world.tickets(4, &graphs::chain(200, id::EFFECT, &defaults)).await?;
    let nested = world.nested_tickets(4, &graphs::child(200, id::EFFECT, &defaults)).await?;
    let tickets = [flat, nested].concat();
    let accepted = world.submit(tickets.clone(), size.runs, Duration::ZERO).await??;
    tokio::time::sleep(BEGUN).await;
    let children: i64 = sqlx::query_scalar("SELECT count(*) FROM graph_executions WHERE parent_graph_exec_id IS NOT NULL AND status = 'RUNNING'")
        .fetch_one(&world.platform)
        .await?;
    world.remarks.push(format!("{children} nested runs were under way"));
    let clients: HashMap<Uuid, _> = tickets.into_iter().map(|ticket| (ticket.client.user, ticket.client)).collect();
    let cancels = accepted.iter().copied().map(|run| cancel(clients.get(&run.user).cloned(), run));
    let cancels: Vec<_> = cancels.collect();
    let answers: Vec<Result<Cancelled, String>> = futures::stream::iter(cancels).buffer_unordered(HANDS).collect().await;
    world.watch.settle().await?;
    let mut took = Vec::new();
    for answer in answers {
        match answer {
            Ok(Cancelled { run, asked, acknowledged }) => {
                world.faults += 1;
                took.push(acknowledged - asked);
                let late = started_after(&world, run, acknowledged).await?;
                if late > 0 {
                    world
                        .complaints
                        .push(format!("{late} nodes of run {run} started after its cancellation was acknowledged"));
                }
            }
            Err(error) => world.complaints.push(error),
        }
    }
    world.remarks.push(format!("{} cancel messages were repeated", repeater.repeated()));
    if repeater.repeated() == 0 {
        world.complaints.push("no cancel message was repeated".to_owned());
    }
    took.sort_unstable();
    let quantile = |share: f64| {
        took.get(((took.len() as f64 * share) as usize).min(took.len().saturating_sub(1)))
            .map_or(0, chrono::TimeDelta::num_milliseconds)
    };
    world.remarks.push(format!(
        "cancellation asked to acknowledged, {HANDS} at a time: median {} ms, p99 {} ms",
        quantile(0.5),
        quantile(0.99)
    ));
    world.complaints.truncate(20);
    world.judge("cancel_storm", Expected::one_of(accepted, &["TERMINATED"])).await
}

/// A cancellation that was asked for and acknowledged.
struct Cancelled {
    run: Uuid,
    asked: DateTime<Utc>,
    acknowledged: DateTime<Utc>,
}

async fn cancel(client: Option<Client>, accepted: Accepted) -> Result<Cancelled, String> {
    let Accepted { graph, run, .. } = accepted;
    let client = client.ok_or_else(|| format!("run {run} has no user"))?;
    let asked = Utc::now();
    let answer = client.post(&format!("/api/graphs/{graph}/executions/{run}/stop"), &json!({})).await;
    match answer.status {
        200 => Ok(Cancelled {
            run,
            asked,
            acknowledged: Utc::now(),
        }),
        _ => Err(format!("cancelling {run}: {answer:?}")),
    }
}

/// Node executions of the run or of a run inside it that began after `instant`. All processes read the same clock.
async fn started_after(world: &World, run: Uuid, instant: DateTime<Utc>) -> Result<i64> {
    Ok(sqlx::query_scalar(
        "WITH RECURSIVE tree AS (
                 SELECT $1::uuid AS id UNION SELECT g.id FROM graph_executions g JOIN tree ON g.parent_graph_exec_id = tree.id
             ) SELECT count(*) FROM node_executions n JOIN tree ON tree.id = n.graph_exec_id WHERE n.started_at > $2",
    )
    .bind(run)
    .bind(instant)
    .fetch_one(&world.platform)
    .await?)
}
