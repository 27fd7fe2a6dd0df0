//! A run that retries a finished one: what completed there is played again from what it emitted, without its blocks.
//!
//! The new run goes through its graph as every run does. A node execution that the finished run completed with the same input takes its
//! recorded outputs and is COMPLETED; they are routed anew. What has no such counterpart is left ready, the failed nodes among it. So no value
//! comes from a node that failed, and none is lost that the finished run had not routed any more while it was being stopped.

use std::collections::VecDeque;
use std::time::Duration;

use model::history::RunHistory;
use model::{Map, NodeExecId, NodeStats, Timestamp};
use serde_json::Value;

use super::state::ExecIndex;
use super::{NodeResult, Run};

/// Steps are so far apart in time that a database tells them apart: the order of the node executions follows from it.
const STEP: Duration = Duration::from_micros(1);

/// A completed node execution of the finished run.
struct Former {
    input: Map,
    /// The execution of this run that stands for it.
    now: Option<NodeExecId>,
    /// Values that are still to be emitted.
    left: usize,
}

impl Run {
    /// Takes over what the finished run completed. Returns how many node executions that are. Their journal entries are in
    /// [`Run::take_journal`]; the run is neither begun nor RUNNING afterwards.
    pub fn replay(&mut self, history: RunHistory, at: Timestamp) -> usize {
        let mut replay = Replay::new(self, &history, at);
        for emitted in history.emitted {
            replay.emit(emitted.node, &emitted.name, emitted.value);
        }
        for place in 0..replay.formers.len() {
            // Those that emitted nothing.
            replay.start_until(place);
        }
        replay.taken
    }
}

struct Replay<'a> {
    run: &'a mut Run,
    clock: Timestamp,
    formers: Vec<Former>,
    /// By node: its executions that have no counterpart yet, in the order in which they started.
    waiting: Vec<VecDeque<usize>>,
    node_of: Vec<Option<usize>>,
    taken: usize,
}

impl<'a> Replay<'a> {
    fn new(run: &'a mut Run, history: &RunHistory, at: Timestamp) -> Self {
        let mut formers: Vec<Former> = history
            .completed
            .iter()
            .map(|node| Former {
                input: node.input.clone(),
                now: None,
                left: 0,
            })
            .collect();
        for emitted in &history.emitted {
            if let Some(former) = formers.get_mut(emitted.node) {
                former.left += 1;
            }
        }
        let node_of: Vec<Option<usize>> = history.completed.iter().map(|node| run.plan.index(node.node_id)).collect();
        let mut waiting = vec![VecDeque::new(); run.nodes.len()];
        for (place, node) in node_of.iter().enumerate() {
            if let Some(queue) = node.and_then(|node| waiting.get_mut(node)) {
                queue.push_back(place);
            }
        }
        Self {
            run,
            clock: at,
            formers,
            waiting,
            node_of,
            taken: 0,
        }
    }

    fn tick(&mut self) -> Timestamp {
        self.clock = Timestamp::from(self.clock.into_inner() + STEP);
        self.clock
    }

    fn emit(&mut self, place: usize, name: &str, value: Value) {
        self.start_until(place);
        let at = self.tick();
        let Some(former) = self.formers.get_mut(place) else { return };
        let Some(id) = former.now else { return };
        former.left = former.left.saturating_sub(1);
        let is_last = former.left == 0;
        // A value that was stored once can be stored again.
        let _ = self.run.output(id, name, value, at);
        if is_last {
            self.complete(id, at);
        }
    }

    /// Its times and costs belong to the finished run.
    fn complete(&mut self, id: NodeExecId, at: Timestamp) {
        self.run.finish(id, NodeResult::Completed, NodeStats::default(), at);
    }

    /// Starts the executions of a node up to this one, in the order of the finished run: outputs are routed in start order.
    fn start_until(&mut self, place: usize) {
        let Some(node) = self.node_of.get(place).copied().flatten() else {
            return;
        };
        while let Some(next) = self
            .waiting
            .get(node)
            .and_then(|queue| queue.front().copied())
            .filter(|next| *next <= place)
        {
            if let Some(queue) = self.waiting.get_mut(node) {
                queue.pop_front();
            }
            self.start(node, next);
        }
    }

    /// A former execution whose counterpart does not come to be, or has another input, is not taken over.
    fn start(&mut self, node: usize, place: usize) {
        let Some(former) = self.formers.get(place) else { return };
        let Some(index) = self.run.take_ready(node, &former.input) else { return };
        let at = self.tick();
        let Some(id) = self.run.execs.get(index).map(|exec| exec.id) else {
            return;
        };
        // An input that does not fit ends the execution here, as it did then.
        let started = self.run.start(index, at).is_some();
        let Some(former) = self.formers.get_mut(place) else { return };
        former.now = started.then_some(id);
        if started && former.left == 0 {
            self.complete(id, at);
        }
        self.taken += 1;
    }
}

impl Run {
    /// Takes the first ready execution of this node with this input out of the queue.
    fn take_ready(&mut self, node: usize, input: &Map) -> Option<ExecIndex> {
        let fits = |index: &ExecIndex| {
            let exec = self.execs.get(*index);
            exec.is_some_and(|exec| exec.node == node && same_map(exec.data(), input))
        };
        let position = self.ready.iter().position(fits)?;
        self.ready.remove(position)
    }
}

/// Equal JSON, numbers by value: a database may write 1e16 as an integer.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other)),
        (Value::Object(one), Value::Object(other)) => same_map(one, other),
        _ => one == other,
    }
}

fn same_map(one: &Map, other: &Map) -> bool {
    one.len() == other.len() && one.iter().all(|(key, one)| other.get(key).is_some_and(|other| same(one, other)))
}
