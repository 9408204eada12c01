//! Accounts of people at forges and trackers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    Github,
    Gitlab,
    Gitea,
    Jira,
    Linear,
}

impl Provider {
    pub const ALL: [Self; 5] = [Self::Github, Self::Gitlab, Self::Gitea, Self::Jira, Self::Linear];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Gitea => "gitea",
            Self::Jira => "jira",
            Self::Linear => "linear",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.as_str() == word)
    }

    /// The host that is meant where none is named; absent where everybody has his own.
    pub fn usual_host(self) -> Option<&'static str> {
        match self {
            Self::Github => Some("github.com"),
            Self::Gitlab => Some("gitlab.com"),
            Self::Linear => Some("linear.app"),
            Self::Gitea | Self::Jira => None,
        }
    }
}

/// How far a link is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// Somebody says so; it resolves nothing.
    Proposed,
    /// By the user himself, where another proposed it, or by an admin: who comes by the login is the user.
    Confirmed,
}

impl LinkState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Confirmed => "confirmed",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        [Self::Proposed, Self::Confirmed].into_iter().find(|state| state.as_str() == word)
    }
}
