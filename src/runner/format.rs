//! Formatting before the checks: the files that the patch touches, by the formatter that the repository has
//! configured, and only where the base was clean by it. Helps and is needed by nothing: where it cannot be done,
//! the files stay as the model left them.
//!
//! Formatting is done again after a crash: what is formatted already stays as it is, and the look at the working
//! copy that follows tells what has changed since the last checkpoint.

use super::{drive::Driver, journal::Halt, model::DRAIN_WAITS};
use crate::{
    agent::{self, CheckpointRef},
    analysis::{
        self,
        format::{Before, Configured, Formatter},
    },
    clock,
    domain::{
        EventData, Oid, Private,
        event::{Formatted, TreeDelta},
    },
    workspace::{
        Expect, FileChange, RunCommand, RunOutcome, WORKSPACE, Workspace, WorkspaceError,
        repository::{Base, Repositories, RepositoryError},
    },
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

/// For all files of one validation.
const TIME: Duration = Duration::from_secs(30);
/// Files that are formatted at most, and the largest of them.
const FILES_MAX: usize = 100;
const FILE_BYTES_MAX: u64 = 512 << 10;
/// Of what configures formatters: files, and the largest.
const CONFIGURATION_MAX: usize = 100;
const CONFIGURATION_BYTES_MAX: u64 = 256 << 10;
const OUTPUT_BYTES_MAX: usize = 4 << 10;

/// A file of the patch with the formatter that its project has configured.
struct Target {
    path: String,
    formatter: Formatter,
    /// The patch adds it.
    new: bool,
}

impl Driver {
    /// Formats what may be formatted and records the tree that this makes. The checks go on whatever comes of it.
    pub(super) async fn format(&mut self) -> Result<(), Halt> {
        if !self.journal.session.keeps_changes() {
            return Ok(());
        }
        let Some((base, before)) = self.copy.state().map(|(base, tree)| (base.clone(), tree.delta())) else {
            return Ok(());
        };
        match self.format_change(&base, &before).await {
            Err(Halt::Workspace(error)) => self.unformatted(&error),
            Err(Halt::Repository(error)) => self.unformatted(&error),
            other => return other,
        }
        Ok(())
    }

    fn unformatted(&self, error: &dyn std::error::Error) {
        tracing::warn!(task.id = %self.claimed.task, error = %error, "the patch could not be formatted: the task goes on without");
    }

    async fn format_change(&mut self, base: &Base, before: &TreeDelta) -> Result<(), Halt> {
        let targets = targets(&self.deps.repositories, base, before).await?;
        if targets.is_empty() {
            return Ok(());
        }
        // What brought the task here is in the log before files change, with the tree even where the last look found
        // nothing new: after a crash it comes here again, and does not take what was formatted for the model's own.
        if let Some(CheckpointRef { tree, delta }) = self.journal.session.checkpoint.clone() {
            let turn = self.journal.session.turn;
            let data = EventData::Checkpoint { turn, tree, restored: false, formatted: Vec::new() };
            self.journal.record(data, Some(Private::Checkpoint { delta, told: None }));
        }
        self.journal.commit().await?;
        let workspace = self.copy.workspace().await?;
        let deps = Arc::clone(&self.deps);
        // The last validation of a run whose time is up has its own time.
        let wall = agent::wall_left(&self.journal.session, clock::now());
        let time = if wall.is_zero() { TIME } else { TIME.min(wall) };
        let mut written = BTreeSet::new();
        let mut formatting = Formatting::new(&workspace, &deps.repositories, base, time);
        let ended = tokio::select! {
            ended = formatting.all(&targets, &mut written) => ended,
            () = self.journal.cut_short() => Ok(()),
            () = tokio::time::sleep(time) => Ok(()),
            () = async { deps.draining().cancelled_owned().await; tokio::time::sleep(DRAIN_WAITS).await } => Ok(()),
            () = deps.cut.cancelled() => return Err(Halt::Cut),
        };
        self.boundary()?;
        // A copy that nobody has looked at may hold what was formatted before a crash.
        let unseen = !self.copy.looked();
        if unseen || !written.is_empty() {
            let found = self.copy.look().await?;
            let after = self.copy.state().map(|(_, tree)| tree.delta()).unwrap_or_default();
            let (before, after) = (contents(before), contents(&after));
            let formatted = targets
                .iter()
                .filter(|target| unseen || written.contains(target.path.as_str()))
                .filter(|target| before.get(target.path.as_str()) != after.get(target.path.as_str()))
                .map(|target| Formatted { path: target.path.clone(), by: target.formatter.name().to_owned() });
            self.record_formatted(found, formatted.collect()).await?;
        }
        ended
    }
}

fn contents(delta: &TreeDelta) -> BTreeMap<&str, &Oid> {
    delta.changed.iter().map(|entry| (entry.path.as_str(), &entry.oid)).collect()
}

/// The regular files of the patch that a formatter is configured for.
async fn targets(repositories: &Repositories, base: &Base, delta: &TreeDelta) -> Result<Vec<Target>, RepositoryError> {
    let entries = base.entries();
    let find = |path: &str| entries.binary_search_by(|entry| (*entry.path).cmp(path)).ok().map(|at| &entries[at]);
    let files = || delta.changed.iter().filter(|entry| is_file(entry.mode)).map(|entry| entry.path.as_str());
    let consulted = analysis::format::consulted(files(), |path| {
        find(path).is_some_and(|entry| is_file(entry.mode) && entry.size <= CONFIGURATION_BYTES_MAX)
    });
    let consulted: Vec<String> = consulted.into_iter().take(CONFIGURATION_MAX).collect();
    let read = repositories.read_many(base, consulted.clone()).await?;
    let texts = consulted.into_iter().zip(read).filter_map(|(path, text)| Some((path, text?.to_vec()))).collect();
    let configured = Configured { has: &|path| find(path).is_some(), texts: &texts };
    let targets = files().filter_map(|path| {
        let formatter = analysis::format::formatter(path, configured)?;
        Some(Target { path: path.to_owned(), formatter, new: !find(path).is_some_and(|entry| is_file(entry.mode)) })
    });
    Ok(targets.take(FILES_MAX).collect())
}

fn is_file(mode: u32) -> bool {
    matches!(mode, 0o100_644 | 0o100_755)
}

/// One round of formatting.
struct Formatting<'a> {
    workspace: &'a Workspace,
    repositories: &'a Repositories,
    base: &'a Base,
    until: Instant,
    /// Base files that were probed, by formatter: a new file's neighbours are often another's too.
    probed: BTreeMap<(Formatter, String), Option<bool>>,
}

impl<'a> Formatting<'a> {
    fn new(workspace: &'a Workspace, repositories: &'a Repositories, base: &'a Base, time: Duration) -> Self {
        Self { workspace, repositories, base, until: clock::monotonic() + time, probed: BTreeMap::new() }
    }

    async fn all(&mut self, targets: &[Target], written: &mut BTreeSet<String>) -> Result<(), Halt> {
        let (_, said) = self.run("mktemp -d /tmp/format.XXXXXXXX", "").await?;
        let scratch = said.trim();
        let named = scratch.strip_prefix("/tmp/format.");
        if !named.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
            return Ok(());
        }
        for target in targets {
            if self.one(target, scratch).await? {
                written.insert(target.path.clone());
            }
        }
        self.run(&format!("rm -rf {scratch}"), "").await?;
        Ok(())
    }

    /// Whether the file was formatted. One that is as the formatter would have it asks nothing of the base.
    async fn one(&mut self, target: &Target, scratch: &str) -> Result<bool, Halt> {
        let inside = format!("{WORKSPACE}/{}", target.path);
        if self.clean(target, &target.path, &inside, scratch).await? != Some(false) {
            return Ok(false);
        }
        let before = self.before(target, scratch).await?;
        if !analysis::format::may_format(before) {
            return Ok(false);
        }
        // Read between two probes: what is written is the formatter's answer to what is replaced.
        let Ok(current) = self.workspace.read_entry(&target.path, FILE_BYTES_MAX).await else { return Ok(false) };
        if self.clean(target, &target.path, &inside, scratch).await? != Some(false) {
            return Ok(false);
        }
        let new = self.workspace.read(&format!("{scratch}/out"), FILE_BYTES_MAX).await;
        let (Ok(new), Some(oid)) = (new, current.oid) else { return Ok(false) };
        if new.truncated {
            return Ok(false);
        }
        let expect = Expect::Content(oid);
        let change = FileChange::Write { path: target.path.clone(), content: new.bytes, executable: None, expect };
        match self.workspace.apply(vec![change]).await {
            Ok(()) => Ok(true),
            Err(error @ WorkspaceError::Gone { .. }) => Err(error.into()),
            Err(_) => Ok(false),
        }
    }

    async fn before(&mut self, target: &Target, scratch: &str) -> Result<Before, Halt> {
        if !target.new {
            return Ok(Before::Itself(self.base_clean(target, &target.path, scratch).await?));
        }
        let entries = self.base.entries();
        let files = entries.iter().filter(|entry| is_file(entry.mode) && entry.size <= FILE_BYTES_MAX);
        let samples: Vec<String> = target
            .formatter
            .samples(&target.path, files.map(|entry| &*entry.path))
            .into_iter()
            .map(str::to_owned)
            .collect();
        let mut clean = 0;
        for path in &samples {
            clean += usize::from(self.base_clean(target, path, scratch).await? == Some(true));
        }
        Ok(Before::Like { clean, sampled: samples.len() })
    }

    /// Whether a file of the base is as its formatter would have it.
    async fn base_clean(&mut self, target: &Target, path: &str, scratch: &str) -> Result<Option<bool>, Halt> {
        let key = (target.formatter.clone(), path.to_owned());
        if let Some(known) = self.probed.get(&key) {
            return Ok(*known);
        }
        let text = self.repositories.read_many(self.base, vec![path.to_owned()]).await?.into_iter().next().flatten();
        let clean = match text {
            Some(text) if text.is_empty() => Some(true),
            Some(text) if text.len() as u64 <= FILE_BYTES_MAX => {
                let input = format!("{scratch}/in");
                if self.put(&input, &text).await? { self.clean(target, path, &input, scratch).await? } else { None }
            }
            _ => None,
        };
        self.probed.insert(key, clean);
        Ok(clean)
    }

    /// Whether the formatter leaves a text as it is; `None` where it could not be asked.
    async fn clean(&self, target: &Target, path: &str, input: &str, scratch: &str) -> Result<Option<bool>, Halt> {
        let probe = target.formatter.probe(path, input, scratch);
        let (code, _) = self.run(&probe, target.formatter.directory(path)).await?;
        Ok(match code {
            Some(0) => Some(true),
            Some(analysis::format::DIFFERS) => Some(false),
            _ => None,
        })
    }

    /// Puts a text of the base outside the working copy.
    async fn put(&self, file: &str, text: &Bytes) -> Result<bool, Halt> {
        let mut command = RunCommand::new(format!("head -c {} > {file}", text.len()), self.left());
        command.stdin = true;
        let process = self.workspace.start_process(command).await?;
        let ended = self.workspace.write_stdin(process, text, self.left()).await?;
        Ok(ended.exit == Some(RunOutcome::Exited(0)))
    }

    async fn run(&self, command: &str, directory: &str) -> Result<(Option<i32>, String), Halt> {
        let mut command = RunCommand::new(command, self.left());
        command.workdir = (!directory.is_empty()).then(|| directory.to_owned());
        command.output_limit_bytes = OUTPUT_BYTES_MAX;
        let result = match self.workspace.run(command, None).await {
            Ok(result) => result,
            Err(error @ WorkspaceError::Gone { .. }) => return Err(error.into()),
            // Such as a directory that the patch has removed.
            Err(_) => return Ok((None, String::new())),
        };
        let code = if let RunOutcome::Exited(code) = result.outcome { Some(code) } else { None };
        Ok((code, String::from_utf8_lossy(&result.output).into_owned()))
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(clock::monotonic()).max(Duration::from_millis(1))
    }
}
