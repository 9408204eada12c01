//! Which files are tests, and what a patch does to them.

use super::{
    named::Named,
    steer::steers,
    testcode::{Test, WrittenTests, tests_in},
};
use crate::domain::check::{TestChange, WeakenedTest, Weakening};
use std::collections::BTreeSet;

/// A file that the patch adds, changes or removes. A move is a removal and an addition.
#[derive(Clone, Copy, Debug)]
pub struct ChangedFile<'a> {
    pub path: &'a str,
    /// On the base; absent: the patch adds it. Contents are read for test paths and where
    /// [`may_steer`](super::may_steer) says so (others may be given empty).
    pub before: Option<&'a [u8]>,
    /// Absent: the patch removes it.
    pub after: Option<&'a [u8]>,
}

const DIRECTORIES: &[&str] = &["test", "tests", "__tests__", "spec", "specs", "testdata", "e2e", "__mocks__"];
const NAMES: &[&str] = &["conftest.py", "pytest.ini", "tests.py", "tests.rs", "test.rs", "phpunit.xml"];
const CONFIGS: &[&str] =
    &["jest.config.", "vitest.config.", ".mocharc", "karma.conf.", "playwright.config.", "cypress.config."];

/// A file that holds tests or steers how they run, by its path.
pub fn is_test_path(path: &str) -> bool {
    let (directories, name) = path.rsplit_once('/').unwrap_or(("", path));
    if directories.split('/').any(|directory| DIRECTORIES.contains(&directory)) || NAMES.contains(&name) {
        return true;
    }
    if CONFIGS.iter().any(|start| name.starts_with(start)) {
        return true;
    }
    let Some((stem, extension)) = name.rsplit_once('.') else { return false };
    match extension {
        "py" => stem.starts_with("test_") || stem.ends_with("_test"),
        "js" | "jsx" | "ts" | "tsx" | "mjs" | "cjs" | "mts" | "cts" | "vue" => {
            [".test", ".spec", "-test", "_test", ".e2e"].iter().any(|end| stem.ends_with(end)) || stem == "test"
        }
        "java" | "kt" | "scala" | "groovy" | "cs" | "php" | "swift" => {
            ["Test", "Tests", "TestCase", "Spec"].iter().any(|end| stem.ends_with(end))
        }
        "go" | "rs" | "c" | "cc" | "cpp" | "dart" | "exs" | "ex" => stem.ends_with("_test"),
        "rb" => stem.ends_with("_spec") || stem.ends_with("_test") || stem.starts_with("test_"),
        _ => false,
    }
}

/// What a patch does to tests. `changed` are all files of the patch, `base_paths` those of the base; `named` is what
/// configurations and commands name.
pub fn test_change<'a>(
    changed: &[ChangedFile<'_>],
    base_paths: impl IntoIterator<Item = &'a str>,
    named: &Named,
) -> TestChange {
    let base: Vec<&str> = base_paths.into_iter().collect();
    let commands = |file: &&ChangedFile<'_>| changes_commands(file, &base, named);
    let steering =
        |file: &&ChangedFile<'_>| steers(file) || (file.after.is_some() && named.has(file.path)) || commands(file);
    let tests = || changed.iter().filter(|file| is_test_path(file.path));
    let sorted = |files: &mut dyn Iterator<Item = &ChangedFile<'_>>| -> Vec<String> {
        files.map(|file| file.path.to_owned()).collect::<BTreeSet<_>>().into_iter().collect()
    };
    TestChange {
        empty_patch: changed.is_empty(),
        paths: sorted(&mut changed.iter()),
        base_has_tests: base.iter().any(|path| is_test_path(path)),
        touched: sorted(&mut tests().filter(|file| file.before.is_some())),
        edited: edited(&tests().copied().collect::<Vec<_>>()),
        added: sorted(&mut tests().filter(|file| file.before.is_none())),
        steering: sorted(&mut changed.iter().filter(steering)),
        commands: sorted(&mut changed.iter().filter(commands)),
        weakened: weakened(&tests().copied().collect::<Vec<_>>())
            .into_iter()
            .chain(changed.iter().filter(|file| named.is_script(file.path)).filter_map(emptied_script))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
    }
}

/// The checks' commands run this file of the base, or take their commands from it, and the patch changes that. A test
/// is judged as one. A new file counts where the base has one of its kind: it may be read in its place.
fn changes_commands(file: &ChangedFile<'_>, base: &[&str], named: &Named) -> bool {
    if named.is_script(file.path) && file.before.is_some() && !is_test_path(file.path) {
        return true;
    }
    let Some(runner) = named.runner_of(file.path) else { return false };
    match (file.before, file.after) {
        (Some(before), Some(after)) => runner.commands_differ(file.path, before, after),
        (Some(_), None) => true,
        (None, Some(after)) => {
            base.iter().any(|path| runner.reads(path)) && runner.commands_differ(file.path, b"", after)
        }
        (None, None) => false,
    }
}

/// A script that did something and only says something any more.
fn emptied_script(file: &ChangedFile<'_>) -> Option<WeakenedTest> {
    let does = |text: &[u8]| String::from_utf8_lossy(text).lines().any(|line| !says_only(line.trim()));
    let emptied = does(file.before?) && !does(file.after?);
    emptied.then(|| WeakenedTest { path: file.path.to_owned(), name: file.path.to_owned(), how: Weakening::Emptied })
}

fn says_only(line: &str) -> bool {
    let first = line.split([' ', ';', '(']).next().unwrap_or_default();
    let idle = ["echo", "printf", "print", "exit", "true", ":", "set", "sys.exit", "import", "cd"].contains(&first);
    line.is_empty() || line.starts_with('#') || (idle && !line.contains(['&', '|', '$', '`']))
}

fn weakened(files: &[ChangedFile<'_>]) -> Vec<WeakenedTest> {
    let after = written_after(files);
    let mut found = BTreeSet::new();
    for (file, now) in files.iter().zip(&after) {
        let Some(text) = file.before else { continue };
        let before = tests_in(file.path, text);
        let mut note = |name: &str, how| {
            found.insert(WeakenedTest { path: file.path.to_owned(), name: name.to_owned(), how });
        };
        if file.after.is_none() && before.tests.is_empty() {
            if before.known_language {
                note(file.path, Weakening::Removed);
            }
            continue;
        }
        if now.others_left_out && !before.others_left_out {
            note(file.path, Weakening::Skipped);
        }
        for test in before.tests.iter().filter(|test| !test.skipped) {
            match counterpart(test, now, files, &after) {
                None => note(&test.name, Weakening::Removed),
                Some(other) if other.skipped => note(&test.name, Weakening::Skipped),
                Some(other) if emptied(test, other) => note(&test.name, Weakening::Emptied),
                Some(_) => {}
            }
        }
    }
    found.into_iter().collect()
}

fn written_after(files: &[ChangedFile<'_>]) -> Vec<WrittenTests> {
    let of = |file: &ChangedFile<'_>| file.after.map_or_else(WrittenTests::default, |text| tests_in(file.path, text));
    files.iter().map(of).collect()
}

/// What has become of a test of the base: in its own file, or in one that the patch adds.
fn counterpart<'a>(
    test: &Test,
    now: &'a WrittenTests,
    files: &[ChangedFile<'_>],
    after: &'a [WrittenTests],
) -> Option<&'a Test> {
    let leaf = test.leaf();
    let here = now.tests.iter().find(|other| other.name == test.name);
    let here = here.or_else(|| now.tests.iter().find(|other| other.leaf() == leaf));
    // Another file may have taken it over, unless that file had one of that name before.
    here.or_else(|| {
        let others = files.iter().zip(after).filter(|(other, _)| other.before.is_none());
        others.flat_map(|(_, tests)| &tests.tests).find(|other| other.leaf() == leaf)
    })
}

/// Files of the base in which a line is gone or a test does something else: what is merely added beside is no edit.
fn edited(files: &[ChangedFile<'_>]) -> Vec<String> {
    let after = written_after(files);
    let mut edited = BTreeSet::new();
    for (file, now) in files.iter().zip(&after) {
        let Some(text) = file.before else { continue };
        let before = tests_in(file.path, text);
        let other = |test: &Test| counterpart(test, now, files, &after).is_some_and(|other| other.text != test.text);
        if file.after.is_some_and(|after| loses_lines(text, after)) || before.tests.iter().any(other) {
            edited.insert(file.path.to_owned());
        }
    }
    edited.into_iter().collect()
}

/// Not every line is still there, in its order.
fn loses_lines(before: &[u8], after: &[u8]) -> bool {
    let lines = |text| {
        let plain = |line: &&[u8]| !line.trim_ascii().is_empty();
        <[u8]>::split(text, |byte| *byte == b'\n').map(<[u8]>::trim_ascii_end).filter(plain)
    };
    let mut after = lines(after);
    lines(before).any(|line| !after.by_ref().any(|other| other == line))
}

/// It asserted something and does no more, or does nothing at all any more.
fn emptied(before: &Test, after: &Test) -> bool {
    (before.asserts && !after.asserts) || (before.statements > 0 && after.statements == 0)
}
