//! Who is asking: a [`Principal`](crate::domain::Principal) from an API key, a JWT or a browser session.
//!
//! It resolves credentials and nothing else: what a principal may do is asked in `service`. A key
//! itself is never stored, logged or compared: its SHA-256 is looked up. Start with
//! [`Authenticator`].

mod authenticator;
mod bearers;
mod endings;
mod groups;
mod jwks;
mod jwt;
mod key_set;
mod keys;
pub mod mac;
pub mod oidc;
mod sessions;

pub use crate::store::endings::Ending;
pub use authenticator::{AuthError, Authenticator, Credential, Refusal, TeamChoice};
pub use groups::{GroupMapping, Groups};
pub use jwks::{Jwks, JwksPlace, JwksTimes};
pub use jwt::JwtSettings;
pub use keys::{ApiKey, bootstrap, issue, issue_within};
pub use sessions::{Begun, Sessions};
