//! The chat: conversations with the model that the operator of the platform has configured (rest.md §1 area 15, §2.8).
//!
//! It has no tools. The model is told which agents the user has, and answers in text.

use std::collections::VecDeque;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use futures::stream::unfold;
use http::StatusCode;
use model::library::LibrarySort;
use model::{Timestamp, UserId};
use outside::{Message, Speech};
use serde_json::{Value, json};
use store::{ChatMessage, ChatSession, Said, Store};
use tokio::sync::OwnedSemaphorePermit;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::absent;
use crate::assistant::{Assistant, NoAnswer};
use crate::openapi::schemas;
use crate::state::AppState;
use crate::users::CurrentUser;
use crate::wire::shape::Problem;
use crate::wire::{ApiError, ApiResult, Parameters, id};

/// Characters of a message.
const LONGEST_MESSAGE: usize = 10_000;
/// Messages of a session.
const MOST_MESSAGES: i32 = 400;
/// Sessions of a user; the oldest go.
const MOST_SESSIONS: i64 = 100;
/// Messages that the model is reminded of.
const REMEMBERED: i64 = 40;
/// Agents that the model is told of.
const AGENTS_TOLD: i64 = 50;
/// Characters of an agent's description that the model is told.
const DESCRIPTION_TOLD: usize = 200;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(begin))
        .routes(routes!(get))
        .routes(routes!(stream))
        .routes(routes!(assign))
        .routes(routes!(health))
}

/// The assistant, when there is one.
fn configured(assistant: Option<Assistant>) -> ApiResult<Assistant> {
    assistant.ok_or_else(|| absent::not_here(absent::NO_MODEL))
}

#[utoipa::path(
    post, path = "/api/chat/sessions",
    operation_id = "postV2CreateSession", tags = ["v2", "chat", "chat"],
    responses((status = 200, body = schemas::CreateSessionResponse), (status = 501)),
)]
pub async fn begin(user: CurrentUser, State(assistant): State<Option<Assistant>>, State(store): State<Store>) -> ApiResult<Json<Value>> {
    configured(assistant)?;
    let session = store.begin_chat(user.id, MOST_SESSIONS).await?;
    Ok(Json(
        json!({ "id": session.id, "created_at": session.created_at, "user_id": session.user_id }),
    ))
}

#[utoipa::path(
    get, path = "/api/chat/sessions/{session_id}",
    operation_id = "getV2GetSession", tags = ["v2", "chat", "chat"],
    params(("session_id" = String, Path)),
    responses((status = 200, body = schemas::SessionDetailResponse), (status = 501)),
)]
pub async fn get(
    user: CurrentUser,
    State(assistant): State<Option<Assistant>>,
    State(store): State<Store>,
    Path(session_id): Path<String>,
) -> ApiResult<Json<Value>> {
    configured(assistant)?;
    let session = find(&store, user.id, &session_id).await?;
    let messages = store.chat_messages(user.id, session.id, i64::from(MOST_MESSAGES)).await?;
    let messages: Vec<Value> = messages
        .into_iter()
        .map(|message| json!({ "role": message.role, "content": message.content }))
        .collect();
    Ok(Json(json!({
        "id": session.id,
        "created_at": session.created_at,
        "updated_at": session.updated_at,
        "user_id": session.user_id,
        "messages": messages,
    })))
}

/// The query of a message, for documentation.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)] // only its description is used
struct MessageQuery {
    #[param(min_length = 1, max_length = 10000)]
    message: String,
    #[param(default = true)]
    is_user_message: Option<bool>,
}

/// Takes a message and answers it while the model speaks.
#[utoipa::path(
    get, path = "/api/chat/sessions/{session_id}/stream",
    operation_id = "getV2StreamChat", tags = ["v2", "chat", "chat"],
    params(("session_id" = String, Path), MessageQuery),
    responses((status = 200, body = Value, content_type = "text/event-stream"), (status = 501)),
)]
pub async fn stream(
    user: CurrentUser,
    State(assistant): State<Option<Assistant>>,
    State(store): State<Store>,
    Path(session_id): Path<String>,
    parameters: Parameters,
) -> ApiResult<Response> {
    let assistant = configured(assistant)?;
    let mut message = Value::from(message_of(&parameters)?);
    store::make_storable(&mut message);
    let message = message.as_str().unwrap_or_default();
    let role = match parameters.text("is_user_message") {
        Some(_) if !parameters.flag("is_user_message")? => "assistant",
        _ => "user",
    };
    let session = find(&store, user.id, &session_id).await?;
    match store.say_in_chat(user.id, session.id, role, message, MOST_MESSAGES - 1).await? {
        Said::Kept => {}
        Said::NoSession => return Err(missing(&session_id)),
        Said::Full => {
            let text = format!("Chat session #{session_id} has {MOST_MESSAGES} messages: begin another one");
            return Err(ApiError::value(text));
        }
    }
    let asked = conversation(&store, user.id, session.id).await?;
    let turn = Turn {
        store,
        assistant,
        user_id: user.id,
        session_id: session.id,
        stage: Stage::Asking(asked),
        ready: VecDeque::new(),
    };
    Ok(Sse::new(turn.frames()).keep_alive(KeepAlive::default()).into_response())
}

/// Sessions are their users' from the beginning: nothing is left to be done.
#[utoipa::path(
    patch, path = "/api/chat/sessions/{session_id}/assign-user",
    operation_id = "patchV2SessionAssignUser", tags = ["v2", "chat", "chat"],
    params(("session_id" = String, Path)),
    responses((status = 200, body = HashMap<String, Value>), (status = 501)),
)]
pub async fn assign(
    user: CurrentUser,
    State(assistant): State<Option<Assistant>>,
    State(store): State<Store>,
    Path(session_id): Path<String>,
) -> ApiResult<Json<Value>> {
    configured(assistant)?;
    find(&store, user.id, &session_id).await?;
    Ok(Json(json!({ "status": "ok" })))
}

/// Whether there is a chat. The model is not asked.
#[utoipa::path(
    get, path = "/api/chat/health",
    operation_id = "getV2HealthCheck", tags = ["v2", "chat", "chat"],
    security(()),
    responses((status = 200, body = HashMap<String, Value>), (status = 501)),
)]
pub async fn health(State(assistant): State<Option<Assistant>>) -> ApiResult<Json<Value>> {
    configured(assistant)?;
    Ok(Json(json!({ "status": "healthy" })))
}

fn message_of(parameters: &Parameters) -> ApiResult<&str> {
    let place = ["query", "message"];
    let Some(message) = parameters.text("message") else {
        return Err(Problem::new("missing", &place, "Field required", Value::Null).into());
    };
    if message.is_empty() {
        let problem = Problem::new("string_too_short", &place, "String should have at least 1 character", json!(""));
        return Err(problem.with_context(json!({ "min_length": 1 })).into());
    }
    if message.chars().count() > LONGEST_MESSAGE {
        let msg = format!("String should have at most {LONGEST_MESSAGE} characters");
        let problem = Problem::new("string_too_long", &place, msg, json!("…"));
        return Err(problem.with_context(json!({ "max_length": LONGEST_MESSAGE })).into());
    }
    Ok(message)
}

async fn find(store: &Store, user_id: UserId, session_id: &str) -> ApiResult<ChatSession> {
    let found = match id(session_id) {
        Some(id) => store.get_chat(user_id, id).await?,
        None => None,
    };
    found.ok_or_else(|| missing(session_id))
}

fn missing(session_id: &str) -> ApiError {
    ApiError::Generic(StatusCode::NOT_FOUND, format!("Chat session #{session_id} not found"))
}

/// What the model is told: its part, the user's agents, and the newest messages.
async fn conversation(store: &Store, user_id: UserId, session_id: Uuid) -> ApiResult<Vec<Message>> {
    let library = store.library_page(user_id, None, LibrarySort::UpdatedAt, 1, AGENTS_TOLD).await?;
    let agents = library.agents.iter().map(|agent| {
        let description: String = agent.description.chars().take(DESCRIPTION_TOLD).collect();
        format!("- {}: {description}", agent.name)
    });
    let agents: Vec<String> = agents.collect();
    let agents = if agents.is_empty() {
        "The user has no agents yet.".to_owned()
    } else {
        format!("The user's agents:\n{}", agents.join("\n"))
    };
    let part = format!(
        "You are the assistant of the AutoGPT Platform, where people build agents out of blocks and run them. You cannot do anything on the \
         platform yourself: say where to do it (Build, Library, Marketplace). {agents}"
    );
    let messages = store.chat_messages(user_id, session_id, REMEMBERED).await?;
    let told = messages.into_iter().map(|ChatMessage { role, content }| Message { role, content });
    let first = Message {
        role: "system".to_owned(),
        content: part,
    };
    Ok(std::iter::once(first).chain(told).collect())
}

/// One answer on its way to the user.
struct Turn {
    store: Store,
    assistant: Assistant,
    user_id: UserId,
    session_id: Uuid,
    stage: Stage,
    /// Frames to be sent before anything else is done.
    ready: VecDeque<Value>,
}

enum Stage {
    Asking(Vec<Message>),
    Speaking(Box<Speech>, OwnedSemaphorePermit),
    Over,
}

impl Turn {
    fn frames(self) -> impl Stream<Item = Result<Event, axum::Error>> {
        unfold(self, async |mut turn| {
            let frame = turn.next().await?;
            Some((Ok(Event::default().data(frame.to_string())), turn))
        })
    }

    /// The next frame; none after `stream_end`. Who stops listening stops the model.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(mut frame) = self.ready.pop_front() {
                frame["timestamp"] = json!(Timestamp::now());
                return Some(frame);
            }
            self.stage = match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Over => return None,
                Stage::Asking(messages) => match self.assistant.speak(&messages).await {
                    Ok((speech, place)) => Stage::Speaking(Box::new(speech), place),
                    Err(error) => self.fail(&error),
                },
                Stage::Speaking(mut speech, place) => match speech.next().await {
                    Ok(Some(piece)) => {
                        self.ready.push_back(json!({ "type": "text_chunk", "content": piece }));
                        Stage::Speaking(speech, place)
                    }
                    Ok(None) => self.finish(&speech).await,
                    Err(error) => self.fail(&error.into()),
                },
            };
        }
    }

    /// Keeps the answer before the user is told that it is complete.
    async fn finish(&mut self, speech: &Speech) -> Stage {
        let said = speech.said();
        let mut text = Value::from(said.text.as_str());
        store::make_storable(&mut text);
        let text = text.as_str().unwrap_or_default();
        let kept = match text {
            "" => Ok(Said::Kept),
            text => {
                self.store
                    .say_in_chat(self.user_id, self.session_id, "assistant", text, MOST_MESSAGES)
                    .await
            }
        };
        if let Err(error) = kept {
            tracing::error!(session_id = %self.session_id, %error, "an answer of the chat was not kept");
            self.ready
                .push_back(json!({ "type": "error", "message": "The answer could not be kept" }));
        }
        let usage = said.usage;
        self.ready.extend([
            json!({ "type": "text_ended" }),
            json!({
                "type": "usage",
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.completion_tokens,
                "total_tokens": usage.prompt_tokens + usage.completion_tokens,
            }),
            json!({ "type": "stream_end" }),
        ]);
        Stage::Over
    }

    fn fail(&mut self, error: &NoAnswer) -> Stage {
        tracing::warn!(session_id = %self.session_id, %error, "the chat has no answer");
        self.ready.extend([
            json!({ "type": "error", "message": format!("There is no answer: {error}") }),
            json!({ "type": "stream_end" }),
        ]);
        Stage::Over
    }
}
