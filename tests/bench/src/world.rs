//! The platform that a case measures: a fleet of its own, one user, and the ways to look at it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;
use workload::{Client, Fleet, Fleets, Role};

use crate::database::Database;
use crate::events::Listener;
use crate::probe::Prober;
use crate::{Outcome, machine};

/// Submissions that are under way at the same time while load is kept up.
const SUBMITTING: usize = 64;
/// How often missing load is looked for.
const LOOK: Duration = Duration::from_millis(20);

pub struct World {
    pub fleet: Fleet,
    pub user: Client,
    pub database: Database,
}

/// One executor with room for a thousand runs. The limits of the shipped configuration (10 runs an executor, 25 runs a user and graph)
/// are about fairness, not speed. More connections to the database, so that more submissions than twelve share a flush of the disk.
pub fn roomy() -> Fleets {
    Fleets {
        executor: 1,
        ..Fleets::default()
    }
    .with("NUM_GRAPH_WORKERS", 1200)
    .with("MAX_CONCURRENT_GRAPH_EXECUTIONS_PER_USER", 100_000)
    .with("MAX_CONCURRENT_NODES", 2048)
    .with("MAX_CONCURRENT_NODES_PER_RUN", 256)
    .with("DB_CONNECTION_LIMIT", 32)
}

impl World {
    pub async fn start(fleets: Fleets) -> Outcome<Self> {
        let fleet = Fleet::start(fleets).await?;
        let user = fleet.user().await?;
        let database = Database::connect(fleet.database_url()).await?;
        Ok(Self { fleet, user, database })
    }

    pub async fn stop(self) {
        self.fleet.stop().await;
    }

    pub async fn prober(&self) -> Outcome<Prober> {
        Prober::start(self.fleet.database_url()).await
    }

    pub async fn listener(&self) -> Outcome<Listener> {
        Listener::start(&self.fleet.stack.redis_url).await
    }

    /// Starts `count` runs at once, a few at a time.
    pub async fn execute(&self, graph: Uuid, count: usize) -> Outcome<Vec<Uuid>> {
        let mut runs = Vec::with_capacity(count);
        let mut posting = JoinSet::new();
        for _ in 0..count {
            if posting.len() >= SUBMITTING
                && let Some(run) = posting.join_next().await
            {
                runs.push(run?);
            }
            self.post(&mut posting, graph);
        }
        while let Some(run) = posting.join_next().await {
            runs.push(run?);
        }
        Ok(runs)
    }

    /// Keeps `open` runs of a graph going for a while; returns how many were submitted.
    pub async fn keep_open(&mut self, graph: Uuid, open: usize, duration: Duration) -> Outcome<usize> {
        let until = Instant::now() + duration;
        let mut posting = JoinSet::new();
        let mut submitted = 0;
        while Instant::now() < until {
            while let Some(run) = posting.try_join_next() {
                run?;
            }
            let going = usize::try_from(self.database.open_runs().await?).unwrap_or_default() + posting.len();
            let room = SUBMITTING.saturating_sub(posting.len());
            for _ in 0..open.saturating_sub(going).min(room) {
                self.post(&mut posting, graph);
                submitted += 1;
            }
            tokio::time::sleep(LOOK).await;
        }
        while let Some(run) = posting.join_next().await {
            run?;
        }
        Ok(submitted)
    }

    fn post(&self, posting: &mut JoinSet<Uuid>, graph: Uuid) {
        let user = self.user.clone();
        posting.spawn(async move { user.execute(graph, json!({})).await });
    }

    /// Creates a graph; its id.
    pub async fn graph(&self, graph: &Value) -> Uuid {
        self.user.create_graph(graph).await
    }

    /// Resident memory of the first executor, in MB.
    pub fn executor_rss(&self) -> Outcome<f64> {
        machine::rss_mb(self.fleet.pid(Role::Executor, 0).ok_or("there is no executor")?)
    }

    /// Processor seconds used so far, by who used them.
    pub fn cpu(&self) -> Cpu {
        let of = |role| {
            let pids = (0..self.fleet.count(role)).filter_map(|index| self.fleet.pid(role, index));
            pids.filter_map(|pid| machine::cpu_seconds(pid).ok()).sum::<f64>()
        };
        let mut seconds: HashMap<&'static str, f64> = [Role::Executor, Role::Db, Role::Rest]
            .into_iter()
            .map(|role| (role.name(), of(role)))
            .collect();
        for (server, name) in [("postgres", "postgres"), ("redis", "redis-server"), ("rabbitmq", "beam.smp")] {
            seconds.insert(server, machine::cpu_below(self.fleet.logs(), name));
        }
        seconds.insert("load", machine::cpu_seconds(std::process::id()).unwrap_or_default());
        Cpu(seconds)
    }
}

/// Processor seconds by who used them.
pub struct Cpu(HashMap<&'static str, f64>);

impl Cpu {
    /// Everybody who was asked about, in the order of the path of a run.
    pub const ALL: [&'static str; 7] = ["load", "rest", "executor", "db", "postgres", "rabbitmq", "redis"];

    /// Microseconds that `who` has used since `earlier` for each of `things`.
    pub fn each_since(&self, earlier: &Self, who: &'static str, things: f64) -> f64 {
        let of = |cpu: &Self| cpu.0.get(who).copied().unwrap_or_default();
        (of(self) - of(earlier)) * 1e6 / things.max(1.0)
    }
}
