//! Packages of a workspace of npm, pnpm, yarn, bun or Lerna, and who depends on whom.

use super::{
    super::{
        facts::{Discovery, Package, check_in},
        manifests::{Repository, join, parent},
        members::Members,
        purpose, read,
    },
    node::is_placeholder,
};
use serde_json::Value;
use std::collections::BTreeSet;

const DEPENDENCIES: &[&str] = &["dependencies", "devDependencies", "peerDependencies", "optionalDependencies"];

/// A project's root with the packages that are its members.
#[derive(Debug)]
pub(super) struct Workspace<'r> {
    home: &'r str,
    listed: bool,
    root: Member,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    directory: String,
    name: String,
    needs: BTreeSet<String>,
    has_test: bool,
    tests_here: bool,
}

impl Member {
    fn of(directory: &str, manifest: &Value) -> Self {
        let groups = DEPENDENCIES.iter().filter_map(|group| manifest[*group].as_object());
        let test = manifest["scripts"]["test"].as_str().filter(|text| !is_placeholder(text));
        Self {
            directory: directory.to_owned(),
            name: manifest["name"].as_str().unwrap_or(directory).to_owned(),
            needs: groups.flat_map(serde_json::Map::keys).cloned().collect(),
            has_test: test.is_some(),
            tests_here: test.is_some_and(|text| !purpose::needs_outside(text)),
        }
    }
}

impl<'r> Workspace<'r> {
    pub(super) fn of(repository: &Repository<'_>, home: &'r str, manifest: &Value) -> Self {
        let listed = &manifest["workspaces"];
        let listed = if listed.is_object() { &listed["packages"] } else { listed };
        let pnpm = repository.yaml(&join(home, "pnpm-workspace.yaml"));
        let lerna = repository.text(&join(home, "lerna.json")).and_then(read::json_with_comments).unwrap_or_default();
        let mut patterns = read::texts(listed);
        patterns.extend(read::texts(&pnpm["packages"]));
        patterns.extend(read::texts(&lerna["packages"]));
        let globs = Members::of(home, &patterns);
        let mut names = BTreeSet::new();
        let inside = |path: &&str| globs.has(parent(path)) && parent(path) != home;
        let members = repository.named("package.json").filter(inside).map(|path| {
            let mut member = Member::of(parent(path), &repository.json(path));
            if !names.insert(member.name.clone()) {
                member.name.clone_from(&member.directory);
            }
            member
        });
        Self { home, listed: !globs.is_empty(), root: Member::of(home, manifest), members: members.collect() }
    }

    pub(super) fn is_workspace(&self) -> bool {
        self.listed
    }

    /// Names of what the root and its members depend on.
    pub(super) fn needs(&self) -> BTreeSet<String> {
        self.members.iter().chain([&self.root]).flat_map(|member| member.needs.iter().cloned()).collect()
    }

    /// What tests all members, where the root has no script for it.
    pub(super) fn test(&self, manager: &str, manifest: &Value) -> Option<&'static str> {
        if !self.members.iter().any(|member| member.tests_here) {
            return None;
        }
        let old_yarn = manifest["packageManager"].as_str().is_none_or(|name| name.starts_with("yarn@1"));
        Some(match manager {
            "npm" => "npm test --workspaces --if-present",
            "pnpm" => "pnpm -r test",
            "yarn" if old_yarn => "yarn workspaces run test",
            "yarn" => "yarn workspaces foreach -A run test",
            _ => "bun run --filter '*' test",
        })
    }
}

/// The members; a root without members is a package itself.
pub(super) fn find(workspace: &Workspace<'_>, manager: &str, all: &mut Discovery) {
    let run = if manager == "bun" { "bun run test".to_owned() } else { format!("{manager} test") };
    if workspace.members.is_empty() {
        let root = &workspace.root;
        let own = all.checks.iter().rev().find(|check| check.workdir.as_deref().unwrap_or("") == workspace.home);
        let own = own.filter(|check| {
            ["npm ", "npx ", "node ", "pnpm ", "yarn ", "bun "].iter().any(|start| check.command.starts_with(start))
        });
        let name = if root.name.is_empty() { "root".to_owned() } else { root.name.clone() };
        let directory = root.directory.clone();
        let package = Package { name, directory, ecosystem: "npm", depends_on: Vec::new(), test: own.cloned() };
        all.packages.push(package);
        return;
    }
    let names: BTreeSet<&String> = workspace.members.iter().map(|member| &member.name).collect();
    for member in &workspace.members {
        let depends_on = member.needs.iter().filter(|name| names.contains(name) && **name != member.name);
        all.packages.push(Package {
            name: member.name.clone(),
            directory: member.directory.clone(),
            ecosystem: "npm",
            depends_on: depends_on.cloned().collect(),
            test: (member.has_test && member.tests_here).then(|| check_in(&member.directory, &run)),
        });
    }
}
