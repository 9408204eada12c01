//! What people think of a task's work, what was merged of it, and what the service has learnt from it.

use crate::{
    clock,
    domain::{
        Principal, TaskId, Timestamp,
        learning::{Learning, LearningTrigger},
    },
    service::{
        Answer, Error, Faults, Idempotency, Service,
        access::{self, Right},
        idempotency,
    },
    store::{
        TeamTx,
        learnings::{self, NewLearning},
        log,
        merges::{self, NewMerge},
        task_edits, task_views,
    },
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

const COMMENT_CHARS_MAX: usize = 10_000;
const REF_CHARS_MAX: usize = 500;
const REVIEW_COMMENTS_MAX: usize = 50;
const REVIEW_CHARS_MAX: usize = 4_000;
const NAME_CHARS_MAX: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rating {
    Up,
    Down,
}

impl Rating {
    fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// What was merged: a branch or tag of the task's repository, or a commit of it. One of the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Merged {
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// What somebody wrote who read the work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewComment {
    #[schema(max_length = 4_000)]
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFeedback {
    /// May be absent where something else is said.
    pub rating: Option<Rating>,
    /// Goes with a rating.
    pub comment: Option<String>,
    /// The task's work is compared with it, and learnt from the difference.
    #[serde(default)]
    pub merged: Option<Merged>,
    /// At most 50.
    #[serde(default)]
    pub review_comments: Vec<ReviewComment>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FeedbackView {
    pub id: Uuid,
    pub task: TaskId,
    pub rating: Option<Rating>,
    pub comment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merged: Option<Merged>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub review_comments: Vec<ReviewComment>,
    pub created_at: Timestamp,
}

impl Service {
    /// Keeps what a person thought of a task, and what became of its work.
    pub async fn add_feedback(
        &self,
        principal: &Principal,
        task: TaskId,
        new: NewFeedback,
        key: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        access::require(principal, Right::WriteTasks)?;
        self.check(&new)?;
        let mut tx = self.store().team(principal.team).await?;
        if let Some(done) = idempotency::begin(&mut tx, principal, key).await? {
            return Ok(done);
        }
        let locked = log::lock(&mut tx, task).await?.ok_or(Error::NotFound)?;
        let id: Uuid = clock::new_id();
        let learn = Learn { learns: self.settings().learns, principal, task, run: locked.run, subject: id };
        let mut created_at = None;
        if let Some(rating) = new.rating {
            let (word, comment) = (rating.as_str(), new.comment.as_deref());
            created_at = Some(task_edits::add_feedback(&mut tx, id, task, principal.user, word, comment).await?);
            learn.put(&mut tx, LearningTrigger::Feedback).await?;
        }
        if new.merged.is_some() || !new.review_comments.is_empty() {
            let merged = new.merged.as_ref();
            let reference = merged.and_then(|merged| merged.reference.as_deref().or(merged.commit.as_deref()));
            let comments = serde_json::to_string(&new.review_comments).map_err(Error::internal)?;
            let row = NewMerge { id, task, user: principal.user, reference, comments: &comments };
            let at = merges::insert(&mut tx, row).await?;
            created_at.get_or_insert(at);
            learn.put(&mut tx, LearningTrigger::Merge).await?;
        }
        let created_at = created_at.ok_or_else(|| Error::internal("feedback that says nothing"))?;
        let NewFeedback { rating, comment, merged, review_comments } = new;
        let view = FeedbackView { id, task, rating, comment, merged, review_comments, created_at };
        idempotency::commit(tx, principal, key, Answer::new(201, &view)?).await
    }

    /// Notes within a transaction that a task's work was merged as this commit.
    pub(in crate::service) async fn note_merge(
        &self,
        tx: &mut TeamTx,
        principal: &Principal,
        task: TaskId,
        commit: &str,
    ) -> Result<(), Error> {
        let locked = log::lock(tx, task).await?.ok_or(Error::NotFound)?;
        let id: Uuid = clock::new_id();
        let row = NewMerge { id, task, user: principal.user, reference: Some(commit), comments: "[]" };
        merges::insert(tx, row).await?;
        let learn = Learn { learns: self.settings().learns, principal, task, run: locked.run, subject: id };
        learn.put(tx, LearningTrigger::Merge).await
    }

    fn check(&self, new: &NewFeedback) -> Result<(), Error> {
        let mut faults = Faults::default();
        if let Some(comment) = &new.comment {
            faults.long("/comment", comment, COMMENT_CHARS_MAX);
        }
        if new.rating.is_none() && (new.comment.is_some() || (new.merged.is_none() && new.review_comments.is_empty())) {
            faults.add("/rating", "is missing: up or down");
        }
        if let Some(Merged { reference, commit }) = &new.merged {
            match (reference, commit) {
                (Some(reference), None) => self.check_ref("/merged/ref", reference, &mut faults),
                (None, Some(commit)) => {
                    let is_id = matches!(commit.len(), 40 | 64) && commit.bytes().all(|b| b.is_ascii_hexdigit());
                    if !is_id {
                        faults.add("/merged/commit", "must be a whole commit id");
                    }
                }
                _ => faults.add("/merged", "must have either ref or commit"),
            }
        }
        faults.count("/review_comments", new.review_comments.len(), REVIEW_COMMENTS_MAX);
        for (index, comment) in new.review_comments.iter().enumerate() {
            faults.text(&format!("/review_comments/{index}/text"), &comment.text, REVIEW_CHARS_MAX);
            for (name, value) in [("author", &comment.author), ("path", &comment.path)] {
                if let Some(value) = value {
                    faults.line(&format!("/review_comments/{index}/{name}"), value, NAME_CHARS_MAX);
                }
            }
        }
        faults.finish()
    }

    fn check_ref(&self, at: &str, reference: &str, faults: &mut Faults) {
        faults.text(at, reference, REF_CHARS_MAX);
        if let Err(why) = (self.hooks().repository_ref)(reference) {
            faults.add(at, why);
        }
    }

    /// Each time that the service has tried to learn from a task, or is about to, the newest first.
    pub async fn task_learnings(
        &self,
        principal: &Principal,
        task: TaskId,
        before: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<Learning>, Error> {
        access::require(principal, Right::ReadTasks)?;
        let mut tx = self.store().team(principal.team).await?;
        task_views::state(&mut tx, task).await?.ok_or(Error::NotFound)?;
        let rows = learnings::list(&mut tx, task, before, limit).await?;
        tx.commit().await?;
        Ok(rows)
    }
}

/// What is put into the queue to be learnt from, where a model is named for it.
struct Learn<'a> {
    learns: bool,
    principal: &'a Principal,
    task: TaskId,
    run: u32,
    subject: Uuid,
}

impl Learn<'_> {
    async fn put(&self, tx: &mut TeamTx, trigger: LearningTrigger) -> Result<(), Error> {
        if !self.learns {
            return Ok(());
        }
        let (task, run, subject, user) = (self.task, self.run, self.subject, self.principal.user);
        let new = NewLearning { id: clock::new_id(), task, run, trigger, subject, user };
        Ok(learnings::put(tx, self.principal.team, new).await?)
    }
}
