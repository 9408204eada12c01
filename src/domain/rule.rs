//! Rules about commands: what a task may run without asking, what people are asked about, and what it may not run.

use serde::{Deserialize, Serialize};

/// What a rule says of a command. The later in this list, the stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleDecision {
    Allow,
    Ask,
    Deny,
}

impl RuleDecision {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Deny => "deny",
        }
    }
}

/// One place of a rule's prefix: a word, or several of which any will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Token {
    Word(String),
    Any(Vec<String>),
}

impl Token {
    pub fn words(&self) -> &[String] {
        match self {
            Self::Word(word) => std::slice::from_ref(word),
            Self::Any(words) => words,
        }
    }
}

/// A rule about simple commands. All of its conditions must hold; a rule has a prefix or paths, or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandRule {
    /// The first words: the program without its directory, then words between which there may be options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefix: Vec<Token>,
    /// A word names one of these paths or something below. `~` is anybody's home directory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Paths that do not count among `paths`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except_paths: Vec<String>,
    /// The command does not count where all that it names is on the loopback, such as `curl localhost:3000`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub except_loopback: bool,
    pub decision: RuleDecision,
    /// For people and for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether the model that reviews approvals may decide what this rule asks.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub reviewer: bool,
}

fn yes() -> bool {
    true
}

/// The rules of one task, pinned at its start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// The operator's. A simple command of which they speak is none of the built-in ones' business.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub own: Vec<CommandRule>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub built_in: Vec<CommandRule>,
    /// Globs of files whose change people are asked about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protected: Vec<String>,
}

/// Globs of paths that steer what runs elsewhere, or who may approve.
pub const STEERING_PATHS: &[&str] = &[
    ".github/workflows/**",
    ".github/actions/**",
    "**/CODEOWNERS",
    ".gitlab-ci.yml",
    ".gitlab/ci/**",
    ".circleci/**",
    "azure-pipelines.yml",
    "bitbucket-pipelines.yml",
    "Jenkinsfile",
    ".woodpecker/**",
    ".gitea/workflows/**",
    ".forgejo/workflows/**",
    "**/.gitattributes",
    ".gitmodules",
    ".husky/**",
    ".pre-commit-config.yaml",
];
