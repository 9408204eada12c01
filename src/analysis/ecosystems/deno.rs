//! Deno: its configuration, tasks and workspaces.

use super::super::{
    facts::{Authority, Discovery, Package, Purpose, check_in},
    manifests::{Repository, join, parent},
    members::Members,
    purpose,
    read::{self, texts},
};
use serde_json::Value;

pub(super) const MANIFESTS: &[&str] = &["deno.json", "deno.jsonc"];

pub(super) fn find(repository: &Repository<'_>, all: &mut Discovery) {
    for home in repository.homes(MANIFESTS) {
        let Some(file) = repository.first_in(home, MANIFESTS) else { continue };
        let origin = join(home, file);
        let manifest = read(repository, &origin);
        all.manager("Deno");
        let mut tested = false;
        for (name, task) in manifest["tasks"].as_object().into_iter().flatten().take(100) {
            let Some(purpose) = purpose::of_name(name) else { continue };
            let line = format!("deno task {name}");
            let origin = format!("{origin}: tasks.{name}");
            let text = task.as_str().or(task["command"].as_str()).unwrap_or("");
            if name == "test" && !purpose::needs_outside(text) {
                tested = true;
                all.check_by(Authority::Script, home, line, &origin);
            } else {
                all.script(purpose, home, line, &origin);
            }
        }
        let test = |path: &str| {
            ["_test.ts", ".test.ts", "_test.js", "_test.tsx", ".test.tsx"].iter().any(|end| path.ends_with(end))
        };
        if !tested && repository.any_below(home, test) {
            all.check(home, "deno test", &origin);
        }
        all.usual(Purpose::SingleTest, home, "deno test PATH --filter NAME", &origin);
        all.usual(Purpose::Setup, home, "deno install", &origin);
        all.usual(Purpose::Lint, home, "deno lint", &origin);
        all.usual(Purpose::TypeCheck, home, "deno check .", &origin);
        all.usual(Purpose::Format, home, "deno fmt", &origin);
        packages(repository, home, &manifest, all);
    }
}

fn read(repository: &Repository<'_>, path: &str) -> Value {
    repository.text(path).and_then(read::json_with_comments).unwrap_or_default()
}

fn packages(repository: &Repository<'_>, home: &str, manifest: &Value, all: &mut Discovery) {
    let listed = &manifest["workspace"];
    let listed = if listed.is_object() { &listed["members"] } else { listed };
    let members = Members::of(home, &texts(listed));
    let found: Vec<(&str, String, String)> = repository
        .manifests
        .iter()
        .filter(|path| MANIFESTS.contains(&super::super::manifests::name(path)) && members.has(parent(path)))
        .map(|path| {
            let manifest = read(repository, path);
            let name = manifest["name"].as_str().unwrap_or(parent(path)).to_owned();
            (parent(path), name, manifest["imports"].to_string())
        })
        .collect();
    for (directory, name, imports) in &found {
        let needs =
            found.iter().map(|(_, other, _)| other).filter(|other| *other != name && imports.contains(other.as_str()));
        all.packages.push(Package {
            name: name.clone(),
            directory: (*directory).to_owned(),
            ecosystem: "Deno",
            depends_on: needs.cloned().collect(),
            test: Some(check_in(directory, "deno test")),
        });
    }
}
