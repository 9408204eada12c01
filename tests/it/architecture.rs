//! The rules about the code base that ARCHITECTURE.md names, held over the sources.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// Which rooms a room may import. Every room may import `domain`; every room but `domain` and
/// `agent` may import those of [`EVERYWHERE`].
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("agent", &[]),
    ("clock", &[]),
    ("shutdown", &[]),
    ("telemetry", &[]),
    ("net", &[]),
    ("secrets", &[]),
    ("postgres", &[]),
    ("llm", &["net"]),
    ("scripted", &[]),
    ("workspace", &["net", "secrets"]),
    ("egress", &["net", "secrets"]),
    ("analysis", &["workspace"]),
    ("checks", &["workspace"]),
    ("mcp", &["net", "workspace"]),
    ("tools", &["workspace", "analysis", "memory"]),
    ("store", &[]),
    ("objects", &["secrets"]),
    ("queue", &["store"]),
    ("memory", &["store", "llm"]),
    ("events", &["store"]),
    ("auth", &["store", "net"]),
    ("trackers", &["net", "secrets"]),
    (
        "runner",
        &[
            "agent",
            "llm",
            "tools",
            "mcp",
            "egress",
            "analysis",
            "checks",
            "workspace",
            "memory",
            "events",
            "store",
            "objects",
            "secrets",
        ],
    ),
    ("service", &["agent", "store", "objects", "memory", "auth", "secrets", "trackers"]),
    ("jobs", &["queue", "runner", "store", "objects", "workspace", "trackers", "memory", "net", "secrets", "service"]),
    ("api", &["service", "events", "auth", "trackers"]),
    ("dashboard", &[]),
];

/// Rooms that see everything.
const SEE_ALL: &[&str] = &["config", "app", "cli"];

const EVERYWHERE: &[&str] = &["clock", "shutdown", "telemetry"];

/// Crates that are some rooms' own.
const CRATES: &[(&str, &[&str])] = &[
    ("sqlx", &["store"]),
    ("axum", &["api", "dashboard", "scripted", "app"]),
    ("utoipa_axum", &["api", "dashboard", "app"]),
    ("tower_http", &["api", "dashboard", "scripted", "app"]),
    ("object_store", &["objects"]),
    ("bollard", &["workspace"]),
    ("kube", &["workspace"]),
    ("execd", &["workspace"]),
    ("parsers", &["analysis", "cli"]),
    // In the package `parsers` alone.
    ("tree_sitter", &[]),
    ("rmcp", &["mcp"]),
    ("rand", &["clock"]),
    ("anyhow", &["app", "cli"]),
];

/// A source file with comments, texts and characters blanked out, lines kept.
struct Source {
    /// Below the package, with `/`.
    path: String,
    text: String,
    code: String,
}

impl Source {
    fn room(&self) -> Option<&str> {
        let below = self.path.strip_prefix("src/")?;
        below.split_once('/').map(|(room, _)| room)
    }

    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// The sources below these directories, each read once for all tests.
fn sources(below: &[&str]) -> Vec<&'static Source> {
    static ALL: LazyLock<Vec<Source>> = LazyLock::new(|| {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut paths = Vec::new();
        for dir in ["src", "execd/src", "parsers/src", "tests"] {
            collect(&package.join(dir), &mut paths);
        }
        paths.sort();
        let read = |path: PathBuf| {
            let text = fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(package).unwrap().to_str().unwrap().to_owned();
            Source { path, code: blank(&text), text }
        };
        paths.into_iter().map(read).collect()
    });
    let is_below = |source: &&Source| {
        below.iter().any(|dir| source.path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/')))
    };
    let found: Vec<_> = ALL.iter().filter(is_below).collect();
    assert!(!found.is_empty());
    found
}

fn collect(dir: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// Blanks comments, string literals (raw ones too) and character literals, lines kept. By hand:
/// the tests' regular expressions are not optimised, and there is much to read.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let length = literal(&bytes[at..], at.checked_sub(1).map(|before| bytes[before]));
        if let Some(length) = length {
            let end = (at + length).min(bytes.len());
            code.extend(bytes[at..end].iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }));
            at = end;
        } else {
            code.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(code).unwrap()
}

/// The length of the comment or literal that begins here, if one does.
fn literal(rest: &[u8], before: Option<u8>) -> Option<usize> {
    let until = |from: usize, end: &[u8]| {
        let found = rest[from..].windows(end.len()).position(|window| window == end);
        found.map_or(rest.len(), |found| from + found + end.len())
    };
    let quoted = |mark: u8| {
        let mut at = 1;
        while at < rest.len() && rest[at] != mark {
            at += if rest[at] == b'\\' { 2 } else { 1 };
        }
        at + 1
    };
    let in_word = before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match rest {
        [b'/', b'/', ..] => Some(until(0, b"\n").saturating_sub(1).max(2)),
        [b'/', b'*', ..] => Some(until(2, b"*/")),
        [b'"', ..] => Some(quoted(b'"')),
        [b'r', b'"' | b'#', ..] if !in_word || before == Some(b'b') => {
            let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
            let opens = rest.get(1 + hashes) == Some(&b'"');
            let end: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
            opens.then(|| until(2 + hashes, &end))
        }
        [b'\'', b'\\', ..] => Some(quoted(b'\'')),
        // A character, of up to four bytes; a lifetime has no second quote so near.
        [b'\'', rest @ ..] => rest.iter().take(5).skip(1).position(|byte| *byte == b'\'').and_then(|at| {
            let inside = std::str::from_utf8(&rest[..=at]).ok()?;
            (inside.chars().count() == 1).then_some(at + 3)
        }),
        _ => None,
    }
}

fn assert_none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

/// Every `crate::room` that the code names, also inside braces, with its line.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, matched) in source.code.match_indices("crate::") {
        if source.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let line = source.code[..at].matches('\n').count() + 1;
        let rest = &source.code[at + matched.len()..];
        found.extend(first_names(rest).into_iter().map(|name| (line, name)));
    }
    found
}

/// The first segments of a path or of a braced list of paths.
fn first_names(rest: &str) -> Vec<String> {
    let ident = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(list) = rest.strip_prefix('{') else { return vec![ident(rest)] };
    let (mut names, mut depth, mut at_start) = (Vec::new(), 0, true);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            c if c.is_whitespace() => {}
            _ if at_start => {
                names.push(ident(&list[at..]));
                at_start = false;
            }
            _ => {}
        }
    }
    names
}

#[test]
fn a_room_imports_only_what_its_line_names() {
    let mut broken = Vec::new();
    let rooms: BTreeSet<&str> = MAY_IMPORT.iter().map(|(room, _)| *room).chain(SEE_ALL.iter().copied()).collect();
    for source in sources(&["src"]) {
        let Some(room) = source.room() else { continue };
        if SEE_ALL.contains(&room) {
            continue;
        }
        let Some((_, may)) = MAY_IMPORT.iter().find(|(name, _)| *name == room) else {
            broken.push(format!("{}: the room {room} is not in the table", source.path));
            continue;
        };
        let pure = matches!(room, "domain" | "agent");
        for (line, name) in imports(source) {
            let allowed = name == room
                || name == "domain"
                || may.contains(&name.as_str())
                || (!pure && EVERYWHERE.contains(&name.as_str()));
            if rooms.contains(name.as_str()) && !allowed {
                broken.push(format!("{}:{line}: {room} imports {name}", source.path));
            }
        }
    }
    assert_none("a room imports only what its line of the table names", &broken);
}

#[test]
fn no_path_leaves_its_room_through_super() {
    let mut broken = Vec::new();
    let supers = regex::Regex::new(r"\b(?:super::)+").unwrap();
    for source in sources(&["src"]) {
        let Some(below) = source.path.strip_prefix("src/") else { continue };
        let depth = below.split('/').count() - usize::from(below.ends_with("mod.rs"));
        for (line, code) in source.lines() {
            // One less than the depth of the module stays inside the room; inline modules add one.
            if supers.find_iter(code).any(|found| found.as_str().matches("super").count() >= depth) {
                broken.push(format!("{}:{line}: {}", source.path, code.trim()));
            }
        }
    }
    assert_none("other rooms are named from crate::", &broken);
}

#[test]
fn some_crates_stay_in_their_rooms() {
    let mut broken = Vec::new();
    let uses = |name: &str| regex::Regex::new(&format!(r"(?:^|[^:\w]){name}::|\buse\s+{name}\b")).unwrap();
    let patterns: Vec<_> = CRATES.iter().map(|(name, rooms)| (name, rooms, uses(name))).collect();
    for source in sources(&["src"]) {
        let room = source.room().unwrap_or("app");
        for (name, rooms, used) in &patterns {
            if rooms.contains(&room) {
                continue;
            }
            for (line, code) in source.lines() {
                if code.contains(*name) && used.is_match(code) {
                    broken.push(format!("{}:{line}: {name} in {room}", source.path));
                }
            }
        }
    }
    assert_none("these crates stay in their rooms", &broken);
}

#[test]
fn processes_are_started_by_three_rooms() {
    let starts = regex::Regex::new(r"\bprocess::\{?[^;]*\bCommand\b|\bCommand::new\b").unwrap();
    let mut broken = Vec::new();
    for source in sources(&["src"]) {
        if matches!(source.room(), Some("workspace" | "postgres" | "cli")) {
            continue;
        }
        let found = source.lines().filter(|(_, code)| starts.is_match(code));
        broken.extend(found.map(|(line, code)| format!("{}:{line}: {}", source.path, code.trim())));
    }
    assert_none("processes are started by workspace, postgres and cli", &broken);
}

#[test]
fn domain_and_agent_know_neither_async_nor_time_nor_chance() {
    let impure = regex::Regex::new(concat!(
        r"\basync\b|\.await\b|\btokio\b|\bfutures\b|\brand\b|\bInstant\b|\bSystemTime\b|\bnow_utc\b|\bnow_v7\b|\bnew_v4\b",
        r"|\bstd::(?:fs|net|env|process|thread)\b|\bcrate::clock\b",
    ))
    .unwrap();
    let mut broken = Vec::new();
    for source in sources(&["src/domain", "src/agent"]) {
        let found = source.lines().filter(|(_, code)| impure.is_match(code));
        broken.extend(found.map(|(line, code)| format!("{}:{line}: {}", source.path, code.trim())));
    }
    assert_none("domain and agent are pure", &broken);
}

#[test]
fn tests_live_in_tests_and_none_is_ignored() {
    let marks = regex::Regex::new(r"cfg\s*\(\s*(?:all\(|any\(|not\()?\s*test\b|_for_tests?\b").unwrap();
    let ignored = regex::Regex::new(r"#\[\s*ignore\b").unwrap();
    let mut broken = Vec::new();
    for source in sources(&["src", "execd/src", "parsers/src"]) {
        let found = source.lines().filter(|(_, code)| marks.is_match(code));
        broken.extend(found.map(|(line, code)| format!("{}:{line}: {}", source.path, code.trim())));
    }
    for source in sources(&["src", "execd/src", "parsers/src", "tests"]) {
        let found = source.lines().filter(|(_, code)| ignored.is_match(code));
        broken.extend(found.map(|(line, code)| format!("{}:{line}: {}", source.path, code.trim())));
    }
    assert_none("no test code in src, no ignored test", &broken);
}

#[test]
fn a_lint_is_expected_with_a_reason_and_never_allowed() {
    let allowed = regex::Regex::new(r"#!?\[\s*allow\b").unwrap();
    let mut broken = Vec::new();
    for source in sources(&["src", "execd/src", "parsers/src", "tests"]) {
        let found = source.lines().filter(|(_, code)| allowed.is_match(code));
        broken.extend(found.map(|(line, code)| format!("{}:{line}: {}", source.path, code.trim())));
        for (at, _) in source.code.match_indices("[expect(") {
            let end = source.code[at..].find(")]").map_or(source.code.len(), |end| at + end);
            if !source.code[at..end].contains("reason") {
                let line = source.code[..at].matches('\n').count() + 1;
                broken.push(format!("{}:{line}: expect without a reason", source.path));
            }
        }
    }
    assert_none("lints are expected, with a reason", &broken);
}

#[test]
fn each_module_says_what_it_is_and_a_mod_file_is_a_table_of_contents() {
    let mut broken = Vec::new();
    for source in sources(&["src", "execd/src", "parsers/src", "tests"]) {
        if !source.text.starts_with("//!") {
            broken.push(format!("{}: does not begin with //!", source.path));
        }
        let lines = source.text.lines().count();
        let is_rooms = source.room().is_some_and(|room| source.path == format!("src/{room}/mod.rs"));
        if is_rooms && lines > 70 {
            broken.push(format!("{}: {lines} lines", source.path));
        }
        if lines > 1_000 {
            broken.push(format!("{}: {lines} lines are several ideas", source.path));
        }
    }
    assert_none("modules have a contract; a room's mod.rs has about 60 lines", &broken);
}

#[test]
fn names_of_tests_are_sentences() {
    let test = regex::Regex::new(r"#\[(?:tokio::)?test[^\]]*\]\s*(?:#\[[^\]]*\]\s*)*(?:async\s+)?fn\s+(\w+)").unwrap();
    let mut broken = Vec::new();
    for source in sources(&["tests"]) {
        for found in test.captures_iter(&source.code) {
            if found[1].matches('_').count() < 2 {
                broken.push(format!("{}: {}", source.path, &found[1]));
            }
        }
    }
    assert_none("a test's name says what holds", &broken);
}

#[test]
fn no_room_has_a_name_that_says_nothing() {
    let empty = ["utils", "util", "common", "core", "helpers", "helper", "manager", "misc"];
    let says_nothing = |source: &&Source| source.path.split(['/', '.']).any(|part| empty.contains(&part));
    let broken: Vec<String> = sources(&["src", "execd/src", "parsers/src"])
        .into_iter()
        .filter(says_nothing)
        .map(|source| source.path.clone())
        .collect();
    assert_none("names say what is there", &broken);
}

#[test]
fn the_checks_of_this_file_find_what_they_look_for() {
    let code =
        blank("use crate::{domain::X, store::{a, b},\n llm}; // crate::api\nlet x = \"crate::auth\"; crate::net::f();");
    let source = Source { path: "src/x/y.rs".to_owned(), text: String::new(), code };
    let names: Vec<String> = imports(&source).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["domain", "store", "llm", "net"]);
    let left = blank("a '\"' b \"c\\\"d\" e r#\"f\"# 'life");
    assert_eq!(left.split_whitespace().collect::<Vec<_>>(), ["a", "b", "e", "'life"]);
}
