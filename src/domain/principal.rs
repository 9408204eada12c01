//! Who is asking.

use super::{ApiKeyId, TeamId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a member may do; each role may do all that the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads the team's tasks.
    Viewer,
    /// Creates and steers tasks, keeps memories, makes API keys for himself.
    Member,
    /// Manages the team.
    Admin,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Admin => "admin",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "viewer" => Ok(Self::Viewer),
            "member" => Ok(Self::Member),
            "admin" => Ok(Self::Admin),
            _ => Err(UnknownRole),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("role must be viewer, member or admin")]
pub struct UnknownRole;

/// What an API key may do, where it may do less than its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum Scope {
    #[serde(rename = "tasks:read")]
    TasksRead,
    #[serde(rename = "tasks:write")]
    TasksWrite,
    #[serde(rename = "memories")]
    Memories,
    #[serde(rename = "admin")]
    Admin,
}

impl Scope {
    pub const ALL: [Self; 4] = [Self::TasksRead, Self::TasksWrite, Self::Memories, Self::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::TasksRead => "tasks:read",
            Self::TasksWrite => "tasks:write",
            Self::Memories => "memories",
            Self::Admin => "admin",
        }
    }
}

/// A caller whose credential has been checked: one user in one team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    pub team: TeamId,
    pub team_name: String,
    pub user: UserId,
    pub user_name: String,
    pub email: Option<String>,
    pub role: Role,
    /// Absent: everything that the role allows.
    pub scopes: Option<Vec<Scope>>,
    /// The key that was used; absent for a JWT.
    pub api_key: Option<ApiKeyId>,
}

impl Principal {
    pub fn may(&self, role: Role, scope: Scope) -> bool {
        self.role >= role && self.scopes.as_ref().is_none_or(|scopes| scopes.contains(&scope))
    }
}
