//! Schedules that are rows: 10 000 of 100 000 due at one instant, then 10 000 spread over a second. How late each decision was committed,
//! and how long it took until the run of the last one was accepted, while the rest of the platform runs what is submitted.
//!
//! A decision counts as committed when another session sees it; its clock is the database's.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::{Connection, PgConnection};
use workload::{Role, graphs};

use crate::options::Options;
use crate::report::Rows;
use crate::stats::{median, percentile};
use crate::world::{World, roomy};
use crate::{Outcome, machine};

const DECIDED_MS: f64 = 1000.0;
const DECIDED_P50_MS: f64 = 500.0;
const SUBMITTED_MS: f64 = 15_000.0;
const SPREAD_P99_MS: f64 = 250.0;
/// Owners of the schedules, each with a graph.
const USERS: usize = 20;
const ROUNDS: usize = 3;
/// Enough to set the slots and start the scheduler before the first of them.
const AHEAD: Duration = Duration::from_secs(8);
const LOOK: Duration = Duration::from_millis(4);
/// Batches may become visible in another order than they began.
const OVERLAP_S: f64 = 0.3;
const PATIENCE: Duration = Duration::from_secs(120);

pub async fn run(options: &Options) -> Outcome<Rows> {
    let mut rows = Rows::of("schedules");
    let mut world = World::start(roomy()).await?;
    let mut observer = Observer::connect(world.fleet.database_url()).await?;
    let due = options.scaled(10_000, 200);
    world.fleet.terminate(Role::Scheduler, 0).await?;
    observer.fill(&world, due).await?;
    let mut at_once = Lateness::default();
    let mut spread = Lateness::default();
    let mut slots = 0.0;
    let before = world.cpu();
    for _ in 0..ROUNDS {
        at_once.add(round(&mut world, &mut observer, due, 0.0).await?);
        spread.add(round(&mut world, &mut observer, due, 1.0).await?);
        slots += 2.0 * f64::from(u32::try_from(due)?);
    }
    let after = world.cpu();
    let all = due * 10;
    rows.at_most(
        format!("{due} of {all} due at once: decided, max"),
        median(&mut at_once.max),
        "ms",
        DECIDED_MS,
        "",
    );
    rows.at_most(
        format!("{due} of {all} due at once: decided, p50"),
        median(&mut at_once.p50),
        "ms",
        DECIDED_P50_MS,
        "",
    );
    rows.at_most(
        format!("{due} of {all} due at once: all submitted"),
        median(&mut at_once.submitted),
        "ms",
        SUBMITTED_MS,
        "",
    );
    rows.at_most(
        format!("{due} within a second: decided, p99"),
        median(&mut spread.p99),
        "ms",
        SPREAD_P99_MS,
        "",
    );
    rows.info(format!("{due} within a second: decided, p50"), median(&mut spread.p50), "ms");
    rows.info(format!("{due} within a second: all submitted"), median(&mut spread.submitted), "ms");
    rows.info("processor time a slot, scheduler", at_once.cpu(&spread) * 1e6 / slots, "µs");
    for who in ["executor", "db", "postgres"] {
        rows.info(
            format!("processor time a slot, its run included, {who}"),
            after.each_since(&before, who, slots),
            "µs",
        );
    }
    world.stop().await;
    Ok(rows)
}

/// What one round has come to, in milliseconds.
struct Round {
    decided: Vec<f64>,
    submitted: f64,
    /// Of the scheduler, in seconds.
    cpu: f64,
}

#[derive(Default)]
struct Lateness {
    p50: Vec<f64>,
    p99: Vec<f64>,
    max: Vec<f64>,
    submitted: Vec<f64>,
    cpu: f64,
}

impl Lateness {
    fn cpu(&self, other: &Self) -> f64 {
        self.cpu + other.cpu
    }

    fn add(&mut self, mut round: Round) {
        self.p50.push(median(&mut round.decided));
        self.p99.push(percentile(&mut round.decided, 0.99));
        self.max.push(percentile(&mut round.decided, 1.0));
        self.submitted.push(round.submitted);
        self.cpu += round.cpu;
    }
}

/// Everything is due within `seconds` from an instant on.
async fn round(world: &mut World, observer: &mut Observer, due: usize, seconds: f64) -> Outcome<Round> {
    let start = observer.arm(AHEAD, seconds).await?;
    world.fleet.launch(Role::Scheduler, 0)?;
    world.fleet.ready(Role::Scheduler, 0).await?;
    if observer.now().await? >= start {
        return Err("the scheduler was not ready when the first slot came: the machine is too busy".into());
    }
    let decided = observer.decided(start, due).await?;
    let submitted = (observer.submitted(due).await? - start) * 1000.0;
    let cpu = machine::cpu_seconds(world.fleet.pid(Role::Scheduler, 0).ok_or("the scheduler is gone")?)?;
    world.database.all_ended(PATIENCE).await?;
    world.fleet.terminate(Role::Scheduler, 0).await?;
    observer.check(start, due).await?;
    Ok(Round { decided, submitted, cpu })
}

/// Looks at the schedules and their decisions.
struct Observer(PgConnection);

impl Observer {
    async fn connect(url: &str) -> Outcome<Self> {
        let mut connection = PgConnection::connect(url).await?;
        // As in the services: the tables are young, and looking must not be part of the load.
        sqlx::query("SET enable_seqscan = off").execute(&mut connection).await?;
        Ok(Self(connection))
    }

    /// Ten schedules for each that will be due, in mixed zones and rhythms, of several users.
    async fn fill(&mut self, world: &World, due: usize) -> Outcome<()> {
        // What is decided must not be due again while it is looked at.
        let month: i32 = sqlx::query_scalar("SELECT (extract(month FROM now())::int + 4) % 12 + 1")
            .fetch_one(&mut self.0)
            .await?;
        let month = month.to_string();
        for user in 0..USERS {
            let client = world.fleet.user().await?;
            let graph = client.create_graph(&graphs::two_node()).await;
            sqlx::query(
                "INSERT INTO schedules (id, user_id, graph_id, graph_version, name, cron, timezone, inputs, next_run_at)
                 SELECT gen_random_uuid(), g.user_id, g.id, g.version, 'schedule ' || place,
                     replace((ARRAY['0 9 * M *', '*/5 * * M *', '30 2 * M 0-4', '0 0 1 M *', '15 */2 last M *'])[1 + place % 5], 'M', $6),
                     (ARRAY['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata'])[1 + place % 4],
                     $4, now() + make_interval(days => 30, secs => place)
                 FROM graphs g, generate_series($2::int, $3::int, $5::int) AS place WHERE g.id = $1",
            )
            .bind(graph)
            .bind(i32::try_from(user)?)
            .bind(i32::try_from(due * 10)? - 1)
            .bind(json!({"topic": "the state of the art", "words": 500}))
            .bind(i32::try_from(USERS)?)
            .bind(&month)
            .execute(&mut self.0)
            .await?;
        }
        Ok(())
    }

    /// Makes every tenth schedule due within `seconds` from an instant `ahead` on, which it returns. The others are not due for a month.
    async fn arm(&mut self, ahead: Duration, seconds: f64) -> Outcome<f64> {
        sqlx::query("DELETE FROM schedule_decisions").execute(&mut self.0).await?;
        let start = (self.now().await? + ahead.as_secs_f64()).ceil();
        sqlx::query(
            "UPDATE schedules SET next_run_at = to_timestamp($1 + random() * $2) FROM (
                 SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) AS place FROM schedules) places WHERE place % 10 = 0) chosen
             WHERE schedules.id = chosen.id",
        )
        .bind(start)
        .bind(seconds)
        .execute(&mut self.0)
        .await?;
        sqlx::query("VACUUM schedules, schedule_decisions, schedule_submissions")
            .execute(&mut self.0)
            .await?;
        Ok(start)
    }

    /// Waits until `count` slots are decided; how late each was, in milliseconds.
    async fn decided(&mut self, start: f64, count: usize) -> Outcome<Vec<f64>> {
        let deadline = Instant::now() + AHEAD + PATIENCE;
        // Every transaction has its own time; here is when it was seen, in seconds.
        let mut seen: HashMap<String, (f64, usize)> = HashMap::new();
        let mut latest = start;
        loop {
            let query = "SELECT decided_at::text, extract(epoch FROM decided_at)::float8, count(*), extract(epoch FROM clock_timestamp())::float8
                 FROM schedule_decisions WHERE decided_at > to_timestamp($1) GROUP BY decided_at";
            let batches: Vec<(String, f64, i64, f64)> = sqlx::query_as(query).bind(latest - OVERLAP_S).fetch_all(&mut self.0).await?;
            for (batch, began, size, now) in batches {
                latest = latest.max(began);
                seen.entry(batch).or_insert((now, usize::try_from(size)?));
            }
            let decided: usize = seen.values().map(|(_, size)| size).sum();
            if decided >= count {
                break;
            }
            if Instant::now() > deadline {
                return Err(format!("{decided} of {count} slots were decided in time").into());
            }
            tokio::time::sleep(LOOK).await;
        }
        let slots: Vec<(String, f64)> = sqlx::query_as("SELECT decided_at::text, extract(epoch FROM slot)::float8 FROM schedule_decisions")
            .fetch_all(&mut self.0)
            .await?;
        let late = slots.iter().map(|(batch, slot)| Some((seen.get(batch)?.0 - slot) * 1000.0));
        late.collect::<Option<Vec<f64>>>()
            .ok_or_else(|| "a decision was made that nobody saw".into())
    }

    /// Waits until every decision has its run; when that was seen, in seconds.
    async fn submitted(&mut self, count: usize) -> Outcome<f64> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let pending: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM schedule_submissions)")
                .fetch_one(&mut self.0)
                .await?;
            let now = self.now().await?;
            if !pending {
                return Ok(now);
            }
            if Instant::now() > deadline {
                return Err(format!("not all of {count} runs were submitted in time").into());
            }
            tokio::time::sleep(5 * LOOK).await;
        }
    }

    /// One decision and one run for every slot, and no other run.
    async fn check(&mut self, start: f64, count: usize) -> Outcome<()> {
        let query = "SELECT count(*), count(DISTINCT d.graph_exec_id), (SELECT count(*) FROM graph_executions WHERE created_at >= to_timestamp($1))
             FROM schedule_decisions d JOIN graph_executions g ON g.id = d.graph_exec_id";
        let (decisions, runs, all): (i64, i64, i64) = sqlx::query_as(query).bind(start).fetch_one(&mut self.0).await?;
        if [decisions, runs, all].iter().all(|number| usize::try_from(*number) == Ok(count)) {
            return Ok(());
        }
        Err(format!("{count} slots became {decisions} decisions with {runs} runs of {all}: not one each").into())
    }

    async fn now(&mut self) -> Outcome<f64> {
        Ok(sqlx::query_scalar("SELECT extract(epoch FROM clock_timestamp())::float8")
            .fetch_one(&mut self.0)
            .await?)
    }
}
