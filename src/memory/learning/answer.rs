//! What the model answered: read strictly by a schema, and each memory that it names looked at by itself.

use crate::domain::{
    MemoryId, arguments,
    memory::{MEMORY_FILES_MAX, MEMORY_TEXT_CHARS_MAX, MemoryKind},
    schema,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// Memories of one answer that are looked at.
pub const CANDIDATES_MAX: usize = 5;
const EVIDENCE_MAX: usize = 20;
const PATH_CHARS_MAX: usize = 500;

/// For whom the model would have it hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WantedScope {
    User,
    Repository,
    Team,
}

/// A memory as the model would have it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Candidate {
    pub text: String,
    pub kind: MemoryKind,
    pub scope: WantedScope,
    /// Names of sources.
    pub evidence: Vec<String>,
    #[serde(default)]
    pub files: Vec<String>,
    #[serde(default)]
    pub replaces: Option<MemoryId>,
}

#[derive(Deserialize)]
struct Answer {
    memories: Vec<Candidate>,
}

/// What answers are held against.
pub fn schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["memories"],
        "properties": { "memories": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": false,
                "required": ["text", "kind", "scope", "evidence"],
                "properties": {
                    "text": { "type": "string", "minLength": 1 },
                    "kind": { "enum": ["preference", "convention", "fact", "lesson"] },
                    "scope": { "enum": ["user", "repository", "team"] },
                    "evidence": { "type": "array", "minItems": 1, "items": { "type": "string" } },
                    "files": { "type": "array", "items": { "type": "string" } },
                    "replaces": { "type": ["string", "null"] },
                },
            },
        } },
    })
}

/// The memories that an answer names, those alone that can be any; more than five are not looked at.
///
/// # Errors
/// What keeps the answer from being one, each with its place.
pub fn read(reply: &str) -> Result<Vec<Candidate>, Vec<String>> {
    let mut value = arguments::tolerant(reply).map_err(|error| vec![format!("it is not JSON alone: {error}")])?;
    loosen(&mut value);
    let errors = schema::errors(&schema(), &value);
    if !errors.is_empty() {
        return Err(errors);
    }
    let answer: Answer = serde_json::from_value(value).map_err(|error| vec![error.to_string()])?;
    Ok(answer.memories.into_iter().take(CANDIDATES_MAX).filter_map(clean).collect())
}

/// Seqs that came as numbers are names as well, and an id that is none replaces nothing.
fn loosen(value: &mut Value) {
    for memory in value.get_mut("memories").and_then(Value::as_array_mut).into_iter().flatten() {
        for name in memory.get_mut("evidence").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Value::Number(number) = name {
                *name = Value::String(number.to_string());
            }
        }
        let replaces = memory["replaces"].as_str().and_then(|id| id.parse::<MemoryId>().ok());
        if let Some(fields) = memory.as_object_mut().filter(|_| replaces.is_none()) {
            fields.remove("replaces");
        }
    }
}

/// None where the text is none, or too long: what is cut says something else.
fn clean(candidate: Candidate) -> Option<Candidate> {
    let text = plain(&candidate.text);
    let fits = !text.is_empty() && text.chars().count() <= MEMORY_TEXT_CHARS_MAX;
    let short = |path: &String| !path.is_empty() && path.chars().count() <= PATH_CHARS_MAX;
    fits.then(|| Candidate {
        text,
        evidence: candidate.evidence.into_iter().take(EVIDENCE_MAX).map(|name| name.trim().to_owned()).collect(),
        files: candidate.files.into_iter().filter(short).take(MEMORY_FILES_MAX).collect(),
        ..candidate
    })
}

/// A text as people see it: no control characters, nothing invisible, nothing that turns its direction.
pub fn plain(text: &str) -> String {
    let hidden = |c: char| {
        matches!(u32::from(c),
            0x00AD | 0x034F | 0x061C | 0x115F | 0x1160 | 0x17B4 | 0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F
            | 0x202A..=0x202E | 0x2060..=0x206F | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0 | 0xFFF0..=0xFFFB
            | 0x1D173..=0x1D17A | 0xE0000..=0xE0FFF)
    };
    let kept = text.chars().filter(|c| !hidden(*c) && (!c.is_control() || c.is_whitespace()));
    kept.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}
