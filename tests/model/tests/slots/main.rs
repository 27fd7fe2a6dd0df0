//! A schedule between two operators that both believe that they lead, explored exhaustively; `make faults` explores more of what deletions do
//! (`schedule_model`).

#![allow(clippy::print_stdout)] // the size of what was explored

use model_tests::slots::{self, World};

#[test]
fn every_slot_has_one_decision_and_one_run() {
    for scene in slots::policies(3).into_iter().chain([slots::deletion(1)]) {
        let found = slots::explore(scene, 2);
        println!("{found}");
        assert_eq!(found.failure, None, "{found}");
    }
}

#[test]
fn a_rule_that_is_taken_away_is_missed() {
    for (scene, property) in slots::broken() {
        let found = slots::catches(scene, property);
        println!("{found}");
        assert_eq!(found.failure, None, "{found}");
    }
}

/// States that count as one lead to the same: what can come to be outside the operators is the same as without that.
#[test]
fn nothing_is_lost_by_looking_at_fewer_states() {
    for scene in slots::policies(2) {
        let world = World::new(scene);
        let (reduced, fewer) = slots::outsides(&world);
        let (full, all) = slots::outsides(&world.into_full());
        println!("{:?}: {fewer} states instead of {all}, {} outside", scene.overlap, full.len());
        assert!(reduced == full, "{scene:?}");
    }
}
