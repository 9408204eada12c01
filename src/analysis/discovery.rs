//! Discovery put together: ecosystems, runners, continuous integration, conventions, pins.

use super::{
    brief::BriefInput,
    continuous, ecosystems,
    facts::{Command, Discovery, Package},
    manifests::{Repository, extension, name},
    read, runners, said, toolchains,
};

/// Of one purpose, in one directory and in all.
const SAME_PURPOSE_MAX: usize = 4;
const COMMANDS_MAX: usize = 200;
/// Packages of one repository.
const PACKAGES_MAX: usize = 1_000;

/// Finds out what the repository's manifests say. Pure; the same input gives the same.
pub fn discover(input: &BriefInput<'_>) -> Discovery {
    of(&Repository::of(input))
}

/// The packages alone, by ecosystem and directory.
pub fn packages(input: &BriefInput<'_>) -> Vec<Package> {
    discover(input).packages
}

pub(super) fn of(repository: &Repository<'_>) -> Discovery {
    let mut all = ecosystems::find(repository);
    runners::find(repository, &mut all);
    continuous::find(repository, &mut all);
    said::find(repository, &mut all);
    order(&mut all);
    runners::said_check(&mut all);
    toolchains::find(repository, &mut all);
    all.packages.sort_by(|one, other| {
        (one.ecosystem, &one.directory, &one.name).cmp(&(other.ecosystem, &other.directory, &other.name))
    });
    all.packages.truncate(PACKAGES_MAX);
    all.broken = broken(repository);
    all
}

/// By purpose, who says so, and depth; the same line once, by the first who says it.
fn order(all: &mut Discovery) {
    all.commands.sort_by_key(|command| {
        let depth = if command.directory.is_empty() { 0 } else { command.directory.matches('/').count() + 1 };
        (command.purpose, depth, command.directory.clone(), command.authority)
    });
    let mut kept: Vec<Command> = Vec::new();
    for command in std::mem::take(&mut all.commands) {
        let place = |other: &&Command| other.purpose == command.purpose && other.directory == command.directory;
        let same = kept.iter().any(|other| other.line == command.line && other.directory == command.directory);
        if !same && kept.iter().filter(place).count() < SAME_PURPOSE_MAX && kept.len() < COMMANDS_MAX {
            kept.push(command);
        }
    }
    all.commands = kept;
}

/// Manifests that were read and are not what their names say.
fn broken(repository: &Repository<'_>) -> Vec<String> {
    let wrong = |path: &str, text: &str| match extension(path) {
        "toml" => read::toml(text).is_none(),
        "json" => read::json_with_comments(text).is_none(),
        "yml" | "yaml" => read::yaml(text).is_none(),
        _ => false,
    };
    let read = |path: &str| ecosystems::is_workflow(path) || ecosystems::is_manifest(name(path));
    let own = repository.texts().filter(|(path, text)| read(path) && !text.trim().is_empty() && wrong(path, text));
    own.map(|(path, _)| path.to_owned()).collect()
}
