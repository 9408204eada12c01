//! Targets of make, just and Task: what a repository's people type.

use super::{
    facts::{Authority, Discovery, Purpose, check_in},
    manifests::{Repository, join},
    purpose,
    read::{texts, yaml},
};
use serde_json::Value;
use std::collections::BTreeMap;

const MAKEFILES: &[&str] = &["GNUmakefile", "makefile", "Makefile"];
const JUSTFILES: &[&str] = &["justfile", "Justfile", ".justfile"];
const TASKFILES: &[&str] = &["Taskfile.yml", "Taskfile.yaml"];
/// How deep prerequisites are followed.
const DEPTH_MAX: usize = 6;
/// Directories below the root whose runners are looked at.
const HOMES_MAX: usize = 12;
/// Targets that test, the first that is there goes before the others.
const TESTS: &[&str] = &["test", "tests", "check", "unit", "unittest", "unit-test", "unit-tests", "test-unit"];

/// A target with the commands that it runs and the targets before it.
#[derive(Debug, Default)]
struct Target {
    line: usize,
    before: Vec<String>,
    recipe: String,
}

type Targets = BTreeMap<String, Target>;

struct Runner {
    manager: &'static str,
    program: &'static str,
    files: &'static [&'static str],
    parse: fn(&str) -> Targets,
}

const RUNNERS: &[Runner] = &[
    Runner { manager: "make", program: "make", files: MAKEFILES, parse: make },
    Runner { manager: "just", program: "just", files: JUSTFILES, parse: just },
    Runner { manager: "Task", program: "task", files: TASKFILES, parse: task },
];

/// Tests of a runner are a check only where no ecosystem gave one: else they would run twice.
pub(super) fn find(repository: &Repository<'_>, all: &mut Discovery) {
    for Runner { manager, program, files, parse } in RUNNERS {
        for home in repository.homes(files).into_iter().take(HOMES_MAX) {
            let Some(file) = repository.first_in(home, files) else { continue };
            let origin = join(home, file);
            let targets = parse(repository.text(&origin).unwrap_or(""));
            all.manager(manager);
            add(program, home, &origin, &targets, all);
        }
    }
}

fn add(program: &str, home: &str, origin: &str, targets: &Targets, all: &mut Discovery) {
    let checked = all.checks.iter().any(|check| {
        let other = check.workdir.as_deref().unwrap_or("");
        home.is_empty() || other == home || other.starts_with(&format!("{home}/"))
    });
    let usable = |name: &&&str| targets.contains_key(**name) && !outside(targets, name, 0);
    let test = TESTS.iter().find(usable).filter(|_| !checked);
    for (name, target) in targets {
        let Some(purpose) = purpose::of_name(name) else { continue };
        let note = if purpose == Purpose::Test && outside(targets, name, 0) { ", not run here" } else { "" };
        all.script(purpose, home, format!("{program} {name}"), &format!("{origin}:{}{note}", target.line));
    }
    if let Some(test) = test {
        all.checks.push(check_in(home, &format!("{program} {test}")));
    }
}

/// Whether it, or what it needs first, wants what a workspace has not.
fn outside(targets: &Targets, name: &str, depth: usize) -> bool {
    let Some(target) = targets.get(name).filter(|_| depth < DEPTH_MAX) else { return false };
    purpose::needs_outside(&target.recipe) || target.before.iter().any(|before| outside(targets, before, depth + 1))
}

fn make(text: &str) -> Targets {
    let mut targets = Targets::new();
    let mut open: Vec<String> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(command) = line.strip_prefix('\t') {
            for name in &open {
                if let Some(target) = targets.get_mut(name) {
                    target.recipe.push_str(command);
                    target.recipe.push('\n');
                }
            }
            continue;
        }
        let rule = line.split_once(':').filter(|(head, rest)| {
            !line.starts_with([' ', '#', '.']) && !rest.starts_with(['=', ':']) && !head.contains(['=', '$', '%'])
        });
        let Some((head, rest)) = rule else {
            if !line.trim().is_empty() && !line.starts_with(['#', ' ']) {
                open.clear();
            }
            continue;
        };
        let (before, inline) = rest.split_once(';').unwrap_or((rest, ""));
        let before = before.split('#').next().unwrap_or("");
        open = head.split_whitespace().map(str::to_owned).collect();
        for name in &open {
            let target = targets.entry(name.clone()).or_default();
            if target.line == 0 {
                target.line = index + 1;
            }
            target.before.extend(before.split_whitespace().map(str::to_owned));
            target.recipe.push_str(inline);
        }
    }
    targets
}

fn just(text: &str) -> Targets {
    let mut targets = Targets::new();
    let mut open = None;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with([' ', '\t']) {
            if let Some(target) = open.as_ref().and_then(|name: &String| targets.get_mut(name)) {
                target.recipe.push_str(line.trim());
                target.recipe.push('\n');
            }
            continue;
        }
        let Some((head, rest)) = line.split_once(':') else { continue };
        if line.starts_with(['#', '['])
            || rest.starts_with('=')
            || head.starts_with("set ")
            || head.starts_with("alias ")
        {
            continue;
        }
        let mut words = head.trim_start_matches('@').split_whitespace();
        let Some(name) = words.next() else { continue };
        // A recipe whose arguments have no values cannot be run as it is.
        if words.any(|word| !word.contains('=') && !word.starts_with('*')) {
            open = None;
            continue;
        }
        let before = rest.split_whitespace().map(|word| word.trim_matches(['(', ')', '&']).to_owned());
        targets.insert(name.to_owned(), Target { line: index + 1, before: before.collect(), recipe: String::new() });
        open = Some(name.to_owned());
    }
    targets
}

fn task(text: &str) -> Targets {
    let file = yaml(text).unwrap_or_default();
    let line = |name: &str| {
        let head = format!("{name}:");
        text.lines()
            .position(|line| line.trim() == head || line.trim().starts_with(&format!("{head} ")))
            .map_or(1, |at| at + 1)
    };
    let tasks = file["tasks"].as_object().into_iter().flatten();
    let tasks = tasks.filter(|(_, task)| task["internal"] != Value::Bool(true));
    tasks
        .map(|(name, task)| {
            let commands = if task.is_object() { &task["cmds"] } else { task };
            let recipe = commands.to_string() + task["cmd"].as_str().unwrap_or("");
            let before = texts(&task["deps"]).into_iter().map(str::to_owned).collect();
            (name.clone(), Target { line: line(name), before, recipe })
        })
        .collect()
}

/// What only tests, where nothing but a conventions file says how: a plain command of one line.
pub(super) fn said_check(all: &mut Discovery) {
    // Packages with tests and no check are too many for one command.
    if !all.checks.is_empty() || all.packages.iter().any(|package| package.test.is_some()) {
        return;
    }
    let plain = |line: &str| !line.contains(['|', ';', '&', '>', '<', '$', '`', '(']) && !purpose::needs_outside(line);
    let said = all.commands.iter().find(|command| {
        command.purpose == Purpose::Test
            && matches!(command.authority, Authority::Conventions | Authority::ContinuousIntegration)
            && plain(&command.line)
    });
    if let Some((directory, line)) = said.map(|command| (command.directory.clone(), command.line.clone())) {
        all.checks.push(check_in(&directory, &line));
    }
}
