//! Packages of Python in one repository: what they are called, need, and how each is tested.

use super::super::{
    facts::{Discovery, Package, check_in},
    manifests::{Repository, is_own, is_python_test, join, name, parent, resolve},
    read::{at, toml_texts},
};
use std::collections::{BTreeMap, BTreeSet};

/// Tables of dependencies whose keys are names.
const TABLES: &[&str] = &["tool.poetry.dependencies", "tool.poetry.dev-dependencies", "tool.uv.sources"];

/// Names of what a project depends on, for development too, as the index normalises them.
pub(super) fn needs(repository: &Repository<'_>, home: &str, manifest: &toml::Table) -> BTreeSet<String> {
    let mut lines: Vec<&str> = toml_texts(at(manifest, "project.dependencies"));
    lines.extend(toml_texts(at(manifest, "tool.uv.dev-dependencies")));
    for path in ["project.optional-dependencies", "dependency-groups", "tool.pdm.dev-dependencies"] {
        let groups = at(manifest, path).and_then(toml::Value::as_table);
        lines.extend(groups.into_iter().flatten().flat_map(|(_, group)| toml_texts(Some(group))));
    }
    let setup = [
        "requirements.txt",
        "requirements-dev.txt",
        "requirements-test.txt",
        "requirements_dev.txt",
        "dev-requirements.txt",
        "test-requirements.txt",
    ];
    lines.extend(setup.iter().flat_map(|file| repository.text_in(home, file).lines()));
    let mut names: BTreeSet<String> = lines.into_iter().filter_map(requirement).collect();
    let pipfile = repository.toml(&join(home, "Pipfile"));
    let groups = at(manifest, "tool.poetry.group").and_then(toml::Value::as_table);
    let of_groups = groups.into_iter().flatten().filter_map(|(_, group)| group.get("dependencies"));
    let tables = TABLES.iter().filter_map(|path| at(manifest, path)).chain(of_groups);
    let tables = tables.chain(["packages", "dev-packages"].iter().filter_map(|key| pipfile.get(*key)));
    for table in tables.filter_map(toml::Value::as_table) {
        names.extend(table.keys().map(|key| normal(key)));
    }
    // Lists of setup files, quoted or one a line.
    for file in ["setup.py", "setup.cfg"] {
        let words = repository.text_in(home, file).split(['"', '\'', '\n']);
        names.extend(words.filter(|word| word.len() < 80).filter_map(requirement));
    }
    names
}

/// The name of a line such as `Django[bcrypt]>=4; python_version > "3"`.
fn requirement(line: &str) -> Option<String> {
    let line = line.trim();
    let end = line.find(|letter: char| !(letter.is_ascii_alphanumeric() || "._-".contains(letter)));
    let name = &line[..end.unwrap_or(line.len())];
    (name.starts_with(|letter: char| letter.is_ascii_alphabetic())).then(|| normal(name))
}

fn normal(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// Every directory with a pyproject that names a project, or with a setup file.
pub(super) fn find(repository: &Repository<'_>, all: &mut Discovery) {
    struct One<'a> {
        directory: &'a str,
        needs: BTreeSet<String>,
        paths: Vec<String>,
    }
    let mut found: BTreeMap<String, One<'_>> = BTreeMap::new();
    let manifests =
        repository.named("pyproject.toml").chain(repository.named("setup.cfg")).chain(repository.named("setup.py"));
    for path in manifests {
        let directory = parent(path);
        if found.values().any(|one| one.directory == directory) {
            continue;
        }
        let manifest = repository.toml(&join(directory, "pyproject.toml"));
        let named = at(&manifest, "project.name").or(at(&manifest, "tool.poetry.name")).and_then(toml::Value::as_str);
        let metadata = repository
            .text_in(directory, "setup.cfg")
            .lines()
            .find_map(|line| line.strip_prefix("name").and_then(|rest| rest.trim().strip_prefix('=')).map(str::trim));
        let Some(named) = named.or(metadata).or((name(path) == "setup.py").then(|| name(directory))) else { continue };
        let mut paths = Vec::new();
        let groups = at(&manifest, "tool.poetry.group").and_then(toml::Value::as_table);
        let groups = groups.into_iter().flatten().filter_map(|(_, group)| group.get("dependencies"));
        for table in
            TABLES.iter().filter_map(|path| at(&manifest, path)).chain(groups).filter_map(toml::Value::as_table)
        {
            let named = table.values().filter_map(|value| value.get("path").and_then(toml::Value::as_str));
            paths.extend(named.filter_map(|path| resolve(directory, path)));
        }
        let named = if named.is_empty() { "root".to_owned() } else { normal(named) };
        let needs = needs(repository, directory, &manifest);
        let named = if found.contains_key(&named) { directory.to_owned() } else { named };
        found.insert(named, One { directory, needs, paths });
    }
    for (named, one) in &found {
        let depends_on = found.iter().filter(|(name, other)| {
            *name != named && (one.needs.contains(*name) || one.paths.iter().any(|path| path == other.directory))
        });
        all.packages.push(Package {
            name: named.clone(),
            directory: one.directory.to_owned(),
            ecosystem: "Python",
            depends_on: depends_on.map(|(name, _)| name.clone()).collect(),
            test: test(repository, one.directory, all),
        });
    }
}

/// The project's own test command, in the package's directory if it has tests of its own.
fn test(repository: &Repository<'_>, directory: &str, all: &Discovery) -> Option<crate::domain::check::Check> {
    let tests = repository.any_below(directory, |path| is_python_test(name(path)) && is_own(path));
    let of_home = all.checks.iter().find(|check| {
        let home = check.workdir.as_deref().unwrap_or("");
        check.command.contains("python3 ")
            && (home.is_empty() || directory == home || directory.starts_with(&format!("{home}/")))
    })?;
    let same = of_home.workdir.as_deref().unwrap_or("") == directory;
    let line = if same {
        of_home.command.clone()
    } else if of_home.command.contains("pytest") {
        "python3 -m pytest".to_owned()
    } else {
        "python3 -m unittest discover -v".to_owned()
    };
    tests.then(|| check_in(directory, &line))
}
