//! The methods of the service, each a few lines: check, do, answer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use indexmap::IndexMap;
use model::credentials::{CredentialCopy, PutCredential};
use model::progress::{ProgressCursor, ProgressPage, RunProgress, SubmitRequest, Submitted};
use model::schedule::{GraphExecutionJobInfo, ScheduleDecision};
use model::{CredentialsMetaInput, ExecutionStatus, GraphExecId, GraphId, Map, Timestamp, UserId};
use rpc::RpcError;
use rpc::services::Scheduler;
use store::{NewSchedule, Schedule, Store};
use submit::{Origin, SubmitCommand, Submitter};
use uuid::Uuid;
use vault::Credentials;

use crate::cron::ContractCron;
use crate::error::{ScheduleError, of_store, of_submit, of_vault};
use crate::progress::{MOST_RUNS, Progress};
use crate::runs::Runs;
use crate::schedules::{ScheduleStore, job_info, parse_zone};

/// Decisions in one call.
const MOST_DECISIONS: usize = 1000;
/// Credentials in one answer.
const COPIES: i64 = 1000;

pub struct SchedulerService {
    pub store: Store,
    pub submitter: Submitter,
    pub schedules: Arc<dyn ScheduleStore>,
    pub runs: Runs,
    pub progress: Progress,
    pub credentials: Credentials,
}

#[async_trait]
impl Scheduler for SchedulerService {
    async fn add_graph_execution_schedule(
        &self,
        user_id: UserId,
        graph_id: GraphId,
        graph_version: i32,
        cron: String,
        input_data: Map,
        input_credentials: IndexMap<String, CredentialsMetaInput>,
        name: Option<String>,
        user_timezone: Option<String>,
    ) -> Result<GraphExecutionJobInfo, RpcError> {
        let parsed: ContractCron = cron.parse().map_err(|error| RpcError::value(format!("{error}")))?;
        let zone = user_timezone.unwrap_or_default();
        let zone =
            parse_zone(&zone).ok_or_else(|| RpcError::value(format!("Unknown time zone \"{zone}\": use an IANA name such as Europe/Paris")))?;
        let command = SubmitCommand {
            user_id,
            graph_id,
            graph_version: Some(graph_version),
            inputs: input_data,
            credentials: input_credentials,
            origin: Origin::Schedule,
            ..SubmitCommand::default()
        };
        self.submitter.check(&command).await.map_err(of_submit)?;
        let schedule = NewSchedule {
            id: Uuid::new_v4(),
            user_id,
            graph_id,
            graph_version,
            name: name.unwrap_or_default(),
            cron,
            timezone: zone.name().to_owned(),
            inputs: command.inputs,
            credentials: command.credentials,
            next_run_at: None,
        };
        let schedule = self.schedules.add(schedule, &parsed, zone).await?;
        tracing::info!(schedule_id = %schedule.id, %user_id, %graph_id, cron = schedule.cron, timezone = schedule.timezone, "schedule created");
        shown(schedule)
    }

    async fn delete_graph_execution_schedule(&self, schedule_id: String, user_id: UserId) -> Result<GraphExecutionJobInfo, RpcError> {
        let unknown = || RpcError::not_found(format!("Job #{schedule_id} not found."));
        let id: Uuid = schedule_id.parse().map_err(|_| unknown())?;
        let schedule = self.schedules.get(id).await?.ok_or_else(unknown)?;
        if schedule.user_id != user_id {
            return Err(RpcError::not_authorized("User ID does not match the job's user ID"));
        }
        self.schedules.delete(id, None).await?;
        tracing::info!(schedule_id, %user_id, "schedule deleted");
        shown(schedule)
    }

    async fn get_graph_execution_schedules(
        &self,
        graph_id: Option<GraphId>,
        user_id: Option<UserId>,
    ) -> Result<Vec<GraphExecutionJobInfo>, RpcError> {
        let now = Utc::now();
        let schedules = self.schedules.list(user_id, graph_id).await?;
        Ok(schedules.into_iter().filter_map(|schedule| job_info(schedule, now)).collect())
    }

    async fn submit_graph_execution(&self, request: SubmitRequest) -> Result<Submitted, RpcError> {
        self.runs.submit(request).await
    }

    async fn put_credential(&self, owner: Option<UserId>, credential: PutCredential) -> Result<CredentialsMetaInput, RpcError> {
        let owner = self.runs.owner(owner).await?;
        self.credentials.put(owner, &credential).await.map_err(of_vault)
    }

    async fn list_credential_copies(&self, origin_prefix: String, after: Option<Uuid>) -> Result<Vec<CredentialCopy>, RpcError> {
        let copies = self.store.credential_copies(&origin_prefix, after.unwrap_or_default(), COPIES).await;
        copies.map_err(of_store)
    }

    async fn forget_credentials(&self, copies: Vec<CredentialCopy>) -> Result<u64, RpcError> {
        self.store.forget_credentials(&copies).await.map_err(of_store)
    }

    async fn stop_graph_execution(&self, graph_exec_id: GraphExecId) -> Result<ExecutionStatus, RpcError> {
        self.runs.stop(graph_exec_id).await
    }

    async fn get_execution_progress(&self, cursor: Option<ProgressCursor>, wait_ms: u64, limit: u32) -> Result<ProgressPage, RpcError> {
        let cursor = cursor.unwrap_or_default();
        let page = self.progress.after(&cursor, Duration::from_millis(wait_ms), limit).await;
        page.map_err(of_store)
    }

    async fn get_progress_cursor(&self) -> Result<ProgressCursor, RpcError> {
        self.progress.cursor().await.map_err(of_store)
    }

    async fn get_progress_by_keys(&self, keys: Vec<String>) -> Result<Vec<RunProgress>, RpcError> {
        if keys.len() > MOST_RUNS {
            // Whoever asks takes what is not answered for something that is not there.
            return Err(RpcError::value(format!(
                "{} keys are too many for one call: send at most {MOST_RUNS}",
                keys.len()
            )));
        }
        self.progress.by_keys(&keys).await.map_err(of_store)
    }

    async fn get_progress_of(&self, graph_exec_ids: Vec<GraphExecId>) -> Result<Vec<RunProgress>, RpcError> {
        self.progress.of(&graph_exec_ids).await.map_err(of_store)
    }

    async fn record_decisions(&self, decisions: Vec<ScheduleDecision>) -> Result<u64, RpcError> {
        let count = decisions.len();
        if count > MOST_DECISIONS {
            return Err(RpcError::value(format!(
                "{count} decisions are too many for one call: send at most {MOST_DECISIONS}"
            )));
        }
        self.store.record_decisions(&decisions).await.map_err(of_store)?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    async fn list_decisions(
        &self,
        schedule_uid: Uuid,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<ScheduleDecision>, RpcError> {
        let limit = usize::try_from(limit).unwrap_or(MOST_DECISIONS).min(MOST_DECISIONS);
        let listed = self
            .store
            .list_decisions(schedule_uid, since, until, i64::try_from(limit).unwrap_or_default());
        listed.await.map_err(of_store)
    }
}

/// A schedule whose last date has passed has no next time to show.
fn shown(schedule: Schedule) -> Result<GraphExecutionJobInfo, RpcError> {
    let cron = schedule.cron.clone();
    job_info(schedule, Utc::now()).ok_or_else(|| ScheduleError::NeverDue(cron).into())
}
