//! Bodies of the three wires, read.

use super::{Request, Seen};
use crate::domain::item::Wire;
use serde::Deserialize;
use serde_json::value::RawValue;

impl Request {
    /// Reads a body. The error is what a provider would say to it.
    pub(in crate::scripted) fn parse(wire: Wire, body: &[u8]) -> Result<Self, String> {
        let wired: Wired<'_> = serde_json::from_slice(body).map_err(|e| format!("the body is no request: {e}"))?;
        let tools = wired.tools.unwrap_or_default();
        let mut request = Self {
            wire,
            model: wired.model,
            stream: wired.stream.unwrap_or_default(),
            include_usage: wired.stream_options.is_some_and(|options| options.include_usage),
            include_sealed: wired.include.is_some_and(|list| list.iter().any(|i| i == "reasoning.encrypted_content")),
            instructions: wired.instructions.or_else(|| wired.system.map(text_of)).unwrap_or_default(),
            tools: tools.iter().map(|raw| tool_name(raw)).collect::<Result<_, _>>()?,
            tools_text: tools.iter().map(|raw| raw.get().replace(MARKER, "")).collect(),
            items: Vec::new(),
            cache_key: wired.prompt_cache_key,
            unsound: None,
        };
        let elements: Vec<Element<'_>> = match (wire, wired.input, wired.messages) {
            (Wire::Responses, Some(input), _) if input.get().starts_with('"') => {
                request.input("user".to_owned(), text_of(input));
                Vec::new()
            }
            (Wire::Responses, Some(input), _) => {
                serde_json::from_str(input.get()).map_err(|e| format!("`input` is no list of items: {e}"))?
            }
            (Wire::Responses, None, _) => return Err("`input` is missing".to_owned()),
            (_, _, Some(messages)) => messages,
            (_, _, None) => return Err("`messages` is missing".to_owned()),
        };
        if wired.previous_response_id.is_some() {
            return Err("`previous_response_id`: nothing is stored here".to_owned());
        }
        if wire == Wire::Messages && wired.max_tokens.is_none() {
            return Err("max_tokens: field required".to_owned());
        }
        for element in elements {
            match wire {
                Wire::Responses => request.item(element)?,
                Wire::Chat => request.chat_message(element)?,
                Wire::Messages => request.message(&element)?,
            }
        }
        request.unsound = request.unsound.take().or_else(|| request.unpaired());
        Ok(request)
    }

    /// What one side said.
    fn text(&mut self, assistant: bool, text: String) {
        self.items.push(if assistant { Seen::Said(text) } else { Seen::Input { role: "user".to_owned(), text } });
    }

    fn input(&mut self, role: String, text: String) {
        self.items.push(Seen::Input { role, text });
    }

    /// Responses: one input item.
    fn item(&mut self, item: Element<'_>) -> Result<(), String> {
        let text = item.content.map(text_of).unwrap_or_default();
        match item.kind.as_deref().unwrap_or("message") {
            "message" => match item.role.as_deref() {
                Some("assistant") => self.items.push(Seen::Said(text)),
                Some(role) => self.input(role.to_owned(), text),
                None => return Err("an input message without a role".to_owned()),
            },
            "function_call" => self.items.push(Seen::Call {
                id: item.call_id.unwrap_or_default(),
                tool: item.name.unwrap_or_default(),
                arguments: item.arguments.unwrap_or_default(),
            }),
            "function_call_output" => self.items.push(Seen::Output {
                id: item.call_id.unwrap_or_default(),
                text: item.output.map(text_of).unwrap_or_default(),
            }),
            "reasoning" => {
                if item.id.is_some() {
                    self.unsound.get_or_insert("an item with an id, but nothing is stored here".to_owned());
                }
                self.items.push(Seen::Thought(item.encrypted_content.unwrap_or(text)));
            }
            other => return Err(format!("input items of type {other:?} are not known here")),
        }
        Ok(())
    }

    fn chat_message(&mut self, message: Element<'_>) -> Result<(), String> {
        let text = message.content.map(text_of).unwrap_or_default();
        match message.role.as_deref() {
            Some("system") if self.items.is_empty() && self.instructions.is_empty() => self.instructions = text,
            Some("assistant") => {
                if let Some(thought) = message.reasoning_content {
                    self.items.push(Seen::Thought(thought));
                }
                let calls = message.tool_calls.unwrap_or_default();
                if text.is_empty() && calls.is_empty() {
                    self.unsound.get_or_insert("an assistant message needs content or tool calls".to_owned());
                }
                if !text.is_empty() {
                    self.items.push(Seen::Said(text));
                }
                for call in calls {
                    self.items.push(Seen::Call {
                        id: call.id.unwrap_or_default(),
                        tool: call.function.name,
                        arguments: call.function.arguments.map(text_of).unwrap_or_default(),
                    });
                }
            }
            Some("tool") => {
                self.items.push(Seen::Output { id: message.tool_call_id.unwrap_or_default(), text });
            }
            Some(role) => self.input(role.to_owned(), text),
            None => return Err("a message without a role".to_owned()),
        }
        Ok(())
    }

    fn message(&mut self, message: &Element<'_>) -> Result<(), String> {
        let assistant = match message.role.as_deref() {
            Some("user") => false,
            Some("assistant") => true,
            _ => return Err("messages: the role must be user or assistant".to_owned()),
        };
        if assistant && self.items.is_empty() {
            self.unsound.get_or_insert("messages: the first message must be the user's".to_owned());
        }
        if self.items.last().is_some_and(|last| last.is_reply() == assistant) {
            self.unsound.get_or_insert("messages: roles must alternate".to_owned());
        }
        let content = message.content.ok_or("messages: content is missing")?;
        if content.get().starts_with('"') {
            self.text(assistant, text_of(content));
            return Ok(());
        }
        let blocks: Vec<Element<'_>> = serde_json::from_str(content.get()).map_err(|e| format!("messages: {e}"))?;
        if blocks.is_empty() {
            self.unsound.get_or_insert("messages: content must not be empty".to_owned());
        }
        let mut texts = false;
        for block in blocks {
            match (block.kind.as_deref().unwrap_or_default(), assistant) {
                ("text", _) => {
                    let text = block.text.unwrap_or_default();
                    if text.trim().is_empty() {
                        self.unsound.get_or_insert("messages: text blocks must hold a visible character".to_owned());
                    }
                    texts = true;
                    self.text(assistant, text);
                }
                ("tool_use", true) => self.items.push(Seen::Call {
                    id: block.id.unwrap_or_default(),
                    tool: block.name.unwrap_or_default(),
                    arguments: block.input.map(|raw| raw.get().to_owned()).unwrap_or_default(),
                }),
                ("tool_result", false) => {
                    if texts {
                        self.unsound.get_or_insert("messages: tool results must come before text".to_owned());
                    }
                    self.items.push(Seen::Output {
                        id: block.tool_use_id.unwrap_or_default(),
                        text: block.content.map(text_of).unwrap_or_default(),
                    });
                }
                ("thinking", true) => {
                    let sealed = block.signature.unwrap_or_default();
                    self.items.push(Seen::Thought(block.thinking.unwrap_or_default() + &sealed));
                }
                ("redacted_thinking", true) => self.items.push(Seen::Thought(String::new())),
                (kind, _) => return Err(format!("messages: a {kind:?} block cannot stand there")),
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Wired<'a> {
    #[serde(default)]
    model: String,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default, borrow)]
    input: Option<&'a RawValue>,
    #[serde(default, borrow)]
    messages: Option<Vec<Element<'a>>>,
    #[serde(default)]
    instructions: Option<String>,
    #[serde(default, borrow)]
    system: Option<&'a RawValue>,
    #[serde(default, borrow)]
    tools: Option<Vec<&'a RawValue>>,
    #[serde(default)]
    include: Option<Vec<String>>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    prompt_cache_key: Option<String>,
    #[serde(default)]
    previous_response_id: Option<String>,
    #[serde(default)]
    max_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// A message, item or block: the fields of all wires.
#[derive(Deserialize)]
struct Element<'a> {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default, borrow)]
    content: Option<&'a RawValue>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    call_id: Option<String>,
    #[serde(default)]
    tool_call_id: Option<String>,
    #[serde(default)]
    tool_use_id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
    #[serde(default, borrow)]
    input: Option<&'a RawValue>,
    #[serde(default, borrow)]
    output: Option<&'a RawValue>,
    #[serde(default, borrow)]
    tool_calls: Option<Vec<ToolCall<'a>>>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    encrypted_content: Option<String>,
    #[serde(default)]
    function: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
struct ToolCall<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(borrow)]
    function: Function<'a>,
}

#[derive(Deserialize)]
struct Function<'a> {
    name: String,
    #[serde(default, borrow)]
    arguments: Option<&'a RawValue>,
}

const MARKER: &str = r#","cache_control":{"type":"ephemeral"}"#;

/// The text of a string, or of a list of parts.
fn text_of(raw: &RawValue) -> String {
    #[derive(Deserialize)]
    struct Part {
        #[serde(default)]
        text: Option<String>,
    }
    let json = raw.get();
    if json.starts_with('"') {
        return serde_json::from_str(json).unwrap_or_default();
    }
    let parts: Vec<Part> = serde_json::from_str(json).unwrap_or_default();
    let texts: Vec<String> = parts.into_iter().filter_map(|part| part.text).collect();
    if texts.is_empty() && json.starts_with('{') { json.to_owned() } else { texts.join("\n") }
}

fn tool_name(raw: &RawValue) -> Result<String, String> {
    let tool: Element<'_> = serde_json::from_str(raw.get()).map_err(|e| format!("`tools`: {e}"))?;
    let name = tool.name.or_else(|| tool.function.and_then(|function| function.name));
    name.ok_or_else(|| "`tools`: a tool without a name".to_owned())
}
