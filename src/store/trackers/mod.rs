//! Integrations with issue trackers: what they say ([`integrations`]), what has come by them ([`deliveries`]), and whose
//! task an issue has ([`issues`]); what lets the service into a forge ([`forge_tokens`]).

pub mod deliveries;
pub mod forge_tokens;
pub mod integrations;
pub mod issues;
