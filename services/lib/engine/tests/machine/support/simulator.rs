//! Runs a graph with the test blocks, one small step after the other, in an order that the test chooses.

use std::collections::VecDeque;

use engine::run::{NodeResult, NodeStart, Run};
use model::execution::Outputs;
use model::{ClaimedRun, ExecutionStatus, NodeExecId, NodeExecutionResult, NodeStats, Timestamp};
use serde_json::Value;

use super::ledger::Ledger;
use super::world::counter;
use super::{World, at};

/// Chooses the next of `n` possible steps.
pub trait Pick {
    fn pick(&mut self, n: usize) -> usize;
}

/// Starts everything that is ready, then lets the oldest block go on.
pub struct InOrder;

impl Pick for InOrder {
    fn pick(&mut self, _n: usize) -> usize {
        0
    }
}

impl<F: FnMut(usize) -> usize> Pick for F {
    fn pick(&mut self, n: usize) -> usize {
        self(n) % n
    }
}

pub struct Simulator {
    pub world: World,
    pub run: Run,
    pub ledger: Ledger,
    in_flight: Vec<Flight>,
    pub started: Vec<NodeStart>,
    pub clock: i64,
    /// The clock stands still: every step at the same instant.
    pub frozen: bool,
}

struct Flight {
    node_exec_id: NodeExecId,
    left: VecDeque<(String, Value)>,
    result: NodeResult,
}

impl Simulator {
    pub fn submit(mut world: World, inputs: Value) -> Self {
        let claimed = world.submit(inputs).unwrap();
        Self::claim(world, claimed)
    }

    pub fn claim(mut world: World, claimed: ClaimedRun) -> Self {
        let mint = counter((1 << 80) + claimed.next_seq as u128 * (1 << 20));
        let mut simulator = Self {
            run: Run::restore(world.plan(), claimed.clone(), mint),
            world,
            ledger: Ledger::new(claimed),
            in_flight: Vec::new(),
            started: Vec::new(),
            clock: 1,
            frozen: false,
        };
        simulator.run.begin(at(1));
        simulator
    }

    pub fn now(&mut self) -> Timestamp {
        self.clock += i64::from(!self.frozen);
        at(self.clock)
    }

    /// One step; false when there is none left.
    pub fn step(&mut self, pick: &mut impl Pick) -> bool {
        let now = self.now();
        let choices = self.in_flight.len() + 1;
        let choice = pick.pick(choices);
        let stepped = if choice == 0 || self.in_flight.is_empty() {
            self.start(now)
        } else {
            false
        };
        if !stepped {
            if self.in_flight.is_empty() {
                let idle = self.run.is_idle();
                self.keep();
                return !idle;
            }
            let flight = choice.saturating_sub(1);
            self.advance(flight, now);
        }
        self.keep();
        true
    }

    fn start(&mut self, now: Timestamp) -> bool {
        let Some(start) = self.run.next_ready(now) else { return false };
        let (left, result) = match self.world.blocks.run(start.block_id, &start.input) {
            Ok(emissions) => (emissions, NodeResult::Completed),
            Err((emissions, error)) => (emissions, NodeResult::Failed { error }),
        };
        self.in_flight.push(Flight {
            node_exec_id: start.node_exec_id,
            left: left.into(),
            result,
        });
        self.started.push(start);
        true
    }

    fn advance(&mut self, flight: usize, now: Timestamp) {
        let current = &mut self.in_flight[flight];
        let id = current.node_exec_id;
        match current.left.pop_front() {
            Some((name, value)) => {
                if let Err(error) = self.run.output(id, &name, value, now) {
                    current.left.clear();
                    current.result = NodeResult::Failed { error: error.to_string() };
                }
            }
            None => {
                let finished = self.in_flight.remove(flight);
                let stats = NodeStats {
                    walltime: 1.0,
                    cost: 2,
                    extra_cost: 1,
                    ..NodeStats::default()
                };
                self.run.finish(id, finished.result, stats, now);
            }
        }
    }

    /// Appends what has happened to the ledger.
    pub fn keep(&mut self) {
        let seq = self.run.next_seq();
        let entries = self.run.take_journal();
        self.ledger.append(seq, entries);
    }

    /// Runs to the end and checks that the ledger tells the same as the run.
    pub fn finish(&mut self, pick: &mut impl Pick) -> ExecutionStatus {
        let mut steps = 0;
        while self.step(pick) {
            steps += 1;
            assert!(steps < 100_000, "the run does not end");
        }
        self.end()
    }

    pub fn end(&mut self) -> ExecutionStatus {
        let now = self.now();
        let status = self.run.end(now);
        self.keep();
        self.compare();
        status
    }

    fn compare(&self) {
        assert_eq!(self.ledger.run.status, self.run.status());
        let seen: Vec<NodeExecutionResult> = self.run.node_executions().collect();
        assert_eq!(seen.len(), self.ledger.run.node_executions.len());
        for (seen, kept) in seen.iter().zip(&self.ledger.run.node_executions) {
            assert_eq!(seen.node_exec_id, kept.node_exec_id);
            assert_eq!(seen.status, kept.status);
            assert_eq!(&seen.input_data, kept.execution_data.as_ref().unwrap_or(&kept.inputs));
            assert_eq!(seen.output_data, kept.outputs);
        }
    }

    /// The executor dies; another one takes over what the ledger holds.
    pub fn crash(self) -> Self {
        let mut taken_over = Self::claim(self.world, self.ledger.run.clone());
        taken_over.ledger = self.ledger;
        taken_over.clock = self.clock + 1;
        taken_over.frozen = self.frozen;
        taken_over
    }

    /// A run that retries this one, which is over, with the same inputs: what was taken over is in its ledger before it is claimed. Returns
    /// the number of executions taken over, too.
    pub fn retry(self) -> (Self, usize) {
        let history = self.ledger.history();
        let mut world = self.world;
        let claimed = world.submit(Value::Object(self.ledger.run.inputs)).unwrap();
        let mut run = Run::restore(world.plan(), claimed.clone(), counter(1 << 100));
        let taken = run.replay(history, at(0));
        let mut ledger = Ledger::new(claimed);
        ledger.append(1, run.take_journal());
        let mut simulator = Self::claim(world, ledger.run.clone());
        simulator.ledger = ledger;
        (simulator, taken)
    }

    pub fn outputs(&self) -> Outputs {
        self.run.outputs()
    }

    /// The executions of the node with this name.
    pub fn of(&mut self, node: &str) -> Vec<NodeExecutionResult> {
        let id = self.world.ids()[node];
        self.run.node_executions().filter(|execution| execution.node_id == id).collect()
    }

    pub fn total(&self) -> usize {
        self.run.node_executions().count()
    }
}

/// Builds, submits and runs to the end in order.
pub fn run(world: World, inputs: Value) -> Simulator {
    let mut simulator = Simulator::submit(world, inputs);
    simulator.finish(&mut InOrder);
    simulator
}

/// The statuses of these executions.
pub fn statuses(executions: &[NodeExecutionResult]) -> Vec<ExecutionStatus> {
    executions.iter().map(|execution| execution.status).collect()
}
