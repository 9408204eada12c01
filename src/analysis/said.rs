//! Commands that conventions files name, in fenced blocks or backticks: what a repository's people
//! tell agents to run goes before what its manifests allow.

use super::{
    brief::plain,
    conventions,
    facts::{Authority, Discovery, Purpose},
    manifests::{Repository, parent},
    purpose,
};

/// Commands of one file.
const COMMANDS_MAX: usize = 20;
const LINE_CHARS_MAX: usize = 140;

pub(super) fn find(repository: &Repository<'_>, all: &mut Discovery) {
    let mut said: Vec<(usize, &str, Vec<Said>)> = repository
        .texts()
        .filter(|(path, _)| conventions::applies(repository, path))
        .map(|(path, text)| (path.matches('/').count(), path, commands(text)))
        .collect();
    said.sort_by_key(|(depth, path, _)| (*depth, *path));
    for (_, path, commands) in said {
        // What is said in `.github` or `docs` is of the whole repository.
        let home = Some(parent(path)).filter(|home| !matches!(*home, ".github" | "docs")).unwrap_or("");
        for Said { number, purpose, line } in commands {
            let seen = all
                .commands
                .iter()
                .any(|one| one.line == line && one.directory == home && one.authority == Authority::Conventions);
            if !seen {
                all.add(Authority::Conventions, purpose, home, line, &format!("{path}:{number}"));
            }
        }
    }
}

/// A command with the number of the line that it stands on.
struct Said {
    number: usize,
    purpose: Purpose,
    line: String,
}

fn commands(text: &str) -> Vec<Said> {
    let mut found: Vec<Said> = Vec::new();
    // Inside a fence: whether its language is a shell's or none.
    let mut fence: Option<bool> = None;
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if let Some(rest) = trimmed.strip_prefix("```").or(trimmed.strip_prefix("~~~")) {
            let shell = ["", "sh", "bash", "shell", "console", "zsh", "text", "shell-session"].contains(&rest.trim());
            fence = if fence.is_some() { None } else { Some(shell) };
            continue;
        }
        let candidates: Vec<&str> = match fence {
            Some(true) => vec![trimmed],
            Some(false) => Vec::new(),
            None => trimmed.split('`').skip(1).step_by(2).collect(),
        };
        for candidate in candidates {
            let line = candidate.trim().trim_start_matches("$ ");
            let line = line.split(" #").next().unwrap_or(line).trim();
            if line.len() > LINE_CHARS_MAX
                || line.ends_with('\\')
                || line.split_whitespace().count() < 2 && !line.starts_with("./") && !ALONE.contains(&line)
            {
                continue;
            }
            if let Some(purpose) = purpose::of_line(line)
                && found.len() < COMMANDS_MAX
            {
                found.push(Said { number: index + 1, purpose, line: plain(line, LINE_CHARS_MAX) });
            }
        }
    }
    found
}

/// Programs that are a command without arguments.
const ALONE: &[&str] = &["pytest", "tox", "nox", "make", "mypy", "flake8", "rspec", "phpunit", "prove"];
