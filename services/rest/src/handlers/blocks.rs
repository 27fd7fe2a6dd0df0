//! Blocks: the list that the builder loads, and running one block alone (rest.md §2.1).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use blocks::{BlockContext, BlockErrorKind, Registry};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, StatusCode};
use model::Map;
use serde::Deserialize;
use serde_json::{Value, json};
use store::Store;

use crate::block_list::BlockList;
use crate::users::CurrentUser;
use crate::wire::body::Shaped;
use crate::wire::shape::Shape;
use crate::wire::{ApiError, ApiResult, JsonBody, id};

/// The inputs of one block.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Inputs(Map);

impl Shaped for Inputs {
    const SHAPE: Shape = Shape::Object;
}

/// Ready-made: neither serialised nor compressed again for each request.
pub async fn list(_user: CurrentUser, State(list): State<Arc<BlockList>>, headers: HeaderMap) -> Response {
    let unchanged = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if unchanged.is_some_and(|known| list.has_tag(known)) {
        return (StatusCode::NOT_MODIFIED, [(ETAG, list.tag()), (VARY, "accept-encoding")]).into_response();
    }
    let common = [(CONTENT_TYPE, "application/json"), (ETAG, list.tag()), (VARY, "accept-encoding")];
    if accepts_gzip(&headers) {
        (common, [(CONTENT_ENCODING, "gzip")], list.compressed()).into_response()
    } else {
        (common, list.plain()).into_response()
    }
}

/// Runs one block with a minimal context and answers with its outputs by pin.
pub async fn execute(
    user: CurrentUser,
    State(registry): State<Arc<Registry>>,
    State(store): State<Store>,
    Path(block_id): Path<String>,
    JsonBody(Inputs(inputs)): JsonBody<Inputs>,
) -> ApiResult<Json<Value>> {
    let block = id(&block_id)
        .and_then(|id| registry.get(id))
        .ok_or_else(|| ApiError::not_found(format!("Block #{block_id} not found.")))?;
    if block.descriptor().disabled {
        return Err(ApiError::detail(StatusCode::FORBIDDEN, format!("Block #{block_id} is disabled.")));
    }
    let mut context = BlockContext::direct(user.id);
    if let Some(user) = store.get_user(user.id).await?
        && user.timezone.parse::<chrono_tz::Tz>().is_ok()
    {
        context.execution.user_timezone = user.timezone;
    }
    match blocks::collect(block.as_ref(), inputs, &context).await {
        Ok(outputs) => Ok(Json(json!(outputs))),
        Err(error) if error.kind == BlockErrorKind::Unknown => Err(ApiError::Generic(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
        Err(error) => Err(ApiError::value(error.to_string())),
    }
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let given = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.trim().parse::<f32>() == Ok(0.0));
        matches!(name.trim(), "gzip" | "*") && !refused
    })
}
