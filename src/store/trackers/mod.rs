//! Integrations with issue trackers: what they say ([`integrations`]), what has come by them ([`deliveries`]), and whose
//! task an issue has ([`issues`]), what is said of it there ([`answers`]); what lets the service into a forge ([`forge_tokens`]).

pub mod answers;
pub mod deliveries;
pub mod forge_tokens;
pub mod integrations;
pub mod issues;
