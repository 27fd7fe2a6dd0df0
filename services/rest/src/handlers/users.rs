//! The user's own record (rest.md §1 area 1).

use axum::Json;
use axum::extract::State;
use model::user::User;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::Store;

use crate::users::{CurrentUser, Users};
use crate::wire::body::Shaped;
use crate::wire::shape::{Field, Problem, Shape};
use crate::wire::{ApiResult, JsonBody};

#[derive(Debug, Serialize, Deserialize)]
pub struct Timezone {
    /// An IANA name; `not-set` in an answer.
    pub timezone: String,
}

impl Shaped for Timezone {
    const SHAPE: Shape = Shape::Model(&[Field::required("timezone", Shape::Text)]);
}

pub async fn get_or_create(user: CurrentUser, State(users): State<Users>) -> ApiResult<Json<User>> {
    users.get_or_create(&user).await.map(Json)
}

pub async fn get_timezone(user: CurrentUser, State(users): State<Users>) -> ApiResult<Json<Timezone>> {
    let timezone = users.get_or_create(&user).await?.timezone;
    Ok(Json(Timezone { timezone }))
}

pub async fn set_timezone(user: CurrentUser, State(store): State<Store>, JsonBody(body): JsonBody<Timezone>) -> ApiResult<Json<Timezone>> {
    if body.timezone.parse::<chrono_tz::Tz>().is_err() {
        let message = "Input should be the name of a time zone, such as 'Europe/Berlin'";
        let problem = Problem::new("literal_error", &["body", "timezone"], message, Value::from(body.timezone));
        return Err(problem.with_context(json!({ "expected": "an IANA time zone" })).into());
    }
    store.set_user_timezone(user.id, &body.timezone).await?;
    Ok(Json(body))
}
