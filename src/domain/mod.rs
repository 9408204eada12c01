//! The pure nouns of Journeyman and their legal transitions.
//!
//! No async, no clock, no randomness, no I/O: a value here is made from other values. Start
//! with [`event`] (what a task is made of) and [`task`] (what the outside sees of it).

pub mod approval;
pub mod arguments;
pub mod audit;
pub mod brief;
pub mod check;
pub mod environment;
pub mod error;
pub mod event;
pub mod git_credential;
pub mod ids;
pub mod instructions;
pub mod integration;
pub mod item;
pub mod learning;
pub mod limits;
pub mod linked_account;
pub mod mcp;
pub mod memory;
pub mod network;
pub mod plan;
pub mod principal;
pub mod publish;
pub mod review;
pub mod rule;
pub mod schema;
pub mod secret;
pub mod skill;
pub mod task;
pub mod time;
pub mod tool;
pub mod usage;
pub mod webhook;

pub use error::{ErrorCode, TaskError};
pub use event::{Event, EventData, Private};
pub use ids::*;
pub use item::Item;
pub use limits::Limits;
pub use principal::{MemberOrigin, Principal, Role, Scope};
pub use task::{Mode, Phase, Status, TaskSpec, WaitingFor};
pub use time::Timestamp;
