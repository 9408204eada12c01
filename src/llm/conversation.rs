//! A request's body as it grows.
//!
//! Instructions, tools and items are each serialised once, in the order in which the provider
//! reads them; nothing that stands is ever written again. What changes between requests (the
//! output limit, the cache key, closing brackets, Anthropic's cache markers) stands after them or
//! is put in while the body is made. So the bytes of one request are a prefix of those of the
//! next, which is what providers' caches need; [`Conversation::prefix`] shows them.

use super::{
    Model,
    cache::Chain,
    encode::{self, SERVER_MARK, json},
    fields::Fields,
    quirks::{Thinking, thinking_of_call},
    recover::Offered,
};
use crate::domain::{
    Item,
    item::{DeveloperRole, Reply, Wire},
    tool::ToolSpec,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt};

/// The conversation with one model. Append only: another model or a compaction takes a new one.
#[derive(Clone)]
pub struct Conversation {
    wire: Wire,
    /// The name of the model that it is for.
    model: String,
    /// The provider's name of it.
    model_id: String,
    developer_role: DeveloperRole,
    /// From the opening brace to the opening bracket of the items.
    head: Vec<u8>,
    /// The items, and before them Chat's system message. The last user message may still be open
    /// (see [`Conversation::closers`]).
    items: Vec<u8>,
    count: usize,
    open: bool,
    /// Messages: the ends of blocks in `items` that a cache marker may go to: the last block of
    /// the newest user message and of the one before it.
    marks: [Option<usize>; 2],
    max_tokens_field: Option<String>,
    cache_key: bool,
    /// The tools, where calls that come as text are to be found.
    offered: Offered,
    /// Of a model that wants a budget of thought, the task's.
    thinking_budget: Option<u32>,
    chain: Chain,
}

impl Conversation {
    /// An empty conversation in the form that `model` reads. Tools stand in the order given.
    pub fn new(model: &Model, instructions: &str, tools: &[ToolSpec]) -> Self {
        let taken = |name: &str| model.body.contains_key(name) || model.without.iter().any(|w| w == name);
        let max_tokens_field = model.max_tokens_field();
        let mut items = Vec::new();
        if model.wire == Wire::Chat && !instructions.is_empty() {
            encode::chat::message(&mut items, "system", instructions);
        }
        Self {
            wire: model.wire,
            model: model.name.clone(),
            model_id: model.model_id.clone(),
            developer_role: model.developer_role(),
            head: head(model, instructions, tools),
            items,
            count: 0,
            open: false,
            marks: [None; 2],
            max_tokens_field: (!taken(max_tokens_field)).then(|| max_tokens_field.to_owned()),
            cache_key: model.sends_cache_key() && !taken("prompt_cache_key"),
            offered: if model.reads_text_calls() { Offered::new(tools) } else { Offered::default() },
            thinking_budget: model.thinks_by_budget().filter(|_| !taken("thinking")),
            chain: Chain::new(instructions, tools),
        }
    }

    /// Appends one item. A reply of this model goes back as the provider sent it; one of another wire or
    /// model is made anew from what it said and called, because sealed reasoning is its provider's own.
    pub fn push(&mut self, item: &Item) {
        let before = self.items.len();
        match item {
            Item::User { text } => self.message(None, text),
            Item::Developer { text } => self.message(Some(self.developer_role), text),
            Item::Result { call, output } => self.result(call.as_str(), output),
            Item::Reply(reply) if self.is_own(reply) => self.raw(&reply.raw),
            Item::Reply(reply) => self.foreign(reply),
        }
        self.count += 1;
        self.chain.push(&self.items[before..]);
    }

    /// Replies of earlier builds do not say whose they are.
    fn is_own(&self, reply: &Reply) -> bool {
        let same = |theirs: &str, ours: &str| theirs.is_empty() || theirs == ours;
        reply.wire == self.wire && same(&reply.model, &self.model) && same(&reply.model_id, &self.model_id)
    }

    /// Appends a reply of another provider of the same wire: made anew from its neutral parts,
    /// because this provider cannot read the other's sealed reasoning.
    pub fn push_neutral(&mut self, reply: &Reply) {
        let before = self.items.len();
        self.foreign(reply);
        self.count += 1;
        self.chain.push(&self.items[before..]);
    }

    /// Whether it is for this model: a name that the settings have given to another is another's.
    pub fn is_for(&self, model: &Model) -> bool {
        self.model == model.name && self.model_id == model.model_id && self.wire == model.wire
    }

    /// The hashes of instructions, tools and items as they stand in the next request.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// How many items have been pushed.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn wire(&self) -> Wire {
        self.wire
    }

    /// The tools whose calls may come as text.
    pub(super) fn offered(&self) -> &Offered {
        &self.offered
    }

    /// The size of the next request's body, but for a few closing bytes: four bytes are about one
    /// token.
    pub fn bytes(&self) -> usize {
        self.head.len() + self.items.len()
    }

    /// What the next request repeats of this one, byte for byte: everything but the closing
    /// brackets, the fields after the items, and cache markers in the items.
    pub fn prefix(&self) -> Vec<u8> {
        [self.head.as_slice(), self.items.as_slice()].concat()
    }

    /// The budget of thought that a call goes out with whose reply may have so many tokens, 0 where that leaves no
    /// room for one; absent where the model takes none.
    pub fn thinking(&self, max_output_tokens: u32) -> Option<u32> {
        self.thinking_budget.map(|budget| thinking_of_call(budget, max_output_tokens))
    }

    /// The body of a request. `cache_key` is the same for all requests of a task.
    pub fn body(&self, cache_key: &str, max_output_tokens: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes() + 512);
        out.extend_from_slice(&self.head);
        let mut from = 0;
        for mark in self.marks.iter().flatten() {
            out.extend_from_slice(&self.items[from..mark - 1]);
            out.extend_from_slice(encode::messages::MARKER);
            from = mark - 1;
        }
        out.extend_from_slice(&self.items[from..]);
        out.extend_from_slice(self.closers());
        out.push(b']');
        if let Some(name) = &self.max_tokens_field {
            out.push(b',');
            json(&mut out, name);
            out.push(b':');
            json(&mut out, &max_output_tokens);
        }
        if let Some(budget) = self.thinking(max_output_tokens).filter(|budget| *budget > 0) {
            out.extend_from_slice(br#","thinking":"#);
            json(&mut out, &json!({"type": "enabled", "budget_tokens": budget}));
        }
        if self.cache_key && !cache_key.is_empty() {
            out.extend_from_slice(br#","prompt_cache_key":"#);
            json(&mut out, cache_key);
        }
        out.push(b'}');
        out
    }

    /// What closes the user message that later items may still join.
    fn closers(&self) -> &'static [u8] {
        match (self.open, self.wire) {
            (false, _) | (true, Wire::Responses) => b"",
            (true, Wire::Chat) => br#""}"#,
            (true, Wire::Messages) => b"]}",
        }
    }

    /// Closes the open message, and separates what follows.
    fn next_element(&mut self) {
        self.items.extend_from_slice(self.closers());
        self.open = false;
        if !self.items.is_empty() {
            self.items.push(b',');
        }
    }

    fn message(&mut self, developer: Option<DeveloperRole>, text: &str) {
        let (role, mark) = match developer {
            None => ("user", ""),
            Some(DeveloperRole::User) => ("user", SERVER_MARK),
            Some(DeveloperRole::Developer) => ("developer", ""),
            Some(DeveloperRole::System) => ("system", ""),
        };
        match self.wire {
            Wire::Responses => {
                self.next_element();
                encode::responses::message(&mut self.items, role, mark, text);
            }
            Wire::Chat if role == "user" => {
                // Templates that demand strict alternation refuse two user messages in a row.
                if self.open {
                    self.items.extend_from_slice(br"\n\n");
                } else {
                    self.next_element();
                    self.items.extend_from_slice(br#"{"role":"user","content":""#);
                    self.open = true;
                }
                encode::json_inside(&mut self.items, mark);
                encode::json_inside(&mut self.items, text);
            }
            Wire::Chat => {
                self.next_element();
                encode::chat::message(&mut self.items, role, text);
            }
            // There is no other role than the user's within a conversation.
            Wire::Messages => {
                self.block(|out| encode::messages::text(out, if developer.is_some() { SERVER_MARK } else { "" }, text));
            }
        }
    }

    fn result(&mut self, call: &str, output: &str) {
        match self.wire {
            Wire::Responses => {
                self.next_element();
                encode::responses::result(&mut self.items, call, output);
            }
            Wire::Chat => {
                self.next_element();
                encode::chat::result(&mut self.items, call, output);
            }
            Wire::Messages => self.block(|out| encode::messages::result(out, call, output)),
        }
    }

    /// Messages: one more block of the newest user message.
    fn block(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.open {
            self.items.push(b',');
        } else {
            self.next_element();
            self.items.extend_from_slice(br#"{"role":"user","content":["#);
            self.open = true;
            self.marks = [self.marks[1], None];
        }
        write(&mut self.items);
        self.marks[1] = Some(self.items.len());
    }

    fn raw(&mut self, raw: &[String]) {
        for element in raw {
            self.next_element();
            self.items.extend_from_slice(element.as_bytes());
        }
    }

    fn foreign(&mut self, reply: &Reply) {
        let element = match self.wire {
            Wire::Responses => {
                let mut out = Vec::new();
                encode::responses::reply(&mut out, reply);
                (!out.is_empty()).then_some(out)
            }
            Wire::Chat if reply.text.is_empty() && reply.calls.is_empty() => None,
            Wire::Chat => Some(encode::chat::assistant(&reply.text, &reply.calls, &Fields::default(), &[])),
            Wire::Messages => {
                let mut blocks = Vec::new();
                if !reply.text.trim().is_empty() {
                    let mut out = Vec::new();
                    encode::messages::text(&mut out, "", reply.text.trim_end());
                    blocks.push(out);
                }
                for call in &reply.calls {
                    let mut out = Vec::new();
                    encode::messages::call(&mut out, call);
                    blocks.push(out);
                }
                encode::messages::assistant(&blocks)
            }
        };
        if let Some(element) = element {
            self.next_element();
            self.items.extend_from_slice(&element);
        }
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation")
            .field("wire", &self.wire)
            .field("items", &self.count)
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

/// Everything before the items.
fn head(model: &Model, instructions: &str, tools: &[ToolSpec]) -> Vec<u8> {
    let mut out = b"{".to_vec();
    for (name, value) in options(model, !tools.is_empty()) {
        json(&mut out, &name);
        out.push(b':');
        json(&mut out, &value);
        out.push(b',');
    }
    let mut written = Vec::new();
    for (index, spec) in tools.iter().enumerate() {
        if index > 0 {
            written.push(b',');
        }
        match model.wire {
            Wire::Responses => encode::responses::tool(&mut written, spec),
            Wire::Chat => encode::chat::tool(&mut written, spec),
            Wire::Messages => encode::messages::tool(&mut written, spec),
        }
    }
    if model.wire == Wire::Messages && !written.is_empty() {
        written.pop();
        written.extend_from_slice(encode::messages::MARKER);
        written.push(b'}');
    }
    let tools = if written.is_empty() { Vec::new() } else { [br#""tools":["#, &*written, b"],"].concat() };
    match model.wire {
        Wire::Responses => {
            out.extend_from_slice(br#""instructions":"#);
            json(&mut out, instructions);
            out.push(b',');
            out.extend_from_slice(&tools);
            out.extend_from_slice(br#""input":["#);
        }
        Wire::Chat => {
            out.extend_from_slice(&tools);
            out.extend_from_slice(br#""messages":["#);
        }
        Wire::Messages => {
            out.extend_from_slice(&tools);
            if !instructions.trim().is_empty() {
                out.extend_from_slice(br#""system":["#);
                encode::messages::text(&mut out, "", instructions);
                out.pop();
                out.extend_from_slice(encode::messages::MARKER);
                out.extend_from_slice(b"}],");
            }
            out.extend_from_slice(br#""messages":["#);
        }
    }
    out
}

/// The fields before the prompt, in a fixed order.
fn options(model: &Model, has_tools: bool) -> BTreeMap<String, Value> {
    let mut options = BTreeMap::new();
    let mut set = |name: &str, value: Value| options.insert(name.to_owned(), value);
    set("model", json!(model.model_id));
    set("stream", json!(true));
    match model.wire {
        Wire::Responses => {
            set("store", json!(false));
            set("include", json!(["reasoning.encrypted_content"]));
            if has_tools && model.asks_for_parallel_calls() {
                set("parallel_tool_calls", json!(true));
            }
            if let Some(effort) = &model.reasoning_effort {
                set("reasoning", json!({"effort": effort, "summary": "auto"}));
            }
        }
        Wire::Chat => {
            set("stream_options", json!({"include_usage": true}));
            if has_tools && model.asks_for_parallel_calls() {
                set("parallel_tool_calls", json!(true));
            }
            if let Some(effort) = &model.reasoning_effort {
                set("reasoning_effort", json!(effort));
            }
        }
        Wire::Messages => {
            let effort = model.reasoning_effort.as_ref().filter(|_| model.thinking() == Thinking::Adaptive);
            if let Some(effort) = effort {
                set("thinking", json!({"type": "adaptive"}));
                set("output_config", json!({"effort": effort}));
            }
        }
    }
    for (name, value) in &model.body {
        if !["input", "messages", "tools", "instructions", "system"].contains(&name.as_str()) {
            options.insert(name.clone(), value.clone());
        }
    }
    options.retain(|name, _| !model.without.contains(name));
    options
}
