//! What becomes of due times, seen from outside: policies, run now, backfills, and slots that must not fire twice.

use std::time::Duration;

use controllers_tests::eventually::{eventually, within};
use controllers_tests::{Services, World};
use crds::conditions::{self, reason};
use crds::execution::Phase;
use crds::schedule::{GraphScheduleStatus, Outcome};
use crds::{ANNOTATION_RUN_NOW, GraphExecution, GraphSchedule, LABEL_SCHEDULE};
use futures::future::join_all;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use operator::runtime::time;
use operator::schedule::child;
use serde_json::{Value, json};

async fn world_with_platform() -> World {
    let world = World::new().await;
    let platform = json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "AutoGPTPlatform", "metadata": {"name": "p"}, "spec": {"paused": true}});
    world.apply(&platform).await.unwrap();
    world
}

fn schedule(name: &str, spec: Value) -> Value {
    let mut all = json!({"platformRef": {"name": "p"}, "graph": {"configMapRef": {"name": "g"}}, "seconds": true, "schedules": ["* * * * * *"],
        "historyLimit": {"succeeded": 1000, "failed": 1000}});
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": {"name": name}, "spec": all})
}

async fn status(world: &World, name: &str) -> GraphScheduleStatus {
    world.api::<GraphSchedule>().get(name).await.unwrap().status.unwrap_or_default()
}

async fn children(world: &World, name: &str) -> Vec<GraphExecution> {
    let list = ListParams::default().labels(&format!("{LABEL_SCHEDULE}={name}"));
    world.api::<GraphExecution>().list(&list).await.unwrap().items
}

/// Waits for a status.
async fn until(world: &World, name: &str, what: &str, is: impl Fn(&GraphScheduleStatus) -> bool) -> GraphScheduleStatus {
    within(Duration::from_secs(30), &format!("{name}: {what}"), || async {
        let status = status(world, name).await;
        if is(&status) { Ok(status) } else { Err(status) }
    })
    .await
}

/// Ends an execution as its run would.
async fn end(world: &World, name: &str, succeeded: bool) {
    let verdict = |kind: &str, yes: bool| {
        let status = if yes { "True" } else { "False" };
        json!({"type": kind, "status": status, "reason": "Test", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let phase = if succeeded { "COMPLETED" } else { "FAILED" };
    let verdicts = [verdict("Succeeded", succeeded), verdict("Failed", !succeeded)];
    let status = json!({"phase": phase, "completionTime": time::now(), "conditions": verdicts});
    world.merge_status::<GraphExecution>(name, status).await;
}

fn outcomes(status: &GraphScheduleStatus, outcome: Outcome) -> usize {
    status.recent_decisions.iter().filter(|decision| decision.outcome == outcome).count()
}

#[tokio::test]
async fn overlapping_due_times_are_treated_as_the_policy_says() {
    let world = world_with_platform().await;
    for (name, spec) in [
        ("skip", json!({"overlapPolicy": "Skip"})),
        ("one", json!({"overlapPolicy": "BufferOne"})),
        ("all", json!({"overlapPolicy": "BufferAll", "bufferLimit": 2})),
        ("other", json!({"overlapPolicy": "CancelOther"})),
        ("replace", json!({"overlapPolicy": "Replace"})),
    ] {
        world.apply(&schedule(name, spec)).await.unwrap();
    }
    let operator = world.operator("a").await;
    let skip = until(&world, "skip", "skips", |status| outcomes(status, Outcome::Skipped) >= 2).await;
    assert_eq!((skip.active.len(), children(&world, "skip").await.len()), (1, 1));
    assert!(
        skip.recent_decisions[0]
            .reason
            .as_ref()
            .unwrap()
            .contains("is not over (overlapPolicy Skip)")
    );

    let one = until(&world, "one", "skips what does not fit", |status| outcomes(status, Outcome::Skipped) >= 1).await;
    assert_eq!((one.buffer.len(), children(&world, "one").await.len()), (1, 1));
    end(&world, &children(&world, "one").await[0].name_any(), true).await;
    let went_on = until(&world, "one", "fires what waited", |status| status.active.first() == one.buffer.first()).await;
    assert_eq!(went_on.counters.unwrap().succeeded, 1);
    assert_eq!(children(&world, "one").await.len(), 2);

    let all = until(&world, "all", "has two waiting", |status| {
        status.buffer.len() == 2 && outcomes(status, Outcome::Skipped) > 0
    })
    .await;
    assert_eq!(all.active.len(), 1);

    // Cancelled before they were submitted, they are over at once.
    let cancelled = |children: Vec<GraphExecution>| children.iter().filter(|child| child.spec.cancel).count();
    within(Duration::from_secs(30), "both cancel", || async {
        let both = (cancelled(children(&world, "other").await), cancelled(children(&world, "replace").await));
        if both.0 >= 2 && both.1 >= 2 { Ok(()) } else { Err(both) }
    })
    .await;
    operator.stop().await;
}

#[tokio::test]
async fn a_schedule_ends_after_its_runs_and_pauses_after_failures() {
    let world = world_with_platform().await;
    world.apply(&schedule("twice", json!({"maxRuns": 2}))).await.unwrap();
    world
        .apply(&schedule("fails", json!({"pauseOnFailure": 2, "overlapPolicy": "Skip"})))
        .await
        .unwrap();
    let operator = world.operator("a").await;
    let over = until(&world, "twice", "is finished", |status| {
        conditions::get(&status.conditions, conditions::READY).is_some_and(|ready| ready.reason == reason::FINISHED)
    })
    .await;
    assert_eq!((over.counters.unwrap().runs, over.next_fire_times.len()), (2, 0));
    for failure in 1..=2 {
        let running = until(&world, "fails", "fires", |status| {
            status.active.len() == 1 && status.counters.as_ref().is_some_and(|counters| counters.runs == failure)
        })
        .await;
        let name = running.recent_decisions.iter().find_map(|decision| decision.execution.clone()).unwrap();
        end(&world, &name, false).await;
    }
    let note = eventually("it is suspended", || async {
        let object = world.api::<GraphSchedule>().get("fails").await.unwrap();
        object.spec.suspend.and_then(|suspend| suspend.note).ok_or("not yet")
    })
    .await;
    assert!(note.contains("2 failed runs in a row"), "{note}");
    until(&world, "fails", "says so", |status| {
        conditions::get(&status.conditions, conditions::READY).is_some_and(|ready| ready.reason == reason::SUSPENDED)
    })
    .await;
    world.merge::<GraphSchedule>("fails", json!({"spec": {"suspend": null}})).await;
    until(&world, "fails", "goes on", |status| {
        status.counters.as_ref().is_some_and(|counters| counters.runs == 3)
    })
    .await;
    assert_eq!(children(&world, "twice").await.len(), 2);
    operator.stop().await;
}

#[tokio::test]
async fn run_now_and_backfills_run_once_each_also_for_times_that_ran() {
    let world = world_with_platform().await;
    let spec = json!({"schedules": ["@daily"], "seconds": false, "suspend": {"note": "by hand only"}});
    world.apply(&schedule("hand", spec)).await.unwrap();
    let operator = world.operator("a").await;
    for request in ["first", "second-request"] {
        let annotate = json!({"metadata": {"annotations": {ANNOTATION_RUN_NOW: request}}});
        world.merge::<GraphSchedule>("hand", annotate).await;
        until(&world, "hand", "ran the request", |status| {
            status.run_now.as_ref().is_some_and(|known| known.request == request && known.decided)
        })
        .await;
    }
    assert_eq!(children(&world, "hand").await.len(), 2);

    let days = |from: &str, to: &str| json!({"name": format!("days-{from}"), "from": format!("2026-01-{from}T00:00:00Z"), "to": format!("2026-01-{to}T00:00:00Z"), "overlapPolicy": "Allow"});
    let backfills = json!([days("01", "03"), days("02", "02")]);
    world
        .merge::<GraphSchedule>("hand", json!({"spec": {"backfills": backfills, "suspend": null}}))
        .await;
    let done = until(&world, "hand", "backfilled", |status| {
        status.backfills.len() == 2 && status.backfills.iter().all(|progress| progress.done)
    })
    .await;
    assert_eq!(done.backfills.iter().map(|progress| progress.fired).collect::<Vec<_>>(), [3, 1]);
    let all = children(&world, "hand").await;
    assert_eq!(all.len(), 6);
    assert_eq!(
        all.iter()
            .filter(|child| child.spec.request.as_deref() == Some("backfill/days-02"))
            .count(),
        1
    );

    operator.stop().await;
    let second = world.operator("b").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(children(&world, "hand").await.len(), 6, "a new operator does not repeat them");
    second.stop().await;
}

#[tokio::test]
async fn an_execution_without_its_decision_never_runs() {
    let world = world_with_platform().await;
    let object = world
        .apply(&schedule("s", json!({"schedules": ["@yearly"], "seconds": false})))
        .await
        .unwrap();
    let decision = json!({"slot": "2026-01-01T00:00:00Z", "outcome": "Skipped", "reason": "somebody was faster"});
    let known = json!({"counters": {}, "decidedThrough": "2026-01-01T00:00:00Z", "recentDecisions": [decision]});
    world.merge_status::<GraphSchedule>("s", known).await;
    let uid = object.metadata.uid.unwrap();
    let name = child::name("s", &uid, &"2026-01-01T00:00:00Z".parse().unwrap());
    let owner = json!([{"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "name": "s", "uid": uid, "controller": true}]);
    let spec = json!({"platformRef": {"name": "p"}, "graph": {"configMapRef": {"name": "g"}}, "scheduledFor": "2026-01-01T00:00:00Z"});
    let late = json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution", "spec": spec,
        "metadata": {"name": name, "labels": {LABEL_SCHEDULE: "s"}, "ownerReferences": owner}});
    world.create::<GraphExecution>(late).await;
    let operator = world.operator("a").await;
    let closed = eventually("it is closed", || async {
        let late = world.api::<GraphExecution>().get_opt(&name).await.unwrap();
        late.and_then(|late| late.status)
            .filter(|status| status.phase == Some(Phase::Terminated))
            .ok_or("open")
    })
    .await;
    let accepted = conditions::get(&closed.conditions, conditions::ACCEPTED).unwrap();
    assert_eq!(accepted.reason, reason::SUPERSEDED);
    assert!(accepted.message.contains("somebody was faster"), "{}", accepted.message);
    assert_eq!(closed.execution_id, None);
    operator.stop().await;
}

/// Asks for a backfill of the first twenty days of a month, and waits until all of them are there.
async fn backfill(world: &World, schedule: &str, month: u8) -> Vec<GraphExecution> {
    let name = format!("month-{month}");
    let day = |day: u8| format!("2026-{month:02}-{day:02}T00:00:00Z");
    let wanted = json!([{"name": name, "from": day(1), "to": day(20), "overlapPolicy": "Allow"}]);
    world.merge::<GraphSchedule>(schedule, json!({"spec": {"backfills": wanted}})).await;
    until(world, schedule, "is backfilled", |status| {
        status.active.len() == 20 && status.active.iter().all(|due| due.ends_with(&name))
    })
    .await;
    let mut all = children(world, schedule).await;
    all.sort_by_key(ResourceExt::name_any);
    assert_eq!(all.len(), 20);
    all
}

/// Ends these in one moment, the first `succeeded` of them well.
async fn end_all(world: &World, executions: &[GraphExecution], succeeded: usize) {
    let ends = executions.iter().enumerate().map(|(index, execution)| {
        let name = execution.name_any();
        async move { end(world, &name, index < succeeded).await }
    });
    join_all(ends).await;
}

async fn all_are_gone(world: &World, executions: &[GraphExecution]) {
    within(Duration::from_secs(30), "their time is up", || async {
        let mut left = children(world, "short").await;
        left.retain(|child| executions.iter().any(|execution| execution.uid() == child.uid()));
        if left.is_empty() { Ok(()) } else { Err(left.len()) }
    })
    .await;
}

#[tokio::test]
async fn a_short_ttl_takes_no_execution_that_its_schedule_has_not_counted() {
    let world = world_with_platform().await;
    let spec = json!({"schedules": ["@daily"], "seconds": false, "ttlSecondsAfterFinished": 0});
    world.apply(&schedule("short", spec)).await.unwrap();
    let operator = world.operator("a").await;
    let counts = |succeeded, failed| {
        move |status: &GraphScheduleStatus| {
            let counters = status.counters.clone().unwrap_or_default();
            status.active.is_empty() && (counters.succeeded, counters.failed) == (succeeded, failed)
        }
    };
    let first = backfill(&world, "short", 1).await;
    end_all(&world, &first, 12).await;
    all_are_gone(&world, &first).await;
    let counted = until(&world, "short", "has counted all", counts(12, 8)).await;
    let newest = first.iter().take(12).filter_map(|child| child.spec.scheduled_for.clone()).max();
    assert_eq!(counted.last_success_time, newest);

    // Those that end while no operator looks.
    let second = backfill(&world, "short", 2).await;
    operator.stop().await;
    end_all(&world, &second, 5).await;
    let operator = world.operator("b").await;
    all_are_gone(&world, &second).await;
    until(&world, "short", "has counted all of both", counts(17, 23)).await;

    // Without the schedule nobody counts.
    let third = backfill(&world, "short", 3).await;
    world.api::<GraphSchedule>().delete("short", &DeleteParams::default()).await.unwrap();
    end_all(&world, &third, 20).await;
    all_are_gone(&world, &third).await;
    operator.stop().await;
}

#[tokio::test]
async fn what_stands_in_the_way_of_a_due_time_is_named_in_its_decision() {
    let world = world_with_platform().await;
    let object = world.apply(&schedule("s", json!({"overlapPolicy": "Allow"}))).await.unwrap();
    let made = time::to_chrono(object.metadata.creation_timestamp.as_ref().unwrap());
    let slot = time::from_chrono(made + chrono::TimeDelta::seconds(10));
    let due = serde_json::to_value(&slot).unwrap().as_str().unwrap().parse().unwrap();
    let name = child::name("s", &object.metadata.uid.unwrap(), &due);
    let spec = json!({"platformRef": {"name": "p"}, "graph": {"configMapRef": {"name": "theirs"}}});
    let theirs = json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution", "metadata": {"name": name}, "spec": spec});
    let theirs: GraphExecution = world.create(theirs).await;
    let operator = world.operator("a").await;
    let decided = until(&world, "s", "decides and goes on", |status| {
        let newest = status.recent_decisions.first();
        newest.is_some_and(|newest| newest.outcome == Outcome::Fired && newest.slot > slot)
    })
    .await;
    let decision = decided.recent_decisions.iter().find(|decision| decision.slot == slot).unwrap();
    assert_eq!((decision.outcome, decision.execution.clone()), (Outcome::Missed, None));
    let why = decision.reason.clone().unwrap();
    assert!(why.contains(&name) && why.contains("delete or rename it"), "{why}");
    assert!(!decided.active.contains(&due.to_string()), "{:?}", decided.active);
    let still = world.api::<GraphExecution>().get(&name).await.unwrap();
    assert_eq!((still.uid(), still.spec), (theirs.uid(), theirs.spec), "it is somebody else's");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_run_that_displaces_another_runs() {
    let services = Services::prepare().await;
    services.start().await;
    let (world, operator) = services.in_cluster().await;
    let input = json!({"name": "g", "description": "", "nodes": [{"id": "n", "block_id": "c0a8e994-ebf1-4a9c-a4d8-89d09c86741b", "input_default": {"name": "x"}}], "links": []});
    let policies = [("other", "CancelOther"), ("replace", "Replace")];
    let ask = async |name: &str, request: &str| {
        let annotate = json!({"metadata": {"annotations": {ANNOTATION_RUN_NOW: request}}});
        world.merge::<GraphSchedule>(name, annotate).await;
    };
    let reaches = async |name: &str, request: &str, phase: Phase| {
        let wanted = format!("run-now/{request}");
        eventually(&format!("{request} of {name} is {phase:?}"), || async {
            let all = children(&world, name).await;
            let status = all
                .into_iter()
                .find(|child| child.spec.request.as_ref() == Some(&wanted))
                .and_then(|child| child.status);
            match status {
                Some(status) if status.phase == Some(phase) => Ok(status),
                other => Err(other),
            }
        })
        .await
    };
    // Nobody executes yet: what is submitted waits.
    for (name, policy) in policies {
        let spec = json!({"graph": {"inline": input}, "inputs": {"x": 1}, "schedules": ["@yearly"], "seconds": false, "overlapPolicy": policy});
        world.apply(&schedule(name, spec)).await.unwrap();
        ask(name, "first").await;
        reaches(name, "first", Phase::Queued).await;
        ask(name, "second").await;
        reaches(name, "first", Phase::Terminated).await;
        reaches(name, "second", Phase::Queued).await;
    }
    services.start_executor().await;
    for (name, _) in policies {
        let over = reaches(name, "second", Phase::Completed).await;
        let run = services.execution(over.execution_id.as_deref().unwrap()).await;
        assert_eq!(run.execution.meta.status, model::ExecutionStatus::Completed, "{name}");
        let counted = until(&world, name, "counts", |status| status.active.is_empty()).await;
        let counters = counted.counters.unwrap();
        assert_eq!((counters.fired, counters.succeeded, counters.failed), (2, 1, 0), "{name}");
    }
    operator.stop().await;
}

#[tokio::test]
async fn a_schedule_made_anew_begins_anew_and_an_edit_does_not_fire_the_past() {
    let world = world_with_platform().await;
    let operator = world.operator("a").await;
    world.apply(&schedule("s", json!({}))).await.unwrap();
    until(&world, "s", "fires", |status| !status.active.is_empty()).await;
    world.api::<GraphSchedule>().delete("s", &DeleteParams::default()).await.unwrap();
    let first = world.apply(&schedule("s", json!({"schedules": ["0 0 0 1 1 *"]}))).await.unwrap();
    let armed = until(&world, "s", "is armed", |status| !status.next_fire_times.is_empty()).await;
    assert_eq!((armed.active.len(), armed.counters.unwrap().fired), (0, 0));
    world
        .merge::<GraphSchedule>("s", json!({"spec": {"schedules": ["0 0 * * * *"], "catchUp": {"policy": "All"}}}))
        .await;
    let edited = until(&world, "s", "is edited", |status| status.observed_generation > Some(1)).await;
    assert_eq!(edited.recent_decisions, []);
    let ours = children(&world, "s").await;
    let uid = first.metadata.uid.unwrap();
    assert!(ours.iter().all(|child| child.owner_references()[0].uid != uid));
    operator.stop().await;
}

#[tokio::test]
async fn what_an_edit_makes_due_in_the_past_is_not_due_later_either() {
    let world = world_with_platform().await;
    let operator = world.operator("a").await;
    let never = json!({"schedules": ["0 0 0 1 1 *"], "catchUp": {"policy": "All", "limit": 1000}});
    let object = world.apply(&schedule("s", never)).await.unwrap();
    until(&world, "s", "is armed", |status| !status.next_fire_times.is_empty()).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.merge::<GraphSchedule>("s", json!({"spec": {"schedules": ["* * * * * *"]}})).await;
    until(&world, "s", "fires", |status| {
        status.counters.as_ref().is_some_and(|counters| counters.fired >= 3)
    })
    .await;
    let edited = operator::schedule::spec::written(&world.api::<GraphSchedule>().get("s").await.unwrap()).unwrap();
    let made = object.metadata.creation_timestamp.unwrap();
    assert!(edited.timestamp() >= made.0.as_second() + 5);
    for child in children(&world, "s").await {
        let slot = child.spec.scheduled_for.unwrap().0.as_second();
        assert!(slot > edited.timestamp(), "{slot} was before the edit at {edited}");
    }
    operator.stop().await;
}

/// The API server notes no time of a write that only takes fields away, as resuming does.
#[tokio::test]
async fn what_is_taken_away_from_a_schedule_does_not_fire_the_past() {
    let world = world_with_platform().await;
    let operator = world.operator("a").await;
    let policy = json!({"policy": "All", "limit": 1000});
    let now = chrono::Utc::now();
    let hours = |count: i64| (now + chrono::TimeDelta::hours(count)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let cases = [
        ("resumed", json!({"suspend": {"note": "for a while"}, "catchUp": policy}), "suspend"),
        ("endless", json!({"startAt": hours(-2), "endAt": hours(-1), "catchUp": policy}), "endAt"),
        ("begun", json!({"startAt": hours(1), "catchUp": policy}), "startAt"),
        (
            "open",
            json!({"exclusions": [{"from": hours(-1), "to": hours(1)}], "catchUp": policy}),
            "exclusions",
        ),
    ];
    for (name, spec, _) in &cases {
        world.apply(&schedule(name, spec.clone())).await.unwrap();
    }
    for (name, ..) in &cases {
        until(&world, name, "is looked at", |status| status.observed_generation == Some(1)).await;
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    for (name, _, field) in &cases {
        let before = chrono::Utc::now().timestamp();
        world.merge::<GraphSchedule>(name, json!({"spec": {*field: null}})).await;
        let fires = |status: &GraphScheduleStatus| status.counters.as_ref().is_some_and(|counters| counters.fired >= 3);
        until(&world, name, "fires", fires).await;
        for child in children(&world, name).await {
            let slot = child.spec.scheduled_for.unwrap().0.as_second();
            assert!(slot >= before, "{name}: {slot} fired, {field} was taken away at {before}");
        }
    }
    operator.stop().await;
}

/// A request to run now is a write whose time the API server does note, and it says nothing about when something was taken away.
#[tokio::test]
async fn what_is_taken_away_after_a_request_does_not_fire_the_past() {
    let world = world_with_platform().await;
    let operator = world.operator("a").await;
    let policy = json!({"policy": "All", "limit": 1000});
    let cases = [
        ("resumed", json!({"suspend": {"note": "for a while"}, "catchUp": policy}), "suspend"),
        (
            "endless",
            json!({"startAt": "2026-01-01T00:00:00Z", "endAt": "2026-01-01T01:00:00Z", "catchUp": policy}),
            "endAt",
        ),
    ];
    for (name, spec, _) in &cases {
        world.apply(&schedule(name, spec.clone())).await.unwrap();
    }
    for (name, ..) in &cases {
        until(&world, name, "is looked at", |status| status.observed_generation == Some(1)).await;
    }
    operator.stop().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    for (name, ..) in &cases {
        let annotate = json!({"metadata": {"annotations": {ANNOTATION_RUN_NOW: "now"}}});
        world.merge::<GraphSchedule>(name, annotate).await;
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    let before = chrono::Utc::now().timestamp();
    for (name, _, field) in &cases {
        world.merge::<GraphSchedule>(name, json!({"spec": {*field: null}})).await;
    }
    let operator = world.operator("b").await;
    for (name, _, field) in &cases {
        let fires = |status: &GraphScheduleStatus| status.counters.as_ref().is_some_and(|counters| counters.fired >= 4);
        until(&world, name, "fires", fires).await;
        let (asked, due): (Vec<_>, Vec<_>) = children(&world, name).await.into_iter().partition(|child| child.spec.request.is_some());
        assert_eq!(asked.len(), 1, "{name}");
        for child in due {
            let slot = child.spec.scheduled_for.unwrap().0.as_second();
            assert!(slot >= before, "{name}: {slot} fired, {field} was taken away at {before}");
        }
    }
    operator.stop().await;
}
