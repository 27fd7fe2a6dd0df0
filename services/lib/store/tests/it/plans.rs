//! What is asked often reads the rows that it is about and no others, whatever the planner knows about the tables.

use std::time::Duration;

use model::{ClaimedRun, ExecutionStatus};
use store::Store;
use uuid::Uuid;

use crate::world::{World, applied, batch, created, io_blocks, limits, node_status, run_status};

use ExecutionStatus::{Queued, Running};

const GRAPHS: usize = 20;
const RUNS_OF_A_GRAPH: usize = 30;
const HELD: u32 = 200;
const NODES: usize = 200;
const ASKED: usize = 10;
/// What follows in the journal of the first run.
const FIRST_SEQ: i64 = 2 + NODES as i64;

/// When the tables were analyzed: what is known of them then is what plans are made of.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Analyzed {
    Never,
    WithOneRun,
    Now,
}

const KNOWN: [Analyzed; 3] = [Analyzed::Never, Analyzed::WithOneRun, Analyzed::Now];

/// Runs that are held by `owner`, the first of which has many nodes, and twice as many that wait.
async fn many_runs(world: &World, owner: Uuid, analyzed: Analyzed) -> Vec<ClaimedRun> {
    let user = world.user().await;
    let mut analyze_now = analyzed == Analyzed::WithOneRun;
    for _ in 0..GRAPHS {
        let graph = world.graph(user).await;
        for _ in 0..RUNS_OF_A_GRAPH {
            world.run(graph).await;
            if std::mem::take(&mut analyze_now) {
                world.sql("ANALYZE").await;
            }
        }
    }
    let runs = world.claim(owner, HELD).await;
    assert_eq!(runs.len(), HELD as usize);
    let first = &runs[0];
    let mut entries = vec![run_status(Running)];
    for _ in 0..NODES {
        entries.push(created(Uuid::now_v7(), Uuid::new_v4()));
    }
    assert_eq!(world.append(owner, first, 1, entries).await, applied(FIRST_SEQ));
    if analyzed == Analyzed::Now {
        world.sql("ANALYZE").await;
    }
    world.store.close().await;
    runs
}

/// Rows that indexes of a table have given so far. Everybody else's sessions are closed: what they have counted is known by then.
async fn given(world: &World, table: &str) -> i64 {
    let mut connection = world.connection().await;
    let others =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    while sqlx::query_scalar::<_, i64>(others).fetch_one(&mut connection).await.unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    sqlx::query_scalar("SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = $1")
        .bind(table)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_append_reads_its_own_rows() {
    for analyzed in KNOWN {
        let (world, owner) = (World::new().await, Uuid::new_v4());
        let runs = many_runs(&world, owner, analyzed).await;
        let before = (given(&world, "graph_executions").await, given(&world, "node_executions").await);
        let store = Store::connect(&world.url, 1).unwrap();
        let run = &runs[0];
        for position in 0..ASKED {
            let first_seq = FIRST_SEQ + 2 * position as i64;
            let node = Uuid::now_v7();
            let entries = vec![created(node, Uuid::new_v4()), node_status(node, Queued, None)];
            let again = vec![batch(run, first_seq, entries)];
            assert_eq!(store.append_journal(owner, again).await.unwrap(), [applied(first_seq + 2)]);
        }
        let known: Vec<_> = run.node_executions.iter().map(|node| node.node_exec_id).collect();
        let first_seq = FIRST_SEQ + 2 * ASKED as i64;
        let change = vec![batch(run, first_seq, vec![node_status(known[0], Running, None)])];
        assert_eq!(store.append_journal(owner, change).await.unwrap(), [applied(first_seq + 1)]);
        store.close().await;
        let runs = given(&world, "graph_executions").await - before.0;
        let nodes = given(&world, "node_executions").await - before.1;
        let calls = ASKED as i64 + 1;
        assert!(runs <= 10 * calls, "{analyzed:?}: {calls} appends read {runs} rows of runs");
        assert!(nodes <= 10 * calls, "{analyzed:?}: {calls} appends read {nodes} rows of node executions");
    }
}

#[tokio::test]
async fn a_claim_reads_no_backlog() {
    for analyzed in KNOWN {
        let (world, owner) = (World::new().await, Uuid::new_v4());
        many_runs(&world, owner, analyzed).await;
        let before = given(&world, "graph_executions").await;
        let store = Store::connect(&world.url, 1).unwrap();
        for _ in 0..ASKED {
            assert_eq!(store.claim(owner, "test", limits(1)).await.unwrap().len(), 1);
        }
        store.close().await;
        let read = given(&world, "graph_executions").await - before;
        // The held runs of a graph are counted, of each graph when the order is read and of one when it is taken.
        let (held, of_a_graph) = (i64::from(HELD), RUNS_OF_A_GRAPH as i64);
        let bound = ASKED as i64 * (2 * of_a_graph + 10) + 2 * (held + 4 * GRAPHS as i64);
        assert!(read <= bound, "{analyzed:?}: {ASKED} claims read {read} rows of runs, more than {bound}");
    }
}

#[tokio::test]
async fn who_looks_for_wake_ups_and_ends_reads_no_other_runs() {
    for analyzed in KNOWN {
        let (world, owner) = (World::new().await, Uuid::new_v4());
        many_runs(&world, owner, analyzed).await;
        world.sql("DELETE FROM outbox").await;
        let before = given(&world, "graph_executions").await;
        let store = Store::connect(&world.url, 1).unwrap();
        for _ in 0..ASKED {
            assert!(store.take_outbox().await.unwrap().is_none());
            assert!(store.take_untold_ends(&io_blocks()).await.unwrap().is_none());
            store.ring_alarms().await.unwrap();
        }
        store.close().await;
        let read = given(&world, "graph_executions").await - before;
        assert_eq!(read, 0, "{analyzed:?}");
    }
}

/// Asked at every page and every proxied request of everybody.
#[tokio::test]
async fn who_is_logged_in_is_one_indexed_read() {
    for analyzed in [Analyzed::Never, Analyzed::Now] {
        let world = World::new().await;
        world
            .sql(
                "INSERT INTO users (id, email) SELECT gen_random_uuid(), n || '@example.test' FROM generate_series(1, 2000) n;
                 INSERT INTO auth_accounts (user_id, email, password_hash) SELECT id, email, 'x' FROM users;
                 INSERT INTO auth_sessions (id, user_id) SELECT gen_random_uuid(), user_id FROM auth_accounts, generate_series(1, 3)",
            )
            .await;
        if analyzed == Analyzed::Now {
            world.sql("ANALYZE").await;
        }
        let some = "SELECT user_id, id FROM auth_sessions LIMIT 1";
        let (user, session): (Uuid, Uuid) = sqlx::query_as(some).fetch_one(&mut world.connection().await).await.unwrap();
        world.store.close().await;
        let tables = ["users", "auth_accounts", "auth_sessions"];
        let mut before = Vec::new();
        for table in tables {
            before.push((given(&world, table).await, scans(&world, table).await));
        }
        let store = Store::connect(&world.url, 1).unwrap();
        for _ in 0..ASKED {
            let (account, session_exists) = store.account_of_token(user, Some(session)).await.unwrap().unwrap();
            assert!(account.user_id == user && session_exists);
        }
        store.close().await;
        for (table, (rows, (by_index, whole))) in tables.into_iter().zip(before) {
            let asked = ASKED as i64;
            assert_eq!(given(&world, table).await - rows, asked, "{analyzed:?}: rows of {table}");
            assert_eq!(scans(&world, table).await, (by_index + asked, whole), "{analyzed:?}: reads of {table}");
        }
    }
}

/// How often a table has been read so far: by an index, and as a whole.
async fn scans(world: &World, table: &str) -> (i64, i64) {
    sqlx::query_as("SELECT idx_scan, seq_scan FROM pg_stat_user_tables WHERE relname = $1")
        .bind(table)
        .fetch_one(&mut world.connection().await)
        .await
        .unwrap()
}
