//! Rust: Cargo's packages and workspaces.

use super::super::{
    facts::{Discovery, Package, Purpose, check_in},
    manifests::{Repository, join, name, parent, resolve, shell_word},
    members::Members,
    read::{at, toml_texts},
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const MANIFESTS: &[&str] = &["Cargo.toml", "rustfmt.toml", ".rustfmt.toml", "clippy.toml"];

const KNOWN: &[&str] = &[
    "tokio",
    "axum",
    "actix-web",
    "rocket",
    "warp",
    "tonic",
    "leptos",
    "tauri",
    "bevy",
    "clap",
    "serde",
    "sqlx",
    "diesel",
    "sea-orm",
    "rayon",
    "pyo3",
    "wasm-bindgen",
];
const DEPENDENCIES: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

pub(super) fn find(repository: &Repository<'_>, all: &mut Discovery) {
    let homes = repository.homes(&["Cargo.toml"]);
    if homes.is_empty() {
        return;
    }
    all.manager("Cargo");
    for home in homes {
        let origin = join(home, "Cargo.toml");
        let manifest = repository.toml(&origin);
        let is_workspace = manifest.contains_key("workspace");
        let every = if is_workspace { " --workspace" } else { "" };
        all.usual(Purpose::Setup, home, "cargo fetch", &origin);
        all.usual(Purpose::Build, home, format!("cargo build{every}"), &origin);
        all.check(home, format!("cargo test{every} --no-fail-fast"), &origin);
        let of = if is_workspace { "-p PACKAGE " } else { "" };
        all.usual(Purpose::SingleTest, home, format!("cargo test {of}NAME"), &origin);
        all.usual(Purpose::Lint, home, format!("cargo clippy{every} --all-targets"), &origin);
        all.usual(Purpose::TypeCheck, home, format!("cargo check{every} --all-targets"), &origin);
        all.usual(Purpose::Format, home, "cargo fmt", &origin);
        if let Some(version) = at(&manifest, "package.rust-version").or(at(&manifest, "workspace.package.rust-version"))
        {
            all.pin("Rust", format!(">={}", version.as_str().unwrap_or("")), &origin);
        }
        packages(repository, home, &manifest, all);
    }
}

/// What a Cargo.toml says of a package.
struct Found {
    directory: String,
    name: String,
    /// Names as packages have them, and paths to their directories.
    needs: BTreeSet<String>,
    paths: Vec<String>,
}

fn packages(repository: &Repository<'_>, home: &str, root: &toml::Table, all: &mut Discovery) {
    let members = Members::of(home, &toml_texts(at(root, "workspace.members")));
    let excluded = Members::of(home, &toml_texts(at(root, "workspace.exclude")));
    // Paths of the workspace's own dependencies, which members inherit by name.
    let inherited = needs(at(root, "workspace.dependencies").and_then(toml::Value::as_table), home);
    let mut found: Vec<Found> = Vec::new();
    let mut libraries: BTreeSet<String> = inherited.0.clone();
    let mut reached: BTreeSet<String> = BTreeSet::new();
    for path in repository.named("Cargo.toml") {
        let directory = parent(path);
        let inside = home.is_empty()
            || directory == home
            || directory.strip_prefix(home).is_some_and(|rest| rest.starts_with('/'));
        let member = directory == home || members.has(directory);
        if !inside || excluded.has(directory) && !members.names(directory) {
            continue;
        }
        let manifest = repository.toml(path);
        let Some(name) = at(&manifest, "package.name").and_then(toml::Value::as_str) else { continue };
        let mut one =
            Found { directory: directory.to_owned(), name: name.to_owned(), needs: BTreeSet::new(), paths: Vec::new() };
        let targets = manifest.get("target").and_then(toml::Value::as_table).into_iter().flatten();
        let tables = std::iter::once(&manifest).chain(targets.filter_map(|(_, target)| target.as_table()));
        for group in tables.flat_map(|table| DEPENDENCIES.iter().filter_map(|name| table.get(*name))) {
            let (names, paths) = needs(group.as_table(), directory);
            libraries.extend(names.iter().cloned());
            one.needs.extend(names);
            one.paths.extend(paths);
        }
        if member {
            reached.insert(one.directory.clone());
        }
        found.push(one);
    }
    all.frameworks_among(&libraries, KNOWN, repository, |path| name(path) == "Cargo.toml");
    // Path dependencies of members are members too.
    for _ in 0..found.len() {
        let more: Vec<String> = found
            .iter()
            .filter(|one| reached.contains(&one.directory))
            .flat_map(|one| &one.paths)
            .chain(&inherited.1)
            .filter(|path| !reached.contains(*path) && found.iter().any(|one| one.directory == **path))
            .cloned()
            .collect();
        if more.is_empty() {
            break;
        }
        reached.extend(more);
    }
    found.retain(|one| reached.contains(&one.directory));
    let by_directory: BTreeMap<String, String> =
        found.iter().map(|one| (one.directory.clone(), one.name.clone())).collect();
    let names: BTreeSet<&String> = by_directory.values().collect();
    for one in &found {
        let by_path = one.paths.iter().filter_map(|path| by_directory.get(path));
        let by_name = one.needs.iter().filter(|name| names.contains(name));
        let depends_on: BTreeSet<String> = by_path.chain(by_name).filter(|name| **name != one.name).cloned().collect();
        let test = format!("cargo test -p {} --no-fail-fast", shell_word(&one.name));
        all.packages.push(Package {
            name: one.name.clone(),
            directory: one.directory.clone(),
            ecosystem: "Cargo",
            depends_on: depends_on.into_iter().collect(),
            test: Some(check_in(home, &test)),
        });
    }
}

/// Names of packages and directories of a table of dependencies.
fn needs(table: Option<&toml::Table>, directory: &str) -> (BTreeSet<String>, Vec<String>) {
    let (mut names, mut paths) = (BTreeSet::new(), Vec::new());
    for (key, value) in table.into_iter().flatten() {
        names.insert(value.get("package").and_then(toml::Value::as_str).unwrap_or(key).to_owned());
        let path = value.get("path").and_then(toml::Value::as_str);
        paths.extend(path.and_then(|path| resolve(directory, path)));
    }
    (names, paths)
}
