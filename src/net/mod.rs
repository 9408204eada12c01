//! Addresses that others chose: which of them may be reached, and the one HTTP client for them.
//!
//! [`AddressPolicy`] decides. A name is resolved once, every address that it gives is checked, and
//! only the checked addresses are connected to, so a name that answers differently the second time
//! gains nothing. This room never follows a redirect and never reads a proxy from the environment.
//! Start with [`address`].

pub mod address;
pub mod client;
mod waits;

pub use address::{AddressPolicy, NetError, is_public};
pub use client::{Beginning, CheckedClient, FetchError, Fetched, Outgoing, Timeouts, fetch, fetch_beginning};
pub use waits::{retry_after, until};
