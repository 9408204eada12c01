//! Values that must not be seen, and the redaction of what goes out.
//!
//! [`Secret`] never shows itself by accident; [`Redactor`] takes known values and well-known
//! credential shapes out of text. Neither knows where secrets come from (that is `config`).

mod redactor;
mod secret;

pub use redactor::{MIN_KNOWN_BYTES, REDACTED, Redactor};
pub use secret::Secret;
