//! What the parsers say: of a base for its brief, and of files after an edit. Parsing helps and is
//! needed by nothing: where it fails or takes too long, the task goes on without.

use super::{deps::Deps, drive::Driver, journal::Halt};
use crate::{
    analysis::{
        BriefFile,
        symbols::{self, Edited, Symbols},
    },
    domain::{BlobHash, TeamId, event::TreeDelta},
    store::analyses,
    tools::ToolAnswer,
    workspace::{RunCommand, RunOutcome, Workspace, checkpoint::Checkpoint, repository::Base},
};
use bytes::Bytes;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use std::{
    collections::{BTreeMap, VecDeque},
    io::{Read, Write},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Of a kept analysis, unpacked and packed.
const UNPACKED_BYTES_MAX: u64 = 32 << 20;
const PACKED_BYTES_MAX: usize = 4 << 20;
/// Analyses in memory, of some MiB each at most.
const IN_MEMORY: usize = 6;
/// An analysis that lacks more than one file in so many for want of time is not kept.
const UNREAD_PART: usize = 4;
/// What the shell's own check of a script may take.
const SHELL_TIME: Duration = Duration::from_secs(2);
const SHELL_WORDS_MAX: usize = 600;
/// Files that commands changed between two looks whose syntax is checked, and the largest of them.
const LOOKED_MAX: usize = 20;
const LOOKED_BYTES_MAX: usize = 256 << 10;

/// The analyses that were used last, in memory: most tasks of a repository start from the same few bases.
#[derive(Debug, Default)]
pub struct Analyses(Mutex<VecDeque<(TeamId, String, Arc<Symbols>)>>);

impl Analyses {
    fn get(&self, team: TeamId, key: &str) -> Option<Arc<Symbols>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(of, known, _)| *of == team && known == key)?;
        let found = kept.remove(at)?;
        let symbols = Arc::clone(&found.2);
        kept.push_front(found);
        Some(symbols)
    }

    fn put(&self, team: TeamId, key: String, symbols: Symbols) -> Arc<Symbols> {
        let symbols = Arc::new(symbols);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(of, known, _)| *of != team || *known != key);
        kept.truncate(IN_MEMORY - 1);
        kept.push_front((team, key, Arc::clone(&symbols)));
        symbols
    }
}

impl Driver {
    /// The symbols of a base: as they were kept, else parsed now.
    pub(super) async fn symbols(&self, base: &Base, files: &[BriefFile<'_>]) -> Option<Arc<Symbols>> {
        let sources = symbols::sources(files);
        if sources.is_empty() {
            return None;
        }
        let (team, deps) = (self.claimed.team, &self.deps);
        let key = format!("{}.{}", base.tree, symbols::VERSION);
        if let Some(known) = deps.analyses.get(team, &key) {
            return Some(known);
        }
        if let Some(kept) = kept(deps, team, &key).await {
            return Some(deps.analyses.put(team, key, kept));
        }
        let paths: Vec<String> = sources.into_iter().map(str::to_owned).collect();
        let read = deps.repositories.read_many(base, paths.clone()).await;
        let read = read.map_err(|error| self.without("files could not be read", &error)).ok()?;
        let files = paths.into_iter().zip(read).filter_map(|(path, content)| Some((path, content?))).collect();
        let found = deps.parsers.symbols(files).await;
        let found = found.map_err(|error| self.without("the code could not be parsed", &error)).ok()?;
        if (found.index.skipped.unread as usize) * UNREAD_PART <= found.paths.len() {
            let found = deps.analyses.put(team, key.clone(), found);
            self.keep_analysis(team, key, Arc::clone(&found));
            return Some(found);
        }
        Some(Arc::new(found))
    }

    /// Beside the task's way: nothing waits for it, and who comes meanwhile finds it in memory.
    fn keep_analysis(&self, team: TeamId, key: String, found: Arc<Symbols>) {
        let (deps, task) = (Arc::clone(&self.deps), self.claimed.task);
        let keeping = async move {
            let packed = tokio::task::spawn_blocking(move || pack(&found)).await.ok().flatten();
            let Some(packed) = packed.filter(|packed| packed.len() <= PACKED_BYTES_MAX) else { return };
            if let Err(error) = analyses::put(&deps.store, team, &key, &packed).await {
                tracing::warn!(task.id = %task, error = %error, "the analysis could not be kept");
            }
        };
        let cut = self.deps.cut.clone();
        tokio::spawn(async move { cut.run_until_cancelled(keeping).await });
    }

    /// The contents of the files nearest to the request.
    pub(super) async fn samples(&self, base: &Base, found: &Symbols, request: &str) -> BTreeMap<String, Vec<u8>> {
        let paths = symbols::nearest(found, request);
        let read = self.deps.repositories.read_many(base, paths.clone()).await.unwrap_or_default();
        paths.into_iter().zip(read).filter_map(|(path, content)| Some((path, content?.to_vec()))).collect()
    }

    pub(super) fn without(&self, what: &str, error: &dyn std::error::Error) {
        tracing::warn!(task.id = %self.claimed.task, error = %error, "{what}: the task goes on without");
    }

    /// What is wrong with the syntax of files that commands changed, as a look found them; none where nothing is, or
    /// where it could not be told. What edit tools changed was checked with their calls.
    pub(super) async fn syntax_of(&self, found: &Checkpoint) -> Option<String> {
        let new: BTreeMap<&BlobHash, &Bytes> = found.new_blobs.iter().map(|(hash, bytes)| (hash, bytes)).collect();
        let is_asked = |path: &str| symbols::can_be_checked(path) && !self.edited.contains(path);
        let changed = found.delta.changed.iter().filter(|entry| is_asked(&entry.path));
        let changed: Vec<(&str, &Bytes)> = changed
            .filter_map(|entry| Some((entry.path.as_str(), *new.get(&entry.content)?)))
            .filter(|(_, content)| content.len() <= LOOKED_BYTES_MAX)
            .take(LOOKED_MAX)
            .collect();
        if changed.is_empty() {
            return None;
        }
        let paths: Vec<String> = changed.iter().map(|(path, _)| (*path).to_owned()).collect();
        let before = match self.before(&paths).await {
            Ok(before) => before,
            Err(error) => {
                self.without("what stood in files before a command could not be read", &error);
                return None;
            }
        };
        let edited: Vec<Edited> = changed
            .into_iter()
            .zip(before)
            .map(|((path, content), before)| Edited { path: path.to_owned(), content: content.to_vec(), before })
            .collect();
        let files = Edited::checkable(&edited);
        let paths: Vec<String> = files.iter().map(|file| file.path.clone()).collect();
        match self.deps.parsers.check(files).await {
            Ok(checked) => {
                let told = symbols::told(&paths, &checked);
                (!told.is_empty()).then(|| format!("Files that commands changed have {}", told.trim_start()))
            }
            Err(error) => {
                self.without("the syntax of what commands changed could not be checked", &error);
                None
            }
        }
    }

    /// What stood in these files at the last look: there, or in the base.
    async fn before(&self, paths: &[String]) -> Result<Vec<Option<Vec<u8>>>, Halt> {
        let Some((base, _)) = self.copy.state() else { return Ok(vec![None; paths.len()]) };
        let last = match &self.journal.session.checkpoint {
            Some(checkpoint) => self.copy.delta(&checkpoint.delta).await?,
            None => TreeDelta::default(),
        };
        let in_base = self.deps.repositories.read_many(base, paths.to_vec()).await?;
        let mut before = Vec::with_capacity(paths.len());
        for (path, in_base) in paths.iter().zip(in_base) {
            before.push(match last.changed.iter().find(|entry| entry.path == *path) {
                Some(entry) => Some(self.deps.kept(self.claimed.team, &entry.content).await?.to_vec()),
                None => in_base.filter(|_| !last.deleted.contains(path)).map(|content| content.to_vec()),
            });
        }
        Ok(before)
    }

    /// Adds to the answer of an edit what is wrong with the syntax of its files since.
    pub(super) async fn check_syntax(&self, workspace: &Workspace, answer: &mut ToolAnswer) {
        if answer.edited.is_empty() {
            return;
        }
        let files = Edited::checkable(&answer.edited);
        if !files.is_empty() {
            let paths: Vec<String> = files.iter().map(|file| file.path.clone()).collect();
            match self.deps.parsers.check(files).await {
                Ok(checked) => answer.output.extend(symbols::told(&paths, &checked).into_bytes()),
                Err(error) => self.without("the syntax of an edit could not be checked", &error),
            }
        }
        for script in answer.edited.iter().filter(|edited| is_shell_script(&edited.path)) {
            if let Some(said) = shell_says(workspace, &script.path).await {
                answer.output.extend(format!("\nbash -n: {said}").into_bytes());
            }
        }
    }
}

/// Bash's own check adds what no parser here knows; it runs where the script would.
async fn shell_says(workspace: &Workspace, path: &str) -> Option<String> {
    let quoted = path.replace('\'', r"'\''");
    let command = format!("command -v bash >/dev/null || exit 0; exec bash -n -- '{quoted}'");
    let result = workspace.run(RunCommand::new(command, SHELL_TIME), None).await.ok()?;
    let failed = matches!(result.outcome, RunOutcome::Exited(code) if code != 0);
    failed.then(|| String::from_utf8_lossy(&result.output).trim().chars().take(SHELL_WORDS_MAX).collect())
}

fn is_shell_script(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| matches!(extension, "sh" | "bash"))
}

/// What cannot be read is made anew.
async fn kept(deps: &Deps, team: TeamId, key: &str) -> Option<Symbols> {
    let packed = analyses::get(&deps.store, team, key).await.ok()??;
    tokio::task::spawn_blocking(move || {
        let mut json = Vec::new();
        GzDecoder::new(&packed[..]).take(UNPACKED_BYTES_MAX).read_to_end(&mut json).ok()?;
        serde_json::from_slice(&json).ok()
    })
    .await
    .ok()?
}

fn pack(found: &Symbols) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&serde_json::to_vec(found).ok()?).ok()?;
    encoder.finish().ok()
}
