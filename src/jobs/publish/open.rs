//! The pull request: found by its branch, or made; once.

use super::{KnownForge, Shut, Stop, Way, gather::Gathered, push::Pushed, text::Text};
use crate::{
    clock,
    domain::publish::PublishState,
    store::outward::{self, Act, ActKind},
    trackers::forge::{Forge, ForgeError, NewPullRequest, PullRequest},
    workspace::repository::{Origin, RepositoryError},
};
use serde_json::{Value, json};

/// How often labels, reviewers and a new text are tried where the forge cannot take them now.
const BESIDE_TRIES: u32 = 4;

/// Where hosts look for a repository's own template.
const TEMPLATES: [&str; 9] = [
    ".github/pull_request_template.md",
    ".github/PULL_REQUEST_TEMPLATE.md",
    "pull_request_template.md",
    "PULL_REQUEST_TEMPLATE.md",
    "docs/pull_request_template.md",
    ".gitlab/merge_request_templates/Default.md",
    ".gitea/pull_request_template.md",
    ".gitea/PULL_REQUEST_TEMPLATE.md",
    ".forgejo/pull_request_template.md",
];

/// What asking for a pull request came to.
pub(super) enum Opened {
    /// It stands there; what is said of it comes by this integration.
    At(PullRequest, Box<KnownForge>),
    /// The branch stands alone, and this is why.
    Not(String),
}

impl Way<'_> {
    /// Opens the pull request of the branch, unless there is one.
    pub(super) async fn open(&self, gathered: &Gathered, pushed: &Pushed) -> Result<Opened, Stop> {
        let (publisher, row) = (self.publisher, &self.row);
        let address = publisher.repositories.validate_url(&row.url);
        let address = address.map_err(|error| Stop::Ends(PublishState::Failed, error.to_string()))?;
        let found = match (publisher.forges)(self.job.team, address).await {
            Ok(found) => found,
            Err(Shut::ForNow(reason)) => return Err(Stop::Later(reason)),
            Err(Shut::ForGood(reason)) => return Ok(Opened::Not(reason)),
        };
        let Some(known) = found else {
            let reason = "no integration of the team lets the service into the repository's forge (POST /v1/integrations with a \
                          token): the branch stands without a pull request";
            return Ok(Opened::Not(reason.to_owned()));
        };
        let (forge, repository) = (&known.forge, known.repository.as_str());
        let Some(base) = pushed.target.clone() else {
            return Ok(Opened::Not("the task began from no branch that a pull request could be for".to_owned()));
        };
        let act = Act { team: self.job.team, task: row.task, kind: ActKind::PullRequest, key: &row.branch };
        let mut new = NewPullRequest {
            head: row.branch.clone(),
            base,
            title: gathered.text.title.clone(),
            body: String::new(),
            draft: gathered.text.draft,
            labels: known.labels.clone(),
            reviewers: known.reviewers.clone(),
        };
        if let Some(there) = self.look(forge, repository).await? {
            let recorded = outward::get(&publisher.store, act).await?.and_then(|act| act.outcome);
            let recorded = recorded.and_then(|outcome| serde_json::from_str::<Value>(&outcome).ok());
            outward::intend(&publisher.store, act, clock::new_id(), &there.url, &json!({ "head": row.branch })).await?;
            // It was made here, and that was not written down.
            let is_new = recorded.is_none_or(|outcome| outcome["number"] != there.number);
            if is_new && Text::is_own(&there.body) {
                self.beside(forge.dress(repository, there.number, &new).await)?;
            }
            if let Some(edit) = gathered.text.renewed(&there.body) {
                self.boundary()?;
                self.beside(forge.edit_pull_request(repository, &there, &edit).await)?;
            }
            outward::came(&publisher.store, act, &json!({ "number": there.number, "url": there.url, "found": true }))
                .await?;
            return Ok(Opened::At(there, Box::new(known)));
        }
        new.body = gathered.text.body_with(self.template().await?.as_deref());
        let intent = json!({ "head": new.head, "base": new.base, "draft": new.draft });
        outward::intend(&publisher.store, act, clock::new_id(), repository, &intent).await?;
        self.boundary()?;
        let made = match forge.make_pull_request(repository, &new).await {
            Ok(made) => made,
            // It is there already, or it was made and its answer lost.
            Err(ForgeError::Rejected { status: 409 | 422, reason }) => match self.look(forge, repository).await? {
                Some(there) => there,
                None => return Ok(Opened::Not(format!("the forge did not take the pull request: {reason}"))),
            },
            Err(error) if error.is_lasting() => return Ok(Opened::Not(error.to_string())),
            Err(error) => return Err(Stop::Later(error.to_string())),
        };
        self.boundary()?;
        self.beside(forge.dress(repository, made.number, &new).await)?;
        self.boundary()?;
        outward::came(&publisher.store, act, &json!({ "number": made.number, "url": made.url })).await?;
        self.boundary()?;
        Ok(Opened::At(made, Box::new(known)))
    }

    /// What came of something beside the pull request itself: tried again for a while, and then gone without.
    fn beside(&self, came: Result<(), ForgeError>) -> Result<(), Stop> {
        let attempts = self.publisher.settings.attempts;
        match came {
            // Not by the last try: the pull request stands.
            Err(ForgeError::Unavailable(reason)) if self.row.failures + 1 < attempts.min(BESIDE_TRIES) => {
                Err(Stop::Later(reason))
            }
            Err(error) => {
                tracing::warn!(task.id = %self.row.task, %error, "a pull request does not say all that it should");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn look(&self, forge: &Forge, repository: &str) -> Result<Option<PullRequest>, Stop> {
        match forge.pull_request_of(repository, &self.row.branch).await {
            Ok(found) => Ok(found),
            Err(ForgeError::Unavailable(reason)) => Err(Stop::Later(reason)),
            // The branch is there: that is told with it.
            Err(error) => {
                tracing::warn!(task.id = %self.row.task, %error, "a forge could not be asked for a pull request");
                Ok(None)
            }
        }
    }

    /// The repository's own template, of the base.
    async fn template(&self) -> Result<Option<String>, Stop> {
        let (publisher, row) = (self.publisher, &self.row);
        let failed = |error: RepositoryError| Stop::Later(error.public_message());
        let origin = Origin::Url(&row.url);
        let base = publisher.repositories.reopen(self.job.team, origin, &row.base, None).await.map_err(failed)?;
        let paths = TEMPLATES.map(str::to_owned).to_vec();
        let found = publisher.repositories.read_many(&base, paths).await.map_err(failed)?;
        Ok(found.into_iter().flatten().next().map(|text| String::from_utf8_lossy(&text).into_owned()))
    }
}
