//! What everybody may read of the catalogue, and the profiles of those who offer something in it (rest.md §1 area 8).

use model::catalogue::{Creator, CreatorDetails, ProfileDetails, StoreAgent, StoreAgentDetails, StoreAgents, StoreReview};
use model::{GraphId, Pagination, UserId};
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};
use uuid::Uuid;

use crate::execution_rows::instant;
use crate::pages::{Window, like};
use crate::{Error, Result, Store};

/// How a list of agents is ordered; always the best or the newest first, but names by alphabet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AgentOrder {
    #[default]
    Updated,
    Rating,
    Runs,
    Name,
}

impl AgentOrder {
    /// The contract's words.
    pub const WORDS: [&str; 4] = ["rating", "runs", "name", "updated_at"];

    /// The default for anything else.
    pub fn from_word(word: &str) -> Self {
        match word {
            "rating" => Self::Rating,
            "runs" => Self::Runs,
            "name" => Self::Name,
            _ => Self::Updated,
        }
    }
}

/// Which agents of the catalogue.
#[derive(Debug, Clone, Default)]
pub struct AgentFilter<'a> {
    pub featured: bool,
    /// User names; none for everybody's.
    pub creators: Vec<&'a str>,
    /// Words in name, sub-heading or description.
    pub search_query: Option<&'a str>,
    pub category: Option<&'a str>,
    pub order: AgentOrder,
    pub limit: i64,
    pub offset: i64,
}

/// How a list of creators is ordered, the best first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CreatorOrder {
    #[default]
    Name,
    Rating,
    Runs,
    Agents,
}

/// Which creators: those who offer something.
#[derive(Debug, Clone, Default)]
pub struct CreatorFilter<'a> {
    pub featured: bool,
    pub search_query: Option<&'a str>,
    pub order: CreatorOrder,
    pub limit: i64,
    pub offset: i64,
}

/// A graph version that everybody may have, because a listing offers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    pub graph_id: GraphId,
    pub graph_version: i32,
}

/// `runs` and `rating` of a listing `l`.
pub(crate) const FIGURES: &str = "
    CROSS JOIN LATERAL (SELECT count(*) AS runs FROM graph_executions e WHERE e.graph_id = l.graph_id AND NOT e.is_deleted) use
    CROSS JOIN LATERAL (
        SELECT coalesce(avg(r.score), 0)::float8 AS rating FROM store_listing_reviews r
        JOIN store_listing_versions rated ON rated.id = r.version_id WHERE rated.listing_id = l.id) stars";

/// What is offered: listings with the version that the catalogue shows.
const OFFERED: &str = "
    FROM store_listings l
    JOIN store_listing_versions v ON v.id = l.active_version_id
    JOIN profiles p ON p.user_id = l.owning_user_id";

/// Everybody who offers something, with figures over all that he offers.
const CREATORS: &str = "
    SELECT p.name, p.username, p.description, p.links, coalesce(p.avatar_url, '') AS avatar_url, p.is_featured,
           count(l.id) AS agents, coalesce(avg(nullif(stars.rating, 0)), 0)::float8 AS rating, coalesce(sum(use.runs), 0)::bigint AS runs
    FROM profiles p
    LEFT JOIN store_listings l ON l.owning_user_id = p.user_id AND NOT l.is_deleted AND l.active_version_id IS NOT NULL
    LEFT JOIN LATERAL (SELECT count(*) AS runs FROM graph_executions e WHERE e.graph_id = l.graph_id AND NOT e.is_deleted) use ON true
    LEFT JOIN LATERAL (
        SELECT coalesce(avg(r.score), 0)::float8 AS rating FROM store_listing_reviews r
        JOIN store_listing_versions rated ON rated.id = r.version_id WHERE rated.listing_id = l.id) stars ON true";

/// Keeps the rows whose `text`, an expression, has all these words: as parts of words, or in other forms of them. What is longer than the
/// database can index is searched at its beginning only for the latter.
fn search(query: &mut QueryBuilder<Postgres>, text: &'static str, words: Option<&str>) {
    let words = words.unwrap_or_default();
    if words.trim().is_empty() {
        return;
    }
    query.push(" AND ((true");
    for word in words.split_whitespace() {
        query.push(" AND ").push(text).push(" ILIKE ").push_bind(like(word));
    }
    query
        .push(") OR to_tsvector('english', left(")
        .push(text)
        .push(", 100000)) @@ plainto_tsquery('english', ");
    query.push_bind(words.to_owned()).push("))");
}

impl Store {
    /// A page of what the catalogue offers, and how much there is.
    pub async fn list_store_agents(&self, filter: &AgentFilter<'_>) -> Result<(Vec<StoreAgent>, i64)> {
        let restrict = |query: &mut QueryBuilder<Postgres>| {
            query.push(" WHERE NOT l.is_deleted");
            if filter.featured {
                query.push(" AND v.is_featured");
            }
            if !filter.creators.is_empty() {
                let creators: Vec<String> = filter.creators.iter().map(|name| name.to_lowercase()).collect();
                query.push(" AND p.username = ANY(").push_bind(creators).push(")");
            }
            if let Some(category) = filter.category {
                query.push(" AND ").push_bind(category.to_owned()).push(" = ANY(v.categories)");
            }
            search(query, "concat_ws(' ', v.name, v.sub_heading, v.description)", filter.search_query);
        };
        let mut count = QueryBuilder::new("SELECT count(*)");
        count.push(OFFERED);
        let mut query = QueryBuilder::new(
            "SELECT l.slug, v.name, v.image_urls, p.username, coalesce(p.avatar_url, '') AS avatar_url, v.sub_heading, v.description, use.runs, stars.rating",
        );
        query.push(OFFERED).push(FIGURES);
        let order = match filter.order {
            AgentOrder::Updated => " ORDER BY v.reviewed_at DESC NULLS LAST, l.id",
            AgentOrder::Rating => " ORDER BY stars.rating DESC, use.runs DESC, l.id",
            AgentOrder::Runs => " ORDER BY use.runs DESC, stars.rating DESC, l.id",
            AgentOrder::Name => " ORDER BY lower(v.name), l.id",
        };
        let window = Window {
            limit: filter.limit,
            offset: filter.offset,
        };
        let (rows, total) = self.page(count, query, restrict, order, window).await?;
        Ok((rows.iter().map(store_agent).collect::<Result<_>>()?, total))
    }

    /// The first `page_size` of what the catalogue offers with all these words, of one category or of any.
    pub async fn search_store(&self, query: Option<&str>, category: Option<&str>, sorted_by: &str, page: i64, page_size: i64) -> Result<StoreAgents> {
        let window = Window::of_page(page, page_size);
        let filter = AgentFilter {
            search_query: query,
            category: category.filter(|category| !category.is_empty()),
            order: AgentOrder::from_word(sorted_by),
            limit: window.limit,
            offset: window.offset,
            ..AgentFilter::default()
        };
        let (agents, total) = self.list_store_agents(&filter).await?;
        Ok(StoreAgents {
            agents,
            pagination: Pagination::of(page.max(1), window.limit, total),
        })
    }

    /// What the catalogue shows of one listing.
    pub async fn get_store_agent(&self, username: &str, slug: &str) -> Result<Option<StoreAgentDetails>> {
        let mut query = details();
        query.push(" AND p.username = ").push_bind(username.to_lowercase());
        query.push(" AND l.slug = ").push_bind(slug.to_lowercase());
        let row = query.build().fetch_optional(&self.pool).await.map_err(|error| self.explain(error))?;
        row.as_ref().map(agent_details).transpose()
    }

    /// The listing that has this version, as the catalogue shows it.
    pub async fn get_store_agent_of_version(&self, version_id: Uuid) -> Result<Option<StoreAgentDetails>> {
        let mut query = details();
        query
            .push(" AND l.id = (SELECT listing_id FROM store_listing_versions WHERE id = ")
            .push_bind(version_id)
            .push(" AND status = 'APPROVED' AND NOT is_deleted)");
        let row = query.build().fetch_optional(&self.pool).await.map_err(|error| self.explain(error))?;
        row.as_ref().map(agent_details).transpose()
    }

    /// Agents to begin with: those that were chosen for it, then the most used ones.
    pub async fn recommended_agents(&self, limit: i64) -> Result<Vec<StoreAgentDetails>> {
        let mut query = details();
        query
            .push(" ORDER BY l.use_for_onboarding DESC, use.runs DESC, l.id LIMIT ")
            .push_bind(limit);
        let rows = query.build().fetch_all(&self.pool).await.map_err(|error| self.explain(error))?;
        rows.iter().map(agent_details).collect()
    }

    /// How many agents the catalogue offers.
    pub async fn count_store_agents(&self) -> Result<i64> {
        sqlx::query_scalar("SELECT count(*) FROM store_listings WHERE NOT is_deleted AND active_version_id IS NOT NULL")
            .fetch_one(&self.pool)
            .await
            .map_err(|error| self.explain(error))
    }

    /// The graph version behind an approved version of a listing.
    pub async fn find_offer(&self, version_id: Uuid) -> Result<Option<Offer>> {
        let found: Option<(GraphId, i32)> =
            sqlx::query_as("SELECT graph_id, graph_version FROM store_listing_versions WHERE id = $1 AND status = 'APPROVED' AND NOT is_deleted")
                .bind(version_id)
                .fetch_optional(&self.pool)
                .await
                .map_err(|error| self.explain(error))?;
        Ok(found.map(|(graph_id, graph_version)| Offer { graph_id, graph_version }))
    }

    /// A page of those who offer something, and how many they are.
    pub async fn list_creators(&self, filter: &CreatorFilter<'_>) -> Result<(Vec<Creator>, i64)> {
        let restrict = |query: &mut QueryBuilder<Postgres>| {
            query.push(
                " WHERE EXISTS (SELECT FROM store_listings o WHERE o.owning_user_id = p.user_id AND NOT o.is_deleted AND o.active_version_id IS NOT NULL)",
            );
            if filter.featured {
                query.push(" AND p.is_featured");
            }
            search(query, "concat_ws(' ', p.name, p.username, p.description)", filter.search_query);
        };
        let count = QueryBuilder::new("SELECT count(*) FROM profiles p");
        let order = match filter.order {
            CreatorOrder::Name => " GROUP BY p.id ORDER BY p.username",
            CreatorOrder::Rating => " GROUP BY p.id ORDER BY rating DESC, p.username",
            CreatorOrder::Runs => " GROUP BY p.id ORDER BY runs DESC, p.username",
            CreatorOrder::Agents => " GROUP BY p.id ORDER BY agents DESC, p.username",
        };
        let window = Window {
            limit: filter.limit,
            offset: filter.offset,
        };
        let (rows, total) = self.page(count, QueryBuilder::new(CREATORS), restrict, order, window).await?;
        let creators = rows.iter().map(|row| {
            Ok(Creator {
                name: row.try_get("name")?,
                username: row.try_get("username")?,
                description: row.try_get("description")?,
                avatar_url: row.try_get("avatar_url")?,
                num_agents: row.try_get("agents")?,
                agent_rating: row.try_get("rating")?,
                agent_runs: row.try_get("runs")?,
                is_featured: row.try_get("is_featured")?,
            })
        });
        Ok((creators.collect::<Result<_>>()?, total))
    }

    /// Somebody's public face, whether or not he offers something.
    pub async fn get_creator(&self, username: &str) -> Result<Option<CreatorDetails>> {
        let mut query = QueryBuilder::new(CREATORS);
        query
            .push(" WHERE p.username = ")
            .push_bind(username.to_lowercase())
            .push(" GROUP BY p.id");
        let row = query.build().fetch_optional(&self.pool).await.map_err(|error| self.explain(error))?;
        let Some(row) = row else { return Ok(None) };
        let top_categories = sqlx::query_scalar(
            "SELECT category FROM store_listings l JOIN store_listing_versions v ON v.id = l.active_version_id
             JOIN profiles p ON p.user_id = l.owning_user_id, unnest(v.categories) category
             WHERE p.username = $1 AND NOT l.is_deleted GROUP BY category ORDER BY count(*) DESC, category LIMIT 10",
        )
        .bind(username.to_lowercase())
        .fetch_all(&self.pool)
        .await?;
        Ok(Some(CreatorDetails {
            name: row.try_get("name")?,
            username: row.try_get("username")?,
            description: row.try_get("description")?,
            links: row.try_get("links")?,
            avatar_url: row.try_get("avatar_url")?,
            agent_rating: row.try_get("rating")?,
            agent_runs: row.try_get("runs")?,
            top_categories,
        }))
    }

    /// The user's profile, made on the first read. None for an unknown user.
    pub async fn get_or_create_profile(&self, user_id: UserId) -> Result<Option<ProfileDetails>> {
        let query = "SELECT name, username, description, links, avatar_url FROM profiles WHERE user_id = $1";
        let read = || sqlx::query(query).bind(user_id).fetch_optional(&self.pool);
        let mut row = read().await.map_err(|error| self.explain(error))?;
        if row.is_none() {
            sqlx::query(
                "INSERT INTO profiles (id, user_id, username, name) SELECT $2, id, $3, coalesce(name, split_part(email, '@', 1)) FROM users WHERE id = $1
                 ON CONFLICT DO NOTHING",
            )
            .bind(user_id)
            .bind(Uuid::now_v7())
            .bind(format!("user-{}", user_id.simple()))
            .execute(&self.pool)
            .await?;
            row = read().await?;
        }
        let profile = row.map(|row| {
            Ok(ProfileDetails {
                name: row.try_get("name")?,
                username: row.try_get("username")?,
                description: row.try_get("description")?,
                links: row.try_get("links")?,
                avatar_url: row.try_get("avatar_url")?,
            })
        });
        profile.transpose()
    }

    /// False when the user has no profile; another profile with the same user name is a constraint error. User names are kept in lower case.
    pub async fn update_profile(&self, user_id: UserId, profile: &ProfileDetails) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE profiles SET name = $2, username = $3, description = $4, links = $5, avatar_url = nullif($6, ''), updated_at = now() WHERE user_id = $1",
        )
        .bind(user_id)
        .bind(&profile.name)
        .bind(profile.username.to_lowercase())
        .bind(&profile.description)
        .bind(&profile.links)
        .bind(&profile.avatar_url)
        .execute(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        Ok(done.rows_affected() > 0)
    }

    /// A user's opinion about a version of a listing, in place of his former one. False when that listing has no such approved version.
    pub async fn review_listing(&self, user_id: UserId, username: &str, slug: &str, version_id: Uuid, review: &StoreReview) -> Result<bool> {
        let done = sqlx::query(
            "INSERT INTO store_listing_reviews (version_id, user_id, score, comments)
             SELECT v.id, $1, $5, $6 FROM store_listing_versions v JOIN store_listings l ON l.id = v.listing_id
             JOIN profiles p ON p.user_id = l.owning_user_id
             WHERE v.id = $4 AND p.username = $2 AND l.slug = $3 AND v.status = 'APPROVED' AND NOT v.is_deleted AND NOT l.is_deleted
             ON CONFLICT (version_id, user_id) DO UPDATE SET score = excluded.score, comments = excluded.comments",
        )
        .bind(user_id)
        .bind(username.to_lowercase())
        .bind(slug.to_lowercase())
        .bind(version_id)
        .bind(review.score)
        .bind(&review.comments)
        .execute(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        Ok(done.rows_affected() > 0)
    }
}

fn details() -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(
        "SELECT v.id AS version_id, l.slug, v.name, coalesce(v.video_url, '') AS video_url, v.image_urls, p.username,
                coalesce(p.avatar_url, '') AS avatar_url, v.sub_heading, v.description, v.instructions, v.categories, use.runs, stars.rating,
                ARRAY(SELECT o.version::text FROM store_listing_versions o
                      WHERE o.listing_id = l.id AND o.status = 'APPROVED' AND NOT o.is_deleted ORDER BY o.version) AS versions,
                v.updated_at, v.recommended_schedule_cron, l.active_version_id",
    );
    query.push(OFFERED).push(FIGURES).push(" WHERE NOT l.is_deleted");
    query
}

fn store_agent(row: &PgRow) -> Result<StoreAgent> {
    Ok(StoreAgent {
        slug: row.try_get("slug")?,
        agent_name: row.try_get("name")?,
        agent_image: row.try_get::<Vec<String>, _>("image_urls")?.into_iter().next().unwrap_or_default(),
        creator: row.try_get("username")?,
        creator_avatar: row.try_get("avatar_url")?,
        sub_heading: row.try_get("sub_heading")?,
        description: row.try_get("description")?,
        runs: row.try_get("runs")?,
        rating: row.try_get("rating")?,
    })
}

fn agent_details(row: &PgRow) -> Result<StoreAgentDetails> {
    let active_version_id: Option<Uuid> = row.try_get("active_version_id")?;
    Ok(StoreAgentDetails {
        store_listing_version_id: row.try_get("version_id")?,
        slug: row.try_get("slug")?,
        agent_name: row.try_get("name")?,
        agent_video: row.try_get("video_url")?,
        agent_image: row.try_get("image_urls")?,
        creator: row.try_get("username")?,
        creator_avatar: row.try_get("avatar_url")?,
        sub_heading: row.try_get("sub_heading")?,
        description: row.try_get("description")?,
        instructions: row.try_get("instructions")?,
        categories: row.try_get("categories")?,
        runs: row.try_get("runs")?,
        rating: row.try_get("rating")?,
        versions: row.try_get("versions")?,
        last_updated: instant(row, "updated_at")?,
        recommended_schedule_cron: row.try_get("recommended_schedule_cron")?,
        active_version_id,
        has_approved_version: active_version_id.is_some(),
    })
}

impl Error {
    /// The contract's words for a listing that is not there.
    pub(crate) fn no_listing_version(id: Uuid) -> Self {
        Self::NotFound(format!("Store listing version {id} not found"))
    }
}
