//! `/external-api/v1/tools`: finding an agent in the catalogue, and running it, in one call each (rest.md §1 area 16). The contract names the
//! calls and gives them no form; this one is ours.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use http::HeaderMap;
use model::Map;
use model::api_key::ApiKeyPermission as Permission;
use model::catalogue::StoreAgent;
use rpc::services::Scheduler;
use serde::Deserialize;
use serde_json::{Value, json};
use store::Store;
use submit::{SubmitCommand, Submitter};

use super::executions::start;
use super::external::Reply;
use super::schedules::stored_timezone;
use crate::events::Announcer;
use crate::keys::KeyRing;
use crate::state::AppState;
use crate::wire::ApiError;
use crate::wire::body::{Shaped, Unread};
use crate::wire::shape::{Field, Shape};

/// Agents of one answer.
const MOST_FOUND: i64 = 20;

pub fn router() -> Router<AppState> {
    Router::new()
        .route("/external-api/v1/tools/find-agent", post(find_agent))
        .route("/external-api/v1/tools/run-agent", post(run_agent))
}

#[derive(Debug, Deserialize)]
struct Find {
    query: String,
}

impl Shaped for Find {
    const SHAPE: Shape = Shape::Model(&[Field::required("query", Shape::Text)]);
}

/// Agents of the catalogue that a text finds, each under the name that runs it.
async fn find_agent(State(ring): State<KeyRing>, State(store): State<Store>, headers: HeaderMap, body: Unread) -> Reply {
    ring.admit(&headers, Permission::UseTools).await?;
    let Find { query } = body.read().await?;
    let query = Some(query.trim()).filter(|query| !query.is_empty());
    let found = store.search_store(query, None, "runs", 1, MOST_FOUND).await?;
    let agents: Vec<Value> = found.agents.iter().map(shown).collect();
    Ok(Json(json!({ "agents": agents, "count": found.pagination.total_items })))
}

fn shown(agent: &StoreAgent) -> Value {
    json!({
        "username_agent_slug": format!("{}/{}", agent.creator, agent.slug),
        "name": agent.agent_name,
        "description": agent.description,
        "sub_heading": agent.sub_heading,
        "creator": agent.creator,
        "runs": agent.runs,
        "rating": agent.rating,
    })
}

#[derive(Debug, Deserialize)]
struct Run {
    username_agent_slug: String,
    #[serde(default)]
    inputs: Map,
    #[serde(default)]
    cron: Option<String>,
    #[serde(default)]
    schedule_name: Option<String>,
    #[serde(default)]
    timezone: Option<String>,
}

const TEXT: Shape = Shape::Nullable(&Shape::Text);

impl Shaped for Run {
    const SHAPE: Shape = Shape::Model(&[
        Field::required("username_agent_slug", Shape::Text),
        Field::optional("inputs", Shape::Object),
        Field::optional("cron", TEXT),
        Field::optional("schedule_name", TEXT),
        Field::optional("timezone", TEXT),
    ]);
    const STORED: bool = true;
}

/// Adds the agent to the library, and runs it: now, or whenever `cron` says.
async fn run_agent(
    State(ring): State<KeyRing>,
    State(submitter): State<Submitter>,
    State(announcer): State<Announcer>,
    State(scheduler): State<Arc<dyn Scheduler>>,
    headers: HeaderMap,
    body: Unread,
) -> Reply {
    let holder = ring.admit(&headers, Permission::UseTools).await?;
    let run: Run = body.read().await?;
    let missing = || ApiError::not_found(format!("Agent {} not found", run.username_agent_slug));
    let (username, slug) = run.username_agent_slug.split_once('/').ok_or_else(missing)?;
    let offered = submitter.store().get_store_agent(username, slug).await?.ok_or_else(missing)?;
    let added = submitter.add_offer(holder.user_id, offered.store_listing_version_id).await;
    let agent = added.map_err(ApiError::from)?.ok_or_else(missing)?;
    let mut answer = json!({ "library_agent_id": agent.id, "graph_id": agent.graph_id, "graph_version": agent.graph_version });
    if let Some(cron) = run.cron.filter(|cron| !cron.trim().is_empty()) {
        let name = run.schedule_name.unwrap_or_else(|| agent.name.clone());
        let timezone = match run.timezone {
            Some(timezone) => Some(timezone),
            None => stored_timezone(submitter.store(), holder.user_id).await?,
        };
        let created = scheduler.add_graph_execution_schedule(
            holder.user_id,
            agent.graph_id,
            agent.graph_version,
            cron,
            run.inputs,
            indexmap::IndexMap::new(),
            Some(name),
            timezone,
        );
        let schedule = created.await.map_err(ApiError::from)?;
        answer["schedule_id"] = json!(schedule.id);
        answer["next_run_time"] = json!(schedule.next_run_time);
        return Ok(Json(answer));
    }
    let command = SubmitCommand {
        user_id: holder.user_id,
        graph_id: agent.graph_id,
        graph_version: Some(agent.graph_version),
        inputs: run.inputs,
        ..SubmitCommand::default()
    };
    let execution = start(&submitter, &announcer, command).await?;
    answer["execution_id"] = json!(execution.id);
    answer["status"] = json!(execution.status);
    Ok(Json(answer))
}
