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
use world::{Await, Mutation, World};

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

/// Runs that wait for others or for people, and nothing that disturbs.
fn waiting(awaited: Await, mutation: Mutation) -> World {
    World {
        awaited,
        cancels: false,
        ..without(mutation)
    }
}

/// Runs that come back a second time and rest before they are tried again, until they are given up.
fn impatient(mutation: Mutation) -> World {
    World {
        patience: Some(3),
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
    holds(waiting(Await::Run, Mutation::None));
}

#[test]
fn a_run_in_review_goes_on_when_a_person_has_decided() {
    holds(waiting(Await::Person, Mutation::None));
}

#[test]
fn a_run_in_review_can_be_cancelled() {
    holds(World {
        cancels: true,
        epochs: 1,
        ..waiting(Await::Person, Mutation::None)
    });
}

#[test]
fn a_park_that_does_not_look_at_the_news_is_caught() {
    for awaited in [Await::Run, Await::Person] {
        is_caught(waiting(awaited, Mutation::NoNews), world::WAKES);
    }
}

#[test]
fn a_node_that_is_not_asked_again_is_caught() {
    for awaited in [Await::Run, Await::Person] {
        is_caught(waiting(awaited, Mutation::Forgetful), world::WAKES);
    }
}

#[test]
fn a_run_that_comes_back_rests_and_is_given_up_in_the_end() {
    holds(impatient(Mutation::None));
}

#[test]
fn a_rest_without_end_is_caught() {
    is_caught(impatient(Mutation::NoAlarm), world::CAN_END);
}

#[test]
fn attempts_that_nobody_counts_are_caught() {
    is_caught(impatient(Mutation::NoCount), world::GIVEN_UP);
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
