//! The result as JSON: where a task names a schema, its model is asked for it once the work is done. What it says is
//! checked by the server; what is wrong goes back, and then the run ends as it is.

use super::{
    json,
    session::{LastWords, Session},
    step::{End, Step, finish},
};
use crate::domain::{ErrorCode, EventData, Status, TaskError, schema};
use serde_json::Value;
use std::fmt::Write;

/// The first time, and twice with what was wrong.
const ASKED_MAX: u32 = 3;

/// What one run has come to with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputUse {
    /// How often the model was asked since somebody last said something.
    pub asked: u32,
    /// Its words before it was asked: the work's summary.
    pub words_before: Option<String>,
}

/// Ends a run that has succeeded, with its result as JSON where one is wanted.
pub(super) fn succeed(session: &Session, words: &LastWords, end: End) -> Step {
    let Some(schema) = session.spec.output_schema.as_ref().filter(|_| end.status == Status::Succeeded) else {
        return finish(session, end);
    };
    let asked = session.used.output.asked;
    match judged(schema, &words.text) {
        Ok(_) => finish(session, end),
        Err(errors) if asked >= ASKED_MAX => {
            let text = format!("the result is not valid by output_schema after {asked} tries: {}", errors.join("; "));
            let error = Some(TaskError::new(ErrorCode::OutputSchema, text));
            finish(session, End { status: Status::Failed, error, ..end })
        }
        Err(errors) => {
            // Of words that were no answer to it yet nothing is wrong.
            let errors = if asked == 0 { Vec::new() } else { errors };
            let text = if asked == 0 { ask(schema) } else { ask_again(&errors) };
            Step::Record(vec![EventData::OutputRequested { attempt: asked + 1, errors, text }])
        }
    }
}

/// The result that a run's last words are.
pub(super) fn value(session: &Session, end: &End) -> Option<Value> {
    let schema = session.spec.output_schema.as_ref().filter(|_| end.status == Status::Succeeded)?;
    judged(schema, &session.last_words.as_ref()?.text).ok()
}

fn judged(schema: &Value, words: &str) -> Result<Value, Vec<String>> {
    let value = json::alone(words).map_err(|error| vec![format!("it is not JSON alone: {error}")])?;
    let errors = schema::errors(schema, &value);
    if errors.is_empty() { Ok(value) } else { Err(errors) }
}

fn ask(schema: &Value) -> String {
    format!(
        "The work is done. Give its result now as JSON that is valid by the JSON Schema below: the JSON alone, whole, without \
         words around it and without a tool call. Its values are to say what is so, by what you have done and found.\n```json\n{schema}\n```"
    )
}

fn ask_again(errors: &[String]) -> String {
    let mut text = "That is not valid by the schema:\n".to_owned();
    for error in errors {
        let _ = writeln!(text, "- {error}");
    }
    text.push_str("Give the whole JSON again, mended, and nothing else.");
    text
}
