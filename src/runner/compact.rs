//! Compaction: the record of the conversation is summarised by a call outside the loop, and the prompt begins anew.

use super::{
    caller::Caller,
    drive::Driver,
    journal::{Flow, Halt},
    model::DRAIN_WAITS,
};
use crate::{
    agent::{self, compact, prompt},
    clock,
    domain::{
        ErrorCode, EventData, Item, Private,
        event::{ToolSpecs, TreeDelta},
        usage::TokenUsage,
    },
    llm::{self, ModelError},
};

/// Tries with half the record each time, where it is still too long for the model.
const HALVINGS_MAX: u32 = 3;
/// Summaries that may break off before one is done without.
const REPEATS_MAX: u32 = 2;

/// What the call gave.
enum Summary {
    Of(Box<llm::Completed>),
    /// None that is of use: what the server kept has to do.
    None,
    Failed(ModelError),
    /// Somebody's words, a limit or a drain cut it off.
    CutShort,
    Fenced,
}

impl Driver {
    pub(super) async fn compact(&mut self, max_output_tokens: u64) -> Result<Flow, Halt> {
        let form = self.journal.session.briefed.as_ref().and_then(|briefed| briefed.head.form.as_ref());
        let Some(model) = self.deps.models.get(&self.journal.session.model).map(|model| model.clone().as_of(form))
        else {
            let text = format!("the model {} is not configured here", self.journal.session.model);
            return self.fail(ErrorCode::ModelRejected, text).await;
        };
        // The items are the conversation's by now: the log has them.
        self.journal.commit().await?;
        self.journal.refold().await?;
        self.boundary()?;
        if self.journal.session.cancel {
            return Ok(Flow::On);
        }
        let (prices, prompt) = (self.facts().prices, self.journal.session.context_at_most());
        let summary = if self.journal.session.turn == 0 {
            Summary::None
        } else {
            let Some(paid) = self.draw(prices, prompt, max_output_tokens).await? else { return Ok(Flow::On) };
            self.summarise(&model, paid.output_tokens).await
        };
        let completed = match summary {
            Summary::Of(completed) => Some(completed),
            Summary::None => None,
            Summary::Failed(error) => return self.another_or_end(&model.name, &error).await,
            Summary::CutShort => return Ok(Flow::On),
            Summary::Fenced => return Err(Halt::Fenced),
        };
        let touched = self.touched().await?;
        let (facts, session) = (self.facts(), &self.journal.session);
        let text = completed.as_ref().map(|completed| self.redactor.redact_known(&completed.reply.text).into_owned());
        let text = text.filter(|text| !text.trim().is_empty());
        let items = compact::replacement(session, &facts, text.as_deref(), &touched);
        let opening = compact::opening(session, &facts);
        let usage = completed.as_ref().map_or_else(TokenUsage::default, |completed| completed.usage);
        let data = EventData::Compaction {
            tokens_before: session.context_estimate(),
            tokens_after: compact::tokens_of(session, opening.as_deref(), &items),
            usage,
            cost_usd: model.prices.map(|prices| prices.cost_usd(usage)),
            summarised: text.is_some(),
        };
        self.journal.record(data, Some(Private::Compaction { items, opening }));
        self.journal.refolded = true;
        self.journal.commit().await.map(|()| Flow::On)
    }

    async fn summarise(&self, model: &llm::Model, max_output_tokens: u64) -> Summary {
        let facts = self.facts();
        for halvings in 0..=HALVINGS_MAX {
            let record = compact::transcript(self.journal.session.items(), &facts, halvings);
            let mut conversation = llm::Conversation::new(model, prompt::SUMMARY_INSTRUCTIONS, &ToolSpecs::new());
            conversation.push(&Item::User { text: record });
            // No prefix is shared with the loop's calls, so neither is its cache.
            let (cache_key, caller) = (format!("{}:summary", self.claimed.task), Caller::of(&self.claimed));
            let call = llm::Call {
                cache_key: &cache_key,
                share: &caller.user,
                by: caller.attribution(),
                turn: self.journal.session.turn + 1,
                max_output_tokens: u32::try_from(max_output_tokens).unwrap_or(u32::MAX),
                repeats_max: REPEATS_MAX,
            };
            let wall = agent::wall_left(&self.journal.session, clock::now());
            let drained = async {
                self.deps.draining.cancelled().await;
                tokio::time::sleep(DRAIN_WAITS).await;
            };
            let answer = tokio::select! {
                answer = self.deps.client.call(model, &conversation, call, |_| {}) => answer,
                () = self.journal.cut_short() => return Summary::CutShort,
                () = tokio::time::sleep(wall) => return Summary::CutShort,
                () = drained => return Summary::CutShort,
                () = self.deps.cut.cancelled() => return Summary::CutShort,
                () = self.lost.cancelled() => return Summary::Fenced,
            };
            match answer {
                Ok(completed) => return Summary::Of(Box::new(completed)),
                Err(ModelError::ContextTooLong) => {}
                Err(ModelError::CutOff | ModelError::Nonsense { .. }) => return Summary::None,
                Err(error) => return Summary::Failed(error),
            }
        }
        Summary::None
    }

    /// Paths that differ from the base, as last looked at.
    async fn touched(&self) -> Result<Vec<String>, Halt> {
        let Some(checkpoint) = &self.journal.session.checkpoint else { return Ok(Vec::new()) };
        let TreeDelta { changed, deleted } = self.copy.delta(&checkpoint.delta).await?;
        Ok(changed
            .into_iter()
            .map(|entry| entry.path)
            .chain(deleted.into_iter().map(|path| format!("{path} (gone)")))
            .collect())
    }
}
