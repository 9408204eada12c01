//! Tool calls that a model wrote as text, because its server has no parser for its template.
//!
//! What is taken for a call has to be beyond doubt: the reply has no call of its own and was not
//! cut; the calls are the end of the reply, with nothing but calls after the first; they stand in
//! no code block, quotation or thought; the words before do not introduce an example; each names a
//! tool that was offered and has an object of arguments. Forms without a mark of their own (JSON
//! in a fence or by itself) must besides fit the tool's schema. All else stays text.
//!
//! Pure: the same text gives the same calls, and what goes back to the model is made once and
//! recorded, so that a resumed task has the same prompt. Start with [`calls`].

mod cursor;
mod forms;
mod place;
mod python;
mod rebuild;

use crate::domain::tool::ToolSpec;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub(super) use rebuild::apply;

/// Calls found in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where the calls begin: what stands before is what was said.
    pub at: usize,
    /// Tools and arguments; the arguments are JSON objects as text.
    pub calls: Vec<(String, String)>,
}

/// More calls in one text are not taken for calls.
const CALLS_MAX: usize = 32;
/// So many places in one text are tried.
const TRIES_MAX: usize = 128;

/// The tools that a request offered.
#[derive(Clone, Debug, Default)]
pub struct Offered(BTreeMap<String, Schema>);

#[derive(Clone, Debug, Default)]
struct Schema {
    /// Types by property, as the schema has them.
    properties: BTreeMap<String, Value>,
    required: Vec<String>,
}

impl Offered {
    pub fn new(tools: &[ToolSpec]) -> Self {
        let schema = |spec: &ToolSpec| {
            let schema: Value = serde_json::from_str(&spec.parameters).unwrap_or_default();
            let properties = schema["properties"].as_object().cloned().unwrap_or_default();
            let types = properties.into_iter().map(|(name, property)| (name, property["type"].clone()));
            let required = schema["required"].as_array().into_iter().flatten();
            Schema {
                properties: types.collect(),
                required: required.filter_map(Value::as_str).map(str::to_owned).collect(),
            }
        };
        Self(tools.iter().map(|spec| (spec.name.clone(), schema(spec))).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tool's own name where `name` is one, without the name space that some templates add.
    fn tool(&self, name: &str) -> Option<&str> {
        let name = name.trim();
        let bare = ["functions.", "default_api.", "tools."].iter().find_map(|space| name.strip_prefix(space));
        self.0.get_key_value(bare.unwrap_or(name)).map(|(name, _)| name.as_str())
    }

    /// Whether `arguments` have all that the tool demands and nothing that it does not know.
    fn fits(&self, tool: &str, arguments: &str) -> bool {
        let Some(schema) = self.0.get(tool) else { return false };
        let Ok(arguments) = serde_json::from_str::<Map<String, Value>>(arguments) else { return false };
        schema.required.iter().all(|name| arguments.contains_key(name))
            && arguments.keys().all(|name| schema.properties.contains_key(name))
    }

    /// A value that stands as bare text, as the tool's schema wants it.
    fn value(&self, tool: &str, name: &str, text: &str) -> Value {
        let wanted = self.0.get(tool).and_then(|schema| schema.properties.get(name));
        let takes_text = wanted.is_none_or(|kind| kind.is_null() || kind == "string");
        let plain = || Value::String(text.to_owned());
        if takes_text { plain() } else { serde_json::from_str(text.trim()).unwrap_or_else(|_| plain()) }
    }
}

/// The calls that end `text`, if it ends with any.
pub fn calls(text: &str, offered: &Offered) -> Option<Found> {
    if offered.is_empty() {
        return None;
    }
    let said_before = |found: &Found| &text[..found.at];
    let marked = forms::marked(text, offered).map(|found| (place::introduces_example(said_before(&found)), found));
    let (example, found) = marked.or_else(|| {
        forms::unmarked(text, offered).map(|found| (place::announces_example(said_before(&found)), found))
    })?;
    let sound = !found.calls.is_empty() && found.calls.len() <= CALLS_MAX;
    (sound && !example).then_some(found)
}
