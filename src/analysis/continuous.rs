//! What continuous integration runs: GitHub, GitLab, `CircleCI`, Azure, Travis.

use super::{
    brief::plain,
    ecosystems,
    facts::{Authority, Discovery},
    manifests::{Repository, resolve},
    purpose,
};
use serde_json::Value;

/// Commands taken from all files.
const LINES_MAX: usize = 60;
const LINE_CHARS_MAX: usize = 160;
/// How deep steps may lie.
const DEPTH_MAX: usize = 14;
const SCRIPTS: &[&str] = &["run", "script", "command", "bash", "before_script", "install"];
const DIRECTORIES: &[&str] = &["working-directory", "working_directory", "workingDirectory"];

pub(super) fn find(repository: &Repository<'_>, all: &mut Discovery) {
    let mut steps = Steps { repository, file: "", found: 0, all };
    let shared = [".gitlab-ci.yml", ".travis.yml", "azure-pipelines.yml"];
    let files: Vec<&str> = repository
        .texts()
        .map(|(path, _)| path)
        .filter(|path| ecosystems::is_workflow(path) || shared.contains(path))
        .collect();
    for file in files {
        let value = repository.yaml(file);
        steps.file = file;
        steps.walk(&value, &mut Vec::new(), "", 0);
    }
}

struct Steps<'r, 'a, 'd> {
    repository: &'r Repository<'a>,
    file: &'r str,
    found: usize,
    all: &'d mut Discovery,
}

impl Steps<'_, '_, '_> {
    /// `keys`: names on the way down, without the numbers of steps.
    fn walk(&mut self, value: &Value, keys: &mut Vec<String>, directory: &str, depth: usize) {
        if depth > DEPTH_MAX || self.found >= LINES_MAX {
            return;
        }
        match value {
            Value::Array(list) => list.iter().for_each(|one| self.walk(one, keys, directory, depth + 1)),
            Value::Object(map) => {
                let named = DIRECTORIES.iter().find_map(|key| map.get(*key)?.as_str());
                let defaults = map.get("defaults").and_then(|all| all["run"]["working-directory"].as_str());
                let directory = named.or(defaults).unwrap_or(directory);
                for (key, below) in map.iter().filter(|(key, _)| *key != "defaults") {
                    if SCRIPTS.contains(&key.as_str()) {
                        self.script(below, keys, directory);
                    }
                    let named = !matches!(key.as_str(), "steps" | "run");
                    if named {
                        keys.push(key.clone());
                    }
                    self.walk(below, keys, directory, depth + 1);
                    if named {
                        keys.pop();
                    }
                }
            }
            _ => {}
        }
    }

    fn script(&mut self, value: &Value, keys: &[String], directory: &str) {
        match value {
            Value::String(text) => self.lines(text, keys, directory),
            Value::Array(list) => {
                let joined: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
                // Lines of one script share what a `cd` did.
                self.lines(&joined.join("\n"), keys, directory);
            }
            _ => {}
        }
    }

    fn lines(&mut self, text: &str, keys: &[String], directory: &str) {
        let text = text.replace("\\\n", " ");
        let mut here = directory.to_owned();
        for part in text.lines().flat_map(|line| line.split("&&")) {
            let line = part.split_whitespace().collect::<Vec<_>>().join(" ");
            if let Some(to) = line.strip_prefix("cd ") {
                here = resolve(&here, to.trim_matches(['"', '\''])).unwrap_or_default();
                continue;
            }
            let Some(purpose) = purpose::of_line(&line) else { continue };
            let variable = line.contains("${{") || line.contains("$(") || here.contains('$');
            if variable || line.len() > LINE_CHARS_MAX || line.contains(['|', '`']) || purpose::needs_outside(&line) {
                continue;
            }
            let Some(here) = resolve("", &here) else { continue };
            if self.repository.below(&here).is_empty() {
                continue;
            }
            let line = plain(&line, LINE_CHARS_MAX);
            let key = if keys.is_empty() { String::new() } else { format!(": {}", plain(&keys.join("."), 60)) };
            let seen = self.all.commands.iter().any(|command| command.line == line && command.directory == here);
            if !seen && self.found < LINES_MAX {
                self.found += 1;
                let origin = format!("{}{key}", self.file);
                self.all.add(Authority::ContinuousIntegration, purpose, &here, line, &origin);
            }
        }
    }
}
