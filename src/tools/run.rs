//! Performs a call in a workspace.

use super::{Parsed, ToolAnswer, command, files, look};
use crate::workspace::{Workspace, WorkspaceError};
use bytes::Bytes;
use tokio::{sync::mpsc, time::Instant};

/// Performs a call. Pieces of a command's output go to `live` as they come.
///
/// An error means that the workspace cannot be used any more; whatever can be told to the model
/// is an answer. Can be dropped at any point: a command is then killed, a change of files is made
/// whole or not at all.
pub async fn run(
    workspace: &Workspace,
    parsed: &Parsed,
    live: Option<mpsc::Sender<Bytes>>,
) -> Result<ToolAnswer, WorkspaceError> {
    let start = Instant::now();
    let answer = match parsed {
        Parsed::Shell { command, workdir, timeout, background } => {
            let run = command::prepared(command, workdir.as_deref(), *timeout, *background);
            if *background { command::start(workspace, run).await } else { command::run(workspace, run, live).await }
        }
        Parsed::WriteStdin { process, text, wait } => command::write_stdin(workspace, *process, text, *wait).await,
        Parsed::ApplyPatch { patch } => files::apply_patch(workspace, patch).await,
        Parsed::Edit { path, old, new, replace_all } => files::edit(workspace, path, old, new, *replace_all).await,
        Parsed::ReadFile { path, offset, limit } => look::read_file(workspace, path, *offset, *limit).await,
        Parsed::Search { pattern, path, glob, limit } => {
            look::search(workspace, pattern, path.as_deref(), glob.as_deref(), *limit).await
        }
        Parsed::ListFiles { path, depth, glob } => {
            look::list_files(workspace, path.as_deref(), *depth, glob.as_deref()).await
        }
        // The server reads it: no workspace sees the operator's files.
        Parsed::ReadSkill { .. } => Ok(ToolAnswer::refused("skills cannot be read here")),
        // The server keeps it.
        Parsed::Remember { .. } => Ok(ToolAnswer::refused("nothing is remembered here")),
        // Asked and answered by the server, which waits for people without a workspace.
        Parsed::AskUser { .. } | Parsed::RequestNetwork { .. } => Ok(ToolAnswer::said("people were asked")),
        Parsed::UpdatePlan { .. } => Ok(ToolAnswer::said("the plan is set")),
    };
    let mut answer = answer.or_else(told)?;
    answer.duration = start.elapsed();
    Ok(answer)
}

/// What the workspace refused is for the model; that it is gone is for the caller.
fn told(error: WorkspaceError) -> Result<ToolAnswer, WorkspaceError> {
    match error {
        WorkspaceError::Gone { .. } | WorkspaceError::Setup { .. } => Err(error),
        WorkspaceError::NotFound { .. }
        | WorkspaceError::Conflict { .. }
        | WorkspaceError::Refused { .. }
        | WorkspaceError::Io { .. } => Ok(ToolAnswer::refused(error.to_string())),
    }
}
