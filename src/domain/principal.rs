//! Who is asking.

use super::{ApiKeyId, SessionId, TeamId, UserId};
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
    /// Create tasks for other members of the team. Of a key that names it alone: nobody has it by his role.
    #[serde(rename = "tasks:delegate")]
    TasksDelegate,
    #[serde(rename = "memories")]
    Memories,
    #[serde(rename = "admin")]
    Admin,
}

impl Scope {
    pub const ALL: [Self; 5] = [Self::TasksRead, Self::TasksWrite, Self::TasksDelegate, Self::Memories, Self::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::TasksRead => "tasks:read",
            Self::TasksWrite => "tasks:write",
            Self::TasksDelegate => "tasks:delegate",
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
    /// Of the whole instance, besides what the role allows in the team.
    pub operator: bool,
    /// Absent: everything that the role allows.
    pub scopes: Option<Vec<Scope>>,
    /// The key that was used; absent for a JWT and a session.
    pub api_key: Option<ApiKeyId>,
    /// The browser session that was used.
    pub session: Option<SessionId>,
}

impl Principal {
    /// Whether the credential reaches so far, whatever the role is.
    pub fn has(&self, scope: Scope) -> bool {
        match &self.scopes {
            Some(scopes) => scopes.contains(&scope),
            None => scope != Scope::TasksDelegate,
        }
    }

    pub fn may(&self, role: Role, scope: Scope) -> bool {
        self.role >= role && self.has(scope)
    }
}

/// Where a membership comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberOrigin {
    /// People made it.
    Manual,
    /// The claims of a token made it.
    Token,
    /// A group of the identity provider made it; it goes with the group.
    Groups,
}

impl MemberOrigin {
    pub const ALL: [Self; 3] = [Self::Manual, Self::Token, Self::Groups];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Token => "token",
            Self::Groups => "groups",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|origin| origin.as_str() == word)
    }
}
