//! Compaction: the record of the conversation is summarised by a call outside the loop, and the prompt begins anew.

use super::{
    aside::{GivesWay, Question, Told},
    drive::Driver,
    journal::{Flow, Halt},
};
use crate::{
    agent::{compact, prompt, tokens_at_most},
    domain::{
        ErrorCode, EventData, Private,
        event::{Aside, TreeDelta},
        usage::TokenUsage,
    },
    llm::{self, ModelError},
};

/// Tries with half the record each time, where it is still too long for the model.
const HALVINGS_MAX: u32 = 3;
/// Summaries that may break off before one is done without.
const REPEATS_MAX: u32 = 2;

/// What the calls gave.
enum Summary {
    Of(Box<llm::Completed>),
    /// None that is of use: what the server kept has to do.
    None,
    Failed(ModelError),
    /// Somebody's words, a limit or a drain cut it off.
    CutShort,
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
            self.summarise(&model, paid.output_tokens).await?
        };
        let completed = match summary {
            Summary::Of(completed) => Some(completed),
            Summary::None => None,
            Summary::Failed(error) => return self.another_or_end(&model.name, &error).await,
            Summary::CutShort => return Ok(Flow::On),
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

    async fn summarise(&mut self, model: &llm::Model, max_output_tokens: u64) -> Result<Summary, Halt> {
        let facts = self.facts();
        let (mut halvings, mut broken_off) = (0, 0);
        while halvings <= HALVINGS_MAX && broken_off <= REPEATS_MAX {
            let text = compact::transcript(self.journal.session.items(), &facts, halvings);
            // The items came from the log, but for what this build would hide and an earlier one did not.
            let text = self.redactor.redact_known(&text).into_owned();
            // The first try was drawn for.
            if halvings + broken_off > 0 {
                let input = tokens_at_most(prompt::SUMMARY_INSTRUCTIONS) + tokens_at_most(&text);
                let paid = self.try_draw(model.prices, input, max_output_tokens).await?;
                if !paid.is_ok_and(|paid| paid.output_tokens >= max_output_tokens) {
                    break;
                }
            }
            let question = Question {
                aside: Aside::Summary,
                model,
                instructions: prompt::SUMMARY_INSTRUCTIONS,
                text,
                max_output_tokens,
                timeout: None,
                gives_way: GivesWay::ToInterrupts,
            };
            match self.ask_aside(question).await? {
                Told::Answer(completed) => return Ok(Summary::Of(completed)),
                Told::CutShort => return Ok(Summary::CutShort),
                Told::TimedOut | Told::Unaffordable | Told::SwitchedOff | Told::Failed(ModelError::Nonsense { .. }) => {
                    break;
                }
                Told::Failed(ModelError::ContextTooLong) => halvings += 1,
                Told::Failed(ModelError::CutOff | ModelError::SpentUp) => broken_off += 1,
                Told::Failed(error) => return Ok(Summary::Failed(error)),
            }
        }
        Ok(Summary::None)
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
