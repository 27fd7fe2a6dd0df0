//! The user's own record (rest.md §1 area 1).

use axum::Json;
use axum::extract::State;
use indexmap::IndexMap;
use model::notification::{NotificationPreference, NotificationType};
use model::user::User;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::Store;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Mails, is_email};
use crate::openapi::schemas;
use crate::state::AppState;
use crate::users::{CurrentUser, Users};
use crate::wire::body::Shaped;
use crate::wire::shape::{Field, Problem, Shape};
use crate::wire::{ApiError, ApiResult, JsonBody};

#[derive(Debug, Serialize, Deserialize)]
pub struct Timezone {
    /// An IANA name; `not-set` in an answer.
    pub timezone: String,
}

impl Shaped for Timezone {
    const SHAPE: Shape = Shape::Model(&[Field::required("timezone", Shape::Text)]);
}

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(get_or_create))
        .routes(routes!(get_timezone, set_timezone))
        .routes(routes!(set_email))
        .routes(routes!(get_preferences, set_preferences))
}

#[utoipa::path(
    post, path = "/api/auth/user",
    operation_id = "postV1Get or create user", tags = ["v1", "auth"],
    responses((status = 200, body = Value)),
)]
pub async fn get_or_create(user: CurrentUser, State(users): State<Users>) -> ApiResult<Json<User>> {
    users.get_or_create(&user).await.map(Json)
}

#[utoipa::path(
    get, path = "/api/auth/user/timezone",
    operation_id = "getV1Get user timezone", tags = ["v1", "auth"],
    responses((status = 200, body = schemas::TimezoneResponse)),
)]
pub async fn get_timezone(user: CurrentUser, State(users): State<Users>) -> ApiResult<Json<Timezone>> {
    let timezone = users.get_or_create(&user).await?.timezone;
    Ok(Json(Timezone { timezone }))
}

#[utoipa::path(
    post, path = "/api/auth/user/timezone",
    operation_id = "postV1Update user timezone", tags = ["v1", "auth"],
    request_body = schemas::UpdateTimezoneRequest,
    responses((status = 200, body = schemas::TimezoneResponse)),
)]
pub async fn set_timezone(user: CurrentUser, State(store): State<Store>, JsonBody(body): JsonBody<Timezone>) -> ApiResult<Json<Timezone>> {
    if body.timezone.parse::<chrono_tz::Tz>().is_err() {
        let message = "Input should be the name of a time zone, such as 'Europe/Berlin'";
        let problem = Problem::new("literal_error", &["body", "timezone"], message, Value::from(body.timezone));
        return Err(problem.with_context(json!({ "expected": "an IANA time zone" })).into());
    }
    store.set_user_timezone(user.id, &body.timezone).await?;
    Ok(Json(body))
}

/// The body of a change of address: a bare text.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Email(String);

impl Shaped for Email {
    const SHAPE: Shape = Shape::Text;
    const STORED: bool = true;
}

#[utoipa::path(
    post, path = "/api/auth/user/email",
    operation_id = "postV1Update user email", tags = ["v1", "auth"],
    request_body(content = String, content_type = "application/json"),
    responses((status = 200, body = HashMap<String, String>)),
)]
pub async fn set_email(
    user: CurrentUser,
    State(store): State<Store>,
    State(mails): State<Option<Mails>>,
    JsonBody(Email(email)): JsonBody<Email>,
) -> ApiResult<Json<Value>> {
    let email = change_email(&store, mails.as_ref(), &user, &email, &["body"]).await?;
    Ok(Json(json!({ "email": email })))
}

#[utoipa::path(
    get, path = "/api/auth/user/preferences",
    operation_id = "getV1Get notification preferences", tags = ["v1", "auth"],
    responses((status = 200, body = schemas::NotificationPreference)),
)]
pub async fn get_preferences(user: CurrentUser, State(store): State<Store>) -> ApiResult<Json<NotificationPreference>> {
    let preference = store.get_notification_preference(user.id).await?;
    preference.map(Json).ok_or_else(|| ApiError::not_found("User not found"))
}

#[derive(Debug, Deserialize)]
pub struct Preferences {
    email: String,
    preferences: IndexMap<String, bool>,
    daily_limit: i32,
}

impl Shaped for Preferences {
    const SHAPE: Shape = Shape::Model(&[
        Field::required("email", Shape::Text),
        Field::required("preferences", Shape::MapOf(&Shape::Flag)),
        Field::required("daily_limit", Shape::Integer),
    ]);
    const STORED: bool = true;
}

/// Also changes the address (rest.md §1 area 1).
#[utoipa::path(
    post, path = "/api/auth/user/preferences",
    operation_id = "postV1Update notification preferences", tags = ["v1", "auth"],
    request_body = schemas::NotificationPreferenceDTO,
    responses((status = 200, body = schemas::NotificationPreference)),
)]
pub async fn set_preferences(
    user: CurrentUser,
    State(store): State<Store>,
    State(mails): State<Option<Mails>>,
    JsonBody(body): JsonBody<Preferences>,
) -> ApiResult<Json<NotificationPreference>> {
    let mut switches = IndexMap::new();
    for (word, wanted) in body.preferences {
        let kind: NotificationType = serde_json::from_value(Value::from(word.as_str())).map_err(|_| {
            let message = "Input should be a type of notification, such as 'AGENT_RUN'";
            Problem::new("enum", &["body", "preferences", &word, "[key]"], message, Value::from(word.as_str()))
        })?;
        switches.insert(kind, wanted);
    }
    if body.daily_limit < 0 {
        let message = "Input should be greater than or equal to 0";
        return Err(Problem::new("greater_than_equal", &["body", "daily_limit"], message, Value::from(body.daily_limit)).into());
    }
    change_email(&store, mails.as_ref(), &user, &body.email, &["body", "email"]).await?;
    store.set_notification_preference(user.id, &switches, body.daily_limit).await?;
    get_preferences(user, State(store)).await
}

/// The address in its stored form. People log in with it where there is an account of the embedded auth service, so then its former
/// address is told.
async fn change_email(store: &Store, mails: Option<&Mails>, user: &CurrentUser, email: &str, place: &[&str]) -> ApiResult<String> {
    let given = email.trim().to_lowercase();
    if !is_email(&given) {
        let message = "value is not a valid email address";
        return Err(Problem::new("value_error", place, message, Value::from(email)).into());
    }
    let known = store.account_of_token(user.id, None).await?.map(|(account, _)| account);
    if known.as_ref().is_some_and(|known| known.email == given) {
        return Ok(given);
    }
    if !store.set_user_email(user.id, &given).await? {
        return Err(ApiError::value(format!("Another user has the e-mail address {given}")));
    }
    if let (Some(mails), Some(former)) = (mails, known.filter(|known| known.password_hash.is_some())) {
        mails.address_changed(&former, &given);
    }
    Ok(given)
}
