//! Everything that can happen next, and what must always be so.

use std::collections::HashMap;
use std::fmt;
use std::sync::RwLock;

use schedule::decide::Overlap;
use stateright::{Model, Property};

use super::books::{BookId, Library, SLOTS};
use super::state::{Children, State, which};
use super::{AS_DECIDED, COMPLETE, Mutation, ONE_DECISION, ONE_RUN, Scene};

/// What a search goes through.
pub struct World {
    scene: Scene,
    library: Library,
    /// Answers of [`State::is_complete_in_the_end`], in which no operator of now has a part.
    futures: RwLock<HashMap<Left, bool>>,
    /// States that cannot be told apart are one (see [`super::reduce`]).
    is_reduced: bool,
}

/// What operators leave behind.
type Left = (BookId, Children, [u8; SLOTS], [u8; SLOTS]);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The watch of schedules, or of executions, brings what is stored now.
    SeeSchedule(usize),
    SeeChildren(usize),
    /// An operator looks, by its clock at the time of that slot.
    Look(usize, usize),
    /// A request of a look.
    Cancel(usize, usize),
    Create(usize, usize),
    /// The status is written.
    Write(usize),
    Permit(usize, usize),
    Submit(usize, usize),
    Note(usize),
    /// A request fails, and the look with it.
    Fail(usize),
    Crash(usize),
    RunEnds(usize),
    Delete(usize),
}

impl World {
    /// With as few states as the scene allows.
    pub fn new(scene: Scene) -> Self {
        Self {
            library: Library::new(scene.overlap, scene.slots),
            futures: RwLock::default(),
            is_reduced: scene.deletions == 0 && matches!(scene.mutation, Mutation::None | Mutation::NoGate | Mutation::Hasty),
            scene,
        }
    }

    /// The same scene, whose statuses have the same numbers, with every state.
    pub fn into_full(self) -> Self {
        Self { is_reduced: false, ..self }
    }

    /// Different statuses of the schedule that were met.
    pub fn statuses(&self) -> usize {
        self.library.len()
    }

    pub(super) fn scene(&self) -> &Scene {
        &self.scene
    }

    fn will_be_complete(&self, state: &State) -> bool {
        let left = (state.stored, state.children, state.runs, state.deleted);
        let known = self.futures.read().unwrap().get(&left).copied();
        known.unwrap_or_else(|| {
            let is_complete = state.is_complete_in_the_end(&self.scene, &self.library);
            self.futures.write().unwrap().insert(left, is_complete);
            is_complete
        })
    }

    fn runs_as_decided(&self, state: &State) -> bool {
        let fired = self.library.facts(state.stored).fired;
        (0..SLOTS).all(|slot| !state.has_run(slot) || fired.contains(slot))
    }

    fn actions_of(&self, state: &State, index: usize, actions: &mut Vec<Action>) {
        let operator = &state.operators[index];
        if operator.family != state.children {
            actions.push(Action::SeeChildren(index));
        }
        match &operator.look {
            None => {
                if !operator.is_current {
                    actions.push(Action::SeeSchedule(index));
                }
                actions.extend((0..self.scene.slots).map(|now| Action::Look(index, now)));
            }
            Some(look) if !look.cancels.is_empty() => {
                actions.extend(look.cancels.iter().map(|slot| Action::Cancel(index, slot)));
            }
            Some(look) if !look.creates.is_empty() => {
                actions.extend(look.creates.iter().map(|slot| Action::Create(index, slot)));
            }
            Some(_) => actions.push(Action::Write(index)),
        }
        for slot in which(&operator.family, |child| child.is_unsubmitted()).iter() {
            actions.push(if operator.family[slot].held {
                Action::Submit(index, slot)
            } else {
                Action::Permit(index, slot)
            });
        }
        if operator.look.is_some() {
            actions.push(Action::Fail(index));
        }
        // One whose look has failed and whose caches are renewed is as good as a new one.
        if !self.is_reduced {
            actions.push(Action::Crash(index));
        }
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(&self.scene)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for index in 0..state.operators.len() {
            self.actions_of(state, index, actions);
        }
        for (slot, child) in state.children.iter().enumerate().filter(|(_, child)| child.exists) {
            if !child.noted && state.has_run(slot) {
                actions.push(Action::Note(slot));
            }
            if self.scene.ends && child.noted && !child.over {
                actions.push(Action::RunEnds(slot));
            }
            if state.deletions > 0 && (!child.held || child.over) {
                actions.push(Action::Delete(slot));
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = *before;
        match action {
            Action::SeeSchedule(index) => state.see_schedule(index),
            Action::SeeChildren(index) => state.see_children(index),
            Action::Look(index, now) => state.look(&self.library, index, now),
            Action::Cancel(index, slot) => state.cancel(index, slot),
            Action::Create(index, slot) => state.create(index, slot),
            Action::Write(index) => state.write(&self.scene, index),
            Action::Permit(index, slot) => state.permit(&self.scene, &self.library, index, slot),
            Action::Submit(index, slot) => state.submit(&self.scene, index, slot),
            Action::Note(slot) => state.note(slot),
            Action::Fail(index) => state.fail(index),
            Action::Crash(index) => state.crash(index),
            Action::RunEnds(slot) => state.end_run(slot),
            Action::Delete(slot) => state.delete(slot),
        }
        if self.is_reduced {
            state.reduce(&self.scene, &self.library);
        }
        state.sort();
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(ONE_RUN, |_, state: &State| state.runs.iter().all(|keys| keys.count_ones() <= 1)),
            Property::always(AS_DECIDED, |world: &Self, state: &State| world.runs_as_decided(state)),
            Property::always(ONE_DECISION, |world: &Self, state: &State| world.library.facts(state.stored).is_single),
            Property::always(COMPLETE, |world: &Self, state: &State| world.will_be_complete(state)),
            Property::sometimes("every slot runs", |world: &Self, state: &State| {
                (0..world.scene.slots).all(|slot| state.has_run(slot))
            }),
        ];
        if self.scene.overlap == Overlap::Skip {
            properties.push(Property::sometimes("a slot is skipped", |world: &Self, state: &State| {
                !world.library.facts(state.stored).skipped.is_empty()
            }));
            properties.push(Property::sometimes("an execution is superseded", |world: &Self, state: &State| {
                let skipped = world.library.facts(state.stored).skipped;
                skipped.iter().any(|slot| state.children[slot].over)
            }));
        }
        properties
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.scene.fmt(f)
    }
}
