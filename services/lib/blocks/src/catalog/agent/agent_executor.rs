//! Runs another agent as a run of its own and passes on what it puts out (internals §2.14).

use std::borrow::Cow;

use async_trait::async_trait;
use engine::block::{BlockDescriptor, BlockKind, Effects};
use engine::types::PinType;
use model::{AgentRun, Map, NodeInputMasks};
use serde_json::Value;
use uuid::uuid;

use crate::block::{Block, BlockContext, Failure, Wait};
use crate::checks::{Declared, PinChecks};
use crate::describe::{Describe, optional, required};
use crate::emit::Emitter;
use crate::platform::Agent;

pub(crate) struct AgentExecutor(Declared);

pub(crate) fn block() -> AgentExecutor {
    let any_map = || PinType::Dict(Box::new(PinType::Str), Box::new(PinType::Any));
    let masks = PinType::optional(PinType::Dict(Box::new(PinType::Str), Box::new(any_map())));
    let described = Describe::new(
        uuid!("e189baac-8c20-45a1-94a7-55177ea42565"),
        "AgentExecutorBlock",
        "Runs another agent inside this one.",
    )
    .categories(&["AGENT"])
    .kind(BlockKind::Agent)
    .effects(Effects::Idempotent)
    .without_error()
    .input(required("user_id", PinType::Str).about("Whose agent it is."))
    .input(required("graph_id", PinType::Str).about("The agent."))
    .input(required("graph_version", PinType::Int).about("Its version."))
    .input(optional("agent_name", PinType::optional(PinType::Str), Value::Null).about("The name to show in the builder."))
    .input(required("inputs", any_map()).about("The values of the agent's inputs."))
    .input(required("input_schema", any_map()).about("The agent's inputs."))
    .input(required("output_schema", any_map()).about("The agent's outputs."))
    .input(
        optional("nodes_input_masks", masks, Value::Null)
            .extra("hidden", true)
            .about("Values that override inputs of the agent's nodes."),
    );
    AgentExecutor(described.build())
}

#[async_trait]
impl Block for AgentExecutor {
    fn descriptor(&self) -> &BlockDescriptor {
        &self.0.descriptor
    }

    fn checks(&self) -> Cow<'_, PinChecks> {
        Cow::Borrowed(&self.0.checks)
    }

    async fn run(&self, input: Map, context: &BlockContext, out: &mut Emitter<'_>) -> Result<(), Failure> {
        match context.platform.run_agent(context, agent(input)?).await? {
            AgentRun::Going { .. } => Err(Failure::Wait(Wait::Agent)),
            AgentRun::Cancelled => Err(Failure::Closed),
            AgentRun::Ended(outcome) => {
                out.stats.extra_cost += outcome.cost;
                out.stats.extra_steps += outcome.node_count;
                for (name, value) in outcome.outputs {
                    out.emit(&name, value).await?;
                }
                Ok(())
            }
        }
    }
}

fn agent(mut input: Map) -> Result<Agent, Failure> {
    let graph_id = input.get("graph_id").and_then(Value::as_str).unwrap_or_default();
    let graph_version = input
        .get("graph_version")
        .and_then(Value::as_i64)
        .and_then(|version| version.try_into().ok());
    let masks = input
        .get("nodes_input_masks")
        .cloned()
        .map(serde_json::from_value::<NodeInputMasks>)
        .transpose();
    Ok(Agent {
        graph_id: graph_id
            .parse()
            .map_err(|_| Failure::raised(format!("`graph_id` {graph_id:?} is no id of a graph")))?,
        graph_version: graph_version.ok_or_else(|| Failure::raised("`graph_version` is no version of a graph"))?,
        masks: masks
            .map_err(|error| Failure::raised(format!("`nodes_input_masks` does not name nodes: {error}")))?
            .unwrap_or_default(),
        inputs: match input.remove("inputs") {
            Some(Value::Object(inputs)) => inputs,
            _ => Map::new(),
        },
    })
}
