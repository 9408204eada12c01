//! Integrations with issue trackers: what they say ([`integrations`]), what comes by them ([`intake`]) and what became of it
//! ([`deliveries`]), whose task an issue has ([`issues`]) and what is said of it there ([`answers`]); what lets the service into
//! a forge ([`forge_tokens`]). Deliveries and answers are worked off in turn ([`turns`]).

pub mod answers;
pub mod deliveries;
pub mod forge_tokens;
pub mod intake;
pub mod integrations;
pub mod issues;
pub(in crate::store) mod turns;
