//! Executors that are killed, stand still or are asked to go.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use workload::kit::id;
use workload::{Fleets, Role, graphs};

use crate::Result;
use crate::invariants::Expected;
use crate::report::Outcome;
use crate::scope::{Scope, Size};
use crate::world::World;

const USERS: usize = 8;
/// A supervisor needs about so long for a new process.
const REPLACED_AFTER: Duration = Duration::from_millis(300);
/// An executor in whose nodes nothing takes longer than a moment is gone by then (design §6.8).
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// Ten effects, each of which takes a quarter of a second: a kill finds most of its runs with a node in flight.
fn ten_effects() -> serde_json::Value {
    graphs::chain(10, id::EFFECT, &json!({"ms": 250}))
}

pub async fn kill(scope: &Scope) -> Result<Outcome> {
    let every = Duration::from_secs(6);
    let size = scope.size(Size { faults: 100, runs: 10_000 }, every);
    let mut world = World::with_executors(scope, 6).await?;
    let tickets = world.tickets(USERS, &ten_effects()).await?;
    let load = world.submit(tickets, size.runs, every.mul_f64(size.faults as f64));
    kill_in_turn(&mut world, size.faults, every).await?;
    let expected = Expected::completed(load.await??);
    world.judge("executor_kill", expected).await
}

/// Kills executors at uneven times, as recoveries of earlier ones go on. Never the same one twice in a row.
pub(super) async fn kill_in_turn(world: &mut World, faults: usize, every: Duration) -> Result<()> {
    let mut random = StdRng::seed_from_u64(1);
    let executors = world.fleet.count(Role::Executor);
    let mut index = 0;
    for _ in 0..faults {
        tokio::time::sleep(every.mul_f64(random.random_range(0.5..1.5)) - REPLACED_AFTER).await;
        index = (index + random.random_range(1..executors.max(2))) % executors;
        world.crash(Role::Executor, index, REPLACED_AFTER).await?;
    }
    Ok(())
}

pub async fn stop(scope: &Scope) -> Result<Outcome> {
    let (apart, asleep) = (scope.lease / 5, scope.lease + Duration::from_secs(10));
    let wave = asleep + apart * 3;
    let size = scope.size(Size { faults: 6, runs: 1200 }, wave / 2);
    let waves = size.faults.div_ceil(2);
    let mut world = World::with_executors(scope, 4).await?;
    let tickets = world.tickets(USERS, &ten_effects()).await?;
    let load = world.submit(tickets, size.runs, wave * u32::try_from(waves)?);
    for turn in 0..waves {
        let pair = [(2 * turn) % 4, (2 * turn + 1) % 4];
        tokio::time::sleep(apart).await;
        for index in pair {
            world.faults += 1;
            world.fleet.pause(Role::Executor, index).await?;
            tokio::time::sleep(apart).await;
        }
        tokio::time::sleep(asleep - apart).await;
        for index in pair {
            world.fleet.resume(Role::Executor, index).await?;
        }
    }
    let expected = Expected::completed(load.await??);
    world.judge("executor_stop", expected).await
}

/// Parents that wait for their children while executors die.
pub async fn nested(scope: &Scope) -> Result<Outcome> {
    let every = Duration::from_secs(5);
    let size = scope.size(Size { faults: 12, runs: 600 }, every);
    let mut world = World::with_executors(scope, 4).await?;
    let tickets = world.nested_tickets(USERS, &graphs::child(4, id::EFFECT, &json!({"ms": 250}))).await?;
    let load = world.submit(tickets, size.runs, every.mul_f64(size.faults as f64));
    kill_in_turn(&mut world, size.faults, every).await?;
    let expected = Expected::completed(load.await??);
    world.judge("nested_kill", expected).await
}

/// What was in flight is parked for a person; everything else completes.
pub async fn once(scope: &Scope) -> Result<Outcome> {
    let every = Duration::from_secs(5);
    let size = scope.size(Size { faults: 12, runs: 600 }, every);
    let mut world = World::with_executors(scope, 4).await?;
    let tickets = world.tickets(USERS, &graphs::chain(5, id::ONCE_EFFECT, &json!({"ms": 400}))).await?;
    let load = world.submit(tickets, size.runs, every.mul_f64(size.faults as f64));
    kill_in_turn(&mut world, size.faults, every).await?;
    let expected = Expected::one_of(load.await??, &["COMPLETED", "REVIEW"]);
    world.judge("once", expected).await
}

pub async fn rolling(scope: &Scope) -> Result<Outcome> {
    let plan = Fleets {
        executor: 3,
        db: 2,
        ws: 1,
        notification: 1,
        ..Fleets::default()
    };
    let members: Vec<(Role, usize)> = Role::ALL
        .iter()
        .flat_map(|role| {
            let count = match role {
                Role::Executor => plan.executor,
                Role::Db => plan.db,
                _ => 1,
            };
            (0..count).map(|index| (*role, index))
        })
        .collect();
    let every = Duration::from_secs(3);
    let size = scope.size(
        Size {
            faults: 3 * members.len(),
            runs: 1500,
        },
        every,
    );
    let mut world = World::start(scope, plan, Duration::ZERO).await?;
    let tickets = world.tickets(USERS, &ten_effects()).await?;
    let load = world.submit(tickets, size.runs, every.mul_f64(size.faults as f64));
    let mut slowest = (Duration::ZERO, String::new());
    for (role, index) in members.into_iter().cycle().take(size.faults) {
        tokio::time::sleep(every / 3).await;
        world.faults += 1;
        let took = world.fleet.terminate(role, index).await?;
        let name = format!("{}-{index}", role.name());
        if took > GONE_WITHIN {
            world.complaints.push(format!("{name} took {took:.1?} to go after SIGTERM"));
        }
        slowest = slowest.max((took, name));
        world.fleet.launch(role, index)?;
        world.fleet.ready(role, index).await?;
    }
    world
        .remarks
        .push(format!("slowest to go after SIGTERM: {} in {:.1?}", slowest.1, slowest.0));
    let expected = Expected::completed(load.await??);
    world.judge("rolling_term", expected).await
}
