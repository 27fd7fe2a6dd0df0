//! Every status of the schedule that the search has met, once, under a small number, with what follows from it: the product's own words
//! about it and the product's own steps from it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{OnceLock, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use crds::schedule::GraphScheduleStatus;
use operator::schedule::decided::{self, Word};
use operator::schedule::{book, family};
use schedule::decide::{BATCH, Book, CatchUp, Counters, Due, Effect, End, Outcome, Overlap, Policy, Slots, Wishes, step};

/// Slots of the largest world.
pub(super) const SLOTS: usize = 3;
/// Different statuses of the largest world.
const BOOKS: usize = 4096;
/// 2026-01-01. Slots are a minute apart: each is later than being on time when the next one comes.
const BEGIN: i64 = 1_767_225_600;
const APART: i64 = 60;

/// A set of slots.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SlotSet(u8);

impl SlotSet {
    const SETS: usize = 1 << SLOTS;

    pub fn contains(self, slot: usize) -> bool {
        self.0 >> slot & 1 == 1
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn insert(&mut self, slot: usize) {
        self.0 |= 1 << slot;
    }

    /// Whether it was there.
    pub fn remove(&mut self, slot: usize) -> bool {
        let was_there = self.contains(slot);
        self.0 &= !(1 << slot);
        was_there
    }

    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..SLOTS).filter(move |slot| self.contains(*slot))
    }

    fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl FromIterator<usize> for SlotSet {
    fn from_iter<T: IntoIterator<Item = usize>>(slots: T) -> Self {
        let mut set = Self::default();
        slots.into_iter().for_each(|slot| set.insert(slot));
        set
    }
}

impl fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// A status of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct BookId(u16);

impl BookId {
    /// The status of a schedule that nobody has looked at.
    pub const FIRST: Self = Self(0);
}

/// What a status says about an execution: [`Word`] without its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Run,
    NotYet,
    Superseded,
}

/// What a status says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub standings: [Standing; SLOTS],
    /// The last word has been said about these.
    pub decided: SlotSet,
    pub active: SlotSet,
    /// Decided to run.
    pub fired: SlotSet,
    pub skipped: SlotSet,
    /// No slot has two decisions.
    pub is_single: bool,
}

/// What an operator sees when it looks, beside the status.
#[derive(Debug, Clone, Copy)]
pub(super) struct Glance {
    /// The newest slot that has come, by the operator's clock.
    pub now: usize,
    /// Executions in its cache, and those of them that are over.
    pub present: SlotSet,
    pub over: SlotSet,
    /// Neither in its cache nor, as it finds when it asks, on the server.
    pub gone: SlotSet,
}

impl Glance {
    const ALL: usize = SLOTS * SlotSet::SETS * SlotSet::SETS * SlotSet::SETS;

    fn index(&self) -> usize {
        let sets = [self.present, self.over, self.gone];
        sets.iter().fold(self.now, |index, set| index * SlotSet::SETS + set.index())
    }
}

/// What a look wants: first what is to end, then what is to begin, then the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    pub cancels: SlotSet,
    pub creates: SlotSet,
    /// Nothing when the status stays as it is.
    pub next: Option<BookId>,
}

struct Shelf {
    book: Book,
    facts: Facts,
    /// By [`Glance::index`].
    plans: Vec<OnceLock<Option<Plan>>>,
}

/// All statuses of one search.
pub(super) struct Library {
    overlap: Overlap,
    slots: usize,
    ids: RwLock<HashMap<Book, BookId>>,
    shelves: Vec<OnceLock<Shelf>>,
}

impl Library {
    pub fn new(overlap: Overlap, slots: usize) -> Self {
        assert!((1..=SLOTS).contains(&slots), "a world has up to {SLOTS} slots");
        let library = Self {
            overlap,
            slots,
            ids: RwLock::default(),
            shelves: std::iter::repeat_with(OnceLock::new).take(BOOKS).collect(),
        };
        assert_eq!(library.number(Book::default()), BookId::FIRST);
        library
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ids.read().unwrap().len()
    }

    pub fn facts(&self, id: BookId) -> &Facts {
        &self.shelf(id).facts
    }

    /// What `operator::schedule::look` makes of what an operator sees; nothing when there is nothing to do.
    pub fn plan(&self, seen: BookId, glance: Glance) -> Option<Plan> {
        let shelf = self.shelf(seen);
        *shelf.plans[glance.index()].get_or_init(|| {
            let mut book = shelf.book.clone();
            for active in shelf.book.active.iter().filter(|active| glance.gone.contains(slot(active))) {
                book.settle(active, End::Neither);
            }
            for active in shelf.book.active.iter().filter(|active| glance.over.contains(slot(active))) {
                book.settle(active, End::Succeeded);
            }
            let wishes = self.wishes(&book, glance.present);
            let step = step(&mut book, &wishes, &Minutes(self.slots), time(glance.now));
            let cancels = step.effects.iter().filter_map(|effect| match effect {
                Effect::Cancel(due) => Some(slot(due)),
                Effect::Create(_) => None,
            });
            let creates = step.effects.iter().filter_map(|effect| match effect {
                Effect::Create(due) => Some(slot(due)),
                Effect::Cancel(_) => None,
            });
            let plan = Plan {
                cancels: cancels.collect(),
                creates: creates.collect(),
                next: Some(self.number(book)).filter(|next| *next != seen),
            };
            (plan.next.is_some() || !step.effects.is_empty()).then_some(plan)
        })
    }

    fn wishes(&self, book: &Book, present: SlotSet) -> Wishes {
        Wishes {
            policy: Policy {
                overlap: self.overlap,
                catch_up: CatchUp::All(10),
                ..Policy::default()
            },
            floor: time(0) - TimeDelta::seconds(APART),
            delay: TimeDelta::zero(),
            suspended: None,
            resumed: time(0),
            trouble: None,
            run_now: None,
            backfills: Vec::new(),
            made: present.iter().map(due).filter(|due| !family::is_decided(book, due)).collect(),
            most: BATCH,
        }
    }

    fn shelf(&self, id: BookId) -> &Shelf {
        self.shelves[usize::from(id.0)].get().unwrap()
    }

    fn number(&self, mut book: Book) -> BookId {
        normalize(&mut book);
        if let Some(known) = self.ids.read().unwrap().get(&book) {
            return *known;
        }
        let mut ids = self.ids.write().unwrap();
        if let Some(known) = ids.get(&book) {
            return *known;
        }
        let id = BookId(u16::try_from(ids.len()).unwrap());
        self.shelves[usize::from(id.0)].get_or_init(|| Shelf {
            facts: facts(&book),
            plans: std::iter::repeat_with(OnceLock::new).take(Glance::ALL).collect(),
            book: book.clone(),
        });
        ids.insert(book, id);
        id
    }
}

/// Forgets what no decision of these worlds reads: when and in which words, and how often. What is active is a set, and so are the
/// decisions about single slots.
fn normalize(book: &mut Book) {
    for entry in &mut book.recent {
        assert!(entry.through.is_none(), "each slot is decided by itself: {entry:?}");
        entry.decided_at = entry.due.slot;
        entry.reason.clear();
    }
    book.recent.sort_by_key(|entry| (entry.due.slot, entry.outcome));
    book.active.sort();
    book.counters = Counters::default();
    (book.runs, book.failures) = (0, 0);
    (book.last_fired, book.last_success) = (None, None);
}

fn facts(book: &Book) -> Facts {
    let mut status = GraphScheduleStatus::default();
    book::write(book, "s", "uid", &mut status);
    let standing = |slot| match decided::word(&status, &due(slot)) {
        Word::Run => Standing::Run,
        Word::NotYet => Standing::NotYet,
        Word::Superseded(_) => Standing::Superseded,
    };
    let outcome = |slot| book.recent.iter().find(|entry| entry.is_about(&due(slot))).map(|entry| entry.outcome);
    let decided: SlotSet = (0..SLOTS).filter(|slot| family::is_decided(book, &due(*slot))).collect();
    let with = |wanted| decided.iter().filter(|slot| outcome(*slot) == Some(wanted)).collect();
    let decisions = |slot: usize| book.recent.iter().filter(|entry| entry.is_about(&due(slot))).count();
    Facts {
        standings: std::array::from_fn(standing),
        decided,
        active: book.active.iter().map(slot).collect(),
        fired: with(Outcome::Fired),
        skipped: with(Outcome::Skipped),
        is_single: (0..SLOTS).all(|slot| decisions(slot) <= 1),
    }
}

/// The calendar: so many slots.
struct Minutes(usize);

impl Slots for Minutes {
    fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        (0..self.0).map(time).find(|slot| *slot > instant)
    }

    fn last_at_or_before(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        (0..self.0).rev().map(time).find(|slot| *slot <= instant)
    }
}

fn time(slot: usize) -> DateTime<Utc> {
    DateTime::from_timestamp(BEGIN + APART * i64::try_from(slot).unwrap(), 0).unwrap()
}

fn due(slot: usize) -> Due {
    Due::at(time(slot))
}

fn slot(due: &Due) -> usize {
    usize::try_from((due.slot.timestamp() - BEGIN) / APART).unwrap()
}
