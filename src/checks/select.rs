//! From a check and the tests that failed in it to a command that runs those tests alone.
//!
//! Only where that is sure: one plain call of a known runner whose log told of everything that was to
//! run. A call inside a script, behind `&&`, or one that stops at the first failure is run whole.

use super::parse::{exunit_places, rspec_places};
use crate::domain::check::{Check, CheckRun};
use std::collections::BTreeSet;

/// Of a command line.
const COMMAND_LIMIT_BYTES: usize = 16 * 1024;

/// The check that runs only these tests, named as its log named them in `run`; absent where the
/// whole check is to be run.
pub fn select(check: &Check, run: &CheckRun, tests: &[String]) -> Option<Check> {
    // What a shell would make more of than words.
    if tests.is_empty() || check.command.contains(['&', '|', ';', '<', '>', '(', ')', '$', '`', '\\', '\n', '"', '\''])
    {
        return None;
    }
    let words: Vec<&str> = check.command.split_whitespace().collect();
    let call = words.iter().position(|word| !is_assignment(word))?;
    let complete = run.counts.is_some_and(|counts| counts.all_named);
    let (head, rest) = words.split_at(call);
    let selected = match rest {
        [program, "-m", "pytest" | "py.test", args @ ..] if is_python(program) => {
            pytest(&[program, "-m", "pytest"], args, tests)
        }
        [program, args @ ..] if matches!(leaf(program), "pytest" | "py.test") => pytest(&[program], args, tests),
        [program, "-m", "unittest", args @ ..] if is_python(program) => unittest(program, args, tests),
        ["cargo", "test" | "t", args @ ..] if complete => cargo(args, tests),
        ["cargo", "nextest", "run", args @ ..] if complete => nextest(args, tests),
        ["go", "test", args @ ..] => go(args, tests),
        ["npx", "jest", args @ ..] => jest(&["npx", "jest"], args, tests),
        [program, args @ ..] if leaf(program) == "jest" => jest(&[program], args, tests),
        ["npx", "mocha", args @ ..] => mocha(&["npx", "mocha"], args, tests),
        ["node", "--test", args @ ..] => node(args, tests),
        ["bundle", "exec", "rspec", args @ ..] => rspec(&["bundle", "exec", "rspec"], args, &run.log, tests),
        ["mix", "test", args @ ..] => mix(args, &run.log, tests),
        ["dotnet", "test", args @ ..] => dotnet(args, tests),
        [program, args @ ..] if leaf(program) == "mocha" => mocha(&[program], args, tests),
        [program, args @ ..] if leaf(program) == "rspec" => rspec(&[program], args, &run.log, tests),
        [program, args @ ..] if leaf(program) == "ctest" => ctest(program, args, tests),
        ["npx", "vitest", args @ ..] => vitest(&["npx", "vitest"], args, tests),
        [program, args @ ..] if leaf(program) == "vitest" => vitest(&[program], args, tests),
        _ => None,
    }?;
    let line: Vec<String> = head.iter().map(|word| (*word).to_owned()).chain(selected).collect();
    let command = line.join(" ");
    (command.len() <= COMMAND_LIMIT_BYTES).then(|| Check { command, ..check.clone() })
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.starts_with('-')
    })
}

fn is_python(program: &str) -> bool {
    leaf(program).starts_with("python")
}

fn leaf(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn has(args: &[&str], flags: &[&str]) -> bool {
    args.iter().any(|word| flags.contains(&word.split('=').next().unwrap_or(word)))
}

/// The options, each with its value, of a call; what names files is left out. `valued` take the next
/// word.
fn options<'a>(args: &[&'a str], valued: &[&str]) -> Vec<&'a str> {
    let mut kept = Vec::new();
    let mut words = args.iter();
    while let Some(word) = words.next() {
        if word.starts_with('-') {
            kept.push(*word);
            if valued.contains(word) {
                kept.extend(words.next());
            }
        }
    }
    kept
}

/// Node ids are relative to the root, which is where such a call runs. Names from a report are none.
fn pytest(call: &[&str], args: &[&str], tests: &[String]) -> Option<Vec<String>> {
    const VALUED: &[&str] = &["-k", "-m", "-p", "-c", "-n", "-o", "-W", "-r", "--rootdir", "--ignore", "--deselect"];
    let stops = has(args, &["-x", "--exitfirst", "--maxfail", "--lf", "--ff", "--sw", "--rootdir", "--pyargs"]);
    let files = [".py", ".txt", ".rst", ".md"];
    let is_id = |test: &String| test.split("::").next().is_some_and(|file| files.iter().any(|end| file.ends_with(end)));
    if stops || !tests.iter().all(is_id) {
        return None;
    }
    let mut line = owned(call);
    line.extend(owned(&options(args, VALUED)));
    line.extend(tests.iter().map(|test| quoted(test)));
    Some(line)
}

/// `-k` takes a part of the name and works with and without discovery (Python 3.7 and newer).
fn unittest(program: &str, args: &[&str], tests: &[String]) -> Option<Vec<String>> {
    let not_a_test =
        |test: &String| test.contains("_FailedTest") || test.ends_with("Class") || test.ends_with("Module");
    if has(args, &["-f", "--failfast", "-k"]) || tests.iter().any(not_a_test) {
        return None;
    }
    let mut line = owned(&[program, "-m", "unittest"]);
    line.extend(owned(args));
    if !has(args, &["-v", "--verbose"]) {
        // Behind `discover`, where that stands first.
        let at = if args.first() == Some(&"discover") { 4 } else { 3 };
        line.insert(at, "-v".to_owned());
    }
    line.extend(tests.iter().flat_map(|test| ["-k".to_owned(), quoted(test)]));
    Some(line)
}

/// Names begin with the target; a doctest has none that could be asked for.
fn cargo(args: &[&str], tests: &[String]) -> Option<Vec<String>> {
    let mut line = owned(&["cargo", "test"]);
    line.extend(owned(args).into_iter().filter(|word| word != "-q" && word != "--quiet"));
    if !args.contains(&"--") {
        line.push("--".to_owned());
    }
    for test in tests {
        let (target, name) = test.split_once("::")?;
        if target.ends_with(" docs") || name.contains(' ') {
            return None;
        }
        line.push(quoted(name));
    }
    line.push("--exact".to_owned());
    Some(line)
}

fn nextest(args: &[&str], tests: &[String]) -> Option<Vec<String>> {
    if has(args, &["-E", "--filter-expr", "--filterset", "--"]) {
        return None;
    }
    let each: Option<Vec<String>> =
        tests.iter().map(|test| test.rsplit_once(' ').map(|(_, name)| format!("test(={name})"))).collect();
    let mut line = owned(&["cargo", "nextest", "run"]);
    line.extend(owned(args));
    line.extend(["-E".to_owned(), quoted(&each?.join(" | "))]);
    Some(line)
}

/// Names begin with the package; a subtest is run with its whole test. Where a package alone is
/// named, it did not build.
fn go(args: &[&str], tests: &[String]) -> Option<Vec<String>> {
    if has(args, &["-run", "--run", "-failfast", "--failfast", "-args", "-skip"]) {
        return None;
    }
    let mut packages = BTreeSet::new();
    let mut names = BTreeSet::new();
    for test in tests {
        let at = [".Test", ".Example", ".Fuzz"].iter().filter_map(|mark| test.find(mark)).min()?;
        packages.insert(&test[..at]);
        names.insert(test[at + 1..].split('/').next().unwrap_or_default());
    }
    let mut line = owned(&["go", "test", "-count=1"]);
    let valued = ["-tags", "-timeout", "-parallel", "-p", "-cpu", "-mod", "-coverprofile", "-covermode", "-ldflags"];
    let mut kept = options(args, &valued);
    kept.retain(|word| !word.starts_with("-count"));
    if !has(args, &["-v", "-json"]) {
        line.push("-v".to_owned());
    }
    line.extend(owned(&kept));
    let pattern = names.into_iter().map(regex::escape).collect::<Vec<_>>().join("|");
    line.extend(["-run".to_owned(), quoted(&format!("^({pattern})$"))]);
    line.extend(packages.into_iter().map(quoted));
    Some(line)
}

/// Files, and a pattern of full names, where every name has a test in it.
fn files_and_names(tests: &[String], between: &str) -> Option<(BTreeSet<String>, String)> {
    let mut files = BTreeSet::new();
    let mut names = Vec::new();
    for test in tests {
        let mut parts = test.split(between);
        files.insert(parts.next()?.to_owned());
        let name = parts.collect::<Vec<_>>().join(" ");
        if name.is_empty() {
            return None;
        }
        names.push(regex::escape(&name));
    }
    Some((files, names.join("|")))
}

fn jest(call: &[&str], args: &[&str], tests: &[String]) -> Option<Vec<String>> {
    if has(args, &["-t", "--testNamePattern", "--bail", "-b", "--runTestsByPath"]) {
        return None;
    }
    let (files, names) = files_and_names(tests, " › ")?;
    let mut line = owned(call);
    line.extend(owned(&options(args, &["-c", "--config", "-w", "--maxWorkers", "--selectProjects"])));
    line.extend([
        "--verbose".to_owned(),
        "-t".to_owned(),
        quoted(&format!("^({names})$")),
        "--runTestsByPath".to_owned(),
    ]);
    line.extend(files.iter().map(|file| quoted(file)));
    Some(line)
}

fn vitest(call: &[&str], args: &[&str], tests: &[String]) -> Option<Vec<String>> {
    if has(args, &["-t", "--testNamePattern", "--bail", "--reporter", "watch", "dev"]) {
        return None;
    }
    let (files, names) = files_and_names(tests, " > ")?;
    let mut line = owned(call);
    line.push("run".to_owned());
    line.extend(owned(&options(args, &["-c", "--config", "--project", "--root", "-r"])));
    line.extend(["--reporter=verbose".to_owned(), "-t".to_owned(), quoted(&format!("^({names})$"))]);
    line.extend(files.iter().map(|file| quoted(file)));
    Some(line)
}

/// Full titles, joined by spaces.
fn mocha(call: &[&str], args: &[&str], tests: &[String]) -> Option<Vec<String>> {
    let taken =
        ["-g", "--grep", "-f", "--fgrep", "-i", "--invert", "-b", "--bail", "-R", "--reporter", "-w", "--watch"];
    if has(args, &taken) {
        return None;
    }
    let titles: Vec<String> = tests.iter().map(|test| regex::escape(&test.replace(" › ", " "))).collect();
    let mut line = owned(call);
    line.extend(owned(args));
    line.extend(["--grep".to_owned(), quoted(&format!("^({})$", titles.join("|")))]);
    Some(line)
}

/// Patterns are of a test's own name; others of that name run too, which harms nothing.
fn node(args: &[&str], tests: &[String]) -> Option<Vec<String>> {
    if has(args, &["--test-name-pattern", "--test-skip-pattern", "--test-only", "--test-reporter", "--watch"]) {
        return None;
    }
    let own = |test: &String| regex::escape(test.rsplit(" > ").next().unwrap_or(test)).replace('/', r"\/");
    let names: Vec<String> = tests.iter().map(own).collect();
    let mut line = owned(&["node", "--test"]);
    line.push(format!("--test-name-pattern={}", quoted(&format!("/^({})$/", names.join("|")))));
    line.extend(owned(args));
    Some(line)
}

/// By the places that the log ends with.
fn rspec(call: &[&str], args: &[&str], log: &str, tests: &[String]) -> Option<Vec<String>> {
    const VALUED: &[&str] = &["-I", "-r", "--require", "-c", "-C", "--seed", "--order", "--default-path"];
    let taken = ["--fail-fast", "-e", "--example", "-E", "-t", "--tag", "--only-failures", "-n", "--next-failure"];
    if has(args, &taken) || has(args, &["-f", "--format", "-o", "--out", "-P", "--pattern"]) {
        return None;
    }
    let mut line = owned(call);
    line.extend(owned(&options(args, VALUED)).into_iter().filter(|word| !word.starts_with("-f")));
    line.extend(["--format".to_owned(), "documentation".to_owned()]);
    line.extend(rspec_places(log, tests)?.iter().map(|place| quoted(place)));
    Some(line)
}

fn ctest(program: &str, args: &[&str], tests: &[String]) -> Option<Vec<String>> {
    let taken = ["-R", "--tests-regex", "-E", "--exclude-regex", "-I", "--tests-information", "--rerun-failed", "-N"];
    if has(args, &taken)
        || has(args, &["--show-only", "--stop-on-failure", "--repeat", "-S", "-D", "-M", "-T", "--build-and-test"])
    {
        return None;
    }
    let names: Vec<String> = tests.iter().map(|test| regex::escape(test)).collect();
    let mut line = owned(&[program]);
    line.extend(owned(args));
    line.extend(["-R".to_owned(), quoted(&format!("^({})$", names.join("|")))]);
    Some(line)
}

/// By the places below each failure's name; those of an umbrella's projects are not the whole path.
fn mix(args: &[&str], log: &str, tests: &[String]) -> Option<Vec<String>> {
    const VALUED: &[&str] = &["--seed", "--timeout", "--max-cases", "--slowest"];
    let taken =
        ["--max-failures", "--failed", "--stale", "--only", "--include", "--exclude", "--partitions", "--formatter"];
    if has(args, &taken) || log.lines().any(|line| line.starts_with("==> ")) {
        return None;
    }
    let mut line = owned(&["mix", "test"]);
    line.extend(owned(&options(args, VALUED)).into_iter().filter(|word| word != "--trace"));
    line.push("--trace".to_owned());
    line.extend(exunit_places(log, tests)?.iter().map(|place| quoted(place)));
    Some(line)
}

/// Only names that are whole and plain: a filter reads parentheses and the like as its own.
fn dotnet(args: &[&str], tests: &[String]) -> Option<Vec<String>> {
    let plain =
        |test: &String| test.contains('.') && test.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '+'));
    if has(args, &["--filter", "-l", "--logger", "-t", "--list-tests", "--"]) || !tests.iter().all(plain) {
        return None;
    }
    let names: Vec<String> = tests.iter().map(|test| format!("FullyQualifiedName={test}")).collect();
    let mut line = owned(&["dotnet", "test"]);
    line.extend(owned(args));
    line.extend(["--logger".to_owned(), quoted("console;verbosity=normal")]);
    line.extend(["--filter".to_owned(), quoted(&names.join("|"))]);
    Some(line)
}
