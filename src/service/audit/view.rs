//! Entries as admins read them.

use crate::{
    domain::{
        ApiKeyId, Principal, Timestamp, UserId,
        audit::{ActorKind, AuditResult, Subject},
        task::UserRef,
    },
    service::{Error, Service},
    store::{StoreError, TeamTx, audit::EntryRow},
};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditActor {
    pub kind: ActorKind,
    /// Null where it was no user.
    pub user: Option<UserRef>,
    /// The key that was used; null for anything else.
    pub api_key: Option<ApiKeyId>,
    /// The browser session that was used.
    pub session: Option<Uuid>,
    /// The user for whom it was done, where that is another.
    pub on_behalf_of: Option<UserRef>,
}

/// One thing that was done, or refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditEntryView {
    pub id: Uuid,
    pub at: Timestamp,
    pub actor: AuditActor,
    /// Such as `environment.created`.
    #[schema(example = "environment.created")]
    pub action: String,
    pub subject: Subject,
    pub result: AuditResult,
    /// The caller's address; null for what no request asked for.
    pub address: Option<String>,
    /// As in the header `X-Request-Id`.
    pub request_id: Option<Uuid>,
    /// Its fields go by the action.
    #[schema(value_type = Object)]
    pub detail: Box<RawValue>,
}

impl Service {
    pub(super) async fn audit_views(
        &self,
        tx: &mut TeamTx,
        principal: &Principal,
        rows: Vec<EntryRow>,
    ) -> Result<Vec<AuditEntryView>, Error> {
        let mut ids: Vec<UserId> =
            rows.iter().flat_map(|row| [row.actor.user, row.actor.on_behalf_of]).flatten().collect();
        ids.sort_unstable();
        ids.dedup();
        let users = self.users(tx, principal, ids).await?;
        let users: HashMap<UserId, UserRef> = users.into_iter().map(|user| (user.id, user)).collect();
        let user = |id: Option<UserId>| id.and_then(|id| users.get(&id).cloned());
        rows.into_iter()
            .map(|row| {
                let detail = RawValue::from_string(row.detail)
                    .map_err(|_| StoreError::corrupt("audit_log", "detail", row.id))?;
                Ok(AuditEntryView {
                    id: row.id,
                    at: row.at,
                    actor: AuditActor {
                        kind: row.actor.kind,
                        user: user(row.actor.user),
                        api_key: row.actor.api_key,
                        session: row.actor.session,
                        on_behalf_of: user(row.actor.on_behalf_of),
                    },
                    action: row.action,
                    subject: row.subject,
                    result: row.result,
                    address: row.address,
                    request_id: row.request,
                    detail,
                })
            })
            .collect()
    }
}
