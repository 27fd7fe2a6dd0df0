//! The catalogue as everybody reads it, and the user's own profile in it (rest.md §1 area 8).

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use model::catalogue::{Creator, CreatorDetails, ProfileDetails, StoreAgentDetails, StoreAgents, StoreReview};
use model::{GraphModel, Pagination};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{AgentFilter, AgentOrder, CreatorFilter, CreatorOrder, Store};
use submit::Submitter;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::graph_json;
use crate::openapi::schemas;
use crate::state::AppState;
use crate::users::CurrentUser;
use crate::wire::body::Shaped;
use crate::wire::shape::{Field, Problem, Shape};
use crate::wire::{ApiError, ApiResult, JsonBody, Page, Parameters, id};

const DEFAULT_SIZE: i64 = 20;
/// Characters of a user name.
const LONGEST_NAME: usize = 100;

#[derive(Debug, Serialize)]
pub struct Creators {
    creators: Vec<Creator>,
    pagination: Pagination,
}

#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Profile(ProfileDetails);

impl Shaped for Profile {
    const SHAPE: Shape = Shape::Model(&[
        Field::required("name", Shape::Text),
        Field::required("username", Shape::Text),
        Field::required("description", Shape::Text),
        Field::required("links", Shape::List(&Shape::Text)),
        Field::required("avatar_url", Shape::Text),
        Field::optional("is_featured", Shape::Flag),
    ]);
    const STORED: bool = true;
}

#[derive(Debug, Deserialize)]
pub struct Opinion {
    store_listing_version_id: String,
    score: i32,
    #[serde(default)]
    comments: Option<String>,
}

impl Shaped for Opinion {
    const SHAPE: Shape = Shape::Model(&[
        Field::required("store_listing_version_id", Shape::Text),
        Field::required("score", Shape::Integer),
        Field::optional("comments", Shape::Nullable(&Shape::Text)),
    ]);
    const STORED: bool = true;
}

/// The query of the list of agents, for documentation.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)] // only its description is used
struct AgentsQuery {
    #[param(default = false)]
    featured: Option<bool>,
    creator: Option<String>,
    #[param(inline)]
    sorted_by: Option<AgentSort>,
    search_query: Option<String>,
    category: Option<String>,
    #[param(default = 1)]
    page: Option<i64>,
    #[param(default = 20)]
    page_size: Option<i64>,
}

#[derive(utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code)] // only its description is used
enum AgentSort {
    Rating,
    Runs,
    Name,
    UpdatedAt,
}

/// The query of the list of creators, for documentation.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)] // only its description is used
struct CreatorsQuery {
    #[param(default = false)]
    featured: Option<bool>,
    search_query: Option<String>,
    #[param(inline)]
    sorted_by: Option<CreatorSort>,
    #[param(default = 1)]
    page: Option<i64>,
    #[param(default = 20)]
    page_size: Option<i64>,
}

#[derive(utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code)] // only its description is used
enum CreatorSort {
    AgentRating,
    AgentRuns,
    NumAgents,
}

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(profile, update_profile))
        .routes(routes!(agents))
        .routes(routes!(agent))
        .routes(routes!(agent_of_version))
        .routes(routes!(graph_of_version))
        .routes(routes!(review))
        .routes(routes!(creators))
        .routes(routes!(creator))
        .routes(routes!(download))
}

/// Made on the first read.
#[utoipa::path(
    get, path = "/api/store/profile",
    operation_id = "getV2Get user profile", tags = ["v2", "store", "private"],
    responses((status = 200, body = schemas::ProfileDetails)),
)]
pub async fn profile(user: CurrentUser, State(store): State<Store>) -> ApiResult<Json<ProfileDetails>> {
    let profile = store.get_or_create_profile(user.id).await?;
    profile.map(Json).ok_or_else(|| missing(format!("Profile of user {} not found", user.id)))
}

#[utoipa::path(
    post, path = "/api/store/profile",
    operation_id = "postV2Update user profile", tags = ["v2", "store", "private"],
    request_body = schemas::Profile,
    responses((status = 200, body = schemas::CreatorDetails)),
)]
pub async fn update_profile(
    user: CurrentUser,
    State(store): State<Store>,
    JsonBody(Profile(mut profile)): JsonBody<Profile>,
) -> ApiResult<Json<CreatorDetails>> {
    profile.username = profile.username.trim().to_lowercase();
    let problem = |msg: &str| Problem::new("value_error", &["body", "username"], msg, Value::from(profile.username.as_str()));
    // It is a part of addresses.
    if profile.username.is_empty() || profile.username.chars().count() > LONGEST_NAME || profile.username.contains(['/', '?', '#', '%']) {
        return Err(problem("Value error, a user name has 1 to 100 characters, none of them / ? # or %").into());
    }
    store.get_or_create_profile(user.id).await?;
    let updated = store.update_profile(user.id, &profile).await.map_err(|error| match error.constraint() {
        Some("profiles_username_key") => ApiError::value(format!("The user name {} is taken", profile.username)),
        _ => error.into(),
    })?;
    if !updated {
        return Err(missing(format!("Profile of user {} not found", user.id)));
    }
    creator_of(&store, &profile.username).await.map(Json)
}

#[utoipa::path(
    get, path = "/api/store/agents",
    operation_id = "getV2List store agents", tags = ["v2", "store", "public"],
    params(AgentsQuery), security(()),
    responses((status = 200, body = schemas::StoreAgentsResponse)),
)]
pub async fn agents(State(store): State<Store>, parameters: Parameters) -> ApiResult<Json<StoreAgents>> {
    agents_of(&store, &parameters).await.map(Json)
}

/// For the platform's own interface and the external one, as the following three.
pub async fn agents_of(store: &Store, parameters: &Parameters) -> ApiResult<StoreAgents> {
    let page = Page::of(parameters, DEFAULT_SIZE)?;
    let filter = AgentFilter {
        featured: parameters.flag("featured")?,
        creators: Vec::from_iter(parameters.given("creator")),
        search_query: parameters.given("search_query"),
        category: parameters.given("category"),
        order: AgentOrder::from_word(parameters.one_of("sorted_by", &AgentOrder::WORDS)?.unwrap_or_default()),
        limit: page.size,
        offset: page.offset(),
    };
    let (agents, total) = store.list_store_agents(&filter).await?;
    Ok(StoreAgents {
        agents,
        pagination: page.of_total(total),
    })
}

#[utoipa::path(
    get, path = "/api/store/agents/{username}/{agent_name}",
    operation_id = "getV2Get specific agent", tags = ["v2", "store", "public"],
    params(("username" = String, Path), ("agent_name" = String, Path)), security(()),
    responses((status = 200, body = schemas::StoreAgentDetails)),
)]
pub async fn agent(State(store): State<Store>, Path((username, slug)): Path<(String, String)>) -> ApiResult<Json<StoreAgentDetails>> {
    agent_named(&store, &username, &slug).await.map(Json)
}

pub async fn agent_named(store: &Store, username: &str, slug: &str) -> ApiResult<StoreAgentDetails> {
    let agent = store.get_store_agent(username, slug).await?;
    agent.ok_or_else(|| missing(format!("Agent {username}/{slug} not found")))
}

#[utoipa::path(
    get, path = "/api/store/agents/{store_listing_version_id}",
    operation_id = "getV2Get agent by version", tags = ["v2", "store"],
    params(("store_listing_version_id" = String, Path)),
    responses((status = 200, body = schemas::StoreAgentDetails)),
)]
pub async fn agent_of_version(_user: CurrentUser, State(store): State<Store>, Path(version_id): Path<String>) -> ApiResult<Json<StoreAgentDetails>> {
    let agent = match id(&version_id) {
        Some(id) => store.get_store_agent_of_version(id).await?,
        None => None,
    };
    agent.map(Json).ok_or_else(|| no_version(&version_id))
}

#[utoipa::path(
    get, path = "/api/store/graph/{store_listing_version_id}",
    operation_id = "getV2Get agent graph", tags = ["v2", "store"],
    params(("store_listing_version_id" = String, Path)),
    responses((status = 200, body = Value)),
)]
pub async fn graph_of_version(_user: CurrentUser, State(submitter): State<Submitter>, Path(version_id): Path<String>) -> ApiResult<Json<Value>> {
    offered_graph(&submitter, &version_id)
        .await
        .map(|graph| Json(graph_json::unowned(graph_json::meta(&graph))))
}

#[utoipa::path(
    post, path = "/api/store/agents/{username}/{agent_name}/review",
    operation_id = "postV2Create agent review", tags = ["v2", "store"],
    params(("username" = String, Path), ("agent_name" = String, Path)),
    request_body = schemas::StoreReviewCreate,
    responses((status = 200, body = schemas::StoreReview)),
)]
pub async fn review(
    user: CurrentUser,
    State(store): State<Store>,
    Path((username, slug)): Path<(String, String)>,
    JsonBody(opinion): JsonBody<Opinion>,
) -> ApiResult<Json<StoreReview>> {
    if !(1..=5).contains(&opinion.score) {
        let problem = Problem::new("value_error", &["body", "score"], "Value error, a score is 1 to 5", json!(opinion.score));
        return Err(problem.into());
    }
    let review = StoreReview {
        score: opinion.score,
        comments: opinion.comments,
    };
    let version_id = &opinion.store_listing_version_id;
    let written = match id(version_id) {
        Some(id) => store.review_listing(user.id, &username, &slug, id, &review).await?,
        None => false,
    };
    if written { Ok(Json(review)) } else { Err(no_version(version_id)) }
}

#[utoipa::path(
    get, path = "/api/store/creators",
    operation_id = "getV2List store creators", tags = ["v2", "store", "public"],
    params(CreatorsQuery), security(()),
    responses((status = 200, body = schemas::CreatorsResponse)),
)]
pub async fn creators(State(store): State<Store>, parameters: Parameters) -> ApiResult<Json<Creators>> {
    creators_of(&store, &parameters).await.map(Json)
}

pub async fn creators_of(store: &Store, parameters: &Parameters) -> ApiResult<Creators> {
    let page = Page::of(parameters, DEFAULT_SIZE)?;
    let filter = CreatorFilter {
        featured: parameters.flag("featured")?,
        search_query: parameters.given("search_query"),
        order: match parameters.one_of("sorted_by", &["agent_rating", "agent_runs", "num_agents"])? {
            Some("agent_rating") => CreatorOrder::Rating,
            Some("agent_runs") => CreatorOrder::Runs,
            Some("num_agents") => CreatorOrder::Agents,
            _ => CreatorOrder::Name,
        },
        limit: page.size,
        offset: page.offset(),
    };
    let (creators, total) = store.list_creators(&filter).await?;
    Ok(Creators {
        creators,
        pagination: page.of_total(total),
    })
}

#[utoipa::path(
    get, path = "/api/store/creator/{username}",
    operation_id = "getV2Get creator details", tags = ["v2", "store", "public"],
    params(("username" = String, Path)), security(()),
    responses((status = 200, body = schemas::CreatorDetails)),
)]
pub async fn creator(State(store): State<Store>, Path(username): Path<String>) -> ApiResult<Json<CreatorDetails>> {
    creator_of(&store, &username).await.map(Json)
}

/// The graph of a listing as a file.
#[utoipa::path(
    get, path = "/api/store/download/agents/{store_listing_version_id}",
    operation_id = "getV2Download agent file", tags = ["v2", "store", "public"],
    params(("store_listing_version_id" = String, Path)), security(()),
    responses((status = 200, body = Value)),
)]
pub async fn download(State(submitter): State<Submitter>, Path(version_id): Path<String>) -> ApiResult<Response> {
    let graph = offered_graph(&submitter, &version_id).await?;
    Ok(attachment(&version_id, &graph_json::unowned(graph_json::full(&graph))))
}

/// A graph as a file to download.
pub fn attachment(version_id: &str, graph: &Value) -> Response {
    let disposition = format!("attachment; filename=\"agent_{version_id}.json\"");
    let headers = [(CONTENT_TYPE, "application/json".to_owned()), (CONTENT_DISPOSITION, disposition)];
    (headers, graph.to_string()).into_response()
}

/// What everybody may see of an offered graph.
async fn offered_graph(submitter: &Submitter, version_id: &str) -> ApiResult<GraphModel> {
    let offer = match id(version_id) {
        Some(id) => submitter.store().find_offer(id).await?,
        None => None,
    };
    let offer = offer.ok_or_else(|| no_version(version_id))?;
    let graph = submitter.load_for_strangers(offer.graph_id, offer.graph_version).await?;
    graph.ok_or_else(|| no_version(version_id))
}

pub async fn creator_of(store: &Store, username: &str) -> ApiResult<CreatorDetails> {
    let creator = store.get_creator(username).await?;
    creator.ok_or_else(|| missing(format!("Creator {username} not found")))
}

pub fn no_version(version_id: &str) -> ApiError {
    missing(format!("Store listing version {version_id} not found"))
}

fn missing(text: String) -> ApiError {
    ApiError::Generic(StatusCode::NOT_FOUND, text)
}
