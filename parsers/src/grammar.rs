//! The table made ready for walking: what each of a grammar's node kinds means, by number.

use crate::table::{Counts, Defines, IDENTIFIERS, LANGUAGES, Language};
use std::collections::{BTreeMap, btree_map::Entry};
use tree_sitter::Parser;

/// What a kind of node means.
#[derive(Clone, Copy, Default)]
pub(crate) struct Meaning {
    pub(crate) defines: Option<&'static Defines>,
    /// The field that names what the node holds.
    pub(crate) holder: Option<&'static str>,
    pub(crate) is_identifier: bool,
    pub(crate) is_export: bool,
    pub(crate) is_string: bool,
    pub(crate) is_statement: bool,
    /// There is something to count about it.
    pub(crate) is_counted: bool,
}

/// A language with its parser.
pub(crate) struct Grammar {
    pub(crate) language: &'static Language,
    pub(crate) parser: Parser,
    meanings: Vec<Meaning>,
}

impl Grammar {
    fn new(language: &'static Language) -> Option<Self> {
        let grammar = (language.grammar)();
        let mut parser = Parser::new();
        parser.set_language(&grammar).ok()?;
        let count = u16::try_from(grammar.node_kind_count()).unwrap_or(u16::MAX);
        let meaning = |id: u16| {
            let kind = grammar.node_kind_for_id(id).filter(|_| grammar.node_kind_is_named(id)).unwrap_or_default();
            Meaning {
                defines: language.defines.iter().find(|defines| defines.node == kind),
                holder: language.holders.iter().find(|(node, _)| *node == kind).map(|(_, field)| *field),
                is_identifier: IDENTIFIERS.contains(&kind),
                is_export: kind == "export_statement",
                is_string: language.quotes && kind == "string",
                is_statement: language.semicolons
                    && matches!(kind, "expression_statement" | "lexical_declaration" | "return_statement"),
                is_counted: language.counts.iter().any(|counts| match counts {
                    Counts::Node(node, _) | Counts::Text(node, ..) => *node == kind,
                    Counts::Word(..) => false,
                }),
            }
        };
        Some(Self { language, parser, meanings: (0..count).map(meaning).collect() })
    }

    pub(crate) fn meaning(&self, id: u16) -> Meaning {
        self.meanings.get(usize::from(id)).copied().unwrap_or_default()
    }
}

/// One worker's parsers, each made when it is first needed.
#[derive(Default)]
pub(crate) struct Grammars(BTreeMap<usize, Grammar>);

impl Grammars {
    /// `number` is the language's place in the table.
    pub(crate) fn get(&mut self, number: usize) -> Option<&mut Grammar> {
        match self.0.entry(number) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(vacant) => Some(vacant.insert(Grammar::new(LANGUAGES.get(number)?)?)),
        }
    }
}
