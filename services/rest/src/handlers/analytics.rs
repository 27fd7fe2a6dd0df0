//! What frontends report about their use (rest.md §1 area 15).

use axum::Json;
use axum::extract::State;
use model::Map;
use serde::Deserialize;
use serde_json::{Value, json};
use store::Store;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::openapi::schemas;
use crate::state::AppState;
use crate::users::CurrentUser;
use crate::wire::body::Shaped;
use crate::wire::shape::{Field, Problem, Shape};
use crate::wire::{ApiError, ApiResult, JsonBody};

#[derive(Debug, Deserialize)]
pub struct Metric {
    metric_name: String,
    metric_value: Value,
    data_string: String,
}

impl Shaped for Metric {
    const SHAPE: Shape = Shape::Model(&[
        Field::required("metric_name", Shape::Text),
        Field::required("metric_value", Shape::Any),
        Field::required("data_string", Shape::Text),
    ]);
    const STORED: bool = true;
}

#[derive(Debug, Deserialize)]
pub struct Event {
    #[serde(rename = "type")]
    kind: String,
    data: Map,
    data_index: String,
}

impl Shaped for Event {
    const SHAPE: Shape = Shape::Model(&[
        Field::required("type", Shape::Text),
        Field::required("data", Shape::Object),
        Field::required("data_index", Shape::Text),
    ]);
    const STORED: bool = true;
}

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(metric)).routes(routes!(event))
}

/// Answers with the id of the row.
#[utoipa::path(
    post, path = "/api/analytics/log_raw_metric",
    operation_id = "postV1LogRawMetric", tags = ["v1", "analytics"],
    request_body = schemas::LogRawMetricRequest,
    responses((status = 200, body = Value)),
)]
pub async fn metric(user: CurrentUser, State(store): State<Store>, JsonBody(metric): JsonBody<Metric>) -> ApiResult<Json<Uuid>> {
    let mut problems = Vec::new();
    for (name, text) in [("metric_name", &metric.metric_name), ("data_string", &metric.data_string)] {
        if text.is_empty() {
            let msg = "String should have at least 1 character";
            problems.push(Problem::new("string_too_short", &["body", name], msg, json!("")).with_context(json!({ "min_length": 1 })));
        }
    }
    let given = metric.metric_value.as_f64().or_else(|| metric.metric_value.as_str()?.trim().parse().ok());
    let value = given.filter(|value| value.is_finite());
    if value.is_none() {
        let msg = "Input should be a valid number";
        problems.push(Problem::new("float_type", &["body", "metric_value"], msg, metric.metric_value));
    }
    match value {
        Some(value) if problems.is_empty() => Ok(Json(store.log_metric(user.id, &metric.metric_name, value, &metric.data_string).await?)),
        _ => Err(ApiError::Invalid(problems)),
    }
}

/// Answers with the id of the row.
#[utoipa::path(
    post, path = "/api/analytics/log_raw_analytics",
    operation_id = "postV1LogRawAnalytics", tags = ["v1", "analytics"],
    request_body = schemas::Body_postV1LogRawAnalytics,
    responses((status = 200, body = Value)),
)]
pub async fn event(user: CurrentUser, State(store): State<Store>, JsonBody(event): JsonBody<Event>) -> ApiResult<Json<Uuid>> {
    Ok(Json(store.log_analytics(user.id, &event.kind, &event.data, &event.data_index).await?))
}
