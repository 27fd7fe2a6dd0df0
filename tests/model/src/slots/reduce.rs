//! Fewer states for the same worlds: of states that nobody outside could ever tell apart, one stands for all.
//!
//! These hold as long as no execution is deleted by hand: then executions only ever get further, and so do the decisions that are
//! stored. That nothing is lost by them is tried where the whole search is small enough (`tests/slots`).

use super::books::{BookId, Library, SLOTS};
use super::state::{Child, State, which};
use super::{Mutation, Scene};

impl State {
    /// Which of the operators is which does not matter.
    pub(super) fn sort(&mut self) {
        self.operators.sort_unstable();
    }

    /// The state that stands for this one.
    pub(super) fn reduce(&mut self, scene: &Scene, library: &Library) {
        for slot in 0..SLOTS {
            self.reduce_child(slot);
        }
        for index in 0..self.operators.len() {
            self.reduce_look(scene, index);
            self.reduce_family(library, index);
        }
    }

    /// That a run is accepted is written down at once: nobody reads it but to submit it again, which changes nothing. What is over is over.
    fn reduce_child(&mut self, slot: usize) {
        self.note(slot);
        if self.children[slot].over {
            self.children[slot] = Child::OVER;
        }
    }

    fn reduce_look(&mut self, scene: &Scene, index: usize) {
        let present = which(&self.children, |child| child.exists);
        let over = which(&self.children, |child| child.over);
        let untouched = which(&self.children, |child| !child.exists || child == Child::MADE);
        let operator = &mut self.operators[index];
        let Some(look) = &mut operator.look else { return };
        // Requests that change nothing.
        look.creates = look.creates.without(present);
        look.cancels = look.cancels.without(over);
        // Only what nobody has marked is asked about.
        look.deciding = look.deciding.iter().filter(|slot| untouched.contains(*slot)).collect();
        if operator.is_current || look.next.is_none() {
            if !look.has_requests() && look.next.is_none() {
                operator.look = None;
            }
            return;
        }
        // Its status will be refused, whatever it is.
        look.next = Some(BookId::FIRST);
        let is_trusted = scene.mutation == Mutation::Hasty && !look.deciding.is_empty();
        if !look.has_requests() && !is_trusted {
            // All that is left of it is to see what is stored, which may happen at any time without it.
            operator.look = None;
        }
    }

    /// What a cache shows is kept as far as it can still be of consequence.
    fn reduce_family(&mut self, library: &Library, index: usize) {
        let operator = &self.operators[index];
        // Its next look is from one of these, or from what comes of them.
        let (seen, stored) = (library.facts(operator.seen), library.facts(self.stored));
        let is_undecided = |slot: usize| !seen.decided.contains(slot) || !stored.decided.contains(slot);
        let is_active = |slot: usize| seen.active.contains(slot) || stored.active.contains(slot);
        let family = std::array::from_fn(|slot| {
            let (cached, live) = (operator.family[slot], self.children[slot]);
            if cached.is_submittable() && !self.has_run(slot) || cached == live && cached == Child::MADE {
                return cached;
            }
            // From here on a look is all that it can serve.
            match (is_undecided(slot), is_active(slot), cached.over) {
                (true, _, true) | (_, true, true) => Child::OVER,
                (true, _, false) if cached.exists => Child::MADE,
                _ => Child::ABSENT,
            }
        });
        self.operators[index].family = family;
    }
}

/// What is outside the operators: all that the properties are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Outside {
    stored: BookId,
    children: [Child; SLOTS],
    runs: [u8; SLOTS],
}

impl State {
    /// What is outside the operators, with what [`State::reduce`] makes of it.
    pub fn outside(&self) -> Outside {
        let mut state = *self;
        (0..SLOTS).for_each(|slot| state.reduce_child(slot));
        Outside {
            stored: state.stored,
            children: state.children,
            runs: state.runs,
        }
    }
}
