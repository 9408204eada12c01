//! Erasures of users, for operators of the instance: asked for here, done in the background.

use crate::{
    auth::Ending,
    clock,
    domain::{Principal, Timestamp, UserId},
    service::{
        Error, Service, access,
        access::Right,
        audit::{self, Action, Subject},
    },
    store::{
        StoreError,
        erasures::{self, ErasureRow, ErasureState},
    },
};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

/// How far an erasure is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ErasureView {
    pub id: Uuid,
    /// Whose: an id that nobody has any more once it is done.
    pub user: UserId,
    #[schema(value_type = String, example = "running")]
    pub state: ErasureState,
    pub gone: GoneView,
    pub asked_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

/// What has gone so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct GoneView {
    pub api_keys: u64,
    pub tasks: u64,
    pub memories: u64,
    pub uploads: u64,
    pub feedback: u64,
    /// Events that he wrote in tasks of others: their words are gone.
    pub said_elsewhere: u64,
    /// Contents of tasks and uploads, those in the object store included.
    pub contents: u64,
    pub objects: u64,
}

impl From<ErasureRow> for ErasureView {
    fn from(row: ErasureRow) -> Self {
        let gone = row.gone;
        Self {
            id: row.id,
            user: row.user,
            state: row.state,
            gone: GoneView {
                api_keys: gone.api_keys,
                tasks: gone.tasks,
                memories: gone.memories,
                uploads: gone.uploads,
                feedback: gone.feedback,
                said_elsewhere: gone.said_elsewhere,
                contents: gone.contents,
                objects: gone.objects,
            },
            asked_at: row.asked_at,
            finished_at: row.finished_at,
        }
    }
}

impl Service {
    /// Takes a user's access at once, and lets all go that is his. Called again it tells how far that is.
    pub async fn erase_user(&self, principal: &Principal, id: UserId) -> Result<ErasureView, Error> {
        access::require(principal, Right::ManageUsers)?;
        if id == principal.user {
            return Err(Error::Conflict {
                code: "oneself",
                detail: "you cannot erase yourself: have another operator do it".to_owned(),
                state: None,
            });
        }
        let mut tx = self.store().operator(principal.team).await?;
        let row = match erasures::ask_as_operator(&mut tx, principal.team, clock::new_id(), id).await {
            Ok(row) => row.ok_or(Error::NotFound)?,
            Err(StoreError::Conflict(constraint)) if constraint == "erasures_open" => {
                drop(tx);
                return Ok(erasures::open_of(self.store(), id).await?.ok_or(Error::NotFound)?.into());
            }
            Err(error) => return Err(error.into()),
        };
        let (subject, detail) = (Subject::new("user", id), json!({ "erasure": row.id }));
        audit::record(&mut tx, principal, Action::UserErasureAsked, subject, detail).await?;
        tx.commit().await?;
        self.inner.authenticator.end(Ending { user: Some(id), ..Ending::default() });
        Ok(row.into())
    }

    /// Erasures of the instance, newest first, those asked for before `before`.
    pub async fn erasures(
        &self,
        principal: &Principal,
        before: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<ErasureView>, Error> {
        access::require(principal, Right::ManageUsers)?;
        Ok(erasures::all(self.store(), before, limit).await?.into_iter().map(Into::into).collect())
    }
}
