//! Ids as newtypes. Ids of rows are UUIDv7; they are made where randomness is owned
//! (`clock`), never here.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
        )]
        #[serde(transparent)]
        #[schema(value_type = Uuid)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
    )*};
}

uuid_id! {
    /// A task: one conversation with its working copy, in one or more runs.
    TaskId;
    /// A team: the tenant. Everything stored belongs to exactly one.
    TeamId;
    /// A person or program, known by (issuer, subject).
    UserId;
    /// An API key's row; never the key itself.
    ApiKeyId;
    /// One remembered text.
    MemoryId;
    /// One question to a person: a plan, a command, a choice.
    ApprovalId;
    /// An uploaded archive or bundle.
    UploadId;
    /// A team's environment.
    EnvironmentId;
    /// What a team gives to reach private repositories.
    GitCredentialId;
    /// A browser session of a user; never its cookie.
    SessionId;
    /// An account of a member at a forge or tracker.
    LinkedAccountId;
    /// Where a team has its events sent.
    WebhookEndpointId;
    /// One event for one endpoint, and the `webhook-id` under which it is sent.
    WebhookDeliveryId;
    /// A team's integration with an issue tracker.
    IntegrationId;
    /// What a tracker has told, once.
    DeliveryId;
    /// One process of the service; changes at every start.
    ReplicaId;
}

/// A tool call's id, made by the server from the turn and the call's place in the reply
/// (`call_3_0`): unique in its task, the same however often the log is folded. Providers' own
/// ids are not used because some repeat theirs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "call_3_0")]
pub struct CallId(String);

impl CallId {
    /// The call at `index` (from 0) of the reply of model call number `turn` (from 1).
    pub fn new(turn: u32, index: usize) -> Self {
        Self(format!("call_{turn}_{index}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CallId {
    type Err = InvalidCallId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, '_');
        let number = |part: Option<&str>| part.is_some_and(|p| p.parse::<u32>().is_ok());
        if parts.next() == Some("call") && number(parts.next()) && number(parts.next()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidCallId)
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a call id (like call_3_0)")]
pub struct InvalidCallId;

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A position in one task's event log, from 1 without gaps.
pub type Seq = i64;

/// SHA-256 of a stored content, lower-case hex: the key of a blob.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = String)]
pub struct BlobHash(pub String);

impl BlobHash {
    pub fn of(content: &[u8]) -> Self {
        use sha2::{Digest, Sha256};
        use std::fmt::Write;
        let mut hex = String::with_capacity(64);
        for byte in Sha256::digest(content) {
            let _ = write!(hex, "{byte:02x}");
        }
        Self(hex)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A git object id, lower-case hex (SHA-1: 40, SHA-256: 64 digits).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = String)]
pub struct Oid(String);

impl Oid {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Oid {
    type Err = InvalidOid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex && matches!(text.len(), 40 | 64) { Ok(Self(text.to_owned())) } else { Err(InvalidOid) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a git object id")]
pub struct InvalidOid;

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
