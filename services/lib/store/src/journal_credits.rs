//! What an append means for the ledger, in the transaction of the append: charges of nodes that ended become final or are given back,
//! and nodes that started count towards the fee. So nothing is lost or counted twice that is not lost or written twice itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::{ExecutionStatus, GraphExecId, NodeExecId, UserId};
use sqlx::{PgConnection, Row};

use crate::Result;
use crate::credits::{Balance, Booking, CreditRules, book, give_back, lock_balance, set_low_due};
use crate::journal_plan::{JournalPlan, RunRow};

/// To be called before the rows of `plan` are written, with the runs locked.
pub(crate) async fn account(
    connection: &mut PgConnection,
    rules: &CreditRules,
    plan: &JournalPlan<'_>,
    runs: &HashMap<GraphExecId, RunRow>,
) -> Result<()> {
    let mut fees = BTreeMap::new();
    if rules.fee_every > 0 && rules.fee > 0 {
        let starts = starts(connection, plan, runs).await?;
        fees = count(connection, rules, &starts).await?;
    }
    let returned = end_reservations(connection, plan).await?;
    let users: BTreeSet<UserId> = fees.keys().chain(returned.keys()).copied().collect();
    for user_id in users {
        let Some(balance) = lock_balance(connection, user_id).await? else {
            continue;
        };
        if let Some(due) = fees.get(&user_id) {
            due.collect(connection, rules, user_id, balance).await?;
        }
        for key in returned.get(&user_id).into_iter().flatten() {
            give_back(connection, user_id, key).await?;
        }
    }
    Ok(())
}

/// How many node executions of each user start here for the first time.
async fn starts(connection: &mut PgConnection, plan: &JournalPlan<'_>, runs: &HashMap<GraphExecId, RunRow>) -> Result<BTreeMap<UserId, i64>> {
    let mut starts: BTreeMap<UserId, i64> = BTreeMap::new();
    let mut add = |run: &GraphExecId, count: i64| {
        if let Some(run) = runs.get(run) {
            *starts.entry(run.user_id).or_default() += count;
        }
    };
    let mut stored: Vec<NodeExecId> = Vec::new();
    for (id, change) in plan.nodes.iter().filter(|(_, change)| change.started_at.is_some()) {
        match change.created {
            Some(_) => add(&change.graph_exec_id, 1),
            None => stored.push(*id),
        }
    }
    if !stored.is_empty() {
        let rows = sqlx::query(
            "SELECT graph_exec_id, count(*) AS count FROM node_executions WHERE id = ANY($1) AND started_at IS NULL GROUP BY graph_exec_id",
        )
        .bind(stored)
        .fetch_all(connection)
        .await?;
        for row in &rows {
            add(&row.try_get("graph_exec_id")?, row.try_get("count")?);
        }
    }
    Ok(starts)
}

/// Fees that a user owes.
struct Due {
    /// `YYYY-MM-DD` (UTC).
    day: String,
    /// Booked before.
    booked: i64,
    owed: i64,
}

/// Adds to the counts of the day. Returns who owes a fee.
async fn count(connection: &mut PgConnection, rules: &CreditRules, starts: &BTreeMap<UserId, i64>) -> Result<BTreeMap<UserId, Due>> {
    if starts.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = sqlx::query(
        "INSERT INTO node_execution_counts AS c (user_id, day, executions)
         SELECT user_id, (now() AT TIME ZONE 'UTC')::date, executions FROM unnest($1::uuid[], $2::bigint[]) AS n(user_id, executions) ORDER BY user_id
         ON CONFLICT (user_id) DO UPDATE SET day = excluded.day,
             executions = CASE WHEN c.day = excluded.day THEN c.executions ELSE 0 END + excluded.executions,
             fees = CASE WHEN c.day = excluded.day THEN c.fees ELSE 0 END
         RETURNING user_id, day::text AS day, executions, fees",
    )
    .bind(starts.keys().copied().collect::<Vec<_>>())
    .bind(starts.values().copied().collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let mut fees = BTreeMap::new();
    for row in &rows {
        let (executions, booked): (i64, i64) = (row.try_get("executions")?, row.try_get("fees")?);
        let owed = executions / rules.fee_every - booked;
        if owed > 0 {
            let day = row.try_get("day")?;
            fees.insert(row.try_get("user_id")?, Due { day, booked, owed });
        }
    }
    Ok(fees)
}

impl Due {
    /// Books as many fees as the balance allows. The rest stays due until the end of the day: a node that has started cannot be refused.
    async fn collect(&self, connection: &mut PgConnection, rules: &CreditRules, user_id: UserId, balance: Balance) -> Result<()> {
        let affordable = i64::from(balance.credits / rules.fee);
        let fees = self.owed.min(affordable);
        if fees <= 0 {
            return Ok(());
        }
        let total = self.booked + fees;
        let booking = Booking {
            user_id,
            // The last of the fees in it, so that no two entries of a day have one key.
            key: &format!("FEE-{}-{total}", self.day),
            kind: "USAGE",
            amount: -i32::try_from(fees).unwrap_or(i32::MAX).saturating_mul(rules.fee),
            metadata: &serde_json::json!({"reason": format!("Fee for {} node executions of {}", total * rules.fee_every, self.day)}),
        };
        let after = book(connection, &balance, &booking).await?;
        if rules.falls_low(booking.amount, after) {
            set_low_due(connection, user_id, true).await?;
        }
        sqlx::query("UPDATE node_execution_counts SET fees = $2 WHERE user_id = $1")
            .bind(user_id)
            .bind(total)
            .execute(connection)
            .await?;
        Ok(())
    }
}

/// Ends the reservations of nodes and runs that end here. Returns the charges to give back: those of nodes that ended without a cost,
/// as they never started.
async fn end_reservations(connection: &mut PgConnection, plan: &JournalPlan<'_>) -> Result<BTreeMap<UserId, Vec<String>>> {
    let mut nodes: Vec<NodeExecId> = Vec::new();
    let mut free: Vec<bool> = Vec::new();
    for (id, change) in plan.nodes.iter().filter(|(_, change)| change.status.is_terminal()) {
        // Without statistics it was caught in flight by a crash and not started again: its block may have begun.
        let is_free = change.stats.is_some_and(|stats| stats.cost == 0);
        // A block that ran to its end without a cost has no price.
        if !is_free || change.status != ExecutionStatus::Completed {
            nodes.push(*id);
            free.push(is_free);
        }
    }
    let ended = plan.runs.iter().filter(|(_, change)| change.ended_at.is_some());
    let runs: Vec<GraphExecId> = ended.map(|(id, _)| *id).collect();
    if nodes.is_empty() && runs.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = sqlx::query(
        "WITH node AS (SELECT * FROM unnest($1::uuid[], $2::bool[]) AS n(id, free))
         DELETE FROM credit_reservations r WHERE node_exec_id = ANY($1) OR graph_exec_id = ANY($3)
         RETURNING user_id, transaction_key, EXISTS (SELECT FROM node WHERE id = r.node_exec_id AND free) AS free",
    )
    .bind(nodes)
    .bind(free)
    .bind(runs)
    .fetch_all(connection)
    .await?;
    let mut returned: BTreeMap<UserId, Vec<String>> = BTreeMap::new();
    for row in &rows {
        if row.try_get("free")? {
            returned.entry(row.try_get("user_id")?).or_default().push(row.try_get("transaction_key")?);
        }
    }
    Ok(returned)
}
