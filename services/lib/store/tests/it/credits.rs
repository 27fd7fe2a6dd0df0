//! The ledger: one charge per node execution and kind, a balance that is the sum of its entries and never negative.

use futures::future::join_all;
use model::claim::ClaimedRun;
use model::{CreditReservation, ExecutionStatus, JournalEntry, NodeStats, ReserveOutcome, Timestamp, UserId};
use serde_json::json;
use store::{CreditRules, Store};
use uuid::Uuid;

use crate::world::{TestGraph, World, applied, created, run_status};

const RULES: CreditRules = CreditRules {
    monthly_refill: 0,
    low_balance: 50,
    fee_every: 0,
    fee: 1,
};

/// A claimed run of a user with credits.
struct Payer {
    world: World,
    store: Store,
    graph: TestGraph,
    owner: Uuid,
    run: ClaimedRun,
    next_seq: i64,
}

impl Payer {
    async fn new(rules: CreditRules, credits: i32) -> Self {
        let mut world = World::new().await;
        world.store = world.store.with_credits(Some(rules));
        let graph = world.user_with_graph().await;
        let store = world.store.clone();
        if credits > 0 {
            store.book_credits(graph.user_id, "top-up", "TOP_UP", credits, &json!({})).await.unwrap();
        }
        let owner = Uuid::new_v4();
        let run = world.claimed_run(graph, owner).await;
        let mut payer = Self {
            world,
            store,
            graph,
            owner,
            run,
            next_seq: 1,
        };
        payer.append(vec![run_status(ExecutionStatus::Running)]).await;
        payer
    }

    async fn append(&mut self, entries: Vec<JournalEntry>) {
        let first = self.next_seq;
        self.next_seq += entries.len() as i64;
        let outcome = self.world.append(self.owner, &self.run, first, entries).await;
        assert_eq!(outcome, applied(self.next_seq));
    }

    /// A node execution that is RUNNING.
    async fn start(&mut self) -> Uuid {
        let id = Uuid::now_v7();
        let node = self.graph.other_node;
        let statuses = [ExecutionStatus::Queued, ExecutionStatus::Running].map(|status| ended(id, status, None));
        self.append([vec![created(id, node)], statuses.to_vec()].concat()).await;
        id
    }

    fn reservation(&self, node_exec_id: Uuid, amount: i64) -> CreditReservation {
        CreditReservation {
            user_id: self.graph.user_id,
            graph_id: self.graph.id,
            graph_exec_id: self.run.graph_exec_id,
            epoch: self.run.epoch,
            node_exec_id,
            kind: "run".to_owned(),
            amount,
            metadata: Default::default(),
        }
    }

    async fn reserve(&self, node_exec_id: Uuid, amount: i64) -> ReserveOutcome {
        self.store.reserve_credits(&self.reservation(node_exec_id, amount)).await.unwrap()
    }

    async fn balance(&self) -> i64 {
        balance(&self.store, self.graph.user_id).await
    }

    /// The balance, which must be the sum of the entries that count.
    async fn audited(&self) -> i64 {
        let sum = "SELECT coalesce(sum(amount), 0)::bigint FROM credit_transactions WHERE is_active";
        let balance = self.balance().await;
        assert_eq!(self.world.number(sum).await, balance);
        balance
    }

    async fn open_reservations(&self) -> i64 {
        self.world.number("SELECT count(*) FROM credit_reservations").await
    }
}

async fn balance(store: &Store, user: UserId) -> i64 {
    store.get_credits(user).await.unwrap()
}

/// A change of status, with a cost when the node is charged for.
fn ended(node_exec_id: Uuid, status: ExecutionStatus, cost: Option<i64>) -> JournalEntry {
    JournalEntry::NodeStatus {
        node_exec_id,
        status,
        execution_data: None,
        stats: cost.map(|cost| NodeStats {
            cost,
            ..NodeStats::default()
        }),
        at: Timestamp::now(),
    }
}

fn granted(charged: i64, balance: i64) -> ReserveOutcome {
    ReserveOutcome::Granted {
        charged,
        balance,
        low_balance: false,
    }
}

#[tokio::test]
async fn without_a_ledger_everybody_has_a_constant_balance_and_nothing_is_booked() {
    let mut payer = Payer::new(RULES, 0).await;
    payer.store = payer.store.clone().with_credits(None);
    assert_eq!(payer.balance().await, 100);
    assert!(matches!(payer.reserve(Uuid::nil(), 7).await, ReserveOutcome::Granted { charged: 7, .. }));
    assert_eq!(payer.world.number("SELECT count(*) FROM credit_transactions").await, 0);
}

#[tokio::test]
async fn a_node_execution_is_charged_once_whoever_asks_however_often() {
    let mut payer = Payer::new(RULES, 1000).await;
    let node = payer.start().await;
    let asked = join_all((0..16).map(|_| payer.reserve(node, 30))).await;
    assert!(asked.iter().all(|outcome| *outcome == granted(30, 970)), "{asked:?}");
    assert_eq!((payer.audited().await, payer.open_reservations().await), (970, 1));
    // Another kind is another charge; another price for the same one is not.
    let mut other = payer.reservation(node, 5);
    other.kind = "other".to_owned();
    assert_eq!(payer.store.reserve_credits(&other).await.unwrap(), granted(5, 965));
    assert_eq!(payer.reserve(node, 99).await, granted(30, 965));

    payer.append(vec![ended(node, ExecutionStatus::Completed, Some(35))]).await;
    assert_eq!((payer.audited().await, payer.open_reservations().await), (965, 0));
    assert_eq!(payer.reserve(node, 30).await, ReserveOutcome::Stale, "the node has ended");
}

#[tokio::test]
async fn a_balance_is_never_negative_however_many_charge_at_once() {
    let mut payer = Payer::new(RULES, 100).await;
    let mut nodes = Vec::new();
    for _ in 0..40 {
        nodes.push(payer.start().await);
    }
    // Each node is asked for twice, as after a lost answer, while somebody tops up and spends beside it.
    let user = payer.graph.user_id;
    let beside = join_all((0..20).map(|index| {
        let (store, amount) = (payer.store.clone(), if index % 2 == 0 { 3 } else { -4 });
        async move {
            let key = format!("beside-{index}");
            store.book_credits(user, &key, "TOP_UP", amount, &json!({})).await.unwrap();
            assert!(balance(&store, user).await >= 0);
        }
    }));
    let charges = join_all(nodes.iter().chain(&nodes).map(|node| payer.reserve(*node, 7)));
    let (charges, _) = tokio::join!(charges, beside);
    let paid = payer.world.number("SELECT count(*) FROM credit_reservations").await;
    assert!(paid > 0 && paid < 40, "{paid} of 40 nodes were paid for");
    for (first, again) in charges.iter().zip(&charges[40..]) {
        for outcome in [first, again] {
            match outcome {
                ReserveOutcome::Granted { balance, charged, .. } => assert!(*balance >= 0 && *charged == 7),
                ReserveOutcome::Refused { balance, shortfall, .. } => assert!(*balance < 7 && *shortfall == 7 - balance),
                ReserveOutcome::Stale => panic!("every node is running"),
            }
        }
    }
    assert!(payer.audited().await >= 0);
    assert!(payer.world.number("SELECT min(running_balance)::bigint FROM credit_transactions").await >= 0);
}

#[tokio::test]
async fn what_never_started_is_given_back_and_what_started_is_not() {
    let mut payer = Payer::new(RULES, 1000).await;
    let nodes = [payer.start().await, payer.start().await, payer.start().await];
    for node in nodes {
        payer.reserve(node, 100).await;
    }
    assert_eq!(payer.balance().await, 700);
    payer
        .append(vec![
            ended(nodes[0], ExecutionStatus::Terminated, Some(0)),
            ended(nodes[1], ExecutionStatus::Terminated, Some(100)),
            ended(nodes[2], ExecutionStatus::Failed, Some(100)),
        ])
        .await;
    assert_eq!((payer.audited().await, payer.open_reservations().await), (800, 0));
}

#[tokio::test]
async fn a_zombie_cannot_charge() {
    let mut payer = Payer::new(RULES, 1000).await;
    let node = payer.start().await;
    let mut zombie = payer.reservation(node, 10);
    zombie.epoch -= 1;
    assert_eq!(payer.store.reserve_credits(&zombie).await.unwrap(), ReserveOutcome::Stale);
    let queued = Uuid::now_v7();
    payer.append(vec![created(queued, payer.graph.other_node)]).await;
    assert_eq!(payer.reserve(queued, 10).await, ReserveOutcome::Stale, "it has not started");
    assert_eq!(payer.reserve(Uuid::new_v4(), 10).await, ReserveOutcome::Stale);
    payer.store.release_runs(payer.owner, &[payer.run.held()]).await.unwrap();
    assert_eq!(payer.reserve(node, 10).await, ReserveOutcome::Stale, "nobody holds the run");
    assert_eq!(payer.audited().await, 1000);
}

#[tokio::test]
async fn a_run_that_changes_hands_keeps_its_charges() {
    let mut payer = Payer::new(RULES, 1000).await;
    let (paid, under_way) = (payer.start().await, payer.start().await);
    payer.reserve(paid, 100).await;
    payer.append(vec![ended(paid, ExecutionStatus::Completed, Some(100))]).await;
    payer.reserve(under_way, 10).await;
    payer.store.release_runs(payer.owner, &[payer.run.held()]).await.unwrap();

    let next = Uuid::new_v4();
    let again = payer.world.claim(next, 1).await.remove(0);
    let costs: Vec<i64> = again.node_executions.iter().map(|record| record.cost).filter(|cost| *cost > 0).collect();
    assert_eq!(costs, [100]);
    payer.run = again;
    assert_eq!(payer.reserve(under_way, 10).await, granted(10, 890));
    // Cancelled while nobody holds it: whether the block had begun is not known, so the charge stays.
    payer.store.release_runs(next, &[payer.run.held()]).await.unwrap();
    payer.store.request_cancel(None, payer.run.graph_exec_id).await.unwrap();
    assert_eq!((payer.audited().await, payer.open_reservations().await), (890, 0));
}

#[tokio::test]
async fn too_little_is_refused_and_told_once_until_there_is_more() {
    let mut payer = Payer::new(RULES, 5).await;
    let refused = |tell| ReserveOutcome::Refused {
        balance: 5,
        shortfall: 3,
        tell,
    };
    let (first, second) = (payer.start().await, payer.start().await);
    assert_eq!(payer.reserve(first, 8).await, refused(true));
    assert_eq!(payer.reserve(first, 8).await, refused(true), "the answer may have been lost");
    assert_eq!(payer.reserve(second, 8).await, refused(false));
    assert_eq!((payer.audited().await, payer.open_reservations().await), (5, 0));
    payer
        .store
        .book_credits(payer.graph.user_id, "more", "TOP_UP", 1, &json!({}))
        .await
        .unwrap();
    assert!(matches!(
        payer.reserve(second, 8).await,
        ReserveOutcome::Refused { balance: 6, tell: true, .. }
    ));
}

#[tokio::test]
async fn falling_below_the_threshold_is_told_by_the_charge_that_does_it() {
    let mut payer = Payer::new(RULES, 70).await;
    let low = |outcome| match outcome {
        ReserveOutcome::Granted { low_balance, .. } => low_balance,
        other => panic!("{other:?}"),
    };
    let nodes = [payer.start().await, payer.start().await, payer.start().await];
    assert!(!low(payer.reserve(nodes[0], 20).await), "exactly the threshold");
    assert!(low(payer.reserve(nodes[1], 1).await));
    assert!(low(payer.reserve(nodes[1], 1).await), "the answer may have been lost");
    assert!(!low(payer.reserve(nodes[2], 1).await));
    // A charge that had nobody to tell leaves it to the next look.
    let user = payer.graph.user_id;
    payer.store.book_credits(user, "more", "TOP_UP", 10, &json!({})).await.unwrap();
    payer.store.book_credits(user, "elsewhere", "USAGE", -20, &json!({})).await.unwrap();
    let check = payer.store.check_credits(user).await.unwrap();
    assert_eq!((check.balance, check.low_balance), (38, true));
    assert!(!payer.store.check_credits(user).await.unwrap().low_balance);
}

#[tokio::test]
async fn each_month_fills_the_balance_up_once() {
    let rules = CreditRules {
        monthly_refill: 1500,
        ..RULES
    };
    let mut world = World::new().await;
    world.store = world.store.with_credits(Some(rules));
    let (store, user) = (&world.store, world.user().await);
    let looks = join_all((0..8).map(|_| store.get_credits(user))).await;
    assert!(looks.into_iter().all(|balance| balance.unwrap() == 1500));
    store.book_credits(user, "spent", "USAGE", -1400, &json!({})).await.unwrap();
    assert_eq!(balance(store, user).await, 100, "only once a month");
    // The same a month later, although something was charged before the first look.
    world
        .sql("UPDATE credit_transactions SET transaction_key = 'MONTHLY-CREDIT-TOP-UP-2020-01-01' WHERE type = 'GRANT'")
        .await;
    store.book_credits(user, "early", "USAGE", -50, &json!({})).await.unwrap();
    assert_eq!(balance(store, user).await, 1500);
    assert_eq!(
        world
            .number("SELECT amount::bigint FROM credit_transactions WHERE type = 'GRANT' ORDER BY created_at DESC LIMIT 1")
            .await,
        1450
    );

    // Who has more gets nothing, also not later in the month.
    let rich = world.user().await;
    store.book_credits(rich, "top-up", "TOP_UP", 2000, &json!({})).await.unwrap();
    assert_eq!(balance(store, rich).await, 2000);
    store.book_credits(rich, "spent", "USAGE", -2000, &json!({})).await.unwrap();
    assert_eq!(balance(store, rich).await, 0);
    assert_eq!(store.get_credits(Uuid::new_v4()).await.unwrap(), 0, "nobody");
}

#[tokio::test]
async fn the_fee_is_counted_with_the_journal() {
    let rules = CreditRules {
        fee_every: 10,
        fee: 2,
        ..RULES
    };
    let mut payer = Payer::new(rules, 5).await;
    let mut nodes = Vec::new();
    for _ in 0..9 {
        nodes.push(payer.start().await);
    }
    assert_eq!(payer.audited().await, 5);
    nodes.push(payer.start().await);
    assert_eq!(payer.audited().await, 3, "the tenth");
    // What is sent twice, and what starts a second time, counts once.
    let first = payer.next_seq;
    let more = vec![created(Uuid::now_v7(), payer.graph.other_node)];
    payer.append(more.clone()).await;
    payer.world.append(payer.owner, &payer.run, first, more).await;
    payer.append(vec![ended(nodes[0], ExecutionStatus::Review, None)]).await;
    payer.append(vec![ended(nodes[0], ExecutionStatus::Running, None)]).await;
    assert_eq!(payer.world.number("SELECT executions FROM node_execution_counts").await, 10);
    // Twenty more in one append: two fees are due, one can be paid; the other follows when there is something.
    let many = (0..20).map(|_| Uuid::now_v7()).flat_map(|id| {
        let statuses = [ExecutionStatus::Queued, ExecutionStatus::Running].map(|status| ended(id, status, None));
        [vec![created(id, payer.graph.other_node)], statuses.to_vec()].concat()
    });
    payer.append(many.collect()).await;
    assert_eq!(payer.audited().await, 1);
    payer
        .store
        .book_credits(payer.graph.user_id, "more", "TOP_UP", 10, &json!({}))
        .await
        .unwrap();
    payer.start().await;
    assert_eq!(payer.audited().await, 9);
    // Another day begins at nothing.
    payer.world.sql("UPDATE node_execution_counts SET day = day - 1").await;
    payer.start().await;
    assert_eq!(payer.world.number("SELECT executions + fees FROM node_execution_counts").await, 1);
    assert_eq!(payer.audited().await, 9);
}

#[tokio::test]
async fn appends_and_charges_at_once_leave_no_reservation_behind() {
    let rules = CreditRules { fee_every: 3, ..RULES };
    let mut payer = Payer::new(rules, 10_000).await;
    let mut nodes = Vec::new();
    for _ in 0..24 {
        nodes.push(payer.start().await);
    }
    let before = payer.audited().await;
    // The end of the nodes races with their charges: each is either in time and given back, or too late.
    let entries: Vec<JournalEntry> = nodes.iter().map(|node| ended(*node, ExecutionStatus::Terminated, Some(0))).collect();
    let first = payer.next_seq;
    let append = payer.world.append(payer.owner, &payer.run, first, entries);
    let charges = join_all(nodes.iter().map(|node| payer.reserve(*node, 10)));
    let (_, outcomes) = tokio::join!(append, charges);
    assert!(outcomes.iter().all(|outcome| !matches!(outcome, ReserveOutcome::Refused { .. })));
    assert_eq!((payer.audited().await, payer.open_reservations().await), (before, 0));
}
