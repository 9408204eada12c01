//! What the audit log tells: who did what, to what, with which result.

use super::{ApiKeyId, UserId};
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;
use uuid::Uuid;

/// Bytes of an entry's detail, at most.
pub const DETAIL_BYTES_MAX: usize = 4_096;

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What was done. The words are stable: programs filter by them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Action {
            $($(#[$doc])* $name,)*
        }

        impl Action {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word in the API and in the database.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

actions! {
    /// A request that the role or the key's scopes do not allow.
    AccessRefused = "access.refused",
    ApiKeyCreated = "api_key.created",
    ApiKeyRevoked = "api_key.revoked",
    /// Another key follows it; it ends after a while.
    ApiKeyRotated = "api_key.rotated",
    ApprovalDecided = "approval.decided",
    /// Written out as CSV or JSON lines.
    AuditLogExported = "audit_log.exported",
    EnvironmentCreated = "environment.created",
    EnvironmentDeleted = "environment.deleted",
    EnvironmentUpdated = "environment.updated",
    EnvironmentSecretDeleted = "environment_secret.deleted",
    EnvironmentSecretSet = "environment_secret.set",
    GitCredentialCreated = "git_credential.created",
    GitCredentialDeleted = "git_credential.deleted",
    GitCredentialUpdated = "git_credential.updated",
    InstructionsUpdated = "instructions.updated",
    InstanceBackedUp = "instance.backed_up",
    /// All replicas give back what they run, and claim nothing.
    InstanceDrained = "instance.drained",
    /// Nothing new is claimed.
    InstancePaused = "instance.paused",
    /// The first entry after it is this one.
    InstanceRestored = "instance.restored",
    InstanceUnpaused = "instance.unpaused",
    IntegrationCreated = "integration.created",
    IntegrationDeleted = "integration.deleted",
    IntegrationUpdated = "integration.updated",
    /// What a tracker has told is worked off again.
    DeliveryReplayed = "delivery.replayed",
    LinkedAccountConfirmed = "linked_account.confirmed",
    LinkedAccountDeleted = "linked_account.deleted",
    LinkedAccountProposed = "linked_account.proposed",
    MemberRemoved = "member.removed",
    /// Made a member, or given another role or other limits.
    MemberSet = "member.set",
    MemberBudgetSet = "member.budget_set",
    /// Written out as JSON lines.
    MemoriesExported = "memories.exported",
    MemoriesImported = "memories.imported",
    MemoryCreated = "memory.created",
    MemoryDeleted = "memory.deleted",
    MemoryUpdated = "memory.updated",
    ModelSwitchedOff = "model.switched_off",
    ModelSwitchedOn = "model.switched_on",
    /// The keys of all stored secrets were wrapped under the present master key.
    SecretsRotated = "secrets.rotated",
    /// A browser session was ended by hand.
    SessionEnded = "session.ended",
    /// Of a task of somebody else, or by an operator.
    TaskCancelled = "task.cancelled",
    /// A task was made for another member.
    TaskDelegated = "task.delegated",
    TaskDeleted = "task.deleted",
    TaskExported = "task.exported",
    TaskImported = "task.imported",
    /// A task was made whose workspace reaches every host.
    TaskNetworkOpened = "task.network_opened",
    /// Somebody asked for a task's patch to be published.
    TaskPublishAsked = "task.publish_asked",
    /// It stands at its repository's host; by the service.
    TaskPublished = "task.published",
    TeamBudgetSet = "team.budget_set",
    TeamCreated = "team.created",
    TeamDeleted = "team.deleted",
    TeamPaused = "team.paused",
    TeamRetentionSet = "team.retention_set",
    TeamUnpaused = "team.unpaused",
    /// Another name, or other limits.
    TeamUpdated = "team.updated",
    UserDeactivated = "user.deactivated",
    /// Made an operator of the instance, or one no longer.
    UserOperatorSet = "user.operator_set",
    UserReactivated = "user.reactivated",
    /// Somebody took out what is kept of himself.
    UserDataExported = "user_data.exported",
    /// All that was to go is gone.
    UserErased = "user.erased",
    UserErasureAsked = "user.erasure_asked",
    WebhookDeliveryRedelivered = "webhook_delivery.redelivered",
    WebhookEndpointCreated = "webhook_endpoint.created",
    WebhookEndpointDeleted = "webhook_endpoint.deleted",
    /// By the service, as it was gone or nothing reached it.
    WebhookEndpointDisabled = "webhook_endpoint.disabled",
    /// It is signed with another secret, and for a while with the old one too.
    WebhookEndpointRotated = "webhook_endpoint.rotated",
    WebhookEndpointTested = "webhook_endpoint.tested",
    WebhookEndpointUpdated = "webhook_endpoint.updated",
}

impl std::str::FromStr for Action {
    type Err = UnknownAction;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|action| action.as_str() == text).ok_or(UnknownAction)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no action of the audit log, such as environment.created")]
pub struct UnknownAction;

/// What an action was done to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Subject {
    /// `environment`, `task`, `user` and so on.
    #[schema(value_type = String)]
    pub kind: std::borrow::Cow<'static, str>,
    pub id: String,
}

impl Subject {
    pub fn new(kind: &'static str, id: impl fmt::Display) -> Self {
        Self { kind: kind.into(), id: id.to_string() }
    }
}

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A member, through the API.
    User,
    /// Whoever has the command line of the machine.
    Operator,
    /// The service by itself, such as at a deadline.
    Service,
}

impl ActorKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Operator => "operator",
            Self::Service => "service",
        }
    }
}

/// Who did it, by ids alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actor {
    pub kind: ActorKind,
    pub user: Option<UserId>,
    /// The key that was used.
    pub api_key: Option<ApiKeyId>,
    /// The browser session that was used.
    pub session: Option<Uuid>,
    /// The user for whom it was done, where that is another.
    pub on_behalf_of: Option<UserId>,
}

impl Actor {
    /// Whoever works on the machine itself.
    pub const OPERATOR: Self = Self::of(ActorKind::Operator);
    /// The service by itself.
    pub const SERVICE: Self = Self::of(ActorKind::Service);

    const fn of(kind: ActorKind) -> Self {
        Self { kind, user: None, api_key: None, session: None, on_behalf_of: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditResult {
    Ok,
    Refused,
}

impl std::str::FromStr for AuditResult {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "ok" => Ok(Self::Ok),
            "refused" => Ok(Self::Refused),
            _ => Err("must be ok or refused"),
        }
    }
}

impl AuditResult {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
        }
    }
}
