//! Many due at once, few due often; bare creates to compare with.

use std::time::{Duration, Instant};

use chrono::{DateTime, DurationRound, TimeDelta, Timelike, Utc};
use controllers_tests::World;
use controllers_tests::cluster::CONTROLLERS;
use controllers_tests::eventually::within;
use controllers_tests::process::{CronJobs, OperatorProcess};
use crds::{GraphExecution, GraphSchedule};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::{CustomResourceExt, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::sightings::{Seen, Sightings};
use super::{PLATFORM, SETTLE, Size};
use crate::report::Rows;
use crate::stats::{ms, percentile};
use crate::{Outcome, machine};

/// So many creates of this program are under way at the same time.
const WORKERS: usize = 32;
/// How many are due when few are.
const FEW: usize = 10;
/// 10 due: slot → child object, 99 of 100.
const FEW_P99_MS: f64 = 30.0;
/// The objects are there so long before they are due; a busy machine gets the rest of the next minute, too.
const LEAD: Duration = Duration::from_secs(20);

/// Creates GraphExecutions that nobody watches; milliseconds for all.
pub async fn bare_creates(world: &World, count: usize) -> Outcome<f64> {
    let namespace = format!("bare-{}", Utc::now().timestamp_millis());
    let object: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}}))?;
    Api::all(world.client.clone()).create(&PostParams::default(), &object).await?;
    let api: Api<GraphExecution> = Api::namespaced(world.cluster.admin(), &namespace);
    let began = Instant::now();
    create_all(&api, (0..count).map(|number| execution(&format!("bare-{number}"))).collect()).await?;
    let took = ms(began.elapsed());
    delete_all::<GraphExecution>(&api).await?;
    Ok(took)
}

/// An execution as a schedule makes them.
pub fn execution(name: &str) -> Value {
    json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution", "metadata": {"name": name}, "spec": {
        "platformRef": {"name": PLATFORM}, "graph": {"configMapRef": {"name": "graph"}}, "inputs": {"name": name}}})
}

/// A schedule of that name.
pub fn schedule(name: &str, line: &str, seconds: bool) -> Value {
    let mut object = json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": {"name": name}, "spec": {
        "platformRef": {"name": PLATFORM}, "graph": {"configMapRef": {"name": "graph"}}, "inputs": {"name": name}, "schedules": [line]}});
    if seconds {
        object["spec"]["seconds"] = json!(true);
    }
    object
}

/// Creates all, a few at a time.
pub async fn create_all<K>(api: &Api<K>, objects: Vec<Value>) -> Outcome<()>
where
    K: Resource + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    let creates = stream::iter(objects).map(|object| async move {
        let object: K = serde_json::from_value(object)?;
        api.create(&PostParams::default(), &object).await?;
        Ok::<_, crate::BoxError>(())
    });
    creates.buffer_unordered(WORKERS).try_collect().await
}

async fn delete_all<K: Resource + Clone + DeserializeOwned + std::fmt::Debug>(api: &Api<K>) -> Outcome<()> {
    api.delete_collection(&DeleteParams::background(), &ListParams::default()).await?;
    Ok(())
}

/// All schedules and executions of the world.
pub async fn clear(world: &World) -> Outcome<()> {
    delete_all(&world.api::<GraphSchedule>()).await?;
    delete_all(&world.api::<GraphExecution>()).await?;
    tokio::time::sleep(SETTLE).await;
    Ok(())
}

/// The next full minute for which there is time enough to prepare.
fn coming_minute() -> Outcome<DateTime<Utc>> {
    let earliest = Utc::now() + LEAD + TimeDelta::minutes(1);
    Ok(earliest.duration_trunc(TimeDelta::minutes(1))?)
}

/// The cron line that is due in that minute of every day.
fn daily(slot: DateTime<Utc>) -> String {
    format!("{} {} * * *", slot.minute(), slot.hour())
}

async fn sleep_until(instant: DateTime<Utc>) {
    tokio::time::sleep((instant - Utc::now()).to_std().unwrap_or_default()).await;
}

/// Every schedule of the world knows when it is due next.
pub async fn armed(world: &World, count: usize) {
    within(Duration::from_secs(180), "all schedules are armed", || async {
        let list = world
            .api::<GraphSchedule>()
            .list(&ListParams::default())
            .await
            .map_err(|error| error.to_string())?;
        let waiting = |schedule: &&GraphSchedule| schedule.status.as_ref().is_none_or(|status| status.next_fire_times.is_empty());
        let left = list.items.iter().filter(waiting).count();
        if left == 0 && list.items.len() == count {
            Ok(())
        } else {
            Err(format!("{left} of {}", list.items.len()))
        }
    })
    .await;
}

fn lateness(rows: &mut Rows, what: &str, seen: &[Seen]) -> f64 {
    let mut late: Vec<f64> = seen.iter().map(|seen| ms(seen.late)).collect();
    rows.info(format!("{what}, lateness p50"), percentile(&mut late, 0.5), "ms");
    rows.info(format!("{what}, lateness p99"), percentile(&mut late, 0.99), "ms");
    let max = percentile(&mut late, 1.0);
    rows.info(format!("{what}, lateness max"), max, "ms");
    max
}

/// Requests and processor time, by trigger.
struct Cost<'a> {
    world: &'a World,
    user: String,
    pid: u32,
    requests: usize,
    cpu: f64,
    server: f64,
}

impl<'a> Cost<'a> {
    fn begin(world: &'a World, user: String, pid: u32) -> Outcome<Self> {
        Ok(Self {
            requests: world.cluster.requests_of(&user),
            cpu: machine::cpu_seconds(pid)?,
            server: machine::cpu_below(&world.cluster.directory, "kube-apiserver"),
            world,
            user,
            pid,
        })
    }

    fn end(self, rows: &mut Rows, what: &str, triggers: usize) -> Outcome<()> {
        #[allow(clippy::cast_precision_loss)] // counts
        let (triggers, requests) = (
            triggers.max(1) as f64,
            (self.world.cluster.requests_of(&self.user) - self.requests) as f64,
        );
        let cpu = machine::cpu_seconds(self.pid)? - self.cpu;
        let server = machine::cpu_below(&self.world.cluster.directory, "kube-apiserver") - self.server;
        rows.info(format!("{what}, API calls a trigger"), requests / triggers, "");
        rows.info(format!("{what}, CPU a trigger"), cpu / triggers * 1e3, "ms");
        rows.info(format!("{what}, API server's CPU a trigger"), server / triggers * 1e3, "ms");
        Ok(())
    }
}

fn user(world: &World) -> String {
    format!("system:serviceaccount:{}:autogpt-operator", world.namespace)
}

fn executions(world: &World) -> String {
    format!("/apis/autogpt.dev/v1alpha1/namespaces/{}/graphexecutions", world.namespace)
}

/// So many schedules due in one minute; the milliseconds until the last child was seen.
pub async fn schedules_at_once(world: &World, operator: &OperatorProcess, count: usize, rows: &mut Rows) -> Outcome<f64> {
    let what = format!("schedules: {count} due");
    let slot = coming_minute()?;
    let objects = (0..count)
        .map(|number| schedule(&format!("many-{number}"), &daily(slot), false))
        .collect();
    create_all(&world.api::<GraphSchedule>(), objects).await?;
    armed(world, count).await;
    let sightings = Sightings::start(world, &executions(world)).await?;
    sleep_until(slot - TimeDelta::seconds(2)).await;
    if Utc::now() >= slot {
        return Err("the schedules were not armed in time: the machine is too busy".into());
    }
    let cost = Cost::begin(world, user(world), operator.id().ok_or("the operator is gone")?)?;
    let seen = sightings.wait(|at| at == slot, count, Duration::from_secs(120)).await?;
    let last = lateness(rows, &what, &seen);
    tokio::time::sleep(SETTLE).await;
    cost.end(rows, &what, count)?;
    clear(world).await?;
    Ok(last)
}

/// Whether schedules may be due every second.
pub fn seconds_are_known() -> bool {
    let definition = serde_json::to_value(GraphSchedule::crd()).unwrap_or_default();
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/seconds";
    definition.pointer(spec).is_some()
}

/// Ten schedules that are due every second.
pub async fn schedules_every_second(world: &World, operator: &OperatorProcess, slots: u32, rows: &mut Rows) -> Outcome<()> {
    let what = format!("schedules: {FEW} due");
    let objects = (0..FEW).map(|number| schedule(&format!("few-{number}"), "* * * * * *", true)).collect();
    create_all(&world.api::<GraphSchedule>(), objects).await?;
    armed(world, FEW).await;
    let sightings = Sightings::start(world, &executions(world)).await?;
    let cost = Cost::begin(world, user(world), operator.id().ok_or("the operator is gone")?)?;
    let first = Utc::now().duration_trunc(TimeDelta::seconds(1))? + TimeDelta::seconds(2);
    let last = first + TimeDelta::seconds(i64::from(slots) - 1);
    sleep_until(last).await;
    let wanted = |slot| slot >= first && slot <= last;
    let all = FEW * usize::try_from(slots)?;
    let seen = sightings.wait(wanted, all, Duration::from_secs(30)).await?;
    cost.end(rows, &what, all)?;
    lateness(rows, &what, &seen);
    let mut late: Vec<f64> = seen.iter().map(|seen| ms(seen.late)).collect();
    let p99 = percentile(&mut late, 0.99);
    rows.at_most(format!("{what} every second, {slots} times, p99"), p99, "ms", FEW_P99_MS, "");
    clear(world).await
}

/// The floor of that: as many GraphExecutions created at the same full second by this program, in a namespace that nobody else watches.
pub async fn bare_every_second(world: &World, times: u32, rows: &mut Rows) -> Outcome<()> {
    let namespace = format!("bare-{}", Utc::now().timestamp_millis());
    let object: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}}))?;
    Api::all(world.client.clone()).create(&PostParams::default(), &object).await?;
    let api: Api<GraphExecution> = Api::namespaced(world.cluster.admin(), &namespace);
    let sightings = Sightings::start(world, &GraphExecution::url_path(&(), Some(&namespace))).await?;
    let first = Utc::now().duration_trunc(TimeDelta::seconds(1))? + TimeDelta::seconds(2);
    for second in 0..times {
        let slot = first + TimeDelta::seconds(i64::from(second));
        let objects = (0..FEW).map(|number| {
            let mut object = execution(&format!("bare-{second}-{number}"));
            object["spec"]["scheduledFor"] = json!(slot);
            object
        });
        let objects = objects.collect();
        sleep_until(slot).await;
        create_all(&api, objects).await?;
    }
    let seen = sightings.wait(|_| true, FEW * usize::try_from(times)?, Duration::from_secs(30)).await?;
    lateness(rows, &format!("{FEW} bare creates every second"), &seen);
    delete_all::<GraphExecution>(&api).await
}

/// CronJobs on the same server; the milliseconds until the last of many was seen.
pub async fn cron_jobs(world: &World, flags_are: &str, flags: &[&str], size: Size, rows: &mut Rows) -> Outcome<f64> {
    let controller = CronJobs::start(world, flags).await;
    let path = format!("/apis/batch/v1/namespaces/{}/jobs", world.namespace);
    let few = format!("CronJob, {flags_are}: {FEW} due");
    let sightings = Sightings::start(world, &path).await?;
    let first = coming_minute()?;
    create_cron_jobs(world, "few", FEW, "* * * * *").await?;
    let last = first + TimeDelta::minutes(i64::try_from(size.minutes)? - 1);
    sleep_until(last).await;
    let wanted = |slot| slot >= first && slot <= last;
    let seen = sightings.wait(wanted, FEW * size.minutes, Duration::from_secs(60)).await?;
    lateness(rows, &few, &seen);
    delete_all(&world.api::<CronJob>()).await?;
    delete_all(&world.api::<Job>()).await?;

    let many = format!("CronJob, {flags_are}: {} due", size.many);
    let slot = coming_minute()?;
    create_cron_jobs(world, "many", size.many, &daily(slot)).await?;
    sleep_until(slot - TimeDelta::seconds(2)).await;
    let cost = Cost::begin(world, CONTROLLERS.to_owned(), controller.id())?;
    let seen = sightings.wait(|at| at == slot, size.many, Duration::from_secs(400)).await?;
    let last = lateness(rows, &many, &seen);
    tokio::time::sleep(SETTLE).await;
    cost.end(rows, &many, size.many)?;
    controller.stop().await;
    delete_all(&world.api::<CronJob>()).await?;
    delete_all(&world.api::<Job>()).await?;
    Ok(last)
}

async fn create_cron_jobs(world: &World, prefix: &str, count: usize, line: &str) -> Outcome<()> {
    let pod = json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "registry.test/c"}]});
    let objects = (0..count).map(|number| {
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": format!("{prefix}-{number}")}, "spec": {
            "schedule": line, "timeZone": "Etc/UTC", "jobTemplate": {"spec": {"template": {"spec": pod}}}}})
    });
    create_all::<CronJob>(&of(world), objects.collect()).await
}

fn of<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(world: &World) -> Api<K> {
    Api::namespaced(world.cluster.admin(), &world.namespace)
}
