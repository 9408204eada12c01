//! A request of any wire as what it shows the model.

mod parse;

use crate::domain::item::Wire;
use serde::de::IgnoredAny;
use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
};

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
    /// What is wrong with calls and results: all providers demand that each call is answered, once,
    /// before the next reply, and many parse its arguments again.
    fn unpaired(&self) -> Option<String> {
        let mut waiting: Vec<&str> = Vec::new();
        let mut seen: HashSet<&str> = HashSet::new();
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
                Seen::Call { id, arguments, .. } => {
                    let object = arguments.trim_start().starts_with('{');
                    if !object || serde_json::from_str::<IgnoredAny>(arguments).is_err() {
                        return Some(format!("the arguments of call {id:?} are no JSON object"));
                    }
                    if answering && !waiting.is_empty() {
                        return Some(format!("no tool output found for function call {}", waiting[0]));
                    }
                    answering = false;
                    if id.is_empty() || !seen.insert(id) {
                        return Some(format!("call id {id:?} is empty or occurs twice"));
                    }
                    waiting.push(id);
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
