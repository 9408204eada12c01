//! The use cases that api, cli and trackers share: every method takes a `&Principal`, so that tenancy and roles are asked in
//! one place ([`access`]). One is one transaction: what it decides from is locked, what happened is appended to the log, and
//! the place in the queue changes with it. Nothing here speaks HTTP, waits for events or touches a repository: what other
//! rooms must do comes in as [`Hooks`]. Start with [`Service`].

pub mod access;
mod actions;
mod api_keys;
mod approvals;
pub mod archive;
pub mod audit;
mod bytes;
mod create;
mod edit;
mod environments;
mod error;
mod export;
mod fork;
mod given;
mod hooks;
mod idempotency;
mod identity;
pub mod input;
mod instructions;
pub mod keeping;
mod memories;
mod memory_transfer;
mod names;
mod resting;
mod root;
mod standing;
mod tasks;
pub mod trackers;
mod uploads;
mod usage;
mod views;
pub mod webhooks;

pub use crate::store::task_views::{TaskFilter, TaskState};
pub use crate::store::usage::{UsageFilter, UsageGroup};
pub use crate::store::{audit::EntryFilter, log::RawEvent, memories::MemoryFilter};
pub use actions::{Accepted, ActionLimits, NewMessage, cancel_for_operator};
pub use api_keys::{ApiKeyCreated, ApiKeyRotation, ApiKeyView, NewApiKey};
pub use approvals::{ApprovalView, NewDecision};
pub use archive::FILE_BYTES_MAX as ARCHIVE_BYTES_MAX;
pub use bytes::{BytesOf, Content, unreadable};
pub use create::{NewTask, RepositoryInput};
pub use edit::TaskEditInput;
pub use environments::{
    EnvironmentEdit, EnvironmentView, GitCredentialEdit, GitCredentialView, NewEnvironment, NewGitCredential,
    NewSecret, SecretView,
};
pub use error::{Error, FieldError};
pub use fork::ForkInput;
pub use given::{CheckInput, CheckObject, NetworkInput};
pub use hooks::{Archive, AskTree, CheckArchive, CheckText, CheckUrl, Committed, Deleted, Hooks, Tree, TreeQuestion};
pub use idempotency::{Answer, Idempotency};
pub use identity::{
    IdentityInput, LimitsEdit, LinkedAccountView, MeView, MemberEdit, MemberView, NewLinkedAccount, NewMember, NewTeam,
    SessionView, TeamEdit, TeamView, UserView, Who,
};
pub use input::Faults;
pub use instructions::{InstructionsAuthor, InstructionsView, NewInstructions};
pub use memories::{IMPORT_BYTES_MAX, Imported, MemoryEditInput, MemoryHit, MemoryView, NewMemory, SearchInput};
pub use resting::{FeedbackView, Merged, NewFeedback, PublishAccepted, PublishInput, Rating, ReviewComment};
pub use root::{ModelView, Service, Settings};
pub use tasks::ConversationItem;
pub use uploads::{UPLOAD_BYTES_MAX, UploadView};
pub use usage::{UsageQuestion, UsageRow};
pub use views::{TaskJson, TaskSummary};
