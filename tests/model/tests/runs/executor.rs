//! The executor's side: what its intake and its run tasks do, a step at a time.

use std::collections::{BTreeMap, BTreeSet};

use model::ExecutionStatus::{self, Completed, Queued, Review, Running, Terminated};

use crate::world::{Answer, Await, Entry, Grant, Message};

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Executor {
    pub owner: u8,
    /// Its lease was confirmed not long ago (`lease.rs`).
    pub trusted: bool,
    /// The claim that is not answered yet.
    pub call: Option<u8>,
    pub calls: u8,
    pub work: BTreeMap<usize, Work>,
    /// Runs that the last renewal named although nobody here works on them (`intake.rs`).
    pub unknown: BTreeSet<(usize, i64)>,
}

/// The work on one run (`task.rs`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Work {
    pub epoch: i64,
    status: ExecutionStatus,
    node: ExecutionStatus,
    /// Every entry before this position is durable.
    pub durable: i64,
    backlog: Vec<Entry>,
    /// How many entries are on their way.
    in_transit: usize,
    effect: Effect,
    /// The latest news that was heard of, and what the waiting node has been asked about.
    news: i64,
    news_seen: i64,
    pub cancelled: bool,
    ended: bool,
}

/// The node has effects outside: it waits until its RUNNING is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Effect {
    None,
    Held {
        durable_from: i64,
    },
    Started,
    /// It has looked, and what it waits for was not there. It has not said so yet; when it looked, so much news was known.
    Looked {
        news_seen: i64,
    },
    /// It waits for its child, or in REVIEW for a person.
    Waiting,
}

/// What a step of work did.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Nothing,
    Wrote,
    StartedEffect,
}

impl Executor {
    pub fn new(owner: u8) -> Self {
        Self {
            owner,
            trusted: false,
            call: None,
            calls: 0,
            work: BTreeMap::new(),
            unknown: BTreeSet::new(),
        }
    }

    /// Its runs are somebody else's now, or may be.
    pub fn lose_everything(&mut self) {
        self.trusted = false;
        self.work.clear();
    }

    pub fn begin(&mut self, grant: &Grant) {
        let work = Work {
            epoch: grant.epoch,
            status: grant.status,
            node: grant.node,
            durable: grant.next_seq,
            backlog: Vec::new(),
            in_transit: 0,
            effect: Effect::None,
            news: grant.news,
            news_seen: grant.news,
            cancelled: grant.cancel_requested,
            ended: false,
        };
        self.work.insert(grant.run, work);
    }

    /// Follows the answer to a batch. False when the run is lost.
    pub fn settle(&mut self, run: usize, answer: Answer) {
        let Some(work) = self.work.get_mut(&run) else { return };
        let goes_on = match answer {
            Answer::Applied {
                next_seq,
                cancel_requested,
                news,
            } => {
                work.cancelled |= cancel_requested;
                work.hear(news);
                work.has_reached(next_seq)
            }
            Answer::Retry { expected_seq } => work.has_reached(expected_seq),
            Answer::Stale | Answer::Rejected => false,
        };
        if !goes_on || (work.ended && work.backlog.is_empty()) {
            self.work.remove(&run);
        }
    }
}

impl Work {
    /// Whether a batch that begins here is on its way.
    pub fn awaits(&self, epoch: i64, first_seq: i64) -> bool {
        self.in_transit > 0 && self.epoch == epoch && self.durable == first_seq
    }

    fn next_seq(&self) -> i64 {
        self.durable + self.backlog.len() as i64
    }

    fn has_reached(&mut self, position: i64) -> bool {
        self.in_transit = 0;
        let known = (self.durable..=self.next_seq()).contains(&position);
        if known {
            self.backlog.drain(..(position - self.durable) as usize);
            self.durable = position;
        }
        known
    }

    /// The next batch, when none is on its way.
    pub fn flush(&mut self, owner: u8, run: usize) -> Option<Message> {
        if self.in_transit > 0 || self.backlog.is_empty() {
            return None;
        }
        self.in_transit = self.backlog.len();
        Some(Message::Append {
            owner,
            run,
            epoch: self.epoch,
            first_seq: self.durable,
            news_seen: self.news_seen,
            entries: self.backlog.clone(),
        })
    }

    pub fn hear(&mut self, news: i64) {
        self.news = self.news.max(news);
    }

    /// The waiting node is asked again: one that is being asked answers for itself, see [`Work::step`]. One in REVIEW begins again.
    fn recheck(&mut self) {
        if self.effect == Effect::Waiting {
            self.effect = if self.node == Review { Effect::None } else { Effect::Started };
        }
    }

    /// The next thing that the run's task does by itself. `awaited` is what its node waits for, `is_there` what the node reads when it
    /// looks, `forgetful` is a task that does not ask a node again when news came while it was being asked.
    pub fn step(&mut self, trusted: bool, awaited: Await, is_there: bool, forgetful: bool) -> Step {
        if self.ended {
            return Step::Nothing;
        }
        if self.cancelled && self.status == Running {
            if matches!(self.node, Queued | Running | Review) {
                self.write(Entry::Node(Terminated));
            }
            self.write(Entry::Run(Terminated));
            return Step::Wrote;
        }
        if self.news_seen < self.news && self.status == Running {
            self.news_seen = self.news;
            self.recheck();
            return Step::Wrote;
        }
        match (self.status, self.node, self.effect) {
            (Running, Queued, _) | (Running, Review, Effect::None) => {
                self.write(Entry::Node(Running));
                self.hold();
                Step::Wrote
            }
            // It was caught in flight and runs again.
            (Running, Running, Effect::None) => {
                self.hold();
                Step::Wrote
            }
            (Running, Running, Effect::Held { durable_from }) if self.durable >= durable_from && trusted => {
                self.effect = Effect::Started;
                Step::StartedEffect
            }
            (Running, Running, Effect::Held { .. }) => Step::Nothing,
            (Running, Running, Effect::Started) if is_there => {
                self.write(Entry::Node(Completed));
                Step::Wrote
            }
            (Running, Running, Effect::Started) => {
                self.effect = Effect::Looked { news_seen: self.news_seen };
                Step::Wrote
            }
            (Running, Running, Effect::Looked { news_seen }) => {
                if awaited == Await::Person {
                    self.write(Entry::Node(Review));
                }
                self.effect = Effect::Waiting;
                if news_seen < self.news_seen && !forgetful {
                    self.recheck();
                }
                Step::Wrote
            }
            (Running, Running, Effect::Waiting) => {
                self.write(Entry::Suspended);
                Step::Wrote
            }
            (Running, Review, _) => {
                self.write(Entry::Run(Review));
                Step::Wrote
            }
            (Running, ..) => {
                self.write(Entry::Run(Completed));
                Step::Wrote
            }
            _ => {
                self.write(Entry::Run(Running));
                Step::Wrote
            }
        }
    }

    fn hold(&mut self) {
        self.effect = Effect::Held {
            durable_from: self.next_seq(),
        };
    }

    fn write(&mut self, entry: Entry) {
        match entry {
            Entry::Run(status) => {
                self.status = status;
                self.ended = status.is_terminal() || status == Review;
            }
            Entry::Node(status) => self.node = status,
            Entry::Suspended => self.ended = true,
        }
        self.backlog.push(entry);
    }
}
