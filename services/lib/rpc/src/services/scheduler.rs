//! The scheduler service (internals §1.6), and what the operator needs of it (design §5).

use indexmap::IndexMap;
use model::credentials::{CredentialCopy, PutCredential};
use model::progress::{ProgressCursor, ProgressPage, RunProgress, SubmitRequest, Submitted};
use model::schedule::{GraphExecutionJobInfo, ScheduleDecision};
use model::{CredentialsMetaInput, ExecutionStatus, GraphExecId, GraphId, Map, Timestamp, UserId};
use uuid::Uuid;

crate::service! {
    /// User schedules, submission of runs, and the progress of submitted runs.
    pub service Scheduler => SchedulerClient, router scheduler_router, at Scheduler {
        /// Validates like a run, then creates the schedule. `cron` is in the contract's dialect (0 = Monday).
        async fn add_graph_execution_schedule(
            user_id: UserId,
            graph_id: GraphId,
            graph_version: i32,
            cron: String,
            input_data: Map,
            input_credentials: IndexMap<String, CredentialsMetaInput>,
            name: Option<String>,
            user_timezone: Option<String>,
        ) -> GraphExecutionJobInfo;

        /// NotFoundError for an unknown id, NotAuthorizedError for another user's schedule.
        async fn delete_graph_execution_schedule(schedule_id: String, user_id: UserId) -> GraphExecutionJobInfo;

        /// All schedules that will fire again, of one graph and one user where given.
        async fn get_graph_execution_schedules(graph_id: Option<GraphId>, user_id: Option<UserId>) -> Vec<GraphExecutionJobInfo>, idempotent;

        /// Starts a run; the same key always answers with the same run.
        async fn submit_graph_execution(request: SubmitRequest) -> Submitted, idempotent;

        /// Keeps a credential for a user (the platform's service user when there is no owner); the answer is what a run carries.
        async fn put_credential(owner: Option<UserId>, credential: PutCredential) -> CredentialsMetaInput, idempotent;

        /// Credentials of all users that were kept of what `origin_prefix` says, by id, after one of them, at most 1000.
        async fn list_credential_copies(origin_prefix: String, after: Option<Uuid>) -> Vec<CredentialCopy>, idempotent;

        /// Forgets these credentials, at most 1000, apart from those that were kept again since they were listed. The answer is their number.
        async fn forget_credentials(copies: Vec<CredentialCopy>) -> u64, idempotent;

        /// Asks the run to stop and returns its present status; repeat until it is terminal.
        async fn stop_graph_execution(graph_exec_id: GraphExecId) -> ExecutionStatus, idempotent;

        /// Long poll: answers at once when a run changed after `cursor`, otherwise after `wait_ms` with an empty page.
        async fn get_execution_progress(cursor: Option<ProgressCursor>, wait_ms: u64 = 0, limit: u32 = 100) -> ProgressPage, idempotent;

        /// Where the stream of [`get_execution_progress`](Scheduler::get_execution_progress) is now: whoever reads on from here, and asks
        /// for all else by key after this call, misses nothing.
        async fn get_progress_cursor() -> ProgressCursor, idempotent;

        /// The present state of the runs that have these idempotency keys, as the stream tells it; a key that no run has is left out. At most 1000.
        async fn get_progress_by_keys(keys: Vec<String>) -> Vec<RunProgress>, idempotent;

        /// The present state of runs that were submitted with a key: what they do between two changes of their status, their newest node
        /// executions and their outputs so far. At most 1000.
        async fn get_progress_of(graph_exec_ids: Vec<GraphExecId>) -> Vec<RunProgress>, idempotent;

        /// Writes decisions about GraphSchedule objects into the ledger, all or none, at most 1000; once however often they come. The answer is
        /// their number.
        async fn record_decisions(decisions: Vec<ScheduleDecision>) -> u64, idempotent;

        /// The decisions about due times from `since` to `until`, newest due time first, with one about a range that reaches into this span.
        async fn list_decisions(
            schedule_uid: Uuid,
            since: Option<Timestamp>,
            until: Option<Timestamp>,
            limit: u32 = 100,
        ) -> Vec<ScheduleDecision>, idempotent;
    }
}
