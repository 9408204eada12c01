//! Ecosystems whose one manifest says all that is to be known: the rest is what everybody does.

use super::super::{
    facts::{Discovery, Package, Purpose, check_in},
    manifests::{Repository, join, parent, resolve},
};
use regex::Regex;
use std::{collections::BTreeMap, sync::LazyLock};

pub(super) const MANIFESTS: &[&str] = &[
    "Package.swift",
    "build.zig",
    "dune-project",
    "project.clj",
    "deps.edn",
    "gleam.toml",
    "shard.yml",
    "Project.toml",
    "cpanfile",
    "Makefile.PL",
    "MODULE.bazel",
    "WORKSPACE",
    "WORKSPACE.bazel",
    ".swiftlint.yml",
    ".swift-version",
    "rebar.config",
    "build.zig.zon",
];

struct Marker {
    file: &'static str,
    manager: &'static str,
    /// What a path of a test ends with or holds; empty: tests are taken to be there.
    test_paths: &'static [&'static str],
    check: &'static str,
    usual: &'static [(Purpose, &'static str)],
}

const TABLE: &[Marker] = &[
    Marker {
        file: "Package.swift",
        manager: "SwiftPM",
        test_paths: &["Tests/"],
        check: "swift test",
        usual: &[
            (Purpose::Setup, "swift package resolve"),
            (Purpose::Build, "swift build"),
            (Purpose::SingleTest, "swift test --filter CLASS/NAME"),
        ],
    },
    Marker {
        file: "build.zig",
        manager: "Zig",
        test_paths: &[],
        check: "zig build test --summary all",
        usual: &[
            (Purpose::Build, "zig build"),
            (Purpose::SingleTest, "zig test PATH --test-filter NAME"),
            (Purpose::Format, "zig fmt ."),
        ],
    },
    Marker {
        file: "dune-project",
        manager: "Dune",
        test_paths: &[],
        check: "dune test",
        usual: &[
            (Purpose::Setup, "opam install . --deps-only --with-test"),
            (Purpose::Build, "dune build"),
            (Purpose::Format, "dune fmt"),
        ],
    },
    Marker {
        file: "project.clj",
        manager: "Leiningen",
        test_paths: &["test/"],
        check: "lein -o test",
        usual: &[(Purpose::Setup, "lein deps"), (Purpose::SingleTest, "lein -o test :only CLASS/NAME")],
    },
    Marker {
        file: "gleam.toml",
        manager: "Gleam",
        test_paths: &["test/"],
        check: "gleam test",
        usual: &[(Purpose::Build, "gleam build"), (Purpose::Format, "gleam format")],
    },
    Marker {
        file: "shard.yml",
        manager: "Shards",
        test_paths: &["_spec.cr"],
        check: "crystal spec -v",
        usual: &[
            (Purpose::Setup, "shards install"),
            (Purpose::SingleTest, "crystal spec PATH:LINE"),
            (Purpose::Format, "crystal tool format"),
        ],
    },
    Marker {
        file: "rebar.config",
        manager: "Rebar3",
        test_paths: &["_SUITE.erl", "_tests.erl"],
        check: "rebar3 eunit -v",
        usual: &[(Purpose::Build, "rebar3 compile"), (Purpose::TypeCheck, "rebar3 dialyzer")],
    },
    Marker {
        file: "cpanfile",
        manager: "CPAN",
        test_paths: &[".t"],
        check: "prove -lrv t",
        usual: &[(Purpose::Setup, "cpanm --installdeps ."), (Purpose::SingleTest, "prove -lv PATH")],
    },
    Marker {
        file: "Makefile.PL",
        manager: "CPAN",
        test_paths: &[".t"],
        check: "prove -lrv t",
        usual: &[(Purpose::SingleTest, "prove -lv PATH")],
    },
    Marker {
        file: "MODULE.bazel",
        manager: "Bazel",
        test_paths: &[],
        check: "",
        usual: &[
            (Purpose::Build, "bazel build //..."),
            (Purpose::Test, "bazel test //..."),
            (Purpose::SingleTest, "bazel test //PACKAGE:NAME"),
        ],
    },
];

pub(super) fn find(repository: &Repository<'_>, all: &mut Discovery) {
    for marker in TABLE {
        for home in repository.homes(&[marker.file]) {
            let origin = join(home, marker.file);
            let known = all.managers.iter().any(|name| name == marker.manager);
            all.manager(marker.manager);
            for (purpose, line) in marker.usual {
                all.usual(*purpose, home, *line, &origin);
            }
            let is_test = |path: &str| {
                let below = path.strip_prefix(home).unwrap_or(path).trim_start_matches('/');
                marker
                    .test_paths
                    .iter()
                    .any(|mark| below.ends_with(mark) || (mark.ends_with('/') && below.starts_with(mark)))
            };
            let tested = marker.test_paths.is_empty() || repository.any_below(home, is_test);
            // A build of Zig has the steps that it defines.
            let tested = tested
                && (marker.manager != "Zig" || repository.text(&origin).is_none_or(|text| text.contains("\"test\"")));
            if tested && !marker.check.is_empty() && !(known && marker.manager == "CPAN") {
                all.check(home, marker.check, &origin);
            }
        }
    }
    swift(repository, all);
}

static TOOLS_VERSION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"swift-tools-version:\s*([\d.]+)").expect("the pattern is a constant"));
static SWIFT_PATH: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"\.package\([^)]*path:\s*"([^"]+)""#).expect("the pattern is a constant"));
static SWIFT_NAME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"Package\(\s*name:\s*"([^"]+)""#).expect("the pattern is a constant"));

fn swift(repository: &Repository<'_>, all: &mut Discovery) {
    let mut found: BTreeMap<&str, (String, &str)> = BTreeMap::new();
    for path in repository.named("Package.swift") {
        let text = repository.text(path).unwrap_or("");
        if let Some(version) = TOOLS_VERSION.captures(text) {
            all.pin("Swift", format!(">={}", &version[1]), path);
        }
        let name = SWIFT_NAME.captures(text).map_or_else(|| parent(path).to_owned(), |found| found[1].to_owned());
        found.insert(parent(path), (name, text));
        let home = parent(path);
        if repository.has_in(home, ".swiftlint.yml") {
            all.usual(Purpose::Lint, home, "swiftlint", &join(home, ".swiftlint.yml"));
        }
    }
    for (directory, (name, text)) in &found {
        let paths = SWIFT_PATH.captures_iter(text).filter_map(|path| resolve(directory, &path[1]));
        let mut depends_on: Vec<String> =
            paths.filter_map(|path| found.get(path.as_str()).map(|(name, _)| name.clone())).collect();
        depends_on.sort();
        depends_on.dedup();
        let tests = repository.any_below(directory, |path| path.starts_with(&join(directory, "Tests/")));
        all.packages.push(Package {
            name: name.clone(),
            directory: (*directory).to_owned(),
            ecosystem: "SwiftPM",
            depends_on,
            test: tests.then(|| check_in(directory, "swift test")),
        });
    }
}
