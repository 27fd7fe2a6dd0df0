//! The same schedule made through REST as a row and as an object: whoever decides after the same absence, the ledger says the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on says so

use std::collections::HashMap;

use blocks::Registry;
use chrono::{DateTime, TimeDelta, Utc};
use controllers_tests::{World as Cluster, eventually};
use crds::GraphSchedule;
use indexmap::IndexMap;
use model::schedule::{ScheduleDecision, SlotOutcome};
use model::{Graph, GraphId, Timestamp, UserId};
use operator::runtime::time;
use operator::schedule::family::Family;
use operator::schedule::ledger;
use operator::schedule::look::{Surroundings, look};
use runtime::{Settings, Shutdown};
use schedule::decide::{BATCH, Due};
use scheduler::cron::Firing;
use scheduler::schedules::{KubernetesSchedules, ScheduleStore, object_name};
use serde_json::json;
use store::{NewSchedule, SlotDecision, SlotDecisions, Store};
use submit::Submitter;
use tokio::net::TcpListener;
use uuid::Uuid;

/// Lines of the contract's dialect, each with a zone.
const LINES: [(&str, &str); 9] = [
    ("* * * * *", "UTC"),
    ("*/5 * * * *", "Europe/Berlin"),
    ("0 * * * *", "Asia/Kolkata"),
    ("*/20 */2 * * *", "Australia/Lord_Howe"),
    ("30 2 * * *", "America/New_York"),
    ("0 9 * * mon", "Asia/Tokyo"),
    ("15 6,18 1-7 * 4-6", "America/Sao_Paulo"),
    ("0 0 last * *", "Pacific/Apia"),
    ("0 12 29 2 *", "Europe/London"),
];

/// So many seconds nobody looks, from the making of a schedule on.
const ABSENCES: [i64; 8] = [20, 75, 400, 4000, 100_000, 1_000_000, 8_000_000, 400 * 86_400];

/// What the ledger says of one decision, but for whose it is and when it was made: slot, last slot of a range, how many, outcome, reason.
type Line = (Timestamp, Option<Timestamp>, i64, SlotOutcome, String);

fn line(decision: ScheduleDecision) -> Line {
    (decision.slot, decision.through, decision.count, decision.outcome, decision.reason)
}

/// The same schedule twice.
struct Twins {
    row: NewSchedule,
    /// As it was when somebody looked last.
    object: GraphSchedule,
    /// A slot that was decided before the absence, whose run is not over.
    running: Option<DateTime<Utc>>,
    /// The first slot without a decision.
    first: DateTime<Utc>,
}

impl Twins {
    /// None for a schedule that is never due again.
    fn new(row: &NewSchedule, object: &GraphSchedule, absence: i64, runs: bool) -> Option<Self> {
        let firing = Firing::new(&row.cron.parse().unwrap(), row.timezone.parse().unwrap()).unwrap();
        let made = Utc::now() - TimeDelta::seconds(absence);
        let running = firing.next_after(made).filter(|slot| runs && *slot < Utc::now());
        let first = firing.next_after(running.unwrap_or(made))?;
        let mut object = object.clone();
        object.metadata.creation_timestamp = Some(time::from_chrono(made));
        object.status = running.map(|slot| {
            let known = json!({"decidedThrough": slot, "active": [Due::at(slot).to_string()], "counters": {"fired": 1, "runs": 1}});
            serde_json::from_value(known).unwrap()
        });
        Some(Self {
            row: NewSchedule {
                id: Uuid::new_v4(),
                next_run_at: Some(running.unwrap_or(first).into()),
                ..row.clone()
            },
            object,
            running,
            first,
        })
    }

    /// What the operator writes into the ledger when it looks at `now`.
    fn operators_lines(&self, now: DateTime<Utc>) -> Vec<Line> {
        let mut object = self.object.clone();
        let around = Surroundings {
            family: &Family::of(&object, []),
            gone: &[],
            platform: true,
            most: BATCH,
        };
        let look = look(&object, &around, now);
        let mut status = look.status(&object);
        ledger::fold(&object, &mut status, &look.step.entries, |_| false);
        object.status = Some(status);
        ledger::unrecorded(&object).into_iter().map(|(_, decision)| line(decision)).collect()
    }
}

/// Seconds since just before the last slot, the one before it and the one before that.
fn absences_of_few(row: &NewSchedule) -> Vec<i64> {
    let firing = Firing::new(&row.cron.parse().unwrap(), row.timezone.parse().unwrap()).unwrap();
    let now = Utc::now();
    let mut back = TimeDelta::seconds(200);
    loop {
        let after_slot = |slot: &DateTime<Utc>| firing.next_after(*slot);
        let slots = std::iter::successors(firing.next_after(now - back), after_slot).take_while(|slot| *slot <= now);
        let absences: Vec<i64> = slots.map(|slot| (now - slot).num_seconds() + 1).collect();
        if absences.len() >= 3 {
            return absences.into_iter().rev().take(3).collect();
        }
        back = back * 2;
    }
}

async fn user_with_graph(store: &Store) -> (UserId, GraphId) {
    let user = Uuid::new_v4();
    store.get_or_create_user(user, &format!("{user}@example.com"), None).await.unwrap();
    let node = json!({"id": "n", "block_id": "c0a8e994-ebf1-4a9c-a4d8-89d09c86741b", "input_default": {"name": "x"}});
    let graph: Graph = serde_json::from_value(json!({"name": "g", "description": "", "nodes": [node]})).unwrap();
    let graph = Submitter::new(store.clone(), Registry::standard())
        .create_graph(user, graph)
        .await
        .unwrap();
    (user, graph.id)
}

/// The lines in all their absences, with and without a run that is not over, each as a row that nobody has decided about since.
async fn all_twins(store: &Store) -> Vec<Twins> {
    let cluster = Cluster::new().await;
    let objects = KubernetesSchedules::new(store.clone(), cluster.client.clone(), Some(&cluster.namespace), "shop".to_owned());
    let (user_id, graph_id) = user_with_graph(store).await;
    let mut twins = Vec::new();
    for (cron, zone) in LINES {
        let row = NewSchedule {
            id: Uuid::new_v4(),
            user_id,
            graph_id,
            graph_version: 1,
            name: "twin".to_owned(),
            cron: cron.to_owned(),
            timezone: zone.to_owned(),
            inputs: json!({"x": "y"}).as_object().cloned().unwrap(),
            credentials: IndexMap::new(),
            next_run_at: None,
        };
        objects.add(row.clone(), &cron.parse().unwrap(), zone.parse().unwrap()).await.unwrap();
        let object = cluster.api::<GraphSchedule>().get(&object_name(row.id)).await.unwrap();
        for absence in ABSENCES.into_iter().chain(absences_of_few(&row)) {
            twins.extend([false, true].into_iter().filter_map(|runs| Twins::new(&row, &object, absence, runs)));
        }
    }
    // What was decided before comes first, while nobody else is there.
    let (before, after): (Vec<_>, Vec<_>) = twins.iter().partition(|twins| twins.running.is_some());
    let firsts: HashMap<Uuid, DateTime<Utc>> = before.iter().map(|twins| (twins.row.id, twins.first)).collect();
    for twins in &before {
        store.insert_schedule(twins.row.clone()).await.unwrap();
    }
    let decided = store.decide_due_slots(i64::try_from(before.len()).unwrap(), |due, _| SlotDecisions {
        decisions: vec![SlotDecision {
            slot: due.slot,
            through: None,
            count: 1,
            outcome: SlotOutcome::Fired,
            reason: "before".to_owned(),
        }],
        next: firsts.get(&due.schedule_id).map(|first| Timestamp::from(*first)),
    });
    assert_eq!(decided.await.unwrap().slots, before.len());
    for twins in after {
        store.insert_schedule(twins.row.clone()).await.unwrap();
    }
    twins
}

#[tokio::test]
async fn the_ledger_says_the_same_of_a_row_and_of_an_object() {
    runtime::install_tls_provider();
    let url = devservices::testing::database().await;
    let store = Store::connect(&url, 4).unwrap();
    store.migrate().await.unwrap();
    let all = all_twins(&store).await;
    let start = Utc::now();
    let settings = Settings::from_pairs([
        ("DATABASE_URL", url),
        ("REDIS_URL", devservices::testing::redis_url()),
        ("RABBITMQ_URL", devservices::testing::vhost().await),
        ("SCHEDULER_STORE", "postgres".to_owned()),
    ]);
    let (listener, shutdown) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Shutdown::new());
    let service = tokio::spawn(scheduler::run(settings.unwrap(), Registry::standard(), listener, shutdown.clone()));
    let mut compared = HashMap::new();
    for twins in &all {
        let id = twins.row.id;
        if twins.first > start {
            continue;
        }
        eventually("the row has moved on", || async {
            let row = store.get_schedule(id).await.unwrap().unwrap();
            if row.next_run_at > Some(start.into()) {
                Ok(())
            } else {
                Err(row.next_run_at)
            }
        })
        .await;
        let decided = store.list_decisions(id, Some(twins.first.into()), None, 100).await.unwrap();
        // Others may have come since.
        let now = decided.iter().map(|line| line.decided_at).min().unwrap();
        let of_row: Vec<Line> = decided.into_iter().rev().filter(|line| line.decided_at == now).map(line).collect();
        let words = format!(
            "{} in {}, made {:?}, running {:?}",
            twins.row.cron, twins.row.timezone, twins.object.metadata.creation_timestamp, twins.running
        );
        assert_eq!(of_row, twins.operators_lines(now.into_inner()), "{words}");
        let (newest, passed) = of_row.split_last().unwrap();
        assert_eq!(newest.3, SlotOutcome::Fired, "{words}");
        *compared.entry((passed.len(), twins.running.is_some())).or_insert(0) += 1;
    }
    // One slot, and one that is made up for after others; each with and without a run that is not over.
    for kind in [(0, false), (0, true), (1, false), (1, true)] {
        assert!(compared.get(&kind).is_some_and(|count| *count >= 3), "{compared:?}");
    }
    shutdown.trigger();
    service.await.unwrap().unwrap();
}
