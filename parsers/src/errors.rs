//! Syntax errors that a change has made: those of a file that it did not have before.

use crate::{batch::File, grammar::Grammars, outline::parse, table::find};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Instant};
use tree_sitter::{Node, Tree};

/// Of one file.
const ERRORS_MAX: usize = 200;
const SHOWN_MAX: usize = 5;
const LINE_LETTERS_MAX: usize = 160;
const NEAR_LETTERS_MAX: usize = 40;
/// Nodes that are looked at for errors; those without any below them are passed over.
const NODES_MAX: u32 = 500_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyntaxError {
    /// From 1.
    pub line: u32,
    pub column: u32,
    pub message: String,
    /// The line, cut.
    pub text: String,
}

/// What checking one file gave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The first of those that were not there before.
    pub errors: Vec<SyntaxError>,
    /// How many of those there are.
    pub new: u32,
    /// How many were there before.
    pub earlier: u32,
}

/// `None` where it could not be looked at in time.
pub(crate) fn check(grammars: &mut Grammars, file: &File<Vec<u8>>, until: Instant) -> Option<Checked> {
    let after = of(grammars, &file.path, &file.content, until)?;
    if after.is_empty() {
        return Some(Checked::default());
    }
    let mut before: BTreeMap<(String, String), u32> = BTreeMap::new();
    let mut earlier = 0;
    if let Some(content) = &file.before {
        for error in of(grammars, &file.path, content, until)? {
            *before.entry((error.message, error.text)).or_default() += 1;
            earlier += 1;
        }
    }
    let mut checked = Checked { earlier, ..Checked::default() };
    for error in after {
        match before.get_mut(&(error.message.clone(), error.text.clone())) {
            Some(left) if *left > 0 => *left -= 1,
            _ => {
                checked.new += 1;
                if checked.errors.len() < SHOWN_MAX {
                    checked.errors.push(error);
                }
            }
        }
    }
    Some(checked)
}

fn of(grammars: &mut Grammars, path: &str, content: &[u8], until: Instant) -> Option<Vec<SyntaxError>> {
    if is_data(path) {
        return Some(of_data(path, content).into_iter().collect());
    }
    let grammar = grammars.get(find(path)?.0)?;
    let tree = parse(grammar, content, until)?;
    Some(of_tree(&tree, content))
}

fn of_tree(tree: &Tree, content: &[u8]) -> Vec<SyntaxError> {
    let mut errors = Vec::new();
    let mut cursor = tree.walk();
    for _ in 0..NODES_MAX {
        let node = cursor.node();
        let wrong = node.is_error() || node.is_missing();
        if wrong {
            errors.push(error(node, content));
            if errors.len() == ERRORS_MAX {
                break;
            }
        }
        // What is inside of an error is its consequence.
        if !wrong && node.has_error() && cursor.goto_first_child() {
            continue;
        }
        loop {
            if cursor.goto_next_sibling() {
                break;
            }
            if !cursor.goto_parent() {
                return errors;
            }
        }
    }
    errors
}

fn error(node: Node<'_>, content: &[u8]) -> SyntaxError {
    let (first, last) = (node.start_position().row, node.end_position().row);
    let message = if node.is_missing() {
        format!("missing `{}`", node.kind())
    } else {
        let text = content.get(node.byte_range()).unwrap_or_default();
        let near = line_of(text.trim_ascii_start(), 0, NEAR_LETTERS_MAX);
        let at = if near.is_empty() { String::new() } else { format!(" at `{near}`") };
        // What the parser could make nothing of may begin long before the slip.
        let to = if last > first { format!(", up to line {}", last + 1) } else { String::new() };
        format!("syntax error{at}{to}")
    };
    at(node.start_position().row, node.start_position().column, message, content)
}

fn at(row: usize, column: usize, message: String, content: &[u8]) -> SyntaxError {
    let number = |from_zero: usize| u32::try_from(from_zero).unwrap_or(u32::MAX).saturating_add(1);
    SyntaxError { line: number(row), column: number(column), message, text: line_of(content, row, LINE_LETTERS_MAX) }
}

fn line_of(content: &[u8], row: usize, letters: usize) -> String {
    let line = content.split(|byte| *byte == b'\n').nth(row).unwrap_or_default();
    let line = String::from_utf8_lossy(&line[..line.len().min(letters * 4)]);
    line.trim().chars().take(letters).collect()
}

/// Whether a file is JSON or TOML. Those that are known to hold comments, as no JSON does, are not.
pub(crate) fn is_data(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let commented = name.starts_with("tsconfig") || name.starts_with("jsconfig") || name.starts_with("devcontainer");
    match name.rsplit_once('.') {
        Some((stem, "json")) => !stem.is_empty() && !commented && !path.split('/').any(|part| part == ".vscode"),
        Some((_, "toml")) => true,
        _ => name == "Cargo.lock",
    }
}

fn of_data(path: &str, content: &[u8]) -> Option<SyntaxError> {
    let Ok(text) = std::str::from_utf8(content) else {
        return Some(at(0, 0, "this is not UTF-8".to_owned(), content));
    };
    if path.rsplit('.').next() == Some("json") {
        // Whatever it holds: only its form is looked at.
        let wrong = serde_json::from_str::<serde::de::IgnoredAny>(text.trim_start_matches('\u{feff}')).err()?;
        let message = wrong.to_string();
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        return Some(at(wrong.line().saturating_sub(1), wrong.column().saturating_sub(1), message, content));
    }
    let wrong = toml::from_str::<serde::de::IgnoredAny>(text).err()?;
    let start = wrong.span().map_or(0, |span| span.start.min(text.len()));
    let before = text.get(..start).unwrap_or_default();
    let row = before.matches('\n').count();
    let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1);
    Some(at(row, column, wrong.message().to_owned(), content))
}
