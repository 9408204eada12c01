//! Webhook endpoints: where a team has its events sent, for its admins. What sends is `jobs/webhooks`.

mod check;
mod deliveries;
mod endpoints;
mod secret;
mod view;

pub use endpoints::{NewWebhookEndpoint, WebhookEndpointEdit};
pub use view::{WebhookDeliveryView, WebhookEndpointCreated, WebhookEndpointView, WebhookSecretView};
