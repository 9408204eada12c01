//! What the events that are about to be written add to the sums of their day, by model: the differences that folding them
//! makes, so that the sums are those of the log.

use crate::domain::{
    EventData,
    event::AsideOutcome,
    memory::EmbeddingUse,
    usage::{Usage, UsageAdded, nano},
};

/// By model, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Spent(Vec<UsageAdded>);

impl Spent {
    /// Counts an event that has made `before` into `after`; `model` is the one that answers now.
    pub(super) fn note(&mut self, data: &EventData, before: &Usage, after: &Usage, model: &str) {
        let model = match data {
            EventData::ModelStarted { model, .. }
            | EventData::ModelCompleted { model, .. }
            | EventData::AsideStarted { model, .. }
            | EventData::AsideCompleted { model, .. }
            | EventData::MemoryUsed { embeddings: Some(EmbeddingUse { model, .. }), .. } => model,
            _ => model,
        };
        let (counted, cost_usd, saved_usd) = match data {
            EventData::ModelCompleted { cost_usd, cache, estimated, .. } => (!estimated, *cost_usd, cache.saved_usd),
            EventData::AsideCompleted { outcome, cost_usd, saved_usd, .. } => {
                (*outcome == AsideOutcome::Answered, *cost_usd, *saved_usd)
            }
            _ => (false, None, None),
        };
        let embedded = match data {
            // No call of a model, but spent.
            EventData::MemoryUsed { embeddings: Some(of), .. } => nano(of.cost_usd.unwrap_or_default()),
            _ => 0,
        };
        let added = UsageAdded {
            model: model.to_owned(),
            model_calls: i64::from(after.model_calls) - i64::from(before.model_calls),
            counted_calls: i64::from(counted),
            unpriced_calls: i64::from(counted && cost_usd.is_none()),
            input_tokens: after.input_tokens.saturating_sub(before.input_tokens) as i64,
            cached_input_tokens: after.cached_input_tokens.saturating_sub(before.cached_input_tokens) as i64,
            output_tokens: after.output_tokens.saturating_sub(before.output_tokens) as i64,
            cost_nano: if counted { nano(cost_usd.unwrap_or_default()) } else { embedded },
            saved_nano: if counted { nano(saved_usd.unwrap_or_default()) } else { 0 },
        };
        if added.is_none() {
            return;
        }
        match self.0.iter_mut().find(|sum| sum.model == added.model) {
            Some(sum) => *sum += added,
            None => self.0.push(added),
        }
    }

    pub(super) fn by_model(&self) -> &[UsageAdded] {
        &self.0
    }

    /// They are written, or will not be.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
