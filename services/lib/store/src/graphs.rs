//! Graphs and their versions. What follows from nodes and links (schemas, flags, the links of each node) is left empty in the models that
//! are returned: `engine::graph::complete` computes it with the block catalog.

use chrono::{DateTime, Utc};
use model::{BlockId, GraphId, GraphModel, Link, Map, NodeId, NodeModel, Timestamp, UserId};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::{Error, Result, Store, storable};

const GRAPH: &str = "id, version, user_id, name, description, instructions, recommended_schedule_cron, is_active, forked_from_id, \
    forked_from_version, created_at";

/// What became of a wish to delete a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphDeletion {
    Deleted {
        versions: u64,
    },
    /// The catalogue offers it.
    Listed,
    /// Others have it in their library, or runs of it.
    UsedByOthers,
    /// A run of it is not over.
    Running,
}

impl Store {
    /// The blocks that the nodes of the user's active graphs have, the most frequent first.
    pub async fn most_used_blocks(&self, user_id: UserId, limit: i64) -> Result<Vec<BlockId>> {
        sqlx::query_scalar(
            "SELECT n.block_id FROM graphs g JOIN nodes n ON n.graph_id = g.id AND n.graph_version = g.version
             WHERE g.user_id = $1 AND g.is_active GROUP BY n.block_id ORDER BY count(*) DESC, n.block_id LIMIT $2",
        )
        .bind(user_id)
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.explain(error))
    }

    /// Stores one version with its nodes, links and sub-graphs, and the owner's library entry, all or nothing. An active version takes that
    /// over from the former one. The ids of nodes and links are those of the model; a version that exists already is a constraint error.
    pub async fn insert_graph(&self, graph: &GraphModel) -> Result<()> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        if graph.is_active {
            sqlx::query("UPDATE graphs SET is_active = false WHERE id = $1 AND is_active")
                .bind(graph.id)
                .execute(&mut *tx)
                .await?;
        }
        crate::webhooks::insert(&mut tx, graph).await?;
        for part in graph.sub_graphs.iter().chain([graph]) {
            insert_graph_row(&mut tx, part, None).await?;
            insert_nodes(&mut tx, part).await?;
            insert_links(&mut tx, part).await?;
        }
        if graph.is_active {
            crate::library::upsert_entry(&mut tx, graph).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Stores a graph whose id follows from its content, once: in no list, but runnable by its owner. False when it was there already.
    pub async fn insert_inline_graph(&self, graph: &GraphModel, sha256: [u8; 32]) -> Result<bool> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let created = insert_graph_row(&mut tx, graph, Some(sha256)).await?;
        if created {
            insert_nodes(&mut tx, graph).await?;
            insert_links(&mut tx, graph).await?;
            crate::library::upsert_entry(&mut tx, graph).await?;
            tx.commit().await?;
        }
        Ok(created)
    }

    /// The given version or the highest one, whoever owns it: access is judged by [`Store::graph_access`].
    pub async fn get_graph(&self, graph_id: GraphId, version: Option<i32>) -> Result<Option<GraphModel>> {
        let Some(mut graph) = self.get_graph_metadata(graph_id, version).await? else {
            return Ok(None);
        };
        let nodes = sqlx::query(
            "SELECT id, block_id, input_default, metadata, webhook_id FROM nodes WHERE graph_id = $1 AND graph_version = $2 ORDER BY position",
        );
        let nodes = nodes.bind(graph.id).bind(graph.version).fetch_all(&self.pool).await?;
        let links = sqlx::query(
            "SELECT id, source_node_id, sink_node_id, source_name, sink_name, is_static FROM links WHERE graph_id = $1 AND graph_version = $2 ORDER BY position",
        );
        let links = links.bind(graph.id).bind(graph.version).fetch_all(&self.pool).await?;
        graph.links = links.iter().map(link).collect::<Result<_>>()?;
        graph.nodes = nodes.iter().map(|row| node(row, graph.id, graph.version)).collect::<Result<_>>()?;
        self.show_webhooks(&mut graph).await?;
        Ok(Some(graph))
    }

    /// The nodes of many graph versions at once, without their links, in the order of each graph.
    pub async fn nodes_of(&self, versions: &[(GraphId, i32)]) -> Result<Vec<NodeModel>> {
        let rows = sqlx::query(
            "SELECT n.id, n.block_id, n.input_default, n.metadata, n.webhook_id, n.graph_id, n.graph_version
             FROM unnest($1::uuid[], $2::int[]) AS wanted(id, version) JOIN nodes n ON n.graph_id = wanted.id AND n.graph_version = wanted.version
             ORDER BY n.graph_id, n.graph_version, n.position",
        )
        .bind(versions.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind(versions.iter().map(|(_, version)| *version).collect::<Vec<_>>())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        rows.iter()
            .map(|row| node(row, row.try_get("graph_id")?, row.try_get("graph_version")?))
            .collect()
    }

    /// A graph version without nodes and links.
    pub async fn get_graph_metadata(&self, graph_id: GraphId, version: Option<i32>) -> Result<Option<GraphModel>> {
        let query = format!("SELECT {GRAPH} FROM graphs WHERE id = $1 AND ($2::int IS NULL OR version = $2) ORDER BY version DESC LIMIT 1");
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(graph_id)
            .bind(version)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        row.as_ref().map(graph).transpose()
    }

    /// The graph version that a node belongs to.
    pub async fn get_graph_of_node(&self, node_id: NodeId) -> Result<Option<GraphModel>> {
        let version: Option<(GraphId, i32)> = sqlx::query_as("SELECT graph_id, graph_version FROM nodes WHERE id = $1")
            .bind(node_id)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        match version {
            Some((graph_id, version)) => self.get_graph(graph_id, Some(version)).await,
            None => Ok(None),
        }
    }

    /// The user's graphs, one row a graph: the active version, newest first, inline graphs left out.
    pub async fn list_graphs(&self, user_id: UserId, limit: i64) -> Result<Vec<GraphModel>> {
        let query =
            format!("SELECT {GRAPH} FROM graphs WHERE user_id = $1 AND is_active AND inline_hash IS NULL ORDER BY created_at DESC, id LIMIT $2");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(user_id)
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(graph).collect()
    }

    /// Makes a version the active one, and the owner's library entry follows it. `graph` is complete but needs no nodes. False when the
    /// version is not there, or not his.
    pub async fn set_active_version(&self, graph: &GraphModel) -> Result<bool> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        sqlx::query("UPDATE graphs SET is_active = false WHERE id = $1 AND user_id = $2 AND is_active AND version <> $3")
            .bind(graph.id)
            .bind(graph.user_id)
            .bind(graph.version)
            .execute(&mut *tx)
            .await?;
        let done = sqlx::query("UPDATE graphs SET is_active = true WHERE id = $1 AND user_id = $2 AND version = $3")
            .bind(graph.id)
            .bind(graph.user_id)
            .bind(graph.version)
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        crate::library::upsert_entry(&mut tx, graph).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Deletes a graph of the user in all its versions, with its runs and library entries. Zero versions when he has no such graph.
    pub async fn delete_graph(&self, user_id: UserId, graph_id: GraphId) -> Result<GraphDeletion> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let versions: Vec<i32> = sqlx::query_scalar("SELECT version FROM graphs WHERE id = $1 AND user_id = $2 ORDER BY version FOR UPDATE")
            .bind(graph_id)
            .bind(user_id)
            .fetch_all(&mut *tx)
            .await?;
        if versions.is_empty() {
            return Ok(GraphDeletion::Deleted { versions: 0 });
        }
        let row = sqlx::query(
            "SELECT EXISTS (SELECT FROM store_listings WHERE graph_id = $1 AND NOT is_deleted) AS listed,
                    EXISTS (SELECT FROM library_agents WHERE graph_id = $1 AND user_id <> $2 AND NOT is_deleted)
                    OR EXISTS (SELECT FROM graph_executions WHERE graph_id = $1 AND user_id <> $2) AS used,
                    EXISTS (SELECT FROM graph_executions WHERE graph_id = $1 AND status IN ('INCOMPLETE', 'QUEUED', 'RUNNING', 'REVIEW')) AS running",
        )
        .bind(graph_id)
        .bind(user_id)
        .fetch_one(&mut *tx)
        .await?;
        if row.try_get("listed")? {
            return Ok(GraphDeletion::Listed);
        }
        if row.try_get("used")? {
            return Ok(GraphDeletion::UsedByOthers);
        }
        if row.try_get("running")? {
            return Ok(GraphDeletion::Running);
        }
        let done = sqlx::query("DELETE FROM graphs WHERE id = $1 AND user_id = $2")
            .bind(graph_id)
            .bind(user_id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(GraphDeletion::Deleted {
            versions: done.rows_affected(),
        })
    }

    /// Versions of a graph that the user owns, newest first.
    pub async fn list_graph_versions(&self, user_id: UserId, graph_id: GraphId, limit: i64) -> Result<Vec<i32>> {
        Ok(
            sqlx::query_scalar("SELECT version FROM graphs WHERE id = $1 AND user_id = $2 ORDER BY version DESC LIMIT $3")
                .bind(graph_id)
                .bind(user_id)
                .bind(limit)
                .fetch_all(&self.pool)
                .await?,
        )
    }
}

/// False when an inline graph of the same content is there already.
async fn insert_graph_row(connection: &mut PgConnection, graph: &GraphModel, inline_hash: Option<[u8; 32]>) -> Result<bool> {
    let conflict = if inline_hash.is_some() {
        // Without a target: of two that come at once the later one meets the index of active versions first.
        "ON CONFLICT DO NOTHING"
    } else {
        ""
    };
    let query = format!(
        "INSERT INTO graphs (id, version, user_id, name, description, recommended_schedule_cron, is_active, forked_from_id, forked_from_version, inline_hash, created_at,
             instructions)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) {conflict}"
    );
    let done = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(graph.id)
        .bind(graph.version)
        .bind(graph.user_id)
        .bind(stripped(&graph.name))
        .bind(stripped(&graph.description))
        .bind(&graph.recommended_schedule_cron)
        .bind(graph.is_active)
        .bind(graph.forked_from_id)
        .bind(graph.forked_from_version)
        .bind(inline_hash.map(Vec::from))
        .bind(graph.created_at.into_inner())
        .bind(graph.instructions.as_deref().map(stripped))
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

async fn insert_nodes(connection: &mut PgConnection, graph: &GraphModel) -> Result<()> {
    let storable_map = |map: &Map| {
        let mut map = map.clone();
        storable::strip_map(&mut map);
        Json(map)
    };
    sqlx::query(
        "INSERT INTO nodes (graph_id, graph_version, id, position, block_id, input_default, metadata, webhook_id)
         SELECT $1, $2, n.id, n.position, n.block_id, n.input_default, n.metadata, n.webhook_id
         FROM unnest($3::uuid[], $4::uuid[], $5::jsonb[], $6::jsonb[], $7::uuid[])
              WITH ORDINALITY AS n(id, block_id, input_default, metadata, webhook_id, position)",
    )
    .bind(graph.id)
    .bind(graph.version)
    .bind(graph.nodes.iter().map(|node| node.id).collect::<Vec<_>>())
    .bind(graph.nodes.iter().map(|node| node.block_id).collect::<Vec<_>>())
    .bind(graph.nodes.iter().map(|node| storable_map(&node.input_default)).collect::<Vec<_>>())
    .bind(graph.nodes.iter().map(|node| storable_map(&node.metadata)).collect::<Vec<_>>())
    .bind(graph.nodes.iter().map(crate::webhooks::webhook_id).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert_links(connection: &mut PgConnection, graph: &GraphModel) -> Result<()> {
    sqlx::query(
        "INSERT INTO links (graph_id, graph_version, id, position, source_node_id, sink_node_id, source_name, sink_name, is_static)
         SELECT $1, $2, l.id, l.position, l.source_id, l.sink_id, l.source_name, l.sink_name, l.is_static
         FROM unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::bool[])
              WITH ORDINALITY AS l(id, source_id, sink_id, source_name, sink_name, is_static, position)",
    )
    .bind(graph.id)
    .bind(graph.version)
    .bind(ids(&graph.links, |link| &link.id)?)
    .bind(ids(&graph.links, |link| &link.source_id)?)
    .bind(ids(&graph.links, |link| &link.sink_id)?)
    .bind(graph.links.iter().map(|link| stripped(&link.source_name)).collect::<Vec<_>>())
    .bind(graph.links.iter().map(|link| stripped(&link.sink_name)).collect::<Vec<_>>())
    .bind(graph.links.iter().map(|link| link.is_static).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// In everything that is stored the ends of a link are UUIDs.
fn ids(links: &[Link], field: impl Fn(&Link) -> &String) -> Result<Vec<Uuid>> {
    let parse = |link: &Link| {
        field(link)
            .parse()
            .map_err(|error| Error::Illegal(format!("link id {:?}: {error}", field(link))))
    };
    links.iter().map(parse).collect()
}

fn stripped(text: &str) -> String {
    let mut text = text.to_owned();
    storable::strip(&mut text);
    text
}

fn graph(row: &PgRow) -> Result<GraphModel> {
    Ok(GraphModel {
        id: row.try_get("id")?,
        version: row.try_get("version")?,
        is_active: row.try_get("is_active")?,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        instructions: row.try_get("instructions")?,
        recommended_schedule_cron: row.try_get("recommended_schedule_cron")?,
        nodes: Vec::new(),
        links: Vec::new(),
        forked_from_id: row.try_get("forked_from_id")?,
        forked_from_version: row.try_get("forked_from_version")?,
        sub_graphs: Vec::new(),
        user_id: row.try_get("user_id")?,
        created_at: Timestamp::from(row.try_get::<DateTime<Utc>, _>("created_at")?),
        input_schema: Value::Null,
        output_schema: Value::Null,
        has_external_trigger: false,
        has_human_in_the_loop: false,
        trigger_setup_info: None,
        credentials_input_schema: Value::Null,
    })
}

fn node(row: &PgRow, graph_id: GraphId, graph_version: i32) -> Result<NodeModel> {
    Ok(NodeModel {
        id: row.try_get("id")?,
        block_id: row.try_get("block_id")?,
        input_default: row.try_get::<Json<Map>, _>("input_default")?.0,
        metadata: row.try_get::<Json<Map>, _>("metadata")?.0,
        input_links: Vec::new(),
        output_links: Vec::new(),
        graph_id,
        graph_version,
        webhook_id: row.try_get::<Option<Uuid>, _>("webhook_id")?.map(|id| id.to_string()),
        webhook: None,
    })
}

fn link(row: &PgRow) -> Result<Link> {
    Ok(Link {
        id: row.try_get::<Uuid, _>("id")?.to_string(),
        source_id: row.try_get::<Uuid, _>("source_node_id")?.to_string(),
        sink_id: row.try_get::<Uuid, _>("sink_node_id")?.to_string(),
        source_name: row.try_get("source_name")?,
        sink_name: row.try_get("sink_name")?,
        is_static: row.try_get("is_static")?,
    })
}
