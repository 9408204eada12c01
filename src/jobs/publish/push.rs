//! The branch: looked at, made, pushed, once.

use super::{Asked, Stop, Way, gather::Gathered};
use crate::{
    clock,
    domain::{
        Oid,
        publish::{Conflict, PublishState, is_guarded},
    },
    store::{
        outward::{self, Act, ActKind},
        publishings,
    },
    trackers::clean::quoted,
    workspace::repository::{Built, NewCommit, Origin, RepositoryError, Resolved},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fmt::Write;

/// Commits that one publishing has been about to push, at most: its base moves now and then.
const COMMITS_MAX: usize = 100;
/// What a task is shown of files in conflict.
const SHOWN_MAX: usize = 10;
const SHOWN_BYTES_MAX: usize = 60_000;

/// What stands at the host.
pub(super) struct Pushed {
    pub(super) commit: Oid,
    /// The branch that it is meant for, where that is known.
    pub(super) target: Option<String>,
}

/// What the ledger says of a push.
#[derive(Default, Serialize, Deserialize)]
struct Intent {
    commits: Vec<Oid>,
    #[serde(default)]
    target: Option<String>,
}

impl Way<'_> {
    /// Brings the branch to its host, unless it is there.
    pub(super) async fn push(&self, gathered: &Gathered) -> Result<Pushed, Stop> {
        let (publisher, row, team) = (self.publisher, &self.row, self.job.team);
        let (store, repositories) = (&publisher.store, &publisher.repositories);
        let key = row.id.to_string();
        let act = Act { team, task: row.task, kind: ActKind::Push, key: &key };
        let mut intent: Intent = match outward::get(store, act).await? {
            Some(act) => serde_json::from_str(&act.intent).unwrap_or_default(),
            None => Intent::default(),
        };
        let seen = repositories.remote_branch(team, &row.url, &row.branch).await.map_err(|e| repository(&e))?;
        if let Some(commit) = seen.as_ref().filter(|seen| intent.commits.contains(seen)) {
            outward::came(store, act, &json!({ "commit": commit, "found": true })).await?;
            return Ok(Pushed { commit: commit.clone(), target: intent.target });
        }
        if let Some(other) = &seen
            && !self.is_ours(other).await?
        {
            let reason = format!(
                "the branch {} is at the host already and holds work that is not this task's ({other}): name another branch",
                row.branch
            );
            return Err(Stop::Ends(PublishState::Failed, reason));
        }
        let resolved: Vec<Resolved> = publishings::given_back(store, team, row.task, row.run)
            .await?
            .into_iter()
            .map(|Conflict { onto, paths, .. }| Resolved { onto, paths })
            .collect();
        let new = NewCommit {
            base: &row.base,
            reference: row.reference.as_deref(),
            patch: &gathered.patch,
            message: &gathered.text.message,
            signature: &publisher.settings.signature,
            at: gathered.text.at,
            resolved: &resolved,
        };
        let built = repositories.build_commit(team, &row.url, new).await.map_err(|error| repository(&error))?;
        let committed = match built {
            Built::Commit(committed) => committed,
            Built::Conflict { onto, paths } => {
                let theirs = self.theirs(&onto, &paths).await?;
                return Err(Stop::Conflicts(Conflict { onto, paths, theirs }));
            }
            Built::Nothing => {
                let reason = "the repository has all that the patch changes: nothing is left to publish";
                return Err(Stop::Ends(PublishState::Failed, reason.to_owned()));
            }
        };
        let guarded: Vec<String> = committed.paths.iter().filter(|path| is_guarded(path)).cloned().collect();
        if row.approval.is_none() && (!guarded.is_empty() || gathered.outsider) {
            let Gathered { outsider, deadline_seconds, .. } = *gathered;
            return Err(Stop::Asks(Asked { files: guarded, outsider, deadline_seconds }));
        }
        let commit = committed.commit.clone();
        intent.target.clone_from(&committed.target);
        if !intent.commits.contains(&commit) {
            intent.commits.push(commit.clone());
        }
        if intent.commits.len() > COMMITS_MAX {
            return Err(Stop::Ends(PublishState::Failed, "the repository changes too often".to_owned()));
        }
        let target = place(&row.url, &row.branch);
        outward::intend(store, act, clock::new_id(), &target, &json!(intent)).await?;
        if !publishings::intend(store, &self.job, &commit).await? {
            return Err(Stop::Fenced);
        }
        self.boundary()?;
        // An earlier publishing of the same brought it there.
        if seen.as_ref() != Some(&commit) {
            let pushed = repositories.push_commit(team, &row.url, &committed, &row.branch, seen.as_ref()).await;
            pushed.map_err(|error| match &error {
                // Somebody was faster: it is looked at again.
                RepositoryError::Rejected { reason } if reason.contains("stale info") => {
                    Stop::Later("the branch has changed at the host meanwhile".to_owned())
                }
                error => repository(error),
            })?;
        }
        self.boundary()?;
        outward::came(store, act, &json!({ "commit": commit })).await?;
        self.boundary()?;
        Ok(Pushed { commit, target: intent.target })
    }

    /// What others have made of some files, for the task that is to make one of both; none where it could not be shown whole.
    async fn theirs(&self, onto: &Oid, paths: &[String]) -> Result<Option<String>, Stop> {
        if paths.len() > SHOWN_MAX {
            return Ok(None);
        }
        let (repositories, origin) = (&self.publisher.repositories, Origin::Url(&self.row.url));
        let base = repositories.reopen(self.job.team, origin, onto, None).await.map_err(|e| repository(&e))?;
        let contents = repositories.read_many(&base, paths.to_vec()).await.map_err(|e| repository(&e))?;
        let mut shown = String::new();
        for (path, content) in paths.iter().zip(contents) {
            let Some(content) = content else {
                let _ = write!(shown, "{path} is not there any more.\n\n");
                continue;
            };
            let Ok(text) = std::str::from_utf8(&content) else { return Ok(None) };
            let _ = write!(shown, "{path}:\n\n{}\n\n", quoted(text));
            if shown.len() > SHOWN_BYTES_MAX {
                return Ok(None);
            }
        }
        Ok(Some(shown))
    }

    /// Whether an earlier publishing of the task pushed this commit there.
    async fn is_ours(&self, commit: &Oid) -> Result<bool, Stop> {
        let target = place(&self.row.url, &self.row.branch);
        let intents =
            outward::intents_at(&self.publisher.store, self.job.team, self.row.task, ActKind::Push, &target).await?;
        let commits = intents.iter().filter_map(|intent| serde_json::from_str::<Intent>(intent).ok());
        Ok(commits.flat_map(|intent| intent.commits).any(|ours| ours == *commit))
    }
}

fn place(url: &str, branch: &str) -> String {
    format!("{url}#{branch}")
}

/// What keeps git from its work.
fn repository(error: &RepositoryError) -> Stop {
    if error.is_lasting() {
        Stop::Ends(PublishState::Failed, error.public_message())
    } else {
        Stop::Later(error.public_message())
    }
}
