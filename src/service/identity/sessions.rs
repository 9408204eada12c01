//! Browser sessions, as their own user sees and ends them.

use crate::{
    auth::Ending,
    domain::{Principal, SessionId, Timestamp},
    service::{
        Error, Service, access,
        access::Right,
        audit::{self, Action, Subject},
    },
    store::sessions::{self, SessionRow},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A browser in which one is signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SessionView {
    pub id: SessionId,
    /// What the browser says of itself.
    pub user_agent: Option<String>,
    pub created_at: Timestamp,
    /// Exact to a minute.
    pub last_used_at: Timestamp,
    /// When it ends unless it is used.
    pub expires_at: Timestamp,
    /// Whether it is the one that asks.
    pub current: bool,
}

impl SessionView {
    fn of(principal: &Principal, row: SessionRow) -> Self {
        Self {
            id: row.id,
            user_agent: row.user_agent,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            expires_at: row.expires_at,
            current: principal.session == Some(row.id),
        }
    }
}

impl Service {
    /// The principal's own sessions, newest first, those before `before`.
    pub async fn sessions(
        &self,
        principal: &Principal,
        before: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<SessionView>, Error> {
        access::require(principal, Right::OwnSessions)?;
        let rows = sessions::list(self.store(), principal.user, before, limit).await?;
        Ok(rows.into_iter().map(|row| SessionView::of(principal, row)).collect())
    }

    /// Ends one of the principal's own sessions.
    pub async fn end_session(&self, principal: &Principal, id: SessionId) -> Result<(), Error> {
        access::require(principal, Right::OwnSessions)?;
        let mut tx = self.store().operator(principal.team).await?;
        if !sessions::end(&mut tx, principal.user, id).await? {
            return Err(Error::NotFound);
        }
        audit::record(&mut tx, principal, Action::SessionEnded, Subject::new("session", id), Value::Null).await?;
        tx.commit().await?;
        self.inner.authenticator.end(Ending { session: Some(id), ..Ending::default() });
        Ok(())
    }
}
