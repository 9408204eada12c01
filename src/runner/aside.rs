//! Calls outside the loop: one question to a model, without tools and with a prompt of its own.
//!
//! Like the loop's own call, its intent stands in the log with what it may cost before it goes out, and what became of
//! it afterwards: where no usage comes (cut short, broken off, lost to a crash), what was reserved counts as spent.

use super::{
    caller::Caller,
    drive::Driver,
    journal::{Halt, Journal},
    model::DRAIN_WAITS,
};
use crate::{
    agent, clock,
    domain::{
        EventData, Item, Private,
        event::{Aside, AsideOutcome, ToolSpecs},
        usage::TokenUsage,
    },
    llm::{self, ModelError},
};
use std::time::Duration;

/// What is asked, of whom, and at what price.
pub(super) struct Question<'a> {
    pub(super) aside: Aside,
    pub(super) model: &'a llm::Model,
    pub(super) instructions: &'a str,
    /// Without secrets.
    pub(super) text: String,
    pub(super) max_output_tokens: u64,
    /// Besides the run's own time.
    pub(super) timeout: Option<Duration>,
    pub(super) gives_way: GivesWay,
}

/// Whose words cut it short; a cancel does always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GivesWay {
    /// Those that interrupt what runs.
    ToInterrupts,
    /// All that its model is to be shown now.
    ToWords,
}

/// What became of a question. All of it is recorded, and not committed yet.
pub(super) enum Told {
    Answer(Box<llm::Completed>),
    Failed(ModelError),
    TimedOut,
    /// Somebody's words, a limit or a drain came first: the loop decides anew.
    CutShort,
    /// The run cannot pay for it; it was not asked.
    Unaffordable,
    /// Its model is switched off; it was not asked.
    SwitchedOff,
}

impl Driver {
    /// Asks once. What was recorded before is committed with the intent.
    pub(super) async fn ask_aside(&mut self, question: Question<'_>) -> Result<Told, Halt> {
        let Question { aside, model, instructions, text, max_output_tokens, timeout, gives_way } = question;
        let prompt_tokens = agent::tokens_at_most(instructions) + agent::tokens_at_most(&text);
        let reserved = agent::aside_reservation(prompt_tokens, max_output_tokens, model.prices);
        if !agent::affords(&self.journal.session, reserved) {
            return Ok(Told::Unaffordable);
        }
        if self.deps.switches.is_off(&model.name) {
            return Ok(Told::SwitchedOff);
        }
        let private = Private::Reserved { tokens: reserved.tokens, cost_usd: reserved.cost_usd, instead: false };
        self.journal.record(EventData::AsideStarted { aside, model: model.name.clone() }, Some(private));
        let alone = self.journal.commit_alone().await?;
        self.boundary()?;
        let began = clock::Stopwatch::start();
        // Whoever wrote with this commit goes first.
        if !alone {
            self.settle_aside(aside, model, AsideOutcome::Refused, TokenUsage::default(), began);
            return Ok(Told::CutShort);
        }
        let mut conversation = llm::Conversation::new(model, instructions, &ToolSpecs::new());
        conversation.push(&Item::User { text });
        // No prefix is shared with the loop's calls, so neither is its cache.
        let cache_key = format!("{}:{}", self.claimed.task, key_of(aside));
        let caller = Caller::of(&self.claimed);
        let call = llm::Call {
            cache_key: &cache_key,
            share: &caller.user,
            by: caller.attribution(),
            turn: self.journal.session.turn + 1,
            max_output_tokens: u32::try_from(max_output_tokens).unwrap_or(u32::MAX),
            // Each try has an intent of its own.
            repeats_max: 0,
        };
        let wall = agent::wall_left(&self.journal.session, clock::now());
        let drained = async {
            self.deps.draining().cancelled_owned().await;
            tokio::time::sleep(DRAIN_WAITS).await;
        };
        let asking = Box::pin(self.deps.client.call(model, &conversation, call, |_| {}));
        let told = tokio::select! {
            answer = asking => match answer {
                Ok(completed) => Told::Answer(Box::new(completed)),
                Err(error) => Told::Failed(error),
            },
            () = spoken(&self.journal, gives_way) => Told::CutShort,
            () = tokio::time::sleep(timeout.unwrap_or(wall).min(wall)) => {
                if timeout.is_some_and(|own| own < wall) { Told::TimedOut } else { Told::CutShort }
            }
            () = drained => Told::CutShort,
            () = self.deps.switches.off(&model.name) => Told::CutShort,
            () = self.deps.cut.cancelled() => return Err(Halt::Cut),
            () = self.lost.cancelled() => return Err(Halt::Fenced),
        };
        let (outcome, usage) = match &told {
            Told::Answer(completed) if completed.usage_reported => (AsideOutcome::Answered, completed.usage),
            Told::Answer(completed) => (AsideOutcome::Uncounted, completed.usage),
            Told::Failed(error) => (outcome_of(error), TokenUsage::default()),
            Told::TimedOut | Told::CutShort | Told::Unaffordable | Told::SwitchedOff => {
                (AsideOutcome::Lost, TokenUsage::default())
            }
        };
        self.settle_aside(aside, model, outcome, usage, began);
        Ok(told)
    }

    fn settle_aside(
        &mut self,
        aside: Aside,
        model: &llm::Model,
        outcome: AsideOutcome,
        usage: TokenUsage,
        began: clock::Stopwatch,
    ) {
        let answered = outcome == AsideOutcome::Answered;
        let data = EventData::AsideCompleted {
            aside,
            model: model.name.clone(),
            outcome,
            usage,
            cost_usd: model.prices.filter(|_| answered).map(|prices| prices.cost_usd(usage)),
            saved_usd: llm::cache::saved_usd(model, usage).filter(|_| answered),
            duration_ms: began.elapsed_ms(),
        };
        self.journal.record(data, None);
    }
}

async fn spoken(journal: &Journal, gives_way: GivesWay) {
    match gives_way {
        GivesWay::ToInterrupts => journal.cut_short().await,
        GivesWay::ToWords => journal.spoken_to().await,
    }
}

fn key_of(aside: Aside) -> &'static str {
    match aside {
        Aside::Summary => "summary",
        Aside::Review => "review",
        Aside::Approval => "approval",
    }
}

/// What begins and breaks off may be charged for.
fn outcome_of(error: &ModelError) -> AsideOutcome {
    let lost = error.may_have_cost() || matches!(error, ModelError::SpentUp);
    if lost { AsideOutcome::Lost } else { AsideOutcome::Refused }
}
