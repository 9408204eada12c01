//! What a team tells the agent in every task: read by all of it, set by its admins, every version kept.

use super::{
    Error, Faults, Service, access,
    access::Right,
    audit::{self, Action, Subject},
};
use crate::{
    domain::{BlobHash, Principal, Timestamp, UserId, instructions::INSTRUCTIONS_BYTES_MAX},
    store::{
        StoreError,
        instructions::{self, InstructionsRow},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInstructions {
    /// At most 16 KiB; empty takes the instructions back.
    #[schema(example = "Commit messages are in English. New code comes with tests.")]
    pub text: String,
    /// The version that this one replaces; 409 where another has come since. 0: there is none yet.
    pub replaces: Option<u32>,
}

/// One version of a team's instructions. Tasks keep the version that was the newest at their start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct InstructionsView {
    /// From 1; 0 where there are none yet.
    pub version: u32,
    pub text: String,
    /// The SHA-256 of the text in hexadecimal digits, as in `brief.ready`.
    pub digest: BlobHash,
    /// Null where there are none yet.
    pub author: Option<InstructionsAuthor>,
    pub created_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct InstructionsAuthor {
    pub id: UserId,
    /// As it was then.
    pub name: String,
}

impl Service {
    /// The newest version, or the one that is named.
    pub async fn instructions(&self, principal: &Principal, version: Option<u32>) -> Result<InstructionsView, Error> {
        access::require(principal, Right::ReadTeam)?;
        let mut tx = self.store().team(principal.team).await?;
        let row = instructions::get(&mut tx, version).await?;
        tx.commit().await?;
        match (row, version) {
            (Some(row), _) => Ok(view(row)),
            (None, Some(_)) => Err(Error::NotFound),
            (None, None) => Ok(InstructionsView {
                version: 0,
                text: String::new(),
                digest: BlobHash::of(b""),
                author: None,
                created_at: None,
            }),
        }
    }

    /// Versions before `before`, newest first.
    pub async fn instruction_versions(
        &self,
        principal: &Principal,
        before: Option<u32>,
        limit: u32,
    ) -> Result<Vec<InstructionsView>, Error> {
        access::require(principal, Right::ReadTeam)?;
        let mut tx = self.store().team(principal.team).await?;
        let rows = instructions::list(&mut tx, before, limit).await?;
        tx.commit().await?;
        Ok(rows.into_iter().map(view).collect())
    }

    /// Writes the next version. Tasks that have begun keep theirs.
    pub async fn set_instructions(
        &self,
        principal: &Principal,
        new: NewInstructions,
    ) -> Result<InstructionsView, Error> {
        access::require(principal, Right::ManageTeam)?;
        let mut faults = Faults::default();
        let text = new.text.trim();
        if text.len() > INSTRUCTIONS_BYTES_MAX {
            faults.add("/text", format!("may have at most {INSTRUCTIONS_BYTES_MAX} bytes"));
        }
        if text.contains('\0') {
            faults.add("/text", "may not contain NUL characters");
        }
        faults.finish()?;
        let mut tx = self.store().team(principal.team).await?;
        let newest = instructions::get(&mut tx, None).await?.map_or(0, |row| row.version);
        if new.replaces.is_some_and(|replaces| replaces != newest) {
            return Err(replaced(newest));
        }
        let written =
            instructions::insert(&mut tx, principal.team, newest, text, principal.user, &principal.user_name).await;
        let row = match written {
            Ok(row) => row,
            // Somebody else's version came between the look and this one.
            Err(StoreError::Conflict(_)) => return Err(replaced(newest + 1)),
            Err(error) => return Err(error.into()),
        };
        let detail = json!({ "digest": BlobHash::of(row.text.as_bytes()), "bytes": row.text.len() });
        let subject = Subject::new("instructions", row.version);
        audit::record(&mut tx, principal, Action::InstructionsUpdated, subject, detail).await?;
        tx.commit().await?;
        Ok(view(row))
    }
}

fn view(row: InstructionsRow) -> InstructionsView {
    InstructionsView {
        version: row.version,
        digest: BlobHash::of(row.text.as_bytes()),
        text: row.text,
        author: Some(InstructionsAuthor { id: row.author, name: row.author_name }),
        created_at: Some(row.created_at),
    }
}

fn replaced(newest: u32) -> Error {
    Error::Conflict {
        code: "version_conflict",
        detail: format!("the newest version is {newest}: read it, and send yours with \"replaces\": {newest}"),
        state: Some(newest.to_string()),
    }
}
