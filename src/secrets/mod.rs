//! Values that must not be seen: sealed where they are stored, and taken out of what goes out.
//!
//! [`Secret`] never shows itself by accident; [`Keyring`] seals secrets and opens them; [`Redactor`] takes
//! known values and well-known credential shapes out of text. None knows where secrets come from
//! (that is `config` and `store`).

mod forms;
mod redactor;
mod seal;
mod secret;
mod streamed;

pub use redactor::{MIN_KNOWN_BYTES, REDACTED, Redactor};
pub use seal::{Keyring, SealError};
pub use secret::Secret;
pub use streamed::Streamed;
