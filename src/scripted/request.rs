//! A request of any wire as what it shows the model.

use crate::domain::item::Wire;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::hash::{DefaultHasher, Hash, Hasher};

/// One element of what the model is shown.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub(super) enum Seen {
    /// A user's words, or the server's under whatever role.
    Input {
        role: String,
        text: String,
    },
    /// The model's own words.
    Said(String),
    Call {
        id: String,
        tool: String,
        arguments: String,
    },
    Output {
        id: String,
        text: String,
    },
    /// The model's reasoning, as it was sent.
    Thought(String),
}

/// A parsed request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) wire: Wire,
    pub(super) model: String,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    pub(super) include_sealed: bool,
    pub(super) instructions: String,
    /// Names, in order.
    pub(super) tools: Vec<String>,
    /// All of the tools' text but cache markers.
    tools_text: String,
    pub(super) items: Vec<Seen>,
    cache_key: Option<String>,
    /// Why a real provider would refuse it.
    pub(super) unsound: Option<String>,
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

impl Seen {
    pub(super) fn input(&self) -> Option<&str> {
        if let Self::Input { text, .. } = self { Some(text) } else { None }
    }

    pub(super) fn output(&self) -> Option<&str> {
        if let Self::Output { text, .. } = self { Some(text) } else { None }
    }

    fn is_reply(&self) -> bool {
        matches!(self, Self::Said(_) | Self::Call { .. } | Self::Thought(_))
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Input { text, .. } | Self::Output { text, .. } | Self::Said(text) | Self::Thought(text) => text.len(),
            Self::Call { tool, arguments, .. } => tool.len() + arguments.len(),
        }
    }
}

impl Request {
    /// Reads a body. The error is what a provider would say to it.
    pub(super) fn parse(wire: Wire, body: &[u8]) -> Result<Self, String> {
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

    /// What is wrong with the pairs of calls and results: all providers demand that each call is
    /// answered, once, before the next reply.
    fn unpaired(&self) -> Option<String> {
        let mut waiting: Vec<&str> = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        let mut answering = false;
        for item in &self.items {
            match item {
                Seen::Output { id, .. } => {
                    let Some(at) = waiting.iter().position(|waits| waits == id) else {
                        return Some(format!("no tool call found for the result with call id {id:?}"));
                    };
                    waiting.swap_remove(at);
                    answering = true;
                }
                Seen::Call { id, .. } => {
                    if answering && !waiting.is_empty() {
                        return Some(format!("no tool output found for function call {}", waiting[0]));
                    }
                    answering = false;
                    if id.is_empty() || seen.contains(&id.as_str()) {
                        return Some(format!("call id {id:?} is empty or occurs twice"));
                    }
                    waiting.push(id);
                    seen.push(id);
                }
                Seen::Input { .. } if !waiting.is_empty() => {
                    return Some(format!("no tool output found for function call {}", waiting[0]));
                }
                _ => {}
            }
        }
        waiting.first().map(|id| format!("no tool output found for function call {id}"))
    }

    /// Replies from item `start` on: runs of the model's own items.
    pub(super) fn turn(&self, start: usize) -> u32 {
        let items = &self.items[start..];
        let begins = |at: &usize| items[*at].is_reply() && (*at == 0 || !items[at - 1].is_reply());
        (0..items.len()).filter(begins).count() as u32
    }

    /// What came after the last reply.
    pub(super) fn news(&self) -> &[Seen] {
        let after = self.items.iter().rposition(Seen::is_reply).map_or(0, |at| at + 1);
        &self.items[after..]
    }

    /// The tool whose result came last.
    pub(super) fn last_tool(&self) -> Option<&str> {
        let last = self.items.iter().rev().find_map(|item| match item {
            Seen::Output { id, .. } => Some(id),
            _ => None,
        })?;
        self.items.iter().rev().find_map(|item| match item {
            Seen::Call { id, tool, .. } if id == last => Some(tool.as_str()),
            _ => None,
        })
    }

    /// What names the conversation that this request belongs to.
    pub(super) fn conversation(&self) -> String {
        let first = || self.items.iter().find_map(Seen::input).unwrap_or_default().to_owned();
        self.cache_key.clone().unwrap_or_else(first)
    }

    /// The prompt as a chain: for each of its parts, the hash of all up to it and their size in
    /// bytes. Cache markers and options have no part in it.
    pub(super) fn chain(&self) -> Vec<(u64, usize)> {
        let mut hasher = DefaultHasher::new();
        (self.wire, &self.model, &self.instructions, &self.tools_text).hash(&mut hasher);
        let mut bytes = self.instructions.len() + self.tools_text.len();
        let mut chain = vec![(hasher.finish(), bytes)];
        for item in &self.items {
            item.hash(&mut hasher);
            bytes += item.bytes();
            chain.push((hasher.finish(), bytes));
        }
        chain
    }
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
