//! A team's integration with an issue tracker: what it makes tasks of, and for whom.

use super::{
    IntegrationId,
    limits::LimitsPatch,
    linked_account::Provider,
    task::{ApprovalPolicy, NetworkPolicy, SourceKind},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What makes a task of an issue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Any of these labels, whatever their case.
    #[serde(default)]
    #[schema(max_items = 50)]
    pub labels: Vec<String>,
    /// Being spoken to by this name, in the issue or in a comment: `@agent`.
    #[serde(default)]
    pub mention: Option<String>,
    /// Being assigned to this account.
    #[serde(default)]
    pub assignee: Option<String>,
}

/// Where the code is that issues are about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MappedRepository {
    #[schema(example = "https://example.org/team/project.git")]
    pub url: String,
    /// A branch, tag or commit; absent: the remote's HEAD.
    #[serde(rename = "ref", default)]
    pub reference: Option<String>,
}

/// What becomes of a run's patch by itself, once the run has succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Publish {
    /// A branch and its pull request, a draft where no check has verified it; the branch alone where no integration of the
    /// team lets the service into the repository's forge.
    #[default]
    PullRequest,
    Branch,
    /// Nothing before somebody asks for it.
    Off,
}

/// What the service says at the tracker of each task, with the integration's token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// One comment, which is edited as the task goes on, and a reaction to what was seen. False: nothing.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What the comment says, in Markdown, with `{status}`, `{plan}`, `{summary}`, `{checks}`, `{cost}` and `{links}` where
    /// these are to stand. At most 5,000 characters. Absent: all of them, in this order.
    #[serde(default)]
    #[schema(max_length = 5_000)]
    pub template: Option<String>,
}

fn yes() -> bool {
    true
}

impl Default for Answers {
    fn default() -> Self {
        Self { enabled: true, template: None }
    }
}

/// What pull requests are made with beside their text; what the forge does not take is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PullRequestWishes {
    /// At most 20.
    #[serde(default)]
    #[schema(max_items = 20)]
    pub labels: Vec<String>,
    /// Logins of people; at most 20.
    #[serde(default)]
    #[schema(max_items = 20)]
    pub reviewers: Vec<String>,
}

/// A GitHub App, in the place of a person's token. The integration's `token` is its private key then, as PEM.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GithubApp {
    /// The App's id, or its client id.
    #[schema(example = "123456", max_length = 100)]
    pub app_id: String,
    /// Of the installation at the organisation or account, a number.
    #[schema(example = "45678901", max_length = 100)]
    pub installation_id: String,
}

/// An issue or a pull request at a tracker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its key: `owner/name#12`, `group/project!3`, `ABC-12`.
    pub issue: String,
    pub is_pull_request: bool,
}

impl Place {
    /// The repository's path at its forge; none at a tracker that has no repositories.
    pub fn repository(&self) -> Option<&str> {
        self.issue.rsplit_once(['#', '!']).map(|(repository, _)| repository)
    }
}

/// What a reaction is to; comments by the tracker's ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spot {
    Issue,
    Comment(String),
    ReviewComment(String),
    /// An agent session at Linear, which was begun or told something more: `of` is that.
    Session {
        session: String,
        of: String,
    },
}

/// What people are to be shown to have been seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub integration: IntegrationId,
    pub place: Place,
    pub spot: Spot,
}

/// What an integration says, but for its name, tracker and secrets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IntegrationSpec {
    #[serde(default)]
    pub base_url: Option<String>,
    #[serde(default)]
    pub rules: Rules,
    /// By `owner/name`, or the key of a project or team.
    #[serde(default)]
    pub repositories: BTreeMap<String, MappedRepository>,
    #[serde(default)]
    pub allowed_users: Vec<String>,
    #[serde(default)]
    pub environment: Option<String>,
    #[serde(default)]
    pub approval: Option<ApprovalPolicy>,
    #[serde(default)]
    pub network: Option<NetworkPolicy>,
    #[serde(default)]
    pub limits: LimitsPatch,
    #[serde(default)]
    pub publish: Publish,
    #[serde(default)]
    pub answers: Answers,
    #[serde(default)]
    pub pull_requests: PullRequestWishes,
    #[serde(default)]
    pub app: Option<GithubApp>,
}

impl IntegrationSpec {
    /// The mapping of one of these names, whatever its case.
    pub fn repository(&self, names: &[&str]) -> Option<&MappedRepository> {
        names.iter().filter(|name| !name.is_empty()).find_map(|name| {
            let found = self.repositories.iter().find(|(key, _)| key.to_lowercase() == name.to_lowercase());
            found.map(|(_, repository)| repository)
        })
    }
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// To be worked off.
    Waiting,
    /// It made a task, or told one something.
    Done,
    /// It asked for nothing, or nobody who may asked for it.
    Ignored,
    /// It could not be done.
    Failed,
}

impl DeliveryState {
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Done, Self::Ignored, Self::Failed];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Ignored => "ignored",
            Self::Failed => "failed",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// What makes a task that a tracker's issue asked for.
pub fn source_kind(tracker: Provider) -> SourceKind {
    match tracker {
        Provider::Github => SourceKind::Github,
        Provider::Gitlab => SourceKind::Gitlab,
        Provider::Gitea => SourceKind::Gitea,
        Provider::Jira => SourceKind::Jira,
        Provider::Linear => SourceKind::Linear,
    }
}
