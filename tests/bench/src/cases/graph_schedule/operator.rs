//! The operator itself: start, memory, rest, and how soon another takes over.

use std::time::{Duration, Instant};

use controllers_tests::World;
use controllers_tests::eventually::within;
use controllers_tests::process::OperatorProcess;
use crds::{GraphExecution, GraphSchedule};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;

use super::{SETTLE, due};
use crate::report::Rows;
use crate::stats::ms;
use crate::{Outcome, machine};

const SYNCED_MS: f64 = 5_000.0;
const MEMORY_MB: f64 = 64.0 * 1.048_576;
const IDLE_PERCENT: f64 = 1.0;
const FAIL_OVER_MS: f64 = 10_000.0;
const HAND_OVER_MS: f64 = 1_000.0;
/// What is idle is watched for so long.
const IDLE: Duration = Duration::from_secs(30);
/// Due once in four years: what is only kept.
const RARELY: &str = "0 0 29 2 *";
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the first operator.
pub async fn start(world: &World, rows: &mut Rows) -> Outcome<OperatorProcess> {
    let mut operator = OperatorProcess::prepare(world, "first", &[]).await;
    let began = Instant::now();
    operator.launch();
    leads(world, &operator).await;
    rows.info("operator: start → leads, nothing there", ms(began.elapsed()), "ms");
    Ok(operator)
}

/// Memory with many objects, processor time and requests with nothing to do, and how soon everything is known after a start.
pub async fn at_rest(world: &World, operator: &OperatorProcess, kept: usize, rows: &mut Rows) -> Outcome<()> {
    let schedules = (0..kept).map(|number| due::schedule(&format!("kept-{number}"), RARELY, false)).collect();
    due::create_all(&admin::<GraphSchedule>(world), schedules).await?;
    let executions = (0..kept).map(|number| due::execution(&format!("kept-{number}"))).collect();
    due::create_all(&admin::<GraphExecution>(world), executions).await?;
    due::armed(world, kept).await;
    tokio::time::sleep(SETTLE).await;
    let pid = operator.id().ok_or("the operator is gone")?;
    let what = format!("operator: {kept} schedules and executions");
    rows.info(format!("{what}, RSS after their creation"), machine::rss_mb(pid)?, "MB");
    let user = format!("system:serviceaccount:{}:autogpt-operator", world.namespace);
    let (cpu, requests, began) = (machine::cpu_seconds(pid)?, world.cluster.requests_of(&user), Instant::now());
    tokio::time::sleep(IDLE).await;
    let seconds = began.elapsed().as_secs_f64();
    let share = (machine::cpu_seconds(pid)? - cpu) / seconds * 100.0;
    rows.at_most(format!("{what}, idle CPU"), share, "% of a core", IDLE_PERCENT, "");
    #[allow(clippy::cast_precision_loss)] // a few
    let requests = (world.cluster.requests_of(&user) - requests) as f64;
    rows.info(format!("{what}, idle API calls"), requests / seconds * 60.0, "/min");
    Ok(())
}

/// A standby takes over from a leader that is killed, and from one that is asked to end. The kept objects are still there.
pub async fn fail_over(world: &World, leader: &mut OperatorProcess, rows: &mut Rows) -> Outcome<()> {
    let mut second = OperatorProcess::prepare(world, "second", &[]).await;
    second.start().await;
    tokio::time::sleep(SETTLE).await;
    let began = Instant::now();
    leader.kill().await;
    leads(world, &second).await;
    rows.at_most("operator: killed → another leads", ms(began.elapsed()), "ms", FAIL_OVER_MS, "");
    works(world, "after-kill").await?;
    rows.at_most("operator: killed → another works", ms(began.elapsed()), "ms", FAIL_OVER_MS, "");

    leader.start().await;
    tokio::time::sleep(SETTLE).await;
    let began = Instant::now();
    second.signal("TERM").await;
    leads(world, leader).await;
    rows.at_most("operator: asked to end → another leads", ms(began.elapsed()), "ms", HAND_OVER_MS, "");
    works(world, "after-term").await?;
    rows.at_most("operator: asked to end → another works", ms(began.elapsed()), "ms", HAND_OVER_MS, "");
    second.terminate().await;

    leader.terminate().await;
    let began = Instant::now();
    leader.launch();
    works(world, "after-start").await?;
    rows.at_most("operator: start → synced, with all of them", ms(began.elapsed()), "ms", SYNCED_MS, "");
    let pid = leader.id().ok_or("the operator is gone")?;
    tokio::time::sleep(SETTLE).await;
    rows.at_most(
        "operator: RSS after a start with all of them",
        machine::rss_mb(pid)?,
        "MB",
        MEMORY_MB,
        "= 64 MiB",
    );
    due::clear(world).await
}

async fn leads(world: &World, operator: &OperatorProcess) {
    let leases = world.api::<Lease>();
    within(PATIENCE, "the operator leads", || async {
        let lease = leases.get_opt("autogpt-operator").await.map_err(|error| error.to_string())?;
        match lease.and_then(|lease| lease.spec?.holder_identity) {
            Some(holder) if holder == operator.identity() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// A schedule made now is looked at: whoever leads has its caches.
async fn works(world: &World, name: &str) -> Outcome<()> {
    let api = world.api::<GraphSchedule>();
    due::create_all(&api, vec![due::schedule(name, RARELY, false)]).await?;
    within(PATIENCE, "a schedule is armed", || async {
        let found = api.get(name).await.map_err(|error| error.to_string())?;
        let armed = found.status.is_some_and(|status| !status.next_fire_times.is_empty());
        if armed { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    Ok(())
}

fn admin<K>(world: &World) -> Api<K>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    Api::namespaced(world.cluster.admin(), &world.namespace)
}
