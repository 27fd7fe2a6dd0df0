//! Messages and calls that come twice and out of order.

use std::time::Duration;

use devservices::process::some_free_ports;
use serde_json::json;
use workload::kit::id;
use workload::{Fleets, Role, graphs};

use crate::Result;
use crate::invariants::Expected;
use crate::report::Outcome;
use crate::scope::{Scope, Size};
use crate::twice::{CallsTwice, MessagesTwice};
use crate::world::World;

const USERS: usize = 4;

/// A fault is a repeated message or call.
pub async fn doubled(scope: &Scope) -> Result<Outcome> {
    let time = Duration::from_secs(60);
    let size = scope.size(Size { faults: 60, runs: 1500 }, Duration::from_secs(1));
    let port = some_free_ports(1)?.into_iter().next().ok_or("no port is free")?;
    let calls = CallsTwice::start(port).await?;
    let mut plan = Fleets {
        executor: 3,
        ..Fleets::default()
    };
    plan.ports.insert(Role::Db, port);
    let plan = plan.with(Role::Db.port_variable(), calls.port);
    let mut world = World::start(scope, plan, Duration::ZERO).await?;
    let messages = MessagesTwice::start(&world.fleet.stack.amqp_url).await?;
    let effects = world.tickets(USERS, &graphs::chain(10, id::EFFECT, &json!({"ms": 20}))).await?;
    let pure = world.tickets(USERS, &graphs::chain(10, id::PURE_PASS, &json!({}))).await?;
    let wide = world.tickets(1, &graphs::fan_out(20, id::EFFECT)).await?;
    let tickets = [effects, pure, wide].concat();
    let time = time.mul_f64(size.faults as f64 / 60.0);
    let accepted = world.submit(tickets, size.runs, time).await??;
    world.watch.settle().await?;
    world.faults = calls.repeated() + messages.repeated();
    world
        .remarks
        .push(format!("{} calls and {} messages were repeated", calls.repeated(), messages.repeated()));
    if calls.repeated() == 0 || messages.repeated() == 0 {
        world.complaints.push("nothing was repeated: the case proves nothing".to_owned());
    }
    world.follow(&accepted);
    world.judge("doubled", Expected::completed(accepted)).await
}
