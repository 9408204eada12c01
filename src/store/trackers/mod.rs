//! Integrations with issue trackers: what they say ([`integrations`]), what has come by them ([`deliveries`]), and whose
//! task an issue has ([`issues`]).

pub mod deliveries;
pub mod integrations;
pub mod issues;
