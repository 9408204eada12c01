//! Who is asking: a [`Principal`](crate::domain::Principal) from an API key or a JWT.
//!
//! It resolves credentials and nothing else: what a principal may do is asked in `service`. A key
//! itself is never stored, logged or compared: its SHA-256 is looked up. Start with
//! [`Authenticator`].

mod authenticator;
mod jwt;
mod keys;
pub mod mac;

pub use authenticator::{AuthError, Authenticator, Refusal};
pub use jwt::JwtSettings;
pub use keys::{ApiKey, bootstrap, issue};
