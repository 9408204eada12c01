//! A call of the model: its intent stands in the log before it goes out, its answer afterwards.
//! The look at the working copy that earlier calls made due runs beside it.

use super::{
    caller::Caller,
    drive::Driver,
    journal::{Flow, Halt, Journal},
    live::Pieces,
};
use crate::{
    agent::{self, End, prompt},
    clock,
    domain::{
        ErrorCode, EventData, Private, Timestamp,
        event::{MissCause, ToolSpecs},
    },
    llm::{self, Live, ModelError},
    workspace::WorkspaceError,
};
use std::{pin::pin, time::Duration};
use tokio::sync::mpsc;

/// How long a drain waits for a reply that is under way.
pub(super) const DRAIN_WAITS: Duration = Duration::from_secs(8);

/// What a call came to.
enum Answer {
    Reply(Box<llm::Completed>),
    Error(ModelError),
    /// Replies broke off, and the budget buys no further one.
    SpentUp,
    /// Somebody's words, a limit or a drain cut it off.
    CutShort,
}

impl Driver {
    pub(super) async fn call_model(&mut self, intent: Vec<EventData>, max_output_tokens: u64) -> Result<Flow, Halt> {
        if let Some(flow) = self.goes_on_elsewhere(true).await? {
            return Ok(flow);
        }
        let form = self.journal.session.briefed.as_ref().and_then(|briefed| briefed.head.form.as_ref());
        let Some(model) = self.deps.models.get(&self.journal.session.model).map(|model| model.clone().as_of(form))
        else {
            let text = format!("the model {} is not configured here", self.journal.session.model);
            return self.fail(ErrorCode::ModelRejected, text).await;
        };
        let facts = self.facts();
        let prompt = self.journal.session.context_at_most();
        let Some(paid) = self.draw(facts.prices, prompt, max_output_tokens).await? else { return Ok(Flow::On) };
        let max_output_tokens = paid.output_tokens;
        let reserved = agent::reservation(&self.journal.session, &facts, max_output_tokens);
        let instead = std::mem::take(&mut self.unsent);
        for data in intent {
            let begins = matches!(data, EventData::ModelStarted { .. });
            let (tokens, cost_usd) = (reserved.tokens, reserved.cost_usd);
            self.journal.record(data, begins.then_some(Private::Reserved { tokens, cost_usd, instead }));
        }
        self.journal.commit().await?;
        self.boundary()?;
        // Words that came with this commit go before the call, and a cancel before everything.
        if self.journal.session.cancel || self.journal.session.has_words() {
            self.unsent = true;
            return Ok(Flow::On);
        }
        let mut conversation = self.conversation(&model).await?;
        self.prepare_copy().await?;

        let task = self.claimed.task;
        let (cache_key, caller) = (task.to_string(), Caller::of(&self.claimed));
        let asked_at = clock::now();
        let call = llm::Call {
            cache_key: &cache_key,
            share: &caller.user,
            by: caller.attribution(),
            turn: self.journal.session.turn + 1,
            max_output_tokens: u32::try_from(max_output_tokens).unwrap_or(u32::MAX),
            repeats_max: agent::repeats_left(&self.journal.session, reserved).min(paid.repeats),
        };
        let (retried, mut retries) = mpsc::unbounded_channel();
        let mut pieces = Pieces::of_message(&self.deps.hub, &self.redactor, task);
        let live = |piece: Live| match piece {
            Live::Text(text) => pieces.push(text.as_bytes(), clock::monotonic()),
            Live::Reset => pieces.reset(),
            Live::Retry { attempt, reason, delay, broke_off } => {
                // Whoever listens ends with this call.
                let _ = retried.send((attempt, reason, delay, broke_off));
            }
            Live::Reasoning(_) | Live::Tool(_) => {}
        };
        let wall = agent::wall_left(&self.journal.session, clock::now());
        let deps = std::sync::Arc::clone(&self.deps);
        let drained = async {
            deps.draining().cancelled_owned().await;
            tokio::time::sleep(DRAIN_WAITS).await;
        };
        let must_look = self.journal.session.dirty || !self.copy.looked();
        let look = async { if must_look { Some(self.copy.look().await) } else { None } };
        let journal = &mut self.journal;
        let asked = async {
            let mut asking = Box::pin(deps.client.call(&model, &conversation, call, live));
            let mut drained = pin!(drained);
            let mut late = pin!(tokio::time::sleep(wall));
            loop {
                let retry = tokio::select! {
                    answer = &mut asking => return Ok::<_, Halt>(match answer {
                        Ok(completed) => Answer::Reply(Box::new(completed)),
                        Err(ModelError::SpentUp) => Answer::SpentUp,
                        Err(error) => Answer::Error(error),
                    }),
                    Some(retry) = retries.recv() => retry,
                    () = journal.cut_short() => return Ok(Answer::CutShort),
                    () = &mut late => return Ok(Answer::CutShort),
                    () = &mut drained => return Ok(Answer::CutShort),
                    () = deps.cut.cancelled() => return Ok(Answer::CutShort),
                    () = deps.switches.off(&model.name) => return Ok(Answer::CutShort),
                    () = self.lost.cancelled() => return Ok(Answer::CutShort),
                };
                // What a broken reply may cost stands in the log before the next try goes out: the call stands still
                // meanwhile.
                record_retry(journal, retry);
                journal.commit().await?;
                if journal.session.cancel || journal.session.interrupted() {
                    return Ok(Answer::CutShort);
                }
            }
        };
        let (answer, looked) = tokio::join!(asked, look);
        drop(pieces);
        if self.lost.is_cancelled() {
            return Err(Halt::Fenced);
        }
        let answer = answer?;
        // Those of the last moment.
        while let Ok(retry) = retries.try_recv() {
            record_retry(&mut self.journal, retry);
        }
        match looked {
            None => {}
            Some(Ok(found)) => self.record_checkpoint(found).await?,
            // The sandbox died: the next call that needs it opens it again.
            Some(Err(Halt::Workspace(WorkspaceError::Gone { why }))) => {
                tracing::warn!(task.id = %task, "the workspace died: {why}");
            }
            Some(Err(Halt::Workspace(error))) => {
                return self.fail(ErrorCode::WorkspaceFailed, error.to_string()).await;
            }
            Some(Err(Halt::Repository(error))) => {
                return self.fail(ErrorCode::WorkspaceFailed, error.public_message()).await;
            }
            Some(Err(other)) => return Err(other),
        }
        match answer {
            Answer::Reply(completed) => {
                self.record_reply(&model, *completed, conversation.chain(), asked_at);
                // Folded anew meanwhile: the session holds all items, and the next call makes the conversation of them.
                if !self.journal.refolded {
                    for item in self.journal.session.take_items() {
                        conversation.push(&item);
                    }
                    self.conversation = Some(conversation);
                }
                Ok(Flow::On)
            }
            Answer::CutShort => {
                self.conversation = Some(conversation);
                self.journal.commit().await?;
                Ok(Flow::On)
            }
            Answer::Error(ModelError::ContextTooLong) if self.journal.session.can_compact() => {
                self.conversation = Some(conversation);
                let reason = ModelError::ContextTooLong.to_string();
                let data = EventData::ModelRetried {
                    attempt: 1,
                    reason,
                    delay_ms: 0,
                    overflowed: true,
                    next_model: None,
                    broke_off: false,
                };
                self.journal.record(data, None);
                self.journal.commit().await.map(|()| Flow::On)
            }
            Answer::Error(error) => {
                self.conversation = Some(conversation);
                self.another_or_end(&model.name, &error).await
            }
            // Replies broke off until no further one could be paid: the loop says so.
            Answer::SpentUp => {
                self.conversation = Some(conversation);
                self.journal.commit().await.map(|()| Flow::On)
            }
        }
    }

    /// The next model of the chain takes over from one that cannot be had, or the run ends.
    pub(super) async fn another_or_end(&mut self, name: &str, error: &ModelError) -> Result<Flow, Halt> {
        let Some(next) = self.next_model(name).filter(|_| error.lets_another_try()) else {
            return self.end(ended_by(error)).await;
        };
        tracing::warn!(task.id = %self.claimed.task, model.name = name, model.next = next, "another model takes over: {error}");
        let taken_over = EventData::ModelRetried {
            attempt: 0,
            reason: error.to_string(),
            delay_ms: 0,
            overflowed: false,
            next_model: Some(next),
            broke_off: self.journal.session.calling && error.may_have_cost(),
        };
        self.journal.record(taken_over, None);
        self.journal.commit().await.map(|()| Flow::On)
    }

    /// The model after `name` in the chain of the task's own model, as far as they are configured.
    pub(super) fn next_model(&self, name: &str) -> Option<String> {
        let first = &self.journal.session.spec.model;
        let others = self.deps.models.get(first).map_or(&[][..], |model| &model.fallback);
        let mut chain = std::iter::once(first).chain(others).skip_while(|known| *known != name).skip(1);
        // A cap in money holds nothing where a price is not known.
        let capped = self.journal.session.spec.limits.cost_usd.is_some();
        let may = |next: &&String| {
            let model = self.deps.models.get(*next);
            let may = |model: &llm::Model| (!capped || model.prices.is_some()) && !self.deps.switches.is_off(next);
            **next != name && model.is_some_and(may)
        };
        chain.find(may).cloned()
    }

    /// The prompt as it stands: what the session has added is pushed, or all of it anew after the
    /// session was folded anew.
    async fn conversation(&mut self, model: &llm::Model) -> Result<llm::Conversation, Halt> {
        // Another model starts a new prefix, for which all items are wanted again.
        if self.conversation.as_ref().is_some_and(|conversation| !conversation.is_for(model)) {
            self.journal.refold().await?;
        }
        let refolded = std::mem::take(&mut self.journal.refolded);
        let mut conversation = match self.conversation.take().filter(|_| !refolded) {
            Some(conversation) => conversation,
            None => self.new_conversation(model).await?,
        };
        for item in self.journal.session.take_items() {
            conversation.push(&item);
        }
        Ok(conversation)
    }

    async fn new_conversation(&self, model: &llm::Model) -> Result<llm::Conversation, Halt> {
        let Some(briefed) = &self.journal.session.briefed else {
            return Ok(llm::Conversation::new(model, prompt::INSTRUCTIONS, &ToolSpecs::new()));
        };
        let team = self.claimed.team;
        let instructions = self.deps.kept(team, &briefed.head.instructions).await?;
        let tools = self.deps.kept(team, &briefed.head.tools).await?;
        let tools: ToolSpecs = serde_json::from_slice(&tools)
            .map_err(|_| crate::store::StoreError::corrupt("blobs", "content", &briefed.head.tools.0))?;
        Ok(llm::Conversation::new(model, &String::from_utf8_lossy(&instructions), &tools))
    }

    fn record_reply(
        &mut self,
        model: &llm::Model,
        completed: llm::Completed,
        chain: &llm::cache::Chain,
        asked_at: Timestamp,
    ) {
        let llm::Completed { mut reply, usage, usage_reported, thinking, duration } = completed;
        reply.model.clone_from(&model.name);
        reply.model_id.clone_from(&model.model_id);
        let cost_usd = model.prices.filter(|_| usage_reported).map(|prices| prices.cost_usd(usage));
        let seen = self.journal.session.seen.as_ref();
        let cache = llm::cache::judge(model, (chain, thinking), seen, usage_reported.then_some(usage), asked_at);
        if let Some(miss) = &cache.miss {
            let (task, wasted) = (self.claimed.task, cache.wasted_usd.unwrap_or_default());
            // A prefix that changed by itself is a fault of ours; all else is known or the provider's.
            let ours = matches!(
                miss.cause,
                MissCause::InstructionsChanged | MissCause::ToolsChanged | MissCause::ItemsChanged
            );
            if ours {
                tracing::warn!(task.id = %task, cache.miss = ?miss, cache.wasted_usd = wasted, "the prompt's prefix has changed");
            } else {
                tracing::debug!(task.id = %task, cache.miss = ?miss, cache.wasted_usd = wasted, "the prompt cache was missed");
            }
        }
        let text = self.redactor.redact(&reply.text).into_owned();
        let reasoning = self.redactor.redact(&reply.reasoning).into_owned();
        let data = EventData::ModelCompleted {
            model: model.name.clone(),
            usage,
            cache,
            cost_usd,
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            estimated: !usage_reported,
        };
        self.journal.record(data, Some(Private::Reply(reply)));
        if !reasoning.trim().is_empty() {
            self.journal.record(EventData::Reasoning { summary: reasoning }, None);
        }
        if !text.trim().is_empty() {
            self.journal.record(EventData::MessageAssistant { text, author: model.name.clone() }, None);
        }
    }
}

type Retry = (u32, String, Duration, bool);

fn record_retry(journal: &mut Journal, (attempt, reason, delay, broke_off): Retry) {
    let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    journal.record(
        EventData::ModelRetried { attempt, reason, delay_ms, overflowed: false, next_model: None, broke_off },
        None,
    );
}

/// How a run ends whose model cannot be had.
fn ended_by(error: &ModelError) -> End {
    let code = match error {
        ModelError::Rejected { .. } | ModelError::ContextTooLong => ErrorCode::ModelRejected,
        ModelError::Unavailable { .. } | ModelError::CutOff | ModelError::Nonsense { .. } | ModelError::SpentUp => {
            ErrorCode::ModelUnavailable
        }
    };
    End::failed(code, error.to_string())
}
