//! The menu of the new builder: the blocks of this build by category, kind and provider, and a search over them, the user's library and the
//! catalogue (rest.md §1 area 12).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use blocks::{BlockKind, Registry};
use model::catalogue::StoreAgent;
use model::library::LibraryAgent;
use model::{BlockId, Pagination};
use serde::Serialize;
use serde_json::{Value, json};
use store::{AgentFilter, LibraryFilter, Store};
use submit::Submitter;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::library;
use crate::openapi::schemas;
use crate::state::AppState;
use crate::users::CurrentUser;
use crate::wire::shape::Problem;
use crate::wire::{ApiError, ApiResult, Page, Parameters, id};

const DEFAULT_SIZE: i64 = 50;
/// Blocks that each category shows at first.
const SHOWN_BLOCKS: i64 = 3;
/// Blocks that are suggested.
const TOP_BLOCKS: i64 = 5;
/// Providers that are suggested.
const TOP_PROVIDERS: usize = 5;
/// Ids that one request may name.
const BATCH: usize = 1000;

/// The enabled blocks, as the menu asks for them. Made once.
pub struct Menu {
    /// By name.
    entries: Vec<Entry>,
}

struct Entry {
    id: BlockId,
    section: Section,
    categories: &'static [&'static str],
    /// Whose credentials it takes.
    providers: Vec<String>,
    /// Name and description in lower case.
    text: String,
    /// As `GET /api/blocks` shows it.
    info: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Input,
    Output,
    Action,
}

impl Menu {
    pub fn of(registry: &Registry) -> Self {
        let mut shown: BTreeMap<BlockId, Value> = BTreeMap::new();
        if let Value::Array(infos) = registry.api_list() {
            for info in infos {
                if let Some(id) = info["id"].as_str().and_then(id) {
                    shown.insert(id, info);
                }
            }
        }
        let entries = registry.iter().filter_map(|block| {
            let block = block.descriptor();
            let named = block.inputs.iter().filter_map(|pin| pin.schema.get("credentials_provider")?.as_array());
            let providers = named.flatten().filter_map(Value::as_str).map(str::to_owned);
            Some(Entry {
                id: block.id,
                section: match block.kind {
                    BlockKind::Input => Section::Input,
                    BlockKind::Output => Section::Output,
                    _ => Section::Action,
                },
                categories: block.categories,
                providers: providers.collect(),
                text: format!("{} {}", block.name, block.description).to_lowercase(),
                info: shown.remove(&block.id)?,
            })
        });
        let mut entries: Vec<Entry> = entries.collect();
        entries.sort_by(|one, other| one.text.cmp(&other.text));
        Self { entries }
    }

    /// `provider → blocks that take its credentials`.
    fn providers(&self) -> BTreeMap<&str, i64> {
        let mut providers = BTreeMap::new();
        for provider in self.entries.iter().flat_map(|entry| &entry.providers) {
            *providers.entry(provider.as_str()).or_default() += 1;
        }
        providers
    }

    fn count(&self, section: Section) -> usize {
        self.entries.iter().filter(|entry| entry.section == section).count()
    }

    fn info(&self, id: BlockId) -> Option<&Value> {
        self.entries.iter().find(|entry| entry.id == id).map(|entry| &entry.info)
    }
}

#[derive(Debug, Serialize)]
pub struct Suggestions {
    otto_suggestions: [&'static str; 0],
    recent_searches: [&'static str; 0],
    providers: Vec<String>,
    top_blocks: Vec<Value>,
}

#[derive(Debug, Serialize)]
pub struct Category {
    name: &'static str,
    total_blocks: usize,
    blocks: Vec<Value>,
}

#[derive(Debug, Serialize)]
pub struct Blocks {
    blocks: Vec<Value>,
    pagination: Pagination,
}

#[derive(Debug, Serialize)]
pub struct Provider {
    name: String,
    description: String,
    integration_count: i64,
}

#[derive(Debug, Serialize)]
pub struct Providers {
    providers: Vec<Provider>,
    pagination: Pagination,
}

#[derive(Debug, Serialize)]
pub struct Counts {
    all_blocks: usize,
    input_blocks: usize,
    action_blocks: usize,
    output_blocks: usize,
    integrations: usize,
    marketplace_agents: i64,
    my_agents: i64,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Item {
    Block(Value),
    Library(Box<LibraryAgent>),
    Store(StoreAgent),
}

#[derive(Debug, Serialize)]
pub struct Found {
    items: Vec<Item>,
    total_items: Totals,
    page: i64,
    more_pages: bool,
}

#[derive(Debug, Serialize)]
struct Totals {
    blocks: i64,
    integrations: i64,
    marketplace_agents: i64,
    my_agents: i64,
}

/// The query of the categories, for documentation.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)] // only its description is used
struct CategoriesQuery {
    #[param(default = 3)]
    blocks_per_category: Option<i64>,
}

/// The query of the list of blocks, for documentation.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)] // only its description is used
struct BlocksQuery {
    category: Option<String>,
    #[param(inline)]
    r#type: Option<SectionName>,
    provider: Option<String>,
    #[param(default = 1)]
    page: Option<i64>,
    #[param(default = 50)]
    page_size: Option<i64>,
}

#[derive(utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code)] // only its description is used
enum SectionName {
    All,
    Input,
    Action,
    Output,
}

/// The query of the list of providers, for documentation.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)] // only its description is used
struct ProvidersQuery {
    #[param(default = 1)]
    page: Option<i64>,
    #[param(default = 50)]
    page_size: Option<i64>,
}

/// The query of the search, for documentation.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)] // only its description is used
struct SearchQuery {
    search_query: Option<String>,
    filter: Option<Vec<String>>,
    search_id: Option<String>,
    by_creator: Option<Vec<String>>,
    #[param(default = 1)]
    page: Option<i64>,
    #[param(default = 50)]
    page_size: Option<i64>,
}

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(suggestions))
        .routes(routes!(categories))
        .routes(routes!(list))
        .routes(routes!(batch))
        .routes(routes!(providers))
        .routes(routes!(search))
        .routes(routes!(counts))
}

/// The blocks that the user's own graphs have most often. Searches are not remembered, and there is no chat to suggest questions to.
#[utoipa::path(
    get, path = "/api/builder/suggestions",
    operation_id = "getV2Get builder suggestions", tags = ["v2"],
    responses((status = 200, body = schemas::SuggestionsResponse)),
)]
pub async fn suggestions(user: CurrentUser, State(store): State<Store>, State(menu): State<Arc<Menu>>) -> ApiResult<Json<Suggestions>> {
    let used = store.most_used_blocks(user.id, TOP_BLOCKS).await?;
    let mut providers: Vec<(&str, i64)> = menu.providers().into_iter().collect();
    providers.sort_by_key(|(_, blocks)| std::cmp::Reverse(*blocks));
    Ok(Json(Suggestions {
        otto_suggestions: [],
        recent_searches: [],
        providers: providers.into_iter().take(TOP_PROVIDERS).map(|(name, _)| name.to_owned()).collect(),
        top_blocks: used.into_iter().filter_map(|id| menu.info(id).cloned()).collect(),
    }))
}

#[utoipa::path(
    get, path = "/api/builder/categories",
    operation_id = "getV2Get builder block categories", tags = ["v2"],
    params(CategoriesQuery),
    responses((status = 200, body = Vec<schemas::BlockCategoryResponse>)),
)]
pub async fn categories(_user: CurrentUser, State(menu): State<Arc<Menu>>, parameters: Parameters) -> ApiResult<Json<Vec<Category>>> {
    let shown = parameters.integer_in("blocks_per_category", 0..=i64::MAX, SHOWN_BLOCKS)?;
    let shown = usize::try_from(shown).unwrap_or(usize::MAX);
    let mut categories: BTreeMap<&'static str, Category> = BTreeMap::new();
    for entry in &menu.entries {
        for name in entry.categories {
            let category = categories.entry(name).or_insert_with(|| Category {
                name,
                total_blocks: 0,
                blocks: Vec::new(),
            });
            category.total_blocks += 1;
            if category.blocks.len() < shown {
                category.blocks.push(entry.info.clone());
            }
        }
    }
    Ok(Json(categories.into_values().collect()))
}

/// Of one category, one section or one provider.
#[utoipa::path(
    get, path = "/api/builder/blocks",
    operation_id = "getV2Get builder blocks", tags = ["v2"],
    params(BlocksQuery),
    responses((status = 200, body = schemas::BlockResponse)),
)]
pub async fn list(_user: CurrentUser, State(menu): State<Arc<Menu>>, parameters: Parameters) -> ApiResult<Json<Blocks>> {
    let page = Page::of(&parameters, DEFAULT_SIZE)?;
    let (category, provider) = (parameters.given("category"), parameters.given("provider"));
    let kind = parameters.one_of("type", &["all", "input", "action", "output"])?;
    if [category, kind, provider].into_iter().flatten().count() > 1 {
        return Err(ApiError::detail(
            http::StatusCode::BAD_REQUEST,
            "Give one of category, type and provider, not several",
        ));
    }
    let section = match kind {
        Some("input") => Some(Section::Input),
        Some("output") => Some(Section::Output),
        Some("action") => Some(Section::Action),
        _ => None,
    };
    let wanted = menu.entries.iter().filter(|entry| {
        section.is_none_or(|section| entry.section == section)
            && category.is_none_or(|category| entry.categories.iter().any(|name| name.eq_ignore_ascii_case(category)))
            && provider.is_none_or(|provider| entry.providers.iter().any(|name| name == provider))
    });
    let wanted: Vec<&Entry> = wanted.collect();
    Ok(Json(Blocks {
        blocks: window(&wanted, page).iter().map(|entry| entry.info.clone()).collect(),
        pagination: page.of_total(length(&wanted)),
    }))
}

/// The blocks of these ids, in their order; what is no block is left out.
#[utoipa::path(
    get, path = "/api/builder/blocks/batch",
    operation_id = "getV2Get specific blocks", tags = ["v2"],
    params(("block_ids" = Vec<String>, Query)),
    responses((status = 200, body = Vec<schemas::BlockInfo>)),
)]
pub async fn batch(_user: CurrentUser, State(menu): State<Arc<Menu>>, parameters: Parameters) -> ApiResult<Json<Vec<Value>>> {
    let ids = parameters.all("block_ids");
    if ids.is_empty() {
        return Err(Problem::new("missing", &["query", "block_ids"], "Field required", Value::Null).into());
    }
    if ids.len() > BATCH {
        let msg = format!("List should have at most {BATCH} items after validation");
        return Err(Problem::new("too_long", &["query", "block_ids"], msg, json!(ids.len())).into());
    }
    let found = ids.into_iter().filter_map(|text| menu.info(id(text)?).cloned());
    Ok(Json(found.collect()))
}

/// Those whose credentials some block takes.
#[utoipa::path(
    get, path = "/api/builder/providers",
    operation_id = "getV2Get builder integration providers", tags = ["v2"],
    params(ProvidersQuery),
    responses((status = 200, body = schemas::ProviderResponse)),
)]
pub async fn providers(_user: CurrentUser, State(menu): State<Arc<Menu>>, parameters: Parameters) -> ApiResult<Json<Providers>> {
    let page = Page::of(&parameters, DEFAULT_SIZE)?;
    let all: Vec<(&str, i64)> = menu.providers().into_iter().collect();
    let shown = window(&all, page).iter().map(|(name, blocks)| Provider {
        name: (*name).to_owned(),
        description: format!("Blocks that take credentials of {name}"),
        integration_count: *blocks,
    });
    Ok(Json(Providers {
        providers: shown.collect(),
        pagination: page.of_total(length(&all)),
    }))
}

/// First blocks, then what the user has in the library, then what the catalogue offers; a page may hold the end of one and the beginning of
/// the next.
#[utoipa::path(
    get, path = "/api/builder/search",
    operation_id = "getV2Builder search", tags = ["v2", "store", "private"],
    params(SearchQuery),
    responses((status = 200, body = schemas::SearchResponse)),
)]
pub async fn search(
    user: CurrentUser,
    State(submitter): State<Submitter>,
    State(menu): State<Arc<Menu>>,
    parameters: Parameters,
) -> ApiResult<Json<Found>> {
    let page = Page::of(&parameters, DEFAULT_SIZE)?;
    let query = parameters.given("search_query").unwrap_or_default();
    let filters = parameters.all("filter");
    let wants = |name: &str| filters.is_empty() || filters.contains(&name);
    let (blocks, integrations) = (
        matching(&menu, query, wants("blocks"), false),
        matching(&menu, query, wants("integrations"), true),
    );
    let mut rest = Rest {
        skip: page.offset(),
        left: page.size,
    };
    let mut items: Vec<Item> = Vec::new();
    for entries in [&blocks, &integrations] {
        let (limit, offset) = rest.within(length(entries));
        let shown = entries.iter().skip(usize_of(offset)).take(usize_of(limit));
        items.extend(shown.map(|entry| Item::Block(entry.info.clone())));
    }
    let mut totals = Totals {
        blocks: length(&blocks),
        integrations: length(&integrations),
        marketplace_agents: 0,
        my_agents: 0,
    };
    if wants("my_agents") {
        let count = |limit, offset| LibraryFilter {
            search_term: Some(query).filter(|query| !query.is_empty()),
            limit,
            offset,
            ..LibraryFilter::default()
        };
        totals.my_agents = submitter.store().list_library_agents(user.id, &count(0, 0)).await?.1;
        let (limit, offset) = rest.within(totals.my_agents);
        let agents = library::agents_of(&submitter, user.id, &count(limit, offset)).await?.0;
        items.extend(agents.into_iter().map(|agent| Item::Library(Box::new(agent))));
    }
    if wants("marketplace_agents") {
        let filter = |limit, offset| AgentFilter {
            creators: parameters.all("by_creator"),
            search_query: Some(query),
            limit,
            offset,
            ..AgentFilter::default()
        };
        totals.marketplace_agents = submitter.store().list_store_agents(&filter(0, 0)).await?.1;
        let (limit, offset) = rest.within(totals.marketplace_agents);
        let (agents, _) = submitter.store().list_store_agents(&filter(limit, offset)).await?;
        items.extend(agents.into_iter().map(Item::Store));
    }
    let total = totals.blocks + totals.integrations + totals.marketplace_agents + totals.my_agents;
    Ok(Json(Found {
        items,
        total_items: totals,
        page: page.number,
        more_pages: page.offset().saturating_add(page.size) < total,
    }))
}

#[utoipa::path(
    get, path = "/api/builder/counts",
    operation_id = "getV2Get builder item counts", tags = ["v2"],
    responses((status = 200, body = schemas::CountResponse)),
)]
pub async fn counts(user: CurrentUser, State(store): State<Store>, State(menu): State<Arc<Menu>>) -> ApiResult<Json<Counts>> {
    let (_, my_agents) = store.list_library_agents(user.id, &LibraryFilter::default()).await?;
    Ok(Json(Counts {
        all_blocks: menu.entries.len(),
        input_blocks: menu.count(Section::Input),
        action_blocks: menu.count(Section::Action),
        output_blocks: menu.count(Section::Output),
        integrations: menu.providers().len(),
        marketplace_agents: store.count_store_agents().await?,
        my_agents,
    }))
}

/// Entries with every word of the query, those that take credentials or the others; the ones that begin with it first.
fn matching<'a>(menu: &'a Menu, query: &str, wanted: bool, integrations: bool) -> Vec<&'a Entry> {
    let query = query.to_lowercase();
    let found = menu
        .entries
        .iter()
        .filter(|entry| wanted && entry.providers.is_empty() != integrations && query.split_whitespace().all(|word| entry.text.contains(word)));
    let mut found: Vec<&Entry> = found.collect();
    found.sort_by_key(|entry| !entry.text.starts_with(&query));
    found
}

/// What a page has still to skip and to show, over lists one behind the other.
struct Rest {
    skip: i64,
    left: i64,
}

impl Rest {
    /// `(limit, offset)` in the next list, which has so many entries.
    fn within(&mut self, total: i64) -> (i64, i64) {
        let offset = self.skip.min(total);
        let limit = self.left.min(total - offset);
        self.skip -= offset;
        self.left -= limit;
        (limit, offset)
    }
}

fn window<T>(all: &[T], page: Page) -> &[T] {
    let start = usize_of(page.offset()).min(all.len());
    let end = start.saturating_add(usize_of(page.size)).min(all.len());
    &all[start..end]
}

fn length<T>(all: &[T]) -> i64 {
    i64::try_from(all.len()).unwrap_or(i64::MAX)
}

fn usize_of(number: i64) -> usize {
    usize::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::Rest;

    #[test]
    fn a_page_goes_on_where_a_list_ends() {
        let mut rest = Rest { skip: 3, left: 4 };
        assert_eq!(rest.within(2), (0, 2));
        assert_eq!(rest.within(3), (2, 1));
        assert_eq!(rest.within(0), (0, 0));
        assert_eq!(rest.within(9), (2, 0));
        assert_eq!(rest.within(9), (0, 0));
    }
}
