//! What administrators see of the users (rest.md §1 area 13).

use auth::AdminUser;
use axum::Json;
use axum::extract::State;
use model::user::User;
use model::{Pagination, Timestamp, UserId};
use serde::Serialize;
use store::Store;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::openapi::schemas;
use crate::state::AppState;
use crate::wire::{ApiResult, Page, Parameters};

const DEFAULT_SIZE: i64 = 20;

#[derive(Debug, Serialize)]
pub struct Users {
    users: Vec<Summary>,
    pagination: Pagination,
}

#[derive(Debug, Serialize)]
struct Summary {
    id: UserId,
    email: String,
    name: Option<String>,
    email_verified: bool,
    timezone: String,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<User> for Summary {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            email: user.email,
            name: user.name,
            email_verified: user.email_verified,
            timezone: user.timezone,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

/// The query, for documentation.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)] // only its description is used
struct UsersQuery {
    search: Option<String>,
    #[param(default = 1)]
    page: Option<i64>,
    #[param(default = 20)]
    page_size: Option<i64>,
}

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(users))
}

/// Newest first. The contract's document has this path; the frontend calls the same without the second `admin` (rest.md trap 17).
#[utoipa::path(
    get, path = "/api/admin/admin/users",
    operation_id = "getV2List users", tags = ["v2", "admin", "admin", "users"],
    params(UsersQuery),
    responses((status = 200, body = schemas::AdminUsersResponse)),
)]
pub async fn users(_admin: AdminUser, State(store): State<Store>, parameters: Parameters) -> ApiResult<Json<Users>> {
    let page = Page::of(&parameters, DEFAULT_SIZE)?;
    let (users, total) = store.list_users(parameters.given("search"), page.size, page.offset()).await?;
    Ok(Json(Users {
        users: users.into_iter().map(Summary::from).collect(),
        pagination: page.of_total(total),
    }))
}
