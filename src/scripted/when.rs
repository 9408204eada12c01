//! When a rule plays: conditions on what the request holds.

use super::request::{Request, Seen};
use crate::domain::item::Wire;
use regex::Regex;
use serde::Deserialize;

/// All that is set must hold. "Texts" are what users and the server said: on some wires the two
/// cannot be told apart, so no condition does.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct When {
    /// Replies so far, since the scenario began.
    pub turn: Option<Range>,
    /// Tool results so far, since the scenario began.
    pub calls: Option<Range>,
    /// Each occurs in some text.
    pub contains: Option<Words>,
    /// Each occurs in the texts after the last reply.
    pub last_contains: Option<Words>,
    /// Matches the texts; its groups fill `{{1}}` and `{{name}}`.
    pub matches: Option<Pattern>,
    /// Matches the texts after the last reply; its groups fill `{{1}}` and `{{name}}`.
    pub last_matches: Option<Pattern>,
    pub instructions_contain: Option<Words>,
    /// The tool whose result came last.
    pub last_tool: Option<String>,
    /// Each occurs in the last result.
    pub last_output_contains: Option<Words>,
    /// Matches the last result; its groups fill `{{1}}` and `{{name}}`.
    pub last_output_matches: Option<Pattern>,
    /// Each occurs in some result.
    pub outputs_contain: Option<Words>,
    /// This tool is offered.
    pub offers: Option<String>,
    /// Whether any tool is offered: calls outside the loop carry none.
    pub tools: Option<bool>,
    pub wire: Option<Wire>,
    pub model: Option<String>,
}

/// `3`, or `{min, max}`, both included.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub enum Range {
    Exactly(u32),
    Between(Bounds),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    #[serde(default)]
    pub min: u32,
    #[serde(default = "no_bound")]
    pub max: u32,
}

fn no_bound() -> u32 {
    u32::MAX
}

/// One text or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Words {
    One(String),
    All(Vec<String>),
}

/// A regular expression, compiled once.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern(Regex);

impl TryFrom<String> for Pattern {
    type Error = regex::Error;

    fn try_from(text: String) -> Result<Self, regex::Error> {
        Regex::new(&text).map(Self)
    }
}

/// What patterns captured, by number and by name.
pub(super) type Captured = Vec<(String, String)>;

impl Range {
    fn holds(self, number: u32) -> bool {
        match self {
            Self::Exactly(wanted) => number == wanted,
            Self::Between(Bounds { min, max }) => (min..=max).contains(&number),
        }
    }
}

impl Words {
    /// Each occurs in one of the texts.
    fn all_in<'a, I: Iterator<Item = &'a str>>(&self, texts: impl Fn() -> I) -> bool {
        let words = match self {
            Self::One(word) => std::slice::from_ref(word),
            Self::All(words) => words,
        };
        words.iter().all(|word| texts().any(|text| text.contains(word.as_str())))
    }
}

impl Pattern {
    fn capture<'a>(&self, texts: impl Iterator<Item = &'a str>, captured: &mut Captured) -> bool {
        for text in texts {
            let Some(found) = self.0.captures(text) else { continue };
            let numbered = found.iter().enumerate().map(|(at, group)| (at.to_string(), group));
            let named = self.0.capture_names().flatten().map(|name| (name.to_owned(), found.name(name)));
            for (name, group) in numbered.chain(named) {
                captured.push((name, group.map_or("", |group| group.as_str()).to_owned()));
            }
            return true;
        }
        false
    }
}

impl When {
    /// Whether all conditions hold for what comes from item `start` on, and what their patterns
    /// captured.
    pub(super) fn holds(&self, request: &Request, start: usize) -> Option<Captured> {
        let mut captured = Captured::new();
        let items = &request.items[start..];
        let texts = || items.iter().filter_map(Seen::input);
        let news = || request.news().iter().filter_map(Seen::input);
        let outputs = || items.iter().filter_map(Seen::output);
        let last_output = || outputs().next_back().into_iter();
        let words = |wanted: &Option<Words>, holds: &dyn Fn(&Words) -> bool| wanted.as_ref().is_none_or(holds);
        let plain = self.turn.is_none_or(|range| range.holds(request.turn(start)))
            && self.calls.is_none_or(|range| range.holds(outputs().count() as u32))
            && words(&self.contains, &|w| w.all_in(texts))
            && words(&self.last_contains, &|w| w.all_in(news))
            && words(&self.instructions_contain, &|w| w.all_in(|| std::iter::once(request.instructions.as_str())))
            && words(&self.last_output_contains, &|w| w.all_in(last_output))
            && words(&self.outputs_contain, &|w| w.all_in(outputs))
            && self.last_tool.as_deref().is_none_or(|tool| request.last_tool() == Some(tool))
            && self.offers.as_ref().is_none_or(|tool| request.tools.contains(tool))
            && self.tools.is_none_or(|any| any != request.tools.is_empty())
            && self.wire.is_none_or(|wire| wire == request.wire)
            && self.model.as_ref().is_none_or(|model| *model == request.model);
        let mut pattern = |wanted: &Option<Pattern>, texts: &mut dyn Iterator<Item = &str>| {
            wanted.as_ref().is_none_or(|pattern| pattern.capture(texts, &mut captured))
        };
        let holds = plain
            && pattern(&self.matches, &mut texts())
            && pattern(&self.last_matches, &mut news())
            && pattern(&self.last_output_matches, &mut last_output());
        holds.then_some(captured)
    }
}
