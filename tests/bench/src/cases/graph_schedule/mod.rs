//! Schedules on a real kube-apiserver: how late the objects of due times are, beside Kubernetes' own CronJob controller on the same server.
//!
//! Whoever is measured has the machine for itself, apart from the API server and this program. A sighting is an event of this program's own
//! watch, timed by its own clock; requests are counted in the audit log of the server.

mod due;
mod operator;
mod sightings;

use std::time::Duration;

use controllers_tests::World;
use serde_json::json;

use crate::Outcome;
use crate::options::Options;
use crate::report::Rows;

const NAME: &str = "graph-schedule";
/// The platform that all schedules name. It is paused: what is measured ends with the execution's object.
const PLATFORM: &str = "p";

/// How much of everything there is.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// Objects due in the same minute.
    many: usize,
    /// Due times of ten schedules that are due every second.
    seconds: u32,
    /// Minutes in which ten CronJobs are due.
    minutes: usize,
    /// Schedules, and executions, whose memory is looked at.
    kept: usize,
    /// Whether CronJob with its default flags is given its two minutes.
    defaults: bool,
}

pub async fn run(options: &Options) -> Outcome<Rows> {
    let full = options.scaled(100, 1) >= 100;
    let size = Size {
        many: options.scaled(1_000, 50),
        seconds: u32::try_from(options.scaled(200, 20))?,
        minutes: options.scaled(5, 1),
        kept: options.scaled(10_000, 500),
        defaults: full,
    };
    // The test code below panics when it cannot go on.
    tokio::spawn(measure(size)).await?
}

async fn measure(size: Size) -> Outcome<Rows> {
    let mut rows = Rows::of(NAME);
    let world = World::new().await;
    let platform = json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "AutoGPTPlatform", "metadata": {"name": PLATFORM}, "spec": {"paused": true}});
    world.apply(&platform).await?;
    let mut bare = vec![due::bare_creates(&world, size.many).await?];
    let mut leader = operator::start(&world, &mut rows).await?;
    let ours = due::schedules_at_once(&world, &leader, size.many, &mut rows).await?;
    bare.push(due::bare_creates(&world, size.many).await?);
    if due::seconds_are_known() {
        due::schedules_every_second(&world, &leader, size.seconds, &mut rows).await?;
        due::bare_every_second(&world, size.seconds, &mut rows).await?;
    }
    operator::at_rest(&world, &leader, size.kept, &mut rows).await?;
    operator::fail_over(&world, &mut leader, &mut rows).await?;
    leader.terminate().await;
    bare.push(due::bare_creates(&world, size.many).await?);
    let raised = ["--kube-api-qps=1000", "--kube-api-burst=2000", "--concurrent-cron-job-syncs=50"];
    let raised = due::cron_jobs(&world, "raised flags", &raised, size, &mut rows).await?;
    let defaults = if size.defaults {
        Some(due::cron_jobs(&world, "default flags", &[], size, &mut rows).await?)
    } else {
        None
    };
    let bare = crate::stats::median(&mut bare);
    rows.info(format!("{} bare creates, 32 at a time, median of 3", size.many), bare, "ms");
    let metric = format!("schedules: {} due, last child", size.many);
    rows.at_most(format!("{metric} ÷ bare creates"), ours / bare, "×", 2.0, "");
    rows.at_most(format!("{metric} ÷ CronJob's, raised flags"), ours / raised, "×", 0.25, "");
    if let Some(defaults) = defaults {
        rows.at_most(format!("{metric} ÷ CronJob's, default flags"), ours / defaults, "×", 0.02, "");
    }
    Ok(rows)
}

/// Long enough for what is under way to end.
const SETTLE: Duration = Duration::from_secs(5);
