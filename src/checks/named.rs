//! Files that steer how tests run because a configuration names them: plugins, modules that are loaded first, set-ups.
//! A guess by words, on the safe side, as in [`steer`](super::steer).

use super::{
    commands::{Runs, joined},
    parse::pattern,
    runners::Runner,
};
use serde_json::Value;
use std::collections::BTreeSet;

/// Of one configuration.
const CONFIG_BYTES_MAX: usize = 256 << 10;
/// Names kept, in all.
const NAMES_MAX: usize = 500;

pattern!(PYTEST_PLUGIN, r#"(?m)(?:^|[\s"'=])-p["']?[\s,=]*["']?([A-Za-z_][\w.]*)"#);
pattern!(PYTEST_PLUGINS, r"(?i)pytest_plugins\s*=\s*(\[[^\]]*\]|\([^)]*\)|[^\n]*)");
pattern!(
    NODE_OPTION,
    r#"(?:--require|-r|--import|--loader|--experimental-loader|--globalSetup|--setupFiles\w*|--preset)(?:=|\s+)["'\\]*([^\s"'\\,;]+)"#
);
pattern!(
    NODE_KEY,
    r#"["']?\b(?:setupFiles\w*|globalSetup|globalTeardown|preset|testEnvironment|testRunner|runner|resolver|transform|snapshotSerializers|reporters|require|import|loader|file)\b["']?\s*:\s*(\[[^\]]*\]|\{[^}]*\}|["'][^"'\n]*["'])"#
);
pattern!(YAML_LIST, r"(?m)^(?:require|import|loader|file):[ \t]*((?:\n[ \t]*-[^\n]*)+|[^\n]+)");
pattern!(QUOTED, r#"["']([^"'\n]+)["']"#);

/// Beginnings of the names of configurations that may name files.
const CONFIGS: [&str; 7] =
    ["jest.config.", "vitest.config.", "vitest.workspace.", ".mocharc", "karma.conf.", ".npmrc", "bunfig.toml"];
const PYTHON: [&str; 6] = ["pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg", "pyproject.toml", "conftest.py"];

/// A configuration that may name files which steer tests, by its path: its content is to be read.
pub fn may_name(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name == "package.json" || PYTHON.contains(&name) || CONFIGS.iter().any(|start| name.starts_with(start))
}

/// Files that configurations and commands name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// With dots as slashes.
    modules: BTreeSet<String>,
    /// From the root, without what a loader adds to a name.
    paths: BTreeSet<String>,
    /// What the checks' commands run.
    runs: Runs,
}

impl Named {
    /// Takes in what a configuration names.
    pub fn by_config(&mut self, path: &str, content: &[u8]) {
        let content = String::from_utf8_lossy(&content[..content.len().min(CONFIG_BYTES_MAX)]);
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        if PYTHON.contains(&name) {
            return self.by_python(&content);
        }
        if name == "package.json" {
            return self.by_package(directory, &content);
        }
        self.by_node(directory, &content);
        self.by_keys(directory, &content);
        if name.starts_with(".mocharc") {
            for found in YAML_LIST.captures_iter(&content) {
                for word in found[1].split_whitespace().filter(|word| *word != "-") {
                    self.path(directory, word.trim_matches(['"', '\'', '[', ']', ',']));
                }
            }
        }
    }

    /// Takes in what a check's command names, which runs in this directory.
    pub fn by_command(&mut self, directory: &str, command: &str) {
        if command.contains("pytest") {
            self.by_python(command);
        }
        self.by_node(directory, command);
        self.runs.command(directory, command);
    }

    /// A file of the base that says what the checks' commands run, by its path: its content is to be read.
    pub fn is_run(&self, path: &str) -> bool {
        self.runs.scripts.contains(path) || self.runner_of(path).is_some()
    }

    /// Takes in what a file that [`is_run`](Self::is_run) runs in turn.
    pub fn by_run(&mut self, path: &str, content: &[u8]) {
        let content = String::from_utf8_lossy(&content[..content.len().min(CONFIG_BYTES_MAX)]);
        let own = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        let scripts = (self.runner_of(path) == Some(Runner::Node)).then(|| serde_json::from_str::<Value>(&content));
        let text = match scripts {
            Some(Ok(package)) => {
                let scripts = package["scripts"].as_object().into_iter().flat_map(|scripts| scripts.values());
                scripts.filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
            }
            _ => content.into_owned(),
        };
        // A script may be run from where it lies, or from the root.
        for directory in BTreeSet::from(["", own]) {
            self.runs.lines(directory, &text);
        }
    }

    pub(super) fn runner_of(&self, path: &str) -> Option<Runner> {
        self.runs.runners.iter().copied().find(|runner| runner.reads(path))
    }

    /// A script that the checks' commands run.
    pub(super) fn is_script(&self, path: &str) -> bool {
        self.runs.scripts.contains(path)
    }

    fn by_python(&mut self, text: &str) {
        for found in PYTEST_PLUGIN.captures_iter(text) {
            self.module(&found[1]);
        }
        for found in PYTEST_PLUGINS.captures_iter(text) {
            let words = found[1].split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'));
            words.for_each(|word| self.module(word));
        }
    }

    /// Of a package only its scripts and what it says to its test runners: its entries (`exports`) are no set-up.
    fn by_package(&mut self, directory: &str, content: &str) {
        let Ok(package) = serde_json::from_str::<Value>(content) else { return };
        for script in package["scripts"].as_object().into_iter().flat_map(|scripts| scripts.values()) {
            self.by_node(directory, script.as_str().unwrap_or_default());
        }
        for runner in ["jest", "mocha", "vitest", "ava", "tap"] {
            if let Some(settings) = package.get(runner) {
                self.by_keys(directory, &settings.to_string());
            }
        }
    }

    fn by_keys(&mut self, directory: &str, content: &str) {
        for found in NODE_KEY.captures_iter(content) {
            for name in QUOTED.captures_iter(&found[1]) {
                self.path(directory, &name[1]);
            }
        }
    }

    fn by_node(&mut self, directory: &str, text: &str) {
        for found in NODE_OPTION.captures_iter(text) {
            let name = found[1].rsplit('/').next().unwrap_or_default();
            // `pip install -r requirements.txt` is no set-up of tests.
            if is_script(name) || !name.contains('.') {
                self.path(directory, &found[1]);
            }
        }
    }

    fn module(&mut self, name: &str) {
        let name = name.trim_matches('.');
        // `-p no:name` turns one off.
        if !name.is_empty() && name != "no" && self.modules.len() < NAMES_MAX {
            self.modules.insert(name.replace('.', "/"));
        }
    }

    fn path(&mut self, directory: &str, name: &str) {
        let name = name.strip_prefix("<rootDir>/").unwrap_or(name);
        if self.paths.len() < NAMES_MAX {
            self.paths.extend(joined(directory, name));
        }
    }

    /// Whether a file is named, by itself, as a module, or as what a named directory is entered by.
    pub(super) fn has(&self, path: &str) -> bool {
        let (whole, stem) = (path, path.rsplit_once('.').map_or(path, |(stem, _)| stem));
        let entered = ["/index", "/jest-preset", "/__init__"].iter().find_map(|entry| stem.strip_suffix(entry));
        let without = [Some(stem), entered].into_iter().flatten().filter(|_| is_script(path));
        let named = { without }.chain([whole]).any(|name| self.paths.contains(name));
        let ends = |module: &String| {
            let of = |name: &str| name == module || name.ends_with(&format!("/{module}"));
            extension(path) == "py" && (of(stem) || entered.is_some_and(of))
        };
        named || self.modules.iter().any(ends)
    }
}

/// What node loads, by the end of its name.
fn is_script(name: &str) -> bool {
    ["js", "cjs", "mjs", "jsx", "ts", "cts", "mts", "tsx", "json", "node"].contains(&extension(name))
}

fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}
