//! The one table of languages: which files, which grammar, which nodes define and name things,
//! and what is counted to tell how code is written.

use crate::index::Kind;
use tree_sitter::Language as Grammar;

/// How the name of a definition is found from its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// The field of this name.
    Field(&'static str),
    /// Down the `declarator` fields to an identifier (C and C++).
    Declarator,
    /// The first child of this kind.
    Child(&'static str),
    /// The field, where the node's value is a function or a class, or the name is in capitals.
    Assigned(&'static str),
}

/// A kind of node that defines something.
pub(crate) struct Defines {
    pub(crate) node: &'static str,
    pub(crate) kind: Kind,
    pub(crate) name: Name,
    /// Only where it has a `body` field.
    pub(crate) with_body: bool,
}

/// Who sees a definition from outside of its file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Exported {
    /// What begins with this word.
    Signature(&'static str),
    /// What does not begin with this word.
    NotSignature(&'static str),
    /// What does not begin with `_`.
    NoUnderscore,
    /// What begins with a capital letter.
    Capital,
    /// What stands in an export statement.
    Statement,
    All,
}

/// Something counted for "how this code base writes things".
pub(crate) enum Counts {
    /// Nodes of a kind.
    Node(&'static str, &'static str),
    /// Nodes of a kind with exactly this text.
    Text(&'static str, &'static str, &'static str),
    /// Identifiers.
    Word(&'static str, &'static str),
}

pub(crate) struct Language {
    pub(crate) name: &'static str,
    /// Names of one family mean each other's definitions.
    pub(crate) family: u8,
    pub(crate) extensions: &'static [&'static str],
    pub(crate) grammar: fn() -> Grammar,
    pub(crate) defines: &'static [Defines],
    /// Nodes that give what is defined in them a name: (node, field).
    pub(crate) holders: &'static [(&'static str, &'static str)],
    pub(crate) exported: Exported,
    pub(crate) counts: &'static [Counts],
    /// Whether quotes and semicolons are a matter of taste.
    pub(crate) quotes: bool,
    pub(crate) semicolons: bool,
}

const fn field(node: &'static str, kind: Kind) -> Defines {
    Defines { node, kind, name: Name::Field("name"), with_body: false }
}

const fn bodied(node: &'static str, kind: Kind) -> Defines {
    Defines { node, kind, name: Name::Field("name"), with_body: true }
}

const fn named(node: &'static str, kind: Kind, name: Name) -> Defines {
    Defines { node, kind, name, with_body: false }
}

const RUST: &[Defines] = &[
    field("function_item", Kind::Function),
    field("function_signature_item", Kind::Function),
    field("struct_item", Kind::Type),
    field("enum_item", Kind::Type),
    field("union_item", Kind::Type),
    field("trait_item", Kind::Type),
    field("type_item", Kind::Type),
    field("const_item", Kind::Constant),
    field("static_item", Kind::Constant),
    field("macro_definition", Kind::Macro),
];
const PYTHON: &[Defines] = &[
    field("function_definition", Kind::Function),
    field("class_definition", Kind::Type),
    named("assignment", Kind::Constant, Name::Assigned("left")),
];
const JAVASCRIPT: &[Defines] = &[
    field("function_declaration", Kind::Function),
    field("generator_function_declaration", Kind::Function),
    field("method_definition", Kind::Function),
    field("class_declaration", Kind::Type),
    named("variable_declarator", Kind::Constant, Name::Assigned("name")),
    named("assignment_expression", Kind::Constant, Name::Assigned("left")),
];
const TYPESCRIPT: &[Defines] = &[
    field("function_declaration", Kind::Function),
    field("generator_function_declaration", Kind::Function),
    field("function_signature", Kind::Function),
    field("method_definition", Kind::Function),
    field("abstract_method_signature", Kind::Function),
    field("class_declaration", Kind::Type),
    field("abstract_class_declaration", Kind::Type),
    field("interface_declaration", Kind::Type),
    field("type_alias_declaration", Kind::Type),
    field("enum_declaration", Kind::Type),
    named("variable_declarator", Kind::Constant, Name::Assigned("name")),
    named("assignment_expression", Kind::Constant, Name::Assigned("left")),
];
const TYPESCRIPT_HOLDERS: &[(&str, &str)] = &[
    ("class_declaration", "name"),
    ("abstract_class_declaration", "name"),
    ("interface_declaration", "name"),
    ("internal_module", "name"),
];
const GO: &[Defines] = &[
    field("function_declaration", Kind::Function),
    field("method_declaration", Kind::Function),
    field("type_spec", Kind::Type),
    field("type_alias", Kind::Type),
    field("const_spec", Kind::Constant),
    field("var_spec", Kind::Constant),
];
const JAVA: &[Defines] = &[
    field("class_declaration", Kind::Type),
    field("interface_declaration", Kind::Type),
    field("enum_declaration", Kind::Type),
    field("record_declaration", Kind::Type),
    field("annotation_type_declaration", Kind::Type),
    field("method_declaration", Kind::Function),
    field("constructor_declaration", Kind::Function),
];
const C: &[Defines] = &[
    named("function_definition", Kind::Function, Name::Declarator),
    bodied("struct_specifier", Kind::Type),
    bodied("union_specifier", Kind::Type),
    bodied("enum_specifier", Kind::Type),
    named("type_definition", Kind::Type, Name::Declarator),
    field("preproc_function_def", Kind::Macro),
];
const CPP: &[Defines] = &[
    named("function_definition", Kind::Function, Name::Declarator),
    bodied("class_specifier", Kind::Type),
    bodied("struct_specifier", Kind::Type),
    bodied("union_specifier", Kind::Type),
    bodied("enum_specifier", Kind::Type),
    named("type_definition", Kind::Type, Name::Declarator),
    field("alias_declaration", Kind::Type),
    field("preproc_function_def", Kind::Macro),
];
const RUBY: &[Defines] = &[
    field("method", Kind::Function),
    field("singleton_method", Kind::Function),
    field("class", Kind::Type),
    field("module", Kind::Type),
    named("assignment", Kind::Constant, Name::Child("constant")),
];

const SCRIPT_COUNTS: &[Counts] = &[
    Counts::Node("throw_statement", "throw"),
    Counts::Node("catch_clause", "try/catch"),
    Counts::Node("await_expression", "await"),
    Counts::Word("catch", ".catch()"),
    Counts::Word("Promise", "Promise"),
    Counts::Word("require", "require()"),
    Counts::Node("import_statement", "import"),
];
const C_COUNTS: &[Counts] = &[
    Counts::Node("goto_statement", "goto"),
    Counts::Word("errno", "errno"),
    Counts::Word("assert", "assert"),
    Counts::Node("throw_statement", "throw"),
    Counts::Node("catch_clause", "catch"),
];

pub(crate) const LANGUAGES: &[Language] = &[
    Language {
        name: "Rust",
        family: 0,
        extensions: &["rs"],
        grammar: || tree_sitter_rust::LANGUAGE.into(),
        defines: RUST,
        holders: &[("impl_item", "type"), ("trait_item", "name"), ("mod_item", "name")],
        exported: Exported::Signature("pub"),
        counts: &[
            Counts::Node("try_expression", "`?`"),
            Counts::Word("unwrap", "unwrap()"),
            Counts::Word("expect", "expect()"),
            Counts::Word("anyhow", "anyhow"),
            Counts::Word("bail", "bail!"),
            Counts::Word("thiserror", "thiserror"),
            Counts::Word("panic", "panic!"),
        ],
        quotes: false,
        semicolons: false,
    },
    Language {
        name: "Python",
        family: 1,
        extensions: &["py", "pyi"],
        grammar: || tree_sitter_python::LANGUAGE.into(),
        defines: PYTHON,
        holders: &[("class_definition", "name")],
        exported: Exported::NoUnderscore,
        counts: &[
            Counts::Node("raise_statement", "raise"),
            Counts::Node("except_clause", "except"),
            Counts::Text("except_clause", "except:", "bare except"),
            Counts::Node("type", "type annotations"),
            Counts::Node("assert_statement", "assert"),
        ],
        quotes: true,
        semicolons: false,
    },
    Language {
        name: "JavaScript",
        family: 2,
        extensions: &["js", "jsx", "mjs", "cjs"],
        grammar: || tree_sitter_javascript::LANGUAGE.into(),
        defines: JAVASCRIPT,
        holders: &[("class_declaration", "name")],
        exported: Exported::Statement,
        counts: SCRIPT_COUNTS,
        quotes: true,
        semicolons: true,
    },
    Language {
        name: "TypeScript",
        family: 2,
        extensions: &["ts", "mts", "cts"],
        grammar: || tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(),
        defines: TYPESCRIPT,
        holders: TYPESCRIPT_HOLDERS,
        exported: Exported::Statement,
        counts: SCRIPT_COUNTS,
        quotes: true,
        semicolons: true,
    },
    Language {
        name: "TypeScript",
        family: 2,
        extensions: &["tsx"],
        grammar: || tree_sitter_typescript::LANGUAGE_TSX.into(),
        defines: TYPESCRIPT,
        holders: TYPESCRIPT_HOLDERS,
        exported: Exported::Statement,
        counts: SCRIPT_COUNTS,
        quotes: true,
        semicolons: true,
    },
    Language {
        name: "Go",
        family: 3,
        extensions: &["go"],
        grammar: || tree_sitter_go::LANGUAGE.into(),
        defines: GO,
        holders: &[],
        exported: Exported::Capital,
        counts: &[
            Counts::Text("binary_expression", "err != nil", "`err != nil`"),
            Counts::Text("selector_expression", "fmt.Errorf", "fmt.Errorf"),
            Counts::Text("selector_expression", "errors.New", "errors.New"),
            Counts::Text("selector_expression", "errors.Is", "errors.Is"),
            Counts::Text("selector_expression", "errors.As", "errors.As"),
            Counts::Word("panic", "panic"),
        ],
        quotes: false,
        semicolons: false,
    },
    Language {
        name: "Java",
        family: 4,
        extensions: &["java"],
        grammar: || tree_sitter_java::LANGUAGE.into(),
        defines: JAVA,
        holders: &[
            ("class_declaration", "name"),
            ("interface_declaration", "name"),
            ("enum_declaration", "name"),
            ("record_declaration", "name"),
        ],
        exported: Exported::Signature("public"),
        counts: &[
            Counts::Node("throw_statement", "throw"),
            Counts::Node("throws", "throws"),
            Counts::Node("catch_clause", "catch"),
            Counts::Word("Optional", "Optional"),
        ],
        quotes: false,
        semicolons: false,
    },
    Language {
        name: "C",
        family: 5,
        extensions: &["c", "h"],
        grammar: || tree_sitter_c::LANGUAGE.into(),
        defines: C,
        holders: &[],
        exported: Exported::NotSignature("static"),
        counts: C_COUNTS,
        quotes: false,
        semicolons: false,
    },
    Language {
        name: "C++",
        family: 5,
        extensions: &["cc", "cpp", "cxx", "hpp", "hh", "hxx"],
        grammar: || tree_sitter_cpp::LANGUAGE.into(),
        defines: CPP,
        holders: &[("class_specifier", "name"), ("struct_specifier", "name"), ("namespace_definition", "name")],
        exported: Exported::NotSignature("static"),
        counts: C_COUNTS,
        quotes: false,
        semicolons: false,
    },
    Language {
        name: "Ruby",
        family: 6,
        extensions: &["rb", "rake"],
        grammar: || tree_sitter_ruby::LANGUAGE.into(),
        defines: RUBY,
        holders: &[("class", "name"), ("module", "name")],
        exported: Exported::All,
        counts: &[Counts::Word("raise", "raise"), Counts::Node("rescue", "rescue"), Counts::Node("ensure", "ensure")],
        quotes: true,
        semicolons: false,
    },
];

/// Leaves that name something, in any of the languages.
pub(crate) const IDENTIFIERS: &[&str] = &[
    "identifier",
    "type_identifier",
    "field_identifier",
    "property_identifier",
    "private_property_identifier",
    "shorthand_property_identifier",
    "shorthand_field_identifier",
    "namespace_identifier",
    "package_identifier",
    "constant",
];

pub(crate) fn find(path: &str) -> Option<(usize, &'static Language)> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let (stem, extension) = name.rsplit_once('.')?;
    let known = LANGUAGES.iter().enumerate().find(|(_, language)| language.extensions.contains(&extension));
    known.filter(|_| !stem.is_empty())
}

/// The language that a file is outlined in, by its name.
pub fn language_of(path: &str) -> Option<&'static str> {
    find(path).map(|(_, language)| language.name)
}

/// Whether a file's syntax can be checked, by its name: the languages above, JSON and TOML.
pub fn can_be_checked(path: &str) -> bool {
    find(path).is_some() || crate::errors::is_data(path)
}
