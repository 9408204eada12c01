//! Anthropic Messages: <https://docs.anthropic.com/en/docs/build-with-claude/streaming>.

use super::{Calls, Decode, Decoded, Progress, grow, parse};
use crate::{
    domain::item::{Reply, Wire},
    llm::{Live, ModelError, ReplyLimits, encode, error, fields::Fields, usage},
};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub(super) struct Decoder {
    turn: u32,
    limits: ReplyLimits,
    blocks: BTreeMap<u64, Block>,
    stop_reason: Option<String>,
    done: bool,
    /// The counts of `message_start`, overridden field by field by those of `message_delta`.
    usage: Map<String, Value>,
}

/// One block of the reply. `text` is its text, thought or arguments as they grow.
struct Block {
    kind: String,
    fields: Fields,
    text: String,
    signature: String,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    index: u64,
    #[serde(default)]
    message: Option<Message>,
    #[serde(default)]
    content_block: Option<Fields>,
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    usage: Option<Map<String, Value>>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    usage: Option<Map<String, Value>>,
    #[serde(default)]
    content: Option<Vec<Fields>>,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Default, Deserialize)]
struct Delta {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    partial_json: Option<String>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    stop_reason: Option<String>,
}

impl Block {
    fn new(fields: Fields) -> Self {
        let kind = fields.text("type").unwrap_or_default();
        let text = match kind.as_str() {
            "text" => fields.text("text"),
            "thinking" => fields.text("thinking"),
            // At a stream's start the input is `{}` and its pieces follow.
            "tool_use" => fields.raw("input").map(|raw| raw.get().to_owned()).filter(|input| input != "{}"),
            _ => None,
        };
        let signature = fields.text("signature").unwrap_or_default();
        Self { kind, text: text.unwrap_or_default(), signature, fields }
    }
}

impl Decoder {
    pub(super) fn new(turn: u32, limits: ReplyLimits) -> Self {
        let (blocks, usage) = (BTreeMap::new(), Map::new());
        Self { turn, limits, blocks, stop_reason: None, done: false, usage }
    }

    fn count(&mut self, usage: Option<Map<String, Value>>) {
        self.usage.extend(usage.into_iter().flatten().filter(|(_, value)| !value.is_null()));
    }

    fn start_block(&mut self, index: u64, fields: Fields) -> Result<&Block, ModelError> {
        if self.blocks.len() >= self.limits.calls.saturating_mul(4) {
            return Err(ModelError::nonsense("too many content blocks"));
        }
        Ok(self.blocks.entry(index).or_insert(Block::new(fields)))
    }

    fn delta(&mut self, index: u64, delta: Delta, live: &mut (dyn FnMut(Live) + Send)) -> Result<(), ModelError> {
        let limits = self.limits;
        let block =
            self.blocks.get_mut(&index).ok_or_else(|| ModelError::nonsense("a piece of a block that has not begun"))?;
        if let Some(piece) = delta.text {
            grow(&mut block.text, &piece, limits.text_bytes, "text")?;
            live(Live::Text(piece));
        }
        if let Some(piece) = delta.thinking {
            grow(&mut block.text, &piece, limits.text_bytes, "reasoning")?;
            live(Live::Reasoning(piece));
        }
        if let Some(piece) = delta.partial_json {
            grow(&mut block.text, &piece, limits.argument_bytes, "arguments")?;
        }
        if let Some(piece) = delta.signature {
            grow(&mut block.signature, &piece, limits.text_bytes, "a signature")?;
        }
        Ok(())
    }

    fn stop(&mut self, reason: Option<String>) -> Result<(), ModelError> {
        if reason.as_deref() == Some("refusal") {
            return Err(ModelError::rejected("the provider's content filter stopped the reply"));
        }
        self.stop_reason = reason.or(self.stop_reason.take());
        Ok(())
    }
}

impl Decode for Decoder {
    fn event(&mut self, data: &str, live: &mut (dyn FnMut(Live) + Send)) -> Result<(), ModelError> {
        if self.done || data.trim() == "[DONE]" {
            return Ok(());
        }
        let event: Event = parse(data)?;
        match event.kind.as_str() {
            "message_start" => self.count(event.message.and_then(|message| message.usage)),
            "content_block_start" => {
                let block = self.start_block(event.index, event.content_block.unwrap_or_default())?;
                match block.kind.as_str() {
                    "tool_use" => live(Live::Tool(block.fields.text("name").unwrap_or_default())),
                    "text" if !block.text.is_empty() => live(Live::Text(block.text.clone())),
                    _ => {}
                }
            }
            "content_block_delta" => self.delta(event.index, event.delta.unwrap_or_default(), live)?,
            "message_delta" => {
                self.count(event.usage);
                self.stop(event.delta.unwrap_or_default().stop_reason)?;
            }
            "message_stop" => self.done = true,
            "error" => return Err(error::from_object(&event.error.unwrap_or(Value::Null))),
            "" => {
                return Err(match event.error {
                    Some(error) => error::from_object(&error),
                    None => ModelError::nonsense("an event without a type"),
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn whole(&mut self, body: &str) -> Result<(), ModelError> {
        let message: Message = parse(body)?;
        if let Some(error) = &message.error {
            return Err(error::from_object(error));
        }
        let content = message.content.ok_or_else(|| ModelError::nonsense("an answer without content"))?;
        for (index, fields) in content.into_iter().enumerate() {
            self.start_block(index as u64, fields)?;
        }
        self.count(message.usage);
        self.stop(message.stop_reason)?;
        self.done = true;
        Ok(())
    }

    fn progress(&self) -> Progress {
        if self.done { Progress::Done } else { Progress::Running }
    }

    fn finish(self: Box<Self>) -> Result<Decoded, ModelError> {
        if !self.done {
            return Err(ModelError::CutOff);
        }
        let cut = matches!(self.stop_reason.as_deref(), Some("max_tokens" | "model_context_window_exceeded"));
        let mut calls = Calls::new(self.turn, self.limits);
        let (mut text, mut reasoning, mut blocks) = (String::new(), String::new(), Vec::new());
        // A message may not end with a thought.
        let mut unled = 0;
        for block in self.blocks.into_values() {
            let mut out = Vec::new();
            match block.kind.as_str() {
                "text" => {
                    grow(&mut text, &block.text, self.limits.text_bytes, "text")?;
                    if block.text.trim().is_empty() {
                        continue;
                    }
                    encode::messages::text(&mut out, "", &block.text);
                }
                "thinking" => {
                    grow(&mut reasoning, &block.text, self.limits.text_bytes, "reasoning")?;
                    let mut fields = block.fields;
                    fields.set("thinking", &block.text);
                    fields.set("signature", &block.signature);
                    encode::json(&mut out, &fields);
                }
                "tool_use" => {
                    let name = block.fields.text("name").unwrap_or_default();
                    let arguments = if block.text.is_empty() { "{}".to_owned() } else { block.text };
                    encode::messages::call(&mut out, calls.add(&name, arguments)?);
                }
                "" => return Err(ModelError::nonsense("a content block without a type")),
                _ => encode::json(&mut out, &block.fields),
            }
            unled = if block.kind.ends_with("thinking") { unled + 1 } else { 0 };
            blocks.push(out);
        }
        blocks.truncate(blocks.len() - unled);
        let raw = encode::messages::assistant(&blocks);
        let raw = raw.map(|message| String::from_utf8_lossy(&message).into_owned()).into_iter().collect();
        let usage = usage::read(&Value::Object(self.usage));
        let reply = Reply {
            wire: Wire::Messages,
            raw,
            text,
            reasoning,
            calls: calls.list,
            cut,
            model: String::new(),
            model_id: String::new(),
        };
        Ok(Decoded { reply, usage })
    }
}
