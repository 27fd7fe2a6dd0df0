//! Reads over REST, as the web frontend does them: what is ready-made, one thing, a list of 25. Closed loop for the rate; then an open loop at
//! half of that rate for the latency. And what an API key costs beside a token, on the same ready-made answer.

use std::time::Duration;

use contract_tests::client::token;
use serde_json::json;
use workload::{Fleets, Role, graphs};

use crate::http::{Load, Target};
use crate::options::Options;
use crate::report::Rows;
use crate::stats::percentile;
use crate::world::World;
use crate::{Outcome, machine};

const CONNECTIONS: usize = 64;
const LISTED: usize = 25;
const HALF_LOAD_P99: f64 = 25.0;
const WARM_UP: Duration = Duration::from_secs(1);

pub async fn run(options: &Options) -> Outcome<Rows> {
    let mut rows = Rows::of("reads");
    let one = Fleets {
        executor: 1,
        ..Fleets::default()
    };
    let world = World::start(one).await?;
    let scene = Scene::make(&world).await?;
    let reads = [
        Read::new("health check", scene.get("/health", 200)?, None),
        Read::new(
            "cached read (onboarding/enabled)",
            scene.get("/api/onboarding/enabled", 200)?,
            Some(30_000.0),
        ),
        Read::new(
            "blocks, 304",
            scene.unchanged_blocks("/api/blocks", &scene.bearer()).await?,
            Some(20_000.0),
        ),
        Read::new("blocks, 200 compressed", scene.compressed_blocks()?, None),
        Read::new(
            "point read (a user's time zone)",
            scene.get("/api/auth/user/timezone", 200)?,
            Some(8000.0),
        ),
        Read::new("point read (a run)", scene.get(&scene.run_path, 200)?, None),
        Read::new("list of 25 graphs", scene.get("/api/graphs", 200)?, Some(4000.0)),
        Read::new("list of 25 runs", scene.get("/api/executions", 200)?, None),
    ];
    // Each read takes its part of the time: two thirds in the closed loop.
    let duration = options.duration.div_f64(reads.len() as f64);
    for Read { name, target, bar } in &reads {
        target.closed(CONNECTIONS, WARM_UP.min(duration)).await?;
        let (load, cpu) = scene.closed(target, duration.mul_f64(0.6)).await?;
        match bar {
            Some(bar) => rows.at_least(format!("{name}: requests a second"), load.rate(), "1/s", *bar),
            None => rows.info(format!("{name}: requests a second"), load.rate(), "1/s"),
        }
        rows.info(format!("{name}: CPU of rest"), cpu, "µs");
        let mut half = target.open(CONNECTIONS, load.rate() / 2.0, duration.mul_f64(0.3)).await?;
        rows.at_most(
            format!("{name}: p99 at half load"),
            percentile(&mut half.latencies, 0.99),
            "ms",
            HALF_LOAD_P99,
            "",
        );
    }
    key_beside_token(&mut rows, &scene, duration).await?;
    world.stop().await;
    Ok(rows)
}

/// The same ready-made answer for a token and for a key, in turns.
async fn key_beside_token(rows: &mut Rows, scene: &Scene, duration: Duration) -> Outcome<()> {
    let with_token = scene.unchanged_blocks("/api/blocks", &scene.bearer()).await?;
    let with_key = scene
        .unchanged_blocks("/external-api/v1/blocks", &("x-api-key", scene.key.clone()))
        .await?;
    let (mut token_cpu, mut key_cpu) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        token_cpu.push(scene.closed(&with_token, duration.div_f64(3.0)).await?.1);
        key_cpu.push(scene.closed(&with_key, duration.div_f64(3.0)).await?.1);
    }
    let (token_cpu, key_cpu) = (percentile(&mut token_cpu, 0.5), percentile(&mut key_cpu, 0.5));
    rows.at_most("an API key over a token: CPU of rest", key_cpu - token_cpu, "µs", 50.0, "");
    Ok(())
}

struct Read {
    name: &'static str,
    target: Target,
    bar: Option<f64>,
}

impl Read {
    fn new(name: &'static str, target: Target, bar: Option<f64>) -> Self {
        Self { name, target, bar }
    }
}

/// A user with 25 graphs, 25 runs of the first of them, and an API key.
struct Scene {
    base: String,
    token: String,
    key: String,
    run_path: String,
    pid: u32,
}

impl Scene {
    async fn make(world: &World) -> Outcome<Self> {
        let mut created = Vec::with_capacity(LISTED);
        for _ in 0..LISTED {
            created.push(world.graph(&graphs::two_node()).await);
        }
        let graph = *created.first().ok_or("no graph")?;
        let listener = world.listener().await?;
        let runs = world.execute(graph, LISTED).await?;
        listener.all_ended(&runs, Duration::from_secs(60)).await?;
        let run = runs.first().ok_or("no run")?;
        let wanted = json!({"name": "bench", "description": "", "permissions": ["READ_BLOCK"]});
        let answer = world.user.post("/api/api-keys", &wanted).await;
        let key = answer.body["plain_text_key"].as_str().ok_or_else(|| format!("no API key: {answer:?}"))?;
        Ok(Self {
            base: world.fleet.url(Role::Rest, 0)?,
            token: format!("Bearer {}", token(world.user.user)),
            key: key.to_owned(),
            run_path: format!("/api/graphs/{graph}/executions/{run}"),
            pid: world.fleet.pid(Role::Rest, 0).ok_or("there is no REST service")?,
        })
    }

    fn bearer(&self) -> (&'static str, String) {
        ("authorization", self.token.clone())
    }

    fn get(&self, path: &str, status: u16) -> Outcome<Target> {
        Target::get(&self.base, path, &[("authorization", &self.token)], status)
    }

    fn compressed_blocks(&self) -> Outcome<Target> {
        Target::get(
            &self.base,
            "/api/blocks",
            &[("authorization", &self.token), ("accept-encoding", "gzip")],
            200,
        )
    }

    /// Asks for blocks as a client that has them.
    async fn unchanged_blocks(&self, path: &str, (name, value): &(&str, String)) -> Outcome<Target> {
        let head = Target::get(&self.base, path, &[(name, value)], 200)?.head().await?;
        let tag = head
            .lines()
            .find_map(|line| line.strip_prefix("etag: "))
            .ok_or("blocks without an ETag")?;
        Target::get(&self.base, path, &[(name, value), ("if-none-match", tag.trim())], 304)
    }

    /// A closed loop, and the microseconds of the service's processor time for each answer.
    async fn closed(&self, target: &Target, duration: Duration) -> Outcome<(Load, f64)> {
        let before = machine::cpu_seconds(self.pid)?;
        let load = target.closed(CONNECTIONS, duration).await?;
        let cpu = (machine::cpu_seconds(self.pid)? - before) * 1e6 / load.answers().max(1.0);
        Ok((load, cpu))
    }
}
