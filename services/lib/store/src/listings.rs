//! Offering agents: submissions by their authors, reviews by administrators (rest.md §1 areas 8 and 13).

use model::catalogue::{ListingContent, MyAgent, StoreListingWithVersions, StoreSubmission, SubmissionStatus};
use model::{GraphId, UserId};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, QueryBuilder, Row};
use uuid::Uuid;

use crate::catalogue::FIGURES;
use crate::execution_rows::{instant, time};
use crate::pages::{Window, like};
use crate::{Error, Result, Store};

/// A graph version that its owner offers.
#[derive(Debug, Clone)]
pub struct NewSubmission {
    pub owner: UserId,
    pub graph_id: GraphId,
    pub graph_version: i32,
    pub slug: String,
    pub content: ListingContent,
}

/// What an administrator says to a submission.
#[derive(Debug, Clone)]
pub struct Verdict {
    pub reviewer: UserId,
    pub approved: bool,
    pub comments: String,
    pub internal_comments: Option<String>,
}

/// A page of listings, as administrators look for them.
#[derive(Debug, Clone, Default)]
pub struct ListingFilter<'a> {
    /// Listings with a version of this status.
    pub status: Option<SubmissionStatus>,
    /// In names, sub-headings, or the author's e-mail address.
    pub search: Option<&'a str>,
    pub limit: i64,
    pub offset: i64,
}

const SUBMISSIONS: &str = "
    SELECT v.id, v.listing_id, l.slug, v.version, v.graph_id, v.graph_version, v.name, v.sub_heading, v.description, v.instructions, v.image_urls,
           v.submitted_at, v.status, use.runs, stars.rating, v.reviewer_id, v.review_comments, v.internal_comments, v.reviewed_at,
           v.changes_summary, v.video_url, v.categories
    FROM store_listing_versions v JOIN store_listings l ON l.id = v.listing_id";

impl Store {
    /// The user's own graphs that he does not offer yet, last changed first, and how many there are.
    pub async fn list_unlisted_graphs(&self, user_id: UserId, limit: i64, offset: i64) -> Result<(Vec<MyAgent>, i64)> {
        const FROM: &str = " FROM library_agents la JOIN graphs g ON g.id = la.graph_id AND g.version = la.graph_version
             WHERE la.user_id = $1 AND g.user_id = $1 AND NOT la.is_deleted AND NOT la.is_archived AND g.inline_hash IS NULL
               AND NOT EXISTS (SELECT FROM store_listings l WHERE l.graph_id = la.graph_id AND NOT l.is_deleted)";
        let total: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) {FROM}")))
            .bind(user_id)
            .fetch_one(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        let query = format!(
            "SELECT g.id, g.version, g.name, la.image_url, g.description, greatest(la.updated_at, g.created_at) AS edited, g.recommended_schedule_cron
             {FROM} ORDER BY edited DESC, g.id LIMIT $2 OFFSET $3"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(user_id)
            .bind(limit)
            .bind(offset)
            .fetch_all(&self.pool)
            .await?;
        let agents = rows.iter().map(|row| {
            Ok(MyAgent {
                agent_id: row.try_get("id")?,
                agent_version: row.try_get("version")?,
                agent_name: row.try_get("name")?,
                agent_image: row.try_get("image_url")?,
                description: row.try_get("description")?,
                last_edited: instant(row, "edited")?,
                recommended_schedule_cron: row.try_get("recommended_schedule_cron")?,
            })
        });
        Ok((agents.collect::<Result<_>>()?, total))
    }

    /// What the user has submitted, the newest first, and how much that is.
    pub async fn list_submissions(&self, user_id: UserId, limit: i64, offset: i64) -> Result<(Vec<StoreSubmission>, i64)> {
        let total: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM store_listing_versions v JOIN store_listings l ON l.id = v.listing_id
             WHERE l.owning_user_id = $1 AND NOT l.is_deleted AND NOT v.is_deleted",
        )
        .bind(user_id)
        .fetch_one(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        let mut query = submissions();
        query
            .push(" WHERE l.owning_user_id = ")
            .push_bind(user_id)
            .push(" AND NOT l.is_deleted AND NOT v.is_deleted ORDER BY v.submitted_at DESC, v.id LIMIT ")
            .push_bind(limit)
            .push(" OFFSET ")
            .push_bind(offset);
        let rows = query.build().fetch_all(&self.pool).await?;
        let submissions = rows.iter().map(|row| submission(row).map(for_author));
        Ok((submissions.collect::<Result<_>>()?, total))
    }

    /// Offers a graph version of the user: the first one opens a listing, a later one is its next version. None when he has no such graph
    /// version.
    pub async fn submit_listing(&self, new: &NewSubmission) -> Result<Option<StoreSubmission>> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let owned: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM graphs WHERE id = $1 AND version = $2 AND user_id = $3)")
            .bind(new.graph_id)
            .bind(new.graph_version)
            .bind(new.owner)
            .fetch_one(&mut *tx)
            .await?;
        if !owned {
            return Ok(None);
        }
        let known: Option<Uuid> = sqlx::query_scalar("SELECT id FROM store_listings WHERE graph_id = $1 AND NOT is_deleted FOR UPDATE")
            .bind(new.graph_id)
            .fetch_optional(&mut *tx)
            .await?;
        let listing_id = known.unwrap_or_else(Uuid::now_v7);
        if known.is_none() {
            sqlx::query("INSERT INTO store_listings (id, owning_user_id, slug, graph_id) VALUES ($1, $2, $3, $4)")
                .bind(listing_id)
                .bind(new.owner)
                .bind(&new.slug)
                .bind(new.graph_id)
                .execute(&mut *tx)
                .await?;
        }
        let id = insert_version(&mut tx, listing_id, new.graph_id, new.graph_version, &new.content).await?;
        tx.commit().await?;
        self.get_submission(id).await.map(|found| found.map(for_author))
    }

    /// Changes what is submitted: a version that waits for its review is changed itself; of one that was reviewed a new version is made.
    /// None when the user has no such version.
    pub async fn edit_submission(&self, owner: UserId, version_id: Uuid, content: &ListingContent) -> Result<Option<StoreSubmission>> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let row = sqlx::query(
            "SELECT v.listing_id, v.status, v.graph_id, v.graph_version FROM store_listing_versions v JOIN store_listings l ON l.id = v.listing_id
             WHERE v.id = $1 AND l.owning_user_id = $2 AND NOT v.is_deleted AND NOT l.is_deleted FOR UPDATE OF l, v",
        )
        .bind(version_id)
        .bind(owner)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let id = if row.try_get::<&str, _>("status")? == "PENDING" {
            let update = sqlx::query(
                "UPDATE store_listing_versions SET name = $2, sub_heading = $3, description = $4, instructions = $5, video_url = $6, image_urls = $7,
                     categories = $8, changes_summary = $9, recommended_schedule_cron = $10, updated_at = now() WHERE id = $1",
            )
            .bind(version_id);
            with_content(update, content).execute(&mut *tx).await?;
            version_id
        } else {
            insert_version(
                &mut tx,
                row.try_get("listing_id")?,
                row.try_get("graph_id")?,
                row.try_get("graph_version")?,
                content,
            )
            .await?
        };
        tx.commit().await?;
        self.get_submission(id).await.map(|found| found.map(for_author))
    }

    /// Withdraws a version that was never approved, or the listing of one that was. Those who have the agent keep it but cannot run it any
    /// more. False when the user has no such version or listing.
    pub async fn delete_submission(&self, owner: UserId, id: Uuid) -> Result<bool> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let row = sqlx::query(
            "SELECT l.id, v.id AS version_id, v.status FROM store_listings l LEFT JOIN store_listing_versions v ON v.listing_id = l.id AND v.id = $1
             WHERE l.owning_user_id = $2 AND NOT l.is_deleted AND ((v.id = $1 AND NOT v.is_deleted) OR l.id = $1) FOR UPDATE OF l",
        )
        .bind(id)
        .bind(owner)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Ok(false) };
        let listing_id: Uuid = row.try_get("id")?;
        let status: Option<String> = row.try_get("status")?;
        let only_version = status.filter(|status| status != "APPROVED").is_some();
        sqlx::query("UPDATE store_listing_versions SET is_deleted = true, updated_at = now() WHERE listing_id = $1 AND (NOT $3 OR id = $2)")
            .bind(listing_id)
            .bind(id)
            .bind(only_version)
            .execute(&mut *tx)
            .await?;
        // A listing without versions is nothing.
        sqlx::query(
            "UPDATE store_listings l SET is_deleted = true, updated_at = now()
             WHERE id = $1 AND NOT EXISTS (SELECT FROM store_listing_versions v WHERE v.listing_id = l.id AND NOT v.is_deleted)",
        )
        .bind(listing_id)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Approves or rejects a submission. An approved one becomes what the catalogue shows, unless a later version was approved before.
    pub async fn decide_submission(&self, version_id: Uuid, verdict: &Verdict) -> Result<StoreSubmission> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let listing: Option<Uuid> = sqlx::query_scalar(
            "SELECT l.id FROM store_listings l JOIN store_listing_versions v ON v.listing_id = l.id
             WHERE v.id = $1 AND NOT v.is_deleted AND NOT l.is_deleted FOR UPDATE OF l",
        )
        .bind(version_id)
        .fetch_optional(&mut *tx)
        .await?;
        let listing = listing.ok_or_else(|| Error::no_listing_version(version_id))?;
        sqlx::query(
            "UPDATE store_listing_versions SET status = $2, reviewer_id = $3, review_comments = $4, internal_comments = $5, reviewed_at = now(),
                 updated_at = now() WHERE id = $1",
        )
        .bind(version_id)
        .bind(if verdict.approved { "APPROVED" } else { "REJECTED" })
        .bind(verdict.reviewer)
        .bind(&verdict.comments)
        .bind(&verdict.internal_comments)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "UPDATE store_listings SET updated_at = now(), active_version_id = (
                 SELECT v.id FROM store_listing_versions v
                 WHERE v.listing_id = $1 AND v.status = 'APPROVED' AND NOT v.is_deleted ORDER BY v.version DESC LIMIT 1)
             WHERE id = $1",
        )
        .bind(listing)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        self.get_submission(version_id)
            .await?
            .ok_or_else(|| Error::no_listing_version(version_id))
    }

    /// Listings with all their versions, the last changed first, and how many there are: for administrators.
    pub async fn list_listings(&self, filter: &ListingFilter<'_>) -> Result<(Vec<StoreListingWithVersions>, i64)> {
        let restrict = |query: &mut QueryBuilder<Postgres>| {
            query.push(
                " FROM store_listings l JOIN users u ON u.id = l.owning_user_id WHERE NOT l.is_deleted
                 AND EXISTS (SELECT FROM store_listing_versions v WHERE v.listing_id = l.id AND NOT v.is_deleted",
            );
            if let Some(status) = filter.status {
                query.push(" AND v.status = ").push_bind(word(status));
            }
            if let Some(search) = filter.search {
                query
                    .push(" AND concat_ws(' ', v.name, v.sub_heading, v.description, u.email) ILIKE ")
                    .push_bind(like(search));
            }
            query.push(")");
        };
        let query = QueryBuilder::new("SELECT l.id, l.slug, l.graph_id, l.active_version_id, u.email");
        let window = Window {
            limit: filter.limit,
            offset: filter.offset,
        };
        let (rows, total) = self
            .page(
                QueryBuilder::new("SELECT count(*)"),
                query,
                restrict,
                " ORDER BY l.updated_at DESC, l.id",
                window,
            )
            .await?;
        let ids: Vec<Uuid> = rows.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?;
        let mut query = submissions();
        query
            .push(" WHERE v.listing_id = ANY(")
            .push_bind(ids)
            .push(") AND NOT v.is_deleted ORDER BY v.version DESC");
        let versions = query.build().fetch_all(&self.pool).await?;
        let listings = rows.iter().map(|row| {
            let listing_id: Uuid = row.try_get("id")?;
            let mut own = Vec::new();
            for version in &versions {
                if version.try_get::<Uuid, _>("listing_id")? == listing_id {
                    own.push(submission(version)?);
                }
            }
            let active_version_id: Option<Uuid> = row.try_get("active_version_id")?;
            Ok(StoreListingWithVersions {
                listing_id,
                slug: row.try_get("slug")?,
                agent_id: row.try_get("graph_id")?,
                agent_version: own.first().map_or(1, |newest| newest.agent_version),
                active_version_id,
                has_approved_version: active_version_id.is_some(),
                creator_email: row.try_get("email")?,
                latest_version: own.first().cloned(),
                versions: own,
            })
        });
        Ok((listings.collect::<Result<_>>()?, total))
    }

    /// Any version of any listing, whoever owns it: for administrators.
    pub async fn get_submission(&self, version_id: Uuid) -> Result<Option<StoreSubmission>> {
        let mut query = submissions();
        query.push(" WHERE v.id = ").push_bind(version_id).push(" AND NOT v.is_deleted");
        let row = query.build().fetch_optional(&self.pool).await.map_err(|error| self.explain(error))?;
        row.as_ref().map(submission).transpose()
    }
}

fn submissions() -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(SUBMISSIONS);
    query.push(FIGURES);
    query
}

async fn insert_version(
    connection: &mut PgConnection,
    listing_id: Uuid,
    graph_id: GraphId,
    graph_version: i32,
    content: &ListingContent,
) -> Result<Uuid> {
    let id = Uuid::now_v7();
    let insert = sqlx::query(
        "INSERT INTO store_listing_versions (id, listing_id, version, graph_id, graph_version, name, sub_heading, description, instructions, video_url,
             image_urls, categories, changes_summary, recommended_schedule_cron, status)
         VALUES ($1, $2, (SELECT coalesce(max(version), 0) + 1 FROM store_listing_versions WHERE listing_id = $2), $3, $4, $5, $6, $7, $8, $9, $10, $11,
             $12, $13, 'PENDING')",
    )
    .bind(id)
    .bind(listing_id)
    .bind(graph_id)
    .bind(graph_version);
    with_content(insert, content).execute(connection).await?;
    Ok(id)
}

/// Binds what a submission says, as the next nine parameters.
fn with_content<'q>(query: Query<'q, Postgres, PgArguments>, content: &'q ListingContent) -> Query<'q, Postgres, PgArguments> {
    query
        .bind(&content.name)
        .bind(&content.sub_heading)
        .bind(&content.description)
        .bind(&content.instructions)
        .bind(&content.video_url)
        .bind(&content.image_urls)
        .bind(&content.categories)
        .bind(&content.changes_summary)
        .bind(&content.recommended_schedule_cron)
}

fn word(status: SubmissionStatus) -> &'static str {
    SubmissionStatus::WORDS[status as usize]
}

/// What administrators note among themselves stays there.
fn for_author(submission: StoreSubmission) -> StoreSubmission {
    StoreSubmission {
        internal_comments: None,
        ..submission
    }
}

fn submission(row: &PgRow) -> Result<StoreSubmission> {
    let status: &str = row.try_get("status")?;
    Ok(StoreSubmission {
        agent_id: row.try_get("graph_id")?,
        agent_version: row.try_get("graph_version")?,
        name: row.try_get("name")?,
        sub_heading: row.try_get("sub_heading")?,
        slug: row.try_get("slug")?,
        description: row.try_get("description")?,
        instructions: row.try_get("instructions")?,
        image_urls: row.try_get("image_urls")?,
        date_submitted: instant(row, "submitted_at")?,
        status: SubmissionStatus::from_word(status).ok_or_else(|| Error::Decode(format!("submission status {status}")))?,
        runs: row.try_get("runs")?,
        rating: row.try_get("rating")?,
        store_listing_version_id: row.try_get("id")?,
        version: row.try_get("version")?,
        reviewer_id: row.try_get("reviewer_id")?,
        review_comments: row.try_get("review_comments")?,
        internal_comments: row.try_get("internal_comments")?,
        reviewed_at: time(row, "reviewed_at")?,
        changes_summary: row.try_get("changes_summary")?,
        video_url: row.try_get("video_url")?,
        categories: row.try_get("categories")?,
    })
}
