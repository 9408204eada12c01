//! How files are written, by counting.

use crate::{
    grammar::Meaning,
    index::{Definition, Kind},
    table::Counts,
};
use std::collections::BTreeMap;

/// Lines of a file that are looked at for their indentation.
const LINES_MAX: usize = 5_000;

/// Counts by group and label, such as `("indentation", "4 spaces")`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Style {
    pub(crate) counts: BTreeMap<(&'static str, &'static str), u32>,
}

impl Style {
    fn count(&mut self, group: &'static str, label: &'static str) {
        *self.counts.entry((group, label)).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (key, count) in &other.counts {
            *self.counts.entry(*key).or_default() += count;
        }
    }

    /// Indentation: each file is written in the one that most of its steps inwards have.
    pub(crate) fn of_text(content: &[u8]) -> Self {
        let mut steps: BTreeMap<&'static str, u32> = BTreeMap::new();
        let mut before = 0;
        for line in content.split(|byte| *byte == b'\n').take(LINES_MAX) {
            let spaces = line.iter().take_while(|byte| **byte == b' ').count();
            match line.get(spaces) {
                None | Some(b'\r' | b'*') => continue,
                Some(b'\t') if spaces == 0 => *steps.entry("tabs").or_default() += 1,
                Some(_) => match spaces.checked_sub(before) {
                    Some(2) => *steps.entry("2 spaces").or_default() += 1,
                    Some(4) => *steps.entry("4 spaces").or_default() += 1,
                    Some(8) => *steps.entry("8 spaces").or_default() += 1,
                    _ => {}
                },
            }
            before = spaces;
        }
        let mut style = Self::default();
        if let Some((label, _)) = steps.into_iter().max_by_key(|(_, count)| *count) {
            style.count("indentation", label);
        }
        style
    }

    pub(crate) fn count_node(&mut self, counts: &'static [Counts], kind: &str, text: &[u8], meaning: Meaning) {
        if meaning.is_string {
            match text.iter().find(|byte| matches!(byte, b'\'' | b'"')) {
                Some(b'\'') => self.count("quotes", "single"),
                Some(_) => self.count("quotes", "double"),
                None => {}
            }
        }
        if meaning.is_statement {
            self.count("semicolons", if text.ends_with(b";") { "with" } else { "without" });
        }
        for counted in counts {
            match counted {
                Counts::Node(node, label) if *node == kind => self.count("errors", label),
                Counts::Text(node, exact, label) if *node == kind && text.starts_with(exact.as_bytes()) => {
                    self.count("errors", label);
                }
                Counts::Node(..) | Counts::Text(..) | Counts::Word(..) => {}
            }
        }
    }

    pub(crate) fn count_words(&mut self, counts: &'static [Counts], names: &BTreeMap<String, u32>) {
        for counted in counts {
            if let Counts::Word(word, label) = counted
                && let Some(count) = names.get(*word).filter(|count| **count > 0)
            {
                *self.counts.entry(("errors", label)).or_default() += count;
            }
        }
    }

    pub(crate) fn count_names(&mut self, definitions: &[Definition]) {
        for definition in definitions {
            let group = match definition.kind {
                Kind::Function => "functions",
                Kind::Type => "types",
                Kind::Constant => "constants",
                Kind::Macro => continue,
            };
            if let Some(form) = form(&definition.name) {
                self.count(group, form);
            }
        }
    }
}

/// How a name is written; `None` where it could be any.
fn form(name: &str) -> Option<&'static str> {
    let name = name.trim_matches('_');
    let upper = name.chars().any(char::is_uppercase);
    let lower = name.chars().any(char::is_lowercase);
    match (name.contains('_'), upper, lower, name.starts_with(char::is_uppercase)) {
        (_, true, false, _) if name.len() > 1 => Some("UPPER_CASE"),
        (true, false, true, _) => Some("snake_case"),
        (true, true, true, _) => Some("Mixed_Case"),
        (false, true, true, true) => Some("PascalCase"),
        (false, true, true, false) => Some("camelCase"),
        _ => None,
    }
}
