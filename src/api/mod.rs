//! HTTP: one file per resource with its routes, its parameters and what the OpenAPI document says
//! of them.
//!
//! Nothing is decided here: a handler reads the request strictly, calls one use case of
//! `service`, and says the outcome in HTTP's words. No SQL, no files, no clock. Start with
//! [`router`], then `tasks.rs`.

mod api_keys;
mod approvals;
mod archives;
mod audit_log;
mod body;
mod bytes;
mod caller;
mod client_address;
mod control;
mod cookies;
mod csv;
mod docs;
mod environments;
mod erasures;
mod error;
mod events;
mod git_credentials;
mod health;
mod hooks;
mod instructions;
mod integrations;
mod linked_accounts;
mod login;
mod me;
mod memories;
mod openapi;
mod own_data;
mod page;
mod query;
mod rate_limits;
mod reply;
mod request_id;
mod server;
mod sessions;
mod sse;
mod state;
mod streams;
mod tasks;
mod teams;
mod uploads;
mod usage;
mod users;
mod vigil;
mod wait;
mod webhooks;
mod yaml;

pub use error::Problem;
pub use health::metrics_router;
pub use login::Login;
pub use openapi::{document, yaml_document};
pub use rate_limits::{Rate, Rates};
pub use server::{router, serve};
pub use state::ApiState;
