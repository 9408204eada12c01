//! Pinned toolchains, and which programs the commands need that the workspace has not.

use super::{
    facts::{Discovery, Purpose},
    manifests::{Repository, join, name, parent},
    purpose::is_assignment,
    read,
};

/// Pins shown, and missing programs named.
const PINS_MAX: usize = 24;
const MISSING_MAX: usize = 16;

/// Files whose one line is a version.
const LINES: &[(&str, &str)] = &[
    ("rust-toolchain", "Rust"),
    (".python-version", "Python"),
    (".nvmrc", "Node"),
    (".node-version", "Node"),
    (".ruby-version", "Ruby"),
    (".java-version", "Java"),
    (".go-version", "Go"),
    (".swift-version", "Swift"),
];

/// Names in `.tool-versions` and `mise.toml`, as people call them.
const TOOLS: &[(&str, &str)] = &[
    ("rust", "Rust"),
    ("python", "Python"),
    ("node", "Node"),
    ("nodejs", "Node"),
    ("ruby", "Ruby"),
    ("java", "Java"),
    ("golang", "Go"),
    ("go", "Go"),
    ("elixir", "Elixir"),
    ("erlang", "Erlang"),
    ("zig", "Zig"),
    ("deno", "Deno"),
    ("bun", "bun"),
];

const PROGRAMS: &[(&str, &str)] = &[
    ("Rust", "cargo"),
    ("Python", "python3"),
    ("Node", "node"),
    ("Ruby", "ruby"),
    ("Java", "java"),
    ("Go", "go"),
    ("Elixir", "mix"),
    ("Erlang", "erl"),
    ("Swift", "swift"),
    ("Dart", "dart"),
    ("PHP", "php"),
    (".NET", "dotnet"),
    ("Zig", "zig"),
    ("Deno", "deno"),
    ("Stack resolver", "stack"),
];

pub(super) fn find(repository: &Repository<'_>, all: &mut Discovery) {
    for path in repository.manifests.clone() {
        let text = repository.text(path).unwrap_or("");
        let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or("");
        if let Some((_, tool)) = LINES.iter().find(|(file, _)| *file == name(path)).filter(|_| !first.starts_with('['))
        {
            all.pin(tool, first.trim_start_matches('v'), path);
        }
        match name(path) {
            "rust-toolchain" | "rust-toolchain.toml" => {
                let table = repository.toml(path);
                if let Some(channel) = read::at(&table, "toolchain.channel").and_then(toml::Value::as_str) {
                    all.pin("Rust", channel, path);
                }
            }
            "pyproject.toml" => {
                let table = repository.toml(path);
                let version =
                    read::at(&table, "project.requires-python").or(read::at(&table, "tool.poetry.dependencies.python"));
                all.pin("Python", version.and_then(toml::Value::as_str).unwrap_or(""), path);
            }
            "global.json" => all.pin(".NET", repository.json(path)["sdk"]["version"].as_str().unwrap_or(""), path),
            ".tool-versions" => {
                for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
                    let mut words = line.split_whitespace();
                    if let (Some(tool), Some(version)) = (words.next(), words.next()) {
                        all.pin(called(tool), version, path);
                    }
                }
            }
            "mise.toml" | ".mise.toml" => {
                let table = repository.toml(path);
                for (tool, version) in table.get("tools").and_then(toml::Value::as_table).into_iter().flatten() {
                    let version = version.as_str().or(version.get("version").and_then(toml::Value::as_str));
                    all.pin(called(tool), version.unwrap_or(""), path);
                }
            }
            ".sdkmanrc" => {
                let version = text.lines().find_map(|line| line.strip_prefix("java="));
                all.pin("Java", version.unwrap_or(""), path);
            }
            _ => {}
        }
    }
    // The nearest to the root first, each said once.
    let mut pins = std::mem::take(&mut all.pins);
    pins.sort_by_key(|pin| (pin.tool.clone(), pin.origin.matches('/').count(), pin.origin.clone()));
    pins.dedup_by(|later, earlier| later.tool == earlier.tool && later.version == earlier.version);
    pins.truncate(PINS_MAX);
    all.pins = pins;
    missing(repository, all);
}

/// The program of a pinned tool.
pub(super) fn program(tool: &str) -> Option<&'static str> {
    let known = PROGRAMS.iter().find(|(called, _)| *called == tool).map(|(_, program)| *program);
    known.or(["npm", "pnpm", "yarn", "bun"].into_iter().find(|manager| *manager == tool))
}

fn called(tool: &str) -> &str {
    TOOLS.iter().find(|(name, _)| *name == tool).map_or(tool, |(_, called)| called)
}

/// Programs of pins and commands that are not there; nothing where nothing is known.
fn missing(repository: &Repository<'_>, all: &mut Discovery) {
    if repository.programs.is_none() {
        return;
    }
    let mut needed: Vec<String> = Vec::new();
    let mut need = |program: &str| {
        if !program.is_empty() && !needed.iter().any(|one| one == program) {
            needed.push(program.to_owned());
        }
    };
    for check in &all.checks {
        programs(repository, check.workdir.as_deref().unwrap_or(""), &check.command).into_iter().for_each(&mut need);
    }
    for pin in &all.pins {
        need(program(&pin.tool).unwrap_or(""));
    }
    for command in all.commands.iter().filter(|command| command.purpose != Purpose::Setup) {
        programs(repository, &command.directory, &command.line).into_iter().for_each(&mut need);
    }
    needed.retain(|program| repository.lacks_program(program));
    needed.truncate(MISSING_MAX);
    all.missing = needed;
}

/// What a line starts first, and what that needs.
pub(super) fn programs<'l>(repository: &Repository<'_>, directory: &str, line: &'l str) -> Vec<&'l str> {
    let mut found = Vec::new();
    for part in line.split("&&") {
        let words: Vec<&str> = part.split_whitespace().skip_while(|word| is_assignment(word)).collect();
        match words.as_slice() {
            ["sh", "./gradlew" | "./mvnw", ..] => found.push("java"),
            // A module of Python counts as a program of its name.
            ["python" | "python3", "-m", module, ..] if *module == "pytest" => found.extend(["python3", "pytest"]),
            ["npx", ..] => found.push("npx"),
            [first, ..] if first.contains('/') => {
                let own = repository.has(&join(directory, first.trim_start_matches("./")));
                if !own && parent(first) == "vendor/bin" {
                    found.push("php");
                }
            }
            [first, ..] if first.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte)) => {
                found.push(*first);
            }
            _ => {}
        }
    }
    found
}
