//! Issue trackers as use cases: integrations are managed ([`integrations`]), their hooks take in what trackers tell
//! ([`hooks`]), and that is read ([`work`]) and worked off later ([`act`]); what comes of it goes out ([`publish`]). What only
//! a forge can say comes in as [`Known`].

mod act;
mod checked;
mod deliveries;
mod hooks;
mod integrations;
mod people;
mod publish;
mod request;
mod work;

pub use act::Worked;
pub use deliveries::DeliveryView;
pub use hooks::DeliveryAnswer;
pub use integrations::{IntegrationEdit, IntegrationView, NewIntegration};
pub use people::Known;
pub use work::DeliveryWork;
