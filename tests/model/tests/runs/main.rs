//! The life of a run between executors, explored exhaustively: claims, leases, journals, hand-overs and cancels, with messages that
//! are lost, doubled and late, a process that dies and a zombie that does not know that it should have.
//!
//! The database's side is the product's own: [`store::rules`]. The executor's side is written as `services/executor` behaves.
//! What any number of restarts of the database manager can do is lose everything that is in flight, and any message may stay
//! undelivered here.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test
#![allow(clippy::print_stdout)] // the size of what was explored

mod executor;
mod world;

use stateright::{Checker, HasDiscoveries, Model};
use world::{Mutation, World};

fn tell(world: &str, checker: &impl Checker<World>) {
    let (states, unique) = (checker.state_count(), checker.unique_state_count());
    println!("{world}: {states} states, {unique} unique, depth {}", checker.max_depth());
}

fn holds(world: World) {
    let name = format!("{world:?}");
    let checker = world.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    tell(&name, &checker);
    checker.assert_properties();
}

/// A rule is taken away: the search must find out.
fn is_caught(world: World, property: &'static str) {
    let name = format!("{world:?}");
    let checker = world.checker().finish_when(HasDiscoveries::AnyOf([property].into())).spawn_dfs().join();
    tell(&name, &checker);
    assert!(checker.discovery(property).is_some(), "{name}: this went unnoticed");
}

fn without(mutation: Mutation) -> World {
    World {
        mutation,
        ..World::default()
    }
}

/// Runs that wait for others, and nothing that disturbs.
fn nested(mutation: Mutation) -> World {
    World {
        nested: true,
        cancels: false,
        ..without(mutation)
    }
}

#[test]
fn a_run_survives_a_zombie_and_a_cancel() {
    holds(World::default());
}

#[test]
fn a_run_survives_a_crash() {
    holds(World {
        crashes: true,
        cancels: false,
        ..World::default()
    });
}

#[test]
fn two_runs_do_not_get_in_each_others_way() {
    holds(World {
        runs: 2,
        epochs: 1,
        cancels: false,
        ..World::default()
    });
}

#[test]
fn a_run_that_waits_for_another_is_woken() {
    holds(nested(Mutation::None));
}

#[test]
fn a_park_that_does_not_look_at_the_news_is_caught() {
    is_caught(nested(Mutation::NoNews), world::WAKES);
}

#[test]
fn a_node_that_is_not_asked_again_is_caught() {
    is_caught(nested(Mutation::Forgetful), world::WAKES);
}

#[test]
fn an_append_that_does_not_look_at_the_epoch_is_caught() {
    let world = World {
        claims: 2,
        ..without(Mutation::NoEpoch)
    };
    is_caught(world, world::INVARIANTS);
}

#[test]
fn a_zombie_that_trusts_its_lease_for_ever_is_caught() {
    is_caught(without(Mutation::NoTrust), world::INVARIANTS);
}

#[test]
fn a_sweep_that_forgets_the_runs_is_caught() {
    is_caught(without(Mutation::NoSweep), world::CAN_END);
}

#[test]
fn an_end_that_does_not_look_at_the_status_is_caught() {
    is_caught(without(Mutation::NoGuard), world::INVARIANTS);
}

#[test]
fn a_run_that_is_given_back_while_its_claim_is_under_way_is_caught() {
    let world = World {
        late_releases: true,
        ..without(Mutation::Hasty)
    };
    is_caught(world, world::INVARIANTS);
}

/// A release may arrive when its sender has claimed the run again.
fn late_releases(mutation: Mutation) -> World {
    World {
        claims: 2,
        late_releases: true,
        ..without(mutation)
    }
}

#[test]
fn a_release_that_arrives_late_takes_nothing_from_a_later_claim() {
    holds(World {
        cancels: false,
        ..late_releases(Mutation::None)
    });
}

#[test]
fn a_release_that_does_not_say_which_claim_it_is_about_is_caught() {
    is_caught(late_releases(Mutation::NoClaim), world::INVARIANTS);
}

/// What the executor does today. See [`Mutation::Reopened`].
#[test]
fn a_lease_that_was_opened_again_is_caught() {
    is_caught(without(Mutation::Reopened), world::INVARIANTS);
}
