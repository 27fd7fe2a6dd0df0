use futures::future::try_join_all;
use model::ExecutionStatus::Running;
use serde_json::json;
use store::{SchemaState, Store};
use uuid::Uuid;

use crate::world::{World, applied, created, input, node_status, output, run_status};

#[tokio::test]
async fn an_empty_database_is_old_and_a_migrated_one_ready() {
    let store = Store::connect(&devservices::testing::database().await, 2).unwrap();
    assert!(matches!(store.schema_state().await.unwrap(), SchemaState::Old { have: 0, .. }));
    let remedy = store.check_schema().await.unwrap_err().to_string();
    assert!(remedy.contains("db migrate"), "{remedy}");
    let (first, second) = tokio::join!(store.migrate(), store.migrate());
    first.unwrap();
    second.unwrap();
    assert_eq!(store.schema_state().await.unwrap(), SchemaState::Ready);
    store.migrate().await.unwrap();
}

#[tokio::test]
async fn a_half_done_migration_is_named_with_the_remedy() {
    let world = World::new().await;
    world.sql("UPDATE _sqlx_migrations SET success = false WHERE version = 3").await;
    assert_eq!(world.store.schema_state().await.unwrap(), SchemaState::Dirty { version: 3 });
}

#[tokio::test]
async fn a_program_that_is_older_than_the_schema_is_content() {
    let world = World::new().await;
    world
        .sql("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', true, '', 0)")
        .await;
    assert_eq!(world.store.schema_state().await.unwrap(), SchemaState::Ready);
    world.store.migrate().await.unwrap();
}

#[tokio::test]
async fn tables_live_in_the_schema_that_the_url_names() {
    let url = devservices::testing::database().await;
    let store = Store::connect(&format!("{url}?schema=platform"), 2).unwrap();
    store.migrate().await.unwrap();
    let outside = Store::connect(&url, 1).unwrap();
    assert!(matches!(outside.schema_state().await.unwrap(), SchemaState::Old { .. }));
    assert_eq!(store.schema_state().await.unwrap(), SchemaState::Ready);
}

#[tokio::test]
async fn two_users_cannot_have_one_address() {
    let world = World::new().await;
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    world.store.get_or_create_user(first, "a@example.com", None).await.unwrap();
    world.store.get_or_create_user(first, "changed@example.com", None).await.unwrap();
    let refused = world.store.get_or_create_user(second, "a@example.com", None).await.unwrap_err();
    assert_eq!(refused.constraint(), Some("users_email_key"));
}

#[tokio::test]
async fn a_user_who_comes_first_on_many_ways_at_once_is_made_once() {
    let world = World::new().await;
    for _ in 0..40 {
        let id = Uuid::new_v4();
        let email = format!("{id}@example.com");
        let users = try_join_all((0..8).map(|_| world.store.get_or_create_user(id, &email, None)))
            .await
            .unwrap();
        assert!(users.iter().all(|user| user.email == email));
        try_join_all((0..8).map(|_| world.store.ensure_service_user(Uuid::from_u128(id.as_u128() + 1))))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_run_that_is_deleted_takes_all_its_rows_with_it() {
    for deletion in ["DELETE FROM graph_executions", "DELETE FROM graphs", "DELETE FROM users"] {
        let world = World::new().await;
        let (graph, owner) = (world.user_with_graph().await, Uuid::new_v4());
        for _ in 0..3 {
            let run = world.claimed_run(graph, owner).await;
            let (start, sink) = (run.node_executions[0].node_exec_id, Uuid::now_v7());
            let entries = vec![
                run_status(Running),
                node_status(start, Running, None),
                output(start, "result", json!(1)),
                created(sink, graph.output_node),
                input(sink, "value", json!(1)),
            ];
            assert_eq!(world.append(owner, &run, 1, entries).await, applied(6));
        }
        let tables = [
            ("SELECT count(*) FROM graph_executions", 3),
            ("SELECT count(*) FROM node_executions", 6),
            ("SELECT count(*) FROM node_inputs", 9),
            ("SELECT count(*) FROM node_outputs", 3),
        ];
        for (rows, written) in tables {
            assert_eq!(world.number(rows).await, written, "{rows}");
        }
        world.sql(deletion).await;
        for (rows, _) in tables {
            assert_eq!(world.number(rows).await, 0, "{deletion}: {rows}");
        }
    }
}
