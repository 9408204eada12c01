//! A reply from the pieces of its stream, wire by wire, or from one JSON body.

mod chat;
mod messages;
mod responses;

use super::{Live, ModelError, ReplyLimits};
use crate::domain::{
    CallId,
    item::{Reply, Wire},
    tool::ToolCall,
    usage::TokenUsage,
};

/// How far a reply has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Without more it is cut off.
    Running,
    /// Its completion mark has come; counts may still follow.
    Ended,
    /// Nothing more is wanted.
    Done,
}

/// A reply with what the provider counted.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) reply: Reply,
    pub(super) usage: Option<TokenUsage>,
}

/// What turns one wire's stream into a reply.
pub(super) trait Decode: Send {
    /// Takes the data of one event.
    fn event(&mut self, data: &str, live: &mut (dyn FnMut(Live) + Send)) -> Result<(), ModelError>;

    /// Takes a whole answer of a server that does not stream.
    fn whole(&mut self, body: &str) -> Result<(), ModelError>;

    fn progress(&self) -> Progress;

    /// The reply; an error where its completion mark has not come.
    fn finish(self: Box<Self>) -> Result<Decoded, ModelError>;
}

/// A decoder for the reply of model call number `turn`.
pub(super) fn decoder(wire: Wire, turn: u32, limits: ReplyLimits) -> Box<dyn Decode> {
    match wire {
        Wire::Responses => Box::new(responses::Decoder::new(turn, limits)),
        Wire::Chat => Box::new(chat::Decoder::new(turn, limits)),
        Wire::Messages => Box::new(messages::Decoder::new(turn, limits)),
    }
}

/// Appends a piece and refuses what grows beyond `limit` bytes.
fn grow(text: &mut String, piece: &str, limit: usize, what: &str) -> Result<(), ModelError> {
    if text.len() + piece.len() > limit {
        return Err(ModelError::nonsense(format!("{what} of more than {limit} bytes")));
    }
    text.push_str(piece);
    Ok(())
}

fn parse<'a, T: serde::Deserialize<'a>>(data: &'a str) -> Result<T, ModelError> {
    serde_json::from_str(data).map_err(|error| {
        let start = &data[..data.floor_char_boundary(80)];
        ModelError::nonsense(format!("an event that is not what it should be ({error}): {start}"))
    })
}

/// The calls of a reply as they are numbered, named and limited.
struct Calls {
    turn: u32,
    limits: ReplyLimits,
    list: Vec<ToolCall>,
}

impl Calls {
    fn new(turn: u32, limits: ReplyLimits) -> Self {
        Self { turn, limits, list: Vec::new() }
    }

    /// Adds a whole call under the next of our own ids.
    fn add(&mut self, tool: &str, arguments: String) -> Result<&ToolCall, ModelError> {
        let index = self.list.len();
        if index >= self.limits.calls {
            return Err(ModelError::nonsense(format!("more than {} tool calls", self.limits.calls)));
        }
        if arguments.len() > self.limits.argument_bytes {
            return Err(ModelError::nonsense(format!("arguments of more than {} bytes", self.limits.argument_bytes)));
        }
        let tool = sound_name(tool).ok_or_else(|| ModelError::nonsense("a tool call without a name"))?;
        self.list.push(ToolCall { call: CallId::new(self.turn, index), tool, arguments });
        Ok(&self.list[index])
    }
}

/// A tool's name in the alphabet that providers take back: a name with anything else in it would
/// make every later request invalid.
fn sound_name(name: &str) -> Option<String> {
    let sound = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    let name: String = name.trim().chars().take(64).map(sound).collect();
    (!name.is_empty()).then_some(name)
}
