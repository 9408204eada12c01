//! Tests of which packages a change reaches.

use super::discovery::with_input;
use journeyman::analysis::{Package, affected, packages};
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
