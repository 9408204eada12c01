//! What each ecosystem's manifests say: one file an ecosystem, one table of all.
//!
//! Checks are chosen with care: one test command a project, one that is likely to run in a sandbox
//! without network and whose log names its tests.

mod c;
mod cargo;
mod dart;
mod deno;
mod dotnet;
mod elixir;
mod go;
mod gradle;
mod haskell;
mod markers;
mod maven;
mod node;
mod node_packages;
mod php;
mod python;
mod python_packages;
mod ruby;
mod scala;

use super::{
    facts::Discovery,
    manifests::{Repository, extension},
};

/// An ecosystem: the names and endings of its manifests, and what reads them.
struct Ecosystem {
    manifests: &'static [&'static str],
    endings: &'static [&'static str],
    find: fn(&Repository<'_>, &mut Discovery),
}

/// In the order in which their checks run.
const TABLE: &[Ecosystem] = &[
    Ecosystem { manifests: cargo::MANIFESTS, endings: &[], find: cargo::find },
    Ecosystem { manifests: python::MANIFESTS, endings: &[], find: python::find },
    Ecosystem { manifests: go::MANIFESTS, endings: &[], find: go::find },
    Ecosystem { manifests: deno::MANIFESTS, endings: &[], find: deno::find },
    Ecosystem { manifests: node::MANIFESTS, endings: &[], find: node::find },
    Ecosystem { manifests: maven::MANIFESTS, endings: &[], find: maven::find },
    Ecosystem { manifests: gradle::MANIFESTS, endings: &[], find: gradle::find },
    Ecosystem { manifests: scala::MANIFESTS, endings: &[], find: scala::find },
    Ecosystem { manifests: &[], endings: dotnet::ENDINGS, find: dotnet::find },
    Ecosystem { manifests: ruby::MANIFESTS, endings: ruby::ENDINGS, find: ruby::find },
    Ecosystem { manifests: php::MANIFESTS, endings: &[], find: php::find },
    Ecosystem { manifests: elixir::MANIFESTS, endings: &[], find: elixir::find },
    Ecosystem { manifests: dart::MANIFESTS, endings: &[], find: dart::find },
    Ecosystem { manifests: haskell::MANIFESTS, endings: haskell::ENDINGS, find: haskell::find },
    Ecosystem { manifests: c::MANIFESTS, endings: &[], find: c::find },
    Ecosystem { manifests: markers::MANIFESTS, endings: &[], find: markers::find },
];

/// Files that several ecosystems share: runners, continuous integration, pins, conventions.
const SHARED: &[&str] = &[
    "GNUmakefile",
    "Makefile",
    "makefile",
    "justfile",
    "Justfile",
    ".justfile",
    "Taskfile.yml",
    "Taskfile.yaml",
    "CLAUDE.md",
    ".editorconfig",
    ".gitlab-ci.yml",
    ".travis.yml",
    "azure-pipelines.yml",
    "rust-toolchain",
    "rust-toolchain.toml",
    ".python-version",
    ".nvmrc",
    ".node-version",
    ".tool-versions",
    ".ruby-version",
    ".java-version",
    ".go-version",
    ".sdkmanrc",
    "global.json",
    "mise.toml",
    ".mise.toml",
];

/// Checks that one ecosystem may give: beyond that a repository is no single project, and what a
/// change touches is for packages to say.
const CHECKS_MAX: usize = 4;

/// All that the ecosystems' manifests say.
pub(super) fn find(repository: &Repository<'_>) -> Discovery {
    let mut all = Discovery::default();
    for ecosystem in TABLE {
        let before = all.checks.len();
        (ecosystem.find)(repository, &mut all);
        if all.checks.len() - before > CHECKS_MAX {
            all.checks.truncate(before);
        }
    }
    all
}

/// Whether a file of this name, wherever it is, is a manifest or says something like one.
pub(super) fn is_manifest(name: &str) -> bool {
    SHARED.contains(&name)
        || TABLE.iter().any(|ecosystem| {
            ecosystem.manifests.contains(&name) || ecosystem.endings.iter().any(|ending| name.ends_with(ending))
        })
}

/// Continuous integration whose place tells it.
pub(super) fn is_workflow(path: &str) -> bool {
    let yaml = matches!(extension(path), "yml" | "yaml");
    yaml && (path.strip_prefix(".github/workflows/").is_some_and(|rest| !rest.contains('/'))
        || path.starts_with(".circleci/"))
}
