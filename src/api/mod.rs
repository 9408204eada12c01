//! HTTP: one file per resource with its routes, its parameters and what the OpenAPI document says
//! of them.
//!
//! Nothing is decided here: a handler reads the request strictly, calls one use case of
//! `service`, and says the outcome in HTTP's words. No SQL, no files, no clock. Start with
//! [`router`], then `tasks.rs`.

mod api_keys;
mod approvals;
mod archives;
mod body;
mod bytes;
mod caller;
mod control;
mod docs;
mod environments;
mod error;
mod events;
mod git_credentials;
mod health;
mod instructions;
mod memories;
mod openapi;
mod page;
mod query;
mod reply;
mod request_id;
mod server;
mod sse;
mod state;
mod tasks;
mod team;
mod uploads;
mod wait;
mod yaml;

pub use error::Problem;
pub use health::metrics_router;
pub use openapi::{document, yaml_document};
pub use server::{router, serve};
pub use state::ApiState;
