//! Schedules that came through REST.

use indexmap::IndexMap;
use model::{CredentialsMetaInput, GraphId, Map, Timestamp, UserId};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{QueryBuilder, Row};
use uuid::Uuid;

use crate::execution_rows::{instant, json, map, time};
use crate::{Result, Store, storable};

#[derive(Debug, Clone, PartialEq)]
pub struct NewSchedule {
    pub id: Uuid,
    pub user_id: UserId,
    pub graph_id: GraphId,
    pub graph_version: i32,
    pub name: String,
    /// The contract's dialect: five fields, 0 = Monday.
    pub cron: String,
    /// An IANA zone.
    pub timezone: String,
    pub inputs: Map,
    pub credentials: IndexMap<String, CredentialsMetaInput>,
    /// None when a GraphSchedule object fires instead of this row.
    pub next_run_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    pub id: Uuid,
    pub user_id: UserId,
    pub graph_id: GraphId,
    pub graph_version: i32,
    pub name: String,
    pub cron: String,
    pub timezone: String,
    pub inputs: Map,
    pub credentials: IndexMap<String, CredentialsMetaInput>,
    pub next_run_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

pub(crate) const SCHEDULE: &str = "id, user_id, graph_id, graph_version, name, cron, timezone, inputs, credentials, next_run_at, created_at";

impl Store {
    pub async fn insert_schedule(&self, mut schedule: NewSchedule) -> Result<Schedule> {
        storable::strip_map(&mut schedule.inputs);
        let query = format!(
            "INSERT INTO schedules (id, user_id, graph_id, graph_version, name, cron, timezone, inputs, credentials, next_run_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING {SCHEDULE}"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(schedule.id)
            .bind(schedule.user_id)
            .bind(schedule.graph_id)
            .bind(schedule.graph_version)
            .bind(&schedule.name)
            .bind(&schedule.cron)
            .bind(&schedule.timezone)
            .bind(Json(&schedule.inputs))
            .bind(Json(&schedule.credentials))
            .bind(schedule.next_run_at.map(Timestamp::into_inner))
            .fetch_one(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        read(&row)
    }

    pub async fn get_schedule(&self, id: Uuid) -> Result<Option<Schedule>> {
        let query = format!("SELECT {SCHEDULE} FROM schedules WHERE id = $1");
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        row.as_ref().map(read).transpose()
    }

    /// Oldest first.
    pub async fn list_schedules(&self, user_id: Option<UserId>, graph_id: Option<GraphId>) -> Result<Vec<Schedule>> {
        let mut query = QueryBuilder::new(format!("SELECT {SCHEDULE} FROM schedules WHERE true"));
        if let Some(user_id) = user_id {
            query.push(" AND user_id = ").push_bind(user_id);
        }
        if let Some(graph_id) = graph_id {
            query.push(" AND graph_id = ").push_bind(graph_id);
        }
        query.push(" ORDER BY created_at, id");
        let rows = query.build().fetch_all(&self.pool).await.map_err(|error| self.explain(error))?;
        rows.iter().map(read).collect()
    }

    pub async fn delete_schedule(&self, id: Uuid) -> Result<bool> {
        let done = sqlx::query("DELETE FROM schedules WHERE id = $1").bind(id).execute(&self.pool).await?;
        Ok(done.rows_affected() == 1)
    }

    /// When a run finds its graph gone, every schedule of that graph and user goes (internals §4.3).
    pub async fn delete_schedules_of_graph(&self, user_id: UserId, graph_id: GraphId) -> Result<u64> {
        let done = sqlx::query("DELETE FROM schedules WHERE user_id = $1 AND graph_id = $2")
            .bind(user_id)
            .bind(graph_id)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected())
    }
}

pub(crate) fn read(row: &PgRow) -> Result<Schedule> {
    Ok(Schedule {
        id: row.try_get("id")?,
        user_id: row.try_get("user_id")?,
        graph_id: row.try_get("graph_id")?,
        graph_version: row.try_get("graph_version")?,
        name: row.try_get("name")?,
        cron: row.try_get("cron")?,
        timezone: row.try_get("timezone")?,
        inputs: map(row, "inputs")?,
        credentials: json(row, "credentials")?.unwrap_or_default(),
        next_run_at: time(row, "next_run_at")?,
        created_at: instant(row, "created_at")?,
    })
}
