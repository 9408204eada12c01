//! The setup that a repository shows by itself: its package managers' own commands, with what they bring kept in the
//! working copy, where later copies find it.

use super::{
    brief::BriefInput,
    ecosystems,
    facts::{Authority, Command, Purpose},
    manifests::Repository,
    toolchains,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

/// Commands of one setup.
const COMMANDS_MAX: usize = 8;
/// What package managers would keep in the home directory. A tag in it tells everybody that it is no work of people.
const PLACE: &str = "/workspace/.journeyman-packages";
/// Why it is junk (bford.info/cachedir).
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55";

/// A package manager that is run without being asked for.
struct Manager {
    program: &'static str,
    /// By which it, and what it brought, works within the working copy: `@` is where packages lie.
    variables: &'static [(&'static str, &'static str)],
    /// The variable that names the directory of what it loads, where it has one.
    cache: Option<&'static str>,
}

/// Sorted by program.
const MANAGERS: &[Manager] = &[
    Manager { program: "bun", variables: &[], cache: Some("BUN_INSTALL_CACHE_DIR") },
    Manager { program: "bundle", variables: &[("BUNDLE_PATH", "@/bundle")], cache: None },
    Manager { program: "cargo", variables: &[("CARGO_HOME", "@/cargo")], cache: None },
    Manager {
        program: "composer",
        variables: &[("COMPOSER_HOME", "@/composer"), ("COMPOSER_NO_INTERACTION", "1")],
        cache: Some("COMPOSER_CACHE_DIR"),
    },
    Manager {
        program: "cpanm",
        variables: &[("PERL5LIB", "@/perl/lib/perl5"), ("PERL_CPANM_OPT", "--local-lib=@/perl")],
        cache: None,
    },
    Manager { program: "dart", variables: &[("PUB_CACHE", "@/pub")], cache: None },
    Manager { program: "deno", variables: &[("DENO_DIR", "@/deno")], cache: None },
    Manager { program: "dotnet", variables: &[("NUGET_PACKAGES", "@/nuget")], cache: None },
    Manager { program: "flutter", variables: &[("PUB_CACHE", "@/pub")], cache: None },
    // Else the files that it brings can be neither copied over nor removed.
    Manager { program: "go", variables: &[("GOFLAGS", "-modcacherw"), ("GOMODCACHE", "@/go")], cache: None },
    Manager { program: "mix", variables: &[("HEX_HOME", "@/hex"), ("MIX_HOME", "@/mix")], cache: None },
    Manager { program: "mvn", variables: &[("MAVEN_OPTS", "-Dmaven.repo.local=@/maven")], cache: None },
    Manager {
        program: "npm",
        variables: &[("npm_config_audit", "false"), ("npm_config_fund", "false")],
        cache: Some("npm_config_cache"),
    },
    Manager { program: "pdm", variables: &[("PDM_CHECK_UPDATE", "false")], cache: None },
    Manager { program: "pipenv", variables: &[("PIPENV_VENV_IN_PROJECT", "1")], cache: None },
    Manager { program: "pnpm", variables: &[("npm_config_store_dir", "@/pnpm")], cache: None },
    Manager { program: "poetry", variables: &[("POETRY_VIRTUALENVS_IN_PROJECT", "true")], cache: None },
    Manager {
        program: "python3",
        variables: &[
            ("PIP_BREAK_SYSTEM_PACKAGES", "1"),
            ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
            ("PIP_NO_INPUT", "1"),
            ("PIP_USER", "1"),
            ("PYTHONUSERBASE", "@/python"),
        ],
        cache: Some("PIP_CACHE_DIR"),
    },
    Manager { program: "shards", variables: &[], cache: None },
    Manager {
        program: "uv",
        variables: &[("UV_LINK_MODE", "copy"), ("UV_PYTHON_DOWNLOADS", "never")],
        cache: Some("UV_CACHE_DIR"),
    },
    Manager { program: "yarn", variables: &[], cache: Some("YARN_CACHE_FOLDER") },
];

/// What a repository needs before its checks can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundSetup {
    /// As people type them, the nearest to the root first.
    pub commands: Vec<String>,
    /// All of them, each in its directory; ends at the first that fails.
    pub script: String,
    /// In every command of the task.
    pub variables: BTreeMap<String, String>,
    /// Variables of the setup alone, each with the path of a directory that the next setup finds again.
    pub caches: Vec<String>,
}

/// The setup of a repository: of known package managers alone, and of those that are there. None where there is
/// nothing to bring. Pure.
pub fn detected_setup(input: &BriefInput<'_>) -> Option<FoundSetup> {
    let repository = Repository::of(input);
    let mut found = ecosystems::find(&repository);
    let depth = |directory: &str| if directory.is_empty() { 0 } else { directory.matches('/').count() + 1 };
    found.commands.sort_by_key(|command| (depth(&command.directory), command.directory.clone()));
    let is_there = |command: &&Command| {
        toolchains::programs(&repository, &command.directory, &command.line)
            .into_iter()
            .all(|program| !repository.lacks_program(program))
    };
    let usual = found
        .commands
        .iter()
        .filter(|command| command.purpose == Purpose::Setup && command.authority == Authority::Ecosystem)
        .filter(is_there)
        .filter_map(|command| Some((command, manager(&command.line)?)))
        .take(COMMANDS_MAX);
    let (commands, managers): (Vec<&Command>, Vec<&Manager>) = usual.unzip();
    if commands.is_empty() {
        return None;
    }
    let of_python = managers.iter().any(|manager| manager.program == "python3");
    // Manifests often leave the runner of their tests to people.
    let needs_pytest = repository.lacks_program("pytest")
        && found.checks.iter().any(|check| check.command.split_whitespace().any(|word| word == "pytest"));
    let runner = (of_python && needs_pytest).then_some(("", "python3 -m pip install pytest"));
    let lines: Vec<(&str, &str)> =
        commands.iter().map(|command| (&*command.directory, &*command.line)).chain(runner).collect();
    let variables = managers.iter().flat_map(|manager| manager.variables);
    let caches: BTreeSet<&str> = managers.iter().filter_map(|manager| manager.cache).collect();
    Some(FoundSetup {
        commands: lines.iter().map(|(directory, line)| shown(directory, line)).collect(),
        script: script(&lines),
        variables: variables.map(|(name, value)| ((*name).to_owned(), value.replace('@', PLACE))).collect(),
        caches: caches.into_iter().map(str::to_owned).collect(),
    })
}

fn program(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}

fn manager(line: &str) -> Option<&'static Manager> {
    MANAGERS.iter().find(|manager| manager.program == program(line))
}

fn shown(directory: &str, line: &str) -> String {
    if directory.is_empty() { line.to_owned() } else { format!("cd {} && {line}", quoted(directory)) }
}

fn script(lines: &[(&str, &str)]) -> String {
    let mut script = format!("set -e\nmkdir -p {PLACE}\necho '{TAG}' > {PLACE}/CACHEDIR.TAG\n");
    for (directory, line) in lines {
        // Writing to a string does not fail.
        let _ = match *directory {
            "" => writeln!(script, "{line}"),
            directory => writeln!(script, "(cd {} && {line})", quoted(directory)),
        };
    }
    script
}

fn quoted(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/@+".contains(&byte);
    if !path.starts_with('-') && path.bytes().all(is_plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}
