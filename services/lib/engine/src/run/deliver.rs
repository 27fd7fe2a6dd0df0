//! Where a value goes (internals §2.9).

use std::sync::Arc;

use model::{ExecutionStatus, JournalEntry, Map, NodeExecId, Timestamp};
use serde_json::Value;

use super::Run;
use super::state::{Exec, ExecIndex};
use crate::input::{Dynamic, resolve};
use crate::pins::{Sink, parse_output};
use crate::plan::{NodeIndex, Plan, PlanNode, Route};

/// Who gets what of an output. A selector that fails takes its link out for this output, nothing else (internals §2.9 step 4).
fn receivers<'a>(plan: &'a Plan, source: &'a PlanNode, name: &'a str, value: &'a Value) -> impl Iterator<Item = (&'a PlanNode, &'a Route, Value)> {
    source.routes.iter().filter_map(move |route| {
        let sink = plan.at(route.sink)?;
        let receiver = Sink {
            node_id: &sink.id_text,
            pin: &route.sink_name,
        };
        let share = parse_output(name, value, &route.source_name, receiver).ok()??;
        Some((sink, route, share))
    })
}

impl Run {
    /// Notes the start of an execution: its outputs are routed after those of the node's executions that started before.
    pub(super) fn enter_drain(&mut self, index: ExecIndex) {
        let Some(exec) = self.execs.get_mut(index).filter(|exec| !exec.draining) else {
            return;
        };
        exec.draining = true;
        if let Some(state) = self.nodes.get_mut(exec.node) {
            state.drain.push_back(index);
        }
    }

    /// Routes what may be routed of a node's outputs.
    pub(super) fn drain(&mut self, node: NodeIndex, at: Timestamp) {
        while let Some(index) = self.nodes.get(node).and_then(|state| state.drain.front().copied()) {
            while let Some((name, value)) = self.execs.get_mut(index).and_then(|exec| exec.unrouted.pop_front()) {
                self.route(node, &name, &value, at);
            }
            let Some(exec) = self.execs.get_mut(index) else { return };
            if exec.is_open() {
                return;
            }
            exec.draining = false;
            if let Some(state) = self.nodes.get_mut(node) {
                state.drain.pop_front();
            }
        }
    }

    fn route(&mut self, node: NodeIndex, name: &str, value: &Value, at: Timestamp) {
        if self.is_stopping() {
            return;
        }
        let plan = Arc::clone(&self.plan);
        let Some(source) = plan.at(node) else { return };
        for (sink, route, value) in receivers(&plan, source, name, value) {
            self.deliver(sink, route, value, at);
        }
    }

    /// Links that leave the node.
    pub fn links_from(&self, node_exec_id: NodeExecId) -> usize {
        self.source(node_exec_id).map_or(0, |source| source.routes.len())
    }

    /// What the nodes behind an output would get of it, one value for each link that takes it.
    pub fn shares(&self, node_exec_id: NodeExecId, name: &str, value: &Value) -> Vec<Value> {
        let source = self.source(node_exec_id);
        let shares = source.into_iter().flat_map(|source| receivers(&self.plan, source, name, value));
        shares.map(|(.., share)| share).collect()
    }

    fn source(&self, node_exec_id: NodeExecId) -> Option<&PlanNode> {
        let exec = self.execs.get(*self.by_id.get(&node_exec_id)?)?;
        self.plan.at(exec.node)
    }

    fn deliver(&mut self, sink: &PlanNode, route: &Route, value: Value, at: Timestamp) {
        let index = match self.oldest_waiting(route.sink, &route.sink_name) {
            Some(index) => index,
            None => self.create(route.sink, at),
        };
        let Some(exec) = self.execs.get_mut(index) else { return };
        self.journal.push(JournalEntry::NodeInput {
            node_exec_id: exec.id,
            name: route.sink_name.clone(),
            value: value.clone(),
            at,
        });
        exec.inputs.insert(route.sink_name.clone(), value);
        self.changed_at = at;
        if self.lacks_a_link(sink, route.sink, index) {
            return;
        }
        let data = self.with_remembered_statics(sink, route.sink, index);
        let Some(resolved) = self.complete(sink, index, data, at) else { return };
        if route.is_static {
            self.share_statics(sink, route.sink, &resolved, at);
        }
    }

    /// The oldest INCOMPLETE execution of the node that has no value under this name yet.
    fn oldest_waiting(&mut self, node: NodeIndex, name: &str) -> Option<ExecIndex> {
        let state = self.nodes.get_mut(node)?;
        let start = state.cursors.get(name).copied().unwrap_or_default();
        let execs = &self.execs;
        let waits = |index: &ExecIndex| {
            let exec = execs.get(*index);
            exec.is_some_and(|exec| exec.status == ExecutionStatus::Incomplete && !exec.inputs.contains_key(name))
        };
        let passed = state.execs.iter().skip(start).position(waits);
        let position = passed.map_or(state.execs.len(), |passed| start + passed);
        match state.cursors.get_mut(name) {
            Some(cursor) => *cursor = position,
            None => {
                state.cursors.insert(name.to_owned(), position);
            }
        }
        state.execs.get(position).copied()
    }

    fn create(&mut self, node: NodeIndex, at: Timestamp) -> ExecIndex {
        let index = self.execs.len();
        let id = (self.mint)();
        let node_id = self.plan.at(node).map(|node| node.id).unwrap_or_default();
        self.journal.push(JournalEntry::NodeCreated {
            node_exec_id: id,
            node_id,
            at,
        });
        self.execs.push(Exec::new(id, node, at));
        self.by_id.insert(id, index);
        if let Some(state) = self.nodes.get_mut(node) {
            state.execs.push(index);
            state.incomplete.insert(index);
        }
        index
    }

    /// Whether a linked pin has no value from anywhere: a cheap look before values are copied, since most arrivals complete nothing.
    fn lacks_a_link(&mut self, sink: &PlanNode, node: NodeIndex, index: ExecIndex) -> bool {
        let mask = self.facts.nodes_input_masks.get(&sink.id);
        let has_latest = self.nodes.get(node).is_some_and(|state| state.latest_queued.is_some());
        let Some(exec) = self.execs.get_mut(index) else { return true };
        let inputs = &exec.inputs;
        let has = |name: &&String| {
            inputs.contains_key(*name) || (has_latest && sink.linked_static.contains(*name)) || mask.is_some_and(|mask| mask.contains_key(*name))
        };
        exec.links_served += sink.linked.iter().skip(exec.links_served).take_while(has).count();
        exec.links_served < sink.linked.len()
    }

    /// What has arrived, and for static pins still missing what the node's latest execution had: null when it had nothing.
    fn with_remembered_statics(&self, sink: &PlanNode, node: NodeIndex, index: ExecIndex) -> Map {
        let mut data = self.execs.get(index).map(|exec| exec.inputs.clone()).unwrap_or_default();
        let latest = self.nodes.get(node).and_then(|state| self.execs.get(state.latest_queued?));
        if let Some(latest) = latest {
            for name in &sink.linked_static {
                if !data.contains_key(name) {
                    data.insert(name.clone(), latest.data().get(name).cloned().unwrap_or_default());
                }
            }
        }
        data
    }

    /// Queues the execution if these values make its input complete. Values that cannot be converted or stored leave it waiting,
    /// unreported (findings 1 and 9).
    fn complete(&mut self, sink: &PlanNode, index: ExecIndex, mut data: Map, at: Timestamp) -> Option<Map> {
        if let Some(mask) = self.facts.nodes_input_masks.get(&sink.id) {
            data.extend(mask.clone());
        }
        let resolved = resolve(sink, data, Dynamic::Merge).ok()?;
        let exec = self.execs.get_mut(index)?;
        let node = exec.node;
        exec.numbered_keys = resolved.numbered_keys;
        let resolved = resolved.data;
        exec.execution_data = Some(resolved.clone());
        exec.queue_time = Some(at);
        self.set_node_status(index, ExecutionStatus::Queued, Some(resolved.clone()), None, at);
        if let Some(state) = self.nodes.get_mut(node) {
            state.incomplete.remove(&index);
            state.latest_queued = Some(index);
        }
        self.note_shown(Some(sink.block.kind), index);
        self.ready.push_back(index);
        Some(resolved)
    }

    /// A static value completes every other execution that waits for it (internals §2.9 step 3e).
    fn share_statics(&mut self, sink: &PlanNode, node: NodeIndex, from: &Map, at: Timestamp) {
        let waiting: Vec<ExecIndex> = self
            .nodes
            .get(node)
            .map(|state| state.incomplete.iter().copied().collect())
            .unwrap_or_default();
        for index in waiting {
            let Some(exec) = self.execs.get(index) else { continue };
            let missing = sink.linked_static.iter().filter(|name| !exec.inputs.contains_key(*name));
            let shared: Vec<(String, Value)> = missing.filter_map(|name| Some((name.clone(), from.get(name)?.clone()))).collect();
            if !shared.is_empty() {
                let mut data = exec.inputs.clone();
                data.extend(shared);
                self.complete(sink, index, data, at);
            }
        }
    }
}
