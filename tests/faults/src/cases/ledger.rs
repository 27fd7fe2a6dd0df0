//! Money: executors die and calls come twice while nodes are paid for.

use std::time::Duration;

use serde_json::json;
use workload::kit::id;
use workload::{Fleets, graphs};

use crate::Result;
use crate::cases::executors::kill_in_turn;
use crate::invariants::Expected;
use crate::report::Outcome;
use crate::scope::{Scope, Size};
use crate::world::World;

const USERS: usize = 4;
/// What a user begins with, and what a node of the tier `small` costs.
const BUDGET: i64 = 1_000_000;
const PRICE: i64 = 3;

/// SIGKILL of executors whose nodes cost something: each execution is charged once, whatever is tried again.
pub async fn kill(scope: &Scope) -> Result<Outcome> {
    let every = Duration::from_secs(5);
    let size = scope.size(Size { faults: 12, runs: 600 }, every);
    let plan = Fleets {
        executor: 4,
        ..Fleets::default()
    };
    let plan = plan
        .with("ENABLE_CREDIT", true)
        .with("NUM_USER_CREDITS_REFILL", BUDGET)
        .with("EXECUTION_COST_PER_THRESHOLD", 0);
    let mut world = World::start(scope, plan, Duration::ZERO).await?;
    let priced = graphs::chain(6, id::PRICED, &json!({"ms": 250, "tier": "small"}));
    let tickets = world.tickets(USERS, &priced).await?;
    let load = world.submit(tickets, size.runs, every.mul_f64(size.faults as f64));
    kill_in_turn(&mut world, size.faults, every).await?;
    let accepted = load.await??;
    world.watch.settle().await?;
    let (completed, spent): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM node_executions WHERE status = 'COMPLETED'),
             (SELECT coalesce(-sum(amount), 0) FROM credit_transactions WHERE type = 'USAGE' AND is_active)",
    )
    .fetch_one(&world.platform)
    .await?;
    world
        .remarks
        .push(format!("{completed} nodes completed at {PRICE} credits, {spent} credits spent"));
    if completed == 0 || spent != completed * PRICE {
        world
            .complaints
            .push(format!("{completed} nodes completed at {PRICE} credits, and {spent} credits were spent"));
    }
    world.judge("ledger_kill", Expected::completed(accepted)).await
}
