//! The statements decide as `store::rules` says, for every row that there can be.

use std::collections::BTreeMap;

use model::{ExecutionStatus, GraphExecId};
use sqlx::Row;
use store::ClaimLimits;
use store::rules::RunRow;
use uuid::Uuid;

use crate::world::World;

const LIVING: Uuid = Uuid::from_u128(0xa);
const GONE: Uuid = Uuid::from_u128(0xb);

type Rows = BTreeMap<GraphExecId, RunRow>;

/// Runs in every status, held by nobody, by an executor with a lease and by one without, with and without a request to cancel.
async fn every_row(world: &World) -> Rows {
    let graph = world.user_with_graph().await;
    world.claim(LIVING, 0).await;
    let mut connection = world.connection().await;
    for status in ExecutionStatus::ALL {
        for owner in [None, Some(LIVING), Some(GONE)] {
            // A finished run is nobody's: the database refuses such a row.
            if status.is_terminal() && owner.is_some() {
                continue;
            }
            for cancel_requested in [false, true] {
                let id = world.run(graph).await;
                sqlx::query(
                    "UPDATE graph_executions SET status = $2, lease_owner = $3, claimed_at = now(), cancel_requested = $4,
                         ended_at = CASE WHEN $5 THEN now() END WHERE id = $1",
                )
                .bind(id)
                .bind(status.as_str())
                .bind(owner)
                .bind(cancel_requested)
                .bind(status.is_terminal())
                .execute(&mut connection)
                .await
                .unwrap();
            }
        }
    }
    let rows = rows(world).await;
    assert_eq!(rows.len(), (4 * 3 + 3) * 2);
    rows
}

async fn rows(world: &World) -> Rows {
    let mut connection = world.connection().await;
    let rows = sqlx::query("SELECT id, user_id, status, lease_owner, lease_epoch, journal_seq, cancel_requested, news FROM graph_executions")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let row = |row: &sqlx::postgres::PgRow| RunRow {
        id: row.get("id"),
        user_id: row.get("user_id"),
        status: row.get::<&str, _>("status").parse().unwrap(),
        owner: row.get("lease_owner"),
        epoch: row.get("lease_epoch"),
        journal_seq: row.get("journal_seq"),
        cancel_requested: row.get("cancel_requested"),
        news: row.get("news"),
    };
    rows.iter().map(row).map(|run| (run.id, run)).collect()
}

fn each(mut rows: Rows, rule: impl Fn(&mut RunRow)) -> Rows {
    rows.values_mut().for_each(rule);
    rows
}

#[tokio::test]
async fn a_claim_takes_what_is_claimable() {
    let world = World::new().await;
    let before = every_row(&world).await;
    let limits = ClaimLimits {
        free_slots: 100,
        per_user_and_graph: 100,
    };
    let claimed = world.store.claim(LIVING, "test", limits).await.unwrap();
    assert_eq!(claimed.len(), 2);
    let expected = each(before, |run| {
        if run.is_claimable() {
            run.claim(LIVING);
        }
    });
    assert_eq!(rows(&world).await, expected);
}

#[tokio::test]
async fn a_sweep_gives_back_what_is_orphaned() {
    let world = World::new().await;
    let before = every_row(&world).await;
    world.store.sweep().await.unwrap();
    let expected = each(before, |run| {
        if run.is_orphaned(run.owner == Some(LIVING)) {
            run.give_back();
        }
    });
    assert_eq!(rows(&world).await, expected);
}

#[tokio::test]
async fn a_request_to_cancel_flags_or_ends() {
    let world = World::new().await;
    let before = every_row(&world).await;
    for id in before.keys() {
        world.store.request_cancel(None, *id).await.unwrap();
    }
    let expected = each(before, |run| {
        run.request_cancel();
    });
    assert_eq!(rows(&world).await, expected);
}
