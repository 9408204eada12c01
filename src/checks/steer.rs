//! Files that steer how tests run, and whether a patch changes what they steer: with one of them a test can be
//! made to pass that fails. A guess by names and words, on the safe side: what is meant by it is run without it, and
//! what then passes too was steered nowhere.

use super::ChangedFile;
use std::collections::HashSet;

/// What in a file steers.
enum Steers {
    /// All of it.
    Whole,
    /// Lines with one of these words, which were not in it before.
    Lines(&'static [&'static str]),
    /// As [`Self::Whole`] where one of these words is in it.
    Code(&'static [&'static str]),
}

/// Hooks, and what reaches into other modules. Plain fixtures change no test that does not ask for them.
const CONFTEST: &[&str] = &[
    "def pytest_",
    "hookimpl",
    "autouse",
    "pytest_plugins",
    "collect_ignore",
    "_pytest",
    "sys.modules",
    "builtins",
    "setattr(",
    "exec(",
    "_exit",
    "atexit",
];
const PYTEST: &[&str] = &[
    "addopts",
    "-p ",
    "\"-p",
    "'-p",
    "--deselect",
    "--ignore",
    "testpaths",
    "python_files",
    "python_classes",
    "python_functions",
    "norecursedirs",
];
const NODE: &[&str] =
    &["\"test", "\"pretest", "jest", "mocha", "vitest", "setup", "transform", "moduleNameMapper", "Ignore"];
const NODE_OPTIONS: &[&str] = &["preload", "node-options", "script-shell"];
const CARGO: &[&str] = &["runner", "rustflags", "wrapper", "rustc", "linker", "[alias", "[env", "test"];
const MAVEN: &[&str] = &["skipTests", "test.skip", "testFailureIgnore", "xclude", "argLine"];
const GRADLE: &[&str] = &["ignoreFailures", "xclude", "enabled", "onlyIf", "jvmArgs", "jvmargs", "skip"];
const RUBY: &[&str] = &["RSpec::Core", "Minitest", "at_exit", "exit!", "alias_method", "prepend", "around"];
const GO: &[&str] = &["func TestMain("];

/// Beginnings of the names of JavaScript's configurations, whatever they are written in.
const SCRIPTS: &[&str] = &[
    "jest.config.",
    "jest.setup.",
    "vitest.config.",
    "vitest.setup.",
    "vitest.workspace.",
    "setupTests.",
    ".mocharc",
    "karma.conf.",
    "playwright.config.",
    "cypress.config.",
];

/// A file that may steer how tests run, by its path: its contents are to be read.
pub fn may_steer(path: &str) -> bool {
    steered_by(path).is_some()
}

fn steered_by(path: &str) -> Option<Steers> {
    let (directories, name) = path.rsplit_once('/').unwrap_or(("", path));
    let directory = directories.rsplit('/').next().unwrap_or_default();
    match (directory, name) {
        (".cargo", "config.toml" | "config") => return Some(Steers::Lines(CARGO)),
        // Modules in the place of the runner itself, which Python looks for behind the working directory.
        (".mvn", _)
        | (".config", "nextest.toml")
        | ("unittest" | "pytest" | "_pytest", "__init__.py" | "__main__.py") => return Some(Steers::Whole),
        _ => {}
    }
    Some(match name {
        "conftest.py" => Steers::Code(CONFTEST),
        "pytest.ini" | ".pytest.ini" | "tox.ini" | "setup.cfg" | "pyproject.toml" => Steers::Lines(PYTEST),
        "package.json" => Steers::Lines(NODE),
        "bunfig.toml" | ".npmrc" => Steers::Lines(NODE_OPTIONS),
        "pom.xml" => Steers::Lines(MAVEN),
        "build.gradle" | "build.gradle.kts" | "gradle.properties" => Steers::Lines(GRADLE),
        "spec_helper.rb" | "rails_helper.rb" | "test_helper.rb" => Steers::Lines(RUBY),
        "sitecustomize.py"
        | "usercustomize.py"
        | "unittest.py"
        | "pytest.py"
        | ".rspec"
        | "phpunit.xml"
        | "phpunit.xml.dist"
        | "testng.xml"
        | "junit-platform.properties"
        | ".bazelrc" => Steers::Whole,
        _ if name.rsplit_once('.').is_some_and(|(_, extension)| extension == "pth")
            || SCRIPTS.iter().any(|start| name.starts_with(start)) =>
        {
            Steers::Whole
        }
        _ if name.ends_with("_test.go") => Steers::Code(GO),
        _ => return None,
    })
}

/// Whether the patch adds or changes something in it that steers tests.
pub(super) fn steers(file: &ChangedFile<'_>) -> bool {
    let (Some(steers), Some(after)) = (steered_by(file.path), file.after) else { return false };
    let after = String::from_utf8_lossy(after);
    let has = |line: &str, words: &[&str]| words.iter().any(|word| line.contains(word));
    match steers {
        Steers::Whole => true,
        Steers::Code(words) => after.lines().any(|line| has(line, words) || reaches_out(line)),
        Steers::Lines(words) => {
            let before = String::from_utf8_lossy(file.before.unwrap_or_default());
            let plain = |line: &'_ str| line.trim().trim_end_matches(',').to_owned();
            let known: HashSet<String> = before.lines().map(plain).collect();
            after.lines().any(|line| has(line, words) && !known.contains(&plain(line)))
        }
    }
}

/// Code that runs when the file is loaded puts something in the place of another module's: `calc.add = fake`.
fn reaches_out(line: &str) -> bool {
    let Some((target, value)) = line.split_once('=') else { return false };
    let target = target.trim_end();
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    !value.starts_with('=') && target.contains('.') && target.chars().all(is_name)
}
