//! Operators that are killed right after something that they did and were not told about: each write and call in turn, on the way of a due
//! time, and of a backfill, from the execution to the removal of it.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use controllers_tests::process::OperatorProcess;
use controllers_tests::{Proxy, Services, World, eventually};
use crds::{GraphExecution, GraphSchedule, LABEL_SCHEDULE};
use futures::future;
use kube::ResourceExt;
use kube::api::ListParams;
use model::ExecutionStatus;
use model::schedule::SlotOutcome;
use operator::runtime::time;
use rpc::services::Scheduler;
use serde_json::json;
use tokio::sync::oneshot;

/// The first writes of a due time, whatever they are: how many there are depends on how many changes one write tells.
const WRITES: usize = 8;
/// The same of a backfill.
const BACKFILL_WRITES: usize = 4;
/// What the writes of every due time are.
const KINDS: [&str; 5] = [
    "POST graphexecutions",
    "PUT graphschedules/status",
    "PATCH graphexecutions",
    "PATCH graphexecutions/status",
    "DELETE graphexecutions",
];
/// Calls of the scheduler service that change something.
const CALLS: [&str; 2] = ["submit_graph_execution", "record_decisions"];
/// Operators that are tried at the same time.
const SEATS: usize = 3;
/// From the making of a schedule to its due time, in seconds.
const SOON: i64 = 2;
const QUIET: Duration = Duration::from_millis(1500);
const LATEST: Duration = Duration::from_secs(60);

/// The name of a backfill, and of its request in the ledger.
const BACKFILL: &str = "again";

/// What the run is of.
#[derive(Clone, Copy)]
enum Of {
    Calendar,
    Backfill,
}

/// What the operator is killed after.
#[derive(Clone, Copy)]
enum After {
    Write(usize),
    Kind(&'static str),
    Call(&'static str),
}

/// An operator between proxies.
struct Seat {
    world: World,
    server: Proxy,
    service: Proxy,
    operator: OperatorProcess,
}

impl Seat {
    async fn take(services: &Services) -> Self {
        let world = World::new().await;
        let server = Proxy::start(&world.cluster).await;
        let service = Proxy::before_service(services.url()).await;
        let variables = [("SCHEDULER_URL", service.url.as_str())];
        let mut operator = OperatorProcess::prepare_by_way_of(&world, &server.url, "a", &variables).await;
        operator.start().await;
        services.platform(&world).await;
        Self {
            world,
            server,
            service,
            operator,
        }
    }

    /// One run, and a crash on its way; what the last deed of the operator was, if there were so many.
    async fn strike(&mut self, number: usize, (of, after): (Of, After), services: &Services) -> Option<String> {
        self.world.comes_to_rest(QUIET).await;
        let told = match after {
            After::Write(number) => self.server.silence(number),
            After::Kind(wanted) => self.server.silence_where(move |write| kind(write) == wanted, 1),
            After::Call(part) => self.service.silence_of(part, 1),
        };
        let slot = match of {
            Of::Calendar => Utc::now().timestamp() + SOON,
            Of::Backfill => Utc::now().timestamp() - 60,
        };
        let at = |second: i64| time::from_chrono(DateTime::from_timestamp(second, 0).unwrap());
        let graph = json!({"name": "g", "description": "", "nodes": [
            {"id": "n", "block_id": "1ff065e9-88e8-4358-9d82-8dc91f622ba9", "input_default": {"input": number}}]});
        let mut spec = json!({"platformRef": {"name": "p"}, "graph": {"inline": graph}, "seconds": true, "schedules": ["* * * * * *"],
            "startAt": at(slot), "endAt": at(slot + 1), "historyLimit": {"succeeded": 0, "failed": 0}});
        let request = match of {
            Of::Calendar => String::new(),
            Of::Backfill => {
                spec["backfills"] = json!([{"name": BACKFILL, "from": at(slot), "to": at(slot)}]);
                format!("/backfill/{BACKFILL}")
            }
        };
        let name = format!("s{number}");
        let object = json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": {"name": name}, "spec": spec});
        let uid = self.world.create::<GraphSchedule>(object).await.uid().unwrap();
        let deed = match after {
            After::Write(_) => self.until_told(told, &name).await,
            After::Kind(awaited) | After::Call(awaited) => Some(Self::surely_told(told, awaited).await),
        };
        self.operator.kill().await;
        self.server.calm();
        self.service.calm();
        self.operator.launch();
        self.settles(&name).await;

        // One run, one decision, and everything is counted once.
        let schedule = self.world.api::<GraphSchedule>().get(&name).await.unwrap();
        let counters = schedule.status.unwrap().counters.unwrap();
        let counted = (
            counters.fired,
            counters.runs,
            counters.succeeded,
            counters.failed,
            counters.skipped,
            counters.missed,
        );
        let of_calendar = i64::from(matches!(of, Of::Calendar));
        assert_eq!(counted, (1, of_calendar, 1, 0, 0, 0), "killed after {deed:?}");
        let runs = services.client().get_execution_progress(None, 0, 1000).await.unwrap().runs;
        let runs: Vec<_> = runs.into_iter().filter(|run| run.idempotency_key.starts_with(&uid)).collect();
        let key = format!("{uid}/{}{request}", schedule::decide::instant(DateTime::from_timestamp(slot, 0).unwrap()));
        assert_eq!(runs.len(), 1, "killed after {deed:?}: {runs:?}");
        assert_eq!((&runs[0].idempotency_key, runs[0].status), (&key, ExecutionStatus::Completed));
        let lines = eventually("the ledger has the decision", || async {
            let lines = services.client().list_decisions(uid.parse().unwrap(), None, None, 10).await.unwrap();
            if lines.is_empty() { Err("it has none") } else { Ok(lines) }
        })
        .await;
        let outcomes: Vec<_> = lines.iter().map(|line| (line.slot.into_inner().timestamp(), line.outcome)).collect();
        let outcome = match of {
            Of::Calendar => SlotOutcome::Fired,
            Of::Backfill => SlotOutcome::Backfilled,
        };
        assert_eq!(outcomes, [(slot, outcome)], "killed after {deed:?}");
        deed
    }

    /// Waits for a deed that comes with every due time, though maybe after the run is over and counted, as the ledger's line may.
    async fn surely_told(told: oneshot::Receiver<String>, awaited: &str) -> String {
        let deed = tokio::time::timeout(LATEST, told).await;
        deed.unwrap_or_else(|_| panic!("no {awaited} within {LATEST:?}")).unwrap()
    }

    /// Waits for the deed; nothing when the due time is over and done with before.
    async fn until_told(&self, told: oneshot::Receiver<String>, name: &str) -> Option<String> {
        tokio::select! {
            deed = told => Some(deed.unwrap()),
            () = self.settles(name) => None,
        }
    }

    /// Waits until the run is over and counted, and its execution is gone.
    async fn settles(&self, name: &str) {
        eventually(&format!("{name} has had its due time"), || async {
            let status = self.world.api::<GraphSchedule>().get(name).await.unwrap().status.unwrap_or_default();
            let ended = status.counters.as_ref().is_some_and(|counters| counters.succeeded + counters.failed > 0);
            let children = ListParams::default().labels(&format!("{LABEL_SCHEDULE}={name}"));
            let children = self.world.api::<GraphExecution>().list(&children).await.unwrap().items;
            if ended && status.active.is_empty() && children.is_empty() {
                Ok(())
            } else {
                Err((status, children))
            }
        })
        .await;
    }
}

/// `POST graphexecutions`, `PUT graphschedules/status`; of a call its name.
fn kind(deed: &str) -> String {
    let (method, rest) = deed.split_once(' ').unwrap();
    let path = rest.split(['?', ':']).next().unwrap();
    let parts: Vec<&str> = path.split('/').skip_while(|part| *part != "namespaces").skip(2).collect();
    match parts[..] {
        [resource] | [resource, _] => format!("{method} {resource}"),
        [resource, _, part] => format!("{method} {resource}/{part}"),
        _ => path.trim_matches('/').to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_that_is_killed_after_any_of_its_deeds_leaves_one_run_and_one_decision() {
    let services = Services::prepare().await;
    services.start().await;
    services.start_executor().await;
    let writes = (1..=WRITES).map(After::Write).chain(KINDS.map(After::Kind));
    let crashes = writes.chain(CALLS.map(After::Call)).map(|after| (Of::Calendar, after));
    let of_backfills = (1..=BACKFILL_WRITES).map(After::Write).map(|after| (Of::Backfill, after));
    let crashes: Vec<(Of, After)> = crashes.chain(of_backfills).collect();
    let seats = (0..SEATS).map(|first| {
        let (crashes, services) = (&crashes, &services);
        async move {
            let mut seat = Seat::take(services).await;
            let mut deeds = Vec::new();
            for (number, after) in crashes.iter().enumerate().skip(first).step_by(SEATS) {
                deeds.extend(seat.strike(number, *after, services).await);
            }
            seat.operator.terminate().await;
            deeds
        }
    });
    let deeds: Vec<String> = future::join_all(seats).await.concat();
    let kinds: BTreeSet<String> = deeds.iter().map(|deed| kind(deed)).collect();
    eprintln!("killed {} times, after {kinds:?}", deeds.len());
    for expected in KINDS.into_iter().chain(CALLS) {
        assert!(kinds.contains(expected), "nobody was killed after {expected}: {deeds:#?}");
    }
}
