//! What the model is asked: everything that people, files and tools said stands in one JSON object, as data.

use super::sources::{Source, cut};
use crate::domain::{MemoryId, learning::Provenance, memory::Memory};
use serde::Serialize;

const INSTRUCTIONS: &str = include_str!("../prompts/learning.md");

const REQUEST_CHARS_MAX: usize = 2_000;
const SUMMARY_CHARS_MAX: usize = 1_500;
/// Memories that are shown as known, at most.
pub const KNOWN_MAX: usize = 20;

/// What the evidence is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct About {
    pub request: String,
    pub repository: Option<String>,
    pub ended: String,
    /// The agent's last words.
    pub summary: String,
}

#[derive(Serialize)]
struct Question<'a> {
    task: About,
    evidence: Vec<Evidence<'a>>,
    known: Vec<Known<'a>>,
}

#[derive(Serialize)]
struct Evidence<'a> {
    name: &'a str,
    kind: &'static str,
    from: Provenance,
    text: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    agent_before: &'a str,
}

#[derive(Serialize)]
struct Known<'a> {
    id: MemoryId,
    text: &'a str,
    scope: &'static str,
    state: crate::domain::memory::MemoryState,
}

/// The instructions, with the schema that answers are held against.
pub fn instructions() -> String {
    format!("{INSTRUCTIONS}{}\n", super::answer::schema())
}

/// What is put to the model. Secrets are the caller's to take out.
pub fn put_to(about: &About, sources: &[Source], known: &[Memory]) -> String {
    let about = About {
        request: cut(&about.request, REQUEST_CHARS_MAX),
        summary: cut(&about.summary, SUMMARY_CHARS_MAX),
        ..about.clone()
    };
    let question = Question {
        task: about,
        evidence: sources.iter().map(evidence_one).collect(),
        known: known.iter().take(KNOWN_MAX).map(known_one).collect(),
    };
    // Nothing in it fails to be JSON.
    serde_json::to_string(&question).unwrap_or_default()
}

fn evidence_one(source: &Source) -> Evidence<'_> {
    Evidence {
        name: &source.name,
        kind: source.kind.as_str(),
        from: source.provenance,
        text: &source.text,
        agent_before: &source.before,
    }
}

fn known_one(memory: &Memory) -> Known<'_> {
    use crate::domain::memory::MemoryScope::{TeamRepository, User, UserRepository};
    let scope = match memory.scope {
        User => "user",
        UserRepository => "repository",
        TeamRepository => "team",
    };
    Known { id: memory.id, text: &memory.text, scope, state: memory.state }
}

/// What goes back after an answer that does not count.
pub fn again(errors: &[String]) -> String {
    let mut text = "Your answer does not count:\n".to_owned();
    for error in errors {
        text.push_str("- ");
        text.push_str(error);
        text.push('\n');
    }
    text.push_str("Give the whole JSON again, mended, and nothing else.");
    text
}
