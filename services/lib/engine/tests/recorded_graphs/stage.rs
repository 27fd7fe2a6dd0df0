//! Posting, submitting and running a recorded graph the way the services do, minus the network.

use std::collections::HashMap;
use std::sync::Arc;

use blocks::{BlockCatalog, BlockContext, Done, Emitted, Registry, execute};
use engine::error::{GraphError, NodeErrors};
use engine::graph::{Identity, prepare};
use engine::plan::Plan;
use engine::run::{NodeResult, NodeStart, Run};
use engine::start::starting_inputs;
use engine::validate::{for_run, for_save};
use model::{
    ClaimedRun, ExecutionContext, ExecutionStatus, Graph, GraphModel, Map, NodeExecutionRecord, NodeInputMasks, NodeStats, StoredStats, Timestamp,
};
use serde_json::Value;
use uuid::Uuid;

pub fn recorded(file: &str) -> Vec<Value> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../tests/recorded")
        .join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Whether this build has every block of the graph.
pub fn is_playable(graph: &Value, registry: &Registry) -> bool {
    let nodes = graph["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    nodes.iter().all(|node| {
        node["block_id"]
            .as_str()
            .and_then(|id| id.parse().ok())
            .is_some_and(|id| registry.block(id).is_some())
    })
}

/// A stored graph and the recorded names of its nodes.
pub struct Stored {
    pub model: GraphModel,
    pub refs: HashMap<Uuid, String>,
}

pub fn post(graph: &Value, registry: &Registry) -> Result<Stored, String> {
    let graph: Graph = serde_json::from_value(graph.clone()).map_err(|error| error.to_string())?;
    let mut mint = Uuid::now_v7;
    let model = prepare(graph, Identity::New, Uuid::nil(), now(), registry, &mut mint).map_err(|error| error.to_string())?;
    for_save(&model, registry).map_err(|error| error.to_string())?;
    let name = |(position, node): (usize, &model::NodeModel)| {
        let given = node.metadata.get("ref").and_then(Value::as_str);
        (node.id, given.map_or_else(|| format!("#{position}"), str::to_owned))
    };
    let refs = model.nodes.iter().enumerate().map(name).collect();
    Ok(Stored { model, refs })
}

/// Why a run is refused.
#[derive(Debug)]
pub enum Refusal {
    Fields(NodeErrors),
    Graph(GraphError),
}

pub fn submit(stored: &Stored, inputs: &Map, registry: &Registry) -> Result<(Arc<Plan>, ClaimedRun), Refusal> {
    let masks = NodeInputMasks::new();
    let errors = for_run(&stored.model, registry, &masks).map_err(Refusal::Graph)?;
    if !errors.is_empty() {
        return Err(Refusal::Fields(errors));
    }
    let plan = Plan::compile(&stored.model.nodes, &stored.model.links, registry).map_err(Refusal::Graph)?;
    let starting = starting_inputs(&plan, inputs, &masks).map_err(Refusal::Graph)?;
    let record = |(node_id, data): (Uuid, Map)| NodeExecutionRecord {
        node_exec_id: Uuid::now_v7(),
        node_id,
        status: ExecutionStatus::Queued,
        inputs: data.clone(),
        execution_data: Some(data),
        outputs: Default::default(),
        cost: 0,
        add_time: now(),
        queue_time: Some(now()),
        start_time: None,
        end_time: None,
    };
    // Starting nodes run newest first (finding 17).
    let node_executions = starting.into_iter().rev().map(record).collect();
    let claimed = ClaimedRun {
        graph_exec_id: Uuid::now_v7(),
        user_id: Uuid::nil(),
        graph_id: stored.model.id,
        graph_version: 1,
        epoch: 1,
        next_seq: 1,
        status: ExecutionStatus::Queued,
        created_at: now(),
        started_at: None,
        inputs: inputs.clone(),
        nodes_input_masks: masks,
        context: ExecutionContext::default(),
        stats: StoredStats::default(),
        cancel_requested: false,
        news: 0,
        traceparent: None,
        seconds_left: None,
        node_executions,
    };
    Ok((Arc::new(plan), claimed))
}

fn now() -> Timestamp {
    Timestamp::now()
}

/// Runs to the end, one block after the other in the order in which nodes become ready.
pub async fn play(plan: Arc<Plan>, claimed: ClaimedRun, registry: &Registry) -> Run {
    let mut run = Run::restore(plan, claimed, Uuid::now_v7);
    run.begin(now());
    while let Some(start) = run.next_ready(now()) {
        let id = start.node_exec_id;
        let result = perform(&mut run, start, registry).await;
        run.finish(id, result, NodeStats::default(), now());
    }
    assert!(run.is_idle());
    run.end(now());
    run
}

fn outside() -> blocks::Outside {
    blocks::Outside::new(&runtime::Settings::for_test()).unwrap()
}

async fn perform(run: &mut Run, start: NodeStart, registry: &Registry) -> NodeResult {
    let block = registry.get(start.block_id).unwrap();
    let facts = run.facts();
    let context = BlockContext {
        graph_id: facts.graph_id,
        graph_version: facts.graph_version,
        graph_exec_id: facts.graph_exec_id,
        node_id: start.node_id,
        node_exec_id: start.node_exec_id,
        execution: facts.context.clone(),
        ..BlockContext::direct(facts.user_id, outside())
    };
    let (sink, mut emitted) = tokio::sync::mpsc::channel(64);
    let working = async move { execute(&*block, start.input, &context, &sink).await.ended };
    let taking = async {
        let mut taken: Vec<Emitted> = Vec::new();
        while let Some(output) = emitted.recv().await {
            taken.push(output);
        }
        taken
    };
    let (ended, taken) = tokio::join!(working, taking);
    for Emitted { pin, value } in taken {
        let stored = value.into_json().map_err(|error| error.to_string());
        let accepted = stored.and_then(|value| run.output(start.node_exec_id, &pin, value, now()).map_err(|error| error.to_string()));
        if let Err(error) = accepted {
            return NodeResult::Failed { error };
        }
    }
    match ended {
        Ok(Done::Completed) => NodeResult::Completed,
        Ok(Done::Waiting(_)) => NodeResult::Review,
        Err(error) => NodeResult::Failed { error: error.to_string() },
    }
}
