//! What a user's runs amounted to in a window of time (internals §1.5, method 47).

use indexmap::IndexMap;
use model::notification::UserExecutionSummary;
use model::{Timestamp, UserId};
use sqlx::Row;

use crate::{Result, Store};

impl Store {
    pub async fn execution_summary(&self, user_id: UserId, start: Timestamp, end: Timestamp) -> Result<UserExecutionSummary> {
        let rows = sqlx::query(
            "SELECT coalesce(g.name, '') AS name, count(*) AS runs,
                    count(*) FILTER (WHERE e.status = 'COMPLETED') AS completed, count(*) FILTER (WHERE e.status = 'FAILED') AS failed,
                    coalesce(sum((e.stats ->> 'walltime')::float8), 0) AS walltime, coalesce(sum((e.stats ->> 'cost')::float8), 0) AS cost
             FROM graph_executions e JOIN graphs g ON g.id = e.graph_id AND g.version = e.graph_version
             WHERE e.user_id = $1 AND NOT e.is_deleted AND e.created_at >= $2 AND e.created_at <= $3
             GROUP BY g.id, g.name ORDER BY runs DESC, name",
        )
        .bind(user_id)
        .bind(start.into_inner())
        .bind(end.into_inner())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        let mut summary = UserExecutionSummary {
            most_used_agent: "No agents used".to_owned(),
            ..UserExecutionSummary::default()
        };
        let mut costs: IndexMap<String, f64> = IndexMap::new();
        for (index, row) in rows.iter().enumerate() {
            let name: String = row.try_get("name")?;
            let cost: f64 = row.try_get("cost")?;
            summary.total_executions += row.try_get::<i64, _>("runs")?;
            summary.successful_runs += row.try_get::<i64, _>("completed")?;
            summary.failed_runs += row.try_get::<i64, _>("failed")?;
            summary.total_execution_time += row.try_get::<f64, _>("walltime")?;
            summary.total_credits_used += cost;
            if index == 0 {
                summary.most_used_agent.clone_from(&name);
            }
            if cost > 0.0 {
                *costs.entry(name).or_default() += cost;
            }
        }
        if summary.total_executions > 0 {
            summary.average_execution_time = summary.total_execution_time / summary.total_executions as f64;
        }
        summary.cost_breakdown = costs;
        Ok(summary)
    }
}
