//! How far a user has come with getting to know the platform (rest.md §1 area 2).

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use model::catalogue::StoreAgentDetails;
use model::onboarding::{ONBOARDING_STEPS, Onboarding, OnboardingUpdate};
use moka::future::Cache;
use serde::Deserialize;
use serde_json::json;
use store::Store;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::events::Announcer;
use crate::openapi::schemas;
use crate::state::AppState;
use crate::users::CurrentUser;
use crate::wire::body::Shaped;
use crate::wire::shape::{Field, Shape};
use crate::wire::{ApiResult, JsonBody};

/// So many agents the catalogue must offer, and so many are recommended.
const RECOMMENDED: i64 = 2;
/// What another process changes in the catalogue shows here after at most so long.
const REMEMBERED_FOR: Duration = Duration::from_secs(2);

/// Whether the catalogue offers enough to begin with: the same for everybody, asked at every login. Clones share the memory.
#[derive(Clone)]
pub struct Offer {
    store: Store,
    enough: Cache<(), bool>,
}

impl Offer {
    pub fn new(store: Store) -> Self {
        let enough = Cache::builder().max_capacity(1).time_to_live(REMEMBERED_FOR).build();
        Self { store, enough }
    }

    /// Asks the database once, however many ask at the same time.
    async fn is_enough(&self) -> ApiResult<bool> {
        let ask = async { ApiResult::Ok(self.store.count_store_agents().await? >= RECOMMENDED) };
        self.enough.try_get_with((), ask).await.map_err(|error| (*error).clone())
    }

    /// After a change to what the catalogue offers.
    pub async fn forget(&self) {
        self.enough.invalidate(&()).await;
    }
}

#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Progress(OnboardingUpdate);

const STEPS: Shape = Shape::Nullable(&Shape::List(&Shape::OneOf(&ONBOARDING_STEPS)));
const TEXT: Shape = Shape::Nullable(&Shape::Text);
const NUMBER: Shape = Shape::Nullable(&Shape::Integer);

impl Shaped for Progress {
    const SHAPE: Shape = Shape::Model(&[
        Field::optional("completedSteps", STEPS),
        Field::optional("walletShown", Shape::Nullable(&Shape::Flag)),
        Field::optional("notified", STEPS),
        Field::optional("usageReason", TEXT),
        Field::optional("integrations", Shape::Nullable(&Shape::List(&Shape::Text))),
        Field::optional("otherIntegrations", TEXT),
        Field::optional("selectedStoreListingVersionId", TEXT),
        Field::optional("agentInput", Shape::Nullable(&Shape::Object)),
        Field::optional("onboardingAgentExecutionId", TEXT),
        Field::optional("agentRuns", NUMBER),
        Field::optional("lastRunAt", TEXT),
        Field::optional("consecutiveRunDays", NUMBER),
    ]);
    const STORED: bool = true;
}

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(get, update))
        .routes(routes!(agents))
        .routes(routes!(enabled))
        .routes(routes!(reset))
}

#[utoipa::path(
    get, path = "/api/onboarding",
    operation_id = "getV1Get onboarding status", tags = ["v1", "onboarding"],
    responses((status = 200, body = Value)),
)]
pub async fn get(user: CurrentUser, State(store): State<Store>) -> ApiResult<Json<Onboarding>> {
    Ok(Json(store.get_or_create_onboarding(user.id).await?))
}

/// Each step is told to the user's other tabs when it is completed (rest.md §3.2).
#[utoipa::path(
    patch, path = "/api/onboarding",
    operation_id = "patchV1Update onboarding progress", tags = ["v1", "onboarding"],
    request_body = schemas::UserOnboardingUpdate,
    responses((status = 200, body = Value)),
)]
pub async fn update(
    user: CurrentUser,
    State(store): State<Store>,
    State(announcer): State<Announcer>,
    JsonBody(Progress(update)): JsonBody<Progress>,
) -> ApiResult<Json<Onboarding>> {
    let (onboarding, completed) = store.update_onboarding(user.id, &update).await?;
    for step in completed {
        announcer.notify(user.id, &json!({ "type": "onboarding", "event": "step_completed", "step": step }));
    }
    Ok(Json(onboarding))
}

#[utoipa::path(
    get, path = "/api/onboarding/agents",
    operation_id = "getV1Get recommended agents", tags = ["v1", "onboarding"],
    responses((status = 200, body = Value)),
)]
pub async fn agents(_user: CurrentUser, State(store): State<Store>) -> ApiResult<Json<Vec<StoreAgentDetails>>> {
    Ok(Json(store.recommended_agents(RECOMMENDED).await?))
}

#[utoipa::path(
    get, path = "/api/onboarding/enabled",
    operation_id = "getV1Check onboarding enabled", tags = ["v1", "onboarding", "public"],
    responses((status = 200, body = Value)),
)]
pub async fn enabled(_user: CurrentUser, State(offer): State<Offer>) -> ApiResult<Json<bool>> {
    offer.is_enough().await.map(Json)
}

#[utoipa::path(
    post, path = "/api/onboarding/reset",
    operation_id = "postV1Reset onboarding progress", tags = ["v1", "onboarding"],
    responses((status = 200, body = Value)),
)]
pub async fn reset(user: CurrentUser, State(store): State<Store>) -> ApiResult<Json<Onboarding>> {
    Ok(Json(store.reset_onboarding(user.id).await?))
}
