//! Languages, entry points, and how files are named and laid out, by counting.

use super::{
    brief::plain,
    manifests::{Repository, extension, is_python_test},
};
use crate::domain::brief::Language;
use std::collections::BTreeMap;

const LANGUAGES: &[(&str, &[&str])] = &[
    ("Rust", &["rs"]),
    ("Python", &["py", "pyi"]),
    ("Go", &["go"]),
    ("TypeScript", &["ts", "tsx", "mts", "cts"]),
    ("JavaScript", &["js", "jsx", "mjs", "cjs"]),
    ("Java", &["java"]),
    ("Kotlin", &["kt", "kts"]),
    ("C", &["c", "h"]),
    ("C++", &["cc", "cpp", "cxx", "hpp", "hh"]),
    ("C#", &["cs"]),
    ("Ruby", &["rb"]),
    ("PHP", &["php"]),
    ("Swift", &["swift"]),
    ("Scala", &["scala"]),
    ("Elixir", &["ex", "exs"]),
    ("Haskell", &["hs"]),
    ("Lua", &["lua"]),
    ("Shell", &["sh", "bash"]),
    ("SQL", &["sql"]),
    ("HTML", &["html", "htm"]),
    ("CSS", &["css", "scss", "less"]),
    ("Vue", &["vue"]),
    ("Svelte", &["svelte"]),
    ("Markdown", &["md"]),
    ("YAML", &["yml", "yaml"]),
    ("JSON", &["json"]),
    ("TOML", &["toml"]),
];
const SHOWN_MAX: usize = 8;
/// Words about data and prose come last, however many files they have.
const NOT_CODE: &[&str] = &["Markdown", "YAML", "JSON", "TOML"];

/// Most files first.
pub(super) fn languages(paths: &[&str]) -> Vec<Language> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for path in paths {
        let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
        if let Some((name, _)) = LANGUAGES.iter().find(|(_, extensions)| extensions.contains(&extension)) {
            *counts.entry(name).or_default() += 1;
        }
    }
    let mut languages: Vec<Language> =
        counts.into_iter().map(|(name, files)| Language { name: name.to_owned(), files }).collect();
    languages.sort_by_key(|language| {
        (NOT_CODE.contains(&language.name.as_str()), std::cmp::Reverse(language.files), language.name.clone())
    });
    languages
}

pub(super) fn language_line(languages: &[Language]) -> String {
    if languages.is_empty() {
        return "none known".to_owned();
    }
    let shown = languages.iter().take(SHOWN_MAX).map(|language| format!("{} {}", language.name, language.files));
    shown.collect::<Vec<_>>().join(", ")
}

const ENTRIES: &[&str] = &[
    "src/main.rs",
    "src/lib.rs",
    "main.go",
    "manage.py",
    "main.py",
    "app.py",
    "src/main.py",
    "src/app.py",
    "index.js",
    "server.js",
    "src/index.js",
    "src/index.ts",
    "src/main.ts",
    "src/server.ts",
    "src/app.ts",
    "index.ts",
    "main.c",
    "src/main.c",
    "src/main.cpp",
];

/// Files where programs start, as far as names tell, in quotes.
pub(super) fn entry_points(repository: &Repository<'_>) -> Vec<String> {
    let by_name = ENTRIES.iter().copied().filter(|path| repository.has(path));
    let by_place = repository.paths.iter().copied().filter(|path| {
        (path.starts_with("src/bin/") && extension(path) == "rs")
            || (path.starts_with("cmd/") && path.ends_with("/main.go"))
            || path.ends_with("/__main__.py")
    });
    by_name.chain(by_place).take(SHOWN_MAX).map(|path| format!("`{}`", plain(path, 120))).collect()
}

/// Naming of files and place of tests, with counts.
pub(super) fn habits(paths: &[&str]) -> Vec<String> {
    let mut styles: BTreeMap<&'static str, u32> = BTreeMap::new();
    let mut places: BTreeMap<String, u32> = BTreeMap::new();
    for path in paths {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some((stem, extension)) = name.rsplit_once('.') else { continue };
        let code =
            LANGUAGES.iter().any(|(name, extensions)| !NOT_CODE.contains(name) && extensions.contains(&extension));
        if !code {
            continue;
        }
        if let Some(style) = style(stem.split('.').next().unwrap_or(stem)) {
            *styles.entry(style).or_default() += 1;
        }
        if let Some(place) = test_place(directory, name, stem) {
            *places.entry(place).or_default() += 1;
        }
    }
    let mut habits = Vec::new();
    let mut styles: Vec<(&str, u32)> = styles.into_iter().collect();
    styles.sort_by_key(|(style, count)| (std::cmp::Reverse(*count), *style));
    if !styles.is_empty() {
        let named = styles.iter().take(3).map(|(style, count)| format!("{style} ({count})")).collect::<Vec<_>>();
        habits.push(format!("file names in {}", named.join(", ")));
    }
    let mut places: Vec<(String, u32)> = places.into_iter().collect();
    places.sort_by_key(|(place, count)| (std::cmp::Reverse(*count), place.clone()));
    habits.extend(places.into_iter().take(3).map(|(place, count)| format!("{count} test files {place}")));
    habits
}

fn style(stem: &str) -> Option<&'static str> {
    let upper = stem.starts_with(|letter: char| letter.is_ascii_uppercase());
    let any_upper = stem.bytes().any(|byte| byte.is_ascii_uppercase());
    match (stem.contains('_'), stem.contains('-'), upper, any_upper) {
        (true, false, _, false) => Some("snake_case"),
        (false, true, _, false) => Some("kebab-case"),
        (false, false, true, _) => Some("PascalCase"),
        (false, false, false, true) => Some("camelCase"),
        _ => None,
    }
}

fn test_place(directory: &str, name: &str, stem: &str) -> Option<String> {
    let marked =
        is_python_test(name) || [".test", ".spec", "_test", "_spec", "Test"].iter().any(|end| stem.ends_with(end));
    let parts: Vec<&str> = directory.split('/').collect();
    let at = parts.iter().position(|part| matches!(*part, "test" | "tests" | "__tests__" | "spec"));
    match at {
        Some(at) => Some(format!("in `{}/`", plain(&parts[..=at].join("/"), 80))),
        None if marked => Some("beside the code".to_owned()),
        None => None,
    }
}
