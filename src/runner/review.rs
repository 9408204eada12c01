//! The review: one call outside the loop, without tools, by the model that is named for it. Whatever becomes of it,
//! the task goes on: the verdict was the checks' before, and is afterwards.

use super::{
    aside::{GivesWay, Question, Told},
    drive::Driver,
    journal::{Flow, Halt},
};
use crate::{
    agent::{
        prompt,
        review::{self, Answer, Room},
    },
    domain::{
        EventData, Phase,
        event::{Aside, TreeDelta},
        usage::TokenUsage,
    },
    llm::{self, ModelError},
};
use bytes::Bytes;
use std::collections::BTreeMap;

/// What the reviewer's calls have taken so far, as far as they were answered.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    calls: u32,
    usage: TokenUsage,
}

/// What came of asking.
enum Asked {
    Answer(Box<llm::Completed>),
    /// To be tried again with less, if it may.
    Unfit(&'static str),
    Failed(String),
    /// Somebody's words, a limit or a drain cut it off.
    CutShort,
}

/// What a review comes to.
type Outcome = Result<Answer, String>;

impl Driver {
    pub(super) fn reviewer(&self) -> Option<&llm::Model> {
        self.deps.reviewer.as_ref().and_then(|name| self.deps.models.get(name))
    }

    /// Has the patch reviewed and records what came of it, with what goes back to the model.
    pub(super) async fn review(&mut self, room: Option<Room>) -> Result<Flow, Halt> {
        self.journal.commit().await?;
        self.boundary()?;
        // Words that came with this commit go before the review, and a cancel before everything.
        if self.journal.session.cancel || self.journal.session.has_words() {
            return Ok(Flow::On);
        }
        let Some(model) = self.reviewer().cloned() else { return Ok(Flow::On) };
        let Some(room) = room else {
            let why = "the limits of the task leave no room for it".to_owned();
            return self.reviewed(&model, Err(why), Spent::default()).await;
        };
        let (patch, delta) = match self.patch_to_review().await {
            Ok(Some(found)) => found,
            Ok(None) | Err(Halt::Workspace(_) | Halt::Repository(_)) => {
                let why = "the working copy could not be looked at".to_owned();
                return self.reviewed(&model, Err(why), Spent::default()).await;
            }
            Err(other) => return Err(other),
        };
        // Both calls are paid for before the first goes out.
        let (input, output) = (room.prompt_tokens * 3 / 2, room.output_tokens * u64::from(room.tries));
        let paid = self.try_draw(model.prices, input, output).await?;
        let output_tokens = paid.map_or(0, |paid| paid.output_tokens) / u64::from(room.tries.max(1));
        if output_tokens < room.output_tokens / 2 {
            return self.reviewed(&model, Err("a shared budget has no room for it".to_owned()), Spent::default()).await;
        }
        let room = Room { output_tokens, ..room };
        let (outcome, spent) = self.ask_reviewer(&model, room, &String::from_utf8_lossy(&patch), &delta).await?;
        match outcome {
            // Nothing was answered: done anew when the task gets there again.
            None if spent.calls == 0 => Ok(Flow::On),
            None => self.reviewed(&model, Err("it was cut short".to_owned()), spent).await,
            Some(Ok(answer)) => {
                let lines = self.line_counts(&answer, &delta).await?;
                self.reviewed(&model, Ok(answer.within(&lines)), spent).await
            }
            Some(Err(why)) => self.reviewed(&model, Err(why), spent).await,
        }
    }

    async fn patch_to_review(&mut self) -> Result<Option<(Bytes, TreeDelta)>, Halt> {
        self.prepare_copy().await?;
        let Some((base, delta)) = self.copy.state().map(|(base, tree)| (base.clone(), tree.delta())) else {
            return Ok(None);
        };
        let (_, blob) = self.patch(&base, &delta).await?;
        Ok(Some((self.deps.kept(self.claimed.team, &blob).await?, delta)))
    }

    /// Asks, and once more with half of the patch where the answer is of no use. No outcome: it was cut short.
    async fn ask_reviewer(
        &mut self,
        model: &llm::Model,
        room: Room,
        patch: &str,
        delta: &TreeDelta,
    ) -> Result<(Option<Outcome>, Spent), Halt> {
        let changed = delta.changed.iter().map(|entry| entry.path.as_str());
        let paths: Vec<&str> = changed.chain(delta.deleted.iter().map(String::as_str)).collect();
        let mut spent = Spent::default();
        let mut why = "";
        for smaller in 0..room.tries {
            let text = review::put_to(&self.journal.session, patch, room.prompt_tokens >> smaller);
            match self.ask_once(model, &text, room.output_tokens).await? {
                Asked::CutShort => return Ok((None, spent)),
                Asked::Failed(why) => return Ok((Some(Err(why)), spent)),
                Asked::Unfit(unfit) => why = unfit,
                Asked::Answer(completed) => {
                    spent.calls += 1;
                    spent.usage += completed.usage;
                    let answer = Answer::read(&completed.reply.text, &self.journal.session, &paths);
                    match answer.filter(|_| !completed.reply.cut) {
                        Some(answer) => return Ok((Some(Ok(answer)), spent)),
                        None => {
                            why = if completed.reply.cut { "its answer was cut off" } else { "its answer is no review" }
                        }
                    }
                }
            }
        }
        Ok((Some(Err(format!("{}: {why}", model.name))), spent))
    }

    async fn ask_once(&mut self, model: &llm::Model, text: &str, output_tokens: u64) -> Result<Asked, Halt> {
        let question = Question {
            aside: Aside::Review,
            model,
            instructions: prompt::REVIEW_INSTRUCTIONS,
            text: self.redactor.redact_known(text).into_owned(),
            max_output_tokens: output_tokens,
            timeout: None,
            gives_way: GivesWay::ToWords,
        };
        Ok(match self.ask_aside(question).await? {
            Told::Answer(completed) => Asked::Answer(completed),
            Told::CutShort | Told::TimedOut => Asked::CutShort,
            Told::SwitchedOff => Asked::Failed("the operator has switched its model off".to_owned()),
            Told::Unaffordable => Asked::Failed("the limits of the task leave no room for it".to_owned()),
            Told::Failed(ModelError::ContextTooLong) => Asked::Unfit("the patch is too long for it"),
            Told::Failed(ModelError::CutOff | ModelError::SpentUp) => Asked::Unfit("its answer broke off"),
            Told::Failed(ModelError::Nonsense { .. }) => Asked::Unfit("its answer cannot be read"),
            Told::Failed(error) => {
                tracing::warn!(task.id = %self.claimed.task, model.name = model.name, "a patch could not be reviewed: {error}");
                Asked::Failed(format!("{}: {error}", model.name))
            }
        })
    }

    /// How many lines the new files have that findings name.
    async fn line_counts(&self, answer: &Answer, delta: &TreeDelta) -> Result<BTreeMap<String, u32>, Halt> {
        let mut lines = BTreeMap::new();
        for path in answer.findings.iter().filter_map(|finding| finding.file.as_ref()) {
            let Some(entry) = delta.changed.iter().find(|entry| entry.path == *path) else { continue };
            if !lines.contains_key(path) {
                let content = self.deps.kept(self.claimed.team, &entry.content).await?;
                let count = String::from_utf8_lossy(&content).lines().count();
                lines.insert(path.clone(), u32::try_from(count).unwrap_or(u32::MAX));
            }
        }
        Ok(lines)
    }

    async fn reviewed(&mut self, model: &llm::Model, outcome: Outcome, spent: Spent) -> Result<Flow, Halt> {
        let session = &self.journal.session;
        let (Answer { findings, criteria }, failed) = match outcome {
            Ok(answer) => (answer, None),
            Err(why) => (Answer::default(), Some(why)),
        };
        let Spent { calls, usage } = spent;
        let cost_usd = model.prices.map(|prices| prices.cost_usd(usage));
        let sent_back = review::sends_back(session, &self.facts(), &findings);
        let told = sent_back.then(|| review::told(&findings));
        let tree = session.checkpoint.as_ref().map(|checkpoint| checkpoint.tree.clone());
        let name = model.name.clone();
        let data = EventData::ReviewCompleted {
            model: name,
            tree,
            findings,
            criteria,
            sent_back,
            failed,
            calls,
            usage,
            cost_usd,
        };
        self.journal.record(data, None);
        if let Some(text) = told {
            self.journal.record(EventData::TaskPhase { phase: Phase::Refinement }, None);
            self.journal.record(EventData::MessageDeveloper { text }, None);
        }
        self.journal.commit().await.map(|()| Flow::On)
    }
}
