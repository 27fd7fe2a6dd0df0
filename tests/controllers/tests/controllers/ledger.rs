//! The ledger of decisions: the real scheduler service and PostgreSQL behind the schedule controller.

use std::collections::BTreeSet;
use std::time::Duration;

use controllers_tests::eventually::within;
use controllers_tests::{Services, World};
use crds::schedule::{Explanation, Outcome};
use crds::{ANNOTATION_EXPLAIN, GraphSchedule, GraphScheduleStatus};
use kube::ResourceExt;
use model::schedule::ScheduleDecision;
use operator::runtime::time;
use rpc::services::Scheduler;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(60);

async fn until(world: &World, what: &str, is: impl Fn(&GraphScheduleStatus) -> bool) -> GraphScheduleStatus {
    within(PATIENCE, what, || async {
        let status = world.api::<GraphSchedule>().get("s").await.unwrap().status.unwrap_or_default();
        if is(&status) { Ok(status) } else { Err(status) }
    })
    .await
}

/// The seconds that the lines are about, each once.
fn seconds(lines: &[ScheduleDecision]) -> BTreeSet<i64> {
    let mut seconds = BTreeSet::new();
    for line in lines {
        let last = line.through.unwrap_or(line.slot);
        for second in line.slot.into_inner().timestamp()..=last.into_inner().timestamp() {
            assert!(seconds.insert(second), "two lines about second {second}: {lines:?}");
        }
    }
    seconds
}

#[tokio::test]
async fn every_decision_reaches_the_ledger_though_it_was_away_and_the_operator_killed() {
    let world = World::new().await;
    let services = Services::prepare().await;
    let first = world.operator_with("a", |config| config.scheduler_url = services.url()).await;
    services.platform(&world).await;
    let spec = json!({
        "platformRef": {"name": "p"}, "graph": {"configMapRef": {"name": "graph"}}, "schedules": ["* * * * * *"], "seconds": true,
        "overlapPolicy": "Skip",
    });
    let object: GraphSchedule = world
        .create(json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": {"name": "s"}, "spec": spec}))
        .await;
    let waiting = until(&world, "decisions wait for the ledger", |status| status.unrecorded.len() > 12).await;
    assert_eq!(waiting.recent_decisions.len(), waiting.unrecorded.len());
    first.kill();
    let _second = world.operator_with("b", |config| config.scheduler_url = services.url()).await;
    services.start().await;

    let uid = object.uid().unwrap().parse().unwrap();
    let client = services.client();
    let begins = waiting.recent_decisions.last().unwrap();
    let first_second = time::to_chrono(&begins.slot).timestamp();
    let lines = within(PATIENCE, "all decisions up to now are in the ledger", || async {
        let lines = client.list_decisions(uid, None, None, 1000).await.map_err(|error| error.to_string())?;
        let there = seconds(&lines);
        let all = there.len() > 20 && there.iter().copied().eq(first_second..first_second + i64::try_from(there.len()).unwrap());
        if all { Ok(lines) } else { Err(format!("{} seconds", there.len())) }
    })
    .await;
    let fired = lines.last().unwrap();
    assert_eq!(
        (fired.execution.as_ref(), Some(&fired.reason)),
        (begins.execution.as_ref(), begins.reason.as_ref())
    );
    assert!(fired.decided_at >= fired.slot);

    // What has arrived makes room: the first decision is no longer in the status, and can be asked for.
    let room = until(&world, "the status keeps the newest", |status| {
        status.unrecorded.len() < 8 && status.recent_decisions.len() <= 10
    })
    .await;
    assert!(room.recent_decisions.iter().all(|decision| decision.slot > begins.slot));
    for (question, expected) in [
        (fired.slot.to_string(), Some(Outcome::Fired)),
        (format!("{}#again", fired.slot), Some(Outcome::Fired)),
        ("2001-01-01T00:00:00Z".to_owned(), None),
    ] {
        let patch = json!({"metadata": {"annotations": {ANNOTATION_EXPLAIN: question}}});
        world.merge::<GraphSchedule>("s", patch).await;
        let answered = |status: &GraphScheduleStatus| status.explanation.as_ref().is_some_and(|answer| answer.request == question);
        let answer = until(&world, "an answer", answered).await.explanation.unwrap();
        assert_eq!(answer.problem, None);
        assert_eq!(answer.decisions.first().map(|decision| decision.outcome), expected, "{question}");
    }
    let patch = json!({"metadata": {"annotations": {ANNOTATION_EXPLAIN: "yesterday"}}});
    world.merge::<GraphSchedule>("s", patch).await;
    let refused = until(&world, "a remedy", |status| {
        matches!(&status.explanation, Some(Explanation { problem: Some(_), .. }))
    })
    .await;
    assert!(refused.explanation.unwrap().problem.unwrap().contains("write 2026-11-22T16:00:00Z"));
    let patch = json!({"metadata": {"annotations": {ANNOTATION_EXPLAIN: null}}});
    world.merge::<GraphSchedule>("s", patch).await;
    until(&world, "the answer goes with the question", |status| status.explanation.is_none()).await;
}
