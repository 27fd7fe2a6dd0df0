//! GraphSchedules with slots every few seconds, while operators, services and the API server are killed, paused and disturbed, and while
//! people ask for runs, backfill, suspend, delete and make again.

use std::collections::BTreeMap;
use std::time::Duration;

use controllers_tests::process::OperatorProcess;
use controllers_tests::{World as Cluster, steady};
use crds::{GraphExecution, GraphSchedule};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::Result;
use crate::invariants::Expected;
use crate::report::{self, Outcome};
use crate::scope::{Scope, Size};
use crate::slots::account::{self, Scenery};
use crate::slots::people::Diary;
use crate::slots::scene::{Fault, Scene, effects, fault};
use crate::world::sample;

const CASE: &str = "graph_schedules";
const AT_ONCE: &str = "graph_schedules_burst";
/// One after the other, from the moment on at which everything is due.
const STRIKES: [Fault; 8] = [
    Fault::AfterWrite,
    Fault::TooMany,
    Fault::AfterWrite,
    Fault::Both,
    Fault::Scheduler,
    Fault::AfterWrite,
    Fault::Zombie,
    Fault::CutWatches,
];
/// Schedules are made and armed at this pace at least; what is not by then is late.
const MADE_IN_A_SECOND: i64 = 100;
const SEED: u64 = 5;
/// A fault begins so often, unless the one before takes longer.
const EVERY: Duration = Duration::from_millis(4_500);
/// Nothing may be written for so long.
const AT_REST: Duration = Duration::from_secs(300);
/// Slots before the first fault.
const CALM: Duration = Duration::from_secs(3);

/// Longer than from one slot to the next, so that something runs whenever something is due.
const DISPLACED: u64 = 5_000;

/// The schedules. Under Skip and CancelOther a slot may have no run, when the schedule says so; under the others each has one.
fn policies() -> [(&'static str, Value); 8] {
    [
        ("allow-1", json!({})),
        ("allow-2", json!({"timeZone": "Europe/Berlin"})),
        ("allow-3", json!({"timeZone": "Australia/Lord_Howe"})),
        ("allow-4", json!({"catchUp": {"policy": "All", "limit": 1000, "window": "24h"}})),
        // One run after the other must get through although nobody leads half of the time.
        (
            "buffer",
            json!({"overlapPolicy": "BufferAll", "bufferLimit": 100, "schedules": ["*/10 * * * * *"]}),
        ),
        ("skip", json!({"overlapPolicy": "Skip"})),
        (
            "cancel",
            json!({"overlapPolicy": "CancelOther", "schedules": ["*/4 * * * * *"], "graph": effects("cancel", DISPLACED)}),
        ),
        (
            "replace",
            json!({"overlapPolicy": "Replace", "schedules": ["*/3 * * * * *"], "graph": effects("replace", DISPLACED)}),
        ),
    ]
}

/// A run is a slot, a request to run now or a slot that is backfilled.
pub async fn slots(scope: &Scope) -> Result<Outcome> {
    // The helpers of the controllers' tests panic when they cannot go on.
    tokio::spawn(battle(*scope)).await?
}

async fn battle(scope: Scope) -> Result<Outcome> {
    let size = scope.size(Size { faults: 200, runs: 2000 }, EVERY);
    let mut scene = Scene::start(&scope, SEED).await?;
    for (name, policy) in policies() {
        scene.schedule(name, policy).await?;
    }
    let people = scene.people().await?;
    let lives = tokio::spawn(people.clone().live(SEED));
    tokio::time::sleep(CALM).await;
    let (begun, mut struck) = (Instant::now(), BTreeMap::new());
    for number in 0..size.faults {
        let pause = EVERY * u32::try_from(number)?;
        tokio::time::sleep_until(begun + pause).await;
        let fault = fault(number);
        scene.strike(fault).await?;
        *struck.entry(fault).or_insert(0_u32) += 1;
    }
    if scope.scale >= 1.0 {
        scene.strike(Fault::NoApiServer).await?;
        struck.insert(Fault::NoApiServer, 1);
    }
    scene.calm().await?;
    people.stop();
    lives.await??;
    let diary = people.diary();
    let until = scene.recover().await?;
    scene.suspend().await;
    people.collect_all(&diary.dead).await?;
    Box::pin(account_for(scene, CASE, struck, &diary, until, size.runs.min(2000))).await
}

/// Very many schedules that are due in the same second, and everything goes wrong while their executions are made. A run is a slot.
pub async fn at_once(scope: &Scope) -> Result<Outcome> {
    tokio::spawn(burst(*scope)).await?
}

async fn burst(scope: Scope) -> Result<Outcome> {
    let size = scope.size(
        Size {
            faults: STRIKES.len(),
            runs: 10_000,
        },
        EVERY,
    );
    let mut scene = Scene::start(&scope, SEED).await?;
    let due = chrono::Utc::now().timestamp() + 10 + i64::try_from(size.runs)? / MADE_IN_A_SECOND;
    scene.due_at_once(size.runs, due).await?;
    let left = due - chrono::Utc::now().timestamp();
    tokio::time::sleep(Duration::from_secs(u64::try_from(left).unwrap_or_default())).await;
    let mut struck = BTreeMap::new();
    for fault in STRIKES.into_iter().take(size.faults) {
        scene.strike(fault).await?;
        *struck.entry(fault).or_insert(0_u32) += 1;
    }
    scene.recover_through(due).await?;
    Box::pin(account_for(scene, AT_ONCE, struck, &Diary::default(), due, size.runs)).await
}

/// What became of all slots, of which there are to be so many at least, and of what people did.
async fn account_for(mut scene: Scene, case: &'static str, struck: BTreeMap<Fault, u32>, diary: &Diary, until: i64, least: usize) -> Result<Outcome> {
    let schedules = scene.cluster.api::<GraphSchedule>().list(&Default::default()).await?.items;
    let children = scene.cluster.api::<GraphExecution>().list(&Default::default()).await?.items;
    let scenery = Scenery {
        schedules: &schedules,
        children: &children,
        diary,
        platform: &scene.world.platform,
    };
    let mut account = account::draw_up(scenery, until).await?;
    if !scene.platform_is_ready().await? {
        account.wrong.push("the platform is not ready any more".to_owned());
    }
    if usize::try_from(account.slots)? < least {
        account.wrong.push(format!("only {} slots were due, {least} were wanted", account.slots));
    }
    let broken = !(account.lost.is_empty() && account.doubled.is_empty() && account.wrong.is_empty());
    scene.dismiss(broken || std::env::var_os("KEEP_LOGS").is_some()).await;
    scene.world.remarks.push(format!(
        "{} slots / {} faults / {} lost / {} doubled / worst lateness {:.1} s; {} ran, {} skipped by policy, {} made and superseded",
        account.slots,
        scene.world.faults,
        account.lost.len(),
        account.doubled.len(),
        account.worst.as_secs_f64(),
        account.ran,
        account.skipped,
        account.superseded
    ));
    scene.world.remarks.push(format!(
        "{} runs asked for, {} backfilled; {} suspensions, {} pauses after failures; {} executions cancelled by policy, {} deleted by hand; {} schedules deleted and made again",
        account.asked,
        account.backfilled,
        diary.absences.len(),
        diary.pauses,
        account.cancelled,
        diary.deleted.len(),
        diary.dead.len()
    ));
    scene.world.remarks.push(format!("{struck:?}"));
    scene.world.remarks.push(format!("killed after: {}", last_writes(&scene.last_writes)));
    let expected = Expected {
        exceptions: std::mem::take(&mut account.exceptions),
        ..Expected::completed(std::mem::take(&mut account.runs))
    };
    let mut outcome = scene.world.judge(case, expected).await?;
    outcome.runs = account.slots + account.asked + account.backfilled;
    outcome.lost += account.lost.len() as u64;
    outcome.doubled += account.doubled.len() as u64;
    outcome.worst_recovery_s = report::seconds(account.worst);
    outcome.notes.complaints.extend(sample("lost", account.lost));
    outcome.notes.complaints.extend(sample("doubled", account.doubled));
    outcome.notes.complaints.extend(sample("wrong", account.wrong));
    outcome.ok = outcome.notes.complaints.is_empty();
    Ok(outcome)
}

/// Two operators before objects in every state that lasts: nothing is written. Without faults and runs.
pub async fn steady(scope: &Scope) -> Result<Outcome> {
    let time = AT_REST.mul_f64(scope.scale).min(scope.longest.unwrap_or(AT_REST));
    tokio::spawn(rest(time)).await?
}

async fn rest(time: Duration) -> Result<Outcome> {
    let world = Cluster::new().await;
    let mut operators = Vec::new();
    for identity in ["one", "another"] {
        let mut operator = OperatorProcess::prepare(&world, identity, &[]).await;
        operator.start().await;
        operators.push(operator);
    }
    steady::furnish(&world).await;
    let writes = steady::writes_at_rest(&world, time).await;
    let mut stopped = 0;
    for operator in &mut operators {
        stopped += u64::from(operator.metric("operator_leader").await.is_none());
        operator.kill().await;
    }
    let remark = format!("{} writes in {:.0} s", writes.len(), time.as_secs_f64());
    let failure = match (writes.first(), stopped) {
        (Some(first), _) => Some(format!("{first}, and {} more", writes.len() - 1)),
        (None, 0) => None,
        (None, stopped) => Some(format!("{stopped} operators do not answer any more")),
    };
    Ok(Outcome::of_search("steady_state", 0, 0, &remark, failure))
}

/// What kinds of writes were the last of an operator, and how often: `POST graphexecutions × 12`.
fn last_writes(writes: &[String]) -> String {
    let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
    for write in writes {
        let (method, rest) = write.split_once(' ').unwrap_or((write, ""));
        let path = rest.split(['?', ':']).next().unwrap_or_default();
        let mut parts = path.split('/').skip_while(|part| *part != "namespaces").skip(2);
        let kind = parts.next().unwrap_or(path);
        let status = if parts.nth(1) == Some("status") { "/status" } else { "" };
        *kinds.entry(format!("{method} {kind}{status}")).or_default() += 1;
    }
    let shown: Vec<String> = kinds.iter().map(|(kind, count)| format!("{kind} × {count}")).collect();
    shown.join(", ")
}
