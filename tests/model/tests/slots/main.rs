//! A schedule between two operators that both believe that they lead, explored exhaustively: stale caches, crashes between any two requests,
//! executions deleted by hand.
//!
//! What is decided is the product's own [`schedule::decide::step`], and so is what the stored status says about an execution
//! ([`operator::schedule::decided::word`]). The API server, the caches and the order of requests are written as the operator behaves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test
#![allow(clippy::print_stdout)] // the size of what was explored

mod world;

use schedule::decide::Overlap;
use stateright::{Checker, HasDiscoveries, Model};
use world::{Mutation, World};

fn tell(world: &str, checker: &impl Checker<World>) {
    let (states, unique) = (checker.state_count(), checker.unique_state_count());
    println!("{world}: {states} states, {unique} unique, depth {}", checker.max_depth());
}

fn holds(world: World) {
    let name = format!("{world:?}");
    let checker = world.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    tell(&name, &checker);
    checker.assert_properties();
}

/// A rule is taken away: the search must find out.
fn is_caught(world: World, property: &'static str) {
    let name = format!("{world:?}");
    let checker = world.checker().finish_when(HasDiscoveries::AnyOf([property].into())).spawn_bfs().join();
    tell(&name, &checker);
    assert!(checker.discovery(property).is_some(), "{name}: this went unnoticed");
}

fn without(mutation: Mutation, overlap: Overlap) -> World {
    World {
        ends: true,
        mutation,
        overlap,
        ..World::default()
    }
}

#[test]
fn a_slot_that_is_skipped_never_runs() {
    holds(World {
        overlap: Overlap::Skip,
        ends: true,
        slots: 2,
        crashes: 1,
        ..World::default()
    });
}

#[test]
fn a_slot_that_waits_runs_once() {
    holds(World {
        overlap: Overlap::BufferOne,
        ends: true,
        slots: 2,
        crashes: 1,
        ..World::default()
    });
}

#[test]
fn an_execution_that_runs_without_being_named_by_the_stored_status_is_caught() {
    is_caught(without(Mutation::NoGate, Overlap::Skip), world::AS_DECIDED);
}

#[test]
fn keys_of_objects_instead_of_slots_are_caught() {
    let world = World {
        mutation: Mutation::NoGateNorKey,
        ends: true,
        slots: 1,
        crashes: 0,
        deletions: 1,
        ..World::default()
    };
    is_caught(world, world::ONE_RUN);
}

#[test]
fn an_execution_that_runs_before_its_decision_is_stored_is_caught() {
    is_caught(without(Mutation::Hasty, Overlap::Allow), world::AS_DECIDED);
}

#[test]
fn a_status_written_over_another_one_is_caught() {
    is_caught(without(Mutation::NoPrecondition, Overlap::Skip), world::AS_DECIDED);
}
