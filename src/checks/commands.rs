//! What a command runs of the repository's own: scripts, and programs that take their commands from a file (make, npm,
//! tox). Who changes these changes what a check is. A guess by words: no shell is understood here.

use super::runners::{self, Runner};
use std::collections::BTreeSet;

/// Commands within commands (`bash -c "make test"`).
const DEPTH_MAX: usize = 3;
/// Of one command.
const COMMAND_BYTES_MAX: usize = 64 << 10;

/// Words before a command that is meant itself.
const BEFORE: &[&str] = &[
    "!", "bundle", "command", "do", "else", "env", "exec", "hatch", "if", "ionice", "mise", "nice", "nohup", "npx",
    "pdm", "pipenv", "poetry", "rye", "setsid", "stdbuf", "sudo", "then", "time", "timeout", "unbuffer", "until", "uv",
    "uvx", "while", "xvfb-run",
];
const SHELLS: &[&str] = &["sh", "bash", "dash", "zsh", "ksh", "ash", "source", "."];
const INTERPRETERS: &[&str] = &[
    "node", "nodejs", "ruby", "perl", "php", "deno", "bun", "tsx", "ts-node", "lua", "tclsh", "Rscript", "pwsh",
    "elixir", "escript", "groovy", "pypy", "pypy3",
];
/// Words in the name of a script, or of a directory above it, that say that it is there to check something.
const CHECKING: &[&str] = &[
    "bench",
    "check",
    "checks",
    "ci",
    "coverage",
    "e2e",
    "hack",
    "integration",
    "lint",
    "manage",
    "pytest",
    "qa",
    "runtest",
    "runtests",
    "script",
    "scripts",
    "smoke",
    "spec",
    "specs",
    "suite",
    "test",
    "testall",
    "tester",
    "testing",
    "tests",
    "unit",
    "unittest",
    "unittests",
    "validate",
    "verify",
];

/// A file that checks' commands may run, or take their commands from, by its path: its content is to be read.
pub fn may_run(path: &str) -> bool {
    matches!(extension(path), "sh" | "bash" | "zsh") || runners::is_runners(path) || checks_by_name(path)
}

/// What the commands run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Runs {
    /// Paths from the root.
    pub(super) scripts: BTreeSet<String>,
    pub(super) runners: BTreeSet<Runner>,
}

/// One simple command, with what tells whether its script is what is checked: `./calc 2 3 | grep 5` checks `calc`.
#[derive(Debug, Default)]
struct Simple {
    words: Vec<String>,
    piped: bool,
}

impl Runs {
    /// Takes in a command that runs in this directory.
    pub(super) fn command(&mut self, directory: &str, command: &str) {
        self.nested(directory, command, 0);
    }

    /// Takes in the lines of a file of commands.
    pub(super) fn lines(&mut self, directory: &str, text: &str) {
        for line in text.lines() {
            let line = line.trim().trim_start_matches(['@', '-', '+', ' ']);
            if !line.starts_with(['#', ';']) {
                self.command(directory, line);
            }
        }
    }

    fn nested(&mut self, directory: &str, command: &str, depth: usize) {
        if depth >= DEPTH_MAX || command.len() > COMMAND_BYTES_MAX {
            return;
        }
        let mut directory = directory.to_owned();
        for simple in simple_commands(command) {
            self.simple(&mut directory, &simple, depth);
        }
    }

    fn simple(&mut self, directory: &mut String, simple: &Simple, depth: usize) {
        let mut words = simple.words.iter().map(String::as_str).peekable();
        let program = loop {
            let Some(word) = words.next() else { return };
            let name = leaf(word);
            self.runners.extend(runners::of_program(name));
            if BEFORE.contains(&name) {
                let before = |word: &&str| {
                    word.starts_with('-')
                        || word.starts_with(|c: char| c.is_ascii_digit())
                        || matches!(*word, "run" | "exec")
                };
                while words.next_if(before).is_some() {}
            } else if !is_assignment(word) {
                break word;
            }
        };
        let rest: Vec<&str> = words.collect();
        let name = leaf(program);
        if name == "cd" {
            if let Some(path) = rest.first().and_then(|path| joined(directory, path)) {
                *directory = path;
            }
        } else if SHELLS.contains(&name) {
            let code =
                rest.iter().position(|word| word.starts_with('-') && !word.starts_with("--") && word.ends_with('c'));
            match code {
                Some(at) => self.nested(directory, rest.get(at + 1).unwrap_or(&""), depth + 1),
                None => self.first_script(directory, &rest, simple.piped, true),
            }
        } else if INTERPRETERS.contains(&name) || name.starts_with("python") || program.starts_with('$') {
            self.interpreted(directory, &rest, simple.piped);
        } else if !runners::of_program(name).is_empty() {
            self.options(directory, &rest);
        } else if program.contains('/') {
            self.script(directory, program, simple.piped || !rest.is_empty(), true);
        }
    }

    /// The file that a runner is told to take its commands from.
    fn options(&mut self, directory: &str, rest: &[&str]) {
        const FILES: &[&str] =
            &["-f", "--file", "--makefile", "--justfile", "--taskfile", "--rakefile", "--noxfile", "-c", "--conf"];
        for (at, word) in rest.iter().enumerate() {
            let (option, value) = word.split_once('=').map_or((*word, None), |(option, value)| (option, Some(value)));
            let value = value.or_else(|| rest.get(at + 1).copied()).filter(|_| FILES.contains(&option));
            self.scripts.extend(value.and_then(|path| joined(directory, path)));
        }
    }

    fn interpreted(&mut self, directory: &str, rest: &[&str], piped: bool) {
        let module = rest.iter().position(|word| *word == "-m").and_then(|at| rest.get(at + 1));
        match module {
            Some(module) => {
                let path = module.replace('.', "/");
                self.script(directory, &format!("{path}.py"), piped, false);
                self.script(directory, &format!("{path}/__main__.py"), piped, false);
            }
            None => self.first_script(directory, rest, piped, false),
        }
    }

    fn first_script(&mut self, directory: &str, rest: &[&str], piped: bool, shell: bool) {
        let mut plain = rest.iter().enumerate().filter(|(_, word)| !word.starts_with('-') && **word != "run");
        if let Some((at, path)) = plain.next() {
            self.script(directory, path, piped || at + 1 < rest.len(), shell);
        }
    }

    /// A script whose name says that it checks something; of those for a shell also one that is all there is of the
    /// command. What is given arguments or read from may well be what is checked.
    fn script(&mut self, directory: &str, path: &str, is_used: bool, shell: bool) {
        let Some(path) = joined(directory, path) else { return };
        let for_shell = shell && matches!(extension(&path), "" | "sh" | "bash" | "zsh");
        if (for_shell && !is_used) || checks_by_name(&path) {
            self.scripts.insert(path);
        }
    }
}

fn checks_by_name(path: &str) -> bool {
    let mut words = path.split(|c: char| !c.is_alphanumeric()).map(str::to_ascii_lowercase);
    words.any(|word| CHECKING.contains(&word.as_str()))
}

fn leaf(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn extension(path: &str) -> &str {
    leaf(path).rsplit_once('.').map_or("", |(_, extension)| extension)
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !word.starts_with('-')
    })
}

/// From the root; absent for what lies outside of the repository or is no plain path.
pub(super) fn joined(directory: &str, path: &str) -> Option<String> {
    let path = path.strip_prefix("/workspace/").unwrap_or(path);
    if path.is_empty() || path.starts_with('/') || path.contains(['$', '*', '`', '{', '~']) {
        return None;
    }
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// At operators, brackets and line breaks outside of quotes. A variable in brackets is a part of its word.
fn simple_commands(text: &str) -> Vec<Simple> {
    let mut all = vec![Simple::default()];
    let mut word: Option<String> = None;
    let mut chars = text.char_indices().peekable();
    let mut quote = None;
    let end_word = |all: &mut Vec<Simple>, word: &mut Option<String>| {
        if let (Some(last), Some(word)) = (all.last_mut(), word.take()) {
            last.words.push(word);
        }
    };
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => {
                let escaped = chars.next().map(|(_, c)| c).filter(|c| *c != '\n');
                word.get_or_insert_default().extend(escaped);
            }
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '$') => {
                word.get_or_insert_default().push('$');
                let length = variable(&text[at + 1..]);
                while chars.next_if(|(next, _)| *next < at + 1 + length).is_some() {}
            }
            (None, c) if c.is_whitespace() && c != '\n' => end_word(&mut all, &mut word),
            (None, '\n' | ';' | '&' | '|' | '(' | ')' | '`') => {
                end_word(&mut all, &mut word);
                let doubled = chars.next_if(|(_, next)| *next == c).is_some();
                if let Some(last) = all.last_mut().filter(|_| c == '|' && !doubled) {
                    last.piped = true;
                }
                all.push(Simple { piped: matches!(c, '(' | '`'), ..Simple::default() });
            }
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    end_word(&mut all, &mut word);
    all
}

/// The length of a variable's name with its brackets, behind its `$`; 0 for what is none.
fn variable(text: &str) -> usize {
    let Some(close) = (match text.chars().next() {
        Some('(') => Some(')'),
        Some('{') => Some('}'),
        _ => None,
    }) else {
        return 0;
    };
    let end = text.find(close).unwrap_or(0);
    let is_name = end > 1 && text[1..end].chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_name { end + 1 } else { 0 }
}
