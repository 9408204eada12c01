//! The proxy through which workspaces reach the network: who may speak to whom, and what became of it.
//!
//! A workspace has no network of its own. What its programs say to the proxy comes as a byte stream, by whatever way
//! the caller carries it; here it is parsed, judged, and passed on to an address that this process resolved and
//! checked itself. Nothing a workspace says decides an address, and no secret's value goes where it is not bound to.
//! A refusal says the host and the mend, for it is a model that reads it.
//!
//! Start with [`Access`], one for each workspace, and [`Policy`].

mod access;
mod activity;
mod answer;
mod authority;
mod dial;
mod environment;
mod exchange;
mod hello;
mod intercept;
mod ledger;
mod meter;
mod policy;
mod refusal;
mod root;
mod scrub;
mod secret;
mod tunnel;

pub use access::{Access, NewAccess};
pub use environment::{BUNDLE, PORT};
pub use hello::{HELLO_BYTES_MAX, Hello, read as read_hello};
pub use ledger::{Taken, Used};
pub use policy::{Policy, Target};
pub use refusal::Refusal;
pub use root::{Egress, EgressError, EgressSettings, Limits};
pub use scrub::Scrubber;
pub use secret::{BrokerSecret, handle};
