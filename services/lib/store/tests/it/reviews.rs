//! Questions to people: asked once, decided once, and the run goes on in the transaction of the last decision.

use std::time::Duration;

use model::ExecutionStatus::{Queued, Review, Running, Terminated};
use model::review::{RepeatAnswer, ReviewAction, ReviewStatus};
use model::{ClaimedRun, JournalEntry, NodeExecId};
use serde_json::{Value, json};
use store::{Decided, ReviewDecision, ReviewQuestion, ReviewTerms};
use uuid::Uuid;

use crate::world::{TestGraph, World, created, node_status, run_status};

const FOR_EVER: ReviewTerms = ReviewTerms {
    deadline: None,
    default_action: ReviewAction::Reject,
};

/// A run in the hands of an executor, one of whose nodes asks for a review.
struct Asking {
    world: World,
    graph: TestGraph,
    owner: Uuid,
    run: ClaimedRun,
    /// The node that asks.
    node: NodeExecId,
}

impl Asking {
    async fn new() -> Self {
        let world = World::new().await;
        let graph = world.user_with_graph().await;
        let owner = Uuid::new_v4();
        let run = world.claimed_run(graph, owner).await;
        let node = Uuid::now_v7();
        let start = vec![
            run_status(Running),
            created(node, graph.other_node),
            node_status(node, Queued, Some(json!({}))),
            node_status(node, Running, None),
        ];
        world.append(owner, &run, 1, start).await;
        Self {
            world,
            graph,
            owner,
            run,
            node,
        }
    }

    fn question(&self, node: NodeExecId) -> ReviewQuestion {
        ReviewQuestion {
            user_id: self.graph.user_id,
            graph_exec_id: self.run.graph_exec_id,
            node_exec_id: node,
            payload: json!({ "amount": 5 }),
            instructions: Some("Amount to pay".to_owned()),
            editable: true,
        }
    }

    async fn ask(&self) -> Option<model::review::ReviewResult> {
        self.world.store.ask_review(self.question(self.node), FOR_EVER).await.unwrap()
    }

    fn park_entries(&self) -> Vec<JournalEntry> {
        vec![node_status(self.node, Review, None), run_status(Review)]
    }

    /// The node and the run are parked, as the executor does it.
    async fn park(&self) {
        self.world.append(self.owner, &self.run, 5, self.park_entries()).await;
    }

    async fn decide(&self, decisions: Vec<ReviewDecision>) -> Decided {
        self.world.store.decide_reviews(self.graph.user_id, decisions).await.unwrap()
    }

    async fn run_status(&self) -> model::ExecutionStatus {
        self.world.status(self.run.graph_exec_id).await
    }
}

fn decision(node_exec_id: NodeExecId, approved: bool, reviewed_data: Option<Value>) -> ReviewDecision {
    ReviewDecision {
        node_exec_id,
        approved,
        message: Some("so be it".to_owned()),
        reviewed_data,
    }
}

#[tokio::test]
async fn an_approved_review_resumes_its_run_with_the_edited_data() {
    let asking = Asking::new().await;
    assert_eq!(asking.ask().await, None);
    asking.park().await;
    let listed = asking.world.store.list_waiting_reviews(asking.graph.user_id, 1, 25).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (&listed[0].payload, listed[0].instructions.as_deref(), listed[0].status),
        (&json!({ "amount": 5 }), Some("Amount to pay"), ReviewStatus::Waiting)
    );
    asking.world.sql("DELETE FROM outbox").await;

    let decided = asking.decide(vec![decision(asking.node, true, Some(json!({ "amount": 4 })))]).await;
    assert_eq!((decided.approved, decided.rejected, decided.refused.len()), (1, 0, 0));
    assert_eq!(decided.resumed, [asking.run.graph_exec_id]);
    assert_eq!(asking.run_status().await, Queued);
    assert_eq!(asking.world.store.outbox_length().await.unwrap(), 1);
    assert!(
        asking
            .world
            .store
            .list_waiting_reviews(asking.graph.user_id, 1, 25)
            .await
            .unwrap()
            .is_empty()
    );

    let result = asking.ask().await.unwrap();
    assert_eq!(
        (result.status, result.data, result.message.as_str()),
        (ReviewStatus::Approved, Some(json!({ "amount": 4 })), "so be it")
    );
    // A node that asks again after a crash gets the same answer.
    assert!(asking.ask().await.is_some());
}

#[tokio::test]
async fn a_rejection_carries_no_data_and_what_cannot_be_decided_is_named() {
    let asking = Asking::new().await;
    asking.ask().await;
    let stranger = asking.world.user().await;
    let foreign = asking
        .world
        .store
        .decide_reviews(stranger, vec![decision(asking.node, true, None)])
        .await
        .unwrap();
    assert_eq!((foreign.approved, foreign.refused.len()), (0, 1));
    assert!(foreign.refused[0].1.ends_with("not found"), "{foreign:?}");

    let unknown = Uuid::new_v4();
    let twice = vec![
        decision(asking.node, false, Some(json!(1))),
        decision(unknown, true, None),
        decision(asking.node, true, None),
    ];
    let decided = asking.decide(twice).await;
    assert_eq!((decided.approved, decided.rejected), (0, 1));
    let refused: Vec<NodeExecId> = decided.refused.iter().map(|(id, _)| *id).collect();
    assert_eq!(refused, [unknown, asking.node]);
    let result = asking.ask().await.unwrap();
    assert_eq!((result.status, result.data), (ReviewStatus::Rejected, None));

    let again = asking.decide(vec![decision(asking.node, true, None)]).await;
    assert!(again.refused[0].1.ends_with("is already REJECTED"), "{again:?}");
}

#[tokio::test]
async fn a_run_goes_on_when_nothing_of_it_waits_any_more() {
    let asking = Asking::new().await;
    let second = Uuid::now_v7();
    let more = vec![
        created(second, asking.graph.other_node),
        node_status(second, Queued, Some(json!({}))),
        node_status(second, Running, None),
    ];
    asking.world.append(asking.owner, &asking.run, 5, more).await;
    asking.ask().await;
    asking.world.store.ask_review(asking.question(second), FOR_EVER).await.unwrap();
    let mut park = asking.park_entries();
    park.insert(0, node_status(second, Review, None));
    asking.world.append(asking.owner, &asking.run, 8, park).await;
    assert_eq!(asking.run_status().await, Review);
    let first = asking.decide(vec![decision(asking.node, true, None)]).await;
    assert!(first.resumed.is_empty());
    assert_eq!(asking.run_status().await, Review);
    let last = asking.decide(vec![decision(second, false, None)]).await;
    assert_eq!(last.resumed, [asking.run.graph_exec_id]);
}

#[tokio::test]
async fn of_decisions_at_the_same_time_one_counts() {
    let asking = Asking::new().await;
    asking.ask().await;
    asking.park().await;
    asking.world.sql("DELETE FROM outbox").await;
    let decisions = (0..8).map(|number| asking.decide(vec![decision(asking.node, number % 2 == 0, None)]));
    let outcomes = futures::future::join_all(decisions).await;
    let taken: usize = outcomes.iter().map(|decided| decided.approved + decided.rejected).sum();
    let resumed: usize = outcomes.iter().map(|decided| decided.resumed.len()).sum();
    assert_eq!((taken, resumed), (1, 1));
    assert_eq!(asking.world.store.outbox_length().await.unwrap(), 1);
    assert_eq!(asking.run_status().await, Queued);
}

#[tokio::test]
async fn a_decision_and_the_parking_never_miss_each_other() {
    let asking = Asking::new().await;
    for round in 0..20 {
        // Each round is a claim of its own whose node asks and parks while the decision arrives.
        let run = if round == 0 {
            asking.run.clone()
        } else {
            asking.world.claim(asking.owner, 1).await.pop().unwrap()
        };
        let node = Uuid::now_v7();
        let start = vec![
            run_status(Running),
            created(node, asking.graph.other_node),
            node_status(node, Queued, Some(json!({}))),
            node_status(node, Running, None),
        ];
        let first = if round == 0 { 5 } else { run.next_seq };
        let start = if round == 0 { start[1..].to_vec() } else { start };
        let parked_at = first + start.len() as i64;
        asking.world.append(asking.owner, &run, first, start).await;
        asking.world.store.ask_review(asking.question(node), FOR_EVER).await.unwrap();
        let park = vec![node_status(node, Review, None), run_status(Review)];
        let (decided, _) = tokio::join!(
            asking.decide(vec![decision(node, true, None)]),
            asking.world.append(asking.owner, &run, parked_at, park)
        );
        assert_eq!(decided.approved, 1);
        assert_eq!(asking.run_status().await, Queued, "round {round}: {decided:?}");
    }
}

#[tokio::test]
async fn a_run_that_is_stopped_while_it_waits_closes_its_questions() {
    let asking = Asking::new().await;
    asking.ask().await;
    asking.park().await;
    asking
        .world
        .store
        .request_cancel(Some(asking.graph.user_id), asking.run.graph_exec_id)
        .await
        .unwrap();
    assert_eq!(asking.run_status().await, Terminated);
    assert!(!asking.world.store.has_waiting_reviews(asking.run.graph_exec_id).await.unwrap());
    let late = asking.decide(vec![decision(asking.node, true, None)]).await;
    assert_eq!((late.approved, late.resumed.len()), (0, 0));
    assert!(late.refused[0].1.ends_with("its run is over"), "{late:?}");
    assert_eq!(asking.run_status().await, Terminated);
    let asked = asking.world.store.ask_review(asking.question(asking.node), FOR_EVER).await;
    assert!(asked.is_err());
}

#[tokio::test]
async fn a_run_that_its_executor_ends_closes_its_questions() {
    let asking = Asking::new().await;
    asking.ask().await;
    let end = vec![
        node_status(asking.node, Review, None),
        node_status(asking.node, Terminated, None),
        run_status(Terminated),
    ];
    asking.world.append(asking.owner, &asking.run, 5, end).await;
    assert!(!asking.world.store.has_waiting_reviews(asking.run.graph_exec_id).await.unwrap());
}

#[tokio::test]
async fn a_question_without_a_decision_gets_the_default_at_its_deadline() {
    let asking = Asking::new().await;
    let terms = ReviewTerms {
        deadline: Some(Duration::from_secs(3600)),
        default_action: ReviewAction::Approve,
    };
    asking.world.store.ask_review(asking.question(asking.node), terms).await.unwrap();
    asking.park().await;
    assert_eq!(asking.world.store.decide_overdue_reviews(10).await.unwrap(), Decided::default());
    asking
        .world
        .sql("UPDATE pending_human_reviews SET deadline_at = now() - interval '1 second'")
        .await;
    let decided = asking.world.store.decide_overdue_reviews(10).await.unwrap();
    assert_eq!((decided.approved, decided.resumed.as_slice()), (1, [asking.run.graph_exec_id].as_slice()));
    let result = asking.ask().await.unwrap();
    assert_eq!((result.status, result.data), (ReviewStatus::Approved, Some(json!({ "amount": 5 }))));
    assert!(result.message.contains("deadline"), "{}", result.message);
    assert_eq!(asking.run_status().await, Queued);
}

#[tokio::test]
async fn an_approval_to_repeat_is_good_for_one_claim() {
    let asking = Asking::new().await;
    let store = &asking.world.store;
    let question = || asking.question(asking.node);
    let epoch = asking.run.epoch;
    assert_eq!(store.ask_to_repeat(question(), epoch, FOR_EVER).await.unwrap(), RepeatAnswer::Waiting);
    asking.park().await;
    asking.decide(vec![decision(asking.node, true, None)]).await;

    let second = asking.world.claim(asking.owner, 1).await.pop().unwrap();
    // A zombie of the claim before learns nothing.
    assert_eq!(store.ask_to_repeat(question(), epoch, FOR_EVER).await.unwrap(), RepeatAnswer::Waiting);
    for _ in 0..2 {
        let answer = store.ask_to_repeat(question(), second.epoch, FOR_EVER).await.unwrap();
        assert_eq!(answer, RepeatAnswer::Granted, "also when the first answer was lost");
    }
    // The second attempt is cut short as well: the next claim asks anew.
    store.release_lease(asking.owner).await.unwrap();
    let third = asking.world.claim(asking.owner, 1).await.pop().unwrap();
    assert_eq!(
        store.ask_to_repeat(question(), third.epoch, FOR_EVER).await.unwrap(),
        RepeatAnswer::Waiting
    );
    assert!(store.has_waiting_reviews(asking.run.graph_exec_id).await.unwrap());
    asking.decide(vec![decision(asking.node, false, None)]).await;
    let refused = store.ask_to_repeat(question(), third.epoch, FOR_EVER).await.unwrap();
    assert_eq!(
        refused,
        RepeatAnswer::Refused {
            message: "so be it".to_owned()
        }
    );
}

#[tokio::test]
async fn a_repetition_is_never_approved_by_default() {
    let asking = Asking::new().await;
    let terms = ReviewTerms {
        deadline: Some(Duration::from_secs(60)),
        default_action: ReviewAction::Approve,
    };
    let store = &asking.world.store;
    store.ask_to_repeat(asking.question(asking.node), asking.run.epoch, terms).await.unwrap();
    asking
        .world
        .sql("UPDATE pending_human_reviews SET deadline_at = now() - interval '1 second'")
        .await;
    let decided = store.decide_overdue_reviews(10).await.unwrap();
    assert_eq!((decided.approved, decided.rejected), (0, 1));
}

#[tokio::test]
async fn reviews_are_forgotten_with_their_run() {
    let asking = Asking::new().await;
    asking.ask().await;
    asking.world.sql("DELETE FROM graph_executions").await;
    assert_eq!(asking.world.number("SELECT count(*) FROM pending_human_reviews").await, 0);
}
