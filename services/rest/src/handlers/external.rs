//! `/external-api`: what programs may do with an API key (rest.md §1 area 16). Errors are `{"detail": …}` throughout.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use http::{HeaderMap, StatusCode};
use model::api_key::ApiKeyPermission as Permission;
use model::{ExecutionStatus, Map};
use runtime::Settings;
use serde::Deserialize;
use serde_json::{Value, json};
use store::{IoBlocks, Store};
use submit::{SubmitCommand, Submitter};
use url::{Origin, Url};
use vault::Credentials;

use super::blocks::Inputs;
use super::executions::idempotency_key;
use super::{catalogue, integrations, tools};
use crate::direct::BlockRunner;
use crate::events::Announcer;
use crate::keys::KeyRing;
use crate::oauth::OAuth;
use crate::state::AppState;
use crate::wire::body::{Shaped, Unread};
use crate::wire::params::path_version;
use crate::wire::shape::{Field, Shape};
use crate::wire::{ApiError, Parameters, Prepared, id};

/// An error in this interface's form.
pub struct External(ApiError);

impl<E: Into<ApiError>> From<E> for External {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for External {
    fn into_response(self) -> Response {
        match self.0 {
            ApiError::Detail(status, detail) => (status, Json(json!({ "detail": detail }))).into_response(),
            ApiError::Generic(status, detail) => (status, Json(json!({ "detail": detail }))).into_response(),
            ApiError::Invalid(problems) => (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "detail": problems }))).into_response(),
            ApiError::Unavailable(told, cause) => {
                tracing::warn!(cause, told, "a request of the external interface failed");
                (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "detail": told }))).into_response()
            }
            ApiError::Internal(cause) => {
                tracing::error!(cause, "a request of the external interface failed");
                (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error").into_response()
            }
        }
    }
}

pub type Reply<T = Json<Value>> = Result<T, External>;

pub fn router() -> Router<AppState> {
    Router::new()
        .route("/external-api/v1/blocks", get(list_blocks))
        .route("/external-api/v1/blocks/{block_id}/execute", post(execute_block))
        .route("/external-api/v1/graphs/{graph_id}/execute/{graph_version}", post(execute_graph))
        .route("/external-api/v1/graphs/{graph_id}/executions/{graph_exec_id}/results", get(results))
        .route("/external-api/v1/store/agents", get(store_agents))
        .route("/external-api/v1/store/agents/{username}/{agent_name}", get(store_agent))
        .route("/external-api/v1/store/creators", get(store_creators))
        .route("/external-api/v1/store/creators/{username}", get(store_creator))
        .merge(tools::router())
        .route("/external-api/v1/integrations/providers", get(providers))
        .route("/external-api/v1/integrations/credentials", get(credentials))
        .route(
            "/external-api/v1/integrations/{provider}/credentials",
            get(credentials_of_provider).post(create_credentials),
        )
        .route(
            "/external-api/v1/integrations/{provider}/credentials/{cred_id}",
            delete(delete_credentials),
        )
        .route("/external-api/v1/integrations/{provider}/oauth/initiate", post(begin_login))
        .route("/external-api/v1/integrations/{provider}/oauth/complete", post(end_login))
}

/// The answer to a list of blocks, made once.
pub struct BlocksWithoutPrices(Prepared);

impl BlocksWithoutPrices {
    pub fn new(mut list: Value) -> std::io::Result<Self> {
        for block in list.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            block.shift_remove("costs");
        }
        Prepared::new(&list).map(Self)
    }
}

/// Every block, without its price.
async fn list_blocks(State(ring): State<KeyRing>, State(list): State<Arc<BlocksWithoutPrices>>, headers: HeaderMap) -> Reply<Response> {
    ring.admit(&headers, Permission::ReadBlock).await?;
    Ok(list.0.answer(&headers))
}

async fn execute_block(
    State(ring): State<KeyRing>,
    State(runner): State<BlockRunner>,
    Path(block_id): Path<String>,
    headers: HeaderMap,
    body: Unread,
) -> Reply {
    let holder = ring.admit(&headers, Permission::ExecuteBlock).await?;
    let Inputs(inputs) = body.read().await?;
    Ok(Json(runner.run(holder.user_id, &block_id, inputs).await?))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Execute {
    node_input: Map,
}

impl Shaped for Execute {
    const SHAPE: Shape = Shape::Model(&[Field::optional("node_input", Shape::Object)]);
    const OPTIONAL: bool = true;
    const STORED: bool = true;
}

/// Whatever keeps the run from being accepted is 400 with its text.
async fn execute_graph(
    State(ring): State<KeyRing>,
    State(submitter): State<Submitter>,
    State(announcer): State<Announcer>,
    Path((graph_id, graph_version)): Path<(String, String)>,
    headers: HeaderMap,
    body: Unread,
) -> Reply {
    let holder = ring.admit(&headers, Permission::ExecuteGraph).await?;
    let body: Execute = body.read().await?;
    let version = path_version("graph_version", &graph_version)?;
    let (Some(graph_id), Some(version)) = (id(&graph_id), version) else {
        return Err(refused(format!("Graph #{graph_id} not found.")));
    };
    if submitter.store().get_credits(holder.user_id).await? <= 0 {
        return Err(refused(submit::SubmitError::InsufficientBalance.to_string()));
    }
    let command = SubmitCommand {
        user_id: holder.user_id,
        graph_id,
        graph_version: Some(version),
        inputs: body.node_input,
        idempotency_key: idempotency_key(&headers, holder.user_id, graph_id)?,
        ..SubmitCommand::default()
    };
    let accepted = submitter.accept(command).await.map_err(|error| match error {
        submit::SubmitError::Store(error) => External::from(error),
        other => refused(other.to_string()),
    })?;
    if accepted.created {
        announcer.announce(&accepted.execution);
    }
    Ok(Json(json!({ "id": accepted.execution.id })))
}

fn refused(text: String) -> External {
    External(ApiError::detail(StatusCode::BAD_REQUEST, text))
}

/// What the nodes of a run did, and its outputs once it is COMPLETED.
async fn results(
    State(ring): State<KeyRing>,
    State(store): State<Store>,
    State(io): State<Arc<IoBlocks>>,
    Path((graph_id, graph_exec_id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Reply {
    let holder = ring.admit(&headers, Permission::ReadGraph).await?;
    let missing = || External(ApiError::not_found(format!("Graph execution #{graph_exec_id} not found.")));
    let (Some(graph), Some(exec)) = (id(&graph_id), id(&graph_exec_id)) else {
        return Err(missing());
    };
    let found = store.get_execution_with_nodes(Some(holder.user_id), exec, &io).await?;
    let found = found.filter(|found| found.execution.meta.graph_id == graph).ok_or_else(missing)?;
    let nodes = found.node_executions.iter().map(|node| {
        let input = node.input_data.get("value").cloned().unwrap_or_else(|| json!(node.input_data));
        json!({ "node_id": node.node_id, "input": input, "output": node.output_data })
    });
    let meta = &found.execution.meta;
    let output = (meta.status == ExecutionStatus::Completed).then(|| {
        let outputs = found.execution.outputs.iter();
        let pairs = outputs.flat_map(|(name, values)| values.iter().map(move |value| json!({ name: value })));
        pairs.collect::<Vec<Value>>()
    });
    Ok(Json(
        json!({ "execution_id": meta.id, "status": meta.status, "nodes": nodes.collect::<Vec<_>>(), "output": output }),
    ))
}

async fn store_agents(State(ring): State<KeyRing>, State(store): State<Store>, headers: HeaderMap, parameters: Parameters) -> Reply {
    ring.admit(&headers, Permission::ReadStore).await?;
    Ok(Json(json!(catalogue::agents_of(&store, &parameters).await?)))
}

async fn store_agent(
    State(ring): State<KeyRing>,
    State(store): State<Store>,
    Path((username, slug)): Path<(String, String)>,
    headers: HeaderMap,
) -> Reply {
    ring.admit(&headers, Permission::ReadStore).await?;
    Ok(Json(json!(catalogue::agent_named(&store, &username, &slug).await?)))
}

async fn store_creators(State(ring): State<KeyRing>, State(store): State<Store>, headers: HeaderMap, parameters: Parameters) -> Reply {
    ring.admit(&headers, Permission::ReadStore).await?;
    Ok(Json(json!(catalogue::creators_of(&store, &parameters).await?)))
}

async fn store_creator(State(ring): State<KeyRing>, State(store): State<Store>, Path(username): Path<String>, headers: HeaderMap) -> Reply {
    ring.admit(&headers, Permission::ReadStore).await?;
    Ok(Json(json!(catalogue::creator_of(&store, &username).await?)))
}

async fn providers(State(ring): State<KeyRing>, headers: HeaderMap) -> Reply {
    ring.admit(&headers, Permission::ReadIntegrations).await?;
    let Json(names) = integrations::providers().await;
    Ok(Json(json!(names)))
}

async fn credentials(State(ring): State<KeyRing>, State(store): State<Store>, headers: HeaderMap) -> Reply {
    let holder = ring.admit(&headers, Permission::ReadIntegrations).await?;
    Ok(Json(json!(integrations::metas(&store, holder.user_id, None).await?)))
}

async fn credentials_of_provider(State(ring): State<KeyRing>, State(store): State<Store>, Path(provider): Path<String>, headers: HeaderMap) -> Reply {
    let holder = ring.admit(&headers, Permission::ReadIntegrations).await?;
    Ok(Json(json!(integrations::metas(&store, holder.user_id, Some(&provider)).await?)))
}

/// Answers without the secret.
async fn create_credentials(
    State(ring): State<KeyRing>,
    State(vault): State<Credentials>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    body: Unread,
) -> Reply<(StatusCode, Json<Value>)> {
    let holder = ring.admit(&headers, Permission::ManageIntegrations).await?;
    let Inputs(mut body) = body.read().await?;
    // Here the path alone names the provider.
    body.insert("provider".to_owned(), Value::from(provider.as_str()));
    let kept = integrations::keep(&vault, holder.user_id, provider, body).await?;
    let shown = json!({ "id": kept["id"], "provider": kept["provider"], "type": kept["type"], "title": kept["title"] });
    Ok((StatusCode::CREATED, Json(shown)))
}

async fn delete_credentials(
    State(ring): State<KeyRing>,
    State(removal): State<integrations::Removal>,
    Path((provider, cred_id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Reply {
    let holder = ring.admit(&headers, Permission::DeleteIntegrations).await?;
    removal.carry_out(holder.user_id, &provider, &cred_id).await?;
    Ok(Json(json!({ "deleted": true, "credentials_id": cred_id })))
}

/// How a program begins the login of its user.
#[derive(Debug, Deserialize)]
struct Login {
    callback_url: String,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    state_metadata: Map,
}

impl Shaped for Login {
    const SHAPE: Shape = Shape::Model(&[
        Field::required("callback_url", Shape::Text),
        Field::optional("scopes", Shape::List(&Shape::Text)),
        Field::optional("state_metadata", Shape::Object),
    ]);
    const STORED: bool = true;
}

async fn begin_login(
    State(ring): State<KeyRing>,
    State(oauth): State<OAuth>,
    State(settings): State<Settings>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    body: Unread,
) -> Reply {
    let holder = ring.admit(&headers, Permission::ManageIntegrations).await?;
    let login: Login = body.read().await?;
    let origin = |text: &str| Url::parse(text).ok().map(|url| url.origin()).filter(Origin::is_tuple);
    let mut allowed = settings.oauth.external_callback_origins.iter().filter_map(|allowed| origin(allowed));
    if !origin(&login.callback_url).is_some_and(|wanted| allowed.any(|allowed| allowed == wanted)) {
        return Err(ApiError::detail(
            StatusCode::BAD_REQUEST,
            "The origin of callback_url is not in EXTERNAL_OAUTH_CALLBACK_ORIGINS",
        )
        .into());
    }
    let metadata = Value::Object(login.state_metadata);
    let begun = oauth.begin(holder.user_id, &provider, login.scopes, login.callback_url, metadata).await?;
    Ok(Json(
        json!({ "login_url": begun.login_url, "state_token": begun.state_token, "expires_at": begun.expires_at }),
    ))
}

async fn end_login(State(ring): State<KeyRing>, State(oauth): State<OAuth>, Path(provider): Path<String>, headers: HeaderMap, body: Unread) -> Reply {
    let holder = ring.admit(&headers, Permission::ManageIntegrations).await?;
    let exchange: integrations::Exchange = body.read().await?;
    let done = oauth.finish(holder.user_id, &provider, &exchange.code, &exchange.state_token).await?;
    let kept = done.credential;
    Ok(Json(json!({
        "credentials_id": kept.id,
        "provider": kept.provider,
        "type": kept.secret.kind(),
        "title": kept.title,
        "scopes": kept.secret.scopes(),
        "username": kept.secret.username(),
        "state_metadata": done.metadata,
    })))
}
