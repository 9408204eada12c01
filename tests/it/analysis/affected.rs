//! Tests of which packages a change reaches.

use super::discovery::with_input;
use journeyman::agent::verdict::scope;
use journeyman::analysis::{Package, affected, brief, packages};
use std::collections::BTreeMap;

fn repository() -> Vec<Package> {
    let files: BTreeMap<String, String> = [
        ("Cargo.toml", "[workspace]\nmembers = [\"crates/*\"]\n"),
        ("crates/base/Cargo.toml", "[package]\nname = \"base\"\n"),
        ("crates/mid/Cargo.toml", "[package]\nname = \"mid\"\n[dependencies]\nbase = { path = \"../base\" }\n"),
        ("crates/top/Cargo.toml", "[package]\nname = \"top\"\n[dev-dependencies]\nmid = { path = \"../mid\" }\n"),
        ("crates/alone/Cargo.toml", "[package]\nname = \"alone\"\n"),
        ("crates/base/web/package.json", "{\"name\":\"base\",\"scripts\":{\"test\":\"jest\"}}"),
    ]
    .map(|(path, text)| (path.to_owned(), text.to_owned()))
    .into();
    with_input(&files, None, packages)
}

/// Touched, dependants, elsewhere.
fn reached(paths: &[&str]) -> [Vec<String>; 3] {
    let packages = repository();
    let found = affected(&packages, paths);
    let names = |packages: &[&Package]| packages.iter().map(|one| format!("{} {}", one.ecosystem, one.name)).collect();
    let elsewhere = found.elsewhere.iter().map(|path| (*path).to_owned()).collect();
    [names(&found.touched), names(&found.dependants), elsewhere]
}

#[test]
fn a_change_reaches_its_package_and_all_that_depend_on_it() {
    let table: &[(&[&str], [&[&str]; 3])] = &[
        (&[], [&[], &[], &[]]),
        (&["crates/base/src/lib.rs"], [&["Cargo base"], &["Cargo mid", "Cargo top"], &[]]),
        (&["crates/mid/src/lib.rs", "crates/mid/README.md"], [&["Cargo mid"], &["Cargo top"], &[]]),
        (&["crates/top/tests/a.rs"], [&["Cargo top"], &[], &[]]),
        // A package of another ecosystem inside: its own files are not the outer one's, and names
        // that both have are two packages.
        (&["crates/base/web/index.js"], [&["npm base"], &[], &[]]),
        (
            &["Cargo.lock", "crates/alone/a.rs", ".github/workflows/ci.yml"],
            [&["Cargo alone"], &[], &[".github/workflows/ci.yml", "Cargo.lock"]],
        ),
        (&["docs/guide.md"], [&[], &[], &["docs/guide.md"]]),
        (&["crates/basement/x.rs"], [&[], &[], &["crates/basement/x.rs"]]),
    ];
    for (paths, wanted) in table {
        assert_eq!(reached(paths), *wanted, "{paths:?}");
    }
}

#[test]
fn packages_that_need_each_other_in_a_circle_come_to_an_end() {
    let package = |name: &str, needs: &str| Package {
        name: name.to_owned(),
        directory: name.to_owned(),
        ecosystem: "npm",
        depends_on: vec![needs.to_owned()],
        test: None,
    };
    let packages = [package("a", "b"), package("b", "a"), package("c", "a")];
    let found = affected(&packages, &["a/index.js"]);
    assert_eq!((found.touched.len(), found.dependants.len()), (1, 2));
}

#[test]
fn one_package_in_the_root_owns_everything() {
    let files: BTreeMap<String, String> = [("Cargo.toml".to_owned(), "[package]\nname = \"one\"\n".to_owned())].into();
    let packages = with_input(&files, None, packages);
    let found = affected(&packages, &["src/lib.rs", "Cargo.toml"]);
    assert_eq!((found.touched.len(), found.elsewhere.len()), (1, 0));
}

/// Directories of the packages whose own tests stand in for the root's check.
fn tested_alone(files: &[(&str, &str)]) -> Vec<String> {
    let files: BTreeMap<String, String> = files.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect();
    let brief = with_input(&files, None, brief);
    brief.packages.into_iter().filter(|one| one.test.is_some()).map(|one| one.directory).collect()
}

#[test]
fn what_configures_tools_in_the_root_keeps_no_package_from_being_tested_alone() {
    let member = "{\"name\":\"NAME\",\"scripts\":{\"test\":\"vitest run\"}}";
    let (one, two) = (member.replace("NAME", "one"), member.replace("NAME", "two"));
    let mut files = vec![
        ("package.json", "{\"private\":true,\"workspaces\":[\"packages/*\"]}"),
        ("package-lock.json", "{}"),
        ("packages/one/package.json", one.as_str()),
        ("packages/one/src/a.ts", ""),
        ("packages/two/package.json", two.as_str()),
        ("packages/two/src/b.ts", ""),
        ("eslint.config.js", ""),
        (".eslintrc.cjs", ""),
        ("vitest.workspace.ts", ""),
    ];
    assert_eq!(tested_alone(&files), ["packages/one", "packages/two"]);
    files.push(("e2e/all.test.ts", ""));
    assert_eq!(tested_alone(&files), [""; 0], "code outside that may be a test keeps them together");
}

#[test]
fn a_package_in_the_root_of_a_workspace_is_one_of_the_packages() {
    let files = [
        (
            "Cargo.toml",
            "[package]\nname = \"root\"\n[workspace]\nmembers = [\"crates/*\"]\n[dependencies]\nbase = { path = \"crates/base\" }\n",
        ),
        ("src/main.rs", ""),
        ("build.rs", ""),
        ("tests/whole.rs", ""),
        ("crates/base/Cargo.toml", "[package]\nname = \"base\"\n"),
        ("crates/base/src/lib.rs", ""),
        ("crates/alone/Cargo.toml", "[package]\nname = \"alone\"\n"),
        ("crates/alone/src/lib.rs", ""),
    ];
    assert_eq!(tested_alone(&files), ["", "crates/alone", "crates/base"]);
    let files: BTreeMap<String, String> = files.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect();
    let brief = with_input(&files, None, brief);
    let run = |touched: &[&str]| -> Vec<String> {
        scope(brief.checks.clone(), &brief.packages, touched).run.into_iter().map(|check| check.command).collect()
    };
    let of = |name: &str| format!("cargo test -p {name} --no-fail-fast");
    assert_eq!(run(&["src/main.rs"]), [of("root")]);
    assert_eq!(run(&["crates/base/src/lib.rs", "README.md"]), [of("root"), of("base")]);
    assert_eq!(run(&["crates/alone/src/lib.rs"]), [of("alone")]);
    assert_eq!(run(&["Cargo.lock"]), ["cargo test --workspace --no-fail-fast"]);
    assert_eq!(run(&["tools/x.sh"]), ["cargo test --workspace --no-fail-fast"]);
}
