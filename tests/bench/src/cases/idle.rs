//! The six services as they are shipped, with nothing to do: how long each takes from its start until `/readyz` says yes, with servers and
//! schema there, and what they hold together.

use std::time::{Duration, Instant};

use workload::{Fleet, Fleets, Role};

use crate::options::Options;
use crate::report::Rows;
use crate::stats::{median, ms};
use crate::{Outcome, machine};

const READY_MS: f64 = 300.0;
const TOGETHER_MB: f64 = 100.0;
/// Connections and caches are there by then.
const SETTLE: Duration = Duration::from_secs(5);

pub async fn run(options: &Options) -> Outcome<Rows> {
    let mut rows = Rows::of("idle");
    let one_of_each = Fleets {
        executor: 1,
        ws: 1,
        notification: 1,
        product: true,
        ..Fleets::default()
    };
    let mut fleet = Fleet::start(one_of_each).await?;
    for role in Role::ALL {
        let mut times = Vec::new();
        for _ in 0..options.scaled(5, 3) {
            fleet.terminate(role, 0).await?;
            let started = Instant::now();
            fleet.launch(role, 0)?;
            fleet.ready(role, 0).await?;
            times.push(ms(started.elapsed()));
        }
        rows.at_most(format!("{}: start → ready, p50", role.name()), median(&mut times), "ms", READY_MS, "");
    }
    tokio::time::sleep(SETTLE).await;
    let mut together = 0.0;
    for role in Role::ALL {
        let rss = machine::rss_mb(fleet.pid(role, 0).ok_or("a service is gone")?)?;
        rows.info(format!("{}: RSS", role.name()), rss, "MB");
        together += rss;
    }
    rows.at_most("all six: RSS", together, "MB", TOGETHER_MB, "");
    fleet.stop().await;
    Ok(rows)
}
