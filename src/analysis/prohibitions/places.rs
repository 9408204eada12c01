//! Paths in a sentence, and the words that may stand beside them without speaking of something else.

use regex::Regex;
use std::{ops::Range, sync::LazyLock};

static PATH: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"[`"']?((?:\.{1,2}/)?[\w.@*{}\[\]-]+(?:/[\w.@*{},\[\]-]+)*/?)[`"']?"#)
        .expect("the pattern is a constant")
});

/// A path in a text.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    /// With its quotes.
    pub(super) range: Range<usize>,
    pub(super) path: &'a str,
}

/// The paths in a text, in its order.
pub(super) fn places(text: &str) -> impl Iterator<Item = Place<'_>> {
    PATH.captures_iter(text).filter_map(|word| {
        let whole = word.get(0)?;
        let path = word.get(1)?.as_str().trim_start_matches("./").trim_end_matches(['.', ',']);
        is_path(path, whole.as_str().starts_with('`')).then(|| Place { range: whole.range(), path })
    })
}

/// The glob of all that a path stands for.
pub(super) fn glob_of(path: &str) -> String {
    let directory = path.trim_end_matches('/');
    let last = directory.rsplit('/').next().unwrap_or(directory);
    let file = last.trim_start_matches('.').contains('.') || path.contains('*') || NAMES.contains(&last);
    if file && !path.ends_with('/') { directory.to_owned() } else { format!("{directory}/**") }
}

/// Nothing in this text speaks of something else than the path beside it.
pub(super) fn between(text: &str) -> bool {
    let words = text.split(|letter: char| !letter.is_alphanumeric());
    words.filter(|word| !word.is_empty()).all(|word| BETWEEN.contains(&word.to_lowercase().as_str()))
}

/// The same, where further words for changing it may stand: "modify or delete".
pub(super) fn between_verbs(text: &str) -> bool {
    let words = || text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    let joins = text.contains(',') || words().any(|word| ["or", "and", "nor"].contains(&word));
    words().all(|word| {
        between(word) || (joins && (VERB.is_match(word) || ["otherwise", "even", "either"].contains(&word)))
    })
}

/// Words for changing a file as a whole.
static VERB: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?i:touch|chang|modif|edit|alter|updat|delet|remov|renam|mov|rewrit|reformat|refactor|format|overwrit|replac|regenerat)(?:e|y|es|ing|ying)?$")
        .expect("the pattern is a constant")
});

/// Words that may stand between what forbids and the path that is forbidden.
const BETWEEN: &[&str] = &[
    "a",
    "all",
    "alle",
    "also",
    "an",
    "and",
    "any",
    "anything",
    "auch",
    "below",
    "bitte",
    "but",
    "change",
    "changes",
    "code",
    "consider",
    "contents",
    "das",
    "datei",
    "dateien",
    "den",
    "der",
    "die",
    "directory",
    "edits",
    "entferne",
    "everything",
    "existing",
    "fass",
    "fasse",
    "fasst",
    "file",
    "files",
    "folder",
    "generated",
    "im",
    "in",
    "inside",
    "kind",
    "keep",
    "lass",
    "lasse",
    "lasst",
    "leave",
    "lösche",
    "bearbeite",
    "module",
    "modifications",
    "my",
    "nicht",
    "nichts",
    "no",
    "nor",
    "of",
    "or",
    "ordner",
    "our",
    "please",
    "regard",
    "rühr",
    "rühre",
    "the",
    "these",
    "this",
    "to",
    "treat",
    "und",
    "under",
    "unter",
    "verschiebe",
    "verzeichnis",
    "whole",
    "within",
    "änder",
    "ändere",
    "ändern",
    "änderst",
];

/// A word that is a path: it has a slash or an extension that files have.
fn is_path(word: &str, quoted: bool) -> bool {
    if word.starts_with("..")
        || word.len() < 2
        || word.contains("//")
        || word.chars().all(|letter| !letter.is_alphanumeric())
    {
        return false;
    }
    let choices = [
        "and/or",
        "either/or",
        "n/a",
        "input/output",
        "read/write",
        "client/server",
        "und/oder",
        "i/o",
        "true/false",
        "yes/no",
    ];
    if word.contains('/') {
        return !choices.contains(&word.to_lowercase().as_str());
    }
    let extension =
        word.rsplit_once('.').filter(|(stem, _)| !stem.is_empty() || word.len() > 4).map(|(_, extension)| extension);
    let extends = extension.is_some_and(|extension| {
        (1..=6).contains(&extension.len())
            && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && extension.bytes().any(|byte| byte.is_ascii_alphabetic())
    });
    let version = word.starts_with(|letter: char| letter.is_ascii_digit());
    let short =
        matches!(word.to_lowercase().as_str(), "e.g" | "i.e" | "node.js" | "next.js" | "vue.js" | "z.b" | "d.h");
    // A call such as `a.b` in quotes is a name in code more often than a file.
    let code = quoted && extension.is_some_and(|extension| !FILES.contains(&extension));
    (extends && !version && !short && !code && extension.is_some_and(|extension| quoted || FILES.contains(&extension)))
        || NAMES.contains(&word)
}

/// Files without an extension.
const NAMES: &[&str] =
    &["Makefile", "Dockerfile", "LICENSE", "Gemfile", "Rakefile", "Justfile", "justfile", "CODEOWNERS"];

/// Extensions that make a word without a slash a file.
const FILES: &[&str] = &[
    "rs", "py", "go", "js", "jsx", "ts", "tsx", "mjs", "cjs", "java", "kt", "kts", "c", "h", "cc", "cpp", "hpp", "cs",
    "rb", "php", "swift", "scala", "ex", "exs", "hs", "sh", "sql", "html", "css", "scss", "vue", "svelte", "md", "rst",
    "txt", "yml", "yaml", "json", "toml", "lock", "xml", "proto", "ini", "cfg", "conf", "env", "mod", "sum", "gradle",
    "lua", "zig", "dart",
];
