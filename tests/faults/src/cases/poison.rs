//! Runs that harm whoever works on them.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use workload::kit::id;
use workload::{Fleets, Role, graphs};

use crate::Result;
use crate::invariants::Expected;
use crate::report::Outcome;
use crate::scope::{Scope, Size};
use crate::world::World;

const NODE_TIMEOUT_SECONDS: u64 = 3;
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
/// A poisonous run is given up in this time at the latest, all its attempts and backoffs included.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(420);

const TEN_MIB: u64 = 10 << 20;

/// A fault is a poisonous run. Innocent runs share the executors with them and must not suffer.
pub async fn poison(scope: &Scope) -> Result<Outcome> {
    let size = scope.size(Size { faults: 24, runs: 300 }, Duration::from_secs(3));
    let plan = Fleets {
        executor: 3,
        ..Fleets::default()
    }
    .with("NODE_TIMEOUT_SECONDS", NODE_TIMEOUT_SECONDS);
    let mut world = World::start(scope, plan, Duration::ZERO).await?;
    let innocent = world.tickets(4, &graphs::chain(5, id::EFFECT, &json!({"ms": 100}))).await?;
    let poisoner = world.fleet.user().await?;
    let behind_a_node = |block: &'static str, defaults| graphs::sequence(&[(id::PASS, json!({})), (block, defaults)]);
    let panics = world.ticket(&poisoner, &behind_a_node(id::PANIC, json!({}))).await;
    let endless = world.ticket(&poisoner, &behind_a_node(id::ENDLESS, json!({}))).await;
    let large = world.ticket(&poisoner, &behind_a_node(id::LARGE_OUTPUT, json!({"bytes": TEN_MIB}))).await;
    let aborts = world.ticket(&poisoner, &behind_a_node(id::ABORT, json!({}))).await;

    let time = Duration::from_secs(30).mul_f64(size.faults as f64 / 24.0);
    let each = size.faults.div_ceil(4);
    let loads = [
        world.submit(innocent, size.runs, time),
        world.submit(vec![panics.clone(), endless.clone(), large], 3 * each, time),
        // One after the other: each takes an executor down several times.
        world.submit(vec![aborts.clone()], each.div_ceil(2), time),
    ];
    let deadline = Instant::now() + time + GIVEN_UP_WITHIN;
    let mut crashes = 0;
    while !loads.iter().all(tokio::task::JoinHandle::is_finished) || world.watch.live() > 0 {
        for index in 0..world.fleet.count(Role::Executor) {
            if world.fleet.has_ended(Role::Executor, index) {
                crashes += 1;
                world.fleet.launch(Role::Executor, index)?;
            }
        }
        if Instant::now() > deadline {
            break;
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    let mut accepted = Vec::new();
    for load in loads {
        accepted.extend(load.await??);
    }
    let innocent_user = |run: &&crate::load::Accepted| run.user != poisoner.user;
    world.faults = (accepted.len() - accepted.iter().filter(innocent_user).count()) as u64;
    let mut expected = Expected::completed(accepted);
    // A node that fails does not fail its run; a run that takes its executor down does.
    expected.exceptions.insert(panics.graph, &["COMPLETED", "FAILED"]);
    expected.exceptions.insert(endless.graph, &["COMPLETED", "FAILED"]);
    expected.exceptions.insert(aborts.graph, &["FAILED"]);
    let dead: i64 = sqlx::query_scalar("SELECT count(*) FROM dead_runs").fetch_one(&world.platform).await?;
    world
        .remarks
        .push(format!("{crashes} executors aborted; {dead} runs are in the dead list"));
    world.judge("poison", expected).await
}
