//! Issue trackers: what they send, whether it is believed, what is understood of it and what becomes of it.

mod forges;
mod jira_server;
mod kept;
mod linear_server;
mod passed;
mod published;
mod reading;
pub(crate) mod sent;
mod shapes;
mod signatures;
mod stories;
mod texts;
mod trust;
mod understood;
mod voices;
mod whole;
mod wiki;
