//! The platform of one case, its users, and what is known about its runs.

use std::time::Duration;

use devservices::Part;
use serde_json::Value;
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::task::JoinHandle;
use uuid::Uuid;
use workload::kit::id;
use workload::{Client, Fleet, Fleets, Role, graphs};

use crate::Result;
use crate::ear::Ear;
use crate::invariants::{self, Expected, Verdict};
use crate::load::{self, Accepted, Ticket};
use crate::report::{self, Notes, Outcome};
use crate::scope::Scope;
use crate::watch::Watch;

const CONNECTIONS: u32 = 4;
/// A database that is away is noticed in this time.
const ACQUIRE: Duration = Duration::from_secs(2);

pub struct World {
    pub fleet: Fleet,
    pub platform: PgPool,
    pub effects: PgPool,
    pub watch: Watch,
    ear: Ear,
    /// Runs of which every event must arrive.
    followed: Vec<Uuid>,
    pub faults: u64,
    pub remarks: Vec<String>,
    /// Invariants of the case itself that are broken.
    pub complaints: Vec<String>,
}

impl World {
    /// The usual fleet with so many executors, for a case that does not take the database away for long.
    pub async fn with_executors(scope: &Scope, executors: usize) -> Result<Self> {
        let plan = Fleets {
            executor: executors,
            ..Fleets::default()
        };
        Self::start(scope, plan, Duration::ZERO).await
    }

    /// `outage`: for how long the case takes the database itself away.
    pub async fn start(scope: &Scope, mut plan: Fleets, outage: Duration) -> Result<Self> {
        plan.durable = scope.durable;
        let plan = plan.with("LEASE_SECONDS", scope.lease.as_secs());
        let fleet = Fleet::start(plan).await?;
        let connect = |url: &str| {
            PgPoolOptions::new()
                .max_connections(CONNECTIONS)
                .acquire_timeout(ACQUIRE)
                .connect_lazy(url)
        };
        let platform = connect(fleet.database_url())?;
        let effects = connect(&fleet.effects_url)?;
        let ear = Ear::start(&fleet.stack.redis_url);
        let watch = Watch::start(platform.clone(), scope.lease, outage);
        Ok(Self {
            fleet,
            platform,
            effects,
            watch,
            ear,
            followed: Vec::new(),
            faults: 0,
            remarks: Vec::new(),
            complaints: Vec::new(),
        })
    }

    /// New users, each with a graph.
    pub async fn tickets(&self, users: usize, graph: &Value) -> Result<Vec<Ticket>> {
        let mut tickets = Vec::with_capacity(users);
        for _ in 0..users {
            tickets.push(self.ticket(&self.fleet.user().await?, graph).await);
        }
        Ok(tickets)
    }

    /// Every event of these runs must arrive: nothing that tells about them is killed.
    pub fn follow(&mut self, runs: &[Accepted]) {
        self.followed.extend(runs.iter().map(|run| run.run));
    }

    /// New users, each with a graph that runs another one.
    pub async fn nested_tickets(&self, users: usize, child: &Value) -> Result<Vec<Ticket>> {
        let mut tickets = Vec::with_capacity(users);
        for _ in 0..users {
            let client = self.fleet.user().await?;
            let child = client.create_graph(child).await;
            tickets.push(self.ticket(&client, &graphs::parent(child, id::EFFECT)).await);
        }
        Ok(tickets)
    }

    pub async fn ticket(&self, client: &Client, graph: &Value) -> Ticket {
        Ticket {
            graph: client.create_graph(graph).await,
            client: client.clone(),
        }
    }

    /// Lets runs be submitted beside whatever else happens.
    pub fn submit(&self, tickets: Vec<Ticket>, runs: usize, time: Duration) -> JoinHandle<Result<Vec<Accepted>>> {
        tokio::spawn(load::submit(tickets, runs, time))
    }

    /// SIGKILL and, a moment later, a new process in its place.
    pub async fn crash(&mut self, role: Role, index: usize, away: Duration) -> Result<()> {
        self.faults += 1;
        self.fleet.kill(role, index).await?;
        tokio::time::sleep(away).await;
        self.fleet.launch(role, index)?;
        Ok(())
    }

    /// SIGKILL for a server, which comes back with the data that it left.
    pub async fn outage(&mut self, part: Part, away: Duration) -> Result<()> {
        self.faults += 1;
        self.fleet.stack.kill(part).await;
        tokio::time::sleep(away).await;
        self.fleet.stack.restart(part).await?;
        Ok(())
    }

    /// Waits until nothing moves any more, checks the invariants and ends the platform.
    pub async fn judge(mut self, case: &'static str, expected: Expected) -> Result<Outcome> {
        let standstill = self.watch.settle().await?;
        let verdict = invariants::check(&self.platform, &self.effects, &expected).await?;
        let Verdict {
            runs,
            lost,
            doubled,
            broken,
            reruns,
            parked,
        } = verdict;
        let stuck = standstill.stuck.len() as u64;
        let (lost_count, doubled_count) = (lost.len() as u64, doubled.len() as u64);
        let mut complaints = std::mem::take(&mut self.complaints);
        complaints.extend(sample("told wrong", self.ear.contradictions()));
        complaints.extend(sample("untold", self.ear.gaps(&self.followed).await));
        self.remarks
            .push(format!("{} events heard, followed {} runs", self.ear.events(), self.followed.len()));
        complaints.extend(sample("lost", lost));
        complaints.extend(sample("doubled", doubled));
        complaints.extend(sample("stuck", standstill.stuck.iter().map(Uuid::to_string).collect()));
        complaints.extend(broken);
        let ok = complaints.is_empty();
        if !ok || std::env::var_os("KEEP_LOGS").is_some() {
            self.remarks.push(format!("logs: {}", self.fleet.keep_logs().display()));
        }
        let outcome = Outcome {
            case,
            faults: self.faults,
            runs,
            lost: lost_count,
            doubled: doubled_count,
            stuck,
            worst_recovery_s: report::seconds(standstill.worst),
            ok,
            notes: Notes {
                reruns,
                parked,
                complaints,
                remarks: self.remarks,
            },
        };
        self.platform.close().await;
        self.effects.close().await;
        self.fleet.stop().await;
        Ok(outcome)
    }
}

/// The first few of many.
pub fn sample(what: &str, all: Vec<String>) -> Vec<String> {
    const SHOWN: usize = 5;
    let count = all.len();
    let mut shown: Vec<String> = all.into_iter().take(SHOWN).map(|text| format!("{what}: {text}")).collect();
    if count > SHOWN {
        shown.push(format!("{what}: and {} more", count - SHOWN));
    }
    shown
}
