//! Shared budgets: what a call may cost is drawn from the team's and the member's accounts before it goes out, and what
//! was not spent goes back when the task rests.

use super::{
    deps::Deps,
    drive::Driver,
    journal::{Halt, patiently},
};
use crate::{
    clock,
    domain::{EventData, TeamId, UserId, event::LimitKind, usage::Prices},
    store::budgets::{self, Drawer, Drawn, NanoUsd, SharedCaps, nano},
};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long caps that were read hold: a change is heeded after at most so long.
const CAPS_KEPT: Duration = Duration::from_secs(5);
/// Members whose caps are kept in memory.
const CAPS_MAX: usize = 10_000;
/// Of a reply that is worth a call.
const OUTPUT_TOKENS_MIN: u64 = 64;

/// What was drawn for a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paid {
    /// Of the reply, at most.
    pub(super) output_tokens: u64,
    /// How often the call may begin anew after its reply broke off.
    pub(super) repeats: u32,
}

/// Nothing is left of a shared budget: whose it is, what is spent or held, and the cap.
#[derive(Debug)]
pub(super) struct Over {
    of: String,
    taken: NanoUsd,
    cap: NanoUsd,
}

/// The caps that were read last, by team and member.
#[derive(Debug, Default)]
pub struct KnownCaps(Mutex<HashMap<(TeamId, UserId), (Instant, SharedCaps)>>);

impl KnownCaps {
    async fn of(&self, deps: &Deps, team: TeamId, user: UserId) -> Result<SharedCaps, Halt> {
        let now = clock::monotonic();
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&(team, user)).copied();
        if let Some((read_at, caps)) = known
            && now.saturating_duration_since(read_at) < CAPS_KEPT
        {
            return Ok(caps);
        }
        let caps = patiently(&deps.cut, || budgets::caps(&deps.store, team, user)).await?;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= CAPS_MAX {
            all.clear();
        }
        all.insert((team, user), (now, caps));
        Ok(caps)
    }
}

impl Driver {
    /// Draws what a call of these sizes may cost. `None` where the shared budget is spent, which then stands in the log.
    pub(super) async fn draw(
        &mut self,
        prices: Option<Prices>,
        input_tokens: u64,
        output_tokens: u64,
    ) -> Result<Option<Paid>, Halt> {
        match self.try_draw(prices, input_tokens, output_tokens).await? {
            Ok(paid) => Ok(Some(paid)),
            Err(over) => {
                self.over_budget(over);
                Ok(None)
            }
        }
    }

    /// The same for a call that can be done without: the log says nothing of it.
    pub(super) async fn try_draw(
        &self,
        prices: Option<Prices>,
        input_tokens: u64,
        output_tokens: u64,
    ) -> Result<Result<Paid, Over>, Halt> {
        let (team, user) = (self.claimed.team, self.claimed.user);
        let caps = self.deps.known_caps.of(&self.deps, team, user).await?;
        if caps.is_empty() {
            return Ok(Ok(Paid { output_tokens, repeats: u32::MAX }));
        }
        let Some(prices) = prices else {
            let of = "a budget in money is set, and this model has no price".to_owned();
            return Ok(Err(Over { of, taken: 0, cap: 0 }));
        };
        let need = nano(prices.most_usd(input_tokens, output_tokens.min(OUTPUT_TOKENS_MIN)));
        let want = nano(prices.most_usd(input_tokens, output_tokens));
        let (store, drawer) = (self.deps.store.clone(), self.drawer());
        match patiently(&self.deps.cut, || budgets::draw(&store, caps, drawer, (need, want))).await? {
            Drawn::Held(held) => {
                let left = held.saturating_sub(nano(prices.most_usd(input_tokens, 0)));
                let affordable =
                    if prices.output > 0.0 { (left as f64 / 1_000.0 / prices.output) as u64 } else { output_tokens };
                let repeats = u32::try_from(held / want.max(1) - 1).unwrap_or(0);
                Ok(Ok(Paid { output_tokens: output_tokens.min(affordable), repeats }))
            }
            Drawn::Refused { of, taken, cap } => Ok(Err(Over { of: format!("the budget of {of}"), taken, cap })),
        }
    }

    fn over_budget(&mut self, Over { of, taken, cap }: Over) {
        let usd = |nano: NanoUsd| nano as f64 / 1e9;
        let (limit, used, limit_value) = (LimitKind::Budget, usd(taken), usd(cap));
        self.journal.record(EventData::LimitWarned { limit, used, limit_value, of: Some(of) }, None);
    }

    /// Gives back what the task did not spend. To be called when nothing is being asked any more, before it rests.
    pub(super) async fn settle_budget(&mut self) -> Result<(), Halt> {
        if self.journal.session.usage.model_calls == 0 {
            return Ok(());
        }
        let caps = self.deps.known_caps.of(&self.deps, self.claimed.team, self.claimed.user).await?;
        // A hold from before the caps were lifted is the reconcilers'.
        if caps.is_empty() {
            return Ok(());
        }
        let (store, drawer) = (self.deps.store.clone(), self.drawer());
        patiently(&self.deps.cut, || budgets::settle(&store, drawer)).await
    }

    fn drawer(&self) -> Drawer {
        let spent = nano(self.journal.session.spent_usd());
        Drawer { team: self.claimed.team, user: self.claimed.user, task: self.claimed.task, spent }
    }
}
