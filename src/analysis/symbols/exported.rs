//! What files offer to those who use them, as far as an outline tells.

use super::{super::brief::plain, Symbols};
use parsers::{Definition, Kind};
use std::collections::BTreeMap;

/// Of one file; of one that has as many some may be missing, and nothing is said of it.
const OF_FILE_MAX: usize = 150;

/// A symbol that others can use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offered {
    /// With what it stands in: `Parser.read`.
    pub name: String,
    /// `function`, `type`, `constant` or `macro`.
    pub kind: &'static str,
    /// The declaration up to its body; of a constant nothing, for its value is in it.
    pub signature: String,
    pub line: u32,
}

/// Whether what a file says can be told from another version of it, by its name.
pub fn has_outline(path: &str) -> bool {
    parsers::language_of(path).is_some()
}

/// What each file offers that was outlined whole, by path.
pub fn offered(symbols: &Symbols) -> BTreeMap<&str, Vec<Offered>> {
    let files = symbols.index.files.iter().filter(|file| file.definitions.len() < OF_FILE_MAX);
    files
        .map(|file| {
            let all = file.definitions.iter().filter(|definition| is_offered(&file.language, definition));
            (symbols.path(file.file), all.map(offer).collect())
        })
        .collect()
}

fn is_offered(language: &str, definition: &Definition) -> bool {
    let Definition { name, signature, holder, .. } = definition;
    let holder = holder.as_deref().unwrap_or_default();
    let hidden = match language {
        "Rust" => signature.starts_with("pub("),
        "Go" => holder.trim_start_matches('*').starts_with(char::is_lowercase),
        "Python" => holder.starts_with('_'),
        _ => false,
    };
    definition.exported && !hidden && name != "main"
}

fn offer(definition: &Definition) -> Offered {
    let Definition { name, kind, signature, holder, line, .. } = definition;
    let name = match holder {
        Some(holder) => format!("{}.{}", plain(holder, 80), plain(name, 80)),
        None => plain(name, 80),
    };
    let word = match kind {
        Kind::Function => "function",
        Kind::Type => "type",
        Kind::Constant => "constant",
        Kind::Macro => "macro",
    };
    let signature = if *kind == Kind::Constant { String::new() } else { plain(signature, 200) };
    Offered { name, kind: word, signature, line: *line }
}
