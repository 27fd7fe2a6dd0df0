//! Otto: questions about the platform, answered by a service elsewhere (rest.md §1 area 15).

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use runtime::Settings;
use serde::Deserialize;
use serde_json::{Value, json};
use submit::Submitter;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::openapi::schemas;
use crate::partner::Partner;
use crate::state::AppState;
use crate::users::CurrentUser;
use crate::wire::body::Shaped;
use crate::wire::shape::{Field, Shape, check};
use crate::wire::{ApiError, ApiResult, JsonBody, id};
use crate::{absent, graph_json};

/// One question and its answer.
const TURN: Shape = Shape::Model(&[Field::required("query", Shape::Text), Field::required("response", Shape::Text)]);
const DOCUMENT: Shape = Shape::Model(&[Field::required("url", Shape::Text), Field::required("relevance_score", Shape::Any)]);
const ANSWER: Shape = Shape::Model(&[
    Field::required("answer", Shape::Text),
    Field::required("documents", Shape::List(&DOCUMENT)),
    Field::required("success", Shape::Flag),
]);

#[derive(Debug, Deserialize)]
pub struct Question {
    query: String,
    conversation_history: Value,
    message_id: String,
    #[serde(default)]
    include_graph_data: bool,
    #[serde(default)]
    graph_id: Option<String>,
}

impl Shaped for Question {
    const SHAPE: Shape = Shape::Model(&[
        Field::required("query", Shape::Text),
        Field::required("conversation_history", Shape::List(&TURN)),
        Field::required("message_id", Shape::Text),
        Field::optional("include_graph_data", Shape::Flag),
        Field::optional("graph_id", Shape::Nullable(&Shape::Text)),
    ]);
}

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(ask))
}

/// Passes the question on, with the caller's id and, when that is wanted, the graph in question as an export of it.
#[utoipa::path(
    post, path = "/api/otto/ask",
    operation_id = "postV2Proxy otto chat request", tags = ["v2", "otto"],
    request_body = schemas::ChatRequest,
    responses((status = 200, body = schemas::ApiResponse), (status = 501), (status = 502)),
)]
pub async fn ask(
    user: CurrentUser,
    State(settings): State<Settings>,
    State(submitter): State<Submitter>,
    State(partner): State<Partner>,
    body: Result<JsonBody<Question>, ApiError>,
) -> ApiResult<Json<Value>> {
    if settings.otto_api_url.is_empty() {
        return Err(absent::not_here(absent::NO_OTTO));
    }
    let JsonBody(question) = body?;
    let mut asked = json!({
        "query": question.query,
        "conversation_history": question.conversation_history,
        "message_id": question.message_id,
        "user_id": user.id,
    });
    let graph_id = question.graph_id.filter(|_| question.include_graph_data);
    if let Some(graph_id) = graph_id.as_deref().and_then(id)
        && let Some(graph) = submitter.get_graph(user.id, graph_id, None).await?
    {
        asked["graph_data"] = graph_json::export(&graph, submitter.catalog());
    }
    let request = partner.client().post(&settings.otto_api_url).json(&asked);
    let (status, answer) = partner.ask(request).await.map_err(failed)?;
    if !status.is_success() {
        return Err(failed(format_args!("it answered {status}")));
    }
    let answer = check(&ANSWER, answer, &["answer"]).map_err(|_| failed("its answer has not the form of one"))?;
    let mut documents = answer["documents"].as_array().into_iter().flatten();
    if documents.any(|document| !document["relevance_score"].is_number()) {
        return Err(failed("its answer has not the form of one"));
    }
    Ok(Json(answer))
}

/// 502 for whatever goes wrong elsewhere; the log says what.
fn failed(reason: impl std::fmt::Display) -> ApiError {
    tracing::warn!(%reason, "the Otto service gave no answer");
    ApiError::detail(StatusCode::BAD_GATEWAY, "The Otto service gave no answer: try again later")
}
