//! The user's library: what is in it, and adding to it.

use engine::block::Effects;
use engine::types::PinType;
use model::library::LibraryAgent;
use serde_json::{Value, json};
use uuid::uuid;

use super::{entries, integer, text, texts};
use crate::acting::{Acted, Acting};
use crate::block::{BlockContext, Failure};
use crate::describe::{Describe, optional, output, required};
use crate::emit::Emitter;
use crate::immediate::Inputs;

pub(crate) fn add() -> Acting {
    let descriptor = Describe::new(
        uuid!("2602a7b1-3f4d-4e5f-9c8b-1a2b3c4d5e6f"),
        "AddToLibraryFromStoreBlock",
        "Adds an agent of the store to the library.",
    )
    .categories(&["BASIC"])
    .effects(Effects::Idempotent)
    .input(required("store_listing_version_id", PinType::Str).about("The version of the store's listing."))
    .input(optional("agent_name", PinType::optional(PinType::Str), Value::Null).about("Another name to go on with."))
    .output(output("success", PinType::Bool).about("Whether the agent is in the library."))
    .output(output("library_agent_id", PinType::Str).about("The entry of the library."))
    .output(output("agent_id", PinType::Str).about("The agent's graph."))
    .output(output("agent_version", PinType::Int).about("The version of the graph."))
    .output(output("agent_name", PinType::Str).about("The name."))
    .output(output("message", PinType::Str).about("What was done."));
    Acting::new(descriptor.build(), put)
}

fn put<'a>(mut input: Inputs, context: &'a BlockContext, out: &'a mut Emitter<'_>) -> Acted<'a> {
    Box::pin(async move {
        let version = input.text("store_listing_version_id");
        let added = context.platform.shelves()?.add_to_library(context, version.clone()).await?;
        let missing = || Failure::reported(format!("Store listing version {version} not found or not available"));
        let agent = added.ok_or_else(missing)?;
        let name = input.optional_text("agent_name").unwrap_or(agent.name);
        out.emit("success", true).await?;
        out.emit("library_agent_id", agent.id.to_string()).await?;
        out.emit("agent_id", agent.graph_id.to_string()).await?;
        out.emit("agent_version", i64::from(agent.graph_version)).await?;
        let message = format!("{name} is in the library");
        out.emit("agent_name", name).await?;
        out.emit("message", message).await
    })
}

pub(crate) fn list() -> Acting {
    let properties = json!({
        "library_agent_id": text(), "agent_id": text(), "agent_version": integer(), "agent_name": text(), "description": text(),
        "creator": text(), "is_archived": { "type": "boolean", "default": false }, "categories": texts(),
    });
    let [agents, agent] = entries(&properties);
    let descriptor = Describe::new(
        uuid!("082602d3-a74d-4600-9e9c-15b3af7eae98"),
        "ListLibraryAgentsBlock",
        "Gives a page of the library.",
    )
    .categories(&["BASIC", "DATA"])
    // What it reads may change, so a run must not read ahead of what it has written.
    .effects(Effects::Idempotent)
    .input(optional("search_query", PinType::optional(PinType::Str), Value::Null).about("Words in name or description."))
    .input(
        optional("limit", PinType::Int, json!(50))
            .about("Agents on a page.")
            .extra("minimum", 1)
            .extra("maximum", 100),
    )
    .input(optional("page", PinType::Int, json!(1)).about("Which page.").extra("minimum", 1))
    .output(agents)
    .output(agent)
    .output(output("total_count", PinType::Int).about("Agents on all pages."))
    .output(output("page", PinType::Int).about("Which page this is."))
    .output(output("total_pages", PinType::Int).about("How many pages there are."));
    Acting::new(descriptor.build(), look)
}

fn look<'a>(mut input: Inputs, context: &'a BlockContext, out: &'a mut Emitter<'_>) -> Acted<'a> {
    Box::pin(async move {
        let search = input.optional_text("search_query");
        let shelves = context.platform.shelves()?;
        let found = shelves.library(context, search, input.integer("page"), input.integer("limit")).await?;
        let agents: Vec<Value> = found.agents.into_iter().map(shown).collect();
        out.emit("agents", agents.clone()).await?;
        out.emit("total_count", found.pagination.total_items).await?;
        out.emit("page", found.pagination.current_page).await?;
        out.emit("total_pages", found.pagination.total_pages).await?;
        for agent in agents {
            out.emit("agent", agent).await?;
        }
        Ok(())
    })
}

/// The list has no archived agents, and a library no categories.
fn shown(agent: LibraryAgent) -> Value {
    json!({
        "library_agent_id": agent.id,
        "agent_id": agent.graph_id,
        "agent_version": agent.graph_version,
        "agent_name": agent.name,
        "description": agent.description,
        "creator": agent.creator_name,
        "is_archived": false,
        "categories": [],
    })
}
