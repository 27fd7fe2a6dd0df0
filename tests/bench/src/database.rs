//! What the database says about the runs: figures are counted there, not believed.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::Outcome;

pub struct Database(PgConnection);

impl Database {
    pub async fn connect(url: &str) -> Outcome<Self> {
        let mut connection = PgConnection::connect(url).await?;
        // The tables are young and have no statistics: without this the planner reads them whole, and the looking would be part of the load.
        sqlx::query("SET enable_seqscan = off").execute(&mut connection).await?;
        Ok(Self(connection))
    }

    /// Runs that are not over. Both parts have an index of their own, whose dead entries are read with the living: asking often would be part
    /// of the load.
    pub async fn open_runs(&mut self) -> Outcome<i64> {
        let query = "SELECT (SELECT count(*) FROM graph_executions WHERE status = 'QUEUED' AND lease_owner IS NULL)
             + (SELECT count(*) FROM graph_executions WHERE lease_owner IS NOT NULL)";
        Ok(sqlx::query_scalar(query).fetch_one(&mut self.0).await?)
    }

    /// Waits until no run is open.
    pub async fn all_ended(&mut self, within: Duration) -> Outcome<()> {
        let deadline = Instant::now() + within;
        loop {
            match self.open_runs().await? {
                0 => return Ok(()),
                open if Instant::now() > deadline => return Err(format!("{open} runs had not ended after {within:?}").into()),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// The database's clock, in seconds.
    pub async fn now(&mut self) -> Outcome<f64> {
        Ok(sqlx::query_scalar("SELECT extract(epoch FROM clock_timestamp())::float8")
            .fetch_one(&mut self.0)
            .await?)
    }

    /// Node executions that completed between two instants.
    pub async fn nodes_completed(&mut self, from: f64, to: f64) -> Outcome<i64> {
        self.count_ended("node_executions", from, to).await
    }

    /// Runs that completed between two instants.
    pub async fn runs_completed(&mut self, from: f64, to: f64) -> Outcome<i64> {
        self.count_ended("graph_executions", from, to).await
    }

    async fn count_ended(&mut self, table: &str, from: f64, to: f64) -> Outcome<i64> {
        let query =
            format!("SELECT count(*) FROM {table} WHERE status = 'COMPLETED' AND ended_at >= to_timestamp($1) AND ended_at < to_timestamp($2)");
        Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .bind(from)
            .bind(to)
            .fetch_one(&mut self.0)
            .await?)
    }

    /// Milliseconds between the starts of neighbours in chains.
    pub async fn hops(&mut self, runs: &[Uuid]) -> Outcome<Vec<f64>> {
        let query = "SELECT extract(epoch FROM hop)::float8 * 1000 FROM (
                 SELECT started_at - lag(started_at) OVER (PARTITION BY graph_exec_id ORDER BY added_seq) AS hop
                 FROM node_executions WHERE graph_exec_id = ANY($1)) hops WHERE hop IS NOT NULL";
        Ok(sqlx::query_scalar(query).bind(runs).fetch_all(&mut self.0).await?)
    }

    /// Seconds from the first start to the last end of a run's nodes, and how many there are.
    pub async fn span(&mut self, run: Uuid) -> Outcome<(f64, i64)> {
        let query = "SELECT coalesce(extract(epoch FROM max(ended_at) - min(started_at))::float8, 0), count(*) FROM node_executions
             WHERE graph_exec_id = $1";
        Ok(sqlx::query_as(query).bind(run).fetch_one(&mut self.0).await?)
    }

    /// Fails unless each of `runs` is COMPLETED with `nodes` completed node executions.
    pub async fn check_completed(&mut self, runs: &[Uuid], nodes: i64) -> Outcome<()> {
        let query = "SELECT count(*) FROM unnest($1::uuid[]) AS wanted(id)
             WHERE NOT EXISTS (SELECT FROM graph_executions g WHERE g.id = wanted.id AND g.status = 'COMPLETED')
                OR $2 <> (SELECT count(*) FROM node_executions n WHERE n.graph_exec_id = wanted.id AND n.status = 'COMPLETED')";
        let wrong: i64 = sqlx::query_scalar(query).bind(runs).bind(nodes).fetch_one(&mut self.0).await?;
        if wrong == 0 {
            return Ok(());
        }
        Err(format!("{wrong} of {} runs did not complete with {nodes} nodes each", runs.len()).into())
    }

    /// Seconds from the start to the end of each run.
    pub async fn durations(&mut self, runs: &[Uuid]) -> Outcome<Vec<f64>> {
        let query = "SELECT extract(epoch FROM ended_at - created_at)::float8 FROM graph_executions WHERE id = ANY($1) AND ended_at IS NOT NULL";
        Ok(sqlx::query_scalar(query).bind(runs).fetch_all(&mut self.0).await?)
    }

    /// Waits until so many node executions are RUNNING.
    pub async fn sleeping(&mut self, count: i64, within: Duration) -> Outcome<()> {
        let deadline = Instant::now() + within;
        loop {
            let running: i64 = sqlx::query_scalar("SELECT count(*) FROM node_executions WHERE status = 'RUNNING'")
                .fetch_one(&mut self.0)
                .await?;
            if running >= count {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("only {running} of {count} nodes were running after {within:?}").into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The runs that an executor holds.
    pub async fn runs_of_executor(&mut self, name: &str) -> Outcome<Vec<(Uuid, i64)>> {
        let query = "SELECT g.id, g.lease_epoch FROM graph_executions g JOIN executor_leases l ON l.owner = g.lease_owner WHERE l.name = $1";
        Ok(sqlx::query_as(query).bind(name).fetch_all(&mut self.0).await?)
    }

    /// When the last of `held` was claimed again, under a higher epoch, or over.
    pub async fn taken_over(&mut self, held: &[(Uuid, i64)], within: Duration) -> Outcome<Instant> {
        let (ids, epochs): (Vec<Uuid>, Vec<i64>) = held.iter().copied().unzip();
        let query = "SELECT count(*) FROM graph_executions g JOIN unnest($1::uuid[], $2::bigint[]) AS held(id, epoch) USING (id)
             WHERE g.lease_epoch = held.epoch AND g.ended_at IS NULL";
        let deadline = Instant::now() + within;
        loop {
            let left: i64 = sqlx::query_scalar(query).bind(&ids).bind(&epochs).fetch_one(&mut self.0).await?;
            if left == 0 {
                return Ok(Instant::now());
            }
            if Instant::now() > deadline {
                return Err(format!("{left} runs of a dead executor were nobody else's after {within:?}").into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
