//! The schemas of the contract as types, for `body = …` of a handler whose answer or body has the contract's form.
//!
//! A type here says "the contract's schema of this name"; its content comes from `contract/schemas.json` and is not written
//! down twice. That answers really have this form is checked on the wire: the tests validate every answer against the
//! served document. A type of ours may derive `utoipa::ToSchema` instead; then it is compared with the contract's.

// One type for each schema, whether an operation names it or not.
// Their names are the contract's.
#![allow(dead_code, non_camel_case_types)]

use std::borrow::Cow;

use utoipa::openapi::schema::{AnyOfBuilder, Discriminator, OneOfBuilder};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

macro_rules! contract_schemas {
    ($($name:ident)*) => {
        $(
            pub enum $name {}

            /// A reference to itself stands for "as the contract has it": [`super::complete`] fills it in.
            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    RefOr::Ref(Ref::from_schema_name(stringify!($name)))
                }
            }

            impl ToSchema for $name {
                fn name() -> Cow<'static, str> {
                    Cow::Borrowed(stringify!($name))
                }
            }
        )*
    };
}

contract_schemas! {
    APIKeyCredentials
    APIKeyInfo
    APIKeyPermission
    APIKeyStatus
    AddUserCreditsResponse
    AdminUserSummary
    AdminUsersResponse
    AgentExecutionStatus
    ApiResponse
    AutoTopUpConfig
    AyrshareSSOResponse
    BlockCategoryResponse
    BlockCost
    BlockCostType
    BlockInfo
    BlockResponse
    Body_postV1Exchange_oauth_code_for_tokens
    Body_postV1Execute_graph_agent
    Body_postV1LogRawAnalytics
    Body_postV1Upload_file_to_cloud_storage
    Body_postV2Add_credits_to_user
    Body_postV2Add_marketplace_agent
    Body_postV2Execute_a_preset
    Body_postV2Upload_submission_media
    ChatRequest
    CountResponse
    CreateAPIKeyRequest
    CreateAPIKeyResponse
    CreateGraph
    CreateSessionResponse
    Creator
    CreatorDetails
    CreatorsResponse
    CredentialsDeletionNeedsConfirmationResponse
    CredentialsDeletionResponse
    CredentialsMetaInput
    CredentialsMetaResponse
    CreditTransactionType
    DeleteGraphResponse
    Document
    ExecutionAnalyticsConfig
    ExecutionAnalyticsRequest
    ExecutionAnalyticsResponse
    ExecutionAnalyticsResult
    Graph
    GraphExecution
    GraphExecutionJobInfo
    GraphExecutionMeta
    GraphExecutionWithNodes
    GraphExecutionsPaginated
    GraphMeta
    GraphModel
    GraphSettings
    GraphTriggerInfo
    HTTPValidationError
    LibraryAgent
    LibraryAgentPreset
    LibraryAgentPresetCreatable
    LibraryAgentPresetCreatableFromGraphExecution
    LibraryAgentPresetResponse
    LibraryAgentPresetUpdatable
    LibraryAgentResponse
    LibraryAgentSort
    LibraryAgentStatus
    LibraryAgentUpdateRequest
    Link
    LogRawMetricRequest
    LoginResponse
    MarketplaceListing
    MarketplaceListingCreator
    Message
    ModelInfo
    MyAgent
    MyAgentsResponse
    Node
    NodeExecutionResult
    NodeModel
    NotificationPreference
    NotificationPreferenceDTO
    NotificationType
    OAuth2Credentials
    OnboardingStep
    Pagination
    PendingHumanReviewModel
    PostmarkBounceEnum
    PostmarkBounceWebhook
    PostmarkClickWebhook
    PostmarkDeliveryWebhook
    PostmarkOpenWebhook
    PostmarkSpamComplaintWebhook
    PostmarkSubscriptionChangeWebhook
    Profile
    ProfileDetails
    Provider
    ProviderConstants
    ProviderEnumResponse
    ProviderNamesResponse
    ProviderResponse
    RefundRequest
    RequestTopUp
    ReviewItem
    ReviewRequest
    ReviewResponse
    ReviewStatus
    ReviewSubmissionRequest
    ScheduleCreationRequest
    SearchResponse
    SessionDetailResponse
    SetGraphActiveVersion
    ShareRequest
    ShareResponse
    SharedExecutionResponse
    Stats
    StoreAgent
    StoreAgentDetails
    StoreAgentsResponse
    StoreListingWithVersions
    StoreListingsWithVersionsResponse
    StoreReview
    StoreReviewCreate
    StoreSubmission
    StoreSubmissionEditRequest
    StoreSubmissionRequest
    StoreSubmissionsResponse
    SubmissionStatus
    SuggestionsResponse
    TimezoneResponse
    TransactionHistory
    TriggeredPresetSetupRequest
    UpdatePermissionsRequest
    UpdateTimezoneRequest
    UploadFileResponse
    UserHistoryResponse
    UserOnboardingUpdate
    UserPasswordCredentials
    UserTransaction
    ValidationError
    Webhook
}

/// What the read of one execution may answer: the owner of the graph sees its nodes.
pub enum AnyGraphExecution {}

impl PartialSchema for AnyGraphExecution {
    fn schema() -> RefOr<Schema> {
        let either = AnyOfBuilder::new().item(GraphExecution::schema()).item(GraphExecutionWithNodes::schema());
        RefOr::T(Schema::AnyOf(either.build()))
    }
}

impl ToSchema for AnyGraphExecution {}

/// What the deletion of credentials may answer.
pub enum CredentialsDeletion {}

impl PartialSchema for CredentialsDeletion {
    fn schema() -> RefOr<Schema> {
        let either = AnyOfBuilder::new()
            .item(CredentialsDeletionResponse::schema())
            .item(CredentialsDeletionNeedsConfirmationResponse::schema());
        RefOr::T(Schema::AnyOf(either.build()))
    }
}

impl ToSchema for CredentialsDeletion {}

/// Credentials of any kind, as a request gives them.
pub enum AnyCredentialsInput {}

impl PartialSchema for AnyCredentialsInput {
    fn schema() -> RefOr<Schema> {
        by_type("HostScopedCredentials-Input")
    }
}

impl ToSchema for AnyCredentialsInput {}

/// Credentials of any kind, as an answer shows them.
pub enum AnyCredentials {}

impl PartialSchema for AnyCredentials {
    fn schema() -> RefOr<Schema> {
        by_type("HostScopedCredentials-Output")
    }
}

impl ToSchema for AnyCredentials {}

/// One of the kinds of credentials, told apart by `type`.
fn by_type(host_scoped: &str) -> RefOr<Schema> {
    let kinds = [
        ("oauth2", "OAuth2Credentials"),
        ("api_key", "APIKeyCredentials"),
        ("user_password", "UserPasswordCredentials"),
        ("host_scoped", host_scoped),
    ];
    let mapping = kinds.map(|(kind, name)| (kind, Ref::from_schema_name(name).ref_location));
    let one_of = kinds
        .iter()
        .fold(OneOfBuilder::new(), |one_of, (_, name)| one_of.item(Ref::from_schema_name(*name)));
    RefOr::T(Schema::OneOf(
        one_of.discriminator(Some(Discriminator::with_mapping("type", mapping))).build(),
    ))
}

/// What a preset may be made of: values, or a run.
pub enum AnyPresetCreatable {}

impl PartialSchema for AnyPresetCreatable {
    fn schema() -> RefOr<Schema> {
        let either = AnyOfBuilder::new()
            .item(LibraryAgentPresetCreatable::schema())
            .item(LibraryAgentPresetCreatableFromGraphExecution::schema());
        RefOr::T(Schema::AnyOf(either.build()))
    }
}

impl ToSchema for AnyPresetCreatable {}

/// What Postmark tells about a mail, told apart by `RecordType`.
pub enum PostmarkWebhook {}

impl PartialSchema for PostmarkWebhook {
    fn schema() -> RefOr<Schema> {
        let kinds =
            ["Delivery", "Bounce", "SpamComplaint", "Open", "Click", "SubscriptionChange"].map(|kind| (kind, format!("Postmark{kind}Webhook")));
        let mapping = kinds.clone().map(|(kind, name)| (kind, Ref::from_schema_name(name).ref_location));
        let one_of = kinds
            .into_iter()
            .fold(OneOfBuilder::new(), |one_of, (_, name)| one_of.item(Ref::from_schema_name(name)));
        let discriminator = Discriminator::with_mapping("RecordType", mapping);
        RefOr::T(Schema::OneOf(one_of.discriminator(Some(discriminator)).build()))
    }
}

impl ToSchema for PostmarkWebhook {}
