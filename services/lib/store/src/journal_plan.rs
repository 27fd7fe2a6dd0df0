//! What a set of journal batches amounts to in rows: pure, so that the rules of an append are tested without a database.

use chrono::{DateTime, Utc};
use indexmap::{IndexMap, IndexSet};
use model::{
    AppendOutcome, ExecutionStatus, GraphExecId, JournalBatch, JournalEntry, Map, NodeExecId, NodeId, NodeStats, StoredStats, Timestamp, UserId,
};
use serde_json::Value;
use uuid::Uuid;

use crate::{Error, Result};

/// What decides about a run, as its locked row says: moved forward by each batch that is planned, and by each rule that is applied.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunRow {
    pub id: GraphExecId,
    pub user_id: UserId,
    pub status: ExecutionStatus,
    pub owner: Option<Uuid>,
    pub epoch: i64,
    pub journal_seq: i64,
    pub cancel_requested: bool,
    pub news: i64,
}

impl RunRow {
    /// The row as the sender of a batch believes it to be. None when the batch parks the run: then it depends on news that only the row has.
    fn presumed(owner: Uuid, batch: &JournalBatch) -> Option<Self> {
        let mut status = None;
        for entry in &batch.entries {
            match entry {
                JournalEntry::Suspended { .. } => return None,
                JournalEntry::RunStatus {
                    status: ExecutionStatus::Review,
                    ..
                } => return None,
                JournalEntry::RunStatus { status: to, .. } => _ = status.get_or_insert(*to),
                _ => {}
            }
        }
        let status = match status {
            Some(ExecutionStatus::Running) => ExecutionStatus::Queued,
            _ => ExecutionStatus::Running,
        };
        Some(Self {
            id: batch.graph_exec_id,
            user_id: UserId::nil(),
            status,
            owner: Some(owner),
            epoch: batch.epoch,
            journal_seq: batch.first_seq - 1,
            cancel_requested: false,
            news: 0,
        })
    }
}

/// Rows to write, a struct of what each table gets.
#[derive(Debug, Default)]
pub struct JournalPlan<'a> {
    pub nodes: IndexMap<NodeExecId, NodeChange<'a>>,
    pub inputs: Vec<ValueRow<'a>>,
    pub outputs: Vec<ValueRow<'a>>,
    pub runs: IndexMap<GraphExecId, RunChange<'a>>,
}

/// The net change of one node execution.
#[derive(Debug)]
pub struct NodeChange<'a> {
    pub graph_exec_id: GraphExecId,
    /// Present when the row comes into being here.
    pub created: Option<Created>,
    /// The first status that it takes here: what the stored status must allow. None while only created.
    pub first: Option<ExecutionStatus>,
    pub status: ExecutionStatus,
    pub execution_data: Option<&'a Map>,
    pub stats: Option<&'a NodeStats>,
    pub queued_at: Option<DateTime<Utc>>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy)]
pub struct Created {
    pub node_id: NodeId,
    pub at: DateTime<Utc>,
    pub seq: i64,
}

#[derive(Debug)]
pub struct ValueRow<'a> {
    pub graph_exec_id: GraphExecId,
    pub node_exec_id: NodeExecId,
    pub seq: i64,
    pub name: &'a str,
    pub value: &'a Value,
    pub at: DateTime<Utc>,
}

/// Where a run stands before a change: what the stored row must say for the change to be written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Before {
    pub epoch: i64,
    pub journal_seq: i64,
}

/// The net change of a run.
#[derive(Debug, Default)]
pub struct RunChange<'a> {
    pub before: Before,
    pub journal_seq: i64,
    /// The first status that it takes here: what the stored status must allow.
    pub first: Option<ExecutionStatus>,
    pub status: Option<ExecutionStatus>,
    pub stats: Option<&'a StoredStats>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    /// The run waits for runs that it started.
    pub suspended_at: Option<DateTime<Utc>>,
    /// The run was parked, but there is news that its executor has not looked into: it is QUEUED again.
    pub requeued: bool,
}

impl RunChange<'_> {
    /// Nobody works on a run that is over, waits for a person or waits for other runs.
    pub fn gives_up_lease(&self) -> bool {
        self.is_parked() || self.status.is_some_and(ExecutionStatus::is_terminal)
    }

    /// Whether the change may be written over a stored row with this status.
    fn fits(&self, stored: ExecutionStatus) -> bool {
        !stored.is_terminal() && self.first.is_none_or(|to| run_may_turn(stored, to))
    }

    /// Statuses that the stored row may have, as a comma-separated list.
    pub fn expected(&self) -> String {
        listed(|stored| self.fits(stored))
    }

    fn is_parked(&self) -> bool {
        self.suspended_at.is_some() || self.status == Some(ExecutionStatus::Review)
    }

    /// The status that the row gets; none when it stays.
    pub fn stored_status(&self) -> Option<ExecutionStatus> {
        if self.requeued { Some(ExecutionStatus::Queued) } else { self.status }
    }
}

impl<'a> JournalPlan<'a> {
    /// The plan of batches whose runs stand as their executor believes, which is what they nearly always do: so the rows need not be read
    /// before they are written. None when a row has to be read all the same, because more follows from the batches than rows of their own.
    pub fn presumed(owner: Uuid, batches: &[&'a JournalBatch]) -> Option<Self> {
        let mut plan = Self::default();
        for batch in batches {
            let mut run = RunRow::presumed(owner, batch)?;
            let is_further = plan.runs.contains_key(&run.id);
            match plan.add(owner, Some(&mut run), batch) {
                Ok(AppendOutcome::Applied { .. }) if !is_further && plan.runs.contains_key(&run.id) => {}
                _ => return None,
            }
        }
        Some(plan)
    }

    /// Judges a batch and takes its entries in when they are next in line. An error means that they can never be applied.
    pub fn add(&mut self, owner: Uuid, run: Option<&mut RunRow>, batch: &'a JournalBatch) -> Result<AppendOutcome> {
        let Some(run) = run.filter(|run| run.epoch == batch.epoch) else {
            return Ok(AppendOutcome::Stale);
        };
        let count = i64::try_from(batch.entries.len()).unwrap_or(i64::MAX);
        let last = batch.first_seq.saturating_sub(1).saturating_add(count);
        if last <= run.journal_seq {
            // The same range again: its answer was lost. Also when it ended the run, which took the owner away.
            return Ok(applied(run));
        }
        if run.owner != Some(owner) || run.status.is_terminal() {
            return Ok(AppendOutcome::Stale);
        }
        if batch.first_seq > run.journal_seq + 1 {
            return Ok(AppendOutcome::Retry {
                expected_seq: run.journal_seq + 1,
            });
        }
        let before = Before {
            epoch: run.epoch,
            journal_seq: run.journal_seq,
        };
        self.runs.entry(run.id).or_insert_with(|| RunChange {
            before,
            ..RunChange::default()
        });
        for (seq, entry) in (batch.first_seq..).zip(&batch.entries) {
            if seq > run.journal_seq {
                self.entry(run, seq, entry)?;
                run.journal_seq = seq;
            }
        }
        let change = self.runs.entry(run.id).or_default();
        change.journal_seq = run.journal_seq;
        if change.gives_up_lease() {
            run.owner = None;
            change.requeued = change.is_parked() && run.news > batch.news_seen;
        }
        Ok(applied(run))
    }

    /// Node executions of runs that values are for and that no other entry is about: they have to be there already.
    pub fn presupposed(&self) -> IndexSet<(NodeExecId, GraphExecId)> {
        let values = self.inputs.iter().chain(&self.outputs);
        let is_planned = |value: &&ValueRow<'_>| {
            let node = self.nodes.get(&value.node_exec_id);
            node.is_some_and(|node| node.graph_exec_id == value.graph_exec_id)
        };
        values
            .filter(|value| !is_planned(value))
            .map(|value| (value.node_exec_id, value.graph_exec_id))
            .collect()
    }

    fn entry(&mut self, run: &mut RunRow, seq: i64, entry: &'a JournalEntry) -> Result<()> {
        match entry {
            JournalEntry::RunStatus { status, stats, at } => self.run_status(run, *status, stats.as_ref(), *at),
            JournalEntry::Suspended { stats, at } => {
                if run.status != ExecutionStatus::Running {
                    return Err(Error::Illegal(format!("the run is {} and cannot be suspended", run.status)));
                }
                let change = self.runs.entry(run.id).or_default();
                change.stats = Some(stats);
                change.suspended_at = Some(at.into_inner());
                Ok(())
            }
            JournalEntry::Progressed => Ok(()),
            JournalEntry::NodeCreated { node_exec_id, node_id, at } => {
                let created = Created {
                    node_id: *node_id,
                    at: at.into_inner(),
                    seq,
                };
                let change = NodeChange::new(run.id, Some(created), ExecutionStatus::Incomplete);
                match self.nodes.insert(*node_exec_id, change) {
                    None => Ok(()),
                    Some(_) => Err(Error::Illegal(format!("node execution {node_exec_id} comes into being twice"))),
                }
            }
            JournalEntry::NodeInput {
                node_exec_id,
                name,
                value,
                at,
            } => {
                self.inputs.push(value_row(run.id, *node_exec_id, seq, name, value, *at));
                Ok(())
            }
            JournalEntry::NodeOutput {
                node_exec_id,
                name,
                value,
                at,
            } => {
                self.outputs.push(value_row(run.id, *node_exec_id, seq, name, value, *at));
                Ok(())
            }
            JournalEntry::NodeStatus {
                node_exec_id,
                status,
                execution_data,
                stats,
                at,
            } => {
                let change = self.nodes.entry(*node_exec_id).or_insert_with(|| NodeChange::new(run.id, None, *status));
                change.turn(*node_exec_id, *status, at.into_inner())?;
                change.execution_data = execution_data.as_ref().or(change.execution_data);
                change.stats = stats.as_ref().or(change.stats);
                Ok(())
            }
        }
    }

    fn run_status(&mut self, run: &mut RunRow, status: ExecutionStatus, stats: Option<&'a StoredStats>, at: Timestamp) -> Result<()> {
        if !run_may_turn(run.status, status) {
            return Err(Error::Illegal(format!("the run is {} and cannot become {status}", run.status)));
        }
        run.status = status;
        let change = self.runs.entry(run.id).or_default();
        change.first.get_or_insert(status);
        change.status = Some(status);
        change.stats = stats.or(change.stats);
        if status == ExecutionStatus::Running {
            change.started_at = Some(at.into_inner());
        }
        if status.is_terminal() {
            change.ended_at = Some(at.into_inner());
        }
        Ok(())
    }
}

impl NodeChange<'_> {
    fn new(graph_exec_id: GraphExecId, created: Option<Created>, status: ExecutionStatus) -> Self {
        Self {
            graph_exec_id,
            created,
            first: None,
            status,
            execution_data: None,
            stats: None,
            queued_at: None,
            started_at: None,
            ended_at: None,
        }
    }

    fn turn(&mut self, id: NodeExecId, to: ExecutionStatus, at: DateTime<Utc>) -> Result<()> {
        let known = self.created.is_some() || self.first.is_some();
        if known && !node_may_turn(self.status, to) {
            return Err(Error::Illegal(format!("node execution {id} is {} and cannot become {to}", self.status)));
        }
        self.first.get_or_insert(to);
        self.status = to;
        match to {
            ExecutionStatus::Queued => self.queued_at = Some(at),
            ExecutionStatus::Running => self.started_at = Some(at),
            ExecutionStatus::Completed | ExecutionStatus::Failed => self.ended_at = Some(at),
            // A terminated node has no end time (internals §2.11).
            ExecutionStatus::Terminated | ExecutionStatus::Incomplete | ExecutionStatus::Review => {}
        }
        Ok(())
    }

    /// Whether the change may be written over a stored row with this status.
    pub fn fits(&self, stored: ExecutionStatus) -> bool {
        node_may_turn(stored, self.first.unwrap_or(self.status))
    }

    /// Statuses that the stored row may have, as a comma-separated list.
    pub fn expected(&self) -> String {
        listed(|stored| self.fits(stored))
    }
}

/// A run that is taken over becomes RUNNING once more.
fn run_may_turn(from: ExecutionStatus, to: ExecutionStatus) -> bool {
    from == to || from.can_become(to)
}

fn listed(fits: impl Fn(ExecutionStatus) -> bool) -> String {
    let fitting = ExecutionStatus::ALL.into_iter().filter(|status| fits(*status));
    fitting.map(ExecutionStatus::as_str).collect::<Vec<_>>().join(",")
}

/// The contract's table, and what taking a run over needs: a node caught mid-flight is queued or started again.
fn node_may_turn(from: ExecutionStatus, to: ExecutionStatus) -> bool {
    from.can_become(to) || (from == ExecutionStatus::Running && matches!(to, ExecutionStatus::Queued | ExecutionStatus::Running))
}

fn applied(run: &RunRow) -> AppendOutcome {
    AppendOutcome::Applied {
        next_seq: run.journal_seq + 1,
        cancel_requested: run.cancel_requested,
        news: run.news,
    }
}

fn value_row<'a>(graph_exec_id: GraphExecId, node_exec_id: NodeExecId, seq: i64, name: &'a str, value: &'a Value, at: Timestamp) -> ValueRow<'a> {
    ValueRow {
        graph_exec_id,
        node_exec_id,
        seq,
        name,
        value,
        at: at.into_inner(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ExecutionStatus::{Completed, Incomplete, Queued, Running};

    const OWNER: Uuid = Uuid::from_u128(7);
    const RUN: Uuid = Uuid::from_u128(1);
    const NODE: Uuid = Uuid::from_u128(2);

    fn row(status: ExecutionStatus, journal_seq: i64) -> RunRow {
        RunRow {
            id: RUN,
            user_id: Uuid::nil(),
            status,
            owner: Some(OWNER),
            epoch: 3,
            journal_seq,
            cancel_requested: false,
            news: 0,
        }
    }

    fn batch(first_seq: i64, entries: Vec<JournalEntry>) -> JournalBatch {
        JournalBatch {
            graph_exec_id: RUN,
            epoch: 3,
            first_seq,
            news_seen: 0,
            entries,
        }
    }

    fn run_status(status: ExecutionStatus) -> JournalEntry {
        JournalEntry::RunStatus {
            status,
            stats: None,
            at: Timestamp::now(),
        }
    }

    fn node_status(status: ExecutionStatus) -> JournalEntry {
        JournalEntry::NodeStatus {
            node_exec_id: NODE,
            status,
            execution_data: None,
            stats: None,
            at: Timestamp::now(),
        }
    }

    fn applied_to(next_seq: i64) -> AppendOutcome {
        AppendOutcome::Applied {
            next_seq,
            cancel_requested: false,
            news: 0,
        }
    }

    #[test]
    fn a_range_that_overlaps_is_applied_from_where_it_is_new() {
        let entries = batch(3, vec![node_status(Queued), node_status(Running), node_status(Completed)]);
        let mut plan = JournalPlan::default();
        let mut run = row(Running, 4);
        assert_eq!(plan.add(OWNER, Some(&mut run), &entries).unwrap(), applied_to(6));
        assert_eq!(plan.nodes[&NODE].first, Some(Completed));
        assert_eq!(plan.nodes[&NODE].expected(), "RUNNING");
    }

    #[test]
    fn the_last_batch_sent_twice_is_ok_although_the_run_has_no_owner_any_more() {
        let entries = batch(5, vec![run_status(Completed)]);
        let mut run = row(Running, 4);
        assert_eq!(JournalPlan::default().add(OWNER, Some(&mut run), &entries).unwrap(), applied_to(6));
        assert_eq!(run.owner, None);
        assert_eq!(JournalPlan::default().add(OWNER, Some(&mut run), &entries).unwrap(), applied_to(6));
        let more = batch(6, vec![run_status(Completed)]);
        assert_eq!(JournalPlan::default().add(OWNER, Some(&mut run), &more).unwrap(), AppendOutcome::Stale);
    }

    #[test]
    fn gaps_are_asked_for_and_strangers_are_stale() {
        let entries = batch(6, vec![run_status(Completed)]);
        let gap = JournalPlan::default().add(OWNER, Some(&mut row(Running, 4)), &entries).unwrap();
        assert_eq!(gap, AppendOutcome::Retry { expected_seq: 5 });
        let other_owner = JournalPlan::default().add(Uuid::nil(), Some(&mut row(Running, 4)), &entries).unwrap();
        assert_eq!(other_owner, AppendOutcome::Stale);
        let mut newer = row(Running, 4);
        newer.epoch = 4;
        assert_eq!(
            JournalPlan::default().add(OWNER, Some(&mut newer), &entries).unwrap(),
            AppendOutcome::Stale
        );
        assert_eq!(JournalPlan::default().add(OWNER, None, &entries).unwrap(), AppendOutcome::Stale);
    }

    #[test]
    fn a_run_that_is_parked_while_there_is_news_goes_back_to_the_queue() {
        let suspended = JournalEntry::Suspended {
            stats: StoredStats::default(),
            at: Timestamp::now(),
        };
        for (entry, news, requeued) in [
            (suspended.clone(), 0, false),
            (suspended, 2, true),
            (run_status(ExecutionStatus::Review), 2, true),
            (run_status(Completed), 2, false),
        ] {
            let batch = batch(5, vec![entry]);
            let mut run = row(Running, 4);
            run.news = news;
            let mut plan = JournalPlan::default();
            plan.add(OWNER, Some(&mut run), &batch).unwrap();
            assert_eq!((plan.runs[&RUN].requeued, run.owner), (requeued, None), "{batch:?}");
        }
    }

    #[test]
    fn a_transition_that_the_contract_forbids_is_refused() {
        let entries = batch(1, vec![run_status(Completed)]);
        assert!(JournalPlan::default().add(OWNER, Some(&mut row(Queued, 0)), &entries).is_err());
        let created = JournalEntry::NodeCreated {
            node_exec_id: NODE,
            node_id: NODE,
            at: Timestamp::now(),
        };
        let entries = batch(1, vec![created, node_status(Completed)]);
        assert!(JournalPlan::default().add(OWNER, Some(&mut row(Running, 0)), &entries).is_err());
    }

    #[test]
    fn a_node_caught_mid_flight_may_start_again_and_a_finished_one_may_not() {
        assert!(node_may_turn(Running, Queued));
        assert!(node_may_turn(Running, Running));
        assert!(!node_may_turn(Completed, Queued));
        assert!(!node_may_turn(Completed, Running));
        assert!(!node_may_turn(Queued, Incomplete));
    }
}
