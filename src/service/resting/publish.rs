//! Asking for a task's patch to be published: a branch at its repository's host, and perhaps a pull request.
//!
//! Here the wish is written down, with the patch as it is now; `jobs` does it.

use crate::{
    clock,
    domain::{
        BlobHash, EventData, Oid, Principal, Seq, Status, TaskId, TaskSpec,
        publish::{BRANCH_PREFIX, PublishState, branch_of},
        task::{RepositorySource, TaskResult},
    },
    service::{
        Answer, Error, Faults, Idempotency, Service,
        access::{self, Right},
        audit::{self, Action, Subject},
        edit::read_spec,
        idempotency,
    },
    store::{
        StoreError, TeamTx,
        log::{self, Locked, NewEvent, TaskChange},
        publishings::{self, NewPublishing, PublishingRow},
        task_views,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

const BRANCH_CHARS_MAX: usize = 200;
const TITLE_CHARS_MAX: usize = 200;
const BODY_CHARS_MAX: usize = 60_000;

/// How a task is published. What is absent follows from the task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishInput {
    /// Begins with `journeyman/`. Absent: where the task was published last, else `journeyman/<id>-<title>`.
    #[schema(example = "journeyman/mend-the-dates", max_length = 200)]
    pub branch: Option<String>,
    /// Whether a pull request is wanted too, a draft where the checks have not verified the patch. Where no integration of
    /// the team lets the service into the repository's forge the branch stands alone, and the event says so.
    #[serde(default)]
    pub pull_request: bool,
    /// Of the commit and the pull request; absent: the task's.
    #[schema(max_length = 200)]
    pub title: Option<String>,
    /// Of the pull request, before the evidence. At most 60,000 characters.
    #[schema(max_length = 60_000)]
    pub body: Option<String>,
}

/// The wish is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PublishAccepted {
    /// The publishing: what the events `publish` name.
    pub id: Uuid,
    pub branch: String,
    /// The seq of its event; of one that was asked for before, the last of the task.
    pub seq: Seq,
    /// The task's status.
    pub status: Status,
}

/// What there is to publish.
struct Published {
    url: String,
    reference: Option<String>,
    base: Oid,
    patch: BlobHash,
}

/// What of a stored detail is looked at; of a task that has not begun it is empty.
#[derive(Deserialize)]
struct DetailParts {
    commit: Option<Oid>,
    result: Option<TaskResult>,
    patch: Option<BlobHash>,
}

impl Service {
    /// Asks for a task's patch to be published. The same wish, while it is not done, is one.
    pub async fn publish_task(
        &self,
        principal: &Principal,
        id: TaskId,
        input: PublishInput,
        key: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        access::require(principal, Right::WriteTasks)?;
        self.check_publish(&input)?;
        let mut tx = self.store().person(principal).await?;
        if let Some(done) = idempotency::begin(&mut tx, principal, key).await? {
            return Ok(done);
        }
        let (accepted, is_new) = self.wish_published(&mut tx, principal, id, &input).await?;
        let answer = idempotency::commit(tx, principal, key, Answer::new(202, &accepted)?).await?;
        if is_new {
            self.committed(principal.team, id, accepted.seq);
        }
        Ok(answer)
    }

    /// Writes the wish down, unless it stands already: whether it is new.
    pub(in crate::service) async fn wish_published(
        &self,
        tx: &mut TeamTx,
        principal: &Principal,
        id: TaskId,
        input: &PublishInput,
    ) -> Result<(PublishAccepted, bool), Error> {
        let locked = log::lock(tx, id).await?.ok_or(Error::NotFound)?;
        let row = task_views::get(tx, id).await?.ok_or(Error::NotFound)?;
        let detail: DetailParts =
            serde_json::from_str(&row.detail).map_err(|_| StoreError::corrupt("tasks", "detail", id))?;
        let what = publishable(&locked, &read_spec(id, &locked)?, &detail)?;
        let before = detail.result.and_then(|result| result.branch);
        let branch = input.branch.clone().or(before).unwrap_or_else(|| branch_of(id, &row.title));
        if let Some(open) = publishings::open_of(tx, id).await? {
            return Ok((joined(&open, input, &branch, &what, &locked)?, false));
        }
        let publishing: Uuid = clock::new_id();
        let new = NewPublishing {
            id: publishing,
            task: id,
            run: locked.run,
            user: principal.user,
            branch: &branch,
            pull_request: input.pull_request,
            title: input.title.as_deref(),
            body: input.body.as_deref(),
            url: &what.url,
            reference: what.reference.as_deref(),
            base: &what.base,
            patch: &what.patch,
        };
        publishings::insert(tx, principal.team, &new).await?;
        let seq = tell(tx, principal, id, &locked, (publishing, &branch)).await?;
        let told = json!({ "publishing": publishing, "branch": branch, "pull_request": input.pull_request });
        audit::record(tx, principal, Action::TaskPublishAsked, Subject::new("task", id), told).await?;
        Ok((PublishAccepted { id: publishing, branch, seq, status: locked.status }, true))
    }

    fn check_publish(&self, input: &PublishInput) -> Result<(), Error> {
        let mut faults = Faults::default();
        if let Some(branch) = &input.branch {
            faults.line("/branch", branch, BRANCH_CHARS_MAX);
            if branch.strip_prefix(BRANCH_PREFIX).is_none_or(str::is_empty) {
                faults.add(
                    "/branch",
                    format!("must begin with {BRANCH_PREFIX}: the service pushes to no other branches"),
                );
            } else if let Err(why) = (self.hooks().repository_ref)(branch) {
                faults.add("/branch", why);
            }
        }
        if let Some(title) = &input.title {
            faults.line("/title", title, TITLE_CHARS_MAX);
        }
        if let Some(body) = &input.body {
            faults.long("/body", body, BODY_CHARS_MAX);
        }
        faults.finish()
    }
}

/// What of a task can be published now.
fn publishable(locked: &Locked, spec: &TaskSpec, detail: &DetailParts) -> Result<Published, Error> {
    let refuse =
        |code, detail: String| Err(Error::Conflict { code, detail, state: Some(locked.status.as_str().to_owned()) });
    if !locked.status.is_rest() {
        let status = locked.status.as_str();
        return refuse("wrong_state", format!("the task is {status}: it can be published once it rests"));
    }
    let Some(RepositorySource::Git { url, reference }) = &spec.repository else {
        let what = if spec.repository.is_some() { "an upload" } else { "an empty directory" };
        let mend = "take its patch (GET …/patch), or create the task with the repository's url";
        return refuse("no_remote", format!("the task began with {what}, which has no host to publish to: {mend}"));
    };
    let changed = detail.result.as_ref().is_none_or(|result| result.patch.is_some_and(|patch| patch.files > 0));
    let (Some(base), Some(patch)) = (&detail.commit, detail.patch.as_ref().filter(|_| changed)) else {
        return refuse("nothing_to_publish", "the task has changed nothing: there is no patch to publish".to_owned());
    };
    Ok(Published { url: url.clone(), reference: reference.clone(), base: base.clone(), patch: patch.clone() })
}

/// One that is under way is joined by the same wish, and by no other.
fn joined(
    open: &PublishingRow,
    input: &PublishInput,
    branch: &str,
    what: &Published,
    locked: &Locked,
) -> Result<PublishAccepted, Error> {
    let same = open.branch == branch
        && open.pull_request == input.pull_request
        && open.title == input.title
        && open.body == input.body
        && open.patch == what.patch;
    if !same {
        let waits = open.state == PublishState::WaitingApproval;
        let state = if waits { "waits for an approval" } else { "is under way" };
        return Err(Error::Conflict {
            code: "publishing",
            detail: format!("another publishing of this task {state}, to {}: ask again once it is done", open.branch),
            state: Some(locked.status.as_str().to_owned()),
        });
    }
    Ok(PublishAccepted { id: open.id, branch: open.branch.clone(), seq: locked.last_seq, status: locked.status })
}

async fn tell(
    tx: &mut TeamTx,
    principal: &Principal,
    id: TaskId,
    locked: &Locked,
    (publishing, branch): (Uuid, &str),
) -> Result<Seq, Error> {
    let data = EventData::Publish {
        publishing,
        state: PublishState::Requested,
        branch: branch.to_owned(),
        commit: None,
        pull_request_url: None,
        reason: None,
        author: Some(principal.user_name.clone()),
    };
    let event = NewEvent { run: locked.run, turn: 0, data, private: None };
    Ok(log::append_locked(tx, principal.team, id, &[event], &TaskChange::default()).await?)
}
