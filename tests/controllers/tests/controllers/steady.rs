//! Where nothing happens, nothing is written.

use std::time::Duration;

use controllers_tests::{World, steady};

/// Longer than the shortest pauses between retries; the fault battery watches for five minutes.
const TIME: Duration = Duration::from_secs(12);

#[tokio::test]
async fn an_operator_that_has_nothing_to_do_writes_nothing() {
    let world = World::new().await;
    let operator = world.operator("a").await;
    steady::furnish(&world).await;
    assert_eq!(steady::writes_at_rest(&world, TIME).await, Vec::<String>::new());
    operator.assert_running().await.stop().await;
}

#[tokio::test]
async fn a_standby_and_a_new_leader_write_nothing_either() {
    let world = World::new().await;
    let first = world.operator("first").await;
    steady::furnish(&world).await;
    world.comes_to_rest(Duration::from_secs(3)).await;
    let before = world.writes().len();
    let second = world.operator("second").await;
    first.stop().await;
    assert_eq!(steady::writes_at_rest(&world, TIME).await, Vec::<String>::new());
    assert_eq!(world.writes().split_off(before), Vec::<String>::new(), "at the change of leaders");
    second.stop().await;
}
