//! Publishing: a task's patch as a commit on a branch of its own, and perhaps a pull request.

use super::{Oid, TaskId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Branches are pushed below this alone.
pub const BRANCH_PREFIX: &str = "journeyman/";
/// Of a branch's name that is made from a title.
const SLUG_CHARS_MAX: usize = 40;
/// Hex digits of a task's id in the name of its branch: the last ones, the first are the time.
const SHORT_ID_CHARS: usize = 12;

/// How far a publishing has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PublishState {
    /// It will be done.
    Requested,
    /// People are asked first.
    WaitingApproval,
    Done,
    /// The repository has changed where the patch does.
    Conflict,
    Failed,
    /// People did not want it.
    Denied,
}

impl PublishState {
    const ALL: [Self; 6] =
        [Self::Requested, Self::WaitingApproval, Self::Done, Self::Conflict, Self::Failed, Self::Denied];

    /// The word used in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::WaitingApproval => "waiting_approval",
            Self::Done => "done",
            Self::Conflict => "conflict",
            Self::Failed => "failed",
            Self::Denied => "denied",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }
}

/// Where a patch meets what others have changed since its base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// What the branch was at the host.
    pub onto: Oid,
    /// All of the files in question.
    pub paths: Vec<String>,
    /// These files as they are there, for the task to make one of both; absent where they are too many or no text.
    pub theirs: Option<String>,
}

/// The branch of a task that names none: `journeyman/<end of its id>-<slug of its title>`.
pub fn branch_of(task: TaskId, title: &str) -> String {
    let id = task.to_string().replace('-', "");
    let short = &id[id.len().saturating_sub(SHORT_ID_CHARS)..];
    let slug = slug(title);
    if slug.is_empty() { format!("{BRANCH_PREFIX}{short}") } else { format!("{BRANCH_PREFIX}{short}-{slug}") }
}

/// Lower-case ASCII letters and digits, `-` between words.
fn slug(title: &str) -> String {
    let mut slug = String::new();
    for c in title.chars() {
        if slug.len() >= SLUG_CHARS_MAX {
            break;
        }
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

/// Whether a change of this path is put to people before it is published: it says what the host runs with the repository's
/// secrets, or whose review it asks for.
pub fn is_guarded(path: &str) -> bool {
    const DIRECTORIES: &[&str] = &[
        ".github/workflows/",
        ".github/actions/",
        ".gitea/workflows/",
        ".gitea/actions/",
        ".forgejo/workflows/",
        ".forgejo/actions/",
        ".circleci/",
        ".woodpecker/",
        ".gitlab/ci/",
        ".buildkite/",
        ".semaphore/",
        ".tekton/",
        ".teamcity/",
        ".builds/",
    ];
    const FILES: &[&str] = &[
        ".gitlab-ci.yml",
        ".gitlab-ci.yaml",
        ".travis.yml",
        ".drone.yml",
        ".drone.yaml",
        ".drone.star",
        ".drone.jsonnet",
        ".woodpecker.yml",
        ".woodpecker.yaml",
        "azure-pipelines.yml",
        "azure-pipelines.yaml",
        ".azure-pipelines.yml",
        "bitbucket-pipelines.yml",
        "appveyor.yml",
        ".appveyor.yml",
        ".cirrus.yml",
        ".cirrus.star",
        ".build.yml",
        "buildspec.yml",
        "cloudbuild.yaml",
        "cloudbuild.yml",
        "jenkinsfile",
        ".gitmodules",
    ];
    let path = path.to_ascii_lowercase();
    let name = path.rsplit('/').next().unwrap_or_default();
    name == "codeowners"
        || name.ends_with(".gitlab-ci.yml")
        || FILES.contains(&path.as_str())
        || DIRECTORIES.iter().any(|directory| path.starts_with(directory))
}
