//! One file: what it defines, what it names, how it is written.

use crate::{
    grammar::{Grammar, Meaning},
    index::{Definition, Kind},
    style::Style,
    table::{Defines, Exported, Name},
};
use std::{collections::BTreeMap, ops::ControlFlow, time::Instant};
use tree_sitter::{Node, ParseOptions, Tree};

/// Of one file.
const DEFINITIONS_MAX: usize = 1_000;
const NAMES_MAX: usize = 4_000;
const NODES_MAX: u32 = 2_000_000;
/// Of names and signatures.
const NAME_BYTES_MAX: usize = 80;
const SIGNATURE_LETTERS_MAX: usize = 140;
/// How far down a declarator may lie.
const DECLARATORS_MAX: usize = 16;

pub(crate) struct Outline {
    pub(crate) definitions: Vec<Definition>,
    /// Identifiers with how often each stands there, those of definitions left out.
    pub(crate) names: BTreeMap<String, u32>,
    pub(crate) style: Style,
}

/// Parses until `until`; `None` where that was not enough.
pub(crate) fn parse(grammar: &mut Grammar, content: &[u8], until: Instant) -> Option<Tree> {
    grammar.parser.reset();
    let mut go_on = |_: &tree_sitter::ParseState| {
        if Instant::now() > until { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let options = ParseOptions::new().progress_callback(&mut go_on);
    let mut rest = |at: usize, _| content.get(at..).unwrap_or_default();
    grammar.parser.parse_with_options(&mut rest, None, Some(options))
}

/// What stands open around a node.
struct Around {
    depth: usize,
    opens: Opens,
}

enum Opens {
    Holder(String),
    Function,
    Export,
}

pub(crate) fn outline(grammar: &mut Grammar, content: &[u8], until: Instant) -> Option<Outline> {
    let tree = parse(grammar, content, until)?;
    let mut walk = Walk {
        grammar,
        content,
        around: Vec::new(),
        outline: Outline { definitions: Vec::new(), names: BTreeMap::new(), style: Style::of_text(content) },
    };
    walk.all(&tree);
    let mut outline = walk.outline;
    for definition in &outline.definitions {
        if let Some(count) = outline.names.get_mut(&definition.name) {
            *count = count.saturating_sub(1);
        }
    }
    outline.names.retain(|_, count| *count > 0);
    outline.style.count_words(grammar.language.counts, &outline.names);
    outline.style.count_names(&outline.definitions);
    Some(outline)
}

struct Walk<'a> {
    grammar: &'a Grammar,
    content: &'a [u8],
    around: Vec<Around>,
    outline: Outline,
}

impl<'a> Walk<'a> {
    /// Without recursion: how deep code is nested is its author's choice.
    fn all(&mut self, tree: &'a Tree) {
        let mut cursor = tree.walk();
        let mut depth = 0;
        for _ in 0..NODES_MAX {
            self.visit(cursor.node(), depth);
            if cursor.goto_first_child() {
                depth += 1;
                continue;
            }
            loop {
                while self.around.last().is_some_and(|around| around.depth >= depth) {
                    self.around.pop();
                }
                if cursor.goto_next_sibling() {
                    break;
                }
                if !cursor.goto_parent() {
                    return;
                }
                depth -= 1;
            }
        }
    }

    fn visit(&mut self, node: Node<'a>, depth: usize) {
        let meaning = self.grammar.meaning(node.kind_id());
        if meaning.is_identifier {
            self.name(node);
        }
        if meaning.is_counted || meaning.is_string || meaning.is_statement {
            let text = self.content.get(node.byte_range()).unwrap_or_default();
            self.outline.style.count_node(self.grammar.language.counts, node.kind(), text, meaning);
        }
        let defined = meaning.defines.and_then(|defines| self.define(node, defines));
        if defined == Some(Kind::Function) {
            self.around.push(Around { depth, opens: Opens::Function });
        }
        self.hold(node, depth, meaning);
    }

    fn hold(&mut self, node: Node<'a>, depth: usize, meaning: Meaning) {
        if meaning.is_export {
            self.around.push(Around { depth, opens: Opens::Export });
        }
        if let Some(field) = meaning.holder
            && let Some(name) = node.child_by_field_name(field).and_then(|name| self.text(name))
        {
            let name = name.split(['<', '\n']).next().unwrap_or_default().trim().to_owned();
            self.around.push(Around { depth, opens: Opens::Holder(name) });
        }
    }

    fn text(&self, node: Node<'_>) -> Option<&'a str> {
        let text = std::str::from_utf8(self.content.get(node.byte_range())?).ok()?;
        (!text.is_empty() && text.len() <= NAME_BYTES_MAX).then_some(text)
    }

    fn name(&mut self, node: Node<'_>) {
        let Some(name) = self.text(node) else { return };
        let names = &mut self.outline.names;
        if let Some(count) = names.get_mut(name) {
            *count += 1;
        } else if names.len() < NAMES_MAX {
            names.insert(name.to_owned(), 1);
        }
    }

    /// Records a definition; what stands in a function's body is its own matter.
    fn define(&mut self, node: Node<'a>, defines: &Defines) -> Option<Kind> {
        let inside = self.around.iter().any(|around| matches!(around.opens, Opens::Function));
        if inside || (defines.with_body && node.child_by_field_name("body").is_none()) {
            return None;
        }
        let named = named(node, defines.name)?;
        let name = self.text(named)?.to_owned();
        let value = node.child_by_field_name("value").or_else(|| node.child_by_field_name("right"));
        let kind = match defines.name {
            Name::Assigned(_) => assigned(&name, value)?,
            _ => defines.kind,
        };
        let (holder, exported) = self.surroundings();
        let signature = self.signature(node, value, kind);
        let exported = match self.grammar.language.exported {
            Exported::Signature(word) => signature.starts_with(word),
            Exported::NotSignature(word) => !signature.starts_with(word),
            Exported::NoUnderscore => !name.starts_with('_'),
            Exported::Capital => name.starts_with(char::is_uppercase),
            Exported::Statement => exported,
            Exported::All => true,
        };
        if self.outline.definitions.len() < DEFINITIONS_MAX {
            let line = |row: usize| u32::try_from(row).unwrap_or(u32::MAX).saturating_add(1);
            self.outline.definitions.push(Definition {
                name,
                kind,
                line: line(named.start_position().row),
                end: line(node.end_position().row),
                signature,
                holder,
                exported,
                users: 0,
                score: 0,
            });
        }
        Some(kind)
    }

    fn surroundings(&self) -> (Option<String>, bool) {
        let mut holder = None;
        let mut exported = false;
        for around in self.around.iter().rev() {
            match &around.opens {
                Opens::Holder(name) if holder.is_none() => holder = Some(name.clone()),
                Opens::Export => exported = true,
                Opens::Holder(_) | Opens::Function => {}
            }
        }
        (holder, exported)
    }

    /// The definition up to its body, on one line.
    fn signature(&self, node: Node<'_>, value: Option<Node<'_>>, kind: Kind) -> String {
        let body =
            node.child_by_field_name("body").or_else(|| value.and_then(|value| value.child_by_field_name("body")));
        let end = body.map_or(node.end_byte(), |body| body.start_byte());
        let text = self.content.get(node.start_byte()..end).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[..text.len().min(SIGNATURE_LETTERS_MAX * 8)]);
        let text =
            if body.is_none() && kind != Kind::Function { text.lines().next().unwrap_or_default() } else { &text };
        let mut signature = String::new();
        for word in text.split_whitespace() {
            if !signature.is_empty() {
                signature.push(' ');
            }
            signature.push_str(word);
        }
        let cut = signature.trim_end_matches(['{', ':', '=', ' ', '\u{fffd}']);
        if cut.chars().count() <= SIGNATURE_LETTERS_MAX {
            return cut.to_owned();
        }
        let mut short: String = cut.chars().take(SIGNATURE_LETTERS_MAX - 1).collect();
        short.push('…');
        short
    }
}

fn named(node: Node<'_>, name: Name) -> Option<Node<'_>> {
    match name {
        Name::Field(field) => node.child_by_field_name(field),
        Name::Child(kind) => {
            let mut cursor = node.walk();
            node.named_children(&mut cursor).next().filter(|child| child.kind() == kind)
        }
        Name::Assigned(field) => {
            let target = node.child_by_field_name(field)?;
            match target.kind() {
                "identifier" => Some(target),
                "member_expression" => target.child_by_field_name("property"),
                _ => None,
            }
        }
        Name::Declarator => {
            let mut here = node;
            for _ in 0..DECLARATORS_MAX {
                here = match here.kind() {
                    "identifier" | "field_identifier" | "type_identifier" | "operator_name" | "destructor_name" => {
                        return Some(here);
                    }
                    "qualified_identifier" => here.child_by_field_name("name")?,
                    "parenthesized_declarator" | "reference_declarator" => here.named_child(0)?,
                    _ => here.child_by_field_name("declarator")?,
                };
            }
            None
        }
    }
}

/// What an assignment defines: functions, classes and constants; anything else is a variable.
fn assigned(name: &str, value: Option<Node<'_>>) -> Option<Kind> {
    match value.map(|value| value.kind()) {
        Some("arrow_function" | "function_expression" | "function" | "generator_function") => Some(Kind::Function),
        Some("class" | "class_expression") => Some(Kind::Type),
        _ => {
            let shouted = name.len() > 2 && name.chars().all(|c| c.is_uppercase() || c.is_numeric() || c == '_');
            shouted.then_some(Kind::Constant)
        }
    }
}
