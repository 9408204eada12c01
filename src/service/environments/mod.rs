//! What tasks find beside their repository and what reaches it: environments ([`environment`]), their secrets, git
//! credentials.

mod environment;
mod git_credentials;
mod secrets;

pub(super) use environment::too_many;
pub use environment::{EnvironmentEdit, EnvironmentView, NewEnvironment};
pub use git_credentials::{GitCredentialEdit, GitCredentialView, NewGitCredential};
pub use secrets::{NewSecret, SecretView};
