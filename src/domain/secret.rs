//! Whose a stored secret is, and what of it is stored. The value itself is `secrets::Secret`.

use super::TeamId;
use std::fmt;
use uuid::Uuid;

/// What a stored secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// Of an environment, by its variable's name.
    Environment,
    /// A git credential's token or key.
    GitCredential,
    /// What signs a webhook endpoint's deliveries.
    Webhook,
    /// What signs an integration's hooks, or what its tracker is asked with.
    Integration,
}

impl SecretKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::GitCredential => "git credential",
            Self::Webhook => "webhook endpoint",
            Self::Integration => "integration",
        }
    }
}

/// Whose a secret is: bound to it by its seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub team: TeamId,
    pub kind: SecretKind,
    /// The environment's, the credential's or the endpoint's own.
    pub id: Uuid,
    pub name: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the secret {} of the {} {}", self.name, self.kind.as_str(), self.id)
    }
}

/// A sealed secret as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The master key that wraps `wrapped_key`.
    pub key_id: String,
    /// Nonce, the secret's own key sealed, tag.
    pub wrapped_key: Vec<u8>,
    /// Nonce, the value sealed, tag.
    pub sealed: Vec<u8>,
}
