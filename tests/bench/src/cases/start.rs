//! Start: the POST that executes a two-node graph, then how long its first node takes to be RUNNING, one run at a time.
//!
//! Both are read from the client's clock: the POST from the request to the answer's last byte, the first node from there to the arrival of
//! its event on Redis. Events leave after the commit, so the RUNNING is durable by then.

use std::time::{Duration, Instant};

use serde_json::json;
use workload::graphs;

use crate::Outcome;
use crate::judge::{Bar, Measured, judge};
use crate::options::Options;
use crate::report::Rows;
use crate::stats::{median, ms, percentile};
use crate::world::{World, roomy};

const WARM_UP: usize = 20;

pub async fn run(options: &Options) -> Outcome<Rows> {
    let mut rows = Rows::of("start");
    let world = World::start(roomy()).await?;
    let graph = world.graph(&graphs::two_node()).await;
    let listener = world.listener().await?;
    let (mut posts, mut firsts) = (Vec::new(), Vec::new());
    let (mut all_posts, mut all_firsts) = (Vec::new(), Vec::new());
    for round in 0..4 {
        let count = if round == 0 { WARM_UP } else { options.scaled(200, 20) };
        let prober = world.prober().await?;
        let (mut post, mut first) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let asked = Instant::now();
            let run = world.user.execute(graph, json!({})).await;
            let answered = Instant::now();
            listener.all_ended(&[run], Duration::from_secs(30)).await?;
            let running = listener.of(run).first_node.ok_or("a run ended without a word about its nodes")?;
            post.push(ms(answered - asked));
            // The node may be running before the answer has reached the client.
            first.push(ms(running.saturating_duration_since(answered)));
        }
        let commit = prober.stop().await?;
        if round > 0 {
            posts.push(Measured {
                value: median(&mut post),
                commit,
            });
            firsts.push(Measured {
                value: median(&mut first),
                commit,
            });
            all_posts.extend(post);
            all_firsts.extend(first);
        }
    }
    judge(&mut rows, "POST execute → 2xx, p50", posts, Bar::new(1.0, 2.0));
    judge(&mut rows, "2xx → first node RUNNING, p50", firsts, Bar::new(2.0, 3.0));
    rows.info("POST execute → 2xx, p99", percentile(&mut all_posts, 0.99), "ms");
    rows.info("2xx → first node RUNNING, p99", percentile(&mut all_firsts, 0.99), "ms");
    world.stop().await;
    Ok(rows)
}
