//! Checks of a monorepo: those that a change calls for.

use super::runs::{detected, pass, tests};
use journeyman::{
    agent::verdict::{Decision, VerdictInput, decide, scope},
    domain::{
        brief::Package,
        check::{Check, CheckSource, TestChange},
    },
};

fn package(directory: &str, depends_on: &[&str]) -> Package {
    let depends_on = depends_on.iter().map(|one| (*one).to_owned()).collect();
    Package { directory: directory.to_owned(), depends_on, test: None }
}

fn check(name: &str, workdir: &str, source: CheckSource) -> Check {
    let workdir = (!workdir.is_empty()).then(|| workdir.to_owned());
    Check { name: name.to_owned(), workdir, ..Check::command("make test", source) }
}

/// Names of the checks that run.
fn run(touched: &[&str]) -> String {
    let packages = [
        package("", &[]),
        package("core", &[]),
        package("api", &["core"]),
        package("web", &["api"]),
        package("web/icons", &[]),
        package("docs", &["docs"]),
    ];
    let checks = ["core", "api", "web", "web/icons", "docs", ""]
        .iter()
        .map(|directory| check(if directory.is_empty() { "root" } else { directory }, directory, CheckSource::Detected))
        .chain([check("named", "docs", CheckSource::Task), check("settings", "docs", CheckSource::Repository)]);
    let scope = scope(checks.collect(), &packages, touched);
    assert_eq!(scope.run.len() + scope.left_out.len(), 8);
    scope.run.iter().map(|check| check.name.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn packages_that_are_touched_and_those_that_depend_on_them_are_checked() {
    let all = "core api web web/icons docs root named settings";
    for (touched, expected) in [
        (&["core/src/a.rs"][..], "core api web root named settings"),
        (&["web/a.ts"], "web root named settings"),
        (&["web/icons/a.svg"], "web/icons root named settings"),
        (&["docs/a.md"], "docs root named settings"),
        (&["api/a", "docs/a.md"], "api web docs root named settings"),
        (&["core-extra/a.rs"], all),
        (&["src/main.rs"], "root named settings"),
        (&["README.md", "core/src/a.rs"], "core api web root named settings"),
        (&["Cargo.toml", "core/src/a.rs"], all),
        (&["eslint.config.js"], all),
        (&["docs/a.md", "package-lock.json"], all),
        (&[], all),
    ] {
        assert_eq!(run(touched), expected, "{touched:?}");
    }
}

#[test]
fn without_packages_every_check_runs() {
    let checks = vec![check("a", "a", CheckSource::Detected), check("b", "b", CheckSource::Detected)];
    assert_eq!(scope(checks.clone(), &[], &["a/x"]).run, checks);
}

#[test]
fn checks_that_were_left_out_are_named_in_the_reason() {
    let reason = |left_out: &[String], empty_patch: bool| {
        let change = TestChange { base_has_tests: true, empty_patch, ..TestChange::default() };
        let checks = [detected(tests("+a"), pass())];
        match decide(VerdictInput { checks: &checks, change: &change, reran: true, weakening_approved: true, left_out })
        {
            Decision::Decided(decided) => decided.reason,
            needs @ Decision::NeedsRerun { .. } => panic!("{needs:?}"),
        }
    };
    let names = ["docs".to_owned(), "web".to_owned()];
    assert!(reason(&names, false).ends_with("; 2 checks of untouched packages were not run: docs, web"));
    assert!(reason(&names[..1], false).ends_with("; 1 check of an untouched package was not run: docs"));
    assert!(!reason(&names, true).contains("not run"));
}

#[test]
fn tests_of_packages_take_the_place_of_the_root_s_one_check_where_they_are_all_there_is() {
    let own = |directory: &str, needs: &[&str]| {
        let test = Some(check(directory, directory, CheckSource::Detected));
        Package { test, ..package(directory, needs) }
    };
    let packages = [own("core", &[]), own("api", &["core"]), own("web", &[])];
    let root = || vec![check("root", "", CheckSource::Detected), check("named", "", CheckSource::Task)];
    let names = |checks: &[Check]| checks.iter().map(|check| check.name.clone()).collect::<Vec<_>>().join(" ");
    let of = |checks: Vec<Check>, packages: &[Package], touched: &[&str]| {
        let scope = scope(checks, packages, touched);
        (names(&scope.run), names(&scope.left_out))
    };
    let pair = |run: &str, left_out: &str| (run.to_owned(), left_out.to_owned());
    assert_eq!(of(root(), &packages, &["core/a.rs"]), pair("named core api", "web"));
    assert_eq!(of(root(), &packages, &["core/a.rs", "web/a.rs"]), pair("root named", ""), "all are reached");
    assert_eq!(of(root(), &packages, &["Cargo.lock"]), pair("root named", ""));
    let two = || [root(), vec![check("lint", "", CheckSource::Detected)]].concat();
    assert_eq!(of(two(), &packages, &["core/a.rs"]), pair("root named lint", ""));
    let mut untested = packages.clone();
    untested[2].test = None;
    assert_eq!(of(root(), &untested, &["core/a.rs"]), pair("root named", ""));
}
