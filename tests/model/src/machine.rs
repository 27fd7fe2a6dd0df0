//! The engine in lock step with the reference: whatever is started, emitted or finished here happens in both, and both must say the
//! same. The journal goes to a ledger as a database keeps it, some time later; a crash loses what was not there yet.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use engine::error::GraphError;
use engine::run::{NodeResult, Run};
use engine::start::starting_inputs;
use model::execution::Outputs;
use model::{
    ClaimedRun, ExecutionContext, ExecutionStatus, JournalEntry, Map, NodeExecId, NodeExecutionRecord, NodeInputMasks, NodeStats, StoredStats,
    Timestamp,
};
use serde_json::Value;
use uuid::Uuid;

use crate::blocks::CATALOG;
use crate::chance::Chance;
use crate::invariants::{self, Breach};
use crate::reference::{Execution, Reference, selected};
use crate::shapes::Shape;

/// A run that takes longer than this is cancelled: it may have an endless loop. Confluent shapes are bounded and get more, so that few of
/// them are cancelled without having been compared.
const STEPS: usize = 250;
/// So long may any run take, cancelled or not.
const STEPS_AT_MOST: usize = 20_000;
/// What each node execution costs.
const COST: i64 = 3;
const CRASHES_AT_MOST: u64 = 30;

/// What may go wrong, in percent of all steps.
#[derive(Debug, Clone, Copy)]
struct Troubles {
    crash: usize,
    stop: usize,
    /// How often the journal reaches the database.
    append: usize,
    /// The clock stands still.
    frozen: bool,
}

/// What a case was, for the totals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Case {
    pub refused: bool,
    pub confluent: bool,
    pub stopped: bool,
    pub crashes: u64,
    pub executions: u64,
    pub steps: u64,
}

/// Why a run was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Cancel,
    Failure,
}

struct Machine<'a> {
    shape: &'a Shape,
    run: Run,
    reference: Reference<'a>,
    /// What the database holds, and the reference at that position.
    ledger: Ledger,
    durable: Reference<'a>,
    undurable: VecDeque<Group<'a>>,
    positions: HashMap<NodeExecId, usize>,
    flights: Vec<Flight>,
    /// What was durably under way when this executor took the run: these may have taken effect already, and nothing else may have.
    begun: HashSet<NodeExecId>,
    stop: Option<Stop>,
    clock: i64,
    frozen: bool,
    may_crash: bool,
    crashes: u64,
}

/// The entries of one step, which the engine wants appended together, and the reference after that step.
struct Group<'a> {
    first_seq: i64,
    entries: Vec<JournalEntry>,
    /// Only where a crash may come back to it.
    reference: Option<Reference<'a>>,
}

/// A block at work.
struct Flight {
    id: NodeExecId,
    execution: usize,
    left: VecDeque<(String, Value)>,
    error: Option<String>,
}

type Checked<T = ()> = Result<T, String>;

fn check(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what()) }
}

fn broken(breach: Breach) -> String {
    breach.to_string()
}

/// Runs one shape to its end in an interleaving that follows from the seed.
///
/// # Errors
/// Says what differed.
pub fn run(shape: &Shape, seed: u64) -> Result<Case, String> {
    let mut chance = Chance::new(seed);
    let troubles = Troubles {
        crash: *chance.pick(&[0, 0, 2, 8, 25]),
        stop: *chance.pick(&[0, 0, 0, 1, 5]),
        append: *chance.pick(&[100, 60, 15]),
        // Ties in time are broken by arrival, which only shapes that do not care about it bear.
        frozen: shape.is_confluent && chance.percent(20),
    };
    let confluent = shape.is_confluent;
    let Some(mut machine) = Machine::submit(shape, troubles)? else {
        return Ok(Case {
            refused: true,
            confluent,
            ..Case::default()
        });
    };
    let limit = if confluent { 4 * STEPS } else { STEPS };
    let mut steps = 0;
    while !machine.is_idle()? {
        steps += 1;
        if steps > limit && machine.stop.is_none() {
            machine.stop(Stop::Cancel);
        } else {
            machine.step(&mut chance, troubles)?;
        }
        check(steps < STEPS_AT_MOST, || "the run does not end".to_owned())?;
    }
    machine.end()?;
    Ok(Case {
        refused: false,
        confluent,
        stopped: machine.stop.is_some(),
        crashes: machine.crashes,
        executions: machine.reference.executions.len() as u64,
        steps: steps as u64,
    })
}

impl<'a> Machine<'a> {
    /// `None` when both refuse the run.
    fn submit(shape: &'a Shape, troubles: Troubles) -> Checked<Option<Self>> {
        let reference = Reference::submit(shape);
        let claimed = match (claimed(shape), &reference) {
            (Ok(claimed), Some(_)) => claimed,
            (Err(_), None) => return Ok(None),
            (claimed, _) => return Err(format!("submitting: the engine says {:?}, the reference does not", claimed.err())),
        };
        let reference = reference.unwrap();
        let mut machine = Self {
            shape,
            run: Run::restore(shape.plan(), claimed.clone(), counter(0)),
            ledger: Ledger::new(claimed),
            durable: reference.clone(),
            reference,
            undurable: VecDeque::new(),
            positions: HashMap::new(),
            flights: Vec::new(),
            begun: HashSet::new(),
            stop: None,
            clock: 0,
            frozen: troubles.frozen,
            may_crash: troubles.crash > 0,
            crashes: 0,
        };
        machine.take_up();
        Ok(Some(machine))
    }

    /// An executor begins to work on what the ledger holds.
    fn take_up(&mut self) {
        let records = self.ledger.run.node_executions.iter().enumerate();
        self.positions = records.map(|(position, record)| (record.node_exec_id, position)).collect();
        let under_way = self
            .ledger
            .run
            .node_executions
            .iter()
            .filter(|record| record.status == ExecutionStatus::Running);
        self.begun = under_way.map(|record| record.node_exec_id).collect();
        let now = self.now();
        self.run.begin(now);
        self.keep();
    }

    fn now(&mut self) -> Timestamp {
        self.clock += i64::from(!self.frozen);
        let micros = 1_700_000_000_000_000 + self.clock;
        chrono::DateTime::from_timestamp_micros(micros).unwrap().into()
    }

    fn is_idle(&self) -> Checked<bool> {
        let (engine, reference) = (self.run.is_idle(), self.reference.is_idle());
        check(engine == reference, || {
            format!(
                "idle: the engine says {engine}, the reference {reference}: ready {:?}",
                self.reference.ready()
            )
        })?;
        Ok(engine)
    }

    fn step(&mut self, chance: &mut Chance, troubles: Troubles) -> Checked {
        if chance.percent(troubles.crash) && self.stop != Some(Stop::Failure) && self.crashes < CRASHES_AT_MOST {
            return self.crash(chance);
        }
        if chance.percent(troubles.stop) && self.stop.is_none() {
            self.stop(if chance.percent(80) { Stop::Cancel } else { Stop::Failure });
            return Ok(());
        }
        let choice = chance.below(self.flights.len() + 1);
        if choice < self.flights.len() {
            self.advance(choice);
        } else if self.run.has_ready() {
            self.start()?;
        }
        while chance.percent(troubles.append) && self.append()? {}
        Ok(())
    }

    fn start(&mut self) -> Checked {
        let now = self.now();
        let Some(start) = self.run.next_ready(now) else {
            return Err("something was ready, and then nothing was".to_owned());
        };
        let execution = self.positions[&start.node_exec_id];
        // A block that must not take effect twice is started unasked only when this says that it was never started (invariant 4).
        let begun = self.begun.remove(&start.node_exec_id);
        check(start.repeated == begun, || {
            format!(
                "execution {execution} was durably under way: {begun}, and is started as if: {}",
                start.repeated
            )
        })?;
        check(self.reference.may_start(execution), || {
            format!("execution {execution} started, and must not")
        })?;
        let input = self.reference.start(execution);
        check(input.as_ref() == Some(&start.input), || {
            format!("execution {execution} started with {:?}, the reference with {input:?}", start.input)
        })?;
        let doing = CATALOG.of(start.block_id).run(&start.input);
        self.flights.push(Flight {
            id: start.node_exec_id,
            execution,
            left: doing.emissions.into(),
            error: doing.error,
        });
        self.keep();
        Ok(())
    }

    /// A block emits its next value, or ends.
    fn advance(&mut self, flight: usize) {
        let now = self.now();
        let current = &mut self.flights[flight];
        if let Some((name, value)) = current.left.pop_front() {
            self.run.output(current.id, &name, value.clone(), now).unwrap();
            self.reference.emit(current.execution, &name, value);
        } else {
            let ended = self.flights.remove(flight);
            let result = match ended.error.clone() {
                Some(error) => NodeResult::Failed { error },
                None => NodeResult::Completed,
            };
            let stats = NodeStats {
                cost: COST - 1,
                extra_cost: 1,
                ..NodeStats::default()
            };
            self.run.finish(ended.id, result, stats, now);
            self.reference.finish(ended.execution, ended.error.as_deref());
        }
        self.keep();
    }

    fn stop(&mut self, stop: Stop) {
        let now = self.now();
        self.stop = Some(stop);
        self.reference.cancel();
        match stop {
            Stop::Failure => self.run.fail("no money".to_owned(), now),
            Stop::Cancel => {
                // The flag is in the row before an executor hears of it, so it survives a crash.
                self.ledger.run.cancel_requested = true;
                self.durable.cancel();
                self.undurable
                    .iter_mut()
                    .filter_map(|group| group.reference.as_mut())
                    .for_each(Reference::cancel);
                self.run.cancel(now);
                for flight in std::mem::take(&mut self.flights) {
                    self.run.finish(flight.id, NodeResult::Terminated, NodeStats::default(), now);
                    self.reference.terminate(flight.execution);
                }
            }
        }
        self.keep();
    }

    /// Everything that is not durable is gone; another executor takes over.
    fn crash(&mut self, chance: &mut Chance) -> Checked {
        for _ in 0..chance.below(self.undurable.len() + 1) {
            self.append()?;
        }
        self.crashes += 1;
        self.undurable.clear();
        self.flights.clear();
        self.reference = self.durable.clone().taken_over();
        self.ledger.run.epoch += 1;
        self.run = Run::restore(self.shape.plan(), self.ledger.run.clone(), counter(self.crashes));
        self.take_up();
        Ok(())
    }

    /// Collects what the step changed.
    fn keep(&mut self) {
        let first_seq = self.run.next_seq();
        let entries = self.run.take_journal();
        if entries.is_empty() {
            return;
        }
        for entry in &entries {
            if let JournalEntry::NodeCreated { node_exec_id, .. } = entry {
                self.positions.insert(*node_exec_id, self.positions.len());
            }
        }
        self.undurable.push_back(Group {
            first_seq,
            entries,
            reference: self.may_crash.then(|| self.reference.clone()),
        });
    }

    /// The oldest group reaches the database. False when there is none.
    fn append(&mut self) -> Checked<bool> {
        let Some(group) = self.undurable.pop_front() else { return Ok(false) };
        self.ledger.append(group.first_seq, group.entries).map_err(broken)?;
        if let Some(reference) = group.reference {
            self.durable = reference;
        }
        Ok(true)
    }

    fn end(&mut self) -> Checked {
        let now = self.now();
        let status = self.run.end(now);
        self.keep();
        while self.append()? {}
        self.reference.end();
        let expected = match self.stop {
            Some(Stop::Failure) => ExecutionStatus::Failed,
            _ => self.reference.status,
        };
        check(status == expected, || format!("the run ended {status}, the reference {expected}"))?;
        self.compare_executions()?;
        self.compare_outputs()?;
        if self.stop.is_none() {
            self.compare_counts()?;
            self.every_value_arrived().map_err(broken)?;
            if self.shape.is_confluent {
                let undisturbed = story(&straight(self.shape)?);
                invariants::same_end(&undisturbed, &story(&self.reference)).map_err(broken)?;
            }
        }
        Ok(())
    }

    /// The engine, the ledger and the reference know the same executions, and the same of each.
    fn compare_executions(&self) -> Checked {
        let seen: Vec<_> = self.run.node_executions().collect();
        let (kept, expected) = (&self.ledger.run.node_executions, &self.reference.executions);
        let counts = (seen.len(), kept.len(), expected.len());
        check(counts.0 == counts.1 && counts.1 == counts.2, || {
            format!("executions in the engine, the ledger, the reference: {counts:?}")
        })?;
        for (position, ((seen, kept), expected)) in seen.iter().zip(kept).zip(expected).enumerate() {
            // Left-overs of a run that failed as a whole take its status.
            let failed_with_the_run = self.stop == Some(Stop::Failure) && expected.status == ExecutionStatus::Terminated;
            let status = if failed_with_the_run { ExecutionStatus::Failed } else { expected.status };
            let same = kept.node_id == Shape::id(expected.node)
                && seen.status == kept.status
                && kept.status == status
                && kept.inputs == expected.inputs
                && kept.execution_data == expected.data
                && seen.output_data == kept.outputs
                && kept.outputs == by_name(&expected.outputs)
                && &seen.input_data == kept.execution_data.as_ref().unwrap_or(&kept.inputs);
            check(same, || {
                format!("execution {position}\n    engine    {seen:?}\n    ledger    {kept:?}\n    reference {expected:?}")
            })?;
        }
        Ok(())
    }

    fn compare_outputs(&self) -> Checked {
        // Values that were queued at the same instant have no order of their own (finding 8).
        let sorted = |outputs: Outputs| -> BTreeMap<String, Vec<String>> {
            let texts = |values: Vec<Value>| {
                let mut texts: Vec<String> = values.iter().map(Value::to_string).collect();
                texts.sort();
                texts
            };
            outputs.into_iter().map(|(name, values)| (name, texts(values))).collect()
        };
        let (engine, reference) = (sorted(self.run.outputs()), sorted(by_name(&self.reference.outputs())));
        check(engine == reference, || {
            format!("outputs of the run: engine {engine:?}, reference {reference:?}")
        })
    }

    fn compare_counts(&self) -> Checked {
        let count = |status| self.reference.executions.iter().filter(|execution| execution.status == status).count() as i64;
        let failed = count(ExecutionStatus::Failed);
        let ended = count(ExecutionStatus::Completed) + failed;
        let expected = (ended, failed, ended * COST);
        let stats = self.run.stats();
        let counted = (stats.node_count, stats.node_error_count, stats.cost);
        check(counted == expected, || {
            format!("the statistics count {counted:?} nodes, failures and credits, there were {expected:?}")
        })
    }

    /// From the ledger alone, without asking how anything was routed.
    fn every_value_arrived(&self) -> Result<(), Breach> {
        let first = self.reference.executions.iter().filter(|execution| execution.is_first).count();
        let records = &self.ledger.run.node_executions;
        let mut pins: BTreeMap<(usize, &str), Vec<String>> = BTreeMap::new();
        for link in &self.shape.links {
            let sent = pins.entry((link.sink, link.input.as_str())).or_default();
            for record in records.iter().filter(|record| record.node_id == Shape::id(link.source)) {
                let emitted = record
                    .outputs
                    .iter()
                    .flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
                sent.extend(emitted.filter_map(|(name, value)| Some(selected(name, value, &link.output)?.to_string())));
            }
        }
        for ((node, pin), sent) in pins {
            let later = records.iter().skip(first).filter(|record| record.node_id == Shape::id(node));
            let arrived = later.filter_map(|record| Some(record.inputs.get(pin)?.to_string()));
            invariants::delivered(format!("{node}.{pin}"), sent, arrived)?;
        }
        Ok(())
    }
}

/// The run without any trouble, one node after the other.
fn straight(shape: &Shape) -> Checked<Reference<'_>> {
    let mut run = Reference::submit(shape).unwrap();
    for _ in 0..STEPS_AT_MOST {
        let Some(execution) = run.ready().first().copied() else {
            run.end();
            return Ok(run);
        };
        let input = run.start(execution).unwrap_or_default();
        let doing = CATALOG.named(shape.nodes[run.executions[execution].node].block).run(&input);
        for (name, value) in doing.emissions {
            run.emit(execution, &name, value);
        }
        run.finish(execution, doing.error.as_deref());
    }
    Err("the reference does not end".to_owned())
}

/// What is the same in every order of events: per node, what its executions received, made and became.
type Story = BTreeMap<usize, Vec<String>>;

fn story(run: &Reference<'_>) -> Story {
    let mut story = Story::new();
    for execution in &run.executions {
        let Execution {
            node, status, data, outputs, ..
        } = execution;
        // As stored: in order for each name.
        let (data, outputs) = (sorted_text(data.as_ref()), by_name(outputs));
        story
            .entry(*node)
            .or_default()
            .push(format!("{status} {data} {}", sorted_outputs(&outputs)));
    }
    story.values_mut().for_each(|executions| executions.sort());
    story
}

/// Keys in one order: the order of arrival is free (finding 8).
fn sorted_text(data: Option<&Map>) -> String {
    let sorted: Option<BTreeMap<&String, String>> = data.map(|data| data.iter().map(|(key, value)| (key, sorted_value(value))).collect());
    format!("{sorted:?}")
}

fn sorted_outputs(outputs: &Outputs) -> String {
    let sorted: BTreeMap<&String, Vec<String>> = outputs
        .iter()
        .map(|(name, values)| (name, values.iter().map(sorted_value).collect()))
        .collect();
    format!("{sorted:?}")
}

fn sorted_value(value: &Value) -> String {
    match value {
        Value::Object(entries) => sorted_text(Some(entries)),
        Value::Array(items) => format!("{:?}", items.iter().map(sorted_value).collect::<Vec<_>>()),
        scalar => scalar.to_string(),
    }
}

fn by_name(outputs: &[(String, Value)]) -> Outputs {
    let mut grouped = Outputs::new();
    for (name, value) in outputs {
        grouped.entry(name.clone()).or_default().push(value.clone());
    }
    grouped
}

/// Ids of the node executions that the `life`-th executor creates.
fn counter(life: u64) -> impl FnMut() -> Uuid + Send + 'static {
    let mut next = u128::from(life + 1) << 64;
    move || {
        next += 1;
        Uuid::from_u128(next)
    }
}

/// What submitting stores and an executor claims.
fn claimed(shape: &Shape) -> Result<ClaimedRun, GraphError> {
    let masks: NodeInputMasks = shape.masks.iter().map(|(node, mask)| (Shape::id(*node), mask.clone())).collect();
    let starting = starting_inputs(&shape.plan(), &shape.inputs, &masks)?;
    let start: Timestamp = chrono::DateTime::from_timestamp_micros(1_700_000_000_000_000).unwrap().into();
    let mut mint = counter(u64::MAX - 1);
    let node_executions = starting.into_iter().map(|(node_id, data)| NodeExecutionRecord {
        node_exec_id: mint(),
        node_id,
        status: ExecutionStatus::Queued,
        inputs: data.clone(),
        execution_data: Some(data),
        outputs: Outputs::new(),
        cost: 0,
        add_time: start,
        queue_time: Some(start),
        start_time: None,
        end_time: None,
    });
    Ok(ClaimedRun {
        graph_exec_id: Uuid::from_u128(7),
        user_id: Uuid::nil(),
        graph_id: Uuid::nil(),
        graph_version: 1,
        epoch: 1,
        next_seq: 1,
        status: ExecutionStatus::Queued,
        created_at: start,
        started_at: None,
        node_executions: node_executions.collect(),
        nodes_input_masks: masks,
        given: Default::default(),
        context: ExecutionContext::default(),
        stats: StoredStats::default(),
        cancel_requested: false,
        news: 0,
        traceparent: None,
        seconds_left: None,
        inputs: shape.inputs.clone(),
    })
}

/// The journal applied as the database applies it.
struct Ledger {
    run: ClaimedRun,
    positions: HashMap<NodeExecId, usize>,
}

impl Ledger {
    fn new(run: ClaimedRun) -> Self {
        let records = run.node_executions.iter().enumerate();
        Self {
            positions: records.map(|(position, record)| (record.node_exec_id, position)).collect(),
            run,
        }
    }

    fn append(&mut self, first_seq: i64, entries: Vec<JournalEntry>) -> Result<(), Breach> {
        invariants::gapless(self.run.next_seq, first_seq)?;
        for entry in entries {
            self.run.next_seq += 1;
            self.apply(entry)?;
        }
        Ok(())
    }

    fn node(&mut self, id: NodeExecId) -> &mut NodeExecutionRecord {
        &mut self.run.node_executions[self.positions[&id]]
    }

    fn apply(&mut self, entry: JournalEntry) -> Result<(), Breach> {
        match entry {
            JournalEntry::RunStatus { status, stats, at } => {
                invariants::legal_turn(self.run.status, status)?;
                self.run.status = status;
                self.run.stats = stats.unwrap_or_else(|| self.run.stats.clone());
                if status == ExecutionStatus::Running {
                    self.run.started_at.get_or_insert(at);
                }
            }
            JournalEntry::Suspended { stats, .. } => self.run.stats = stats,
            JournalEntry::Progressed => {}
            JournalEntry::NodeCreated { node_exec_id, node_id, at } => {
                self.positions.insert(node_exec_id, self.run.node_executions.len());
                self.run.node_executions.push(NodeExecutionRecord {
                    node_exec_id,
                    node_id,
                    status: ExecutionStatus::Incomplete,
                    inputs: Map::new(),
                    execution_data: None,
                    outputs: Outputs::new(),
                    cost: 0,
                    add_time: at,
                    queue_time: None,
                    start_time: None,
                    end_time: None,
                });
            }
            JournalEntry::NodeInput {
                node_exec_id, name, value, ..
            } => {
                let record = self.node(node_exec_id);
                invariants::legal_turn(record.status, ExecutionStatus::Queued)?; // it still waits
                let replaced = record.inputs.insert(name, value);
                invariants::delivered("a pin that has a value", None, replaced.map(|value| value.to_string()))?;
            }
            JournalEntry::NodeStatus {
                node_exec_id,
                status,
                execution_data,
                stats,
                at,
            } => {
                let record = self.node(node_exec_id);
                record.cost = stats.map_or(record.cost, |stats| stats.cost + stats.extra_cost);
                invariants::finishes_once(record.status.is_terminal())?;
                invariants::legal_turn(record.status, status)?;
                record.status = status;
                record.execution_data = execution_data.or(record.execution_data.take());
                match status {
                    ExecutionStatus::Queued => record.queue_time = Some(at),
                    ExecutionStatus::Running => record.start_time = Some(at),
                    ExecutionStatus::Completed | ExecutionStatus::Failed => record.end_time = Some(at),
                    _ => {}
                }
            }
            JournalEntry::NodeOutput {
                node_exec_id, name, value, ..
            } => {
                let record = self.node(node_exec_id);
                invariants::finishes_once(record.status.is_terminal())?;
                record.outputs.entry(name).or_default().push(value);
            }
        }
        Ok(())
    }
}
