//! What administrators let a model say about runs: what a run has done, and how well (rest.md §1 area 13, internals §2.16).

use std::sync::Arc;

use auth::AdminUser;
use axum::Json;
use axum::extract::State;
use blocks::Registry;
use futures::StreamExt;
use futures::stream;
use model::{ExecutionStatus, GraphExecutionMeta, GraphExecutionWithNodes, Timestamp};
use outside::Message;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{ExecutionFilter, IoBlocks, Store};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::absent;
use crate::assistant::Assistant;
use crate::openapi::schemas;
use crate::state::AppState;
use crate::wire::body::Shaped;
use crate::wire::shape::{Field, Problem, Shape};
use crate::wire::{ApiError, ApiResult, JsonBody, id};

/// Runs of one request, the newest first: the caller waits for all of them.
const MOST_RUNS: i64 = 200;
/// Runs that the model is asked about at once.
const LARGEST_BATCH: i64 = 25;
/// Tokens of an answer.
const MOST_TOKENS: i64 = 400;
/// Characters of one value, and node executions of one run, that the model is shown.
const LONGEST_VALUE: usize = 400;
const MOST_NODES: usize = 60;
/// Characters of what is kept of a summary.
const LONGEST_SUMMARY: usize = 2000;
/// What the contract's form asks for when nobody chooses: here it stands for the configured model.
const UNCHOSEN: &str = "gpt-4o-mini";

const SYSTEM_PROMPT: &str = "You judge runs of automated agents. Read what the agent is meant to do and what the run has done. Answer with one \
JSON object: \"activity_status\" is one or two sentences for the user about what the run has done, without technical words; \
\"correctness_score\" is a number from 0 (did nothing of what it is for) to 1 (did all of it).";
const USER_PROMPT: &str = "The agent {{GRAPH_NAME}} is described so: {{GRAPH_DESCRIPTION}}\n\nThis is the run:\n{{EXECUTION_DATA}}";

#[derive(Debug, Deserialize)]
pub struct Request {
    graph_id: String,
    #[serde(default)]
    graph_version: Option<i32>,
    #[serde(default)]
    user_id: Option<String>,
    #[serde(default)]
    created_after: Option<String>,
    #[serde(default)]
    model_name: Option<String>,
    #[serde(default)]
    batch_size: Option<i64>,
    #[serde(default)]
    system_prompt: Option<String>,
    #[serde(default)]
    user_prompt: Option<String>,
    #[serde(default)]
    skip_existing: Option<bool>,
}

const TEXT: Shape = Shape::Nullable(&Shape::Text);

impl Shaped for Request {
    const SHAPE: Shape = Shape::Model(&[
        Field::required("graph_id", Shape::Text),
        Field::optional("graph_version", Shape::Nullable(&Shape::Integer)),
        Field::optional("user_id", TEXT),
        Field::optional("created_after", TEXT),
        Field::optional("model_name", Shape::Text),
        Field::optional("batch_size", Shape::Integer),
        Field::optional("system_prompt", TEXT),
        Field::optional("user_prompt", TEXT),
        Field::optional("skip_existing", Shape::Flag),
    ]);
}

#[derive(Debug, Serialize)]
pub struct Reply {
    total_executions: usize,
    processed_executions: usize,
    successful_analytics: usize,
    failed_analytics: usize,
    skipped_executions: usize,
    results: Vec<Scored>,
}

/// What has become of one run.
#[derive(Debug, Serialize)]
struct Scored {
    agent_id: String,
    version_id: i32,
    user_id: String,
    exec_id: String,
    summary_text: Option<String>,
    score: Option<f64>,
    /// `success`, `failed` or `skipped`.
    status: &'static str,
    error_message: Option<String>,
}

/// What the model says about a run.
#[derive(Debug, PartialEq, Deserialize)]
struct Verdict {
    activity_status: String,
    correctness_score: f64,
}

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(config)).routes(routes!(score))
}

#[utoipa::path(
    get, path = "/api/executions/admin/execution_analytics/config",
    operation_id = "getV2Get execution analytics configuration", tags = ["v2", "admin", "admin", "execution_analytics"],
    responses((status = 200, body = schemas::ExecutionAnalyticsConfig), (status = 501)),
)]
pub async fn config(_admin: AdminUser, State(assistant): State<Option<Assistant>>) -> ApiResult<Json<Value>> {
    let assistant = assistant.ok_or_else(|| absent::not_here(absent::NO_MODEL))?;
    let model = assistant.model();
    Ok(Json(json!({
        "available_models": [{ "value": model, "label": model, "provider": outside::ASSISTANT }],
        "default_system_prompt": SYSTEM_PROMPT,
        "default_user_prompt": USER_PROMPT,
        "recommended_model": model,
    })))
}

/// Scores the newest runs of an agent that are over, and keeps what the model says with the statistics of each.
#[utoipa::path(
    post, path = "/api/executions/admin/execution_analytics",
    operation_id = "postV2Generate execution analytics", tags = ["v2", "admin", "admin", "execution_analytics"],
    request_body = schemas::ExecutionAnalyticsRequest,
    responses((status = 200, body = schemas::ExecutionAnalyticsResponse), (status = 501)),
)]
pub async fn score(
    AdminUser(admin): AdminUser,
    State(assistant): State<Option<Assistant>>,
    State(store): State<Store>,
    State(io): State<Arc<IoBlocks>>,
    State(registry): State<Arc<Registry>>,
    JsonBody(asked): JsonBody<Request>,
) -> ApiResult<Json<Reply>> {
    let assistant = assistant.ok_or_else(|| absent::not_here(absent::NO_MODEL))?;
    let chosen = asked.model_name.as_deref().filter(|name| *name != UNCHOSEN);
    if let Some(other) = chosen.filter(|name| *name != assistant.model()) {
        let text = format!("The model {other:?} is not there: {:?} is", assistant.model());
        return Err(ApiError::value(text));
    }
    let batch = batch_of(asked.batch_size)?;
    let runs = match filter_of(&asked)? {
        Some(filter) => store.list_executions(&filter).await?,
        None => Vec::new(),
    };
    tracing::info!(admin = %admin.id, graph_id = asked.graph_id, runs = runs.len(), "an administrator has runs scored");
    let total = runs.len();
    let skip = asked.skip_existing.unwrap_or(true);
    let (skipped, open): (Vec<_>, Vec<_>) = runs.into_iter().partition(|run| skip && is_scored(run));
    let judge = Judge {
        assistant,
        store,
        io,
        registry,
        system: given(asked.system_prompt, SYSTEM_PROMPT),
        user: given(asked.user_prompt, USER_PROMPT),
    };
    let processed = open.len();
    let mut results: Vec<Scored> = stream::iter(open).map(|run| judge.judge(run)).buffered(batch).collect().await;
    let successful = results.iter().filter(|result| result.status == "success").count();
    results.extend(skipped.iter().map(|run| Scored {
        summary_text: run.stats.as_ref().and_then(|stats| stats.activity_status.clone()),
        score: run.stats.as_ref().and_then(|stats| stats.correctness_score),
        ..of(run, "skipped")
    }));
    Ok(Json(Reply {
        total_executions: total,
        processed_executions: processed,
        successful_analytics: successful,
        failed_analytics: processed - successful,
        skipped_executions: skipped.len(),
        results,
    }))
}

fn given(prompt: Option<String>, default: &str) -> String {
    prompt.filter(|prompt| !prompt.trim().is_empty()).unwrap_or_else(|| default.to_owned())
}

fn batch_of(size: Option<i64>) -> ApiResult<usize> {
    let size = size.unwrap_or(10);
    if !(1..=LARGEST_BATCH).contains(&size) {
        let msg = format!("Input should be between 1 and {LARGEST_BATCH}");
        return Err(Problem::new("value_error", &["body", "batch_size"], msg, json!(size)).into());
    }
    usize::try_from(size).map_err(ApiError::internal)
}

/// None when an id names nothing.
fn filter_of(asked: &Request) -> ApiResult<Option<ExecutionFilter>> {
    let created_after: Option<Timestamp> = match asked.created_after.as_deref() {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| {
            let msg = "Input should be a valid datetime";
            Problem::new("datetime_parsing", &["body", "created_after"], msg, Value::from(text))
        })?),
    };
    let user = asked.user_id.as_deref().filter(|text| !text.is_empty());
    let user_id = user.and_then(id);
    let (Some(graph_id), true) = (id(&asked.graph_id), user.is_none() || user_id.is_some()) else {
        return Ok(None);
    };
    Ok(Some(ExecutionFilter {
        graph_id: Some(graph_id),
        graph_version: asked.graph_version,
        user_id,
        statuses: Some(vec![ExecutionStatus::Completed, ExecutionStatus::Failed, ExecutionStatus::Terminated]),
        created_after,
        limit: Some(MOST_RUNS),
        ..ExecutionFilter::default()
    }))
}

fn is_scored(run: &GraphExecutionMeta) -> bool {
    let stats = run.stats.as_ref();
    stats.is_some_and(|stats| stats.activity_status.is_some() && stats.correctness_score.is_some())
}

fn of(run: &GraphExecutionMeta, status: &'static str) -> Scored {
    Scored {
        agent_id: run.graph_id.to_string(),
        version_id: run.graph_version,
        user_id: run.user_id.to_string(),
        exec_id: run.id.to_string(),
        summary_text: None,
        score: None,
        status,
        error_message: None,
    }
}

/// Asks the model about runs, one after the other or some at once.
struct Judge {
    assistant: Assistant,
    store: Store,
    io: Arc<IoBlocks>,
    registry: Arc<Registry>,
    system: String,
    user: String,
}

impl Judge {
    async fn judge(&self, run: GraphExecutionMeta) -> Scored {
        match self.verdict(&run).await {
            Ok(verdict) => Scored {
                summary_text: Some(verdict.activity_status),
                score: Some(verdict.correctness_score),
                ..of(&run, "success")
            },
            Err(error) => {
                tracing::warn!(graph_exec_id = %run.id, error, "a run was not scored");
                Scored {
                    error_message: Some(error),
                    ..of(&run, "failed")
                }
            }
        }
    }

    async fn verdict(&self, run: &GraphExecutionMeta) -> Result<Verdict, String> {
        let said = |error: &dyn std::fmt::Display| error.to_string();
        let found = self.store.get_execution_with_nodes(None, run.id, &self.io).await;
        let found = found.map_err(|error| said(&error))?.ok_or("the run is gone")?;
        let graph = self.store.get_graph_metadata(run.graph_id, Some(run.graph_version)).await;
        let graph = graph.map_err(|error| said(&error))?.ok_or("the agent is gone")?;
        let user = self
            .user
            .replace("{{GRAPH_NAME}}", &graph.name)
            .replace("{{GRAPH_DESCRIPTION}}", &graph.description)
            .replace("{{EXECUTION_DATA}}", &self.told(&found));
        let message = |role: &str, content: String| Message {
            role: role.to_owned(),
            content,
        };
        let messages = [message("system", self.system.clone()), message("user", user)];
        let answer = self.assistant.answer_in_json(&messages, MOST_TOKENS).await;
        let verdict = read(&answer.map_err(|error| said(&error))?.text)?;
        let kept = self
            .store
            .score_execution(run.id, &verdict.activity_status, verdict.correctness_score)
            .await;
        kept.map_err(|error| said(&error))?
            .then_some(verdict)
            .ok_or_else(|| "the run is gone".to_owned())
    }

    /// The run as the model reads it.
    fn told(&self, found: &GraphExecutionWithNodes) -> String {
        let run = &found.execution;
        let nodes = found.node_executions.iter().take(MOST_NODES).map(|node| {
            let block = self.registry.get(node.block_id).map(|block| block.descriptor().name.to_string());
            json!({
                "block": block,
                "status": node.status,
                "input": short(&json!(node.input_data)),
                "output": short(&json!(node.output_data)),
            })
        });
        let stats = run.meta.stats.as_ref();
        json!({
            "status": run.meta.status,
            "error": stats.and_then(|stats| stats.error.as_deref()),
            "failed_nodes": stats.map(|stats| stats.node_error_count),
            "inputs": short(&json!(run.meta.inputs)),
            "outputs": short(&json!(run.outputs)),
            "nodes": nodes.collect::<Vec<_>>(),
            "nodes_left_out": found.node_executions.len().saturating_sub(MOST_NODES),
        })
        .to_string()
    }
}

/// The beginning of a value as text.
fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// The object in an answer, whatever a model writes around it.
fn read(answer: &str) -> Result<Verdict, String> {
    let object = answer.find('{').zip(answer.rfind('}')).and_then(|(start, end)| answer.get(start..=end));
    let parsed = serde_json::from_str::<Verdict>(object.unwrap_or(answer));
    let mut verdict = parsed.map_err(|error| format!("the answer of the model cannot be read: {error}"))?;
    let mut summary = Value::from(verdict.activity_status.trim());
    store::make_storable(&mut summary);
    verdict.activity_status = summary.as_str().unwrap_or_default().chars().take(LONGEST_SUMMARY).collect();
    if verdict.activity_status.is_empty() {
        return Err("the answer of the model says nothing".to_owned());
    }
    verdict.correctness_score = verdict.correctness_score.clamp(0.0, 1.0);
    Ok(verdict)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Verdict, read, short};

    #[test]
    fn an_answer_is_read_out_of_what_is_around_it() {
        let verdict = Verdict {
            activity_status: "It greeted Ada.".to_owned(),
            correctness_score: 1.0,
        };
        let answer = "```json\n{\"activity_status\": \" It greeted Ada. \", \"correctness_score\": 7}\n```";
        assert_eq!(read(answer).unwrap(), verdict);
        for bad in [
            "",
            "{}",
            "}{",
            "no",
            r#"{"activity_status":" ","correctness_score":1}"#,
            r#"{"activity_status":"x"}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(short(&json!({"a": 1})), r#"{"a":1}"#);
        assert_eq!(short(&json!("ü".repeat(1000))).chars().count(), 401);
    }
}
