//! Refused requests in the audit log, so many of one caller and no more: nobody fills the disk by being refused.

use super::{AuditResult, bounded, entry, of};
use crate::{
    domain::{
        Principal, TeamId, UserId,
        audit::{Action, Subject},
    },
    service::{Error, Service},
    store::audit,
};
use serde_json::json;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// So many refusals of one user are written in so long, by one replica.
const WRITTEN_MAX: u32 = 20;
const SPAN: Duration = Duration::from_secs(600);
/// Users remembered, at most.
const REMEMBERED_MAX: usize = 10_000;

/// What was refused lately, by user.
#[derive(Debug, Default)]
pub(in crate::service) struct Refusals {
    users: Mutex<HashMap<(TeamId, UserId), Window>>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Instant,
    written: u32,
    held_back: u64,
}

impl Refusals {
    /// Whether one more is written; then how many were held back since the last that was.
    fn admit(&self, team: TeamId, user: UserId) -> Option<u64> {
        let now = Instant::now();
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if users.len() >= REMEMBERED_MAX && !users.contains_key(&(team, user)) {
            users.retain(|_, window| now.duration_since(window.since) < SPAN);
            if users.len() >= REMEMBERED_MAX {
                return None;
            }
        }
        let window = users.entry((team, user)).or_insert(Window { since: now, written: 0, held_back: 0 });
        if now.duration_since(window.since) >= SPAN {
            (window.since, window.written) = (now, 0);
        }
        if window.written >= WRITTEN_MAX {
            window.held_back += 1;
            return None;
        }
        window.written += 1;
        Some(std::mem::take(&mut window.held_back))
    }
}

impl Service {
    /// Writes down that a request of the principal's was refused; at most twenty of one user in ten minutes. `route` is
    /// the method and the path's template.
    pub async fn note_refusal(&self, principal: &Principal, route: &str) -> Result<(), Error> {
        let Some(held_back) = self.inner.refusals.admit(principal.team, principal.user) else { return Ok(()) };
        let detail = bounded(&json!({ "role": principal.role, "scopes": principal.scopes, "held_back": held_back }));
        let subject = Subject { kind: "route".into(), id: route.to_owned() };
        let mut entry = entry(principal.team, of(principal), Action::AccessRefused, &subject, &detail);
        entry.result = AuditResult::Refused;
        let mut tx = self.store().team(principal.team).await?;
        audit::insert(&mut tx, &entry).await?;
        Ok(tx.commit().await?)
    }
}
