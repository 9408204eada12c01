//! Webhook endpoints, what signs their deliveries, and the deliveries. Those of a task's events are written by
//! [`super::log::append`] with the events.

mod deliveries;
mod endpoints;
mod sending;
mod trimming;

pub use deliveries::{DeliveryRow, delivery, list_deliveries, redeliver, test};
pub use endpoints::{EndpointRow, NewEndpoint, add_secret, count, delete, delete_of_team, get, insert, list, update};
pub use sending::{Claimed, Outcome, Place, Room, SecretRow, Standing, claim, disable, give_back, secrets, settle};
pub use trimming::{Kept, trim};
