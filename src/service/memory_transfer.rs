//! Memories as JSON lines, out and in again.
//!
//! A line that this service wrote for the caller himself, and nobody has changed since, comes in as it was. Every other
//! is somebody else's word: a proposal.

use super::{
    Answer, Error, Faults, Idempotency, Service, access,
    access::Right,
    audit::{self, Action, Subject},
    error::FieldError,
    idempotency,
    memories::{self as cases, MemoryView, REPOSITORY_CHARS_MAX, check_scope},
};
use crate::{
    auth::mac,
    clock,
    domain::{
        MemoryId, Principal,
        memory::{MEMORY_TEXT_CHARS_MAX, Memory, MemoryChangeKind, MemoryKind, MemoryOrigin, MemoryScope, MemoryState},
    },
    store::{
        TeamTx,
        memories::{self, MemoryFilter},
        memory_learning,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

/// Bytes and lines of a file that comes in.
pub const IMPORT_BYTES_MAX: usize = 8 << 20;
const LINES_MAX: usize = 5_000;
/// Faults that are told.
const FAULTS_MAX: usize = 50;
/// Memories read at a time on their way out.
const PAGE: u32 = 500;
const PURPOSE: &[u8] = b"exported memories";

/// What of a line is read; whatever else [`MemoryView`] has is taken for what it says.
#[derive(Debug, Deserialize)]
struct Line {
    text: String,
    kind: MemoryKind,
    scope: MemoryScope,
    #[serde(default)]
    repository: Option<String>,
    #[serde(default)]
    state: Option<MemoryState>,
    #[serde(default)]
    seal: Option<String>,
}

/// What came of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Imported {
    /// Came in as they were: the caller's own.
    pub restored: u32,
    /// Came in as proposals.
    pub proposed: u32,
    /// Were here already.
    pub unchanged: u32,
}

impl Service {
    /// A part of what the caller may see as JSON lines, the newest first, those before `before`; and where the next
    /// part begins, if there is one.
    pub async fn export_memories(
        &self,
        principal: &Principal,
        before: Option<MemoryId>,
    ) -> Result<(Vec<u8>, Option<MemoryId>), Error> {
        access::require(principal, Right::ReadMemories)?;
        let mut tx = self.store().team(principal.team).await?;
        let rows = memories::list(&mut tx, principal.user, &MemoryFilter::default(), before, PAGE).await?;
        let next = rows.last().filter(|_| rows.len() == PAGE as usize).map(|memory| memory.id);
        let views = cases::views(&mut tx, rows).await?;
        if before.is_none() {
            let subject = Subject::new("user", principal.user);
            audit::record(&mut tx, principal, Action::MemoriesExported, subject, Value::Null).await?;
        }
        tx.commit().await?;
        let mut lines = Vec::new();
        for view in &views {
            serde_json::to_writer(&mut lines, &self.line(principal, view)?).map_err(Error::internal)?;
            lines.push(b'\n');
        }
        Ok((lines, next))
    }

    fn line(&self, principal: &Principal, view: &MemoryView) -> Result<Value, Error> {
        let mut line = serde_json::to_value(view).map_err(Error::internal)?;
        let memory = &view.memory;
        // For its owner, and for him alone.
        if memory.user == principal.user {
            let state = memory.state;
            let repository = memory.repository.as_deref();
            let seal = self.seal_of(principal, &memory.text, (memory.kind, memory.scope, state), repository)?;
            line["seal"] = Value::String(URL_SAFE_NO_PAD.encode(seal));
        }
        Ok(line)
    }

    fn seal_of(
        &self,
        principal: &Principal,
        text: &str,
        what: (MemoryKind, MemoryScope, MemoryState),
        repository: Option<&str>,
    ) -> Result<[u8; 32], Error> {
        let said = serde_json::to_vec(&json!([principal.team, principal.user, text, what, repository]));
        Ok(self.seal(PURPOSE, &said.map_err(Error::internal)?))
    }

    /// Takes memories in, all or none. What is here already, word for word, is left as it is.
    pub async fn import_memories(
        &self,
        principal: &Principal,
        file: &[u8],
        key: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        access::require(principal, Right::WriteMemories)?;
        let lines = read(file)?;
        let mut tx = self.store().team(principal.team).await?;
        if let Some(done) = idempotency::begin(&mut tx, principal, key).await? {
            return Ok(done);
        }
        memory_learning::lock(&mut tx, principal.user).await?;
        let mut imported = Imported::default();
        for line in lines {
            self.take_in(&mut tx, principal, line, &mut imported).await?;
        }
        let detail = serde_json::to_value(imported).map_err(Error::internal)?;
        let subject = Subject::new("user", principal.user);
        audit::record(&mut tx, principal, Action::MemoriesImported, subject, detail).await?;
        idempotency::commit(tx, principal, key, Answer::new(200, &imported)?).await
    }

    async fn take_in(
        &self,
        tx: &mut TeamTx,
        principal: &Principal,
        line: Line,
        imported: &mut Imported,
    ) -> Result<(), Error> {
        let text = line.text.trim().to_owned();
        let state = line.state.unwrap_or(MemoryState::Active);
        let what = (line.kind, line.scope, state);
        let expected = self.seal_of(principal, &line.text, what, line.repository.as_deref())?;
        let given = line.seal.as_deref().and_then(|seal| URL_SAFE_NO_PAD.decode(seal).ok()).unwrap_or_default();
        let own = mac::equal(&expected, &given);
        let now = clock::now();
        let memory = Memory {
            id: clock::new_id(),
            team: Some(principal.team),
            user: principal.user,
            text,
            kind: line.kind,
            scope: line.scope,
            repository: line.repository,
            state: if own { state } else { MemoryState::Proposed },
            origin: MemoryOrigin::User,
            evidence: None,
            used: 0,
            helped: 0,
            hurt: 0,
            last_used_at: None,
            superseded_by: None,
            created_at: now,
            updated_at: now,
        };
        let same = memory_learning::holds(tx, &memory).await?;
        if same || !memory_learning::make(tx, &memory, &made_by(&memory), None).await? {
            imported.unchanged += 1;
            return Ok(());
        }
        let (counter, detail) = if own {
            (&mut imported.restored, "came in with a file that this service had written")
        } else {
            (&mut imported.proposed, "came in with a file")
        };
        *counter += 1;
        let after = json!({ "state": memory.state });
        cases::note(tx, principal, memory.id, (MemoryChangeKind::Made, detail), (None, Some(&after))).await
    }
}

/// The same content of one owner comes in once.
fn made_by(memory: &Memory) -> String {
    use std::fmt::Write;
    let said = json!([memory.user, memory.text, memory.scope, memory.repository]).to_string();
    let mut name = "import/".to_owned();
    for byte in Sha256::digest(said.as_bytes()) {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// The lines of a file.
///
/// # Errors
/// What is wrong with it, each with its line, from 1, as the first part of the pointer.
fn read(file: &[u8]) -> Result<Vec<Line>, Error> {
    let text = std::str::from_utf8(file).map_err(|_| Error::invalid("", "must be UTF-8"))?;
    let (mut lines, mut errors) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let at = format!("/{}", number + 1);
        match serde_json::from_str::<Line>(line) {
            Err(error) => errors.push(FieldError::new(at, error.to_string())),
            Ok(line) => match check(&line, &at) {
                Err(Error::Invalid(wrong)) => errors.extend(wrong),
                Err(other) => return Err(other),
                Ok(()) => lines.push(line),
            },
        }
        if lines.len() > LINES_MAX {
            return Err(Error::invalid("", format!("may have at most {LINES_MAX} lines")));
        }
        if errors.len() >= FAULTS_MAX {
            break;
        }
    }
    if errors.is_empty() { Ok(lines) } else { Err(Error::Invalid(errors)) }
}

fn check(line: &Line, at: &str) -> Result<(), Error> {
    let mut faults = Faults::default();
    faults.text(&format!("{at}/text"), &line.text, MEMORY_TEXT_CHARS_MAX);
    if line.text.contains('\0') {
        faults.add(format!("{at}/text"), "may not contain NUL characters");
    }
    if let Some(repository) = &line.repository {
        faults.line(&format!("{at}/repository"), repository, REPOSITORY_CHARS_MAX);
    }
    check_scope(line.scope, line.repository.as_deref(), at, &mut faults);
    faults.finish()
}
