//! How far users have come with getting to know the platform (rest.md §2.8).

use model::UserId;
use model::onboarding::{Onboarding, OnboardingUpdate};
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use uuid::Uuid;

use crate::execution_rows::{instant, json, time};
use crate::{Result, Store};

impl Store {
    /// The user's row, made on the first read.
    pub async fn get_or_create_onboarding(&self, user_id: UserId) -> Result<Onboarding> {
        self.update_onboarding(user_id, &OnboardingUpdate::default())
            .await
            .map(|(onboarding, _)| onboarding)
    }

    /// Adds what is new, and returns the row as it is then, with the steps that were not completed before.
    pub async fn update_onboarding(&self, user_id: UserId, update: &OnboardingUpdate) -> Result<(Onboarding, Vec<String>)> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        sqlx::query("INSERT INTO user_onboarding (user_id, id) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(user_id)
            .bind(Uuid::now_v7())
            .execute(&mut *tx)
            .await?;
        let before: Vec<String> = sqlx::query_scalar("SELECT completed_steps FROM user_onboarding WHERE user_id = $1 FOR UPDATE")
            .bind(user_id)
            .fetch_one(&mut *tx)
            .await?;
        let row = sqlx::query(
            "UPDATE user_onboarding SET
                 completed_steps = completed_steps || ARRAY(SELECT s FROM unnest($2::text[]) s WHERE s <> ALL (completed_steps)),
                 notified = notified || ARRAY(SELECT s FROM unnest($3::text[]) s WHERE s <> ALL (notified)),
                 wallet_shown = wallet_shown OR coalesce($4, false),
                 usage_reason = coalesce($5, usage_reason), integrations = coalesce($6, integrations),
                 other_integrations = coalesce($7, other_integrations),
                 selected_store_listing_version_id = coalesce($8, selected_store_listing_version_id),
                 agent_input = coalesce($9, agent_input), onboarding_agent_execution_id = coalesce($10, onboarding_agent_execution_id),
                 agent_runs = greatest(agent_runs, coalesce($11, 0)), last_run_at = coalesce($12, last_run_at),
                 consecutive_run_days = coalesce($13, consecutive_run_days),
                 updated_at = CASE WHEN $14 THEN now() ELSE updated_at END
             WHERE user_id = $1 RETURNING *",
        )
        .bind(user_id)
        .bind(update.completed_steps.as_deref().map(distinct))
        .bind(update.notified.as_deref().map(distinct))
        .bind(update.wallet_shown)
        .bind(&update.usage_reason)
        .bind(&update.integrations)
        .bind(&update.other_integrations)
        .bind(&update.selected_store_listing_version_id)
        .bind(update.agent_input.as_ref().map(Json))
        .bind(&update.onboarding_agent_execution_id)
        .bind(update.agent_runs)
        .bind(update.last_run_at.map(model::Timestamp::into_inner))
        .bind(update.consecutive_run_days)
        .bind(*update != OnboardingUpdate::default())
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        let now = onboarding(&row)?;
        let completed = now.completed_steps.iter().filter(|step| !before.contains(step)).cloned().collect();
        Ok((now, completed))
    }

    /// Back to the beginning.
    pub async fn reset_onboarding(&self, user_id: UserId) -> Result<Onboarding> {
        sqlx::query("DELETE FROM user_onboarding WHERE user_id = $1")
            .bind(user_id)
            .execute(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        self.get_or_create_onboarding(user_id).await
    }
}

/// Each once, in the given order.
fn distinct(steps: &[String]) -> Vec<String> {
    let mut kept: Vec<String> = Vec::with_capacity(steps.len());
    for step in steps {
        if !kept.contains(step) {
            kept.push(step.clone());
        }
    }
    kept
}

fn onboarding(row: &PgRow) -> Result<Onboarding> {
    Ok(Onboarding {
        id: row.try_get("id")?,
        created_at: instant(row, "created_at")?,
        updated_at: instant(row, "updated_at")?,
        completed_steps: row.try_get("completed_steps")?,
        wallet_shown: row.try_get("wallet_shown")?,
        notified: row.try_get("notified")?,
        rewarded_for: row.try_get("rewarded_for")?,
        usage_reason: row.try_get("usage_reason")?,
        integrations: row.try_get("integrations")?,
        other_integrations: row.try_get("other_integrations")?,
        selected_store_listing_version_id: row.try_get("selected_store_listing_version_id")?,
        agent_input: json(row, "agent_input")?,
        onboarding_agent_execution_id: row.try_get("onboarding_agent_execution_id")?,
        agent_runs: row.try_get("agent_runs")?,
        last_run_at: time(row, "last_run_at")?,
        consecutive_run_days: row.try_get("consecutive_run_days")?,
        user_id: row.try_get("user_id")?,
    })
}
