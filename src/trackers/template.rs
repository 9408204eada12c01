//! Texts with places for what changes: `{status}`.

use regex::{Captures, Regex};
use std::sync::LazyLock;

/// What may stand in the template of an answer.
pub const NAMES: [&str; 6] = ["status", "plan", "summary", "checks", "cost", "links"];

/// What an answer says where its integration does not.
pub const USUAL: &str = "{status}\n\n{plan}\n\n{summary}\n\n{checks}\n\n{cost}\n\n{links}";

static PLACE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\{([a-z_]+)\}").ok());

/// The names in a template that are not known.
pub fn unknown(template: &str) -> Vec<String> {
    let names = PLACE.iter().flat_map(|place| place.captures_iter(template)).map(|found| found[1].to_owned());
    names.filter(|name| !NAMES.contains(&name.as_str())).collect()
}

/// A template with everything in its place. Where something is empty the blank lines around it become one.
pub fn filled(template: &str, value_of: impl Fn(&str) -> String) -> String {
    let value = |found: &Captures<'_>| value_of(&found[1]);
    let text = PLACE.as_ref().map_or(template.into(), |place| place.replace_all(template, value));
    let mut filled = String::with_capacity(text.len());
    let mut blank = 0;
    for line in text.trim().lines() {
        blank = if line.trim().is_empty() { blank + 1 } else { 0 };
        if blank < 2 {
            filled.push_str(line.trim_end());
            filled.push('\n');
        }
    }
    filled
}
