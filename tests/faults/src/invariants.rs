//! What must be true of the database when nothing moves any more, whatever happened before (quality §4). Every check is a query; nothing
//! here knows which faults there were.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgPool;
use tokio::time::Instant;
use uuid::Uuid;

use crate::Result;
use crate::load::Accepted;

/// Wake-ups that are still to be sent may take so long.
const DRAINED: Duration = Duration::from_secs(30);
/// How many rows that break a rule are named.
const SHOWN: i64 = 20;

/// What the case promised.
pub struct Expected {
    /// Runs whose acceptance was answered.
    pub accepted: Vec<Accepted>,
    /// The statuses that an accepted run may have in the end, unless `exceptions` names it.
    pub statuses: &'static [&'static str],
    /// Graphs whose runs may end otherwise.
    pub exceptions: HashMap<Uuid, &'static [&'static str]>,
}

impl Expected {
    /// Every accepted run completes.
    pub fn completed(accepted: Vec<Accepted>) -> Self {
        Self::one_of(accepted, &["COMPLETED"])
    }

    pub fn one_of(accepted: Vec<Accepted>, statuses: &'static [&'static str]) -> Self {
        Self {
            accepted,
            statuses,
            exceptions: HashMap::new(),
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Verdict {
    pub runs: u64,
    pub lost: Vec<String>,
    pub doubled: Vec<String>,
    /// Other rules that some row breaks.
    pub broken: Vec<String>,
    /// Effects repeated under the same key.
    pub reruns: u64,
    pub parked: u64,
}

/// A rule, and a query for the rows that break it; its first column is a text.
struct Rule {
    says: &'static str,
    broken_by: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        says: "a run that is over has an end and no owner",
        broken_by: "SELECT id::text || ' ' || status FROM graph_executions
            WHERE status IN ('COMPLETED', 'FAILED', 'TERMINATED') AND (ended_at IS NULL OR lease_owner IS NOT NULL)",
    },
    Rule {
        says: "no node of a run that is over is under way",
        broken_by: "SELECT n.id::text || ' ' || n.status || ' in ' || g.id || ' ' || g.status FROM node_executions n
            JOIN graph_executions g ON g.id = n.graph_exec_id
            WHERE g.status IN ('COMPLETED', 'FAILED', 'TERMINATED') AND n.status IN ('QUEUED', 'RUNNING', 'REVIEW')",
    },
    Rule {
        says: "a completed node has a start and an end after it",
        broken_by: "SELECT id::text FROM node_executions
            WHERE status = 'COMPLETED' AND (started_at IS NULL OR ended_at IS NULL OR ended_at < started_at)",
    },
    Rule {
        says: "each position of a run's journal is one entry",
        broken_by: "SELECT graph_exec_id || ' position ' || seq FROM (
                SELECT graph_exec_id, added_seq AS seq FROM node_executions WHERE added_seq > 0
                UNION ALL
                SELECT n.graph_exec_id, o.seq FROM node_outputs o JOIN node_executions n ON n.id = o.node_exec_id
                UNION ALL
                SELECT n.graph_exec_id, i.seq FROM node_inputs i JOIN node_executions n ON n.id = i.node_exec_id WHERE n.added_seq > 0
            ) entries GROUP BY graph_exec_id, seq HAVING count(*) > 1",
    },
    Rule {
        says: "no run goes on without the run that started it",
        broken_by: "SELECT c.id || ' ' || c.status || ' under ' || p.id || ' ' || p.status FROM graph_executions c
            JOIN graph_executions p ON p.id = c.parent_graph_exec_id
            WHERE p.status IN ('FAILED', 'TERMINATED') AND c.status NOT IN ('COMPLETED', 'FAILED', 'TERMINATED')",
    },
    Rule {
        says: "a balance is the sum of its entries, and not below zero",
        broken_by: "SELECT b.user_id || ': ' || b.balance || ', entries ' || coalesce(e.total, 0) FROM user_balances b
            LEFT JOIN (SELECT user_id, sum(amount) AS total FROM credit_transactions WHERE is_active GROUP BY user_id) e USING (user_id)
            WHERE b.balance < 0 OR b.balance <> coalesce(e.total, 0)",
    },
    Rule {
        says: "a node execution is charged once",
        broken_by: "SELECT metadata ->> 'node_exec_id' || ': ' || count(*) || ' charges' FROM credit_transactions
            WHERE is_active AND type = 'USAGE' AND metadata ->> 'node_exec_id' IS NOT NULL
            GROUP BY metadata ->> 'node_exec_id' HAVING count(*) > 1",
    },
    Rule {
        says: "a charge of a run that is over is final or given back",
        broken_by:
            "SELECT r.node_exec_id || ' in ' || g.id || ' ' || g.status FROM credit_reservations r JOIN graph_executions g ON g.id = r.graph_exec_id
            WHERE g.status IN ('COMPLETED', 'FAILED', 'TERMINATED')",
    },
    Rule {
        says: "no row lies beyond the end of its run's journal",
        broken_by: "SELECT g.id || ' ends at ' || g.journal_seq FROM graph_executions g JOIN node_executions n ON n.graph_exec_id = g.id
            WHERE n.added_seq > g.journal_seq
               OR EXISTS (SELECT FROM node_outputs o WHERE o.node_exec_id = n.id AND o.seq > g.journal_seq)",
    },
];

/// Every graph of the battery runs each of its nodes once at most.
const NODE_COMPLETED_TWICE: &str = "SELECT graph_exec_id || ' node ' || node_id || ': ' || count(*) || ' executions' FROM node_executions
    GROUP BY graph_exec_id, node_id HAVING count(*) > 1";
const OUTPUT_TWICE: &str = "SELECT node_exec_id || ' output ' || name || ': ' || count(*) || ' values' FROM node_outputs
    WHERE name = 'output' GROUP BY node_exec_id, name HAVING count(*) > 1";
/// No graph of the battery has more than one node that runs another agent.
const CHILD_TWICE: &str = "SELECT parent_graph_exec_id || ': ' || count(*) || ' children' FROM graph_executions
    WHERE parent_graph_exec_id IS NOT NULL GROUP BY parent_graph_exec_id HAVING count(*) > 1";
/// A completed run of a chain has completed every node of its graph.
const NODE_MISSING: &str = "SELECT g.id || ': ' || n.completed || ' of ' || d.nodes || ' nodes completed' FROM graph_executions g
    CROSS JOIN LATERAL (SELECT count(*) AS nodes FROM nodes WHERE graph_id = g.graph_id AND graph_version = g.graph_version) d
    CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE status = 'COMPLETED') AS completed FROM node_executions WHERE graph_exec_id = g.id) n
    WHERE g.status = 'COMPLETED' AND n.completed <> d.nodes AND NOT (g.graph_id = ANY($1))";
/// Completed executions of nodes whose effect must be there.
const EFFECTFUL: &str = "SELECT n.id FROM node_executions n JOIN nodes d ON d.id = n.node_id WHERE n.status = 'COMPLETED' AND d.block_id = ANY($1)";

/// Checks everything. `broken` says which rule some row breaks, and shows the row.
pub async fn check(platform: &PgPool, effects: &PgPool, expected: &Expected) -> Result<Verdict> {
    let mut verdict = Verdict {
        runs: count(platform, "SELECT count(*) FROM graph_executions").await?,
        parked: count(platform, "SELECT count(*) FROM graph_executions WHERE status = 'REVIEW'").await?,
        ..Verdict::default()
    };
    accepted_runs(platform, expected, &mut verdict).await?;
    verdict.doubled.extend(texts(platform, NODE_COMPLETED_TWICE).await?);
    verdict.doubled.extend(texts(platform, OUTPUT_TWICE).await?);
    verdict.doubled.extend(texts(platform, CHILD_TWICE).await?);
    let exceptions: Vec<Uuid> = expected.exceptions.keys().copied().collect();
    let missing: Vec<String> = sqlx::query_scalar(NODE_MISSING).bind(exceptions).fetch_all(platform).await?;
    verdict.lost.extend(missing);
    effect_table(platform, effects, &mut verdict).await?;
    for rule in RULES {
        let shown = format!("SELECT * FROM ({}) rows LIMIT {SHOWN}", rule.broken_by);
        let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(shown)).fetch_all(platform).await?;
        for row in rows {
            verdict.broken.push(format!("{}: {row}", rule.says));
        }
    }
    for (rows, what) in [
        ("SELECT count(*) FROM outbox", "wake-ups were not sent"),
        ("SELECT count(*) FROM untold_ends", "ends of runs were not told"),
    ] {
        verdict.broken.extend(left_over(platform, rows, what).await?);
    }
    Ok(verdict)
}

/// Whatever was accepted is there, and over as it should be.
async fn accepted_runs(platform: &PgPool, expected: &Expected, verdict: &mut Verdict) -> Result<()> {
    let rows = sqlx::query("SELECT id, graph_id, status, stats ->> 'error' AS error FROM graph_executions")
        .fetch_all(platform)
        .await?;
    let mut known: HashMap<Uuid, (String, Option<String>)> = HashMap::with_capacity(rows.len());
    for row in rows {
        known.insert(row.try_get("id")?, (row.try_get("status")?, row.try_get("error")?));
    }
    for accepted in &expected.accepted {
        let allowed = expected.exceptions.get(&accepted.graph).copied().unwrap_or(expected.statuses);
        match known.get(&accepted.run) {
            None => verdict.lost.push(format!("run {} was accepted and is not there", accepted.run)),
            // These are stuck, which is counted elsewhere.
            Some((status, _)) if matches!(status.as_str(), "QUEUED" | "RUNNING" | "INCOMPLETE") => {}
            Some((status, error)) if !allowed.contains(&status.as_str()) => {
                let error = error.as_deref().unwrap_or("no error");
                verdict
                    .lost
                    .push(format!("run {} ended {status} ({error}) instead of {allowed:?}", accepted.run));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// One place where an effect may happen once: a node of a run.
#[derive(Default)]
struct Place {
    keys: HashSet<String>,
    effects: u64,
    once: bool,
}

async fn effect_table(platform: &PgPool, effects: &PgPool, verdict: &mut Verdict) -> Result<()> {
    let rows = sqlx::query("SELECT graph_exec_id, node_id, node_exec_id, idempotency_key, once FROM effects")
        .fetch_all(effects)
        .await?;
    let mut places: HashMap<(Uuid, Uuid), Place> = HashMap::new();
    let mut seen: HashSet<Uuid> = HashSet::with_capacity(rows.len());
    for row in rows {
        let place = places.entry((row.try_get("graph_exec_id")?, row.try_get("node_id")?)).or_default();
        place.keys.insert(row.try_get("idempotency_key")?);
        place.effects += 1;
        place.once |= row.try_get::<bool, _>("once")?;
        seen.insert(row.try_get("node_exec_id")?);
    }
    for ((run, node), place) in &places {
        let keys = place.keys.len();
        if keys > 1 {
            verdict.doubled.push(format!("run {run} node {node}: effects under {keys} keys"));
        } else if place.once && place.effects > 1 {
            verdict
                .doubled
                .push(format!("run {run} node {node}: {} effects of a Once block", place.effects));
        }
        verdict.reruns += place.effects - keys as u64;
    }
    let blocks: Vec<Uuid> = [workload::kit::id::EFFECT, workload::kit::id::ONCE_EFFECT]
        .iter()
        .filter_map(|id| id.parse().ok())
        .collect();
    let completed: Vec<Uuid> = sqlx::query_scalar(EFFECTFUL).bind(blocks).fetch_all(platform).await?;
    let missing = completed.into_iter().filter(|id| !seen.contains(id));
    verdict
        .lost
        .extend(missing.map(|id| format!("node execution {id} is completed, and its effect never happened")));
    Ok(())
}

/// What is committed and has to leave is still here or has left; nothing may stay when everything is there that takes it.
async fn left_over(platform: &PgPool, rows: &'static str, what: &str) -> Result<Option<String>> {
    let deadline = Instant::now() + DRAINED;
    loop {
        let left = count(platform, rows).await?;
        if left == 0 {
            return Ok(None);
        }
        if Instant::now() > deadline {
            return Ok(Some(format!("{left} {what} within {} s", DRAINED.as_secs())));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn count(pool: &PgPool, query: &'static str) -> Result<u64> {
    let count: i64 = sqlx::query_scalar(query).fetch_one(pool).await?;
    Ok(u64::try_from(count)?)
}

async fn texts(pool: &PgPool, query: &'static str) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar(query).fetch_all(pool).await?)
}
