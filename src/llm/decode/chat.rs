//! Chat Completions: <https://platform.openai.com/docs/api-reference/chat-streaming>, and what its
//! many servers make of it.

use super::{Calls, Decode, Decoded, Progress, grow, parse};
use crate::{
    domain::{
        item::{Reply, Wire},
        usage::TokenUsage,
    },
    llm::{Live, ModelError, ReplyLimits, encode, error, fields::Fields, usage},
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

pub(super) struct Decoder {
    turn: u32,
    limits: ReplyLimits,
    text: String,
    reasoning: String,
    /// The field that the reasoning came in: it goes back in the same.
    reasoning_field: Option<&'static str>,
    reasoning_details: Vec<Box<RawValue>>,
    calls: Vec<Pending>,
    finish_reason: Option<String>,
    done: bool,
    usage: Option<TokenUsage>,
}

/// A call whose pieces are still coming.
struct Pending {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
    /// The vendor's own fields.
    extras: Fields,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    x_groq: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: Option<u64>,
    #[serde(default)]
    delta: Option<Delta>,
    /// In place of `delta` where a server does not stream.
    #[serde(default)]
    message: Option<Delta>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<Value>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    reasoning: Option<Value>,
    #[serde(default)]
    reasoning_details: Option<Vec<Box<RawValue>>>,
    #[serde(default)]
    tool_calls: Option<Vec<Fields>>,
}

impl Decoder {
    pub(super) fn new(turn: u32, limits: ReplyLimits) -> Self {
        Self {
            turn,
            limits,
            text: String::new(),
            reasoning: String::new(),
            reasoning_field: None,
            reasoning_details: Vec::new(),
            calls: Vec::new(),
            finish_reason: None,
            done: false,
            usage: None,
        }
    }

    fn chunk(&mut self, chunk: Chunk, live: &mut (dyn FnMut(Live) + Send)) -> Result<(), ModelError> {
        if let Some(error) = chunk.error.as_ref().filter(|error| !error.is_null()) {
            return Err(error::from_object(error));
        }
        let counted = chunk.usage.as_ref().or_else(|| chunk.x_groq.as_ref()?.get("usage"));
        if let Some(usage) = counted.and_then(usage::read) {
            self.usage = Some(usage);
        }
        for choice in chunk.choices.unwrap_or_default() {
            if choice.index.unwrap_or_default() > 0 {
                continue;
            }
            let whole = choice.delta.is_none();
            self.delta(choice.delta.or(choice.message).unwrap_or_default(), whole, live)?;
            if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
                match reason.as_str() {
                    "content_filter" => {
                        return Err(ModelError::rejected("the provider's content filter stopped the reply"));
                    }
                    "error" | "insufficient_system_resource" => {
                        return Err(ModelError::unavailable(format!("the provider stopped the reply: {reason}")));
                    }
                    "abort" | "aborted" => return Err(ModelError::CutOff),
                    _ => self.finish_reason = Some(reason),
                }
            }
        }
        Ok(())
    }

    /// `whole`: its calls are no pieces, each is one.
    fn delta(&mut self, delta: Delta, whole: bool, live: &mut (dyn FnMut(Live) + Send)) -> Result<(), ModelError> {
        let (text, thought) = content(delta.content);
        for piece in [Some(text), delta.refusal].into_iter().flatten().filter(|piece| !piece.is_empty()) {
            grow(&mut self.text, &piece, self.limits.text_bytes, "text")?;
            live(Live::Text(piece));
        }
        let named = |name, piece: Option<String>| piece.filter(|p| !p.is_empty()).map(|piece| (name, piece));
        let reasoning = named("reasoning_content", delta.reasoning_content)
            .or_else(|| named("reasoning", delta.reasoning.as_ref().and_then(Value::as_str).map(str::to_owned)));
        if let Some((field, piece)) = reasoning {
            self.reasoning_field.get_or_insert(field);
            grow(&mut self.reasoning, &piece, self.limits.text_bytes, "reasoning")?;
            live(Live::Reasoning(piece));
        }
        if !thought.is_empty() {
            grow(&mut self.reasoning, &thought, self.limits.text_bytes, "reasoning")?;
            live(Live::Reasoning(thought));
        }
        self.reasoning_details.extend(delta.reasoning_details.unwrap_or_default());
        delta.tool_calls.unwrap_or_default().into_iter().try_for_each(|piece| self.call(piece, whole, live))
    }

    /// One piece of a call. Pieces belong together by `index`; but some servers leave it out, and
    /// some give every parallel call the index 0: there a new id with a name begins a new call.
    fn call(&mut self, mut piece: Fields, whole: bool, live: &mut (dyn FnMut(Live) + Send)) -> Result<(), ModelError> {
        let index: Option<u64> = piece.get("index");
        let id = piece.text("id").unwrap_or_default();
        let function: Fields = piece.get("function").unwrap_or_default();
        let name = function.text("name").unwrap_or_default();
        let arguments = match function.get::<Value>("arguments") {
            Some(Value::String(text)) => text,
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        };
        for known in ["index", "id", "type", "function"] {
            piece.remove(known);
        }
        let found = match index {
            Some(_) => self.calls.iter().rposition(|call| call.index == index),
            None => self.calls.iter().rposition(|call| id.is_empty() || call.id == id),
        };
        let found = found.filter(|_| !whole).filter(|at| {
            let call = &self.calls[*at];
            id.is_empty() || name.is_empty() || call.id == id || call.name.is_empty()
        });
        let call = if let Some(at) = found {
            &mut self.calls[at]
        } else {
            if self.calls.len() >= self.limits.calls {
                return Err(ModelError::nonsense(format!("more than {} tool calls", self.limits.calls)));
            }
            self.calls.push(Pending {
                index,
                id: id.clone(),
                name: String::new(),
                arguments: String::new(),
                extras: Fields::default(),
            });
            let last = self.calls.len() - 1;
            &mut self.calls[last]
        };
        if call.id.is_empty() {
            call.id = id;
        }
        if call.name.is_empty() && !name.is_empty() {
            live(Live::Tool(name.clone()));
            call.name = name;
        }
        for (field, value) in piece.iter().filter(|(_, value)| value.get() != "null") {
            call.extras.set(field, &value);
        }
        grow(&mut call.arguments, &arguments, self.limits.argument_bytes, "arguments")
    }
}

/// Text and thoughts of a content that is a text or a list of parts.
fn content(content: Option<Value>) -> (String, String) {
    let (mut text, mut thought) = (String::new(), String::new());
    match content {
        Some(Value::String(all)) => text = all,
        Some(Value::Array(parts)) => {
            for part in &parts {
                if let Some(said) = part.get("text").and_then(Value::as_str) {
                    text.push_str(said);
                }
                for inner in part.get("thinking").and_then(Value::as_array).into_iter().flatten() {
                    thought.push_str(inner.get("text").and_then(Value::as_str).unwrap_or_default());
                }
            }
        }
        _ => {}
    }
    (text, thought)
}

impl Decode for Decoder {
    fn event(&mut self, data: &str, live: &mut (dyn FnMut(Live) + Send)) -> Result<(), ModelError> {
        if data.trim() == "[DONE]" {
            self.done = true;
            return Ok(());
        }
        if self.done || data.trim().is_empty() {
            return Ok(());
        }
        let chunk: Chunk = parse(data)?;
        if chunk.choices.is_none() && chunk.usage.is_none() && chunk.error.is_none() {
            let value: Value = parse(data)?;
            if value.get("message").is_some() || value.get("detail").is_some() {
                return Err(error::from_object(&value));
            }
        }
        self.chunk(chunk, live)
    }

    fn whole(&mut self, body: &str) -> Result<(), ModelError> {
        let chunk: Chunk = parse(body)?;
        if chunk.error.is_none() && chunk.choices.as_ref().is_none_or(Vec::is_empty) {
            return Err(ModelError::nonsense("an answer without choices"));
        }
        self.chunk(chunk, &mut |_| ())?;
        self.done = true;
        Ok(())
    }

    fn progress(&self) -> Progress {
        match (&self.finish_reason, self.done) {
            (_, true) => Progress::Done,
            (Some(_), false) => Progress::Ended,
            (None, false) => Progress::Running,
        }
    }

    fn finish(self: Box<Self>) -> Result<Decoded, ModelError> {
        if self.progress() == Progress::Running {
            return Err(ModelError::CutOff);
        }
        let cut = matches!(self.finish_reason.as_deref(), Some("length" | "max_tokens" | "model_length"));
        let mut calls = Calls::new(self.turn, self.limits);
        let mut call_extras = Vec::new();
        for call in self.calls {
            calls.add(&call.name, call.arguments)?;
            call_extras.push(call.extras);
        }
        let mut extras = Fields::default();
        if let Some(field) = self.reasoning_field {
            extras.set(field, &self.reasoning);
        }
        if !self.reasoning_details.is_empty() {
            extras.set("reasoning_details", &self.reasoning_details);
        }
        let said = !self.text.is_empty() || !calls.list.is_empty();
        let message = encode::chat::assistant(&self.text, &calls.list, &extras, &call_extras);
        let raw = if said { vec![String::from_utf8_lossy(&message).into_owned()] } else { Vec::new() };
        let (text, reasoning, calls) = (self.text, self.reasoning, calls.list);
        let reply =
            Reply { wire: Wire::Chat, raw, text, reasoning, calls, cut, model: String::new(), model_id: String::new() };
        Ok(Decoded { reply, usage: self.usage })
    }
}
