//! The parsers in their throwaway sandbox.

use super::Symbols;
use crate::workspace::{Sandboxes, Throwaway, ThrowawayError};
use bytes::Bytes;
use parsers::{Batch, BatchError, Checked, File, Index, Wanted};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::timeout};

/// After this the index is made of what has been parsed.
const INDEX_TIME: Duration = Duration::from_millis(1_300);
const CHECK_TIME: Duration = Duration::from_millis(500);
/// What the sandbox and the rest of the work may take besides.
const GRACE: Duration = Duration::from_secs(3);
/// How long a batch waits for those of others.
const PATIENCE: Duration = Duration::from_secs(5);
const MEMORY_BYTES: u64 = 1 << 30;
const CPU_SECONDS: u64 = 10;
const OUTPUT_BYTES: usize = 24 << 20;
/// Batches at once: each uses several processors.
const AT_ONCE: usize = 4;

#[derive(Debug, thiserror::Error)]
pub enum ParsersError {
    #[error("too many batches are being parsed")]
    Busy,
    #[error(transparent)]
    Sandbox(#[from] ThrowawayError),
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error("the parsers' answer cannot be read: {0}")]
    Answer(String),
}

/// Parses in sandboxes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Parsers {
    sandboxes: Sandboxes,
    /// The executable whose `outline` command they are.
    program: PathBuf,
    turns: Arc<Semaphore>,
}

impl Parsers {
    pub fn new(sandboxes: Sandboxes, program: PathBuf) -> Self {
        Self { sandboxes, program, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// What these files (path, content) say together.
    pub async fn symbols(&self, files: Vec<(String, Bytes)>) -> Result<Symbols, ParsersError> {
        let paths: Vec<String> = files.iter().map(|(path, _)| path.clone()).collect();
        let files = files.into_iter().map(|(path, content)| File { path, content, before: None }).collect();
        let answer = self.run(Wanted::Index, INDEX_TIME, files).await?;
        let index: Index = tokio::task::spawn_blocking(move || serde_json::from_slice(&answer))
            .await
            .map_err(|error| ParsersError::Answer(error.to_string()))?
            .map_err(|error| ParsersError::Answer(error.to_string()))?;
        if index.files.iter().any(|file| file.file as usize >= paths.len()) {
            return Err(ParsersError::Answer("it names a file that it was not given".to_owned()));
        }
        Ok(Symbols::new(paths, index))
    }

    /// For each file the errors that it did not have before; `None` where there was no time.
    pub async fn check(&self, files: Vec<File<Bytes>>) -> Result<Vec<Option<Checked>>, ParsersError> {
        let count = files.len();
        let answer = self.run(Wanted::Errors, CHECK_TIME, files).await?;
        let checked: Vec<Option<Checked>> =
            serde_json::from_slice(&answer).map_err(|error| ParsersError::Answer(error.to_string()))?;
        if checked.len() != count {
            return Err(ParsersError::Answer("it is about another number of files".to_owned()));
        }
        Ok(checked)
    }

    async fn run(&self, wanted: Wanted, time: Duration, files: Vec<File<Bytes>>) -> Result<Vec<u8>, ParsersError> {
        let turn = timeout(PATIENCE, self.turns.acquire()).await;
        let _turn = turn.map_err(|_| ParsersError::Busy)?.map_err(|_| ParsersError::Busy)?;
        let batch = Batch { wanted, time_ms: time.as_millis() as u64, files };
        let mut input = vec![Bytes::from(batch.header()?)];
        for file in batch.files {
            input.push(file.content);
            input.extend(file.before);
        }
        let throwaway = Throwaway {
            program: self.program.clone(),
            arguments: vec!["outline".to_owned()],
            memory_bytes: MEMORY_BYTES,
            cpu_seconds: CPU_SECONDS,
            time: time + GRACE,
            output_bytes: OUTPUT_BYTES,
        };
        Ok(self.sandboxes.throw_away(throwaway, input).await?)
    }
}
