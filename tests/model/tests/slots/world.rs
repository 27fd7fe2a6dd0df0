//! The API server, the platform and two operators as one state, and everything that can happen to it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::{DateTime, TimeDelta, Utc};
use crds::schedule::GraphScheduleStatus;
use operator::schedule::decided::{self, Word};
use operator::schedule::{book, family};
use schedule::decide::{Book, CatchUp, Due, Effect, End, Outcome, Overlap, Policy, Slots, Wishes, step};
use stateright::{Model, Property};

pub const ONE_RUN: &str = "a slot has one run at most";
pub const AS_DECIDED: &str = "what runs was decided to run, and that is stored";
pub const ONE_DECISION: &str = "a slot has one decision at most";
pub const COMPLETE: &str = "whatever happened, every slot is decided and what was fired runs, once the faults end";

/// 2026-01-01. Slots are a minute apart: each is later than being on time when the next one comes.
const BEGIN: i64 = 1_767_225_600;
const APART: i64 = 60;
/// A healthy operator needs no more rounds than this.
const ROUNDS: usize = 60;

/// How much is explored.
#[derive(Debug, Clone)]
pub struct World {
    pub leaders: usize,
    pub slots: u8,
    pub crashes: u8,
    /// Executions that somebody deletes by hand.
    pub deletions: u8,
    /// Runs end; otherwise they take longer than all slots.
    pub ends: bool,
    pub overlap: Overlap,
    pub mutation: Mutation,
}

impl Default for World {
    fn default() -> Self {
        Self {
            leaders: 2,
            slots: 3,
            crashes: 2,
            deletions: 0,
            ends: false,
            overlap: Overlap::Allow,
            mutation: Mutation::None,
        }
    }
}

/// A rule that is taken away, to see that the search notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutation {
    None,
    /// An execution that exists is submitted, whatever the stored status says.
    NoGate,
    /// The same, and the key of a submission is the object's instead of the slot's.
    NoGateNorKey,
    /// The status is written whatever version is stored.
    NoPrecondition,
    /// An operator trusts its own decision before it is stored.
    Hasty,
}

/// An execution as the API server has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Child {
    /// Which of the objects that had this name.
    uid: u8,
    /// It has the finalizer: it may be submitted.
    held: bool,
    /// Its status names its run.
    noted: bool,
    over: bool,
}

/// A schedule's status with its version.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Stored {
    version: u8,
    book: Book,
}

/// A look that is being carried out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Look {
    /// The version that it looked at.
    basis: u8,
    effects: Vec<Effect>,
    creates: BTreeSet<u8>,
    next: Book,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// So many slots have come.
    now: u8,
    stored: Stored,
    /// By slot.
    children: BTreeMap<u8, Child>,
    /// Executions that there have been.
    objects: u8,
    /// The runs of the platform: slot, and what the key of the submission has besides.
    runs: BTreeSet<(u8, Option<u8>)>,
    operators: Vec<Operator>,
    crashes: u8,
    deletions: u8,
    deleted: BTreeSet<u8>,
}

/// One operator, which believes that it leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Operator {
    /// The schedule as its cache shows it, or as it has written it itself.
    seen: Stored,
    /// The executions as its cache shows them.
    family: BTreeMap<u8, Child>,
    look: Option<Look>,
    /// Executions that it has decided to run, and stored that, and not been asked about: it says yes without asking the server.
    decided: BTreeSet<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The next slot comes.
    Tick,
    /// The watch of schedules, or of executions, brings what is stored now.
    SeeSchedule(usize),
    SeeChildren(usize),
    Look(usize),
    /// The next request of a look.
    Act(usize),
    /// The status is written.
    Write(usize),
    Permit(usize, u8),
    Submit(usize, u8),
    Note(u8),
    Crash(usize),
    RunEnds(u8),
    Delete(u8),
}

/// The calendar.
struct Minutes(u8);

impl Slots for Minutes {
    fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        (1..=self.0).map(time).find(|slot| *slot > instant)
    }

    fn last_at_or_before(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        (1..=self.0).rev().map(time).find(|slot| *slot <= instant)
    }
}

fn time(slot: u8) -> DateTime<Utc> {
    DateTime::from_timestamp(BEGIN + APART * i64::from(slot), 0).unwrap()
}

fn due(slot: u8) -> Due {
    Due::at(time(slot))
}

fn slot(due: &Due) -> u8 {
    u8::try_from((due.slot.timestamp() - BEGIN) / APART).unwrap()
}

impl Operator {
    /// A process that has just filled its caches.
    fn new(stored: &Stored, children: &BTreeMap<u8, Child>) -> Self {
        Self {
            seen: stored.clone(),
            family: children.clone(),
            look: None,
            decided: BTreeSet::new(),
        }
    }
}

impl State {
    fn new(world: &World) -> Self {
        let stored = Stored {
            version: 0,
            book: Book::default(),
        };
        Self {
            now: 0,
            children: BTreeMap::new(),
            objects: 0,
            runs: BTreeSet::new(),
            operators: vec![Operator::new(&stored, &BTreeMap::new()); world.leaders],
            stored,
            crashes: world.crashes,
            deletions: world.deletions,
            deleted: BTreeSet::new(),
        }
    }

    /// What `operator::schedule::look` makes of what an operator sees; nothing when there is nothing to do.
    fn look(&self, world: &World, index: usize) -> Option<Look> {
        let operator = &self.operators[index];
        let mut book = operator.seen.book.clone();
        for active in book.active.clone() {
            match operator.family.get(&slot(&active)) {
                // The cache does not have it: the server is asked.
                None if !self.children.contains_key(&slot(&active)) => drop(book.settle(&active, End::Neither)),
                Some(child) if child.over => drop(book.settle(&active, End::Succeeded)),
                _ => {}
            }
        }
        let wishes = Wishes {
            policy: Policy {
                overlap: world.overlap,
                catch_up: CatchUp::All(10),
                ..Policy::default()
            },
            floor: time(0),
            delay: TimeDelta::zero(),
            suspended: None,
            resumed: time(0),
            trouble: None,
            run_now: None,
            backfills: Vec::new(),
            made: operator
                .family
                .keys()
                .map(|slot| due(*slot))
                .filter(|due| !family::is_decided(&book, due))
                .collect(),
        };
        let step = step(&mut book, &wishes, &Minutes(world.slots), time(self.now));
        // When and in which words does not matter here.
        for entry in &mut book.recent {
            entry.decided_at = entry.due.slot;
            entry.reason.clear();
        }
        let creates = step.effects.iter().filter_map(|effect| match effect {
            Effect::Create(due) => Some(slot(due)),
            Effect::Cancel(_) => None,
        });
        let look = Look {
            basis: operator.seen.version,
            creates: creates.collect(),
            effects: step.effects,
            next: book,
        };
        (look.next != operator.seen.book || !look.effects.is_empty()).then_some(look)
    }

    fn begin_look(&mut self, world: &World, index: usize) {
        let Some(look) = self.look(world, index) else { return };
        self.operators[index].look = Some(look);
    }

    /// The name is the lock: one that exists already is this one.
    fn act(&mut self, index: usize) {
        let Some(look) = &mut self.operators[index].look else { return };
        if look.effects.is_empty() {
            return;
        }
        match look.effects.remove(0) {
            Effect::Create(due) => {
                let uid = self.objects;
                let child = Child {
                    uid,
                    held: false,
                    noted: false,
                    over: false,
                };
                if let std::collections::btree_map::Entry::Vacant(place) = self.children.entry(slot(&due)) {
                    place.insert(child);
                    self.objects += 1;
                }
            }
            Effect::Cancel(due) => {
                if let Some(child) = self.children.get_mut(&slot(&due)) {
                    child.over = true;
                }
            }
        }
    }

    fn write(&mut self, world: &World, index: usize) {
        let stored = self.stored.clone();
        let operator = &mut self.operators[index];
        let Some(look) = operator.look.take() else { return };
        let unchanged = look.next == operator.seen.book;
        if look.basis == stored.version || world.mutation == Mutation::NoPrecondition || unchanged {
            if !unchanged {
                self.stored = Stored {
                    version: stored.version + 1,
                    book: look.next,
                };
            }
            // Without deletions the server would say the same.
            if world.deletions > 0 {
                operator.decided.extend(&look.creates);
            }
            operator.seen = if unchanged { operator.seen.clone() } else { self.stored.clone() };
        } else {
            operator.seen = stored;
        }
    }

    /// Whether an operator may submit an execution that nobody has marked yet, and the mark.
    fn permit(&mut self, world: &World, index: usize, slot: u8) {
        let operator = &mut self.operators[index];
        let Some(cached) = operator.family.get(&slot).copied() else { return };
        let is_being_decided = operator.look.as_ref().is_some_and(|look| look.creates.contains(&slot));
        let word = match world.mutation {
            Mutation::NoGate | Mutation::NoGateNorKey => Word::Run,
            Mutation::Hasty if is_being_decided => Word::Run,
            _ if is_being_decided => Word::NotYet,
            _ if operator.decided.remove(&slot) => Word::Run,
            _ => word(&self.stored.book, slot),
        };
        // The mark is put on the object that was seen, or not at all.
        let Some(live) = self.children.get_mut(&slot).filter(|live| **live == cached) else {
            return;
        };
        match word {
            Word::Run => {
                live.held = true;
                operator.family.insert(slot, *live);
            }
            Word::NotYet => {}
            Word::Superseded(_) => live.over = true,
        }
    }

    /// The platform has the run; whoever submitted it may not live to hear of it.
    fn submit(&mut self, world: &World, index: usize, slot: u8) {
        let seen = self.operators[index].family.get(&slot).copied();
        let Some(child) = seen.filter(|child| child.held && !child.noted && !child.over) else {
            return;
        };
        let key = world.mutation == Mutation::NoGateNorKey;
        self.runs.insert((slot, key.then_some(child.uid)));
    }

    /// The acceptance is written into the status of the object that was submitted.
    fn note(&mut self, slot: u8) {
        let has_run = self.has_run(slot);
        if let Some(child) = self.children.get_mut(&slot).filter(|child| child.held && has_run) {
            child.noted = true;
        }
    }

    /// Executions that an operator sees and has something to do about.
    fn unsubmitted(&self, index: usize) -> impl Iterator<Item = (u8, Child)> + '_ {
        let all = self.operators[index].family.iter().map(|(slot, child)| (*slot, *child));
        all.filter(|(_, child)| !child.noted && !child.over)
    }

    /// [`State::is_complete_in_the_end`], which no operator of now has a part in, asked once for each of what they leave behind.
    fn will_be_complete(&self, world: &World) -> bool {
        type Left = (
            Overlap,
            Mutation,
            (u8, u8),
            Book,
            BTreeMap<u8, Child>,
            BTreeSet<(u8, Option<u8>)>,
            BTreeSet<u8>,
        );
        thread_local! {
            static KNOWN: RefCell<HashMap<Left, bool>> = RefCell::default();
        }
        let left = (
            world.overlap,
            world.mutation,
            (self.now, world.slots),
            self.stored.book.clone(),
            self.children.clone(),
            self.runs.clone(),
            self.deleted.clone(),
        );
        let known = KNOWN.with_borrow(|known| known.get(&left).copied());
        known.unwrap_or_else(|| {
            let complete = self.is_complete_in_the_end(world);
            KNOWN.with_borrow_mut(|known| known.insert(left, complete));
            complete
        })
    }

    /// From here on nothing fails and one operator, started now, does all the work.
    fn is_complete_in_the_end(&self, world: &World) -> bool {
        let mut state = self.clone();
        state.operators = vec![Operator::new(&state.stored, &state.children)];
        for _ in 0..ROUNDS {
            let before = state.clone();
            if state.now < world.slots {
                state.now += 1;
            }
            state.begin_look(world, 0);
            while state.operators[0].look.as_ref().is_some_and(|look| !look.effects.is_empty()) {
                state.act(0);
            }
            state.write(world, 0);
            state.operators[0].family = state.children.clone();
            for (slot, child) in state.unsubmitted(0).collect::<Vec<_>>() {
                if !child.held {
                    state.permit(world, 0, slot);
                }
                state.submit(world, 0, slot);
                state.note(slot);
            }
            state
                .children
                .values_mut()
                .filter(|child| child.noted)
                .for_each(|child| child.over = true);
            state.operators[0].family = state.children.clone();
            if state == before {
                break;
            }
        }
        (1..=world.slots).all(|slot| {
            let entry = state.stored.book.recent.iter().find(|entry| entry.is_about(&due(slot)));
            match entry.map(|entry| entry.outcome) {
                Some(Outcome::Fired) => state.has_run(slot) || state.deleted.contains(&slot),
                Some(Outcome::Skipped) => world.overlap != Overlap::Allow && !state.has_run(slot),
                _ => false,
            }
        })
    }

    fn has_run(&self, slot: u8) -> bool {
        self.runs.iter().any(|(run, _)| *run == slot)
    }

    fn runs_as_decided(&self) -> bool {
        self.runs.iter().all(|(slot, _)| {
            let mut about = self.stored.book.recent.iter().filter(|entry| entry.is_about(&due(*slot)));
            family::is_decided(&self.stored.book, &due(*slot)) && about.all(|entry| entry.outcome == Outcome::Fired)
        })
    }

    fn decided_once(&self) -> bool {
        (1..=self.now).all(|slot| self.stored.book.recent.iter().filter(|entry| entry.is_about(&due(slot))).count() <= 1)
    }
}

fn fingerprint(operator: &Operator) -> u64 {
    let mut hasher = DefaultHasher::new();
    operator.hash(&mut hasher);
    hasher.finish()
}

/// What the stored status says about an execution, by the product's own words.
fn word(stored: &Book, slot: u8) -> Word {
    let mut status = GraphScheduleStatus::default();
    book::write(stored, "s", "uid", &mut status);
    decided::word(&status, &due(slot))
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.now < self.slots {
            actions.push(Action::Tick);
        }
        for (index, operator) in state.operators.iter().enumerate() {
            if operator.seen.version < state.stored.version && operator.look.is_none() {
                actions.push(Action::SeeSchedule(index));
            }
            if operator.family != state.children {
                actions.push(Action::SeeChildren(index));
            }
            match &operator.look {
                None => actions.push(Action::Look(index)),
                Some(look) if look.effects.is_empty() => actions.push(Action::Write(index)),
                Some(_) => actions.push(Action::Act(index)),
            }
            for (slot, child) in state.unsubmitted(index) {
                actions.push(if child.held {
                    Action::Submit(index, slot)
                } else {
                    Action::Permit(index, slot)
                });
            }
            if state.crashes > 0 {
                actions.push(Action::Crash(index));
            }
        }
        for (slot, child) in &state.children {
            if !child.noted && state.has_run(*slot) {
                actions.push(Action::Note(*slot));
            }
            if self.ends && child.noted && !child.over {
                actions.push(Action::RunEnds(*slot));
            }
            if state.deletions > 0 && (!child.held || child.over) {
                actions.push(Action::Delete(*slot));
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Tick => state.now += 1,
            Action::SeeSchedule(index) => state.operators[index].seen = state.stored.clone(),
            Action::SeeChildren(index) => state.operators[index].family = state.children.clone(),
            Action::Look(index) => state.begin_look(self, index),
            Action::Act(index) => state.act(index),
            Action::Write(index) => state.write(self, index),
            Action::Permit(index, slot) => state.permit(self, index, slot),
            Action::Submit(index, slot) => state.submit(self, index, slot),
            Action::Note(slot) => state.note(slot),
            Action::Crash(index) => {
                state.crashes -= 1;
                state.operators[index] = Operator::new(&state.stored, &state.children);
            }
            Action::RunEnds(slot) => {
                if let Some(child) = state.children.get_mut(&slot) {
                    child.over = true;
                }
            }
            Action::Delete(slot) => {
                state.deletions -= 1;
                state.children.remove(&slot);
                state.deleted.insert(slot);
            }
        }
        // Which of the operators is which does not matter.
        state.operators.sort_by_cached_key(fingerprint);
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(ONE_RUN, |_, state: &State| {
                (1..=state.now).all(|slot| state.runs.iter().filter(|(run, _)| *run == slot).count() <= 1)
            }),
            Property::always(AS_DECIDED, |_, state: &State| state.runs_as_decided()),
            Property::always(ONE_DECISION, |_, state: &State| state.decided_once()),
            Property::always(COMPLETE, |world: &World, state: &State| state.will_be_complete(world)),
            Property::sometimes("every slot runs", |world: &World, state: &State| {
                state.runs.len() == usize::from(world.slots)
            }),
        ];
        if self.overlap == Overlap::Skip {
            properties.push(Property::sometimes("a slot is skipped", |_, state: &State| {
                state.stored.book.counters.skipped > 0
            }));
        }
        properties
    }
}
