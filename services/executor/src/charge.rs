//! Charging for nodes (internals §2.12): what a node costs is held back before its block starts, as the first step of its own task.
//!
//! A charge becomes final, or is given back, with the journal entry that ends its node: there is nothing to do here at the end. With
//! credits disabled nobody is asked, and the price only goes into the statistics.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use engine::run::NodeResult;
use model::credits::insufficient_balance;
use model::notification::NotificationEvent;
use model::{CreditCheck, CreditReservation, NodeExecId, NodeStats, ReserveOutcome, UserId};
use rpc::RpcError;
use runtime::Settings;
use runtime::retry::Backoff;
use tokio::sync::mpsc;

use crate::ledger::Ledger;
use crate::node::{self, Ended, Job, Output};
use crate::notice;

/// What a run without credits ends with (internals §2.8 step 1).
pub const NO_CREDITS: &str = "You have no credits left to run an agent.";

/// The page of the frontend where credits are bought.
const BILLING_PAGE: &str = "/profile/credits";

/// How runs are charged. There is one while credits are enabled.
#[derive(Clone)]
pub struct Cashier {
    pub ledger: Arc<dyn Ledger>,
    /// Notifications on their way to RabbitMQ.
    pub notices: mpsc::Sender<NotificationEvent>,
    /// Where the notifications send the user.
    pub billing_page: Arc<str>,
}

impl Cashier {
    /// None while credits are disabled.
    pub fn of(settings: &Settings, ledger: &Arc<dyn Ledger>, notices: &mpsc::Sender<NotificationEvent>) -> Option<Self> {
        settings.credits.enable_credit.then(|| Self {
            ledger: ledger.clone(),
            notices: notices.clone(),
            billing_page: format!("{}{BILLING_PAGE}", settings.frontend_base_url).into(),
        })
    }

    /// Whether the user has anything to start a run with. Waits as long as the database manager is away.
    pub async fn admits(&self, user_id: UserId) -> bool {
        match answered("credits", || self.ledger.check_credits(user_id)).await {
            Ok(CreditCheck { balance, low_balance }) => {
                if low_balance {
                    self.tell(notice::low_balance(user_id, balance, &self.billing_page));
                }
                balance > 0
            }
            Err(error) => {
                tracing::error!(%error, %user_id, "the balance cannot be read; a node that costs something will be refused");
                true
            }
        }
    }

    fn tell(&self, notice: NotificationEvent) {
        let user_id = notice.user_id;
        if self.notices.try_send(notice).is_err() {
            tracing::warn!(%user_id, "the notification about a balance is dropped: too many are waiting");
        }
    }
}

/// The cashier at one run.
#[derive(Clone)]
pub struct Till {
    pub cashier: Cashier,
    pub agent_name: String,
}

/// What became of a node's charge, known to its task and to its run. Empty until the block starts, and always for a free one.
#[derive(Clone, Default)]
pub struct Bill(Option<Arc<OnceLock<Paid>>>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Paid {
    Credits(i64),
    /// The user has not enough, in the contract's words.
    Refused(String),
}

impl Bill {
    /// What the node has cost: also one that is stopped before its end.
    pub fn stats(&self) -> NodeStats {
        NodeStats {
            cost: self.cost(),
            ..NodeStats::default()
        }
    }

    pub fn cost(&self) -> i64 {
        match self.paid() {
            Some(Paid::Credits(cost)) => *cost,
            Some(Paid::Refused(_)) | None => 0,
        }
    }

    /// Why the run has to end.
    pub fn refusal(&self) -> Option<&str> {
        match self.paid() {
            Some(Paid::Refused(reason)) => Some(reason),
            Some(Paid::Credits(_)) | None => None,
        }
    }

    fn paid(&self) -> Option<&Paid> {
        self.0.as_ref()?.get()
    }

    fn set(&self, paid: Paid) {
        if let Some(entry) = &self.0 {
            // A node is charged once.
            let _ = entry.set(paid);
        }
    }
}

/// What is to be paid before a node starts.
pub struct Charge {
    cost: i64,
    bill: Bill,
    /// Absent while credits are disabled.
    order: Option<(Arc<Till>, CreditReservation)>,
}

impl Charge {
    /// Of a node that costs `cost`. None for a free one.
    pub fn new(cost: i64, till: Option<&Arc<Till>>, reservation: impl FnOnce() -> CreditReservation) -> Option<Self> {
        (cost > 0).then(|| Self {
            cost,
            bill: Bill(Some(Arc::default())),
            order: till.map(|till| (till.clone(), reservation())),
        })
    }

    /// Whether the start of the node must be durable first: a node execution that a crash forgets is charged again under its next id.
    pub fn needs_durable_start(&self) -> bool {
        self.order.is_some()
    }

    pub fn bill(&self) -> Bill {
        self.bill.clone()
    }

    /// An error is what the node ends with.
    async fn pay(self) -> Result<(), String> {
        let Some((till, reservation)) = self.order else {
            self.bill.set(Paid::Credits(self.cost));
            return Ok(());
        };
        let (user_id, node_exec_id) = (reservation.user_id, reservation.node_exec_id);
        let cashier = &till.cashier;
        let outcome = answered("credits", || cashier.ledger.reserve_credits(reservation.clone())).await;
        match outcome.map_err(|error| format!("{} credits could not be charged: {error}", self.cost))? {
            ReserveOutcome::Granted {
                charged,
                balance,
                low_balance,
            } => {
                if low_balance {
                    cashier.tell(notice::low_balance(user_id, balance, &cashier.billing_page));
                }
                self.bill.set(Paid::Credits(charged));
                Ok(())
            }
            ReserveOutcome::Refused { balance, shortfall, tell } => {
                if tell {
                    cashier.tell(notice::zero_balance(
                        &reservation,
                        &till.agent_name,
                        balance,
                        shortfall,
                        &cashier.billing_page,
                    ));
                }
                let reason = insufficient_balance(balance, self.cost);
                self.bill.set(Paid::Refused(reason.clone()));
                Err(reason)
            }
            ReserveOutcome::Stale => {
                // The run is somebody else's or over, and about to be told so: this task is stopped then.
                tracing::info!(%node_exec_id, "a node is not started: its run is not ours any more");
                std::future::pending().await
            }
        }
    }
}

/// Runs a node once it is paid for.
pub async fn run(mut job: Job, outputs: mpsc::Sender<Output>) -> Ended {
    let node_exec_id = job.node_exec_id;
    match job.charge.take() {
        Some(charge) => match charge.pay().await {
            Ok(()) => node::run(job, outputs).await,
            Err(error) => refused(node_exec_id, error),
        },
        None => node::run(job, outputs).await,
    }
}

fn refused(node_exec_id: NodeExecId, error: String) -> Ended {
    Ended {
        node_exec_id,
        result: Some(NodeResult::Failed { error }),
        stats: NodeStats::default(),
    }
}

/// Repeats a call until it is answered: whatever is asked here may be asked twice. An error is one that stays.
async fn answered<T, F: Future<Output = Result<T, RpcError>>>(what: &str, mut call: impl FnMut() -> F) -> Result<T, RpcError> {
    let mut backoff = Backoff::default();
    loop {
        match call().await {
            Err(error) if error.is_transient() => {
                if backoff.attempts() == 0 {
                    tracing::warn!(%error, what, "waiting for the database manager");
                }
                tokio::time::sleep(backoff.next_delay()).await;
            }
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use model::notification::NotificationType;
    use model::{ClaimedRun, ExecutionStatus, GraphExecId};
    use serde_json::json;

    use super::NO_CREDITS;
    use crate::task::Control;
    use crate::testing::{COUNT, ECHO, EFFECT, FOREVER, PRICE, World};

    /// Works on the only queued run until it is over.
    async fn finish(world: &World, id: GraphExecId) -> ClaimedRun {
        let claimed = world.claim().await;
        world.shift.work(claimed, Control::new(0)).await;
        world.ledger.run(id)
    }

    fn statuses(run: &ClaimedRun) -> Vec<ExecutionStatus> {
        run.node_executions.iter().map(|record| record.status).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn with_credits_disabled_the_price_is_counted_and_nobody_is_asked() {
        let world = World::new();
        let id = world.submit(&[ECHO, EFFECT], json!(1));
        let run = finish(&world, id).await;
        assert_eq!((run.status, run.stats.cost), (ExecutionStatus::Completed, PRICE));
        assert_eq!(world.ledger.balance(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_is_paid_for_before_it_starts() {
        let world = World::charging(PRICE + 1);
        let id = world.submit(&[ECHO, EFFECT, ECHO], json!(1));
        let run = finish(&world, id).await;
        assert_eq!((run.status, run.stats.cost), (ExecutionStatus::Completed, PRICE));
        assert_eq!(run.node_executions.iter().map(|record| record.cost).collect::<Vec<_>>(), [0, PRICE, 0]);
        assert_eq!(world.ledger.balance(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_cannot_be_paid_for_ends_the_run() {
        let mut world = World::charging(PRICE + 5);
        let id = world.submit(&[EFFECT, EFFECT, ECHO], json!(1));
        let run = finish(&world, id).await;
        assert_eq!((run.status, run.stats.cost), (ExecutionStatus::Failed, PRICE));
        let reason = "Insufficient balance of $0.05, where this will cost $0.10";
        assert_eq!(run.stats.error.as_deref(), Some(reason));
        assert_eq!(statuses(&run), [ExecutionStatus::Completed, ExecutionStatus::Failed]);
        assert_eq!(run.node_executions[1].outputs["error"], [json!(reason)]);
        assert_eq!((world.seen.effects.load(Ordering::SeqCst), world.ledger.balance()), (1, 5));

        let notice = world.notices.try_recv().unwrap();
        assert_eq!(notice.kind, NotificationType::ZeroBalance);
        let expected = json!({"agent_name": "test agent", "current_balance": 5.0, "billing_page_link": "http://front/credits", "shortfall": 5.0});
        assert_eq!(json!(notice.data), expected);
        assert_eq!(world.notices.try_recv().unwrap().kind, NotificationType::AgentRun);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_in_flight_when_the_credits_end_is_stopped_and_stays_paid() {
        let world = World::charging(2 * PRICE + 5);
        let id = world.submit(&[COUNT, FOREVER], json!(3));
        let run = finish(&world, id).await;
        assert_eq!((run.status, run.stats.cost), (ExecutionStatus::Failed, 2 * PRICE));
        let mut nodes = statuses(&run);
        nodes.sort_by_key(|status| status.as_str());
        let (completed, failed, terminated) = (ExecutionStatus::Completed, ExecutionStatus::Failed, ExecutionStatus::Terminated);
        assert_eq!(nodes, [completed, failed, terminated, terminated]);
        let costs: i64 = run.node_executions.iter().map(|record| record.cost).sum();
        assert_eq!((costs, world.ledger.balance()), (2 * PRICE, 5));
    }

    #[tokio::test(start_paused = true)]
    async fn without_credits_a_run_does_not_start() {
        let world = World::charging(0);
        let id = world.submit(&[ECHO], json!(1));
        let run = finish(&world, id).await;
        assert_eq!(run.status, ExecutionStatus::Failed);
        assert_eq!(run.stats.error.as_deref(), Some(NO_CREDITS));
        assert!(run.node_executions[0].outputs.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_changes_hands_is_not_charged_again() {
        let world = World::charging(PRICE);
        let id = world.submit(&[FOREVER], json!(1));
        let claimed = world.claim().await;
        let (shift, control) = (world.shift.clone(), Control::new(0));
        let lost = control.lost.clone();
        let work = tokio::spawn(async move { shift.work(claimed, control).await });
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        assert_eq!(world.ledger.balance(), 0);
        lost.cancel();
        work.await.unwrap();

        world.ledger.requeue(id);
        let claimed = world.claim().await;
        let (shift, control) = (world.shift.clone(), Control::new(0));
        let cancel = control.cancel.clone();
        let work = tokio::spawn(async move { shift.work(claimed, control).await });
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        cancel.cancel();
        work.await.unwrap();
        let run = world.ledger.run(id);
        assert_eq!((run.status, run.stats.cost), (ExecutionStatus::Terminated, PRICE));
        assert_eq!(run.node_executions[0].cost, PRICE);
        assert_eq!(world.ledger.balance(), 0);
    }
}
