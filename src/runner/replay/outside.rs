//! What the loop was told besides its log: the time, and what the settings say of a model. A log holds these only in
//! what came of them, so each that may have been is tried.

use crate::{
    agent::{ModelFacts, Reviewer, Session},
    domain::{
        EventData, Timestamp,
        event::{Aside, LimitKind, Record},
        usage::Prices,
    },
};
use std::time::Duration;

/// What the clocks of a worker and of its database are apart, at most.
pub(super) const SKEW: Duration = Duration::from_secs(2);

/// One way in which it may have been.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) facts: ModelFacts,
}

/// A window that is never full and a model without a price.
const ROOMY: ModelFacts =
    ModelFacts { window_tokens: u64::MAX / 1_000, max_output_tokens: 16_384, prices: None, reviewer: None };
/// A reviewer of the same kind.
const READER: Reviewer =
    Reviewer { window_tokens: ROOMY.window_tokens, max_output_tokens: ROOMY.max_output_tokens, prices: None };

/// What may have been when the event at `at` was written, the most likely first. The step was decided between the
/// commit before, or the one before that, and the one that it is in.
pub(super) fn worlds(records: &[Record], at: usize, session: &Session) -> Vec<World> {
    let here = records[at].event.at;
    let commit = || records[at..].iter().take_while(|record| record.event.at == here).map(|record| &record.event.data);
    let warned = commit().find_map(|data| match data {
        EventData::LimitWarned { limit: LimitKind::WallTime, used, .. } => Some(Duration::from_secs_f64(used.max(0.0))),
        _ => None,
    });
    let exact = warned.zip(session.running_since).map(|(ran, since)| since.plus(ran.saturating_sub(session.used.ran)));
    let earlier = |than: &[Timestamp]| {
        let mut all = records[..at].iter().rev().map(|record| record.event.at);
        all.find(|at| !than.contains(at))
    };
    let before = earlier(&[here]).unwrap_or(here);
    // An end is decided before what stands before it is committed, which is done first.
    let still_before = earlier(&[here, before]);
    let clocks = [Some(here), exact, Some(before), still_before, Some(here.plus(SKEW))];

    let window = |window_tokens| ModelFacts { window_tokens, ..ROOMY };
    let named = commit().find_map(window_named);
    let begins =
        |wanted: Aside| commit().any(|data| matches!(data, EventData::AsideStarted { aside, .. } if *aside == wanted));
    let compacted = commit().any(|data| matches!(data, EventData::Compaction { .. }));
    let full = compacted || begins(Aside::Summary) || named.is_some();
    let dear = Prices { input: 1e12, cached_input: 1e12, output: 1e12, cache_write: None };
    let capped = session.spec.limits.cost_usd.is_some();
    let reviewed = commit().any(|data| matches!(data, EventData::ReviewCompleted { .. })) || begins(Aside::Review);
    let settings = [
        Some(ROOMY),
        full.then(|| window(named.unwrap_or(1))),
        capped.then_some(ModelFacts { prices: Some(dear), ..ROOMY }),
        reviewed.then_some(ModelFacts { reviewer: Some(READER), ..ROOMY }),
    ];
    let mut worlds = Vec::new();
    for facts in settings.into_iter().flatten() {
        for now in clocks.into_iter().flatten() {
            let world = World { now, facts };
            if !worlds.contains(&world) {
                worlds.push(world);
            }
        }
    }
    worlds
}

/// The window that an end names which it made.
fn window_named(data: &EventData) -> Option<u64> {
    let EventData::TaskStatus { error: Some(error), .. } = data else { return None };
    let words = error.message.strip_prefix("the conversation does not fit into the model's window of ")?;
    words.split(' ').next()?.parse().ok()
}
