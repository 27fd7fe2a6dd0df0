//! The live view: what an open socket costs, how many frames a second leave when many look at one graph, and how long an event takes from
//! whoever publishes it to the browser's frame.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bus::events::{Channels, EventBus};
use futures::stream::{self, StreamExt, TryStreamExt};
use runtime::Settings;
use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;
use workload::{Fleets, Role, graphs};

use crate::options::Options;
use crate::report::Rows;
use crate::socket::Socket;
use crate::stats::{ms, percentile};
use crate::world::World;
use crate::{Outcome, machine};

const OPEN: usize = 10_000;
const OPEN_BY_EACH_USER: usize = 10;
const KIB_EACH: f64 = 8.0;
const WATCHERS: usize = 1000;
const FRAMES_A_SECOND: f64 = 200_000.0;
/// Events that may be on their way to each watcher: fewer than its queue holds.
const ON_THE_WAY: u64 = 128;
const RUNS: usize = 100;
const EVENTS_A_SECOND: usize = 5000;
const FRAME_P99: f64 = 10.0;
const CONNECTING: usize = 64;
const SETTLE: Duration = Duration::from_secs(2);
/// Stands before the time at which an event was published, in microseconds since the case began.
const MARK: &str = "bench-at-";

pub async fn run(options: &Options) -> Outcome<Rows> {
    let mut rows = Rows::of("sockets");
    let fleets = Fleets {
        executor: 1,
        ws: 1,
        ..Fleets::default()
    }
    .with("WEBSOCKET_MAX_CONNECTIONS", 2 * OPEN)
    .with("WEBSOCKET_MAX_CONNECTIONS_PER_USER", 2 * OPEN);
    let world = World::start(fleets).await?;
    let scene = Scene::of(&world)?;
    scene.open(&mut rows, options).await?;
    scene.fan_out(&mut rows, options).await?;
    scene.events(&mut rows, options, &world).await?;
    world.stop().await;
    Ok(rows)
}

struct Scene {
    address: SocketAddr,
    pid: u32,
    channels: Channels,
    /// Publishes as executors do.
    bus: EventBus,
}

impl Scene {
    fn of(world: &World) -> Outcome<Self> {
        let settings = Settings::load_with(world.fleet.stack.pairs())?;
        let url = world.fleet.url(Role::Ws, 0)?;
        Ok(Self {
            address: url.trim_start_matches("http://").parse()?,
            pid: world.fleet.pid(Role::Ws, 0).ok_or("there is no WebSocket service")?,
            channels: Channels::new(&settings),
            bus: EventBus::start(&settings),
        })
    }

    /// Sockets that watch one graph each, ten of each user.
    async fn open(&self, rows: &mut Rows, options: &Options) -> Outcome<()> {
        let count = options.scaled(OPEN, 100);
        let before = machine::rss_mb(self.pid)?;
        let users: Vec<Uuid> = (0..count.div_ceil(OPEN_BY_EACH_USER)).map(|_| Uuid::new_v4()).collect();
        let started = Instant::now();
        let connecting = (0..count).filter_map(|index| users.get(index / OPEN_BY_EACH_USER));
        let connecting = connecting.map(|user| self.watch_graph(*user, Uuid::new_v4()));
        let sockets: Vec<Socket> = stream::iter(connecting).buffer_unordered(CONNECTING).try_collect().await?;
        let rate = count as f64 / started.elapsed().as_secs_f64();
        tokio::time::sleep(SETTLE).await;
        let each = (machine::rss_mb(self.pid)? - before) * 1e6 / 1024.0 / count as f64;
        rows.at_most(format!("{count} sockets: RSS of ws, each"), each, "KiB", KIB_EACH, "");
        rows.info("connected and subscribed", rate, "1/s");
        drop(sockets);
        Ok(())
    }

    /// Many sockets of one user that watch the same graph.
    async fn fan_out(&self, rows: &mut Rows, options: &Options) -> Outcome<()> {
        let (user, graph) = (Uuid::new_v4(), Uuid::new_v4());
        let count = options.scaled(WATCHERS, 10);
        let connecting = (0..count).map(|_| self.watch_graph(user, graph));
        let sockets: Vec<Socket> = stream::iter(connecting).buffer_unordered(CONNECTING).try_collect().await?;
        let seen: Arc<[AtomicU64]> = (0..count).map(|_| AtomicU64::new(0)).collect();
        let mut reading = JoinSet::new();
        for (index, mut socket) in sockets.into_iter().enumerate() {
            let seen = seen.clone();
            reading.spawn(async move {
                loop {
                    let mut frames = 0;
                    if let Err(error) = socket.frames(|_| frames += 1).await {
                        return error.to_string();
                    }
                    if let Some(seen) = seen.get(index) {
                        seen.fetch_add(frames, Ordering::Relaxed);
                    }
                }
            });
        }
        let event = json!({"payload": {"event_type": "graph_execution_update", "id": Uuid::new_v4(), "user_id": user, "graph_id": graph,
            "graph_version": 1, "status": "RUNNING", "inputs": {}, "outputs": {}, "stats": null, "started_at": null, "ended_at": null}});
        let event = event.to_string().into_bytes();
        let channel = self.channels.graph(user, graph);
        let (started, until) = (Instant::now(), Instant::now() + options.duration.div_f64(3.0));
        let before = machine::cpu_seconds(self.pid)?;
        let mut published = 0;
        while Instant::now() < until {
            let of_the_slowest = || seen.iter().map(|seen| seen.load(Ordering::Relaxed)).min().unwrap_or_default();
            while published - of_the_slowest() >= ON_THE_WAY {
                if let Some(ended) = reading.try_join_next() {
                    return Err(format!("a watcher ended: {}", ended?).into());
                }
                if started.elapsed() > 2 * options.duration {
                    return Err("frames stopped coming".into());
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            self.bus.publish_bytes(channel.clone(), event.clone());
            published += 1;
        }
        let frames = seen.iter().map(|seen| seen.load(Ordering::Relaxed)).sum::<u64>() as f64;
        let seconds = started.elapsed().as_secs_f64();
        rows.at_least(
            format!("one event to {count} sockets: frames a second"),
            frames / seconds,
            "1/s",
            FRAMES_A_SECOND,
        );
        rows.info(
            "CPU of ws a frame",
            (machine::cpu_seconds(self.pid)? - before) * 1e6 / frames.max(1.0),
            "µs",
        );
        Ok(())
    }

    /// Events of nodes of a hundred runs, each watched by one socket.
    async fn events(&self, rows: &mut Rows, options: &Options, world: &World) -> Outcome<()> {
        let graph = world.graph(&graphs::two_node()).await;
        let listener = world.listener().await?;
        let runs = world.execute(graph, RUNS).await?;
        listener.all_ended(&runs, Duration::from_secs(60)).await?;
        drop(listener);
        let user = world.user.user;
        let epoch = Instant::now();
        let times: Arc<Mutex<Vec<f64>>> = Arc::default();
        let mut reading = JoinSet::new();
        for run in &runs {
            let mut socket = Socket::connect(self.address, user).await?;
            let subscribe = json!({"method": "subscribe_graph_execution", "data": {"graph_exec_id": run}});
            socket.ask(&subscribe).await?;
            reading.spawn(note_times(socket, epoch, times.clone()));
        }
        let text = "x".repeat(300);
        let until = Instant::now() + options.duration.div_f64(3.0);
        let mut ticks = tokio::time::interval(Duration::from_millis(1));
        let (mut published, mut due) = (0_usize, 0.0);
        let mut last = Instant::now();
        while last < until {
            let now = ticks.tick().await.into_std();
            due += now.saturating_duration_since(last).as_secs_f64() * EVENTS_A_SECOND as f64;
            last = now;
            while due >= 1.0 {
                due -= 1.0;
                if let Some(run) = runs.get(published % runs.len()) {
                    let at = format!("{MARK}{:012}", epoch.elapsed().as_micros());
                    let event = json!({"payload": {"event_type": "node_execution_update", "user_id": user, "graph_id": graph, "graph_version": 1,
                        "graph_exec_id": run, "node_exec_id": run, "node_id": run, "block_id": run, "status": "RUNNING",
                        "input_data": {"text": text}, "output_data": {"at": [at]}, "add_time": "2026-01-01T00:00:00Z"}});
                    self.bus
                        .publish_bytes(self.channels.run(user, graph, *run), event.to_string().into_bytes());
                    published += 1;
                }
            }
        }
        tokio::time::sleep(SETTLE).await;
        reading.abort_all();
        let mut times = std::mem::take(&mut *times.lock().unwrap_or_else(PoisonError::into_inner));
        if times.len() < published {
            return Err(format!(
                "{} of {published} events became frames; {} were not sent",
                times.len(),
                self.bus.dropped()
            )
            .into());
        }
        rows.info(
            format!("event → frame at {EVENTS_A_SECOND} events a second, p50"),
            percentile(&mut times, 0.5),
            "ms",
        );
        rows.at_most(
            format!("event → frame at {EVENTS_A_SECOND} events a second, p99"),
            percentile(&mut times, 0.99),
            "ms",
            FRAME_P99,
            "",
        );
        Ok(())
    }

    async fn watch_graph(&self, user: Uuid, graph: Uuid) -> Outcome<Socket> {
        let mut socket = Socket::connect(self.address, user).await?;
        let subscribe = json!({"method": "subscribe_graph_executions", "data": {"graph_id": graph}});
        socket.ask(&subscribe).await?;
        Ok(socket)
    }
}

/// Notes how old each event is when its frame is there, until the socket ends.
async fn note_times(mut socket: Socket, epoch: Instant, times: Arc<Mutex<Vec<f64>>>) {
    let mut ages = Vec::new();
    let note = |frame: &[u8], ages: &mut Vec<f64>| {
        let text = String::from_utf8_lossy(frame);
        let at = text.split_once(MARK).and_then(|(_, rest)| rest.get(..12)?.parse().ok());
        ages.extend(at.map(|at| ms(epoch.elapsed().saturating_sub(Duration::from_micros(at)))));
    };
    while socket.frames(|frame| note(frame, &mut ages)).await.is_ok() {
        times.lock().unwrap_or_else(PoisonError::into_inner).append(&mut ages);
    }
}
