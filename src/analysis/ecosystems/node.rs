//! JavaScript and TypeScript: package.json, its scripts, lock files and runners.

use super::{
    super::{
        facts::{Authority, Discovery, Purpose, check_in},
        manifests::{Repository, join, name, shell_word},
        purpose,
    },
    node_packages::{self as packages, Workspace},
};
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) const MANIFESTS: &[&str] = &[
    "package.json",
    "pnpm-workspace.yaml",
    "lerna.json",
    "nx.json",
    "turbo.json",
    "tsconfig.json",
    "project.json",
    "biome.json",
];

const KNOWN: &[&str] = &[
    "react",
    "vue",
    "svelte",
    "next",
    "nuxt",
    "astro",
    "express",
    "fastify",
    "hono",
    "@nestjs/core",
    "@angular/core",
    "electron",
    "react-native",
    "typescript",
    "jest",
    "vitest",
    "mocha",
    "ava",
    "vite",
];
const LOCKS: &[(&str, &str)] = &[
    ("pnpm-lock.yaml", "pnpm"),
    ("yarn.lock", "yarn"),
    ("bun.lockb", "bun"),
    ("bun.lock", "bun"),
    ("package-lock.json", "npm"),
    ("npm-shrinkwrap.json", "npm"),
];
/// Runners of tests, by the word that shows them, and how each runs one test.
const RUNNERS: &[(&str, &str, &str)] = &[
    ("vitest", "npx vitest run", "npx vitest run PATH -t NAME"),
    ("jest", "npx jest", "npx jest PATH -t NAME"),
    ("react-scripts", "npx react-scripts test", "npx react-scripts test PATH -t NAME"),
    ("mocha", "npx mocha", "npx mocha PATH -g NAME"),
    ("ava", "npx ava", "npx ava PATH --match=NAME"),
    ("node --test", "node --test", "node --test --test-name-pattern=NAME PATH"),
    ("bun test", "bun test", "bun test PATH -t NAME"),
];
/// Scripts that test, the first one that can be run here is a check.
const TEST_SCRIPTS: &[&str] = &["test", "test:unit", "test:ci", "unit"];

pub(super) fn find(repository: &Repository<'_>, all: &mut Discovery) {
    for home in repository.homes(&["package.json"]) {
        let path = join(home, "package.json");
        let manifest = repository.json(&path);
        let manager = manager(repository, home, &manifest);
        all.manager(manager);
        let workspace = Workspace::of(repository, home, &manifest);
        let needs = workspace.needs();
        all.frameworks_among(&needs, KNOWN, repository, |path| name(path) == "package.json");
        for (file, name) in [("turbo.json", "Turborepo"), ("nx.json", "Nx"), ("lerna.json", "Lerna")] {
            if repository.has_in(home, file) {
                all.manager(name);
            }
        }
        let project = Project { repository, home, path: &path, manifest: &manifest, manager, needs: &needs };
        project.setup(all);
        project.scripts(all);
        project.tests(&workspace, all);
        project.tools(all);
        packages::find(&workspace, manager, all);
    }
}

/// The lock file's manager, or the one that the manifest names.
fn manager(repository: &Repository<'_>, home: &str, manifest: &Value) -> &'static str {
    let lock = LOCKS.iter().find(|(file, _)| repository.has_in(home, file)).map(|(_, name)| *name);
    let named = manifest["packageManager"].as_str().and_then(|name| name.split('@').next());
    let named = named.and_then(|named| LOCKS.iter().map(|(_, name)| *name).find(|name| *name == named));
    let workspace = repository.has_in(home, "pnpm-workspace.yaml").then_some("pnpm");
    lock.or(named).or(workspace).unwrap_or("npm")
}

/// A script that npm wrote itself, or none.
pub(super) fn is_placeholder(script: &str) -> bool {
    script.contains("no test specified") || script.trim().is_empty() || matches!(script.trim(), "true" | "exit 0" | ":")
}

struct Project<'r, 'a> {
    repository: &'r Repository<'a>,
    home: &'r str,
    path: &'r str,
    manifest: &'r Value,
    manager: &'static str,
    needs: &'r BTreeSet<String>,
}

impl Project<'_, '_> {
    fn script(&self, name: &str) -> Option<&str> {
        self.manifest["scripts"][name].as_str().filter(|text| !is_placeholder(text))
    }

    fn origin(&self, script: &str) -> String {
        format!("{}: scripts.{script}", self.path)
    }

    fn setup(&self, all: &mut Discovery) {
        let locked = LOCKS.iter().find(|(file, name)| *name == self.manager && self.repository.has_in(self.home, file));
        let berry = self.manifest["packageManager"]
            .as_str()
            .is_some_and(|name| name.starts_with("yarn@") && !name.starts_with("yarn@1"))
            || self.repository.has_in(self.home, ".yarnrc.yml");
        let line = match (self.manager, locked.is_some()) {
            ("npm", true) => "npm ci",
            ("npm", false) => "npm install",
            ("pnpm", true) => "pnpm install --frozen-lockfile",
            ("pnpm", false) => "pnpm install",
            ("yarn", true) if berry => "yarn install --immutable",
            ("yarn", true) => "yarn install --frozen-lockfile",
            ("yarn", false) => "yarn install",
            (_, true) => "bun install --frozen-lockfile",
            (_, false) => "bun install",
        };
        let origin = locked.map_or(self.path.to_owned(), |(file, _)| join(self.home, file));
        all.usual(Purpose::Setup, self.home, line, &origin);
    }

    fn scripts(&self, all: &mut Discovery) {
        for (name, script) in self.manifest["scripts"].as_object().into_iter().flatten().take(200) {
            let Some(purpose) = purpose::of_name(name).filter(|_| name != "test" && name != "init") else { continue };
            if script.as_str().is_some_and(|text| !is_placeholder(text)) {
                let line = format!("{} run {}", self.manager, shell_word(name));
                all.script(purpose, self.home, line, &self.origin(name));
            }
        }
    }

    fn tests(&self, workspace: &Workspace<'_>, all: &mut Discovery) {
        let usable =
            TEST_SCRIPTS.iter().find(|name| self.script(name).is_some_and(|text| !purpose::needs_outside(text)));
        // `bun test` is bun's own runner; the script is `bun run test`.
        let run = if self.manager == "bun" { "bun run test".to_owned() } else { format!("{} test", self.manager) };
        let file = |path: &str| [".test.js", ".test.mjs", ".test.cjs"].iter().any(|end| path.ends_with(end));
        let known = |name: &str| self.needs.contains(name);
        if let Some(name) = usable {
            // With the script's own name it stands among the scripts already.
            if *name == "test" {
                all.check_by(Authority::Script, self.home, run.clone(), &self.origin("test"));
            } else {
                all.checks.push(check_in(self.home, &format!("{} run {name}", self.manager)));
            }
        } else if let Some(line) = workspace.test(self.manager, self.manifest) {
            all.check(self.home, line, self.path);
        } else if let Some((_, line, _)) = RUNNERS.iter().find(|(word, ..)| known(word)) {
            if !workspace.is_workspace() {
                all.check(self.home, *line, self.path);
            }
        } else if self.repository.any_below(self.home, file) {
            all.check(self.home, "node --test", self.path);
        } else if self.manager == "bun" && self.repository.any_below(self.home, |path| path.contains(".test.ts")) {
            all.check(self.home, "bun test", self.path);
        }
        if self.script("test").is_some() && usable != Some(&"test") {
            all.script(Purpose::Test, self.home, run, &format!("{}, not run here", self.origin("test")));
        }
        let text = TEST_SCRIPTS.iter().filter_map(|name| self.script(name)).collect::<Vec<_>>().join("\n");
        let by_script = RUNNERS.iter().find(|(word, ..)| text.contains(word));
        let by_check = || RUNNERS.iter().find(|(_, line, _)| all.checks.iter().any(|check| check.command == *line));
        if let Some((_, _, single)) =
            by_script.or_else(|| RUNNERS.iter().find(|(word, ..)| known(word))).or_else(by_check)
        {
            all.usual(Purpose::SingleTest, self.home, *single, self.path);
        }
    }

    /// Linters, formatters and the compiler, where no script says how.
    fn tools(&self, all: &mut Discovery) {
        for (tool, purpose, line, file) in [
            ("eslint", Purpose::Lint, "npx eslint .", ""),
            ("prettier", Purpose::Format, "npx prettier --write .", ""),
            ("@biomejs/biome", Purpose::Lint, "npx biome check .", "biome.json"),
            ("@biomejs/biome", Purpose::Format, "npx biome format --write .", "biome.json"),
            ("typescript", Purpose::TypeCheck, "npx tsc --noEmit", "tsconfig.json"),
        ] {
            let scripted = all.commands.iter().any(|command| {
                command.purpose == purpose && command.directory == self.home && command.origin.starts_with(self.path)
            });
            let configured = file.is_empty() || self.repository.has_in(self.home, file);
            if !scripted && configured && self.needs.contains(tool) {
                all.usual(purpose, self.home, line, self.path);
            }
        }
        if let Some(engines) = self.manifest["engines"].as_object() {
            for (tool, version) in engines.iter().take(8) {
                let known = match tool.as_str() {
                    "node" => "Node",
                    "npm" | "pnpm" | "yarn" | "bun" => tool,
                    _ => continue,
                };
                all.pin(known, version.as_str().unwrap_or(""), &format!("{}: engines", self.path));
            }
        }
        if let Some((tool, version)) = self.manifest["packageManager"].as_str().and_then(|text| text.split_once('@')) {
            let version = version.split('+').next().unwrap_or(version);
            all.pin(tool, version, &format!("{}: packageManager", self.path));
        }
        if let Some(version) = self.manifest["volta"]["node"].as_str() {
            all.pin("Node", version, &format!("{}: volta", self.path));
        }
    }
}
