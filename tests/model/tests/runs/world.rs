//! The database, the network and two executors as one state, and everything that can happen to it.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;

use model::{AppendOutcome, ExecutionStatus, JournalBatch, JournalEntry, StoredStats, Timestamp};
use model_tests::invariants::{self, Breach, Kept};
use stateright::{Model, Property};
use store::rules::{History, JournalPlan, RunRow, Verdict, judge};
use uuid::Uuid;

use crate::executor::{Executor, Step};

pub const INVARIANTS: &str = "no invariant breaks";
pub const WAKES: &str = "no parked run sleeps through what it waits for";
pub const GIVEN_UP: &str = "a run that nobody gets on with is given up in time";
pub const CAN_END: &str = "whatever happened, every run ends once the faults do";

/// How much is explored.
#[derive(Debug, Clone)]
pub struct World {
    pub runs: usize,
    /// Claims that each process may send.
    pub claims: u8,
    /// How often a run may be taken: a doubled claim can go on for ever.
    pub epochs: i64,
    /// The first executor may die and be replaced.
    pub crashes: bool,
    pub cancels: bool,
    /// What the node of each run waits for.
    pub awaited: Await,
    /// Attempts in a row without progress that a run gets. None: they are not counted, and nothing rests between them.
    pub patience: Option<u32>,
    /// A release may arrive at any time, as any message; else at once or never.
    pub late_releases: bool,
    pub mutation: Mutation,
}

impl Default for World {
    fn default() -> Self {
        Self {
            runs: 1,
            claims: depth("MODEL_CLAIMS", 1),
            epochs: depth("MODEL_EPOCHS", 2),
            crashes: false,
            cancels: true,
            awaited: Await::Nothing,
            patience: None,
            late_releases: false,
            mutation: Mutation::None,
        }
    }
}

/// The tests explore what they can in seconds; the environment asks for more.
fn depth<T: FromStr>(name: &str, usual: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// What a node needs before it can complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Await {
    Nothing,
    /// The end of a run that it has started: its own run is suspended meanwhile.
    Run,
    /// A person's decision: its own run rests in REVIEW meanwhile.
    Person,
}

/// A rule that is taken away, to see that the search notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutation {
    None,
    /// An append is not compared with the epoch of the row.
    NoEpoch,
    /// Nodes with outside effects start however long ago the lease was renewed.
    NoTrust,
    /// A release takes the run whatever claim it is about.
    NoClaim,
    /// The sweep deletes the lease and leaves the runs.
    NoSweep,
    /// A cancel ends a run whatever its status.
    NoGuard,
    /// A run is parked whatever news its executor has not looked into.
    NoNews,
    /// A run counts as stranded while the claim that took it may still be answered.
    Hasty,
    /// A renewal does not compare what is worked on with what is owned.
    Reopened,
    /// A node that was being asked when news came is not asked again.
    Forgetful,
    /// The alarm of a run that rests does not ring.
    NoAlarm,
    /// A run that came back is not counted.
    NoCount,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    runs: Vec<Stored>,
    /// Owners with a row in `executor_leases`.
    leases: BTreeSet<u8>,
    executors: Vec<Executor>,
    /// Requests stay: each may arrive never, once or again at any time. Answers arrive once, or never.
    network: Network,
    /// The first that broke.
    breach: Option<Breach>,
    /// Witnesses that the search gets somewhere.
    changed_hands: bool,
    stopped_a_zombie: bool,
}

/// Messages under way, each once, in an order of no meaning that is always the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Network(Vec<Message>);

impl Network {
    fn place(&self, message: &Message) -> Result<usize, usize> {
        self.0.binary_search_by_key(&fingerprint(message), fingerprint)
    }

    fn insert(&mut self, message: Message) {
        if let Err(place) = self.place(&message) {
            self.0.insert(place, message);
        }
    }

    fn remove(&mut self, message: &Message) {
        if let Ok(place) = self.place(message) {
            self.0.remove(place);
        }
    }
}

fn fingerprint(message: &Message) -> u64 {
    let mut hasher = DefaultHasher::new();
    message.hash(&mut hasher);
    hasher.finish()
}

/// A run and its node as the database has them, and what only the search knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Stored {
    row: RunRow,
    node: ExecutionStatus,
    /// `suspended_at` is set.
    suspended: bool,
    /// What its node waits for has come.
    is_there: bool,
    /// What [`judge`] knows of it: `attempts` and `attempts_finished`.
    attempts: u32,
    finished_then: i64,
    /// `not_before` is set, and its alarm.
    rests: bool,
    /// How often it has come back since a node of it ended, counted by the search.
    returned: u32,
    /// (epoch, owner) of every entry that was applied.
    writers: Vec<(i64, u8)>,
    /// Somebody who asked for the end has seen it.
    acknowledged: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Entry {
    Run(ExecutionStatus),
    Node(ExecutionStatus),
    Suspended,
}

/// A run as a claim hands it over.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Grant {
    pub run: usize,
    pub epoch: i64,
    pub next_seq: i64,
    pub status: ExecutionStatus,
    pub node: ExecutionStatus,
    pub cancel_requested: bool,
    pub news: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    Applied { next_seq: i64, cancel_requested: bool, news: i64 },
    Retry { expected_seq: i64 },
    Stale,
    Rejected,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Message {
    Claim {
        owner: u8,
        call: u8,
    },
    Claimed {
        owner: u8,
        call: u8,
        grant: Option<Grant>,
    },
    Append {
        owner: u8,
        run: usize,
        epoch: i64,
        first_seq: i64,
        news_seen: i64,
        entries: Vec<Entry>,
    },
    Appended {
        owner: u8,
        run: usize,
        epoch: i64,
        first_seq: i64,
        answer: Answer,
    },
    Release {
        owner: u8,
        run: usize,
        epoch: i64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Deliver(Message),
    Claim(usize),
    /// The call took too long: its answer will not be heard.
    ForgetClaim(usize),
    Work(usize, usize),
    Renew(usize),
    /// Time passes without a renewal: first its executor does not count on the lease any more, then the sweeper takes it. That ten
    /// seconds come before fifteen is all that this takes for granted; in between an executor does nothing that a slow one would not.
    Sweep(u8),
    Crash(usize),
    Cancel(usize),
    /// The run that a node waits for ends, or the person decides.
    Arrives(usize),
    /// A run has rested long enough.
    Ring(usize),
    /// Who asked for the end of a run sees that it is over.
    Acknowledge(usize),
}

fn uuid(number: u8) -> Uuid {
    Uuid::from_u128(u128::from(number) + 1)
}

fn node_of(run: usize) -> Uuid {
    Uuid::from_u128(0x100 + run as u128)
}

fn journal_entry(run: usize, entry: Entry) -> JournalEntry {
    let at = Timestamp::from(chrono::DateTime::UNIX_EPOCH);
    match entry {
        Entry::Run(status) => JournalEntry::RunStatus { status, stats: None, at },
        Entry::Suspended => JournalEntry::Suspended {
            stats: StoredStats::default(),
            at,
        },
        Entry::Node(status) => JournalEntry::NodeStatus {
            node_exec_id: node_of(run),
            status,
            execution_data: None,
            stats: None,
            at,
        },
    }
}

impl Stored {
    /// Where attempts are counted, one has been made in vain: the next one in vain makes the run rest.
    fn new(run: usize, world: &World) -> Self {
        let in_vain = u32::from(world.patience.is_some());
        Self {
            row: RunRow {
                id: Uuid::from_u128(0x200 + run as u128),
                user_id: Uuid::nil(),
                status: ExecutionStatus::Queued,
                owner: None,
                epoch: 0,
                journal_seq: 0,
                cancel_requested: false,
                news: 0,
            },
            node: ExecutionStatus::Queued,
            suspended: false,
            is_there: false,
            attempts: in_vain,
            finished_then: 0,
            rests: false,
            returned: in_vain,
            writers: Vec::new(),
            acknowledged: false,
        }
    }

    /// What `control::finish` does beside the status of a run that it ended.
    fn node_ends(&mut self) {
        self.suspended &= !self.row.status.is_terminal();
        if matches!(self.node, ExecutionStatus::Queued | ExecutionStatus::Running | ExecutionStatus::Review) && self.row.status.is_terminal() {
            self.node = self.row.status;
        }
    }

    /// `control::tell_news` and `reviews::go_on`, in the transaction that ends the child or notes the decision.
    fn arrives(&mut self) {
        self.is_there = true;
        if self.row.status.is_terminal() {
            return;
        }
        self.row.news += 1;
        if self.is_parked() {
            self.suspended = false;
            self.row.status = ExecutionStatus::Queued;
        }
    }

    /// Nobody works on it, and it waits for another run or a person.
    fn is_parked(&self) -> bool {
        self.suspended || self.row.status == ExecutionStatus::Review
    }

    fn is_claimable(&self) -> bool {
        self.row.is_claimable() && !self.rests
    }

    fn is_given_up(&self) -> bool {
        self.returned > 0 && self.row.status == ExecutionStatus::Failed
    }

    /// Handed over by who had it.
    fn give_back(&mut self) {
        self.row.give_back();
        self.rests = false;
        self.node_ends();
    }

    /// `sweep::take_back`: taken from who had it.
    fn take_back(&mut self, world: &World) {
        let Some(patience) = world.patience.filter(|_| !self.row.status.is_terminal() && !self.row.cancel_requested) else {
            return self.give_back();
        };
        let finished_now = i64::from(self.node.is_terminal());
        self.returned = if finished_now > self.finished_then { 1 } else { self.returned + 1 };
        let history = History {
            attempts: if world.mutation == Mutation::NoCount { 0 } else { self.attempts },
            finished_then: self.finished_then,
            finished_now,
        };
        self.finished_then = finished_now;
        match judge(history, patience, 0.0) {
            Verdict::Again { attempts, wait } => {
                self.attempts = attempts;
                self.give_back();
                self.rests = !wait.is_zero();
            }
            Verdict::Dead { attempts } => {
                self.attempts = attempts;
                self.row.finish(ExecutionStatus::Failed);
                self.node_ends();
            }
        }
    }

    /// `journal::append_journal` for one batch: judged by the plan, written when the stored nodes allow it, else the run is FAILED.
    fn append(&mut self, run: usize, owner: u8, batch: &JournalBatch) -> Answer {
        let mut row = self.row.clone();
        let mut plan = JournalPlan::default();
        let outcome = plan.add(uuid(owner), Some(&mut row), batch);
        let node = plan.nodes.get(&node_of(run));
        match outcome {
            Ok(outcome) if node.is_none_or(|change| change.fits(self.node)) => {
                self.node = node.map_or(self.node, |change| change.status);
                self.row = row;
                if let Some(change) = plan.runs.get(&self.row.id) {
                    self.row.status = change.stored_status().unwrap_or(self.row.status);
                    self.suspended = change.suspended_at.is_some() && !change.requeued;
                }
                match outcome {
                    AppendOutcome::Applied {
                        next_seq,
                        cancel_requested,
                        news,
                    } => Answer::Applied {
                        next_seq,
                        cancel_requested,
                        news,
                    },
                    AppendOutcome::Retry { expected_seq } => Answer::Retry { expected_seq },
                    AppendOutcome::Stale => Answer::Stale,
                    AppendOutcome::Rejected { .. } => Answer::Rejected,
                }
            }
            _ => {
                if self.row.owner == Some(uuid(owner)) && self.row.epoch == batch.epoch {
                    self.row.finish(ExecutionStatus::Failed);
                    self.node_ends();
                }
                Answer::Rejected
            }
        }
    }
}

impl State {
    fn new(world: &World) -> Self {
        Self {
            runs: (0..world.runs).map(|run| Stored::new(run, world)).collect(),
            leases: BTreeSet::new(),
            executors: vec![Executor::new(0), Executor::new(1)],
            network: Network::default(),
            breach: None,
            changed_hands: false,
            stopped_a_zombie: false,
        }
    }

    fn note(&mut self, kept: Kept) {
        if let (None, Err(breach)) = (&self.breach, kept) {
            self.breach = Some(breach);
        }
    }

    /// The process of an owner, while it lives.
    fn process(&mut self, owner: u8) -> Option<&mut Executor> {
        self.executors.iter_mut().find(|executor| executor.owner == owner)
    }

    fn deliver(&mut self, world: &World, message: Message) {
        match message {
            Message::Claim { owner, call } => {
                self.leases.insert(owner);
                let claimable = self.runs.iter().position(Stored::is_claimable);
                let grant = claimable.map(|run| {
                    let stored = &mut self.runs[run];
                    self.changed_hands |= stored.row.epoch > 0;
                    stored.row.claim(uuid(owner));
                    Grant {
                        run,
                        epoch: stored.row.epoch,
                        next_seq: stored.row.journal_seq + 1,
                        status: stored.row.status,
                        node: stored.node,
                        cancel_requested: stored.row.cancel_requested,
                        news: stored.row.news,
                    }
                });
                // The answer to a call that nobody waits for is heard by nobody.
                if self.process(owner).is_some_and(|executor| executor.call == Some(call)) {
                    self.network.insert(Message::Claimed { owner, call, grant });
                }
            }
            Message::Claimed { owner, call, ref grant } => {
                self.network.remove(&message);
                let Some(executor) = self.process(owner) else { return };
                if executor.call == Some(call) {
                    executor.call = None;
                    if let Some(grant) = grant {
                        executor.begin(grant);
                    }
                }
            }
            Message::Append {
                owner,
                run,
                epoch,
                first_seq,
                news_seen,
                entries,
            } => self.append(world, owner, run, (epoch, first_seq, news_seen), &entries),
            Message::Appended {
                owner,
                run,
                epoch,
                first_seq,
                answer,
            } => {
                self.network.remove(&message);
                self.stopped_a_zombie |= answer == Answer::Stale;
                let Some(executor) = self.process(owner) else { return };
                if executor.work.get(&run).is_some_and(|work| work.awaits(epoch, first_seq)) {
                    executor.settle(run, answer);
                    self.flush(owner, run);
                }
            }
            Message::Release { owner, run, epoch } => {
                let stored = &mut self.runs[run];
                let is_same_claim = stored.row.epoch == epoch || world.mutation == Mutation::NoClaim;
                if stored.row.owner == Some(uuid(owner)) && is_same_claim {
                    stored.give_back();
                }
            }
        }
    }

    fn append(&mut self, world: &World, owner: u8, run: usize, (epoch, first_seq, news_seen): (i64, i64, i64), entries: &[Entry]) {
        let stored = &mut self.runs[run];
        let before = stored.clone();
        let mut batch = JournalBatch {
            graph_exec_id: stored.row.id,
            epoch,
            first_seq,
            news_seen: if world.mutation == Mutation::NoNews { i64::MAX } else { news_seen },
            entries: entries.iter().map(|entry| journal_entry(run, *entry)).collect(),
        };
        if world.mutation == Mutation::NoEpoch {
            batch.epoch = stored.row.epoch;
        }
        let answer = stored.append(run, owner, &batch);
        let applied = stored.row.journal_seq - before.row.journal_seq;
        stored.writers.extend((0..applied).map(|_| (epoch, owner)));
        let after = stored.clone();
        if applied > 0 {
            // The row says whose turn it is.
            self.note(invariants::one_writer(&[
                (before.row.epoch, before.row.owner),
                (epoch, Some(uuid(owner))),
            ]));
        }
        self.note(invariants::one_writer(&after.writers));
        self.note(invariants::final_is_final(before.row.status, &before, &after));
        self.note(invariants::gapless(after.writers.len() as i64, after.row.journal_seq));
        let starts = after.node == ExecutionStatus::Running && before.node != after.node;
        self.note(invariants::no_start_after_cancel(starts && before.acknowledged));
        let awaited = |executor: &mut Executor| executor.work.get(&run).is_some_and(|work| work.awaits(epoch, first_seq));
        if self.process(owner).is_some_and(awaited) {
            self.network.insert(Message::Appended {
                owner,
                run,
                epoch,
                first_seq,
                answer,
            });
        }
    }

    fn flush(&mut self, owner: u8, run: usize) {
        let batch = self.process(owner).and_then(|executor| executor.work.get_mut(&run)?.flush(owner, run));
        batch.into_iter().for_each(|message| self.network.insert(message));
    }

    fn work(&mut self, world: &World, executor: usize, run: usize) {
        let Executor { owner, trusted, .. } = self.executors[executor];
        let trusted = trusted || world.mutation == Mutation::NoTrust;
        let Some(work) = self.executors[executor].work.get_mut(&run) else {
            return;
        };
        let is_there = self.runs[run].is_there || world.awaited == Await::Nothing;
        let step = work.step(trusted, world.awaited, is_there, world.mutation == Mutation::Forgetful);
        if step == Step::StartedEffect {
            let acknowledged = self.runs[run].acknowledged;
            self.note(invariants::no_start_after_cancel(acknowledged));
        }
        self.flush(owner, run);
    }

    fn renew(&mut self, world: &World, executor: usize) {
        let owner = self.executors[executor].owner;
        let executor = &mut self.executors[executor];
        if !self.leases.contains(&owner) {
            executor.lose_everything();
            return;
        }
        executor.trusted = true;
        // A claim may have opened the lease again: what was taken away in between is lost all the same.
        if world.mutation != Mutation::Reopened {
            let runs = &self.runs;
            executor
                .work
                .retain(|run, work| runs[*run].row.owner == Some(uuid(owner)) && runs[*run].row.epoch == work.epoch);
        }
        let mut unknown = BTreeSet::new();
        for (run, stored) in self.runs.iter().enumerate().filter(|(_, stored)| stored.row.owner == Some(uuid(owner))) {
            match executor.work.get_mut(&run) {
                Some(work) => {
                    work.cancelled |= stored.row.cancel_requested;
                    work.hear(stored.row.news);
                }
                // The answer to a claim that is under way may still come.
                None if executor.call.is_some() && world.mutation != Mutation::Hasty => {}
                None => {
                    unknown.insert((run, stored.row.epoch));
                }
            }
        }
        let stranded: Vec<(usize, i64)> = unknown.intersection(&executor.unknown).copied().collect();
        executor.unknown = unknown;
        for (run, epoch) in stranded {
            if world.late_releases {
                self.network.insert(Message::Release { owner, run, epoch });
            } else {
                self.runs[run].give_back();
            }
        }
    }

    fn sweep(&mut self, world: &World, owner: u8) {
        self.leases.remove(&owner);
        if let Some(executor) = self.process(owner) {
            executor.trusted = false;
        }
        for stored in &mut self.runs {
            if stored.row.owner == Some(uuid(owner)) && world.mutation != Mutation::NoSweep {
                stored.take_back(world);
            }
        }
    }

    fn cancel(&mut self, world: &World, run: usize) {
        let stored = &mut self.runs[run];
        let before = stored.row.clone();
        if world.mutation == Mutation::NoGuard && stored.row.status.is_terminal() {
            stored.row.status = ExecutionStatus::Terminated;
            stored.row.cancel_requested = true;
        }
        stored.row.request_cancel();
        stored.node_ends();
        let after = stored.row.clone();
        self.note(invariants::final_is_final(before.status, &before, &after));
    }

    /// [`State::can_end`], which only the database's part decides, asked once for each of them.
    fn can_still_end(&self, world: &World) -> bool {
        type Known = HashMap<(Mutation, Await, Option<u32>, Vec<Stored>, BTreeSet<u8>), bool>;
        thread_local! {
            static KNOWN: RefCell<Known> = RefCell::default();
        }
        let part = (world.mutation, world.awaited, world.patience, self.runs.clone(), self.leases.clone());
        let known = KNOWN.with_borrow(|known| known.get(&part).copied());
        known.unwrap_or_else(|| {
            let can_end = self.can_end(world);
            KNOWN.with_borrow_mut(|known| known.insert(part, can_end));
            can_end
        })
    }

    /// From here on nothing fails: the executors of now fall silent, their leases run out, and a healthy one takes every run.
    fn can_end(&self, world: &World) -> bool {
        let mut state = self.clone();
        state.network = Network::default();
        for run in state.runs.iter_mut().filter(|run| !run.is_there) {
            run.arrives();
        }
        for owner in std::mem::take(&mut state.leases) {
            state.sweep(world, owner);
        }
        for run in &mut state.runs {
            run.rests &= world.mutation == Mutation::NoAlarm;
        }
        state.executors = vec![Executor::new(u8::MAX)];
        for run in 0..state.runs.len() {
            let call = run as u8;
            state.executors[0].trusted = true;
            state.executors[0].call = Some(call);
            state.deliver(world, Message::Claim { owner: u8::MAX, call });
            for _ in 0..40 {
                if let Some(message) = state.network.0.iter().find(|message| message.is_answer()).cloned() {
                    state.deliver(world, message);
                } else if let Some(message) = state.network.0.first().cloned() {
                    state.network.remove(&message);
                    state.deliver(world, message);
                } else {
                    let working: Vec<usize> = state.executors[0].work.keys().copied().collect();
                    for run in working {
                        state.work(world, 0, run);
                    }
                }
            }
        }
        state.runs.iter().all(|run| run.row.status.is_terminal())
    }
}

impl Message {
    fn is_answer(&self) -> bool {
        matches!(self, Self::Claimed { .. } | Self::Appended { .. })
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let is_fresh = |run: &Stored| run.row.epoch < self.epochs;
        let next = state.runs.iter().find(|run| run.is_claimable());
        let may_claim = next.map_or_else(|| state.runs.iter().any(is_fresh), is_fresh);
        let arrives = |message: &&Message| may_claim || !matches!(message, Message::Claim { .. });
        actions.extend(state.network.0.iter().filter(arrives).cloned().map(Action::Deliver));
        for (index, executor) in state.executors.iter().enumerate() {
            match executor.call {
                None if executor.calls < self.claims && executor.work.is_empty() => actions.push(Action::Claim(index)),
                None => {}
                Some(_) => actions.push(Action::ForgetClaim(index)),
            }
            actions.extend(executor.work.keys().map(|run| Action::Work(index, *run)));
            actions.push(Action::Renew(index));
        }
        actions.extend(state.leases.iter().map(|owner| Action::Sweep(*owner)));
        if self.crashes && state.executors[0].owner == 0 {
            actions.push(Action::Crash(0));
        }
        for (run, stored) in state.runs.iter().enumerate() {
            if self.cancels && !stored.row.cancel_requested {
                actions.push(Action::Cancel(run));
            }
            let is_awaited = matches!(stored.node, ExecutionStatus::Running | ExecutionStatus::Review);
            if self.awaited != Await::Nothing && !stored.is_there && is_awaited {
                actions.push(Action::Arrives(run));
            }
            if stored.rests && self.mutation != Mutation::NoAlarm {
                actions.push(Action::Ring(run));
            }
            if stored.row.cancel_requested && stored.row.status.is_terminal() && !stored.acknowledged {
                actions.push(Action::Acknowledge(run));
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Deliver(message) => state.deliver(self, message),
            Action::Claim(executor) => {
                let executor = &mut state.executors[executor];
                executor.call = Some(executor.calls);
                let claim = Message::Claim {
                    owner: executor.owner,
                    call: executor.calls,
                };
                executor.calls += 1;
                state.network.insert(claim);
            }
            Action::ForgetClaim(executor) => state.executors[executor].call = None,
            Action::Work(executor, run) => {
                state.work(self, executor, run);
            }
            Action::Renew(executor) => state.renew(self, executor),
            Action::Sweep(owner) => state.sweep(self, owner),
            Action::Crash(executor) => state.executors[executor] = Executor::new(2),
            Action::Cancel(run) => state.cancel(self, run),
            Action::Arrives(run) => state.runs[run].arrives(),
            Action::Ring(run) => state.runs[run].rests = false,
            Action::Acknowledge(run) => state.runs[run].acknowledged = true,
        }
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(INVARIANTS, |_, state: &State| state.breach.is_none()),
            Property::always("every run is over, held, or waits for something", |_, state: &State| {
                let known = |run: &Stored| run.suspended || invariants::waits_for_something(run.row.status, run.row.owner.is_some()).is_ok();
                state.runs.iter().all(known)
            }),
            Property::always(WAKES, |_, state: &State| !state.runs.iter().any(|run| run.is_parked() && run.is_there)),
            Property::always(GIVEN_UP, |world: &World, state: &State| {
                let in_time = |run: &Stored, patience| run.returned < patience || run.row.status.is_terminal();
                world.patience.is_none_or(|patience| state.runs.iter().all(|run| in_time(run, patience)))
            }),
            Property::always("what was acknowledged to an executor is in the journal", |_, state: &State| {
                let mut works = state.executors.iter().flat_map(|executor| &executor.work);
                works.all(|(run, work)| work.durable - 1 <= state.runs[*run].row.journal_seq)
            }),
            Property::always(CAN_END, |world: &World, state: &State| state.can_still_end(world)),
            Property::sometimes("a run completes", |_, state: &State| {
                state.runs.iter().all(|run| run.row.status == ExecutionStatus::Completed)
            }),
            Property::sometimes("a zombie is stopped", |_, state: &State| state.stopped_a_zombie),
        ];
        if self.patience.is_some() {
            properties.extend([
                Property::sometimes("a run rests", |_, state: &State| state.runs.iter().any(|run| run.rests)),
                Property::sometimes("a run is given up", |_, state: &State| state.runs.iter().any(Stored::is_given_up)),
            ]);
        }
        if self.epochs > 1 {
            properties.push(Property::sometimes("a run changes hands", |_, state: &State| state.changed_hands));
        }
        properties
    }
}
