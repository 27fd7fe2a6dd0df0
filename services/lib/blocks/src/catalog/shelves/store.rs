//! The catalogue of agents: looking for one, and looking at one.

use engine::block::Effects;
use engine::types::PinType;
use model::catalogue::StoreAgent;
use serde_json::{Value, json};
use uuid::uuid;

use super::{entries, integer, text, texts};
use crate::acting::{Acted, Acting};
use crate::block::{BlockContext, Failure};
use crate::describe::{Describe, optional, output, required};
use crate::emit::Emitter;
use crate::immediate::Inputs;
use crate::platform::StoreSearch;

pub(crate) fn details() -> Acting {
    let descriptor = Describe::new(
        uuid!("b604f0ec-6e0d-40a7-bf55-9fd09997cced"),
        "GetStoreAgentDetailsBlock",
        "Gives what the store says about an agent.",
    )
    .categories(&["BASIC", "DATA"])
    // What it reads may change, so a run must not read ahead of what it has written.
    .effects(Effects::Idempotent)
    .static_output()
    .input(required("creator", PinType::Str).about("The user name of the creator."))
    .input(required("slug", PinType::Str).about("The agent's name in addresses."))
    .output(output("found", PinType::Bool).about("Whether the store has the agent."))
    .output(output("store_listing_version_id", PinType::Str).about("The version that the store shows."))
    .output(output("agent_name", PinType::Str).about("The name."))
    .output(output("description", PinType::Str).about("The description."))
    .output(output("creator", PinType::Str).about("The creator."))
    .output(output("categories", PinType::list(PinType::Str)).about("The categories."))
    .output(output("runs", PinType::Int).about("How often it was run."))
    .output(output("rating", PinType::Float).about("The average score."));
    Acting::new(descriptor.build(), look)
}

fn look<'a>(mut input: Inputs, context: &'a BlockContext, out: &'a mut Emitter<'_>) -> Acted<'a> {
    Box::pin(async move {
        let (creator, slug) = (input.text("creator"), input.text("slug"));
        let found = context.platform.shelves()?.store_agent(creator.clone(), slug.clone()).await?;
        let agent = found.ok_or_else(|| Failure::reported(format!("Agent {creator}/{slug} not found")))?;
        out.emit("found", true).await?;
        out.emit("store_listing_version_id", agent.store_listing_version_id.to_string()).await?;
        out.emit("agent_name", agent.agent_name).await?;
        out.emit("description", agent.description).await?;
        out.emit("creator", agent.creator).await?;
        out.emit("categories", json!(agent.categories)).await?;
        out.emit("runs", agent.runs).await?;
        out.emit("rating", agent.rating).await
    })
}

pub(crate) fn search() -> Acting {
    let properties = json!({
        "slug": text(), "name": text(), "description": text(), "creator": text(), "rating": { "type": "number", "default": 0.0 },
        "runs": integer(), "categories": texts(),
    });
    let [agents, agent] = entries(&properties);
    let descriptor = Describe::new(
        uuid!("39524701-026c-4328-87cc-1b88c8e2cb4c"),
        "SearchStoreAgentsBlock",
        "Looks for agents in the store.",
    )
    .categories(&["BASIC", "DATA"])
    .effects(Effects::Idempotent)
    .input(optional("query", PinType::optional(PinType::Str), Value::Null).about("Words in name or description."))
    .input(optional("category", PinType::optional(PinType::Str), Value::Null).about("Only of this category."))
    .input(optional("sort_by", PinType::literal(["rating", "runs", "name", "updated_at"]), json!("rating")).about("The order."))
    .input(
        optional("limit", PinType::Int, json!(10))
            .about("Agents, at most.")
            .extra("minimum", 1)
            .extra("maximum", 100),
    )
    .output(agents)
    .output(agent)
    .output(output("total_count", PinType::Int).about("How many agents these are."));
    Acting::new(descriptor.build(), seek)
}

fn seek<'a>(mut input: Inputs, context: &'a BlockContext, out: &'a mut Emitter<'_>) -> Acted<'a> {
    Box::pin(async move {
        let search = StoreSearch {
            query: input.optional_text("query"),
            category: input.optional_text("category"),
            sorted_by: input.text("sort_by"),
            limit: input.integer("limit"),
        };
        let found = context.platform.shelves()?.search_store(search).await?;
        let agents: Vec<Value> = found.agents.into_iter().map(shown).collect();
        out.emit("agents", agents.clone()).await?;
        out.emit("total_count", agents.len()).await?;
        for agent in agents {
            out.emit("agent", agent).await?;
        }
        Ok(())
    })
}

/// The list says nothing of categories.
fn shown(agent: StoreAgent) -> Value {
    json!({
        "slug": agent.slug,
        "name": agent.agent_name,
        "description": agent.description,
        "creator": agent.creator,
        "rating": agent.rating,
        "runs": agent.runs,
        "categories": [],
    })
}
