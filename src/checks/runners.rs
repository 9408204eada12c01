//! Programs that take their commands from a file of the repository, by what they are called, and whether a patch
//! changes the commands in such a file.

use std::collections::BTreeSet;

/// Who reads its commands from which files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Runner {
    Make,
    Just,
    Task,
    Rake,
    Nox,
    Tox,
    Node,
    Python,
    Invoke,
    Doit,
    Mage,
    Ant,
    Composer,
    Deno,
    Earthly,
    Grunt,
    Gulp,
    CargoMake,
}

const ALL: &[(Runner, &[&str])] = &[
    (Runner::Make, &["make", "gmake", "bmake", "remake"]),
    (Runner::Just, &["just"]),
    (Runner::Task, &["task", "go-task"]),
    (Runner::Rake, &["rake"]),
    (Runner::Nox, &["nox"]),
    (Runner::Tox, &["tox"]),
    (Runner::Node, &["npm", "yarn", "pnpm", "bun"]),
    (Runner::Python, &["hatch", "pdm", "poe", "poethepoet", "task"]),
    (Runner::Invoke, &["invoke", "inv"]),
    (Runner::Doit, &["doit"]),
    (Runner::Mage, &["mage"]),
    (Runner::Ant, &["ant"]),
    (Runner::Composer, &["composer"]),
    (Runner::Deno, &["deno"]),
    (Runner::Earthly, &["earthly"]),
    (Runner::Grunt, &["grunt"]),
    (Runner::Gulp, &["gulp"]),
    (Runner::CargoMake, &["cargo-make", "makers"]),
];

pub(super) fn of_program(name: &str) -> BTreeSet<Runner> {
    ALL.iter().filter(|(_, programs)| programs.contains(&name)).map(|(runner, _)| *runner).collect()
}

/// Whether some runner takes its commands from a file of this name.
pub(super) fn is_runners(path: &str) -> bool {
    ALL.iter().any(|(runner, _)| runner.reads(path))
}

impl Runner {
    /// By its name: where in the repository is left open, as runners call each other.
    pub(super) fn reads(self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        let lower = name.to_ascii_lowercase();
        let ending = lower.rsplit_once('.').map_or("", |(_, ending)| ending);
        match self {
            Self::Make => matches!(lower.as_str(), "makefile" | "gnumakefile" | "bsdmakefile") || ending == "mk",
            Self::Just => matches!(lower.as_str(), "justfile" | ".justfile") || ending == "just",
            Self::Task => lower.starts_with("taskfile.") && matches!(ending, "yml" | "yaml"),
            Self::Rake => matches!(lower.as_str(), "rakefile" | "rakefile.rb") || ending == "rake",
            Self::Nox => name == "noxfile.py",
            Self::Tox => matches!(name, "tox.ini" | "tox.toml" | "pyproject.toml" | "setup.cfg"),
            Self::Node => name == "package.json",
            Self::Python => matches!(name, "pyproject.toml" | "hatch.toml"),
            Self::Invoke => name == "tasks.py",
            Self::Doit => name == "dodo.py",
            Self::Mage => name == "magefile.go" || path.split('/').any(|part| part == "magefiles"),
            Self::Ant => name == "build.xml",
            Self::Composer => name == "composer.json",
            Self::Deno => matches!(name, "deno.json" | "deno.jsonc"),
            Self::Earthly => name == "Earthfile",
            Self::Grunt => lower.starts_with("gruntfile."),
            Self::Gulp => lower.starts_with("gulpfile."),
            Self::CargoMake => name == "Makefile.toml",
        }
    }

    /// Whether its commands in this file are others afterwards.
    pub(super) fn commands_differ(self, path: &str, before: &[u8], after: &[u8]) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        let texts = || (String::from_utf8_lossy(before), String::from_utf8_lossy(after));
        let parts = |sections: &[&[&str]]| {
            let (before, after) = texts();
            sections.iter().any(|section| part(name, &before, section) != part(name, &after, section))
        };
        match (self, name) {
            (Self::Node | Self::Composer, _) => parts(&[&["scripts"]]),
            (Self::Deno, "deno.json") => parts(&[&["tasks"]]),
            (_, "pyproject.toml") => parts(&[
                &["tool", "tox"],
                &["tool", "poe"],
                &["tool", "taskipy"],
                &["tool", "hatch", "envs"],
                &["tool", "pdm", "scripts"],
            ]),
            (Self::Tox, "setup.cfg") => {
                let (before, after) = texts();
                sections(&before, "[t") != sections(&after, "[t")
            }
            (Self::Make, _) => {
                let (before, after) = texts();
                !adds_sources_alone(&before, &after)
            }
            _ => before != after,
        }
    }
}

/// A part of a JSON or TOML file; a file that is neither counts whole.
fn part(name: &str, text: &str, path: &[&str]) -> serde_json::Value {
    let json = name.rsplit_once('.').is_some_and(|(_, ending)| ending == "json");
    if text.trim().is_empty() {
        return serde_json::Value::Null;
    }
    let parsed = if json {
        serde_json::from_str::<serde_json::Value>(text).ok()
    } else {
        text.parse::<toml::Table>().ok().and_then(|table| serde_json::to_value(table).ok())
    };
    match parsed {
        Some(value) => path.iter().fold(value, |mut value, key| value[*key].take()),
        None => serde_json::Value::from(text),
    }
}

/// Lines of an INI file's sections that begin so.
fn sections<'a>(text: &'a str, begin: &str) -> Vec<&'a str> {
    let mut inside = false;
    text.lines()
        .filter(|line| {
            if line.starts_with('[') {
                inside = line.starts_with(begin);
            }
            inside
        })
        .collect()
}

/// What a makefile may list besides what it lists already, without another command being run.
const SOURCES: &[&str] = &["c", "cc", "cpp", "cxx", "h", "hh", "hpp", "s", "S", "o", "obj", "java", "rs", "f90", "asm"];

/// Outside of recipes further files of code are named, and that is all: a new file of a program that is built by hand.
fn adds_sources_alone(before: &str, after: &str) -> bool {
    let mut before = before.lines().map(str::trim_end).peekable();
    let mut after = after.lines().map(str::trim_end).peekable();
    let mut continues = false;
    while let Some(line) = after.next() {
        let same = before.next_if(|old| *old == line || names_more(old, line)).is_some();
        // What stands between a target and its recipe takes the recipe over.
        let takes_over = line.contains(':') && after.peek().is_some_and(|next| next.starts_with('\t'));
        let comment = !continues && !line.ends_with('\\') && (line.is_empty() || line.starts_with('#'));
        let words = || line.split_whitespace().map(|word| word.trim_end_matches(':'));
        let lists = !line.starts_with('\t') && !takes_over && words().all(|word| word == "\\" || is_source(word));
        if !same && !comment && !(lists && (continues || line.contains(':'))) {
            return false;
        }
        continues = line.ends_with('\\');
    }
    before.next().is_none()
}

/// The same line, no recipe's, with further files of code.
fn names_more(old: &str, new: &str) -> bool {
    let others =
        |line: &'_ str| line.split_whitespace().filter(|word| !is_source(word)).map(str::to_owned).collect::<Vec<_>>();
    let mut kept = old.split_whitespace().filter(|word| is_source(word));
    !old.starts_with('\t')
        && !new.starts_with('\t')
        && others(old) == others(new)
        && kept.all(|word| new.split_whitespace().any(|now| now == word))
}

fn is_source(word: &str) -> bool {
    word.rsplit_once('.').is_some_and(|(_, ending)| SOURCES.contains(&ending)) && !word.contains(['$', '='])
}
