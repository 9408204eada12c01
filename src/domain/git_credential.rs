//! What a team gives the service to reach its private repositories.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a git credential is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GitCredentialKind {
    /// A password or token for http and https.
    Token,
    /// A private key for ssh.
    Ssh,
}

impl GitCredentialKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Ssh => "ssh",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        [Self::Token, Self::Ssh].into_iter().find(|one| one.as_str() == word)
    }
}
