//! Libraries: who may run a graph (internals §2.2 step 2), and with which settings.

use model::graph::GraphSettings;
use model::library::{
    LibraryAgent, LibraryAgentStatus, LibraryAgentUpdate, LibraryAgents, LibrarySort, MarketplaceListing, MarketplaceListingCreator,
};
use model::{GraphId, GraphModel, Pagination, UserId};
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Postgres, QueryBuilder, Row};
use uuid::Uuid;

use crate::execution_rows::instant;
use crate::pages::{Window, like};
use crate::{Result, Store};

/// Runs of an agent that its status is judged by.
const JUDGED_RUNS: i32 = 10;

/// Entries of one user (`$1`) with what is shown of them.
const ENTRIES: &str = "
    SELECT la.id, la.graph_id, la.graph_version, la.image_url, la.is_favorite, la.settings, la.created_at,
           greatest(la.updated_at, g.created_at) AS updated_at, g.name, g.description, g.instructions, g.recommended_schedule_cron,
           g.user_id = la.user_id AS owned, creator.name AS creator_name, creator.avatar_url AS creator_avatar,
           runs.statuses, runs.new_output, listing.id AS listing_id, listing.slug AS listing_slug, offered.name AS listing_name,
           seller.id AS seller_id, seller.name AS seller_name, seller.username AS seller_username
    FROM library_agents la
    JOIN graphs g ON g.id = la.graph_id AND g.version = la.graph_version
    LEFT JOIN profiles creator ON creator.user_id = g.user_id
    LEFT JOIN store_listings listing ON listing.graph_id = la.graph_id AND NOT listing.is_deleted AND listing.active_version_id IS NOT NULL
    LEFT JOIN store_listing_versions offered ON offered.id = listing.active_version_id
    LEFT JOIN profiles seller ON seller.user_id = listing.owning_user_id
    CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(r.status::text), '{}') AS statuses,
               coalesce(bool_or(r.status = 'COMPLETED' AND r.ended_at > now() - interval '7 days'), false) AS new_output
        FROM (SELECT status, ended_at FROM graph_executions WHERE user_id = la.user_id AND graph_id = la.graph_id AND NOT is_deleted
              ORDER BY created_at DESC LIMIT ";

/// A list of a user's library.
#[derive(Debug, Clone, Default)]
pub struct LibraryFilter<'a> {
    /// Somewhere in name or description, in any letter case.
    pub search_term: Option<&'a str>,
    pub favorites_only: bool,
    /// Oldest entry first instead of the last changed.
    pub by_creation: bool,
    pub limit: i64,
    pub offset: i64,
}

/// What a user may do with one version of a graph, and the settings that a run of it starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The version exists, whoever owns it.
    pub exists: bool,
    /// The user owns it, or everybody may read it because the catalogue offers it.
    pub readable: bool,
    /// Some version is in the user's library, neither deleted nor archived.
    pub in_library: bool,
    /// `human_in_the_loop_safe_mode` of the library entry; none when it is not set or there is no entry.
    pub safe_mode: Option<bool>,
    /// The user's zone, or `not-set`; none for an unknown user.
    pub timezone: Option<String>,
}

impl Store {
    pub async fn graph_access(&self, user_id: UserId, graph_id: GraphId, graph_version: i32) -> Result<Access> {
        let row = sqlx::query(
            "SELECT EXISTS (SELECT FROM graphs WHERE id = $2 AND version = $3) AS exists,
                    EXISTS (SELECT FROM graphs WHERE id = $2 AND version = $3 AND user_id = $1)
                    OR EXISTS (SELECT FROM store_listing_versions WHERE graph_id = $2 AND graph_version = $3 AND status = 'APPROVED' AND NOT is_deleted)
                        AS readable,
                    EXISTS (SELECT FROM library_agents WHERE user_id = $1 AND graph_id = $2 AND NOT is_deleted AND NOT is_archived) AS in_library,
                    (SELECT (settings ->> 'human_in_the_loop_safe_mode')::bool FROM library_agents
                     WHERE user_id = $1 AND graph_id = $2 AND NOT is_deleted ORDER BY graph_version DESC LIMIT 1) AS safe_mode,
                    (SELECT timezone FROM users WHERE id = $1) AS timezone",
        )
        .bind(user_id)
        .bind(graph_id)
        .bind(graph_version)
        .fetch_one(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        Ok(Access {
            exists: row.try_get("exists")?,
            readable: row.try_get("readable")?,
            in_library: row.try_get("in_library")?,
            safe_mode: row.try_get("safe_mode")?,
            timezone: row.try_get("timezone")?,
        })
    }

    /// What the user has in the library, neither deleted nor archived, and how many there are. The schemas are left empty: they follow
    /// from the graphs.
    pub async fn list_library_agents(&self, user_id: UserId, filter: &LibraryFilter<'_>) -> Result<(Vec<LibraryAgent>, i64)> {
        let restrict = |query: &mut QueryBuilder<Postgres>| {
            query.push(" WHERE la.user_id = ").push_bind(user_id);
            // Inline graphs of custom resources are runnable, but in no list.
            query.push(" AND NOT la.is_deleted AND NOT la.is_archived AND g.inline_hash IS NULL");
            if filter.favorites_only {
                query.push(" AND la.is_favorite");
            }
            if let Some(term) = filter.search_term {
                let pattern = like(term);
                query.push(" AND (g.name ILIKE ").push_bind(pattern.clone());
                query.push(" OR g.description ILIKE ").push_bind(pattern).push(")");
            }
        };
        let count = QueryBuilder::new("SELECT count(*) FROM library_agents la JOIN graphs g ON g.id = la.graph_id AND g.version = la.graph_version");
        let order = if filter.by_creation {
            " ORDER BY la.created_at, la.id"
        } else {
            " ORDER BY la.updated_at DESC, la.id"
        };
        let window = Window {
            limit: filter.limit,
            offset: filter.offset,
        };
        let (rows, total) = self.page(count, entries(), restrict, order, window).await?;
        Ok((rows.iter().map(agent).collect::<Result<_>>()?, total))
    }

    /// A page of the same; `page` from 1.
    pub async fn library_page(
        &self,
        user_id: UserId,
        search_term: Option<&str>,
        sort: LibrarySort,
        page: i64,
        page_size: i64,
    ) -> Result<LibraryAgents> {
        let window = Window::of_page(page, page_size);
        let filter = LibraryFilter {
            search_term: search_term.filter(|term| !term.is_empty()),
            by_creation: sort == LibrarySort::CreatedAt,
            limit: window.limit,
            offset: window.offset,
            ..LibraryFilter::default()
        };
        let (agents, total) = self.list_library_agents(user_id, &filter).await?;
        Ok(LibraryAgents {
            agents,
            pagination: Pagination::of(page.max(1), window.limit, total),
        })
    }

    /// None for what is deleted or another user's.
    pub async fn get_library_agent(&self, user_id: UserId, id: Uuid) -> Result<Option<LibraryAgent>> {
        let mut query = entries();
        query.push(" WHERE la.user_id = ").push_bind(user_id);
        query.push(" AND la.id = ").push_bind(id).push(" AND NOT la.is_deleted");
        let row = query.build().fetch_optional(&self.pool).await.map_err(|error| self.explain(error))?;
        row.as_ref().map(agent).transpose()
    }

    /// The entry of a graph; of several the one with the highest version.
    pub async fn get_library_agent_of_graph(&self, user_id: UserId, graph_id: GraphId, version: Option<i32>) -> Result<Option<LibraryAgent>> {
        let mut query = entries();
        query.push(" WHERE la.user_id = ").push_bind(user_id);
        query.push(" AND la.graph_id = ").push_bind(graph_id).push(" AND NOT la.is_deleted");
        if let Some(version) = version {
            query.push(" AND la.graph_version = ").push_bind(version);
        }
        query.push(" ORDER BY la.graph_version DESC LIMIT 1");
        let row = query.build().fetch_optional(&self.pool).await.map_err(|error| self.explain(error))?;
        row.as_ref().map(agent).transpose()
    }

    /// False when the user has no such entry.
    pub async fn update_library_agent(&self, user_id: UserId, id: Uuid, update: &LibraryAgentUpdate) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE library_agents SET use_graph_is_active_version = coalesce($3, use_graph_is_active_version),
                 is_favorite = coalesce($4, is_favorite), is_archived = coalesce($5, is_archived), settings = settings || coalesce($6::jsonb, '{}'),
                 updated_at = now()
             WHERE user_id = $1 AND id = $2 AND NOT is_deleted",
        )
        .bind(user_id)
        .bind(id)
        .bind(update.auto_update_version)
        .bind(update.is_favorite)
        .bind(update.is_archived)
        .bind(update.settings.as_ref().map(Json))
        .execute(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        Ok(done.rows_affected() > 0)
    }

    /// Sets what the user wants of all his entries of a graph; false when there is none.
    pub async fn update_graph_settings(&self, user_id: UserId, graph_id: GraphId, settings: &GraphSettings) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE library_agents SET settings = settings || $3, updated_at = now() WHERE user_id = $1 AND graph_id = $2 AND NOT is_deleted",
        )
        .bind(user_id)
        .bind(graph_id)
        .bind(Json(settings))
        .execute(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        Ok(done.rows_affected() > 0)
    }

    /// Takes a graph out of the library; false when the user has no such entry. The runs stay.
    pub async fn delete_library_agent(&self, user_id: UserId, id: Uuid) -> Result<bool> {
        let done = sqlx::query("UPDATE library_agents SET is_deleted = true, updated_at = now() WHERE user_id = $1 AND id = $2 AND NOT is_deleted")
            .bind(user_id)
            .bind(id)
            .execute(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        Ok(done.rows_affected() > 0)
    }

    /// Puts a graph that the catalogue offers into a library, or back into it, and returns the entry's id.
    pub async fn add_offered_graph(&self, user_id: UserId, graph: &GraphModel) -> Result<Uuid> {
        sqlx::query_scalar(
            "INSERT INTO library_agents (id, user_id, graph_id, graph_version, creator_id, use_graph_is_active_version, is_created_by_user, settings)
             VALUES ($1, $2::uuid, $3, $4, $5::uuid, $5 = $2, $5 = $2, $6)
             ON CONFLICT (user_id, graph_id, graph_version) DO UPDATE SET is_deleted = false, is_archived = false, updated_at = now()
             RETURNING id",
        )
        .bind(Uuid::now_v7())
        .bind(user_id)
        .bind(graph.id)
        .bind(graph.version)
        .bind(graph.user_id)
        .bind(Json(first_settings(graph)))
        .fetch_one(&self.pool)
        .await
        .map_err(|error| self.explain(error))
    }
}

fn entries() -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(ENTRIES);
    query.push(JUDGED_RUNS).push(") r) runs");
    query
}

fn agent(row: &PgRow) -> Result<LibraryAgent> {
    let statuses: Vec<String> = row.try_get("statuses")?;
    let listing = match row.try_get::<Option<Uuid>, _>("listing_id")? {
        Some(id) => Some(MarketplaceListing {
            id,
            name: row.try_get("listing_name")?,
            slug: row.try_get("listing_slug")?,
            creator: MarketplaceListingCreator {
                name: row.try_get::<Option<String>, _>("seller_name")?.unwrap_or_else(unknown),
                id: row.try_get::<Option<Uuid>, _>("seller_id")?.unwrap_or_default(),
                slug: row.try_get::<Option<String>, _>("seller_username")?.unwrap_or_default(),
            },
        }),
        None => None,
    };
    Ok(LibraryAgent {
        id: row.try_get("id")?,
        graph_id: row.try_get("graph_id")?,
        graph_version: row.try_get("graph_version")?,
        image_url: row.try_get("image_url")?,
        creator_name: row.try_get::<Option<String>, _>("creator_name")?.unwrap_or_else(unknown),
        creator_image_url: row.try_get::<Option<String>, _>("creator_avatar")?.unwrap_or_default(),
        status: status_of(&statuses),
        created_at: instant(row, "created_at")?,
        updated_at: instant(row, "updated_at")?,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        instructions: row.try_get("instructions")?,
        input_schema: Value::Null,
        output_schema: Value::Null,
        credentials_input_schema: Value::Null,
        has_external_trigger: false,
        trigger_setup_info: None,
        new_output: row.try_get("new_output")?,
        can_access_graph: row.try_get("owned")?,
        is_latest_version: true,
        is_favorite: row.try_get("is_favorite")?,
        recommended_schedule_cron: row.try_get("recommended_schedule_cron")?,
        settings: row.try_get::<Json<GraphSettings>, _>("settings")?.0,
        marketplace_listing: listing,
    })
}

fn unknown() -> String {
    "Unknown".to_owned()
}

/// From the statuses of the latest runs (rest.md §2.8).
fn status_of(statuses: &[String]) -> LibraryAgentStatus {
    let any = |word: &str| statuses.iter().any(|status| status == word);
    if any("FAILED") {
        LibraryAgentStatus::Error
    } else if any("QUEUED") {
        LibraryAgentStatus::Waiting
    } else if any("RUNNING") {
        LibraryAgentStatus::Healthy
    } else {
        LibraryAgentStatus::Completed
    }
}

/// Runs of a graph that asks people start in safe mode (rest.md §2.3).
fn first_settings(graph: &GraphModel) -> Value {
    if graph.has_human_in_the_loop {
        json!({ "human_in_the_loop_safe_mode": true })
    } else {
        json!({})
    }
}

/// The graph's entry in its owner's library: that of the version if there is one, else the one that follows the active version. Users can
/// keep entries of several versions, and let more than one of them follow: the newest does.
pub(crate) async fn upsert_entry(connection: &mut PgConnection, graph: &GraphModel) -> Result<()> {
    let moved = sqlx::query(
        "UPDATE library_agents SET graph_version = $3, is_deleted = false, updated_at = now()
         WHERE id = (SELECT id FROM library_agents
                     WHERE user_id = $1 AND graph_id = $2 AND (graph_version = $3 OR use_graph_is_active_version)
                     ORDER BY graph_version = $3 DESC, graph_version DESC LIMIT 1)",
    )
    .bind(graph.user_id)
    .bind(graph.id)
    .bind(graph.version)
    .execute(&mut *connection)
    .await?;
    if moved.rows_affected() > 0 {
        return Ok(());
    }
    sqlx::query("INSERT INTO library_agents (id, user_id, graph_id, graph_version, settings) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING")
        .bind(Uuid::now_v7())
        .bind(graph.user_id)
        .bind(graph.id)
        .bind(graph.version)
        .bind(Json(first_settings(graph)))
        .execute(connection)
        .await?;
    Ok(())
}
