//! Credits: the balance, the ledger, and what administrators add (rest.md §1 areas 10 and 13).
//!
//! Nothing here takes money: the operations that need a payment provider are among those that are not there (`absent`).

use auth::AdminUser;
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use indexmap::IndexMap;
use model::{Pagination, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{HistoryFilter, LedgerEntry, Store};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::openapi::schemas;
use crate::state::AppState;
use crate::users::CurrentUser;
use crate::wire::body::Shaped;
use crate::wire::shape::{Field, Problem, Shape};
use crate::wire::{ApiError, ApiResult, JsonBody, Page, Parameters, id};

const KINDS: [&str; 5] = ["TOP_UP", "USAGE", "GRANT", "REFUND", "CARD_CHECK"];
const USAGE: &str = "USAGE";
/// What an entry without a run says about the run's beginning.
const NEVER: &str = "9999-12-31T23:59:59.999999Z";
/// Entries of one answer.
const MOST_ENTRIES: i64 = 1000;
const DEFAULT_ENTRIES: i64 = 100;
const DEFAULT_SIZE: i64 = 20;
/// The smallest amount that may be topped up, in credits.
const LEAST_TOP_UP: i64 = 500;

/// An entry of the ledger, or all that one run has cost.
#[derive(Debug, Serialize)]
pub struct Transaction {
    transaction_key: String,
    transaction_time: Timestamp,
    transaction_type: String,
    amount: i64,
    running_balance: i32,
    current_balance: i32,
    description: Option<String>,
    usage_graph_id: Option<String>,
    usage_execution_id: Option<String>,
    usage_node_count: i64,
    usage_start_time: String,
    user_id: UserId,
    user_email: Option<String>,
    reason: Option<String>,
    admin_email: Option<String>,
    extra_data: Option<String>,
}

impl From<LedgerEntry> for Transaction {
    fn from(entry: LedgerEntry) -> Self {
        let said = |key: &str| entry.metadata.get(key).and_then(Value::as_str).map(str::to_owned);
        let is_usage = entry.kind == USAGE;
        let run = said("graph_exec_id").filter(|_| is_usage);
        Self {
            description: run.as_ref().map(|run| format!("Run #{run}")).or_else(|| said("reason")),
            usage_graph_id: said("graph_id").filter(|_| is_usage),
            usage_node_count: i64::from(run.is_some()),
            usage_start_time: if run.is_some() { entry.time.to_string() } else { NEVER.to_owned() },
            usage_execution_id: run,
            reason: said("reason"),
            admin_email: said("admin_email"),
            extra_data: said("comments"),
            transaction_key: entry.transaction_key,
            transaction_time: entry.time,
            transaction_type: entry.kind,
            amount: i64::from(entry.amount),
            running_balance: entry.running_balance,
            current_balance: entry.current_balance,
            user_id: entry.user_id,
            user_email: Some(entry.user_email),
        }
    }
}

/// The charges of a run become one; newest first, as they come.
fn by_run(entries: Vec<LedgerEntry>) -> Vec<Transaction> {
    let mut grouped: IndexMap<String, Transaction> = IndexMap::new();
    for transaction in entries.into_iter().map(Transaction::from) {
        let key = transaction
            .usage_execution_id
            .clone()
            .unwrap_or_else(|| transaction.transaction_key.clone());
        match grouped.get_mut(&key) {
            Some(known) => {
                known.amount += transaction.amount;
                known.usage_node_count += transaction.usage_node_count;
                known.usage_start_time = transaction.usage_start_time;
            }
            None => {
                grouped.insert(key, transaction);
            }
        }
    }
    grouped.into_values().collect()
}

#[derive(Debug, Serialize)]
pub struct History {
    transactions: Vec<Transaction>,
    next_transaction_time: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
pub struct UsersHistory {
    history: Vec<Transaction>,
    pagination: Pagination,
}

/// Below which balance how much is to be topped up. Zeros: not at all.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AutoTopUp {
    amount: i64,
    threshold: i64,
}

impl Shaped for AutoTopUp {
    const SHAPE: Shape = Shape::Model(&[Field::required("amount", Shape::Integer), Field::required("threshold", Shape::Integer)]);
}

#[derive(Debug, Deserialize)]
pub struct Gift {
    user_id: String,
    amount: i32,
    comments: String,
}

impl Shaped for Gift {
    const SHAPE: Shape = Shape::Model(&[
        Field::required("user_id", Shape::Text),
        Field::required("amount", Shape::Integer),
        Field::required("comments", Shape::Text),
    ]);
    const STORED: bool = true;
}

#[derive(Debug, Serialize)]
pub struct Given {
    new_balance: i64,
    transaction_key: String,
}

/// The query of the history, for documentation.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)] // only its description is used
struct HistoryQuery {
    #[param(value_type = Option<String>, format = DateTime)]
    transaction_time: Option<String>,
    transaction_type: Option<String>,
    #[param(default = 100)]
    transaction_count_limit: Option<i64>,
}

/// The query of everybody's history, for documentation.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)] // only its description is used
struct UsersHistoryQuery {
    search: Option<String>,
    #[param(default = 1)]
    page: Option<i64>,
    #[param(default = 20)]
    page_size: Option<i64>,
}

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(balance))
        .routes(routes!(transactions))
        .routes(routes!(refunds))
        .routes(routes!(auto_top_up, set_auto_top_up))
        .routes(routes!(add_credits))
        .routes(routes!(users_history))
}

#[utoipa::path(
    get, path = "/api/credits",
    operation_id = "getV1Get user credits", tags = ["v1", "credits"],
    responses((status = 200, body = HashMap<String, i64>)),
)]
pub async fn balance(user: CurrentUser, State(store): State<Store>) -> ApiResult<Json<Value>> {
    Ok(Json(json!({ "credits": store.get_credits(user.id).await? })))
}

/// Newest first. The next page begins before `next_transaction_time`.
#[utoipa::path(
    get, path = "/api/credits/transactions",
    operation_id = "getV1Get credit history", tags = ["v1", "credits"],
    params(HistoryQuery),
    responses((status = 200, body = schemas::TransactionHistory)),
)]
pub async fn transactions(user: CurrentUser, State(store): State<Store>, parameters: Parameters) -> ApiResult<Json<History>> {
    let limit = parameters.integer("transaction_count_limit")?.unwrap_or(DEFAULT_ENTRIES);
    if !(1..=MOST_ENTRIES).contains(&limit) {
        return Err(ApiError::value(format!("Transaction count limit must be between 1 and {MOST_ENTRIES}")));
    }
    let before = parameters.instant("transaction_time")?;
    let kind = parameters.one_of("transaction_type", &KINDS)?;
    let entries = if store.keeps_credits() {
        store.credit_history(user.id, before, kind, limit).await?
    } else {
        Vec::new()
    };
    let is_full = i64::try_from(entries.len()).is_ok_and(|length| length >= limit);
    Ok(Json(History {
        next_transaction_time: entries.last().filter(|_| is_full).map(|entry| entry.time),
        transactions: by_run(entries),
    }))
}

/// Money is given back where it was taken: without a payment provider nobody has asked for any.
#[utoipa::path(
    get, path = "/api/credits/refunds",
    operation_id = "getV1Get refund requests", tags = ["v1", "credits"],
    responses((status = 200, body = Vec<schemas::RefundRequest>)),
)]
pub async fn refunds(_user: CurrentUser) -> Json<Vec<Value>> {
    Json(Vec::new())
}

#[utoipa::path(
    get, path = "/api/credits/auto-top-up",
    operation_id = "getV1Get auto top up", tags = ["v1", "credits"],
    responses((status = 200, body = schemas::AutoTopUpConfig)),
)]
pub async fn auto_top_up(user: CurrentUser, State(store): State<Store>) -> ApiResult<Json<AutoTopUp>> {
    let stored = store.get_auto_top_up(user.id).await?;
    let config = stored.map(serde_json::from_value).transpose().map_err(ApiError::internal)?;
    Ok(Json(config.unwrap_or_default()))
}

/// Keeps the wish; a payment provider is needed to fulfil it.
#[utoipa::path(
    post, path = "/api/credits/auto-top-up",
    operation_id = "postV1Configure auto top up", tags = ["v1", "credits"],
    request_body = schemas::AutoTopUpConfig,
    responses((status = 200, body = String, content_type = "application/json")),
)]
pub async fn set_auto_top_up(user: CurrentUser, State(store): State<Store>, JsonBody(config): JsonBody<AutoTopUp>) -> ApiResult<Json<&'static str>> {
    let refuse = |text: &str| Err(ApiError::detail(StatusCode::UNPROCESSABLE_ENTITY, text));
    if config.threshold < 0 {
        return refuse("Threshold must be greater than or equal to 0");
    }
    if config.amount < LEAST_TOP_UP && config.amount != 0 {
        return refuse("Amount must be 0 (no top-up) or at least 500");
    }
    if config.amount != 0 && config.amount < config.threshold {
        return refuse("Amount must be greater than or equal to threshold");
    }
    store.set_auto_top_up(user.id, &json!(config)).await?;
    Ok(Json("Auto top-up settings updated"))
}

/// Gives credits to a user, or takes them with a negative amount.
#[utoipa::path(
    post, path = "/api/credits/admin/add_credits",
    operation_id = "postV2Add credits to user", tags = ["v2", "admin", "credits", "admin"],
    request_body = schemas::Body_postV2Add_credits_to_user,
    responses((status = 200, body = schemas::AddUserCreditsResponse)),
)]
pub async fn add_credits(AdminUser(admin): AdminUser, State(store): State<Store>, JsonBody(gift): JsonBody<Gift>) -> ApiResult<Json<Given>> {
    if !store.keeps_credits() {
        return Err(ApiError::value("Credits are disabled: set ENABLE_CREDIT to keep a ledger"));
    }
    let missing = || ApiError::Generic(StatusCode::NOT_FOUND, format!("User #{} not found", gift.user_id));
    let user_id = id(&gift.user_id).ok_or_else(missing)?;
    if gift.amount == 0 {
        let problem = Problem::new("value_error", &["body", "amount"], "Value error, an entry of 0 says nothing", json!(0));
        return Err(problem.into());
    }
    let transaction_key = format!("ADMIN-GRANT-{}", Uuid::new_v4());
    let metadata = json!({"reason": gift.comments, "admin_id": admin.id, "admin_email": admin.email});
    let booked = store.book_credits(user_id, &transaction_key, "GRANT", gift.amount, &metadata).await?;
    let new_balance = booked.ok_or_else(|| ApiError::value(format!("The balance is smaller than {}", gift.amount.unsigned_abs())))?;
    tracing::info!(%user_id, amount = gift.amount, admin = %admin.id, "an administrator changed a balance");
    Ok(Json(Given {
        new_balance,
        transaction_key,
    }))
}

#[utoipa::path(
    get, path = "/api/credits/admin/users_history",
    operation_id = "getV2Get all users history", tags = ["v2", "admin", "credits", "admin"],
    params(UsersHistoryQuery, ("transaction_filter" = Option<schemas::CreditTransactionType>, Query)),
    responses((status = 200, body = schemas::UserHistoryResponse)),
)]
pub async fn users_history(_admin: AdminUser, State(store): State<Store>, parameters: Parameters) -> ApiResult<Json<UsersHistory>> {
    let page = Page::of(&parameters, DEFAULT_SIZE)?;
    let filter = HistoryFilter {
        search: parameters.given("search"),
        kind: parameters.one_of("transaction_filter", &KINDS)?,
        limit: page.size,
        offset: page.offset(),
    };
    let (entries, total) = store.credit_history_of_all(&filter).await?;
    Ok(Json(UsersHistory {
        history: entries.into_iter().map(Transaction::from).collect(),
        pagination: page.of_total(total),
    }))
}
