//! Human review: what waits for the user, and his decisions (rest.md §1 group 14, internals §2.14).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use model::review::HumanReview;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{IoBlocks, ReviewDecision, Store};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::events::Announcer;
use crate::openapi::schemas;
use crate::state::AppState;
use crate::users::CurrentUser;
use crate::wire::body::Shaped;
use crate::wire::shape::{Field, Problem, Shape, Step};
use crate::wire::{ApiError, ApiResult, JsonBody, PageQuery, Parameters, id};

/// Characters of a message.
const LONGEST_MESSAGE: usize = 2000;
/// Bytes of reviewed data as compact JSON.
const LARGEST_DATA: usize = 1 << 20;
/// Levels of objects and lists in reviewed data.
const DEEPEST_DATA: usize = 10;
/// Decisions of one request: all are taken in one transaction.
const MOST_REVIEWS: usize = 1000;
/// Reasons that `error` repeats.
const REASONS_SHOWN: usize = 5;

#[derive(Debug, Deserialize)]
pub struct Action {
    reviews: Vec<ActionItem>,
}

#[derive(Debug, Deserialize)]
struct ActionItem {
    node_exec_id: String,
    approved: bool,
    #[serde(default)]
    message: Option<String>,
    /// Null says that the data stay as they are.
    #[serde(default)]
    reviewed_data: Option<Value>,
}

impl Shaped for Action {
    const SHAPE: Shape = Shape::Model(&[Field::required("reviews", Shape::List(&ITEM))]);
    const STORED: bool = true;
}

const ITEM: Shape = Shape::Model(&[
    Field::required("node_exec_id", Shape::Text),
    Field::required("approved", Shape::Flag),
    Field::optional("message", Shape::Nullable(&Shape::Text)),
    Field::optional("reviewed_data", Shape::Any),
]);

#[derive(Debug, Serialize)]
pub struct ActionReply {
    approved_count: usize,
    rejected_count: usize,
    failed_count: usize,
    /// Why the failed ones failed.
    error: Option<String>,
}

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(pending))
        .routes(routes!(pending_of_run))
        .routes(routes!(act))
}

/// Newest first.
#[utoipa::path(
    get, path = "/api/review/pending",
    operation_id = "getV2Get pending reviews", tags = ["v2", "executions", "review", "executions", "review", "private"],
    params(PageQuery),
    responses((status = 200, body = Vec<schemas::PendingHumanReviewModel>)),
)]
pub async fn pending(user: CurrentUser, State(store): State<Store>, parameters: Parameters) -> ApiResult<Json<Vec<HumanReview>>> {
    let page = parameters.integer_in("page", 1..=i64::MAX, 1)?;
    let page_size = parameters.integer_in("page_size", 1..=100, 25)?;
    Ok(Json(store.list_waiting_reviews(user.id, page, page_size).await?))
}

/// Whether a run does not exist or belongs to somebody else is not told.
#[utoipa::path(
    get, path = "/api/review/execution/{graph_exec_id}",
    operation_id = "getV2Get pending reviews for execution", tags = ["v2", "executions", "review", "executions", "review", "private"],
    params(("graph_exec_id" = String, Path)),
    responses((status = 200, body = Vec<schemas::PendingHumanReviewModel>)),
)]
pub async fn pending_of_run(user: CurrentUser, State(store): State<Store>, Path(graph_exec_id): Path<String>) -> ApiResult<Json<Vec<HumanReview>>> {
    let denied = || ApiError::detail(StatusCode::FORBIDDEN, format!("Access denied to graph execution #{graph_exec_id}"));
    let id = id(&graph_exec_id).ok_or_else(denied)?;
    store.get_execution_meta(user.id, id).await?.ok_or_else(denied)?;
    Ok(Json(store.list_waiting_reviews_of_run(user.id, id).await?))
}

/// Takes every decision that can be taken; the others are counted and named. Runs of which nothing waits any more go on.
#[utoipa::path(
    post, path = "/api/review/action",
    operation_id = "postV2ProcessReviewAction", tags = ["v2", "executions", "review", "executions", "review", "private"],
    request_body = schemas::ReviewRequest,
    responses((status = 200, body = schemas::ReviewResponse)),
)]
pub async fn act(
    user: CurrentUser,
    State(store): State<Store>,
    State(io): State<Arc<IoBlocks>>,
    State(announcer): State<Announcer>,
    JsonBody(body): JsonBody<Action>,
) -> ApiResult<Json<ActionReply>> {
    let problems = problems(&body.reviews);
    if !problems.is_empty() {
        return Err(ApiError::Invalid(problems));
    }
    let mut reasons = Vec::new();
    let mut decisions = Vec::with_capacity(body.reviews.len());
    for item in body.reviews {
        match id(&item.node_exec_id) {
            Some(node_exec_id) => decisions.push(ReviewDecision {
                node_exec_id,
                approved: item.approved,
                message: item.message,
                reviewed_data: item.reviewed_data.filter(|data| !data.is_null()),
            }),
            None => reasons.push(format!("Review {} not found", item.node_exec_id)),
        }
    }
    let decided = store.decide_reviews(user.id, decisions).await?;
    reasons.extend(decided.refused.into_iter().map(|(_, reason)| reason));
    if decided.approved + decided.rejected > 0 {
        store.outbox_notifier().wake();
    }
    for run in decided.resumed {
        // A hint: the decision stands, whoever hears of it.
        match store.get_execution(Some(user.id), run, &io).await {
            Ok(Some(execution)) => announcer.announce_change(execution),
            Ok(None) => {}
            Err(error) => tracing::debug!(graph_exec_id = %run, %error, "that a run goes on was not announced"),
        }
    }
    Ok(Json(ActionReply {
        approved_count: decided.approved,
        rejected_count: decided.rejected,
        failed_count: reasons.len(),
        error: error_text(&reasons),
    }))
}

fn error_text(reasons: &[String]) -> Option<String> {
    let shown = reasons.iter().take(REASONS_SHOWN).cloned().collect::<Vec<_>>().join("; ");
    match reasons.len() {
        0 => None,
        count if count > REASONS_SHOWN => Some(format!("{shown}; and {} more", count - REASONS_SHOWN)),
        _ => Some(shown),
    }
}

/// What the contract bounds beyond the shape.
fn problems(items: &[ActionItem]) -> Vec<Problem> {
    let mut problems = Vec::new();
    if items.is_empty() {
        let msg = "Value error, At least one review must be provided";
        problems.push(Problem::new("value_error", &["body", "reviews"], msg, json!([])));
    }
    if items.len() > MOST_REVIEWS {
        let msg = format!("List should have at most {MOST_REVIEWS} items after validation, not {}", items.len());
        problems.push(Problem::new("too_long", &["body", "reviews"], msg, json!("…")).with_context(json!({ "max_length": MOST_REVIEWS })));
    }
    for (index, item) in items.iter().enumerate() {
        let mut report = |field: &str, kind, msg: String| {
            let mut problem = Problem::new(kind, &["body", "reviews"], msg, json!("…"));
            problem.loc.extend([Step::Index(index), Step::Name(field.to_owned())]);
            problems.push(problem);
        };
        if item.message.as_ref().is_some_and(|message| message.chars().count() > LONGEST_MESSAGE) {
            report(
                "message",
                "string_too_long",
                format!("String should have at most {LONGEST_MESSAGE} characters"),
            );
        }
        if let Some(data) = &item.reviewed_data {
            if depth(data) > DEEPEST_DATA {
                report(
                    "reviewed_data",
                    "value_error",
                    format!("Value error, reviewed_data is nested deeper than {DEEPEST_DATA} levels"),
                );
            }
            let size = data.to_string().len();
            if size > LARGEST_DATA {
                report(
                    "reviewed_data",
                    "value_error",
                    format!("Value error, reviewed_data has {size} bytes; {LARGEST_DATA} are allowed"),
                );
            }
        }
    }
    problems
}

/// Levels of objects and lists; 0 for a plain value. Bodies nest at most 128 levels deep.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{ActionItem, depth, error_text, problems};

    fn item(message: &str, data: Value) -> ActionItem {
        ActionItem {
            node_exec_id: "x".to_owned(),
            approved: true,
            message: Some(message.to_owned()),
            reviewed_data: Some(data),
        }
    }

    #[test]
    fn what_is_too_much_is_named_with_its_place() {
        let deep = (0..11).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(depth(&deep), 11);
        let found = problems(&[
            item("fine", json!({"a": [1]})),
            item(&"x".repeat(2001), deep),
            item("", json!("y".repeat(1 << 20))),
        ]);
        let brief: Vec<Value> = found.iter().map(|problem| json!([problem.kind, problem.loc])).collect();
        assert_eq!(
            Value::from(brief),
            json!([
                ["string_too_long", ["body", "reviews", 1, "message"]],
                ["value_error", ["body", "reviews", 1, "reviewed_data"]],
                ["value_error", ["body", "reviews", 2, "reviewed_data"]],
            ])
        );
        assert_eq!(problems(&[]).len(), 1);
    }

    #[test]
    fn the_error_names_the_first_reasons() {
        assert_eq!(error_text(&[]), None);
        let reasons: Vec<String> = (0..7).map(|number| number.to_string()).collect();
        assert_eq!(error_text(&reasons).as_deref(), Some("0; 1; 2; 3; 4; and 2 more"));
    }
}
