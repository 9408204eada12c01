//! Tool calls: begun in the log, run in the workspace, answered in the log.

use super::{
    decisions,
    drive::Driver,
    journal::{Flow, Halt},
    live::Pieces,
    model::DRAIN_WAITS,
};
use crate::{
    agent::{self, prompt},
    clock,
    domain::{
        CallId, ErrorCode, EventData, Private,
        event::RecoveredAfter,
        plan::Planning,
        tool::{ToolCall, ToolEffect, ToolOutcome, effect},
    },
    tools::{self, Parsed, ToolAnswer},
    workspace::{Workspace, WorkspaceError},
};
use bytes::Bytes;
use futures::future::join_all;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};

/// Pieces of output on their way to who watches.
const LIVE_PIECES_MAX: usize = 64;

/// Calls of one reply that run at once: each may hold a whole file.
const CALLS_AT_ONCE: usize = 8;

/// One call with what it gave; absent where it was cut off.
type Ran = (ToolCall, Option<Result<ToolAnswer, WorkspaceError>>);

impl Driver {
    pub(super) async fn run_tools(&mut self, intent: Vec<EventData>, calls: Vec<ToolCall>) -> Result<Flow, Halt> {
        // What the model asked for was meant for the files as it knows them.
        if let Some(flow) = self.goes_on_elsewhere(true).await? {
            return Ok(flow);
        }
        self.journal.record_all(intent);
        self.journal.commit().await?;
        self.boundary()?;
        if self.journal.session.cancel || self.journal.session.interrupted() {
            return Ok(Flow::On);
        }
        self.prepare_copy().await?;
        let workspace = match self.copy.workspace().await {
            Ok(workspace) => workspace,
            Err(Halt::Workspace(WorkspaceError::Gone { .. })) if self.may_die_again() => return Ok(Flow::On),
            Err(Halt::Workspace(error)) => {
                return self.fail(ErrorCode::WorkspaceFailed, error.to_string()).await;
            }
            Err(Halt::Repository(error)) => {
                return self.fail(ErrorCode::WorkspaceFailed, error.public_message()).await;
            }
            Err(other) => return Err(other),
        };
        let wall = agent::wall_left(&self.journal.session, clock::now());
        let deps = Arc::clone(&self.deps);
        let drained = async {
            deps.draining().cancelled_owned().await;
            tokio::time::sleep(DRAIN_WAITS).await;
        };
        let places = Semaphore::new(CALLS_AT_ONCE);
        let running = join_all(calls.iter().map(|call| self.run_in_turn(&places, &workspace, call)));
        let ran: Vec<Ran> = tokio::select! {
            answers = running => calls.into_iter().zip(answers.into_iter().map(Some)).collect(),
            () = self.journal.cut_short() => calls.into_iter().map(|c| (c, None)).collect(),
            () = tokio::time::sleep(wall) => calls.into_iter().map(|c| (c, None)).collect(),
            () = drained => calls.into_iter().map(|c| (c, None)).collect(),
            () = deps.cut.cancelled() => return Err(Halt::Cut),
            () = self.lost.cancelled() => return Err(Halt::Fenced),
        };
        for (call, answer) in ran {
            match answer {
                Some(Ok(answer)) => self.record_answer(&call, answer).await?,
                Some(Err(error)) => {
                    tracing::warn!(task.id = %self.claimed.task, error = %error, "the workspace died under a call");
                    if self.copy.is_lost(true).await {
                        continue;
                    }
                    // One that lives on keeps what runs in its background.
                    self.prepare_copy().await?;
                    self.answer(&call, ToolOutcome::Interrupted, format!("interrupted: {error}; outcome unknown. The workspace is started again where it died. Look at the state of the files before you repeat the call."));
                }
                None => {
                    let text = prompt::crash_text(RecoveredAfter::Drain);
                    let text = if self.deps.draining().is_cancelled() { text } else { prompt::INTERRUPTED.to_owned() };
                    self.answer(&call, ToolOutcome::Interrupted, text);
                }
            }
        }
        // Those that were under way there are answered, or run again where they only read.
        if let Some(flow) = self.goes_on_elsewhere(false).await? {
            return Ok(flow);
        }
        // With no further call open, what was recorded goes with the next call's intent.
        if self.journal.session.calls.iter().all(|c| c.completed) {
            Ok(Flow::On)
        } else {
            self.journal.commit().await.map(|()| Flow::On)
        }
    }

    async fn run_in_turn(
        &self,
        places: &Semaphore,
        workspace: &Workspace,
        call: &ToolCall,
    ) -> Result<ToolAnswer, WorkspaceError> {
        // Nobody closes it.
        let _place = places.acquire().await;
        self.run_one(workspace, call).await
    }

    async fn run_one(&self, workspace: &Workspace, call: &ToolCall) -> Result<ToolAnswer, WorkspaceError> {
        if let Some(tool) = self.journal.session.mcp_tool(&call.tool) {
            return self.call_mcp(workspace, tool, call).await;
        }
        let parsed = match tools::parse(&call.tool, &call.arguments) {
            Ok(parsed) => parsed,
            Err(answer) => return Ok(answer),
        };
        if let Parsed::ReadSkill { name, path } = &parsed {
            return Ok(self.read_skill(name, path.as_deref()).await);
        }
        if let Parsed::Remember { text, scope } = &parsed {
            return Ok(self.remember(call, text, *scope).await);
        }
        if effect(&call.tool) == ToolEffect::Reads {
            return tools::run(workspace, &parsed, None).await;
        }
        let (sender, receiver) = mpsc::channel(LIVE_PIECES_MAX);
        let running = tools::run(workspace, &parsed, Some(sender));
        let (answer, ()) = tokio::join!(running, self.show(call.call.clone(), receiver));
        let mut answer = answer?;
        self.check_syntax(workspace, &mut answer).await;
        Ok(answer)
    }

    async fn show(&self, call: CallId, mut pieces: mpsc::Receiver<Bytes>) {
        let mut live = Pieces::of_call(&self.deps.hub, &self.redactor, self.claimed.task, call);
        while let Some(piece) = pieces.recv().await {
            live.push(&piece, clock::monotonic());
        }
    }

    /// The output is scrubbed and cut here, once; the whole is kept where it was cut.
    async fn record_answer(&mut self, call: &ToolCall, answer: ToolAnswer) -> Result<(), Halt> {
        self.edited.extend(answer.edited.iter().map(|edited| edited.path.clone()));
        let scrubbed = self.redactor.redact_known_bytes(&answer.output).into_owned();
        let (output, was_cut) = tools::cut(&scrubbed);
        let blob =
            if was_cut { Some(self.deps.keep(self.claimed.team, self.claimed.task, scrubbed).await?) } else { None };
        let data = EventData::ToolCompleted {
            call: call.call.clone(),
            tool: call.tool.clone(),
            outcome: answer.outcome,
            output,
            exit_code: answer.exit_code,
            duration_ms: u64::try_from(answer.duration.as_millis()).unwrap_or(u64::MAX),
        };
        let head_bytes = answer.head_bytes as u32;
        let private = (blob.is_some() || head_bytes > 0).then_some(Private::Output {
            blob,
            changed_files: answer.changed_files,
            head_bytes,
        });
        self.journal.record(data, private);
        Ok(())
    }

    /// A plan from a call's arguments, as the next revision of the task's.
    pub(super) fn read_plan(&self, call: &ToolCall) -> Result<Planning, String> {
        decisions::read_plan(&self.journal.session, call)
    }
}
