//! Forgetting at once what no longer holds: this process hears of every credential, membership and user that ended anywhere,
//! and tells those whose streams are open.

use super::Authenticator;
use crate::{
    domain::Principal,
    store::{
        endings::{self, Ending},
        sessions,
    },
};
use std::{collections::BTreeSet, time::Duration};
use tokio_util::sync::CancellationToken;

/// How often a process asks for news.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How far back it looks: longer than any transaction that ends a credential takes.
const WITHIN: Duration = Duration::from_secs(30);

/// News of one look, at most; where there are more, everything is forgotten.
const NEWS_MAX: u32 = 10_000;

/// News older than that is removed, once in so many looks.
const KEPT: Duration = Duration::from_secs(600);
const LOOKS_PER_CLEARING: u64 = 600;

/// Sessions that have run out, removed at a time.
const SESSIONS_CLEARED_MAX: u32 = 10_000;

impl Ending {
    /// Whether it tells of this principal's credential or standing.
    pub fn concerns(&self, principal: &Principal) -> bool {
        if self.api_key.is_some() {
            return self.api_key == principal.api_key;
        }
        if self.session.is_some() {
            return self.session == principal.session;
        }
        self.user.is_none_or(|user| user == principal.user) && self.team.is_none_or(|team| team == principal.team)
    }
}

impl Authenticator {
    /// Hears of what ends on other replicas, until `stop`. While the database cannot be asked, what is remembered ages out
    /// by itself.
    pub async fn hear_endings(self, stop: CancellationToken) {
        let mut heard: BTreeSet<i64> = BTreeSet::new();
        for look in 0_u64.. {
            match endings::recent(self.store(), WITHIN, NEWS_MAX).await {
                Ok(news) => {
                    if news.len() >= NEWS_MAX as usize {
                        // Nobody is told by name: all are looked at again.
                        self.end(Ending::default());
                    }
                    for (seq, ending) in &news {
                        // What there was before this process remembered anything is no news, and does no harm.
                        if !heard.contains(seq) {
                            self.end(*ending);
                        }
                    }
                    heard = news.into_iter().map(|(seq, _)| seq).collect();
                }
                Err(error) => tracing::warn!(%error, "what has ended elsewhere cannot be heard just now"),
            }
            if look % LOOKS_PER_CLEARING == 0
                && let Err(error) = endings::clear(self.store(), KEPT).await
            {
                tracing::warn!(%error, "old news of endings could not be removed");
            }
            if look % LOOKS_PER_CLEARING == 0
                && let Err(error) = sessions::clear(self.store(), SESSIONS_CLEARED_MAX).await
            {
                tracing::warn!(%error, "sessions that have run out could not be removed");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }
}
