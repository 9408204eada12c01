//! `shell` and `write_stdin`.

use super::{ToolAnswer, cut::grouped};
use crate::{
    domain::tool::ToolOutcome,
    workspace::{ProcessId, ProcessOutput, RunCommand, RunOutcome, Workspace, WorkspaceError},
};
use bytes::Bytes;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a background process is watched for a quick end before it is told of.
const FIRST_LOOK: Duration = Duration::from_millis(300);

pub(super) fn prepared(command: &str, workdir: Option<&str>, timeout: Duration, background: bool) -> RunCommand {
    RunCommand { workdir: workdir.map(str::to_owned), stdin: background, ..RunCommand::new(command, timeout) }
}

pub(super) async fn run(
    workspace: &Workspace,
    run: RunCommand,
    live: Option<mpsc::Sender<Bytes>>,
) -> Result<ToolAnswer, WorkspaceError> {
    let (timeout, patched) = (run.timeout, run.command.contains("apply_patch"));
    let done = workspace.run(run, live).await?;
    let mut head = match done.outcome {
        RunOutcome::TimedOut => format!(
            "timed out after {} and was killed; for more time set `timeout_ms`, for what does not end `background`",
            seconds(timeout)
        ),
        outcome => format!("{} in {}", ending(outcome), seconds(done.duration)),
    };
    if patched && done.outcome == RunOutcome::Exited(127) {
        head.push_str("\napply_patch is a tool of its own here, no command: call it instead of shell");
    }
    let whole = with_gap(&done.output, done.omitted_at, done.omitted_bytes);
    Ok(ToolAnswer {
        outcome: outcome(done.outcome),
        head_bytes: head_bytes(&head, &whole),
        output: joined(head, &whole),
        exit_code: exit_code(done.outcome),
        changed_files: true,
        edited: Vec::new(),
        duration: done.duration,
    })
}

/// Starts a process and tells its number, with what it printed at once.
pub(super) async fn start(workspace: &Workspace, run: RunCommand) -> Result<ToolAnswer, WorkspaceError> {
    let process = workspace.start_process(run).await?;
    let first = workspace.write_stdin(process, b"", FIRST_LOOK).await?;
    Ok(looked(process, &first))
}

pub(super) async fn write_stdin(
    workspace: &Workspace,
    process: ProcessId,
    text: &str,
    wait: Duration,
) -> Result<ToolAnswer, WorkspaceError> {
    let output = workspace.write_stdin(process, text.as_bytes(), wait).await?;
    Ok(looked(process, &output))
}

fn looked(process: ProcessId, seen: &ProcessOutput) -> ToolAnswer {
    let head = match seen.exit {
        Some(exit) => format!("process {process} has ended: {}", ending(exit)),
        None => format!("process {process} is running"),
    };
    let whole = with_gap(&seen.output, seen.omitted_at, seen.omitted_bytes);
    ToolAnswer {
        outcome: seen.exit.map_or(ToolOutcome::Ok, outcome),
        head_bytes: head_bytes(&head, &whole),
        output: joined(head, &whole),
        exit_code: seen.exit.and_then(exit_code),
        changed_files: true,
        edited: Vec::new(),
        duration: Duration::ZERO,
    }
}

fn outcome(outcome: RunOutcome) -> ToolOutcome {
    match outcome {
        RunOutcome::Exited(0) => ToolOutcome::Ok,
        RunOutcome::TimedOut => ToolOutcome::TimedOut,
        RunOutcome::Exited(_) | RunOutcome::Signalled(_) | RunOutcome::OutputLimit | RunOutcome::DiskLimit => {
            ToolOutcome::Error
        }
    }
}

fn exit_code(outcome: RunOutcome) -> Option<i32> {
    if let RunOutcome::Exited(code) = outcome { Some(code) } else { None }
}

fn ending(outcome: RunOutcome) -> String {
    match outcome {
        RunOutcome::Exited(code) => format!("exit code {code}"),
        RunOutcome::Signalled(9) => "killed by signal 9 (SIGKILL), often the memory limit,".to_owned(),
        RunOutcome::Signalled(signal) => format!("killed by signal {signal}{}", signal_name(signal)),
        RunOutcome::TimedOut => "timed out and was killed".to_owned(),
        RunOutcome::OutputLimit => {
            "killed because it wrote too much output (send it to a file or filter it)".to_owned()
        }
        RunOutcome::DiskLimit => "killed because the working copy grew beyond its limit".to_owned(),
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => " (SIGHUP)",
        2 => " (SIGINT)",
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        8 => " (SIGFPE)",
        11 => " (SIGSEGV)",
        13 => " (SIGPIPE)",
        15 => " (SIGTERM)",
        24 => " (SIGXCPU, the processor time limit)",
        25 => " (SIGXFSZ, the file size limit)",
        31 => " (SIGSYS, a forbidden system call)",
        _ => "",
    }
}

/// Whole seconds matter to a model; less would only make answers differ from run to run.
fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0 => "under 1 s".to_owned(),
        1..60 => format!("{} s", duration.as_secs()),
        long => format!("{} min {} s", long / 60, long % 60),
    }
}

fn with_gap(output: &[u8], at: usize, omitted: u64) -> Vec<u8> {
    if omitted == 0 {
        return output.to_vec();
    }
    let (head, tail) = output.split_at(at.min(output.len()));
    let gap = format!("\n[... {} bytes were too many to be kept ...]\n", grouped(omitted as usize));
    [head, gap.as_bytes(), tail].concat()
}

/// How much of [`joined`] is not the output.
fn head_bytes(head: &str, output: &[u8]) -> usize {
    joined(head.to_owned(), output).len() - output.len()
}

fn joined(mut head: String, output: &[u8]) -> Vec<u8> {
    head.push_str(if output.is_empty() { ", no output" } else { "\n" });
    [head.as_bytes(), output].concat()
}
