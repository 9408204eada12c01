//! The packages that manifests and lock files name.

use super::{super::parse::pattern, builds};
use serde_json::Value;
use std::collections::BTreeMap;

/// Files whose contents a scan reads on both sides.
pub fn is_manifest(path: &str) -> bool {
    let name = leaf(path);
    matches!(
        name,
        "Cargo.toml"
            | "Cargo.lock"
            | "package.json"
            | "package-lock.json"
            | "npm-shrinkwrap.json"
            | "yarn.lock"
            | "pnpm-lock.yaml"
            | "pyproject.toml"
            | "setup.cfg"
            | "setup.py"
            | "poetry.lock"
            | "uv.lock"
            | "pdm.lock"
            | "Pipfile"
            | "go.mod"
            | "Gemfile"
            | "Gemfile.lock"
            | "composer.json"
    ) || is_requirements(name)
        || builds::is_build(name)
}

fn is_requirements(name: &str) -> bool {
    name.strip_suffix(".txt").is_some_and(|stem| stem.contains("requirements"))
}

pub(super) fn leaf(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A package as a file names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Package {
    /// A version or a range of them; empty where none is named.
    pub(super) version: String,
    pub(super) licence: Option<String>,
    /// Needed by those who work on the code alone.
    pub(super) development: bool,
}

pub(super) type Packages = BTreeMap<String, Package>;

/// What a person asked for; absent for other files.
pub(super) fn asked_for(path: &str, text: &str) -> Option<Packages> {
    match leaf(path) {
        "Cargo.toml" => Some(cargo(&text.parse().ok()?)),
        "package.json" => Some(node(&serde_json::from_str(text).ok()?)),
        "pyproject.toml" => Some(python(&text.parse().ok()?)),
        "Pipfile" => Some(pipfile(&text.parse().ok()?)),
        "composer.json" => {
            let json: Value = serde_json::from_str(text).ok()?;
            let mut found = Packages::new();
            json_section(&json, "require", false, &mut found);
            json_section(&json, "require-dev", true, &mut found);
            found.retain(|name, _| name.contains('/'));
            Some(found)
        }
        "go.mod" => Some(go(text, false)),
        "Gemfile" => Some(lines(text, &GEM)),
        name if is_requirements(name) => Some(text.lines().filter_map(requirement).collect()),
        name => builds::asked_for(name, text),
    }
}

/// What was resolved from it; absent for other files.
pub(super) fn resolved(path: &str, text: &str) -> Option<Packages> {
    match leaf(path) {
        "Cargo.lock" | "poetry.lock" | "uv.lock" | "pdm.lock" => Some(toml_lock(&text.parse().ok()?)),
        "package-lock.json" | "npm-shrinkwrap.json" => Some(npm_lock(&serde_json::from_str(text).ok()?)),
        "yarn.lock" => Some(yarn(text)),
        "pnpm-lock.yaml" => Some(lines(text, &PNPM)),
        "Gemfile.lock" => Some(lines(text, &GEM_LOCK)),
        "go.mod" => Some(go(text, true)),
        name => builds::resolved(name, text),
    }
}

pattern!(GEM, r#"^\s*gem\s+['"]([\w.-]+)['"](?:\s*,\s*['"]([^'"]+)['"])?"#);
pattern!(GEM_LOCK, r"^    ([\w.-]+) \(([^)]+)\)$");
pattern!(PNPM, r"^  '?/?(@?[\w.-]+(?:/[\w.-]+)?)@(\d[\w.+-]*)(?:\(.*\))?'?:$");
pattern!(GO_REQUIRE, r"^\s*(?:require\s+)?([\w.-]+\.[\w.-]+(?:/[\w.~-]+)*)\s+(v[\w.+-]+)(\s*//\s*indirect)?");
pattern!(
    REQUIREMENT,
    r"^\s*([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*((?:[<>=!~]=?=?\s*[\w.*+!-]+\s*,?\s*)*)(?:;.*|#.*|@.*)?$"
);
pattern!(YARN, r#"^"?(@?[^@"\s,]+)@"#);
pattern!(YARN_VERSION, r#"^  version:? "?([^"\s]+)"?"#);

fn package(version: impl Into<String>, development: bool) -> Package {
    Package { version: version.into(), licence: None, development }
}

fn lines(text: &str, pattern: &regex::Regex) -> Packages {
    let each = text.lines().filter_map(|line| pattern.captures(line));
    each.map(|found| (found[1].to_owned(), package(found.get(2).map_or("", |text| text.as_str()), false))).collect()
}

fn cargo(manifest: &toml::Table) -> Packages {
    let mut found = Packages::new();
    let mut section = |table: Option<&toml::Value>, development: bool| {
        for (name, spec) in table.and_then(toml::Value::as_table).into_iter().flatten() {
            let own = spec.get("path").is_some() || spec.get("workspace").is_some();
            let version = spec.as_str().or_else(|| spec.get("version")?.as_str()).or_else(|| spec.get("git")?.as_str());
            let name = spec.get("package").and_then(toml::Value::as_str).unwrap_or(name);
            if !own {
                found.entry(name.to_owned()).or_insert_with(|| package(version.unwrap_or(""), development));
            }
        }
    };
    let targets =
        manifest.get("target").and_then(toml::Value::as_table).into_iter().flatten().map(|(_, target)| target);
    for place in targets.filter_map(toml::Value::as_table).chain([manifest]) {
        section(place.get("dependencies"), false);
        section(place.get("build-dependencies"), false);
        section(place.get("dev-dependencies"), true);
    }
    section(manifest.get("workspace").and_then(|workspace| workspace.get("dependencies")), false);
    found
}

fn json_section(json: &Value, name: &str, development: bool, found: &mut Packages) {
    for (name, version) in json.get(name).and_then(Value::as_object).into_iter().flatten() {
        let version = version.as_str().unwrap_or("");
        // Packages of the same repository.
        if !["workspace:", "file:", "link:"].iter().any(|own| version.starts_with(own)) {
            found.entry(name.clone()).or_insert_with(|| package(version, development));
        }
    }
}

fn node(json: &Value) -> Packages {
    let mut found = Packages::new();
    for section in ["dependencies", "peerDependencies", "optionalDependencies"] {
        json_section(json, section, false, &mut found);
    }
    json_section(json, "devDependencies", true, &mut found);
    found
}

fn requirement(line: &str) -> Option<(String, Package)> {
    let found = REQUIREMENT.captures(line)?;
    let version = found.get(2).map_or("", |text| text.as_str()).trim().trim_end_matches(',');
    Some((normal(&found[1]), package(version, false)))
}

/// PEP 503: names are compared in lower case, `-`, `_` and `.` alike.
fn normal(name: &str) -> String {
    name.to_lowercase().replace(['_', '.'], "-")
}

fn python(manifest: &toml::Table) -> Packages {
    let mut found = Packages::new();
    let mut listed = |list: Option<&toml::Value>, development: bool| {
        for text in list.and_then(toml::Value::as_array).into_iter().flatten().filter_map(toml::Value::as_str) {
            if let Some((name, one)) = requirement(text) {
                found.entry(name).or_insert(Package { development, ..one });
            }
        }
    };
    let project = manifest.get("project");
    listed(project.and_then(|project| project.get("dependencies")), false);
    let extras = project.and_then(|project| project.get("optional-dependencies")).and_then(toml::Value::as_table);
    extras.into_iter().flatten().for_each(|(_, list)| listed(Some(list), false));
    let groups = manifest.get("dependency-groups").and_then(toml::Value::as_table);
    groups.into_iter().flatten().for_each(|(_, list)| listed(Some(list), true));
    if let Some(poetry) = manifest.get("tool").and_then(|tool| tool.get("poetry")) {
        let groups = poetry.get("group").and_then(toml::Value::as_table).into_iter().flatten();
        let groups = groups.map(|(_, group)| (group.get("dependencies"), true));
        for (table, development) in
            groups.chain([(poetry.get("dependencies"), false), (poetry.get("dev-dependencies"), true)])
        {
            poetry_table(table, development, &mut found);
        }
    }
    found
}

fn poetry_table(table: Option<&toml::Value>, development: bool, found: &mut Packages) {
    for (name, spec) in table.and_then(toml::Value::as_table).into_iter().flatten() {
        let version = spec.as_str().or_else(|| spec.get("version")?.as_str()).unwrap_or("");
        if name != "python" && spec.get("path").is_none() {
            found.entry(normal(name)).or_insert_with(|| package(version, development));
        }
    }
}

fn pipfile(manifest: &toml::Table) -> Packages {
    let mut found = Packages::new();
    poetry_table(manifest.get("packages"), false, &mut found);
    poetry_table(manifest.get("dev-packages"), true, &mut found);
    found
}

/// `indirect`: those that others need, instead of those that the module itself asks for.
fn go(text: &str, indirect: bool) -> Packages {
    let outside = ["module", "replace", "exclude", "retract", "go ", "toolchain"];
    let each = text.lines().filter(|line| !outside.iter().any(|word| line.starts_with(word)) && !line.contains("=>"));
    let each = each.filter_map(|line| GO_REQUIRE.captures(line)).filter(|found| found.get(3).is_some() == indirect);
    each.map(|found| (found[1].to_owned(), package(&found[2], false))).collect()
}

fn toml_lock(lock: &toml::Table) -> Packages {
    let packages = lock.get("package").and_then(toml::Value::as_array).into_iter().flatten();
    packages
        // A Cargo package without a source is the repository's own.
        .filter(|one| one.get("source").is_some() || one.get("files").is_some() || one.get("checksum").is_some())
        .filter_map(|one| {
            let version = one.get("version").and_then(toml::Value::as_str).unwrap_or("");
            Some((one.get("name")?.as_str()?.to_owned(), package(version, false)))
        })
        .collect()
}

fn npm_lock(lock: &Value) -> Packages {
    let packages = lock.get("packages").and_then(Value::as_object).into_iter().flatten();
    packages
        .filter(|(path, one)| path.contains("node_modules/") && one.get("link").is_none())
        .map(|(path, one)| {
            let name = path.rsplit("node_modules/").next().unwrap_or(path).to_owned();
            let text = |key: &str| one.get(key).and_then(Value::as_str).map(str::to_owned);
            let development = one.get("dev").and_then(Value::as_bool).unwrap_or(false);
            (name, Package { version: text("version").unwrap_or_default(), licence: text("license"), development })
        })
        .collect()
}

fn yarn(text: &str) -> Packages {
    let mut found = Packages::new();
    let mut name: Option<String> = None;
    for line in text.lines() {
        if let Some(version) = YARN_VERSION.captures(line) {
            if let Some(name) = name.take() {
                found.insert(name, package(&version[1], false));
            }
        } else if let Some(start) = YARN.captures(line) {
            name = Some(start[1].to_owned());
        }
    }
    found
}
