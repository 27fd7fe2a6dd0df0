//! Graphs as answers show them (rest.md §2.2): in full, as a list entry, and for export.

use blocks::BlockCatalog;
use model::{GraphId, GraphModel, UserId};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use submit::ListedGraph;

const NOT_IN_META: [&str; 3] = ["nodes", "links", "created_at"];
const NOT_IN_SUB_GRAPHS: [&str; 4] = ["user_id", "created_at", "credentials_input_schema", "sub_graphs"];
/// Of a node of a sub-graph.
const NOT_IN_INNER_NODES: [&str; 4] = ["graph_id", "graph_version", "webhook_id", "webhook"];

pub fn full(graph: &GraphModel) -> Value {
    let mut value = json!(graph);
    for sub_graph in value.get_mut("sub_graphs").and_then(Value::as_array_mut).into_iter().flatten() {
        remove(sub_graph, &NOT_IN_SUB_GRAPHS);
        let nodes = sub_graph.get_mut("nodes").and_then(Value::as_array_mut);
        nodes.into_iter().flatten().for_each(|node| remove(node, &NOT_IN_INNER_NODES));
    }
    value
}

pub fn meta(graph: &GraphModel) -> Value {
    let mut value = full(graph);
    remove(&mut value, &NOT_IN_META);
    value
}

/// An entry of the list of graphs: what [`meta`] makes of the same graph, without making it.
#[derive(Debug, Serialize)]
pub struct Listed<'a> {
    id: GraphId,
    version: i32,
    is_active: bool,
    name: &'a str,
    description: &'a str,
    instructions: Option<&'a str>,
    recommended_schedule_cron: Option<&'a str>,
    forked_from_id: Option<GraphId>,
    forked_from_version: Option<i32>,
    /// The list does not look into the agents that a graph runs.
    sub_graphs: [(); 0],
    user_id: UserId,
    input_schema: &'a RawValue,
    output_schema: &'a RawValue,
    has_external_trigger: bool,
    has_human_in_the_loop: bool,
    trigger_setup_info: Option<&'a RawValue>,
    credentials_input_schema: &'a RawValue,
}

impl<'a> Listed<'a> {
    pub fn of(ListedGraph { graph, interface }: &'a ListedGraph) -> Self {
        Self {
            id: graph.id,
            version: graph.version,
            is_active: graph.is_active,
            name: &graph.name,
            description: &graph.description,
            instructions: graph.instructions.as_deref(),
            recommended_schedule_cron: graph.recommended_schedule_cron.as_deref(),
            forked_from_id: graph.forked_from_id,
            forked_from_version: graph.forked_from_version,
            sub_graphs: [],
            user_id: graph.user_id,
            input_schema: &interface.json.input_schema,
            output_schema: &interface.json.output_schema,
            has_external_trigger: interface.has_external_trigger,
            has_human_in_the_loop: interface.has_human_in_the_loop,
            trigger_setup_info: interface.json.trigger_setup_info.as_deref(),
            credentials_input_schema: &interface.json.credentials_input_schema,
        }
    }
}

/// Without secrets, without webhooks, without an owner.
pub fn export(graph: &GraphModel, catalog: &dyn BlockCatalog) -> Value {
    let mut graph = graph.clone();
    engine::secrets::strip(&mut graph, catalog);
    unowned(full(&graph))
}

/// Without telling whose it is.
pub fn unowned(mut graph: Value) -> Value {
    if let Some(user_id) = graph.get_mut("user_id") {
        *user_id = json!("");
    }
    graph
}

fn remove(value: &mut Value, names: &[&str]) {
    if let Value::Object(map) = value {
        for name in names {
            map.shift_remove(*name);
        }
    }
}
