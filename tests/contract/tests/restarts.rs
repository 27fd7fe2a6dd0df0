//! No accepted run is lost, whatever is killed: executor, database manager, PostgreSQL, RabbitMQ, Redis (design §1).
//!
//! Single services as processes of their own, on servers of their own that may be killed.

#![allow(clippy::expect_used, clippy::panic)] // a test that cannot go on ends by panicking

use std::collections::HashMap;
use std::future::Future;
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, Instant};

use contract_tests::client::{Client, status};
use contract_tests::graphs;
use contract_tests::process::{self, Process, Variables};
use devservices::{Options, Part, Stack};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

const READY: Duration = Duration::from_secs(90);
/// Nodes of a run: enough that a kill finds many runs in the middle.
const LENGTH: usize = 40;
const RUNS: usize = 24;
/// A killed executor's runs go on after its lease of 15 s; everything else is faster. The rest is for a busy machine.
const RECOVERED: Duration = Duration::from_secs(90);

/// One for all tests: the servers' processes belong to the runtime that started them.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

struct Platform {
    stack: Stack,
    variables: Variables,
    services: HashMap<&'static str, Process>,
    _data: TempDir,
}

/// The platform, for one test at a time. It ends with the test process.
async fn platform() -> MutexGuard<'static, Platform> {
    static PLATFORM: OnceLock<tokio::sync::OnceCell<Mutex<Platform>>> = OnceLock::new();
    PLATFORM
        .get_or_init(tokio::sync::OnceCell::new)
        .get_or_init(async || Mutex::new(Platform::start().await))
        .await
        .lock()
        .await
}

impl Platform {
    async fn start() -> Self {
        let data = tempfile::tempdir().expect("a directory");
        std::fs::set_permissions(data.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("permissions");
        let stack = Stack::start(data.path(), Options { durable: false }).await.expect("the servers start");
        let mut variables = process::variables();
        variables.extend(stack.pairs().into_iter().map(|(name, value)| (name.to_owned(), value)));
        variables.insert("MIGRATE_ON_START".to_owned(), "true".to_owned());
        let mut platform = Self {
            stack,
            variables,
            services: HashMap::new(),
            _data: data,
        };
        // Against the order in which they need each other.
        for name in ["executor", "scheduler", "rest", "db"] {
            platform.launch(name);
        }
        for name in ["executor", "scheduler", "rest", "db"] {
            platform.ready(name).await;
        }
        platform
    }

    fn launch(&mut self, name: &'static str) {
        self.services.insert(name, Process::start(name, &[], &self.variables));
    }

    fn take(&mut self, name: &str) -> Process {
        self.services.remove(name).expect("a running service")
    }

    async fn ready(&self, name: &str) {
        let port = match name {
            "executor" => "EXECUTION_MANAGER_PORT",
            "scheduler" => "EXECUTION_SCHEDULER_PORT",
            "db" => "DATABASE_API_PORT",
            _ => "AGENT_API_PORT",
        };
        process::ready(&self.services[name], &format!("{}/readyz", process::url(&self.variables, port)), READY).await;
    }

    async fn user(&self) -> Client {
        Client::new_user(&process::url(&self.variables, "AGENT_API_PORT")).await
    }

    /// A user with accepted runs, of which at least one has ended.
    async fn busy(&self) -> Accepted {
        let accepted = Accepted::submit(self.user().await).await;
        let (user, graph) = (&accepted.user, accepted.graph);
        user.finished(graph, accepted.runs[0].1, RECOVERED).await;
        accepted
    }
}

/// Runs that the platform has accepted, each with the value that it must give.
struct Accepted {
    user: Client,
    graph: Uuid,
    runs: Vec<(String, Uuid)>,
}

impl Accepted {
    async fn submit(user: Client) -> Self {
        let graph = user.create_graph(&graphs::chain(LENGTH)).await;
        let mut accepted = Self {
            user,
            graph,
            runs: Vec::new(),
        };
        accepted.submit_more(RUNS).await;
        accepted
    }

    async fn submit_more(&mut self, count: usize) {
        for _ in 0..count {
            let value = format!("value {}", self.runs.len());
            let run = self.user.execute(self.graph, json!({"x": value})).await;
            self.runs.push((value, run));
        }
    }

    /// Every run ends with its own value, and each of its nodes ran once as far as anybody can see.
    async fn all_end_well(&self) {
        let started = Instant::now();
        for (value, run) in &self.runs {
            let execution = self.user.finished(self.graph, *run, RECOVERED).await;
            assert_eq!(status(&execution), "COMPLETED", "{execution:#}");
            assert_eq!(execution["outputs"], json!({"y": [value]}));
            assert_eq!(execution["stats"]["node_exec_count"], LENGTH + 2, "{execution:#}");
            assert_eq!(execution["node_executions"].as_array().map(Vec::len), Some(LENGTH + 2));
        }
        eprintln!("{} runs ended well, the last after {:.1?}", self.runs.len(), started.elapsed());
    }
}

fn on_the_platform<Fut: Future<Output = ()>>(test: impl FnOnce(MutexGuard<'static, Platform>) -> Fut) {
    RUNTIME.block_on(async { test(platform().await).await });
}

#[test]
fn an_executor_that_is_killed_loses_no_run() {
    on_the_platform(async |mut platform| {
        let accepted = platform.busy().await;
        platform.take("executor").kill();
        platform.launch("executor");
        accepted.all_end_well().await;
    });
}

#[test]
fn an_executor_that_is_asked_to_end_hands_its_runs_over_within_seconds() {
    on_the_platform(async |mut platform| {
        let accepted = platform.busy().await;
        let former = platform.take("executor");
        let took = tokio::task::spawn_blocking(|| former.terminate()).await.expect("the executor ends");
        assert!(took < Duration::from_secs(10), "{took:?}");
        platform.launch("executor");
        accepted.all_end_well().await;
    });
}

#[test]
fn a_database_manager_that_is_killed_loses_no_run() {
    on_the_platform(async |mut platform| {
        let accepted = platform.busy().await;
        platform.take("db").kill();
        tokio::time::sleep(Duration::from_secs(2)).await;
        platform.launch("db");
        accepted.all_end_well().await;
    });
}

#[test]
fn a_postgres_that_is_killed_loses_no_run() {
    on_the_platform(async |mut platform| {
        let accepted = platform.busy().await;
        platform.stack.kill(Part::Postgres).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        platform.stack.restart(Part::Postgres).await.expect("PostgreSQL starts again");
        accepted.all_end_well().await;
    });
}

#[test]
fn runs_are_accepted_and_done_while_redis_is_away() {
    on_the_platform(async |mut platform| {
        let mut accepted = platform.busy().await;
        platform.stack.kill(Part::Redis).await;
        accepted.submit_more(5).await;
        accepted.all_end_well().await;
        platform.stack.restart(Part::Redis).await.expect("Redis starts again");
    });
}

#[test]
fn runs_are_accepted_and_done_while_rabbitmq_is_away() {
    on_the_platform(async |mut platform| {
        let mut accepted = platform.busy().await;
        platform.stack.kill(Part::RabbitMq).await;
        accepted.submit_more(5).await;
        accepted.all_end_well().await;
        platform.stack.restart(Part::RabbitMq).await.expect("RabbitMQ starts again");
        for name in ["executor", "db"] {
            platform.ready(name).await;
        }
        let later = Accepted::submit(platform.user().await).await;
        later.all_end_well().await;
    });
}

#[test]
fn a_run_that_waits_for_a_person_outlasts_the_end_of_everything() {
    on_the_platform(async |mut platform| {
        let user = platform.user().await;
        let graph = user.create_graph(&graphs::reviewed(true)).await;
        let run = user.execute(graph, json!({"draft": "x"})).await;
        assert_eq!(status(&user.finished(graph, run, RECOVERED).await), "REVIEW");
        for name in ["executor", "rest", "db"] {
            platform.take(name).kill();
        }
        platform.stack.kill(Part::Postgres).await;
        platform.stack.restart(Part::Postgres).await.expect("PostgreSQL starts again");
        for name in ["executor", "rest", "db"] {
            platform.launch(name);
        }
        platform.ready("rest").await;
        let reviews = user.get(&format!("/api/review/execution/{run}")).await.body;
        let item = json!({"node_exec_id": reviews[0]["node_exec_id"], "approved": true});
        let reply = user.post("/api/review/action", &json!({ "reviews": [item] })).await;
        assert_eq!(reply.body["approved_count"], 1, "{reply:?}");
        let execution = user.wait_for(graph, run, RECOVERED, |execution| status(execution) == "COMPLETED").await;
        assert_eq!(execution["outputs"], json!({"draft": ["x"], "final": ["x"], "status": ["approved"]}));
    });
}
