//! Sending webhooks: deliveries that are due are claimed, signed as Standard Webhooks has it, sent and settled.
//!
//! An event's deliveries are rows that its own commit wrote, so none is lost whatever dies; one whose sender has died is sent
//! again once its lease is over. A receiver may hear of an event twice, with the same id and the same bytes. An endpoint that is
//! slow or dead has few places, so that it holds up no other. Start with [`Webhooks`].

mod attempt;
mod loading;
mod places;
mod schedule;
mod sending;
mod settling;
mod sign;

pub use schedule::{Decision, decide};
pub use sending::{WebhookSettings, Webhooks};
pub use sign::signature;
