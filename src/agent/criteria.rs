//! What shows that a criterion holds, or does not: checks, tests and paths that it names, its own subject where that
//! is the checks or the dependencies. Whatever else it speaks of is not known here. Start with [`shown`].
//!
//! It errs towards not known: a wrong `met` is worse than none.

use super::session::Checked;
use crate::domain::{
    check::{CheckOutcome, CheckRun, Finding, FindingKind, TestStatus, Verdict},
    event::PatchPaths,
    task::CriterionStatus::{self, Met, Unmet},
};

/// Findings of a scan, after which it counts the rest instead of telling them.
const FINDINGS_MAX: usize = 50;
/// Clauses of one criterion that are looked at.
const CLAUSES_MAX: usize = 12;
/// Shorter words are no names of tests.
const TEST_NAME_CHARS_MIN: usize = 5;

const PASSES: &[&str] = &["pass", "passes", "passing", "succeed", "succeeds", "green", "hold", "holds"];
const FAILURES: &[&str] = &["fail", "fails", "failing", "failures", "failure", "errors", "error", "regressions"];
const NEGATIONS: &[&str] = &["no", "not", "without", "never", "zero", "don't", "doesn't", "aren't", "isn't", "none"];
/// Words that speak of tests as they were.
const OLD: &[&str] =
    &["existing", "still", "keep", "keeps", "continue", "continues", "remain", "remains", "stay", "stays"];
const CHECKS: &[&str] = &["test", "tests", "suite", "check", "checks", "ci"];
/// Words that say nothing of their own beside checks that pass.
const BESIDE_CHECKS: &[&str] = &[
    "all",
    "the",
    "of",
    "a",
    "any",
    "existing",
    "unit",
    "integration",
    "regression",
    "whole",
    "full",
    "entire",
    "each",
    "every",
    "must",
    "should",
    "still",
    "keep",
    "keeps",
    "continue",
    "continues",
    "to",
    "remain",
    "remains",
    "stay",
    "stays",
    "are",
    "is",
    "run",
    "runs",
    "cleanly",
    "and",
    "with",
    "command",
    "in",
    "project",
    "project's",
    "repository",
    "repository's",
    "it",
    "on",
    "base",
];

const CHANGED: &[&str] = &["updated", "changed", "modified", "edited", "touched", "adapted"];
const ADDED: &[&str] = &["added", "created", "new"];
const THERE: &[&str] = &["exists", "exist", "present"];
const GONE: &[&str] = &["removed", "deleted", "gone"];
const KEPT: &[&str] = &["untouched", "unchanged", "unmodified"];
/// Words that say nothing of their own beside a path.
const BESIDE_PATHS: &[&str] = &[
    "the", "a", "an", "file", "files", "is", "are", "has", "have", "been", "was", "were", "at", "in", "to", "there",
    "must", "should", "be", "stays", "stay", "remains", "remain", "left", "both", "and", "now", "longer",
];
/// Files that are known by a bare name.
const BARE: &[&str] = &["readme", "changelog", "license", "licence", "contributing", "makefile", "dockerfile"];

const DEPENDENCIES: &[&str] = &["dependency", "dependencies", "package", "packages", "library", "libraries", "crates"];
const MORE: &[&str] = &[
    "new",
    "additional",
    "extra",
    "further",
    "third-party",
    "external",
    "add",
    "adds",
    "added",
    "adding",
    "introduce",
    "introduces",
    "introduced",
    "introducing",
];
/// Words that say nothing of their own beside dependencies.
const BESIDE_DEPENDENCIES: &[&str] = &[
    "do", "any", "are", "is", "be", "the", "there", "please", "must", "should", "we", "it", "runtime", "and",
    "project", "patch", "change", "with", "to", "this", "a", "of",
];
/// Manifests that no scan reads, or that are programs: what they name is not known. By name, and by ending.
const UNREAD: &[&str] = &[
    "setup.py",
    "setup.cfg",
    "Pipfile.lock",
    "mix.exs",
    "mix.lock",
    "pubspec.lock",
    "Package.swift",
    "Package.resolved",
    "build.sbt",
    "environment.yml",
    "environment.yaml",
    "conanfile.txt",
    "conanfile.py",
    "vcpkg.json",
    "rebar.config",
    "stack.yaml",
    "shard.yml",
    "deno.json",
    "deno.jsonc",
    "bun.lock",
    "bun.lockb",
    "flake.nix",
    ".gitmodules",
    "go.work",
    "packages.config",
    "CMakeLists.txt",
    "Dockerfile",
    "WORKSPACE",
    "MODULE.bazel",
];
const UNREAD_ENDINGS: &[&str] = &["gradle", "kts", "gemspec", "cabal", "rockspec", "nimble", "podspec"];

/// A status with what shows it.
pub(super) type Shown = (CriterionStatus, String);

/// What the evidence says of a criterion; absent where it says nothing. A criterion of several clauses is met where
/// each of them is, and unmet where one is.
pub(super) fn shown(text: &str, verdict: Verdict, checked: &Checked) -> Option<Shown> {
    let evidence = Evidence { verdict, checked };
    if let Some(shown) = evidence.as_a_whole(text) {
        return Some(shown);
    }
    let clauses = clauses(text);
    let each = || clauses.iter().map(|clause| evidence.clause(clause));
    if let Some(unmet) = each().flatten().find(|(status, _)| *status == Unmet) {
        return Some(unmet);
    }
    let all: Option<Vec<String>> = each().map(|one| one.map(|(_, evidence)| evidence)).collect();
    all.filter(|all| !all.is_empty() && all.len() <= CLAUSES_MAX).map(|all| (Met, all.join("; ")))
}

/// What the scan of the patch says of a text that wants no new dependencies; absent for other texts, and where it
/// cannot say.
pub(super) fn no_dependencies(text: &str, checked: &Checked) -> Option<Shown> {
    let words = words(text);
    let has = |of: &[&str]| words.iter().any(|word| word.is_in(of));
    let all = [DEPENDENCIES, MORE, NEGATIONS, BESIDE_DEPENDENCIES];
    let wants = has(DEPENDENCIES) && has(MORE) && has(NEGATIONS);
    if !wants || !words.iter().all(|word| all.iter().any(|of| word.is_in(of))) {
        return None;
    }
    if let Some(new) = checked.findings.iter().find(|finding| finding.kind == FindingKind::Dependency) {
        return Some((Unmet, new.message.clone()));
    }
    let paths = checked.paths.as_ref().filter(|paths| !paths.more && checked.findings.len() <= FINDINGS_MAX)?;
    let unread = |path: &&String| {
        let name = path.rsplit('/').next().unwrap_or(path);
        UNREAD.contains(&name) || name.rsplit_once('.').is_some_and(|(_, ending)| UNREAD_ENDINGS.contains(&ending))
    };
    let all_read = !paths.all().any(|path| unread(&path));
    all_read.then(|| (Met, "no manifest or lock file of the patch names a new package".to_owned()))
}

struct Evidence<'a> {
    verdict: Verdict,
    checked: &'a Checked,
}

impl Evidence<'_> {
    /// What every word of a text counts for.
    fn as_a_whole(&self, text: &str) -> Option<Shown> {
        self.subject(text)
            .or_else(|| self.named_checks(text))
            .or_else(|| self.paths(text))
            .or_else(|| no_dependencies(text, self.checked))
    }

    fn clause(&self, text: &str) -> Option<Shown> {
        self.as_a_whole(text).or_else(|| self.named_tests(text))
    }

    /// A text whose subject is the checks themselves: the verdict says it.
    fn subject(&self, text: &str) -> Option<Shown> {
        let words = words(text);
        if !words.iter().any(|word| word.is_in(CHECKS)) || !passes(&words) {
            return None;
        }
        let reason = self.checked.reason.clone().filter(|_| !self.checked.checks.is_empty())?;
        match self.verdict {
            Verdict::Verified => Some(match self.edited().filter(|_| words.iter().any(|word| word.is_in(OLD))) {
                Some(edited) => (Unmet, edited.message.clone()),
                None => (Met, reason),
            }),
            Verdict::Failed => Some((Unmet, reason)),
            _ => None,
        }
    }

    /// Tests of the base pass only as the patch has edited them.
    fn edited(&self) -> Option<&Finding> {
        self.checked.findings.iter().find(|finding| finding.kind == FindingKind::TestsEdited)
    }

    /// A text that says of checks by their names or commands that they pass, and nothing else.
    fn named_checks(&self, text: &str) -> Option<Shown> {
        let (mut rest, mut runs) = (text.to_owned(), Vec::new());
        for check in &self.checked.checks {
            for name in [&check.command, &check.name] {
                if let Some(without) = without(&rest, name) {
                    rest = without;
                    runs.push((name, check.final_run.as_ref()?.outcome));
                    break;
                }
            }
        }
        if runs.is_empty() || !passes(&words(&rest)) {
            return None;
        }
        if let Some((name, _)) = runs.iter().find(|(_, outcome)| *outcome == CheckOutcome::Fail) {
            return Some((Unmet, format!("`{name}` fails")));
        }
        let all_pass = runs.iter().all(|(_, outcome)| *outcome == CheckOutcome::Pass);
        let names: Vec<String> = runs.iter().map(|(name, _)| format!("`{name}` passes")).collect();
        (all_pass && self.is_sound()).then(|| (Met, names.join("; ")))
    }

    /// A text that names tests: they are what shows it.
    fn named_tests(&self, text: &str) -> Option<Shown> {
        let words = words(text);
        let runs = || self.checked.checks.iter().filter_map(|check| check.final_run.as_ref());
        let named = words.iter().filter(|word| word.is_test_name());
        let found: Vec<(&str, Option<TestStatus>)> = named
            .map(|word| {
                (word.said, runs().filter_map(|run| status(run, word.said)).max_by_key(|status| worst(*status)))
            })
            .collect();
        if let Some((name, _)) = found.iter().find(|(_, status)| *status == Some(TestStatus::Failed)) {
            return Some((Unmet, format!("`{name}` fails")));
        }
        let told: Vec<String> = found
            .iter()
            .filter(|(_, status)| *status == Some(TestStatus::Passed))
            .map(|(name, _)| format!("`{name}` passes"))
            .collect();
        // "Without the flag `test_x` fails" is not shown by one that passes.
        let turned = words.iter().any(|word| [NEGATIONS, FAILURES, GONE].iter().any(|of| word.is_in(of)));
        let skipped = found.iter().any(|(_, status)| *status == Some(TestStatus::Skipped));
        (!told.is_empty() && !skipped && !turned && self.is_sound()).then(|| (Met, told.join("; ")))
    }

    /// What passes counts: there was a change, and its tests are those of the base or better.
    fn is_sound(&self) -> bool {
        let weakened = self.checked.findings.iter().any(|finding| finding.kind == FindingKind::TestsWeakened);
        !weakened && matches!(self.verdict, Verdict::Verified | Verdict::BrokenBefore | Verdict::Failed)
    }

    /// A text that says of paths that they are added, changed, removed or left alone, and nothing else.
    fn paths(&self, text: &str) -> Option<Shown> {
        let paths = self.checked.paths.as_ref()?;
        let words = words(text);
        let (named, said): (Vec<&Word<'_>>, Vec<&Word<'_>>) = words.iter().partition(|word| word.is_path());
        let claim = claim(&said)?;
        let all: Vec<Shown> = named.iter().map(|word| claimed(claim, word, paths)).collect::<Option<_>>()?;
        if let Some(unmet) = all.iter().find(|(status, _)| *status == Unmet) {
            return Some(unmet.clone());
        }
        let told: Vec<String> = all.into_iter().map(|(_, evidence)| evidence).collect();
        (!told.is_empty()).then(|| (Met, told.join("; ")))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    Changed,
    Added,
    There,
    Gone,
    Kept,
}

/// The one thing that these words say of paths.
fn claim(said: &[&Word<'_>]) -> Option<Claim> {
    let kinds = [(CHANGED, Claim::Changed), (ADDED, Claim::Added), (THERE, Claim::There), (GONE, Claim::Gone)];
    let kinds = kinds.into_iter().chain([(KEPT, Claim::Kept)]);
    let mut found: Vec<Claim> =
        kinds.filter(|(of, _)| said.iter().any(|word| word.is_in(of))).map(|(_, claim)| claim).collect();
    let known = [CHANGED, ADDED, THERE, GONE, KEPT, NEGATIONS, BESIDE_PATHS];
    if found.len() != 1 || !said.iter().all(|word| known.iter().any(|of| word.is_in(of))) {
        return None;
    }
    let claim = found.pop()?;
    match (claim, said.iter().any(|word| word.is_in(NEGATIONS))) {
        (claim, false) => Some(claim),
        (Claim::Changed, true) => Some(Claim::Kept),
        (Claim::There, true) => Some(Claim::Gone),
        _ => None,
    }
}

fn claimed(claim: Claim, word: &Word<'_>, paths: &PatchPaths) -> Option<Shown> {
    let find = |of: &[String]| of.iter().find(|path| word.is_of(path)).cloned();
    let (added, changed, removed) = (find(&paths.added), find(&paths.changed), find(&paths.removed));
    let touched = added.clone().or(changed.clone()).or(removed.clone());
    let does = |status, verb: &str, path: String| Some((status, format!("the patch {verb} `{path}`")));
    let not_at_all = |status| {
        let certain = !paths.more && word.is_plain_path();
        (certain && touched.is_none()).then(|| (status, format!("the patch does not touch `{}`", word.said)))
    };
    match (claim, added, changed, removed) {
        (Claim::Changed | Claim::Added | Claim::There, Some(path), ..) => does(Met, "adds", path),
        (Claim::Changed | Claim::There, _, Some(path), _) => does(Met, "changes", path),
        (Claim::Changed | Claim::Added | Claim::There, _, None, Some(path)) => does(Unmet, "removes", path),
        (Claim::Changed | Claim::Added, _, None, None) => not_at_all(Unmet),
        (Claim::Gone, None, None, Some(path)) => does(Met, "removes", path),
        (Claim::Gone, Some(path), ..) | (Claim::Gone, _, Some(path), _) => does(Unmet, "keeps", path),
        (Claim::Kept, ..) => match touched.clone() {
            Some(path) => does(Unmet, "touches", path),
            None => not_at_all(Met),
        },
        _ => None,
    }
}

/// One word, as it was said, or the whole of what stood in backticks.
#[derive(Clone, Copy, Debug)]
struct Word<'a> {
    said: &'a str,
    quoted: bool,
}

impl Word<'_> {
    fn is_in(&self, list: &[&str]) -> bool {
        !self.quoted && list.iter().any(|one| self.said.eq_ignore_ascii_case(one))
    }

    /// Ordinary words are no names.
    fn is_test_name(&self) -> bool {
        let marked = self.said.contains(['_', ':', '#'])
            || self.said.as_bytes().windows(2).any(|two| two[0].is_ascii_lowercase() && two[1].is_ascii_uppercase());
        self.said.len() >= TEST_NAME_CHARS_MIN && (marked || self.quoted)
    }

    fn is_path(&self) -> bool {
        self.is_plain_path() || BARE.iter().any(|name| self.said.eq_ignore_ascii_case(name))
    }

    fn is_plain_path(&self) -> bool {
        let of_a_path = |c: char| c.is_alphanumeric() || "/._-+@[]".contains(c);
        let name = self.said.rsplit('/').next().unwrap_or(self.said);
        let ending = name.rsplit_once('.').map(|(_, ending)| ending);
        let ends =
            ending.is_some_and(|ending| (1..=10).contains(&ending.len()) && ending.chars().any(char::is_alphabetic));
        self.said.chars().all(of_a_path) && (ends || (self.said.contains('/') && self.said.len() > 2))
    }

    /// By its last components; a bare name without the file's ending.
    fn is_of(&self, path: &str) -> bool {
        let said = self.said.trim_start_matches("./").trim_start_matches("/workspace/");
        if self.is_plain_path() {
            let said = said.trim_end_matches('/');
            return path == said
                || path.ends_with(&format!("/{said}"))
                || (self.said.ends_with('/') && path.starts_with(self.said));
        }
        let name = path.rsplit('/').next().unwrap_or(path);
        name.split('.').next().is_some_and(|stem| stem.eq_ignore_ascii_case(said))
    }
}

fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    for (at, part) in text.split('`').enumerate() {
        if at % 2 == 1 {
            words.push(Word { said: part.trim(), quoted: true });
            continue;
        }
        let trimmed = part
            .split_whitespace()
            .map(|word| word.trim_matches(|c: char| ",;:!?()\"'*".contains(c)).trim_end_matches('.'));
        words.extend(trimmed.filter(|word| !word.is_empty()).map(|said| Word { said, quoted: false }));
    }
    words
}

/// Nothing is said but that checks pass, or that nothing of them fails.
fn passes(words: &[Word<'_>]) -> bool {
    let has = |of: &[&str]| words.iter().any(|word| word.is_in(of));
    let known = [PASSES, FAILURES, NEGATIONS, BESIDE_CHECKS, CHECKS];
    let (passes, fails, turned) = (has(PASSES), has(FAILURES), has(NEGATIONS));
    words.iter().all(|word| known.iter().any(|of| word.is_in(of))) && (passes || fails) && fails == turned
}

/// A text without this name, where it stands in it as a word of its own, quoted or not.
fn without(text: &str, name: &str) -> Option<String> {
    if name.is_empty() {
        return None;
    }
    let quoted = format!("`{name}`");
    if text.contains(&quoted) {
        return Some(text.replacen(&quoted, " ", 1));
    }
    let of_a_word = |c: char| c.is_alphanumeric() || "_-./".contains(c);
    let mut places = text.match_indices(name).map(|(at, _)| at);
    let at = places.find(|&at| {
        let (before, behind) = (&text[..at], &text[at + name.len()..]);
        !before.ends_with(of_a_word) && !behind.trim_start_matches('.').starts_with(of_a_word)
    })?;
    Some(format!("{} {}", &text[..at], &text[at + name.len()..]))
}

/// The worst that a run says of tests with this name, whole or its last part; absent where it names none.
fn status(run: &CheckRun, name: &str) -> Option<TestStatus> {
    let name = name.trim_end_matches("()");
    let is_it = |test: &str| {
        let bare = test.split('[').next().unwrap_or(test);
        [test, bare].iter().any(|test| {
            let rest = test.strip_suffix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with([':', '.', '/', ' ', '#', '>']))
        })
    };
    let failing = run.failing.iter().any(|test| is_it(test)).then_some(TestStatus::Failed);
    let named = run.tests.iter().flatten().filter(|test| is_it(&test.name)).map(|test| test.status);
    failing.or_else(|| named.max_by_key(|status| worst(*status)))
}

fn worst(status: TestStatus) -> u8 {
    match status {
        TestStatus::Passed => 0,
        TestStatus::Skipped => 1,
        TestStatus::Failed => 2,
    }
}

/// A text at its commas, semicolons and "and"s, but not within brackets or backticks.
fn clauses(text: &str) -> Vec<&str> {
    let (mut depth, mut quoted, mut start, mut parts) = (0_u32, false, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '`' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if quoted || depth > 0 || at < start {
            continue;
        }
        let rest = &text[at..];
        if let Some(mark) = ["; ", ", ", ". ", " and "].into_iter().find(|mark| rest.starts_with(mark)) {
            parts.push(&text[start..at]);
            start = at + mark.len();
        }
    }
    parts.push(&text[start..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}
