//! A schedule between two operators that both believe that they lead, explored exhaustively: stale caches, clocks that disagree, requests
//! that fail and crashes between any two requests, executions deleted by hand.
//!
//! What is decided is the product's own [`schedule::decide::step`], and so is what the stored status says about an execution
//! ([`operator::schedule::decided::word`]). The API server, the caches and the order of requests are written as the operator behaves.
//!
//! ```text
//! books    every status of the schedule, with what the product says about it and decides from it
//! state    the world at one moment, and each single thing that can happen to it
//! reduce   which states are as good as one
//! world    what can happen next, and what must always be so
//! ```

mod books;
mod reduce;
mod state;
mod world;

use std::collections::HashSet;
use std::fmt;
use std::time::{Duration, Instant};

use schedule::decide::Overlap;
use stateright::{Checker, Expectation, HasDiscoveries, Model};

pub use reduce::Outside;
pub use state::State;
pub use world::World;

pub const ONE_RUN: &str = "a slot has one run at most";
pub const AS_DECIDED: &str = "what runs was decided to run, and that is stored";
pub const ONE_DECISION: &str = "a slot has one decision at most";
pub const COMPLETE: &str = "whatever happened, every slot is decided and what was fired runs, once the faults end";

/// How much is explored. There are always two leaders, caches as stale as can be, and any number of failed requests and crashes.
#[derive(Debug, Clone, Copy)]
pub struct Scene {
    /// From 1 to 3.
    pub slots: usize,
    /// Executions that somebody deletes by hand.
    pub deletions: u8,
    /// Runs end; otherwise they take longer than all slots.
    pub ends: bool,
    pub overlap: Overlap,
    pub mutation: Mutation,
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            slots: 3,
            deletions: 0,
            ends: true,
            overlap: Overlap::Allow,
            mutation: Mutation::None,
        }
    }
}

impl Scene {
    /// Whether a run may be stopped for a later one.
    fn cancels(&self) -> bool {
        matches!(self.overlap, Overlap::CancelOther | Overlap::Replace)
    }

    /// Whether a slot may be decided not to run.
    fn skips(&self) -> bool {
        !matches!(self.overlap, Overlap::Allow | Overlap::Replace)
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

/// What a search found.
#[derive(Debug, Clone)]
pub struct Found {
    pub scene: Scene,
    /// Transitions, and different states.
    pub transitions: usize,
    pub states: usize,
    /// Different statuses of the schedule.
    pub statuses: usize,
    pub depth: usize,
    pub time: Duration,
    /// What does not hold, and the way there.
    pub failure: Option<String>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scene {
            slots,
            deletions,
            ends,
            overlap,
            mutation,
        } = self.scene;
        write!(f, "{overlap:?}, 2 leaders, {slots} slots, any crashes")?;
        if deletions > 0 {
            write!(f, ", {deletions} deletions")?;
        }
        if !ends {
            write!(f, ", runs that do not end")?;
        }
        if mutation != Mutation::None {
            write!(f, ", {mutation:?}")?;
        }
        write!(
            f,
            ": {} states, {} transitions, {} statuses, depth {}, {:.1} s",
            self.states,
            self.transitions,
            self.statuses,
            self.depth,
            self.time.as_secs_f64()
        )
    }
}

/// Goes through everything that can happen in a scene, with so many threads.
pub fn explore(scene: Scene, threads: usize) -> Found {
    let begun = Instant::now();
    let world = World::new(scene).checker().threads(threads);
    let checker = world.finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let failure = checker.model().properties().into_iter().find_map(|property| {
        let discovery = checker.discovery(property.name);
        match (property.expectation, discovery) {
            (Expectation::Sometimes, None) => Some(format!("it never happens that {}", property.name)),
            (Expectation::Always, Some(path)) => Some(format!("not so: {}, after {:?}", property.name, path.into_actions())),
            _ => None,
        }
    });
    found(&checker, begun, failure)
}

/// Whether a search finds out that a rule was taken away: that this property does not hold.
pub fn catches(scene: Scene, property: &'static str) -> Found {
    let begun = Instant::now();
    let until = HasDiscoveries::AnyOf([property].into());
    let checker = World::new(scene).checker().finish_when(until).spawn_bfs().join();
    let is_caught = checker.discovery(property).is_some();
    let failure = (!is_caught).then(|| format!("went unnoticed: {property}, without {:?}", scene.mutation));
    found(&checker, begun, failure)
}

fn found(checker: &impl Checker<World>, begun: Instant, failure: Option<String>) -> Found {
    Found {
        scene: *checker.model().scene(),
        transitions: checker.state_count(),
        states: checker.unique_state_count(),
        statuses: checker.model().statuses(),
        depth: checker.max_depth(),
        time: begun.elapsed(),
        failure,
    }
}

/// Everything that can be outside the operators, without a checker, and the number of states: to compare worlds.
pub fn outsides(world: &World) -> (HashSet<Outside>, usize) {
    let mut known: HashSet<State> = world.init_states().into_iter().collect();
    let mut pending: Vec<State> = known.iter().copied().collect();
    let mut actions = Vec::new();
    while let Some(state) = pending.pop() {
        world.actions(&state, &mut actions);
        for action in actions.drain(..) {
            if let Some(next) = world.next_state(&state, action).filter(|next| known.insert(*next)) {
                pending.push(next);
            }
        }
    }
    (known.iter().map(State::outside).collect(), known.len())
}

/// Every policy with so many slots.
pub fn policies(slots: usize) -> Vec<Scene> {
    let policies = [
        Overlap::Allow,
        Overlap::Skip,
        Overlap::BufferOne,
        Overlap::BufferAll(2),
        Overlap::CancelOther,
        Overlap::Replace,
    ];
    let scene = |overlap| Scene {
        slots,
        overlap,
        ..Scene::default()
    };
    policies.map(scene).to_vec()
}

/// An execution that somebody deletes comes again under the same name: fewer states are alike.
pub fn deletion(slots: usize) -> Scene {
    Scene {
        slots,
        deletions: 1,
        ..Scene::default()
    }
}

/// Rules that are taken away, with what must break.
pub fn broken() -> Vec<(Scene, &'static str)> {
    let without = |mutation, overlap| Scene {
        mutation,
        overlap,
        ..Scene::default()
    };
    let without_key = Scene {
        slots: 1,
        deletions: 1,
        ..without(Mutation::NoGateNorKey, Overlap::Allow)
    };
    vec![
        (without(Mutation::NoGate, Overlap::Skip), AS_DECIDED),
        (without(Mutation::Hasty, Overlap::Allow), AS_DECIDED),
        (without(Mutation::NoPrecondition, Overlap::Skip), AS_DECIDED),
        (without_key, ONE_RUN),
    ]
}
