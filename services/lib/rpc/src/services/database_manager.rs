//! The database manager (internals §1.5): the only way to the database for executor, scheduler and notification.

use indexmap::IndexMap;
use model::catalogue::{StoreAgentDetails, StoreAgents};
use model::credentials::OpenCredential;
use model::graph::GraphSettings;
use model::library::{LibraryAgent, LibraryAgents, LibrarySort};
use model::notification::{
    DueSummary, NotificationEvent, NotificationPreference, NotificationType, UserExecutionSummary, UserNotificationBatch, UserNotificationEvent,
};
use model::review::{RepeatAnswer, ReviewResult};
use model::user::{UsageTransactionMetadata, User};
use model::{
    AgentRequest, AgentRun, AppendOutcome, BlockId, ClaimedRun, CredentialsMetaInput, CreditCheck, CreditReservation, DeadRun, ExecutionStatus,
    GivenUpRun, Graph, GraphExecId, GraphExecution, GraphExecutionMeta, GraphExecutionWithNodes, GraphId, GraphModel, HeldRun, JournalBatch, Link,
    Map, NodeExecId, NodeExecutionResult, NodeId, NodeInputMasks, NodeModel, NodeStats, RenewOutcome, ReserveOutcome, StoredStats, Timestamp, UserId,
    WrittenBatch,
};
use serde_json::Value;
use uuid::Uuid;

use crate::RpcError;
use crate::private::Body;

crate::service! {
    /// Reads and writes of the contract, and the executor's claims, leases and journal.
    ///
    /// The contract's writing methods refuse with a ValueError while the run has a live lease.
    pub service DatabaseManager => DatabaseManagerClient, router database_manager_router, at DatabaseManager {
        // Executions.

        /// Not deleted, by parent.
        async fn get_child_graph_executions(parent_exec_id: GraphExecId) -> Vec<GraphExecutionMeta>, idempotent;

        /// Newest first.
        async fn get_graph_executions(
            graph_exec_id: Option<GraphExecId>,
            graph_id: Option<GraphId>,
            graph_version: Option<i32>,
            user_id: Option<UserId>,
            statuses: Option<Vec<ExecutionStatus>>,
            created_time_gte: Option<Timestamp>,
            created_time_lte: Option<Timestamp>,
            limit: Option<i64>,
        ) -> Vec<GraphExecutionMeta>, idempotent;

        async fn get_graph_executions_count(
            user_id: Option<UserId>,
            graph_id: Option<GraphId>,
            statuses: Option<Vec<ExecutionStatus>>,
            created_time_gte: Option<Timestamp>,
            created_time_lte: Option<Timestamp>,
        ) -> i64, idempotent;

        async fn get_graph_execution_meta(user_id: UserId, execution_id: GraphExecId) -> Option<GraphExecutionMeta>, idempotent;

        /// With its node executions; of any user when none is given.
        async fn get_graph_execution(user_id: Option<UserId>, execution_id: GraphExecId) -> Option<GraphExecutionWithNodes>, idempotent;

        /// `starting_nodes_input`: pairs of node and its input, each of which becomes a QUEUED node execution.
        async fn create_graph_execution(
            graph_id: GraphId,
            graph_version: i32,
            starting_nodes_input: Vec<(NodeId, Map)>,
            inputs: Map,
            user_id: UserId,
            preset_id: Option<String>,
            credential_inputs: Option<IndexMap<String, CredentialsMetaInput>>,
            nodes_input_masks: Option<NodeInputMasks>,
            parent_graph_exec_id: Option<GraphExecId>,
        ) -> GraphExecutionWithNodes;

        async fn get_node_execution(node_exec_id: NodeExecId) -> Option<NodeExecutionResult>, idempotent;

        async fn get_node_executions(
            graph_exec_id: Option<GraphExecId>,
            node_id: Option<NodeId>,
            block_ids: Option<Vec<BlockId>>,
            statuses: Option<Vec<ExecutionStatus>>,
            limit: Option<i64>,
            created_time_gte: Option<Timestamp>,
            created_time_lte: Option<Timestamp>,
            include_exec_data: bool = true,
        ) -> Vec<NodeExecutionResult>, idempotent;

        async fn get_latest_node_execution(node_id: NodeId, graph_eid: GraphExecId) -> Option<NodeExecutionResult>, idempotent;

        /// A transition that the table of internals §2.11 forbids changes nothing and returns the unchanged record.
        async fn update_node_execution_status(
            node_exec_id: NodeExecId,
            status: ExecutionStatus,
            execution_data: Option<Map>,
            stats: Option<NodeStats>,
        ) -> NodeExecutionResult;

        /// Number of rows changed.
        async fn update_node_execution_status_batch(node_exec_ids: Vec<NodeExecId>, status: ExecutionStatus, stats: Option<NodeStats>) -> i64;

        /// Sets RUNNING and the start time.
        async fn update_graph_execution_start_time(graph_exec_id: GraphExecId) -> Option<GraphExecution>;

        /// At least one of `status` and `stats`.
        async fn update_graph_execution_stats(graph_exec_id: GraphExecId, status: Option<ExecutionStatus>, stats: Option<StoredStats>) -> Option<GraphExecution>;

        /// Adds the value to the oldest INCOMPLETE execution of the node that lacks it, or to a new one; returns all inputs so far.
        async fn upsert_execution_input(
            node_id: NodeId,
            graph_exec_id: GraphExecId,
            input_name: String,
            input_data: Value,
            node_exec_id: Option<NodeExecId>,
        ) -> (NodeExecutionResult, Map);

        async fn upsert_execution_output(node_exec_id: NodeExecId, output_name: String, output_data: Option<Value>) -> ();

        async fn get_execution_kv_data(user_id: UserId, key: String) -> Option<Value>, idempotent;

        async fn set_execution_kv_data(user_id: UserId, node_exec_id: NodeExecId, key: String, data: Option<Value>) -> Option<Value>, idempotent;

        // Claims, leases, journal: ours (design §6).

        /// Up to `free_slots` QUEUED runs, now leased to `owner`, with their state.
        async fn claim(owner: Uuid, owner_name: String, free_slots: u32) -> Vec<ClaimedRun>;

        /// True when there may be something to claim, false after some seconds without. One of those who wait hears of each piece of work.
        async fn await_work(owner: Uuid) -> bool, idempotent;

        /// One outcome per batch, in order. Safe to repeat: a range that is already there answers Applied.
        async fn append_journal(owner: Uuid, batches: Vec<JournalBatch>) -> Vec<AppendOutcome>, idempotent;

        /// Starts the run of a nested agent, once per node execution, and tells what it has come to.
        async fn run_agent(request: AgentRequest) -> AgentRun, idempotent;

        async fn renew_lease(owner: Uuid) -> RenewOutcome, idempotent;

        /// Puts runs back to QUEUED without a lease; returns how many.
        async fn release_runs(owner: Uuid, runs: Vec<HeldRun>) -> u64, idempotent;

        /// Runs that their executor cannot get on with: each is tried again later, or dead when that was the last attempt.
        async fn give_up_runs(owner: Uuid, runs: Vec<GivenUpRun>) -> (), idempotent;

        /// Runs that were given up, newest first; with `only_undriven` those that nobody has driven again.
        async fn list_dead_runs(user_id: Option<UserId>, only_undriven: bool = false, limit: u32 = 100) -> Vec<DeadRun>, idempotent;

        /// A new run with the inputs of a dead one; while a former redrive is not over, that one's run.
        async fn redrive_run(graph_exec_id: GraphExecId) -> GraphExecId;

        /// Gives up the lease itself, at the end of the executor.
        async fn release_lease(owner: Uuid) -> (), idempotent;

        /// What a subscriber to a run's events begins with.
        async fn get_execution_snapshot(user_id: UserId, graph_exec_id: GraphExecId) -> Option<GraphExecutionWithNodes>, idempotent;

        /// How far the journal of a run of the user has come; its live events carry the same numbers. None when there is no such run.
        async fn get_execution_position(user_id: UserId, graph_exec_id: GraphExecId) -> Option<i64>, idempotent;

        // Graphs.

        async fn get_node(node_id: NodeId) -> NodeModel, idempotent;

        /// The newest version that the user may see when none is given.
        async fn get_graph(
            graph_id: GraphId,
            version: Option<i32>,
            user_id: Option<UserId>,
            for_export: bool = false,
            include_subgraphs: bool = false,
            skip_access_check: bool = false,
        ) -> Option<GraphModel>, idempotent;

        async fn get_connected_output_nodes(node_id: NodeId) -> Vec<(Link, NodeModel)>, idempotent;

        async fn get_graph_metadata(graph_id: GraphId, version: Option<i32>) -> Option<Graph>, idempotent;

        async fn get_graph_settings(user_id: UserId, graph_id: GraphId) -> GraphSettings, idempotent;

        /// GraphNotAccessibleError or GraphNotInLibraryError when the user may not run it.
        async fn validate_graph_execution_permissions(user_id: UserId, graph_id: GraphId, graph_version: i32, is_sub_graph: bool = false) -> (), idempotent;

        // Credits, in cents.

        /// The new balance; InsufficientBalanceError when there is not enough.
        async fn spend_credits(user_id: UserId, cost: i64, metadata: UsageTransactionMetadata) -> i64;

        async fn get_credits(user_id: UserId) -> i64, idempotent;

        /// What the user may start a run with. Ours.
        async fn check_credits(user_id: UserId) -> CreditCheck, idempotent;

        /// Holds back what a node costs before it starts. The charge becomes final with the journal entry that ends the node, or is given
        /// back by it when the node never started. Ours.
        async fn reserve_credits(reservation: CreditReservation) -> ReserveOutcome, idempotent;

        // Users.

        /// Users with executions in the window.
        async fn get_active_user_ids_in_timerange(start_time: Timestamp, end_time: Timestamp) -> Vec<UserId>, idempotent;

        async fn get_user_by_id(user_id: UserId) -> User, idempotent;

        async fn get_user_email_by_id(user_id: UserId) -> Option<String>, idempotent;

        async fn get_user_email_verification(user_id: UserId) -> bool, idempotent;

        async fn get_user_notification_preference(user_id: UserId) -> NotificationPreference, idempotent;

        async fn get_user_execution_summary_data(user_id: UserId, start_time: Timestamp, end_time: Timestamp) -> UserExecutionSummary, idempotent;

        /// Takes users whose summary of the past week nobody else is about to queue. Ours; the claim runs out after five minutes.
        async fn claim_weekly_summaries(limit: i64) -> Vec<DueSummary>;

        /// Ours: the claimed summary is on its queue.
        async fn weekly_summary_queued(user_id: UserId, end_time: Timestamp) -> (), idempotent;

        // Human review.

        /// Asks for a review unless the node has asked already; the decision once there is one.
        async fn get_or_create_human_review(
            user_id: UserId,
            node_exec_id: NodeExecId,
            graph_exec_id: GraphExecId,
            graph_id: GraphId,
            graph_version: i32,
            input_data: Value,
            message: Option<String>,
            editable: bool,
        ) -> Option<ReviewResult>, idempotent;

        async fn has_pending_reviews_for_graph_exec(graph_exec_id: GraphExecId) -> bool, idempotent;

        async fn update_review_processed_status(node_exec_id: NodeExecId, processed: bool) -> (), idempotent;

        /// Ours: whether the claim `epoch` may run a node again that must not take effect twice (design §6.8).
        async fn ask_to_repeat(
            user_id: UserId,
            graph_exec_id: GraphExecId,
            node_exec_id: NodeExecId,
            epoch: i64,
            input_data: Map,
            message: String,
        ) -> RepeatAnswer, idempotent;

        /// Ours: a user's credential with its secret, for the block that was given the reference.
        async fn open_credential(user_id: UserId, credential_id: String) -> OpenCredential, idempotent;

        // Library and catalogue.

        async fn list_library_agents(
            user_id: UserId,
            search_term: Option<String>,
            sort_by: LibrarySort = LibrarySort::default(),
            page: i64 = 1,
            page_size: i64 = 50,
        ) -> LibraryAgents, idempotent;

        /// What is there already is returned as it is.
        async fn add_store_agent_to_library(store_listing_version_id: String, user_id: UserId) -> LibraryAgent, idempotent;

        async fn get_store_agents(
            sorted_by: Option<String>,
            search_query: Option<String>,
            category: Option<String>,
            page: i64 = 1,
            page_size: i64 = 20,
        ) -> StoreAgents, idempotent;

        async fn get_store_agent_details(username: String, agent_name: String) -> StoreAgentDetails, idempotent;

        // Notification batches.

        async fn clear_all_user_notification_batches(user_id: UserId) -> (), idempotent;

        async fn create_or_add_to_user_notification_batch(
            user_id: UserId,
            notification_type: NotificationType,
            notification_data: NotificationEvent,
        ) -> UserNotificationBatch;

        async fn empty_user_notification_batch(user_id: UserId, notification_type: NotificationType) -> (), idempotent;

        /// Deletes the batch with its last event.
        async fn remove_notifications_from_batch(user_id: UserId, notification_type: NotificationType, notification_ids: Vec<String>) -> (), idempotent;

        async fn get_all_batches_by_type(notification_type: NotificationType) -> Vec<UserNotificationBatch>, idempotent;

        async fn get_user_notification_batch(user_id: UserId, notification_type: NotificationType) -> Option<UserNotificationBatch>, idempotent;

        async fn get_user_notification_oldest_message_in_batch(user_id: UserId, notification_type: NotificationType) -> Option<UserNotificationEvent>, idempotent;
    }
}

impl DatabaseManagerClient {
    /// [`DatabaseManager::append_journal`] for entries that are JSON already.
    ///
    /// # Errors
    /// As every call.
    pub async fn append_written(&self, owner: Uuid, batches: &[WrittenBatch]) -> Result<Vec<AppendOutcome>, RpcError> {
        let mut body = Body::new();
        body.argument("owner", &owner)?;
        body.argument("batches", batches)?;
        self.0.call("append_journal", body, true).await
    }
}
