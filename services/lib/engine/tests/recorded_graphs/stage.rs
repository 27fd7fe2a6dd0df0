//! Posting, submitting and running a recorded graph the way the services do, minus the network.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock};

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
        given: Default::default(),
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

/// In which order things happen that may happen in any order: what is ready starts, blocks that are at work emit and end.
pub enum Order {
    /// One block after the other, in the order in which nodes become ready.
    InTurn,
    /// By chance, the same for the same number.
    Shuffled(u64),
}

impl Order {
    /// One of so many, and whether to begin something new instead.
    fn choose(&mut self, at_work: usize, can_start: bool) -> Option<usize> {
        match self {
            Self::InTurn => at_work.checked_sub(1),
            Self::Shuffled(state) => {
                // Knuth's generator: its upper bits are good enough to shuffle by.
                *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let chance = usize::try_from(*state >> 33).unwrap();
                (chance % (at_work + usize::from(can_start))).checked_sub(usize::from(can_start))
            }
        }
    }
}

/// A block that was run. Its run hears of it bit by bit.
struct AtWork {
    id: Uuid,
    left: VecDeque<Emitted>,
    ended: Option<NodeResult>,
}

/// Runs to the end.
pub async fn play(plan: Arc<Plan>, claimed: ClaimedRun, registry: &Registry, mut order: Order) -> Run {
    let mut run = Run::restore(plan, claimed, Uuid::now_v7);
    run.begin(now());
    let mut at_work: Vec<AtWork> = Vec::new();
    while run.has_ready() || !at_work.is_empty() {
        match order.choose(at_work.len(), run.has_ready()) {
            None => {
                if let Some(start) = run.next_ready(now()) {
                    at_work.push(perform(&run, start, registry).await);
                }
            }
            Some(index) => {
                let ended = go_on(&mut run, &mut at_work[index]);
                if let Some(result) = ended {
                    let AtWork { id, .. } = at_work.remove(index);
                    run.finish(id, result, NodeStats::default(), now());
                }
            }
        }
    }
    assert!(run.is_idle());
    run.end(now());
    run
}

/// Passes on the next value. The result when there is none left.
fn go_on(run: &mut Run, node: &mut AtWork) -> Option<NodeResult> {
    let Some(Emitted { pin, value }) = node.left.pop_front() else {
        return node.ended.take();
    };
    let stored = value.into_json().map_err(|error| error.to_string());
    let accepted = stored.and_then(|value| run.output(node.id, &pin, value, now()).map_err(|error| error.to_string()));
    accepted.err().map(|error| NodeResult::Failed { error })
}

/// Made once: it reads the certificates of the machine.
fn outside() -> blocks::Outside {
    static OUTSIDE: LazyLock<blocks::Outside> = LazyLock::new(|| blocks::Outside::new(&runtime::Settings::for_test()).unwrap());
    OUTSIDE.clone()
}

async fn perform(run: &Run, start: NodeStart, registry: &Registry) -> AtWork {
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
        let mut taken = VecDeque::new();
        while let Some(output) = emitted.recv().await {
            taken.push_back(output);
        }
        taken
    };
    let (ended, left) = tokio::join!(working, taking);
    let ended = match ended {
        Ok(Done::Completed) => NodeResult::Completed,
        Ok(Done::Waiting(_)) => NodeResult::Review,
        Err(error) => NodeResult::Failed { error: error.to_string() },
    };
    AtWork {
        id: start.node_exec_id,
        left,
        ended: Some(ended),
    }
}
