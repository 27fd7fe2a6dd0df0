//! What a graph means, written from the contract (internals §2.4–2.11, findings 6–18) with nothing but lists and loops. Slow and
//! obvious: this is what the engine is compared with. It shares the conversions with the engine, which the recorded tables prove.
//!
//! Who says when something starts or ends is the caller, so that no order needs to be guessed: orders that the contract leaves free
//! (findings 8 and 17) are simply followed.

use engine::block::{BlockDescriptor, BlockKind};
use engine::convert::convert;
use engine::types::PinType;
use model::{ExecutionStatus, Map};
use serde_json::Value;

use crate::blocks::CATALOG;
use crate::shapes::{LinkShape, Shape};

/// One execution of one node.
#[derive(Debug, Clone)]
pub struct Execution {
    pub node: usize,
    pub status: ExecutionStatus,
    /// What has arrived, by raw pin name.
    pub inputs: Map,
    /// The resolved input.
    pub data: Option<Map>,
    /// In order.
    pub outputs: Vec<(String, Value)>,
    /// It was there when the run was submitted.
    pub is_first: bool,
    /// When it was queued, counted over all executions.
    queued: Option<usize>,
    /// How many outputs have been passed on.
    routed: usize,
    /// A block is at work on it.
    in_flight: bool,
    /// How many outputs the block at work has emitted: those that are recorded already are not recorded again.
    emitted: usize,
}

#[derive(Debug, Clone)]
pub struct Reference<'a> {
    shape: &'a Shape,
    pub executions: Vec<Execution>,
    pub status: ExecutionStatus,
    /// Executions by node in the order in which they started.
    started: Vec<Vec<usize>>,
    queued: usize,
    stopping: bool,
}

impl<'a> Reference<'a> {
    /// Where the run starts and with what (§2.4). `None` when it is refused.
    pub fn submit(shape: &'a Shape) -> Option<Self> {
        let mut run = Self {
            shape,
            executions: Vec::new(),
            status: ExecutionStatus::Queued,
            started: vec![Vec::new(); shape.nodes.len()],
            queued: 0,
            stopping: false,
        };
        for node in 0..shape.nodes.len() {
            let kind = run.block(node).kind;
            let linked = shape.links.iter().any(|link| link.sink == node);
            if kind == BlockKind::Note || (linked && kind != BlockKind::Input) {
                continue;
            }
            let mut data = Map::new();
            let name = shape.nodes[node].default.get("name").and_then(Value::as_str).unwrap_or_default();
            if let (BlockKind::Input, Some(value)) = (kind, shape.inputs.get(name)) {
                data.insert("value".to_owned(), value.clone());
            }
            data.extend(shape.mask(node).cloned().unwrap_or_default());
            let resolved = run.resolve(node, data, true)?;
            let execution = run.create(node);
            run.executions[execution].inputs = resolved.clone();
            run.executions[execution].is_first = true;
            run.queue(execution, resolved);
        }
        (!run.executions.is_empty()).then_some(run)
    }

    fn block(&self, node: usize) -> &'static BlockDescriptor {
        &CATALOG.named(self.shape.nodes[node].block).descriptor
    }

    pub fn may_start(&self, execution: usize) -> bool {
        let execution = &self.executions[execution];
        let waits = matches!(execution.status, ExecutionStatus::Queued | ExecutionStatus::Running) && !execution.in_flight;
        waits && !self.stopping
    }

    pub fn ready(&self) -> Vec<usize> {
        (0..self.executions.len()).filter(|execution| self.may_start(*execution)).collect()
    }

    pub fn is_idle(&self) -> bool {
        self.ready().is_empty() && !self.executions.iter().any(|execution| execution.in_flight)
    }

    /// The block's input, or what is wrong with it (§2.10 steps 1 and 2).
    pub fn start(&mut self, execution: usize) -> Option<Map> {
        let node = self.executions[execution].node;
        let entry = &mut self.executions[execution];
        entry.status = ExecutionStatus::Running;
        entry.in_flight = true;
        entry.emitted = 0;
        if !self.started[node].contains(&execution) {
            self.started[node].push(execution);
        }
        let mut data = self.executions[execution].data.clone().unwrap();
        data.extend(self.shape.mask(node).cloned().unwrap_or_default());
        self.resolve(node, data, false)
    }

    /// A block emits a value. What an earlier attempt has emitted already is not recorded again.
    pub fn emit(&mut self, execution: usize, name: &str, value: Value) {
        let entry = &mut self.executions[execution];
        entry.emitted += 1;
        if entry.emitted > entry.outputs.len() {
            entry.outputs.push((name.to_owned(), value));
        }
        self.drain(self.executions[execution].node);
    }

    /// A block ends; a failure is an `error` output first (§2.10 step 7).
    pub fn finish(&mut self, execution: usize, error: Option<&str>) {
        if let Some(error) = error {
            self.emit(execution, "error", Value::from(error));
        }
        let status = if error.is_some() {
            ExecutionStatus::Failed
        } else {
            ExecutionStatus::Completed
        };
        self.close(execution, status);
    }

    pub fn terminate(&mut self, execution: usize) {
        self.close(execution, ExecutionStatus::Terminated);
    }

    fn close(&mut self, execution: usize, status: ExecutionStatus) {
        self.executions[execution].status = status;
        self.executions[execution].in_flight = false;
        self.drain(self.executions[execution].node);
    }

    /// From now on nothing starts and nothing is passed on.
    pub fn cancel(&mut self) {
        self.stopping = true;
    }

    /// §2.8 steps 6 and 8.
    pub fn end(&mut self) {
        self.status = if self.stopping {
            ExecutionStatus::Terminated
        } else {
            ExecutionStatus::Completed
        };
        for execution in &mut self.executions {
            if matches!(execution.status, ExecutionStatus::Queued | ExecutionStatus::Running) {
                execution.status = ExecutionStatus::Terminated;
            }
        }
    }

    /// Another executor goes on from here: what was running starts anew.
    ///
    /// Outputs that were held back behind an earlier execution are passed on name by name from now on: a stored record keeps the order
    /// of the values of each name, not that between names.
    pub fn taken_over(mut self) -> Self {
        for execution in &mut self.executions {
            execution.in_flight = false;
            execution.emitted = 0;
            if execution.routed == 0 {
                let names: Vec<String> = execution.outputs.iter().map(|(name, _)| name.clone()).collect();
                let first = |name: &String| names.iter().position(|other| other == name);
                execution.outputs.sort_by_key(|(name, _)| first(name));
            }
        }
        self
    }

    /// Values of the output nodes by name, in the order in which they were queued (finding 15).
    pub fn outputs(&self) -> Vec<(String, Value)> {
        let mut shown: Vec<&Execution> = self.executions.iter().filter(|execution| execution.queued.is_some()).collect();
        shown.retain(|execution| self.block(execution.node).kind == BlockKind::Output);
        shown.sort_by_key(|execution| execution.queued);
        let tell = |execution: &&Execution| {
            let data = execution.data.as_ref()?;
            Some((data.get("name")?.as_str()?.to_owned(), data.get("value").cloned().unwrap_or_default()))
        };
        shown.iter().filter_map(tell).collect()
    }

    /// Outputs of one node are passed on in order, those of an execution after all of the executions that started before it (§2.8 step 4d).
    fn drain(&mut self, node: usize) {
        for position in 0..self.started[node].len() {
            let execution = self.started[node][position];
            while self.executions[execution].routed < self.executions[execution].outputs.len() {
                let (name, value) = self.executions[execution].outputs[self.executions[execution].routed].clone();
                self.executions[execution].routed += 1;
                self.route(node, &name, &value);
            }
            if self.executions[execution].status == ExecutionStatus::Running {
                return;
            }
        }
    }

    /// §2.9.
    fn route(&mut self, node: usize, name: &str, value: &Value) {
        if self.stopping {
            return;
        }
        let links: Vec<&LinkShape> = self.shape.links.iter().filter(|link| link.source == node).collect();
        for link in links {
            if let Some(value) = selected(name, value, &link.output) {
                self.deliver(link, value);
            }
        }
    }

    fn deliver(&mut self, link: &LinkShape, value: Value) {
        let lacks_it = |execution: &Execution| {
            execution.node == link.sink && execution.status == ExecutionStatus::Incomplete && !execution.inputs.contains_key(&link.input)
        };
        let execution = match self.executions.iter().position(lacks_it) {
            Some(execution) => execution,
            None => self.create(link.sink),
        };
        self.executions[execution].inputs.insert(link.input.clone(), value);
        let mut data = self.executions[execution].inputs.clone();
        if let Some(latest) = self.latest(link.sink) {
            for pin in self.shape.static_pins(link.sink) {
                if !data.contains_key(pin) {
                    data.insert(pin.to_owned(), latest.get(pin).cloned().unwrap_or_default());
                }
            }
        }
        let Some(resolved) = self.complete(execution, data) else { return };
        if !self.shape.is_static(link) {
            return;
        }
        for other in 0..self.executions.len() {
            if self.executions[other].node == link.sink && self.executions[other].status == ExecutionStatus::Incomplete {
                let mut data = self.executions[other].inputs.clone();
                for pin in self.shape.static_pins(link.sink) {
                    if let (false, Some(value)) = (data.contains_key(pin), resolved.get(pin)) {
                        data.insert(pin.to_owned(), value.clone());
                    }
                }
                self.complete(other, data);
            }
        }
    }

    /// Data of the execution of the node that was queued last.
    fn latest(&self, node: usize) -> Option<Map> {
        let of_node = self
            .executions
            .iter()
            .filter(|execution| execution.node == node && execution.queued.is_some());
        of_node.max_by_key(|execution| execution.queued)?.data.clone()
    }

    /// Queues the execution when these values make its input (§2.9 steps 3c and 3d). Else it keeps waiting, unreported (finding 1).
    fn complete(&mut self, execution: usize, mut data: Map) -> Option<Map> {
        let node = self.executions[execution].node;
        data.extend(self.shape.mask(node).cloned().unwrap_or_default());
        let resolved = self.resolve(node, data, true)?;
        self.queue(execution, resolved.clone());
        Some(resolved)
    }

    fn create(&mut self, node: usize) -> usize {
        self.executions.push(Execution {
            node,
            status: ExecutionStatus::Incomplete,
            inputs: Map::new(),
            data: None,
            outputs: Vec::new(),
            is_first: false,
            queued: None,
            routed: 0,
            in_flight: false,
            emitted: 0,
        });
        self.executions.len() - 1
    }

    fn queue(&mut self, execution: usize, resolved: Map) {
        self.queued += 1;
        let entry = &mut self.executions[execution];
        entry.status = ExecutionStatus::Queued;
        entry.data = Some(resolved);
        entry.queued = Some(self.queued);
    }

    /// §2.5. Of the pins of the search's blocks only one can hold what its schema forbids: true stays true in an int pin (finding 4).
    fn resolve(&self, node: usize, data: Map, merge: bool) -> Option<Map> {
        let mut links = self.shape.links.iter().filter(|link| link.sink == node);
        if !links.all(|link| data.contains_key(&link.input)) {
            return None;
        }
        let mut complete = self.shape.nodes[node].default.clone();
        complete.extend(data);
        if merge {
            merged(&mut complete);
        }
        for pin in &self.block(node).inputs {
            match complete.get_mut(pin.name) {
                Some(value) if !value.is_null() => {
                    *value = convert(value.clone(), &pin.ty).ok()?.into_value()?;
                    if pin.ty == PinType::Int && value.is_boolean() {
                        return None;
                    }
                }
                _ if pin.required => return None,
                _ => {}
            }
        }
        Some(complete)
    }
}

const DELIMITERS: [&str; 3] = ["_$_", "_#_", "_@_"];

/// `base_#_key_$_0` → base, [(`_#_`, key), (`_$_`, 0)] (§2.6).
fn taken_apart(name: &str) -> (String, Vec<(&'static str, String)>) {
    let earliest = |text: &str| {
        let found = DELIMITERS.iter().filter_map(|delimiter| Some((text.find(delimiter)?, *delimiter)));
        found.min()
    };
    let Some((end, mut delimiter)) = earliest(name) else {
        return (name.to_owned(), Vec::new());
    };
    let (base, mut rest) = (name[..end].to_owned(), &name[end + 3..]);
    let mut steps = Vec::new();
    while let Some((end, next)) = earliest(rest) {
        steps.push((delimiter, rest[..end].to_owned()));
        (delimiter, rest) = (next, &rest[end + 3..]);
    }
    steps.push((delimiter, rest.to_owned()));
    (base, steps)
}

/// What a link with this source name takes of an output (§2.6 reading, §2.9 step 1).
pub fn selected(name: &str, value: &Value, selector: &str) -> Option<Value> {
    if name == selector {
        return Some(value.clone());
    }
    let (base, steps) = taken_apart(selector);
    if base != name {
        return None;
    }
    let mut found = value;
    for (delimiter, identifier) in &steps {
        found = match *delimiter {
            "_$_" => found.as_array()?.get(identifier.parse::<usize>().ok()?)?,
            "_#_" => found.as_object()?.get(identifier)?,
            _ => return None,
        };
    }
    (!found.is_null()).then(|| found.clone())
}

/// Puts flattened inputs together; the flattened names stay (§2.6 writing).
fn merged(data: &mut Map) {
    let flattened: Vec<String> = data.keys().filter(|name| !taken_apart(name).1.is_empty()).cloned().collect();
    for name in flattened {
        let (base, steps) = taken_apart(&name);
        let mut target = data.get(&base).cloned().unwrap_or_default();
        write(&mut target, &steps, data[&name].clone());
        data.insert(base, target);
    }
}

fn write(target: &mut Value, steps: &[(&'static str, String)], value: Value) {
    let Some(((delimiter, identifier), rest)) = steps.split_first() else {
        *target = value;
        return;
    };
    if *delimiter == "_$_" {
        let index: usize = identifier.parse().unwrap();
        let mut items = target.as_array().cloned().unwrap_or_default();
        items.resize(items.len().max(index + 1), Value::Null);
        write(&mut items[index], rest, value);
        *target = Value::Array(items);
    } else {
        let mut entries = target.as_object().cloned().unwrap_or_default();
        write(entries.entry(identifier.clone()).or_insert(Value::Null), rest, value);
        *target = Value::Object(entries);
    }
}
