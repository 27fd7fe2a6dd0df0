//! The cases of the battery, by what they attack.

mod disk;
mod engine;
mod executors;
mod graph_schedules;
mod ledger;
mod poison;
mod schedules;
mod servers;
mod tenants;
mod traffic;

use std::future::Future;
use std::pin::Pin;

use crate::Result;
use crate::report::Outcome;
use crate::scope::Scope;

type Running<'a> = Pin<Box<dyn Future<Output = Result<Outcome>> + Send + 'a>>;

/// One case.
pub struct Case {
    pub name: &'static str,
    pub about: &'static str,
    run: for<'a> fn(&'a Scope) -> Running<'a>,
}

impl Case {
    /// Runs the case at the size of `scope`.
    ///
    /// # Errors
    /// When the runner cannot go on: a server or a service does not start, or the database does not answer any more.
    pub async fn run(&self, scope: &Scope) -> Result<Outcome> {
        (self.run)(scope).await
    }
}

macro_rules! case {
    ($name:literal, $about:literal, $run:path) => {
        Case {
            name: $name,
            about: $about,
            run: |scope| Box::pin($run(scope)),
        }
    };
}

/// All cases, in the order in which they run.
pub const ALL: &[Case] = &[
    case!(
        "engine_properties",
        "Random graphs, orders and crashes against a reference interpreter",
        engine::properties
    ),
    case!(
        "schedule_calendar",
        "Due times around every change of the clocks against a slow oracle",
        schedules::calendar
    ),
    case!(
        "schedule_simulation",
        "Schedules over years: absences, crashes in looks, everything people do",
        schedules::simulation
    ),
    case!(
        "schedule_model",
        "A schedule between two leaders with stale caches and crashes, exhaustively",
        schedules::leaders
    ),
    case!(
        "graph_schedules",
        "SIGKILL after a write, SIGSTOP past the Lease, stale caches: one run a slot",
        graph_schedules::slots
    ),
    case!(
        "graph_schedules_burst",
        "10 000 GraphSchedules due in one second, while operators are killed: one run each",
        graph_schedules::at_once
    ),
    case!(
        "steady_state",
        "Objects about which there is nothing to do: no write in five minutes",
        graph_schedules::steady
    ),
    case!("executor_kill", "SIGKILL of executors, again while others recover", executors::kill),
    case!(
        "executor_stop",
        "SIGSTOP of executors past their lease, then SIGCONT: zombies",
        executors::stop
    ),
    case!("nested_kill", "SIGKILL of executors under runs that run other agents", executors::nested),
    case!("once", "SIGKILL of executors under blocks that must not start twice", executors::once),
    case!(
        "rolling_term",
        "SIGTERM of every process of every service in turn, under load",
        executors::rolling
    ),
    case!("rabbitmq_kill", "SIGKILL of RabbitMQ", servers::rabbitmq),
    case!("postgres_kill", "SIGKILL of PostgreSQL", servers::postgres),
    case!("postgres_outage", "PostgreSQL away for 20 s: no run changes hands", servers::outage),
    case!(
        "disk_full",
        "PostgreSQL's disk runs full: statements fail, and then the server itself",
        disk::full
    ),
    case!("redis_kill", "SIGKILL of Redis", servers::redis),
    case!("db_kill", "SIGKILL of the database manager", servers::database_manager),
    case!(
        "broker_alarm",
        "RabbitMQ runs out of memory and blocks whoever publishes",
        servers::broker_alarm
    ),
    case!("ledger_kill", "SIGKILL of executors while their nodes are paid for", ledger::kill),
    case!(
        "doubled",
        "every run message and every writing call repeated and reordered",
        traffic::doubled
    ),
    case!(
        "poison",
        "nodes that panic, never end, give 10 MiB or abort their process",
        poison::poison
    ),
    case!("noisy_user", "one user floods the platform, others still start at once", tenants::noisy),
    case!("cancel_storm", "everything is cancelled at once", tenants::cancel_storm),
];

/// The case of that name.
pub fn find(name: &str) -> Option<&'static Case> {
    ALL.iter().find(|case| case.name == name)
}
