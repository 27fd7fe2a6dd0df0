//! Offering agents in the catalogue: by their authors, and by administrators who decide (rest.md §1 areas 8 and 13).

use auth::AdminUser;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use model::Pagination;
use model::catalogue::{ListingContent, MyAgent, StoreListingWithVersions, StoreSubmission, SubmissionStatus};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{ListingFilter, NewSubmission, Store, Verdict};
use submit::Submitter;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::catalogue::{attachment, no_version};
use super::onboarding::Offer;
use crate::graph_json;
use crate::openapi::schemas;
use crate::state::AppState;
use crate::users::CurrentUser;
use crate::wire::body::Shaped;
use crate::wire::shape::{Field, Problem, Shape};
use crate::wire::{ApiError, ApiResult, JsonBody, Page, Parameters, id};

const DEFAULT_SIZE: i64 = 20;
/// Characters of a slug.
const LONGEST_SLUG: usize = 200;

/// The fields in which an author describes an agent.
macro_rules! content_shape {
    ($($more:expr),*) => {
        Shape::Model(&[
            Field::required("name", Shape::Text),
            Field::required("sub_heading", Shape::Text),
            Field::optional("video_url", Shape::Nullable(&Shape::Text)),
            Field::optional("image_urls", Shape::List(&Shape::Text)),
            Field::optional("description", Shape::Text),
            Field::optional("instructions", Shape::Nullable(&Shape::Text)),
            Field::optional("categories", Shape::List(&Shape::Text)),
            Field::optional("changes_summary", Shape::Nullable(&Shape::Text)),
            Field::optional("recommended_schedule_cron", Shape::Nullable(&Shape::Text)),
            $($more),*
        ])
    };
}

#[derive(Debug, Deserialize)]
pub struct Submission {
    agent_id: String,
    agent_version: i32,
    slug: String,
    #[serde(flatten)]
    content: ListingContent,
}

impl Shaped for Submission {
    const SHAPE: Shape = content_shape!(
        Field::required("agent_id", Shape::Text),
        Field::required("agent_version", Shape::Integer),
        Field::required("slug", Shape::Text)
    );
    const STORED: bool = true;
}

#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Edit(ListingContent);

impl Shaped for Edit {
    const SHAPE: Shape = content_shape!();
    const STORED: bool = true;
}

#[derive(Debug, Deserialize)]
pub struct Decision {
    is_approved: bool,
    comments: String,
    #[serde(default)]
    internal_comments: Option<String>,
}

impl Shaped for Decision {
    const SHAPE: Shape = Shape::Model(&[
        Field::required("store_listing_version_id", Shape::Text),
        Field::required("is_approved", Shape::Flag),
        Field::required("comments", Shape::Text),
        Field::optional("internal_comments", Shape::Nullable(&Shape::Text)),
    ]);
    const STORED: bool = true;
}

#[derive(Debug, Serialize)]
pub struct MyAgents {
    agents: Vec<MyAgent>,
    pagination: Pagination,
}

#[derive(Debug, Serialize)]
pub struct Submissions {
    submissions: Vec<StoreSubmission>,
    pagination: Pagination,
}

#[derive(Debug, Serialize)]
pub struct Listings {
    listings: Vec<StoreListingWithVersions>,
    pagination: Pagination,
}

/// The query of the lists, for documentation.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)] // only its description is used
struct ListQuery {
    #[param(default = 1)]
    page: Option<i64>,
    #[param(default = 20)]
    page_size: Option<i64>,
}

/// The query of the user's own agents, for documentation.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)] // only its description is used
struct MyAgentsQuery {
    #[param(default = 1, minimum = 1)]
    page: Option<i64>,
    #[param(default = 20, minimum = 1)]
    page_size: Option<i64>,
}

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(my_agents))
        .routes(routes!(list, create))
        .routes(routes!(edit, delete))
        .routes(routes!(listings))
        .routes(routes!(decide))
        .routes(routes!(download))
}

#[utoipa::path(
    get, path = "/api/store/myagents",
    operation_id = "getV2Get my agents", tags = ["v2", "store", "private"],
    params(MyAgentsQuery),
    responses((status = 200, body = schemas::MyAgentsResponse)),
)]
pub async fn my_agents(user: CurrentUser, State(store): State<Store>, parameters: Parameters) -> ApiResult<Json<MyAgents>> {
    let page = Page::of(&parameters, DEFAULT_SIZE)?;
    let (agents, total) = store.list_unlisted_graphs(user.id, page.size, page.offset()).await?;
    Ok(Json(MyAgents {
        agents,
        pagination: page.of_total(total),
    }))
}

#[utoipa::path(
    get, path = "/api/store/submissions",
    operation_id = "getV2List my submissions", tags = ["v2", "store", "private"],
    params(ListQuery),
    responses((status = 200, body = schemas::StoreSubmissionsResponse)),
)]
pub async fn list(user: CurrentUser, State(store): State<Store>, parameters: Parameters) -> ApiResult<Json<Submissions>> {
    let page = Page::of(&parameters, DEFAULT_SIZE)?;
    let (submissions, total) = store.list_submissions(user.id, page.size, page.offset()).await?;
    Ok(Json(Submissions {
        submissions,
        pagination: page.of_total(total),
    }))
}

#[utoipa::path(
    post, path = "/api/store/submissions",
    operation_id = "postV2Create store submission", tags = ["v2", "store", "private"],
    request_body = schemas::StoreSubmissionRequest,
    responses((status = 200, body = schemas::StoreSubmission)),
)]
pub async fn create(user: CurrentUser, State(store): State<Store>, JsonBody(body): JsonBody<Submission>) -> ApiResult<Json<StoreSubmission>> {
    let slug = body.slug.to_lowercase();
    let fits = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    if slug.is_empty() || slug.len() > LONGEST_SLUG || !slug.chars().all(fits) {
        let msg = "Value error, a slug has 1 to 200 characters: letters, digits and hyphens";
        return Err(Problem::new("value_error", &["body", "slug"], msg, Value::from(body.slug)).into());
    }
    let missing = || {
        let text = format!("Graph #{} v{} not found", body.agent_id, body.agent_version);
        ApiError::Generic(StatusCode::NOT_FOUND, text)
    };
    // A submission is shown with its author: the profile must be there.
    store.get_or_create_profile(user.id).await?;
    let new = NewSubmission {
        owner: user.id,
        graph_id: id(&body.agent_id).ok_or_else(missing)?,
        graph_version: body.agent_version,
        slug,
        content: body.content,
    };
    let submitted = store.submit_listing(&new).await.map_err(|error| match error.constraint() {
        Some("store_listings_slug") => ApiError::value(format!("The slug {} is in use for another of your agents", new.slug)),
        Some("store_listings_graph" | "store_listing_versions_listing_id_version_key") => {
            ApiError::value("The agent is being submitted by another request: look at your submissions")
        }
        _ => error.into(),
    })?;
    submitted.map(Json).ok_or_else(missing)
}

#[utoipa::path(
    put, path = "/api/store/submissions/{store_listing_version_id}",
    operation_id = "putV2Edit store submission", tags = ["v2", "store", "private"],
    params(("store_listing_version_id" = String, Path)),
    request_body = schemas::StoreSubmissionEditRequest,
    responses((status = 200, body = schemas::StoreSubmission)),
)]
pub async fn edit(
    user: CurrentUser,
    State(store): State<Store>,
    Path(version_id): Path<String>,
    JsonBody(Edit(content)): JsonBody<Edit>,
) -> ApiResult<Json<StoreSubmission>> {
    let edited = match id(&version_id) {
        Some(id) => store.edit_submission(user.id, id, &content).await?,
        None => None,
    };
    edited.map(Json).ok_or_else(|| no_version(&version_id))
}

/// Takes the id of a version or of a listing, which the contract calls `submission_id`.
#[utoipa::path(
    delete, path = "/api/store/submissions/{store_listing_version_id}",
    operation_id = "deleteV2Delete store submission", tags = ["v2", "store", "private"],
    params(("store_listing_version_id" = String, Path)),
    responses((status = 200, body = bool, content_type = "application/json")),
)]
pub async fn delete(
    user: CurrentUser,
    State(store): State<Store>,
    State(offer): State<Offer>,
    Path(submission_id): Path<String>,
) -> ApiResult<Json<bool>> {
    let deleted = match id(&submission_id) {
        Some(id) => store.delete_submission(user.id, id).await?,
        None => false,
    };
    if deleted {
        offer.forget().await;
        Ok(Json(true))
    } else {
        Err(ApiError::Generic(StatusCode::NOT_FOUND, format!("Submission {submission_id} not found")))
    }
}

#[utoipa::path(
    get, path = "/api/store/admin/listings",
    operation_id = "getV2Get admin listings history", tags = ["v2", "admin", "store", "admin"],
    params(("status" = Option<schemas::SubmissionStatus>, Query), ("search" = Option<String>, Query), ListQuery),
    responses((status = 200, body = schemas::StoreListingsWithVersionsResponse)),
)]
pub async fn listings(_admin: AdminUser, State(store): State<Store>, parameters: Parameters) -> ApiResult<Json<Listings>> {
    let page = Page::of(&parameters, DEFAULT_SIZE)?;
    let status = parameters.one_of("status", &SubmissionStatus::WORDS)?;
    let filter = ListingFilter {
        status: status.and_then(SubmissionStatus::from_word),
        search: parameters.given("search"),
        limit: page.size,
        offset: page.offset(),
    };
    let (listings, total) = store.list_listings(&filter).await?;
    Ok(Json(Listings {
        listings,
        pagination: page.of_total(total),
    }))
}

#[utoipa::path(
    post, path = "/api/store/admin/submissions/{store_listing_version_id}/review",
    operation_id = "postV2Review store submission", tags = ["v2", "admin", "store", "admin"],
    params(("store_listing_version_id" = String, Path)),
    request_body = schemas::ReviewSubmissionRequest,
    responses((status = 200, body = schemas::StoreSubmission)),
)]
pub async fn decide(
    _admin: AdminUser,
    user: CurrentUser,
    State(store): State<Store>,
    State(offer): State<Offer>,
    Path(version_id): Path<String>,
    JsonBody(decision): JsonBody<Decision>,
) -> ApiResult<Json<StoreSubmission>> {
    let id = id(&version_id).ok_or_else(|| no_version(&version_id))?;
    let verdict = Verdict {
        reviewer: user.id,
        approved: decision.is_approved,
        comments: decision.comments,
        internal_comments: decision.internal_comments,
    };
    tracing::info!(%version_id, approved = verdict.approved, reviewer = %user.id, "a submission was reviewed");
    let decided = store.decide_submission(id, &verdict).await?;
    offer.forget().await;
    Ok(Json(decided))
}

/// Any submission, as administrators look at it before they decide.
#[utoipa::path(
    get, path = "/api/store/admin/submissions/download/{store_listing_version_id}",
    operation_id = "getV2Admin download agent file", tags = ["v2", "admin", "store", "admin", "store", "admin"],
    params(("store_listing_version_id" = String, Path)),
    responses((status = 200, body = Value)),
)]
pub async fn download(_admin: AdminUser, State(submitter): State<Submitter>, Path(version_id): Path<String>) -> ApiResult<Response> {
    let submission = match id(&version_id) {
        Some(id) => submitter.store().get_submission(id).await?,
        None => None,
    };
    let submission = submission.ok_or_else(|| no_version(&version_id))?;
    let graph = submitter.load_for_strangers(submission.agent_id, submission.agent_version).await?;
    let graph = graph.ok_or_else(|| no_version(&version_id))?;
    Ok(attachment(&version_id, &graph_json::full(&graph)))
}
