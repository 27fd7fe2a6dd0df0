//! The API server, the platform and two operators as one small value, and each single thing that can happen to it.

use super::books::{BookId, Glance, Library, SLOTS, SlotSet, Standing};
use super::{Mutation, Scene};

/// Operators that believe that they lead.
pub(super) const LEADERS: usize = 2;
/// A healthy operator needs no more rounds than this.
const ROUNDS: usize = 60;

/// An execution as the API server has it, or nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Child {
    pub exists: bool,
    /// It has the finalizer: it may be submitted.
    pub held: bool,
    /// Its status names its run.
    pub noted: bool,
    pub over: bool,
    /// So many objects had this name before.
    pub generation: u8,
}

impl Child {
    pub const ABSENT: Self = Self {
        exists: false,
        held: false,
        noted: false,
        over: false,
        generation: 0,
    };
    /// One that nobody has touched yet.
    pub const MADE: Self = Self {
        exists: true,
        ..Self::ABSENT
    };
    /// One that is over, whatever it was before.
    pub const OVER: Self = Self { over: true, ..Self::MADE };

    /// Whether there is something to do about it.
    pub fn is_unsubmitted(self) -> bool {
        self.exists && !self.noted && !self.over
    }

    /// Whether whoever sees it like this submits it.
    pub fn is_submittable(self) -> bool {
        self.held && self.is_unsubmitted()
    }
}

pub(super) type Children = [Child; SLOTS];

/// Slots of which an execution is like this.
pub(super) fn which(children: &Children, is: impl Fn(Child) -> bool) -> SlotSet {
    (0..SLOTS).filter(|slot| is(children[*slot])).collect()
}

/// A look that is being carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Look {
    /// Requests still to be made: all of the first, in any order, then all of the second.
    pub cancels: SlotSet,
    pub creates: SlotSet,
    /// All that it creates.
    pub deciding: SlotSet,
    /// The status to write, if it changes.
    pub next: Option<BookId>,
}

impl Look {
    pub fn has_requests(&self) -> bool {
        !self.cancels.is_empty() || !self.creates.is_empty()
    }
}

/// One operator, which believes that it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Operator {
    /// The schedule as its cache shows it, or as it has written it itself.
    pub seen: BookId,
    /// What it has seen is what is stored.
    pub is_current: bool,
    /// The executions as its cache shows them.
    pub family: Children,
    pub look: Option<Look>,
    /// Executions that it has decided to run, and stored that, and not been asked about: it says yes without asking the server.
    pub decided: SlotSet,
}

impl Operator {
    /// A process that has just filled its caches.
    fn new(stored: BookId, children: Children) -> Self {
        Self {
            seen: stored,
            is_current: true,
            family: children,
            look: None,
            decided: SlotSet::default(),
        }
    }
}

/// The world at one moment. No clock is part of it: any operator may look at any time, and no two clocks need agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    pub(super) stored: BookId,
    pub(super) children: Children,
    /// The runs of the platform: for each slot the keys under which it was submitted. The first is the slot's own.
    pub(super) runs: [u8; SLOTS],
    /// How often the execution was deleted by hand.
    pub(super) deleted: [u8; SLOTS],
    pub(super) operators: [Operator; LEADERS],
    /// Deletions still to come.
    pub(super) deletions: u8,
}

impl State {
    pub(super) fn new(scene: &Scene) -> Self {
        let children = Children::default();
        Self {
            stored: BookId::FIRST,
            children,
            runs: [0; SLOTS],
            deleted: [0; SLOTS],
            operators: [Operator::new(BookId::FIRST, children); LEADERS],
            deletions: scene.deletions,
        }
    }

    pub(super) fn has_run(&self, slot: usize) -> bool {
        self.runs[slot] != 0
    }

    pub(super) fn see_schedule(&mut self, index: usize) {
        let operator = &mut self.operators[index];
        (operator.seen, operator.is_current) = (self.stored, true);
    }

    pub(super) fn see_children(&mut self, index: usize) {
        self.operators[index].family = self.children;
    }

    pub(super) fn look(&mut self, library: &Library, index: usize, now: usize) {
        let operator = &mut self.operators[index];
        let present = which(&operator.family, |child| child.exists);
        let glance = Glance {
            now,
            present,
            over: which(&operator.family, |child| child.over),
            gone: which(&self.children, |child| !child.exists).without(present),
        };
        operator.look = library.plan(operator.seen, glance).map(|plan| Look {
            cancels: plan.cancels,
            creates: plan.creates,
            deciding: plan.creates,
            next: plan.next,
        });
    }

    pub(super) fn cancel(&mut self, index: usize, slot: usize) {
        let Some(look) = &mut self.operators[index].look else { return };
        look.cancels.remove(slot);
        let child = &mut self.children[slot];
        child.over |= child.exists;
    }

    /// The name is the lock: one that exists already is this one.
    pub(super) fn create(&mut self, index: usize, slot: usize) {
        let Some(look) = &mut self.operators[index].look else { return };
        look.creates.remove(slot);
        if !self.children[slot].exists {
            self.children[slot] = Child {
                generation: self.deleted[slot],
                ..Child::MADE
            };
        }
    }

    /// The status is written over the version that was looked at, or not at all.
    pub(super) fn write(&mut self, scene: &Scene, index: usize) {
        let Some(look) = self.operators[index].look.take() else { return };
        let operator = &mut self.operators[index];
        match look.next {
            Some(_) if !operator.is_current && scene.mutation != Mutation::NoPrecondition => {
                (operator.seen, operator.is_current) = (self.stored, true);
                return;
            }
            Some(next) => {
                self.stored = next;
                self.operators.iter_mut().for_each(|operator| operator.is_current = false);
                self.see_schedule(index);
            }
            None => {}
        }
        // Without deletions the server would say the same.
        if scene.deletions > 0 {
            let operator = &mut self.operators[index];
            operator.decided = operator.decided.with(look.deciding);
        }
    }

    /// Whether an operator may submit an execution that nobody has marked yet, and the mark.
    pub(super) fn permit(&mut self, scene: &Scene, library: &Library, index: usize, slot: usize) {
        let operator = &mut self.operators[index];
        let cached = operator.family[slot];
        let is_being_decided = operator.look.is_some_and(|look| look.deciding.contains(slot));
        let standing = match scene.mutation {
            Mutation::NoGate | Mutation::NoGateNorKey => Standing::Run,
            Mutation::Hasty if is_being_decided => Standing::Run,
            _ if is_being_decided => Standing::NotYet,
            _ if operator.decided.remove(slot) => Standing::Run,
            _ => library.facts(self.stored).standings[slot],
        };
        // The mark is put on the object that was seen, or not at all.
        let live = &mut self.children[slot];
        if *live != cached {
            return;
        }
        match standing {
            Standing::Run => {
                live.held = true;
                operator.family[slot] = *live;
            }
            Standing::NotYet => {}
            Standing::Superseded => live.over = true,
        }
    }

    /// The platform has the run; whoever submitted it may not live to hear of it.
    pub(super) fn submit(&mut self, scene: &Scene, index: usize, slot: usize) {
        let cached = self.operators[index].family[slot];
        let key = match scene.mutation {
            Mutation::NoGateNorKey => cached.generation,
            _ => 0,
        };
        if cached.is_submittable() {
            self.runs[slot] |= 1 << key;
        }
    }

    /// The acceptance is written into the status of the object that was submitted.
    pub(super) fn note(&mut self, slot: usize) {
        let has_run = self.has_run(slot);
        let child = &mut self.children[slot];
        child.noted |= child.held && has_run;
    }

    pub(super) fn end_run(&mut self, slot: usize) {
        self.children[slot].over = true;
    }

    pub(super) fn delete(&mut self, slot: usize) {
        self.deletions -= 1;
        self.children[slot] = Child::ABSENT;
        self.deleted[slot] += 1;
    }

    /// A request is not answered, or with an error: the look ends there.
    pub(super) fn fail(&mut self, index: usize) {
        self.operators[index].look = None;
    }

    /// Another process takes the operator's place.
    pub(super) fn crash(&mut self, index: usize) {
        self.operators[index] = Operator::new(self.stored, self.children);
    }

    /// From here on nothing fails and one operator, started now, does all the work: every slot is decided, and what was fired runs.
    pub(super) fn is_complete_in_the_end(&self, scene: &Scene, library: &Library) -> bool {
        let mut state = *self;
        state.operators = [Operator::new(state.stored, state.children); LEADERS];
        for _ in 0..ROUNDS {
            let before = state;
            state.work(scene, library);
            if state == before {
                break;
            }
        }
        let facts = library.facts(state.stored);
        (0..scene.slots).all(|slot| {
            let was_stopped = state.deleted[slot] > 0 || (scene.cancels() && state.children[slot].over);
            let ran = facts.fired.contains(slot) && (state.has_run(slot) || was_stopped);
            ran || (facts.skipped.contains(slot) && scene.skips() && !state.has_run(slot))
        })
    }

    /// One round of the first operator, with nothing that disturbs it.
    fn work(&mut self, scene: &Scene, library: &Library) {
        self.look(library, 0, scene.slots - 1);
        let look = self.operators[0].look;
        let (cancels, creates) = look.map_or_else(Default::default, |look| (look.cancels, look.creates));
        cancels.iter().for_each(|slot| self.cancel(0, slot));
        creates.iter().for_each(|slot| self.create(0, slot));
        self.write(scene, 0);
        self.see_children(0);
        for slot in which(&self.children, Child::is_unsubmitted).iter() {
            if !self.children[slot].held {
                self.permit(scene, library, 0, slot);
            }
            self.submit(scene, 0, slot);
            self.note(slot);
        }
        for child in self.children.iter_mut().filter(|child| child.noted) {
            child.over = true;
        }
        self.see_children(0);
    }
}
