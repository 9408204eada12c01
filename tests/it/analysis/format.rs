//! Tests of which formatter a repository has configured, and which files may be formatted.

use journeyman::analysis::format::{Before, Configured, Formatter, consulted, formatter, may_format};
use std::collections::BTreeMap;

/// The formatter of a file in a repository of these files, as the real caller asks.
fn configured(files: &[(&str, &str)], path: &str) -> Option<Formatter> {
    let has = |wanted: &str| files.iter().any(|(path, _)| *path == wanted);
    let wanted = consulted([path].into_iter(), has);
    let read = files.iter().filter(|(path, _)| wanted.contains(*path));
    let texts: BTreeMap<String, Vec<u8>> =
        read.map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
    formatter(path, Configured { has: &has, texts: &texts })
}

#[test]
fn a_file_has_the_formatter_that_its_project_configures() {
    let package = "[package]\nname = \"a\"\nedition = \"2021\"\n";
    let inherits = "[package]\nname = \"a\"\nedition.workspace = true\n";
    let workspace = "[workspace.package]\nedition = \"2024\"\n";
    type Row<'a> = (&'a [(&'a str, &'a str)], &'a str, Option<(&'a str, &'a str, &'a str)>);
    let rustfmt = |edition| Some(("rustfmt", "src", edition));
    let rows: &[Row<'_>] = &[
        (&[("Cargo.toml", package)], "src/lib.rs", rustfmt("rustfmt --edition 2021 <")),
        (&[("Cargo.toml", "[package]\n")], "src/lib.rs", rustfmt("rustfmt --edition 2015 <")),
        (&[("Cargo.toml", "[package]\nedition = \"x; reboot\"\n")], "src/lib.rs", rustfmt("rustfmt --edition 2015 <")),
        (
            &[("Cargo.toml", workspace), ("a/Cargo.toml", inherits)],
            "a/src/lib.rs",
            Some(("rustfmt", "a/src", "rustfmt --edition 2024 <")),
        ),
        (&[], "src/lib.rs", None),
        (&[("Cargo.toml", package)], "vendor/a/lib.rs", None),
        (&[("Cargo.toml", package)], "README.md", None),
        (&[("go.mod", "module a\n")], "cmd/a.go", Some(("gofmt", "", "gofmt <"))),
        (&[], "cmd/a.go", None),
        (
            &[("pyproject.toml", "[tool.black]\n")],
            "a/b c.py",
            Some(("black", "", "black --quiet --stdin-filename 'a/b c.py' - <")),
        ),
        (
            &[("p/pyproject.toml", "[tool.ruff.format]\n")],
            "p/a.py",
            Some(("ruff format", "p", "ruff format --quiet --no-cache --stdin-filename a.py - <")),
        ),
        (&[("pyproject.toml", "[tool.ruff]\nline-length = 100\n")], "a.py", None),
        (&[("ruff.toml", "[format]\n")], "a.py", Some(("ruff format", "", "ruff format "))),
        (&[(".pre-commit-config.yaml", "- id: ruff-format\n")], "a.py", Some(("ruff format", "", "ruff format "))),
        (&[("pyproject.toml", "not = [toml")], "a.py", None),
        (
            &[("web/package.json", "{\"prettier\": {}}")],
            "web/src/-a.ts",
            Some(("prettier", "web", "--stdin-filepath src/-a.ts <")),
        ),
        (&[("package.json", "{\"name\": \"a\"}")], "a.ts", None),
        (&[(".prettierrc", "")], "a.css", Some(("prettier", "", "node_modules/.bin/prettier"))),
        (&[("biome.json", "{}")], "a.ts", Some(("biome format", "", "format --stdin-file-path=a.ts <"))),
        (&[("biome.json", "{}")], "a.scss", None),
        (
            &[(".clang-format", "")],
            "src/a.hpp",
            Some(("clang-format", "", "clang-format --style=file --assume-filename=src/a.hpp <")),
        ),
        (
            &[("pyproject.toml", "[tool.isort]\n")],
            "a/b.py",
            Some(("isort", "", "isort --quiet - < /workspace/x > /tmp/s/out")),
        ),
        (
            &[("pyproject.toml", "[tool.black]\n[tool.isort]\nprofile = \"black\"\n")],
            "a.py",
            Some((
                "black",
                "",
                "isort --quiet - < /workspace/x > /tmp/s/sorted 2> /dev/null || exit 9; black --quiet --stdin-filename a.py - < /tmp/s/sorted > /tmp/s/out",
            )),
        ),
        (
            &[(".pre-commit-config.yaml", "- id: shfmt\n")],
            "bin/run.sh",
            Some(("shfmt", "", "shfmt --filename bin/run.sh - <")),
        ),
        (&[(".editorconfig", "[*.sh]\nindent_size = 2\n")], "bin/run.sh", None),
        (
            &[("apps/a/.formatter.exs", "[]\n")],
            "apps/a/lib/a.ex",
            Some(("mix format", "apps/a", "mix format --stdin-filename lib/a.ex - <")),
        ),
        (&[(".rubocop.yml", "")], "lib/a.rb", Some(("rubocop --fix-layout", "", "--stderr --stdin lib/a.rb <"))),
        (&[("Gemfile", "gem 'rubocop'\n")], "lib/a.rb", None),
        (&[("a.csproj", ""), (".editorconfig", "")], "a.cs", None),
        (&[("Makefile", "fmt:\n\tclang-format -i *.c\n")], "a.c", None),
    ];
    for (files, path, wanted) in rows {
        let found = configured(files, path);
        let found =
            found.as_ref().map(|one| (one.name(), one.directory(path), one.probe(path, "/workspace/x", "/tmp/s")));
        match (&found, wanted) {
            (None, None) => {}
            (Some((name, directory, probe)), Some((wanted_name, wanted_directory, part))) => {
                assert_eq!((name, directory), (wanted_name, wanted_directory), "{path} in {files:?}");
                assert!(probe.contains(part), "{path} in {files:?}: {probe}");
            }
            _ => panic!("{path} in {files:?}: {found:?}, wanted {wanted:?}"),
        }
    }
}

#[test]
fn a_file_is_formatted_only_where_the_base_was_clean() {
    let like = |clean, sampled| Before::Like { clean, sampled };
    let table = [
        (Before::Itself(Some(true)), true),
        (Before::Itself(Some(false)), false),
        (Before::Itself(None), false),
        (like(0, 0), false),
        (like(1, 1), true),
        (like(1, 2), false),
        (like(2, 3), true),
        (like(20, 20), true),
    ];
    for (before, wanted) in table {
        assert_eq!(may_format(before), wanted, "{before:?}");
    }
}

#[test]
fn a_new_file_is_judged_by_its_directory_first_and_by_at_most_twenty() {
    let one = configured(&[("web/.prettierrc", "")], "web/b/new.ts").unwrap();
    let few = ["a.ts", "web/a/x.ts", "web/b/y.css", "web/b/y.ts", "web/node_modules/z.ts", "website/a.ts"];
    assert_eq!(one.samples("web/b/new.ts", few.into_iter()), ["web/b/y.ts", "web/a/x.ts"]);
    let many: Vec<String> = (0..50).map(|n| format!("web/a/{n:02}.ts")).collect();
    let found = one.samples("web/b/new.ts", many.iter().map(String::as_str));
    assert_eq!((found.len(), found[19]), (20, "web/a/19.ts"));
}
