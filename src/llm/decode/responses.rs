//! OpenAI Responses: <https://platform.openai.com/docs/api-reference/responses-streaming>.

use super::{Calls, Decode, Decoded, Progress, grow, parse};
use crate::{
    domain::item::{Reply, Wire},
    llm::{Live, ModelError, ReplyLimits, encode, error, fields::Fields, usage},
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::collections::BTreeMap;

pub(super) struct Decoder {
    turn: u32,
    limits: ReplyLimits,
    /// Items that are whole, by their place in the output.
    items: BTreeMap<u64, Fields>,
    /// The response as it stood at its end.
    last: Option<Response>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    output_index: Option<u64>,
    #[serde(default)]
    delta: Option<Value>,
    #[serde(default)]
    item: Option<Fields>,
    #[serde(default, borrow)]
    response: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    incomplete_details: Option<Value>,
    #[serde(default)]
    output: Option<Vec<Fields>>,
    #[serde(default)]
    usage: Option<Value>,
}

impl Decoder {
    pub(super) fn new(turn: u32, limits: ReplyLimits) -> Self {
        Self { turn, limits, items: BTreeMap::new(), last: None }
    }

    fn end(&mut self, response: Response) -> Result<(), ModelError> {
        if let Some(error) = response.error.as_ref().filter(|error| !error.is_null()) {
            return Err(error::from_object(error));
        }
        match response.status.as_deref() {
            Some("failed" | "cancelled") => Err(ModelError::unavailable("the provider failed without saying why")),
            Some("incomplete") if response.incomplete_reason() == Some("content_filter") => {
                Err(ModelError::rejected("the provider's content filter stopped the reply"))
            }
            Some("in_progress" | "queued") => Err(ModelError::CutOff),
            _ => {
                self.last = Some(response);
                Ok(())
            }
        }
    }
}

impl Response {
    fn incomplete_reason(&self) -> Option<&str> {
        self.incomplete_details.as_ref()?.get("reason")?.as_str()
    }
}

impl Decode for Decoder {
    fn event(&mut self, data: &str, live: &mut (dyn FnMut(Live) + Send)) -> Result<(), ModelError> {
        if data.trim() == "[DONE]" || self.last.is_some() {
            return Ok(());
        }
        let event: Event<'_> = parse(data)?;
        let delta = || event.delta.as_ref().and_then(Value::as_str).map(str::to_owned);
        match event.kind.as_str() {
            "response.output_text.delta" | "response.refusal.delta" => {
                delta().map(Live::Text).into_iter().for_each(live);
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                delta().map(Live::Reasoning).into_iter().for_each(live);
            }
            "response.output_item.added" => {
                let tool = event.item.filter(|item| item.text("type").as_deref() == Some("function_call"));
                tool.and_then(|item| item.text("name")).map(Live::Tool).into_iter().for_each(live);
            }
            "response.output_item.done" => {
                if let Some(item) = event.item {
                    let next = self.items.last_key_value().map_or(0, |(index, _)| index + 1);
                    self.items.insert(event.output_index.unwrap_or(next), item);
                    if self.items.len() > self.limits.calls.saturating_mul(4) {
                        return Err(ModelError::nonsense("too many output items"));
                    }
                }
            }
            "response.completed" | "response.incomplete" | "response.failed" | "response.done" => {
                let response = event.response.map_or("{}", RawValue::get);
                self.end(parse(response)?)?;
            }
            "error" => return Err(error::from_object(&parse(data)?)),
            "" => {
                let value: Value = parse(data)?;
                return Err(if value.get("error").is_some() {
                    error::from_object(&value)
                } else {
                    ModelError::nonsense("an event without a type")
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn whole(&mut self, body: &str) -> Result<(), ModelError> {
        let response: Response = parse(body)?;
        if response.output.is_none() && response.error.is_none() {
            return Err(ModelError::nonsense("an answer without output"));
        }
        self.end(response)
    }

    fn progress(&self) -> Progress {
        if self.last.is_some() { Progress::Done } else { Progress::Running }
    }

    fn finish(self: Box<Self>) -> Result<Decoded, ModelError> {
        let Some(mut last) = self.last else { return Err(ModelError::CutOff) };
        let cut = last.status.as_deref() == Some("incomplete");
        let listed = last.output.take().unwrap_or_default();
        let items: Vec<Fields> =
            if self.items.len() >= listed.len() { self.items.into_values().collect() } else { listed };
        let mut calls = Calls::new(self.turn, self.limits);
        let (mut text, mut reasoning, mut raw) = (String::new(), String::new(), Vec::new());
        // A trailing reasoning item without what it led to is refused when it comes back.
        let mut unled = 0;
        for mut item in items {
            let kind = item.text("type").unwrap_or_default();
            item.remove("id");
            item.remove("status");
            match kind.as_str() {
                "message" => {
                    let parts: Vec<Value> = item.get("content").unwrap_or_default();
                    for part in &parts {
                        let said = part.get("text").or_else(|| part.get("refusal")).and_then(Value::as_str);
                        grow(&mut text, said.unwrap_or_default(), self.limits.text_bytes, "text")?;
                    }
                    if parts.is_empty() {
                        continue;
                    }
                }
                "reasoning" => {
                    let parts = |name: &str| item.get::<Vec<Value>>(name).unwrap_or_default();
                    let content = parts("content");
                    let said = if parts("summary").is_empty() { content.clone() } else { parts("summary") };
                    for part in said.iter().filter_map(|part| part.get("text")?.as_str()) {
                        if !reasoning.is_empty() {
                            grow(&mut reasoning, "\n\n", self.limits.text_bytes, "reasoning")?;
                        }
                        grow(&mut reasoning, part, self.limits.text_bytes, "reasoning")?;
                    }
                    let sealed = item.text("encrypted_content").is_some_and(|sealed| !sealed.is_empty());
                    if !sealed && content.is_empty() {
                        continue;
                    }
                }
                "function_call" => {
                    let name = item.text("name").unwrap_or_default();
                    let arguments = match item.get::<Value>("arguments") {
                        Some(Value::String(text)) => text,
                        Some(Value::Null) | None => String::new(),
                        Some(other) => other.to_string(),
                    };
                    let call = calls.add(&name, arguments)?;
                    item.set("call_id", &call.call);
                    item.set("name", &call.tool);
                    item.set("arguments", &encode::arguments(&call.arguments));
                }
                "" => return Err(ModelError::nonsense("an output item without a type")),
                _ => {}
            }
            unled = if kind == "reasoning" { unled + 1 } else { 0 };
            raw.push(serde_json::to_string(&item).map_err(|e| ModelError::nonsense(e.to_string()))?);
        }
        raw.truncate(raw.len() - unled);
        let usage = last.usage.as_ref().and_then(usage::read);
        let reply = Reply {
            wire: Wire::Responses,
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
