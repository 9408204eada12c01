//! Issue trackers: what they send, whether it is believed, what is understood of it and what becomes of it.

mod changes;
mod forges;
mod jira_server;
mod kept;
mod limits;
mod linear_server;
mod passed;
mod published;
mod reading;
mod requests;
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

use journeyman::{
    net::{AddressPolicy, CheckedClient, Outgoing, Timeouts},
    trackers::client::TrackerClient,
};
use std::time::Duration;

/// A client that reaches these private addresses.
pub(crate) fn client(private: &[&str]) -> TrackerClient {
    TrackerClient::new(checked(private))
}

fn checked(private: &[&str]) -> CheckedClient {
    let second = Duration::from_secs(1);
    let timeouts = Timeouts { connect: second, read: second * 5, total: Some(second * 10) };
    let policy = AddressPolicy::new(private).unwrap();
    CheckedClient::new(policy, &Outgoing::default(), timeouts).unwrap()
}
