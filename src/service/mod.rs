//! The use cases that api, cli and trackers share: every method takes a `&Principal`, so that
//! tenancy and roles are asked in one place ([`access`]).
//!
//! A use case is one transaction: the state that it decides from is locked, what happened is
//! appended to the log, and the place in the queue changes with it. Nothing here speaks HTTP,
//! waits for events or touches a repository: what other rooms must do comes in as [`Hooks`].
//! Start with [`Service`].

pub mod access;
mod actions;
mod api_keys;
mod approvals;
pub mod archive;
mod bytes;
mod create;
mod edit;
mod environment_secrets;
mod environments;
mod error;
mod export;
mod fork;
mod git_credentials;
mod given;
mod idempotency;
pub mod input;
mod instructions;
mod memories;
mod names;
mod standing;
mod tasks;
mod team;
mod uploads;
mod views;

pub use crate::store::{
    log::RawEvent,
    memories::MemoryFilter,
    task_views::{TaskFilter, TaskState},
};
pub use actions::{Accepted, ActionLimits, NewMessage};
pub use api_keys::{ApiKeyCreated, ApiKeyView, NewApiKey};
pub use approvals::{ApprovalView, NewDecision};
pub use archive::FILE_BYTES_MAX as ARCHIVE_BYTES_MAX;
pub use bytes::{BytesOf, Content, unreadable};
pub use create::{NewTask, RepositoryInput};
pub use edit::{FeedbackView, NewFeedback, Rating, TaskEditInput};
pub use environment_secrets::{NewSecret, SecretView};
pub use environments::{EnvironmentEdit, EnvironmentView, NewEnvironment};
pub use error::{Error, FieldError};
pub use fork::ForkInput;
pub use git_credentials::{GitCredentialEdit, GitCredentialView, NewGitCredential};
pub use given::{CheckInput, CheckObject, NetworkInput};
pub use hooks::{Archive, AskTree, CheckArchive, CheckText, Committed, Deleted, Hooks, Tree, TreeQuestion};
pub use idempotency::{Answer, Idempotency};
pub use input::Faults;
pub use instructions::{InstructionsAuthor, InstructionsView, NewInstructions};
pub use memories::{MemoryEditInput, MemoryHit, NewMemory, SearchInput};
pub use root::{ModelView, Service, Settings};
pub use tasks::ConversationItem;
pub use team::{MeView, MemberView, TeamView, me};
pub use uploads::{UPLOAD_BYTES_MAX, UploadView};
pub use views::{TaskJson, TaskSummary};

mod hooks;
mod root;
