//! An API server, two operators behind proxies, and a platform of real services behind them.

use std::time::{Duration, Instant};

use controllers_tests::eventually::within;
use controllers_tests::process::OperatorProcess;
use controllers_tests::{Proxy, World as Cluster};
use crds::{AutoGPTPlatform, GraphSchedule};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::coordination::v1::Lease;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use workload::kit::id;
use workload::{Fleets, Role, graphs};

use super::people::{self, People};
use crate::Result;
use crate::scope::Scope;
use crate::world::World;

pub const PLATFORM: &str = "p";
const TOKEN: &str = "the-token-of-the-battery";
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OPERATORS: usize = 2;
/// As many writes come of a slot of all schedules: executions, decisions, finalizers, acceptances, ends.
const WRITES: usize = 30;
/// A write that is to be the last one of its operator is waited for so long.
const PATIENCE: Duration = Duration::from_secs(3);
/// What policies ask for comes every few seconds.
const POLICY_PATIENCE: Duration = Duration::from_secs(6);
/// Longer than the Lease lasts: another operator leads when this one wakes.
const STOPPED: Duration = Duration::from_millis(8_500);
const REFUSED: Duration = Duration::from_secs(2);
const LAG: Duration = Duration::from_millis(1_500);
const AWAY: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(60);
/// After the last fault a Lease runs out and caches are filled; then something must move until what is late is made up for.
const RECOVERY: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);
/// Schedules that are made at the same time.
const AT_ONCE: usize = 16;

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL of the leader when a write of it was carried out and it has not been told so.
    AfterWrite,
    /// The same when that write is one that only a policy asks for: `spec.cancel` of an execution, `spec.suspend` of a schedule.
    AfterPolicy,
    /// SIGKILL of one of the operators at any moment.
    AnyMoment,
    /// SIGKILL of both operators.
    Both,
    /// SIGSTOP of the leader until another one leads, then SIGCONT: two believe that they lead.
    Zombie,
    /// Caches of one operator fall behind, while its colleague is killed.
    Stale,
    /// Every watch of one operator ends.
    CutWatches,
    /// The API server answers 429.
    TooMany,
    /// SIGKILL of the scheduler service.
    Scheduler,
    /// SIGKILL of the database manager.
    Database,
    /// SIGKILL of kube-apiserver.
    ApiServer,
    /// The same, and it stays away for a minute.
    NoApiServer,
}

/// In this order, again and again.
const FAULTS: [Fault; 23] = [
    Fault::AfterWrite,
    Fault::Zombie,
    Fault::AfterPolicy,
    Fault::Scheduler,
    Fault::AfterWrite,
    Fault::Stale,
    Fault::AnyMoment,
    Fault::TooMany,
    Fault::AfterPolicy,
    Fault::AfterWrite,
    Fault::Both,
    Fault::CutWatches,
    Fault::AfterWrite,
    Fault::ApiServer,
    Fault::AfterWrite,
    Fault::AnyMoment,
    Fault::Scheduler,
    Fault::AfterPolicy,
    Fault::AfterWrite,
    Fault::AnyMoment,
    Fault::Database,
    Fault::AfterWrite,
    Fault::AnyMoment,
];

/// The `number`-th fault.
pub fn fault(number: usize) -> Fault {
    FAULTS.get(number % FAULTS.len()).copied().unwrap_or(Fault::AnyMoment)
}

/// A schedule of two effects that is due every two seconds, unless the policy has other lines.
pub fn manifest(name: &str, policy: Value) -> Value {
    let mut spec = json!({"platformRef": {"name": PLATFORM}, "graph": {"inline": graphs::chain(2, id::EFFECT, &json!({}))},
        "schedules": ["*/2 * * * * *"], "seconds": true, "catchUp": {"policy": "All", "limit": 1000},
        "historyLimit": {"succeeded": 1000, "failed": 1000}});
    if let (Some(spec), Value::Object(policy)) = (spec.as_object_mut(), policy) {
        spec.extend(policy);
    }
    json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": {"name": name}, "spec": spec})
}

/// Another graph for each schedule whose runs may end otherwise than others.
pub fn effects(of: &str, ms: u64) -> Value {
    json!({"inline": graphs::chain(2, id::EFFECT, &json!({"input": of, "ms": ms}))})
}

/// The schedule that people do something to under this name.
pub fn of_people(name: &str) -> Option<Value> {
    let policy = match name {
        people::ASKED | people::HOLIDAY => json!({}),
        people::REPEATED => json!({"schedules": ["*/4 * * * * *"]}),
        people::PICKED | people::REBORN => json!({"graph": effects(name, 400)}),
        people::FAILS => json!({"graph": {"inline": graphs::chain(1, id::PANIC, &json!({}))}, "schedules": ["*/3 * * * * *"], "pauseOnFailure": 2}),
        _ => return None,
    };
    Some(manifest(name, policy))
}

/// Whether a request of an operator, by method and path and by its body, is one that only a policy of a schedule asks for.
fn is_of_policy(request: &str, body: &str) -> bool {
    let cancels = request.contains("/graphexecutions/") && body.contains(r#""cancel":true"#);
    let suspends = request.contains("/graphschedules/") && body.contains(r#""suspend":"#) && !request.contains("/status");
    request.starts_with("PATCH ") && (cancels || suspends)
}

struct Seat {
    proxy: Proxy,
    operator: OperatorProcess,
}

pub struct Scene {
    pub world: World,
    pub cluster: Cluster,
    seats: Vec<Seat>,
    random: StdRng,
    names: usize,
    /// The last words that operators had when they were killed after a write.
    pub last_writes: Vec<String>,
}

impl Scene {
    /// Everything runs, and the platform is ready.
    pub async fn start(scope: &Scope, seed: u64) -> Result<Self> {
        let fleet = Fleets {
            executor: 2,
            rest: 0,
            ..Fleets::default()
        };
        let fleet = fleet.with("INTERNAL_RPC_TOKEN", TOKEN).with("ENCRYPTION_KEY", KEY);
        let world = World::start(scope, fleet, Duration::ZERO).await?;
        let cluster = Cluster::new().await;
        let scheduler = world.fleet.url(Role::Scheduler, 0)?;
        let mut seats = Vec::with_capacity(OPERATORS);
        for index in 0..OPERATORS {
            let proxy = Proxy::start(&cluster.cluster).await;
            let variables = [("SCHEDULER_URL", scheduler.as_str()), ("LOG_LEVEL", "info")];
            let mut operator = OperatorProcess::prepare_by_way_of(&cluster, &proxy.url, &format!("operator-{index}"), &variables).await;
            operator.start().await;
            seats.push(Seat { proxy, operator });
        }
        cluster.secret(&format!("{PLATFORM}-rpc-token"), &[("token", TOKEN)]).await;
        let platform = json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "AutoGPTPlatform", "metadata": {"name": PLATFORM}, "spec": {}});
        cluster.apply(&platform).await?;
        cluster.bring_up(PLATFORM).await;
        Ok(Self {
            world,
            cluster,
            seats,
            random: StdRng::seed_from_u64(seed),
            names: OPERATORS,
            last_writes: Vec::new(),
        })
    }

    /// Makes a schedule; see [`manifest`].
    pub async fn schedule(&self, name: &str, policy: Value) -> Result<GraphSchedule> {
        Ok(self.cluster.create(manifest(name, policy)).await)
    }

    /// The schedules that people do something to.
    pub async fn people(&self) -> Result<People> {
        for name in [
            people::ASKED,
            people::REPEATED,
            people::HOLIDAY,
            people::PICKED,
            people::FAILS,
            people::REBORN,
        ] {
            self.cluster.create::<GraphSchedule>(of_people(name).ok_or("no such schedule")?).await;
        }
        Ok(People::new(&self.cluster.client, &self.cluster.namespace))
    }

    /// Nothing goes wrong any more.
    pub async fn calm(&mut self) -> Result<()> {
        for seat in &self.seats {
            seat.proxy.calm();
        }
        self.world.fleet.ready(Role::Scheduler, 0).await?;
        Ok(self.world.fleet.ready(Role::Db, 0).await?)
    }

    /// So many schedules, each with one slot, all at the same moment (in seconds since 1970).
    pub async fn due_at_once(&self, count: usize, due: i64) -> Result<()> {
        let at = |second| {
            let instant = chrono::DateTime::from_timestamp(second, 0).unwrap_or_default();
            instant.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
        };
        let policy = json!({"schedules": ["* * * * * *"], "startAt": at(due), "endAt": at(due + 1),
            "graph": {"inline": graphs::chain(1, id::EFFECT, &json!({}))}});
        let names = (0..count).map(|number| format!("once-{number}"));
        let made = stream::iter(names).map(|name| {
            let policy = policy.clone();
            async move { self.schedule(&name, policy).await.map(drop) }
        });
        made.buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Lets something go wrong, and sees to it that everybody is there again a little later.
    pub async fn strike(&mut self, fault: Fault) -> Result<()> {
        self.world.faults += 1;
        match fault {
            Fault::AfterWrite => {
                let leader = self.leader().await?;
                let number = self.random.random_range(1..=WRITES);
                let told = self.seat(leader)?.proxy.silence(number);
                self.kill_when(leader, told, PATIENCE).await?;
            }
            Fault::AfterPolicy => {
                let leader = self.leader().await?;
                let told = self.seat(leader)?.proxy.silence_about(is_of_policy, 1);
                self.kill_when(leader, told, POLICY_PATIENCE).await?;
            }
            Fault::AnyMoment => {
                let victim = self.random.random_range(0..OPERATORS);
                let moment = self.random.random_range(0..1_500);
                tokio::time::sleep(Duration::from_millis(moment)).await;
                self.kill(victim).await?;
                self.launch(victim)?;
            }
            Fault::Both => {
                for victim in 0..OPERATORS {
                    self.kill(victim).await?;
                }
                for victim in 0..OPERATORS {
                    self.launch(victim)?;
                }
            }
            Fault::Zombie => {
                let leader = self.leader().await?;
                self.seat(leader)?.operator.signal("STOP").await;
                tokio::time::sleep(STOPPED).await;
                self.seat(leader)?.operator.signal("CONT").await;
            }
            Fault::Stale => {
                let leader = self.leader().await?;
                for (index, seat) in self.seats.iter().enumerate() {
                    if index != leader {
                        seat.proxy.lag(LAG, 4 * LAG);
                    }
                }
                self.kill(leader).await?;
                self.launch(leader)?;
            }
            Fault::CutWatches => {
                let victim = self.random.random_range(0..OPERATORS);
                self.seat(victim)?.proxy.cut_watches();
            }
            Fault::TooMany => self.seats.iter().for_each(|seat| seat.proxy.refuse(REFUSED)),
            Fault::Scheduler => self.again(Role::Scheduler).await?,
            Fault::Database => self.again(Role::Db).await?,
            Fault::ApiServer => self.cluster.cluster.kill_server(AWAY).await,
            Fault::NoApiServer => self.cluster.cluster.kill_server(LONG).await,
        }
        Ok(())
    }

    async fn kill_when(&mut self, victim: usize, told: oneshot::Receiver<String>, patience: Duration) -> Result<()> {
        if let Ok(Ok(write)) = tokio::time::timeout(patience, told).await {
            self.last_writes.push(write);
        }
        self.kill(victim).await?;
        self.seat(victim)?.proxy.calm();
        self.launch(victim)
    }

    async fn again(&mut self, role: Role) -> Result<()> {
        self.world.fleet.kill(role, 0).await?;
        tokio::time::sleep(AWAY).await;
        Ok(self.world.fleet.launch(role, 0)?)
    }

    /// Nothing goes wrong any more; returns when every slot up to this moment (in
    /// seconds since 1970) is decided and its run is over.
    pub async fn recover(&mut self) -> Result<i64> {
        let now = chrono::Utc::now().timestamp();
        self.recover_through(now).await?;
        Ok(now)
    }

    /// The same for slots up to this moment.
    pub async fn recover_through(&mut self, until: i64) -> Result<()> {
        self.calm().await?;
        let (mut before, mut moved) = (Vec::new(), Instant::now());
        loop {
            let began = Instant::now();
            let schedules = self.cluster.api::<GraphSchedule>().list(&Default::default()).await?.items;
            if schedules.iter().all(|schedule| super::account::is_settled(schedule, until)) {
                return Ok(());
            }
            let position = schedules.iter().map(super::account::position).collect();
            if position != before {
                (before, moved) = (position, Instant::now());
            }
            if moved.elapsed() > RECOVERY {
                let left = schedules.iter().filter(|schedule| !super::account::is_settled(schedule, until));
                let left: Vec<_> = left.map(|schedule| &schedule.metadata.name).collect();
                return Err(format!(
                    "nothing has moved for {} s, {} schedules wait: {:?}",
                    RECOVERY.as_secs(),
                    left.len(),
                    left.iter().take(10).collect::<Vec<_>>()
                )
                .into());
            }
            // A long list must not be most of what the API server has to do.
            tokio::time::sleep(BETWEEN_LOOKS.max(began.elapsed() * 3)).await;
        }
    }

    /// No slot comes any more; returns when nothing is under way.
    pub async fn suspend(&self) {
        let suspend = json!({"spec": {"suspend": {"note": "the battery looks"}}});
        let api = self.cluster.api::<GraphSchedule>();
        for schedule in api.list(&Default::default()).await.map(|list| list.items).unwrap_or_default() {
            let name = schedule.metadata.name.unwrap_or_default();
            self.cluster.merge::<GraphSchedule>(&name, suspend.clone()).await;
        }
        within(RECOVERY, "everything is over", || async {
            let list = api.list(&Default::default()).await.map_err(|error| error.to_string())?;
            let busy = |schedule: &&GraphSchedule| {
                let status = schedule.status.as_ref();
                status.is_none_or(|status| status.suspended.is_none() || !status.active.is_empty())
            };
            let left = list
                .items
                .iter()
                .filter(busy)
                .map(|schedule| schedule.metadata.name.clone())
                .collect::<Vec<_>>();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        })
        .await;
    }

    /// Ends the operators. Their logs are kept when somebody will want to read them.
    pub async fn dismiss(&mut self, keep_logs: bool) {
        for seat in &mut self.seats {
            seat.operator.kill().await;
            if keep_logs {
                self.world
                    .remarks
                    .push(format!("logs of an operator: {}", seat.operator.keep_logs().display()));
            }
        }
    }

    fn seat(&self, index: usize) -> Result<&Seat> {
        self.seats.get(index).ok_or_else(|| format!("there is no operator {index}").into())
    }

    async fn kill(&mut self, index: usize) -> Result<()> {
        let seat = self.seats.get_mut(index).ok_or("no such operator")?;
        seat.operator.kill().await;
        Ok(())
    }

    /// By turns as the same pod, whose container starts again, and as another one.
    fn launch(&mut self, index: usize) -> Result<()> {
        let same = self.random.random_bool(0.5);
        self.names += 1;
        let name = format!("operator-{}", self.names);
        let seat = self.seats.get_mut(index).ok_or("no such operator")?;
        if !same {
            seat.operator.rename(&name);
        }
        seat.operator.launch();
        Ok(())
    }

    /// Who holds the Lease, or held it last.
    async fn leader(&self) -> Result<usize> {
        let lease = self.cluster.api::<Lease>().get_opt("autogpt-operator").await?;
        let holder = lease.and_then(|lease| lease.spec?.holder_identity).unwrap_or_default();
        let place = self.seats.iter().position(|seat| seat.operator.identity() == holder);
        Ok(place.unwrap_or_default())
    }

    /// Whether the platform still is as it was.
    pub async fn platform_is_ready(&self) -> Result<bool> {
        let platform = self.cluster.api::<AutoGPTPlatform>().get(PLATFORM).await?;
        let conditions = platform.status.unwrap_or_default().conditions;
        Ok(crds::conditions::is_true(&conditions, crds::conditions::READY))
    }
}
