//! API keys of a user (rest.md §1 area 11, §3.3). A foreign key's id answers as an absent one.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use model::api_key::{ApiKeyInfo, ApiKeyPermission};
use serde::{Deserialize, Serialize};
use store::{NewApiKey, Store};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::keys::KeyRing;
use crate::openapi::schemas;
use crate::state::AppState;
use crate::users::CurrentUser;
use crate::wire::body::Shaped;
use crate::wire::shape::{Field, Shape};
use crate::wire::{ApiError, ApiResult, JsonBody, id};

const PERMISSIONS: Shape = Shape::List(&Shape::OneOf(&[
    "EXECUTE_GRAPH",
    "READ_GRAPH",
    "EXECUTE_BLOCK",
    "READ_BLOCK",
    "READ_STORE",
    "USE_TOOLS",
    "MANAGE_INTEGRATIONS",
    "READ_INTEGRATIONS",
    "DELETE_INTEGRATIONS",
]));

#[derive(Debug, Deserialize)]
pub struct NewKey {
    name: String,
    permissions: Vec<ApiKeyPermission>,
    #[serde(default)]
    description: Option<String>,
}

impl Shaped for NewKey {
    const SHAPE: Shape = Shape::Model(&[
        Field::required("name", Shape::Text),
        Field::required("permissions", PERMISSIONS),
        Field::optional("description", Shape::Nullable(&Shape::Text)),
    ]);
    const STORED: bool = true;
}

#[derive(Debug, Deserialize)]
pub struct Permissions {
    permissions: Vec<ApiKeyPermission>,
}

impl Shaped for Permissions {
    const SHAPE: Shape = Shape::Model(&[Field::required("permissions", PERMISSIONS)]);
}

#[derive(Debug, Serialize)]
pub struct Created {
    api_key: ApiKeyInfo,
    plain_text_key: String,
}

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, revoke))
        .routes(routes!(suspend))
        .routes(routes!(set_permissions))
}

/// Newest first.
#[utoipa::path(
    get, path = "/api/api-keys",
    operation_id = "getV1List user api keys", tags = ["v1", "api-keys"],
    responses((status = 200, body = Vec<schemas::APIKeyInfo>)),
)]
pub async fn list(user: CurrentUser, State(store): State<Store>) -> ApiResult<Json<Vec<ApiKeyInfo>>> {
    Ok(Json(store.list_api_keys(user.id).await?))
}

/// The key itself is in this answer and nowhere else.
#[utoipa::path(
    post, path = "/api/api-keys",
    operation_id = "postV1Create new api key", tags = ["v1", "api-keys"],
    request_body = schemas::CreateAPIKeyRequest,
    responses((status = 200, body = schemas::CreateAPIKeyResponse)),
)]
pub async fn create(
    user: CurrentUser,
    State(store): State<Store>,
    State(ring): State<KeyRing>,
    JsonBody(mut body): JsonBody<NewKey>,
) -> ApiResult<Json<Created>> {
    tidy(&mut body.permissions);
    let key = ring.keys().generate();
    let new = NewApiKey {
        name: &body.name,
        description: body.description.as_deref(),
        head: &key.head,
        tail: &key.tail,
        lookup: &key.lookup,
        permissions: &body.permissions,
    };
    let api_key = store.create_api_key(user.id, &new).await?;
    Ok(Json(Created {
        api_key,
        plain_text_key: key.plain,
    }))
}

#[utoipa::path(
    get, path = "/api/api-keys/{key_id}",
    operation_id = "getV1Get specific api key", tags = ["v1", "api-keys"],
    params(("key_id" = String, Path)),
    responses((status = 200, body = schemas::APIKeyInfo)),
)]
pub async fn get(user: CurrentUser, State(store): State<Store>, Path(key_id): Path<String>) -> ApiResult<Json<ApiKeyInfo>> {
    let found = match id(&key_id) {
        Some(id) => store.get_api_key(user.id, id).await?,
        None => None,
    };
    found.map(Json).ok_or_else(missing)
}

/// For good.
#[utoipa::path(
    delete, path = "/api/api-keys/{key_id}",
    operation_id = "deleteV1Revoke api key", tags = ["v1", "api-keys"],
    params(("key_id" = String, Path)),
    responses((status = 200, body = schemas::APIKeyInfo)),
)]
pub async fn revoke(
    user: CurrentUser,
    State(store): State<Store>,
    State(ring): State<KeyRing>,
    Path(key_id): Path<String>,
) -> ApiResult<Json<ApiKeyInfo>> {
    let id = id(&key_id).ok_or_else(missing)?;
    let changed = store.revoke_api_key(user.id, id).await?;
    answer(&ring, changed)
}

#[utoipa::path(
    post, path = "/api/api-keys/{key_id}/suspend",
    operation_id = "postV1Suspend api key", tags = ["v1", "api-keys"],
    params(("key_id" = String, Path)),
    responses((status = 200, body = schemas::APIKeyInfo)),
)]
pub async fn suspend(
    user: CurrentUser,
    State(store): State<Store>,
    State(ring): State<KeyRing>,
    Path(key_id): Path<String>,
) -> ApiResult<Json<ApiKeyInfo>> {
    let id = id(&key_id).ok_or_else(missing)?;
    let changed = store.suspend_api_key(user.id, id).await?;
    answer(&ring, changed)
}

#[utoipa::path(
    put, path = "/api/api-keys/{key_id}/permissions",
    operation_id = "putV1Update key permissions", tags = ["v1", "api-keys"],
    params(("key_id" = String, Path)),
    request_body = schemas::UpdatePermissionsRequest,
    responses((status = 200, body = schemas::APIKeyInfo)),
)]
pub async fn set_permissions(
    user: CurrentUser,
    State(store): State<Store>,
    State(ring): State<KeyRing>,
    Path(key_id): Path<String>,
    JsonBody(mut body): JsonBody<Permissions>,
) -> ApiResult<Json<ApiKeyInfo>> {
    let id = id(&key_id).ok_or_else(missing)?;
    tidy(&mut body.permissions);
    let changed = store.set_api_key_permissions(user.id, id, &body.permissions).await?;
    answer(&ring, changed)
}

/// The key after a change, which what was looked up before does not outlive.
fn answer(ring: &KeyRing, changed: Option<ApiKeyInfo>) -> ApiResult<Json<ApiKeyInfo>> {
    ring.forget();
    changed.map(Json).ok_or_else(missing)
}

/// Each permission once, in the contract's order.
fn tidy(permissions: &mut Vec<ApiKeyPermission>) {
    permissions.sort();
    permissions.dedup();
}

fn missing() -> ApiError {
    ApiError::detail(StatusCode::NOT_FOUND, "API key not found")
}
