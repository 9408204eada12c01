//! What those who use the code may miss: entry points that are gone, and versions of languages and
//! runtimes that are asked for now.

use super::{
    super::{ChangedFile, parse::pattern},
    manifests::leaf,
};
use crate::domain::check::{Finding, FindingKind, Severity};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A symbol that others can use, as an outline of a file tells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exported {
    pub path: String,
    /// With what it stands in: `Parser.read`.
    pub name: String,
    /// `function`, `class` and the like, in the outline's words.
    pub kind: String,
    /// The declaration as it is written; spaces do not count.
    pub signature: String,
    pub line: Option<u32>,
}

/// Exported symbols that a patch removed, or whose declaration it changed. Both are of the files that the
/// patch touches.
pub fn api_changes(before: &[Exported], after: &[Exported]) -> Vec<Finding> {
    let mut now: BTreeMap<(&str, &str), Vec<&Exported>> = BTreeMap::new();
    for symbol in after {
        now.entry((&symbol.path, &symbol.name)).or_default().push(symbol);
    }
    let mut findings = Vec::new();
    let mut told = BTreeSet::new();
    for symbol in before {
        let Exported { path, name, kind, .. } = symbol;
        let finding = match now.get(&(path.as_str(), name.as_str())) {
            Some(same) if same.iter().any(|other| spaceless(&other.signature) == spaceless(&symbol.signature)) => None,
            Some(same) => Some((format!("the exported {kind} `{name}` is declared differently"), same[0].line)),
            None => {
                let moved = after.iter().find(|other| other.name == *name && other.kind == *kind);
                let to = moved.map(|other| format!(", one of this name is in {} now", other.path)).unwrap_or_default();
                Some((format!("the exported {kind} `{name}` is gone{to}"), None))
            }
        };
        if let Some((message, line)) = finding.filter(|(message, _)| told.insert((path, message.clone()))) {
            findings.push(finding_at(path, line, message));
        }
    }
    findings
}

fn spaceless(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_whitespace()).collect()
}

fn finding_at(path: &str, line: Option<u32>, message: String) -> Finding {
    Finding::new(FindingKind::Compatibility, Severity::Warning, message).at(path, line)
}

/// What manifests say.
pub(super) fn findings(files: &[ChangedFile<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let (Some(before), Some(after)) = (file.before, file.after) else { continue };
        let (before, after) = (String::from_utf8_lossy(before), String::from_utf8_lossy(after));
        let (Some(before), Some(after)) = (Promise::of(file.path, &before), Promise::of(file.path, &after)) else {
            continue;
        };
        findings.extend(before.broken_by(&after).into_iter().map(|message| finding_at(file.path, None, message)));
    }
    findings
}

/// What a manifest promises to those who use the package.
#[derive(Debug, Default)]
struct Promise {
    /// What is needed to use it, by name, as a range.
    needs: BTreeMap<String, String>,
    /// What it offers, in words.
    offers: BTreeSet<String>,
}

impl Promise {
    fn of(path: &str, text: &str) -> Option<Self> {
        match leaf(path) {
            "Cargo.toml" => Some(Self::cargo(&text.parse().ok()?)),
            "package.json" => Some(Self::node(&serde_json::from_str(text).ok()?)),
            "pyproject.toml" => Some(Self::python(&text.parse().ok()?)),
            "setup.cfg" => {
                let found = PYTHON_REQUIRES.captures(text);
                Some(Self { needs: needs("python", found.map(|found| found[1].to_owned())), ..Self::default() })
            }
            "setup.py" => {
                let found = SETUP_REQUIRES.captures(text);
                Some(Self { needs: needs("python", found.map(|found| found[1].to_owned())), ..Self::default() })
            }
            "go.mod" => {
                let word = |pattern: &regex::Regex| pattern.captures(text).map(|found| found[1].to_owned());
                let offers = word(&GO_MODULE).map(|name| format!("the module path `{name}`"));
                Some(Self { needs: needs("go", word(&GO_VERSION)), offers: offers.into_iter().collect() })
            }
            _ => None,
        }
    }

    fn cargo(manifest: &toml::Table) -> Self {
        let package = manifest.get("package");
        let shared = manifest.get("workspace").and_then(|workspace| workspace.get("package"));
        let version = |table: Option<&toml::Value>| Some(table?.get("rust-version")?.as_str()?.to_owned());
        let mut offers = names(manifest.get("features"), "the feature");
        let binaries = manifest.get("bin").and_then(toml::Value::as_array).into_iter().flatten();
        offers.extend(binaries.filter_map(|bin| Some(format!("the binary `{}`", bin.get("name")?.as_str()?))));
        let name = package.and_then(|package| package.get("name")?.as_str());
        offers.extend(name.map(|name| format!("the package name `{name}`")));
        Self { needs: needs("rust-version", version(package).or_else(|| version(shared))), offers }
    }

    fn node(json: &Value) -> Self {
        let mut found = Self::default();
        for (name, range) in json.get("engines").and_then(Value::as_object).into_iter().flatten() {
            found.needs.extend(needs(&format!("engines.{name}"), range.as_str().map(str::to_owned)));
        }
        // Nobody can install what is private.
        if json.get("private").and_then(Value::as_bool) == Some(true) {
            return found;
        }
        for key in ["main", "module", "types", "browser"] {
            found.offers.extend(json.get(key).map(|_| format!("`{key}`")));
        }
        match json.get("exports") {
            Some(Value::Object(exports)) if exports.keys().any(|key| key.starts_with('.')) => {
                found.offers.extend(exports.keys().map(|key| format!("the export `{key}`")));
            }
            Some(_) => _ = found.offers.insert("the export `.`".to_owned()),
            None => {}
        }
        match (json.get("bin"), json.get("name").and_then(Value::as_str)) {
            (Some(Value::Object(bins)), _) => {
                found.offers.extend(bins.keys().map(|key| format!("the command `{key}`")));
            }
            (Some(Value::String(_)), Some(name)) => _ = found.offers.insert(format!("the command `{}`", leaf(name))),
            _ => {}
        }
        found
    }

    fn python(manifest: &toml::Table) -> Self {
        let project = manifest.get("project");
        let poetry = manifest.get("tool").and_then(|tool| tool.get("poetry"));
        let of = |table: Option<&toml::Value>, key: &str| Some(table?.get(key)?.as_str()?.to_owned());
        let python = of(project, "requires-python")
            .or_else(|| of(poetry.and_then(|poetry| poetry.get("dependencies")), "python"));
        let mut offers = names(project.and_then(|project| project.get("scripts")), "the command");
        offers.extend(names(poetry.and_then(|poetry| poetry.get("scripts")), "the command"));
        offers.extend(names(project.and_then(|project| project.get("optional-dependencies")), "the extra"));
        Self { needs: needs("requires-python", python), offers }
    }

    fn broken_by(&self, after: &Self) -> Vec<String> {
        let narrowed = after.needs.iter().filter_map(|(name, now)| {
            let Some(before) = self.needs.get(name) else {
                let asks = lowest(now).is_some() || upper(name, now).is_some();
                return asks.then(|| format!("`{name}` is asked for now: {now}"));
            };
            if lowest(now).zip(lowest(before)).is_some_and(|(now, before)| now > before) {
                return Some(format!("`{name}` is raised from {before} to {now}"));
            }
            let lower = match (upper(name, before), upper(name, now)) {
                (None, Some(_)) => true,
                (Some(before), Some(now)) => now < before,
                _ => false,
            };
            lower.then(|| format!("`{name}` is narrowed from {before} to {now}"))
        });
        let gone = self.offers.difference(&after.offers).map(|offer| format!("{offer} is gone"));
        narrowed.chain(gone).collect()
    }
}

fn needs(name: &str, range: Option<String>) -> BTreeMap<String, String> {
    range.map(|range| (name.to_owned(), range)).into_iter().collect()
}

fn names(table: Option<&toml::Value>, what: &str) -> BTreeSet<String> {
    let table = table.and_then(toml::Value::as_table);
    table.into_iter().flatten().map(|(name, _)| format!("{what} `{name}`")).collect()
}

pattern!(PYTHON_REQUIRES, r"(?m)^\s*python_requires\s*=\s*(.+?)\s*$");
pattern!(SETUP_REQUIRES, r#"\bpython_requires\s*=\s*["']([^"']+)["']"#);
pattern!(GO_VERSION, r"(?m)^go\s+(\d[\w.]*)");
pattern!(GO_MODULE, r"(?m)^module\s+(\S+)");
pattern!(BOUND, r"(<=?|!=)?\s*v?(\d+(?:\.\d+)*)");
pattern!(PIECE, r"(<=|>=|<|>|!=|===?|=|\^|~=|~)?\s*v?(\d+(?:\.\d+)*)((?:\.[xX*])*)");

/// The lowest version that a range lets in: of each of its alternatives the first bound that is no upper one.
fn lowest(range: &str) -> Option<Vec<u32>> {
    let alternatives = range.split("||").filter_map(|one| {
        let bound = BOUND.captures_iter(one).find(|found| found.get(1).is_none())?;
        Some(trimmed(numbers(&bound[2])))
    });
    alternatives.min()
}

/// The version that ends a range, itself not in it; absent where nothing ends it. A plain version is the least one for
/// Rust and Go, and one with all that begins like it elsewhere.
fn upper(name: &str, range: &str) -> Option<Vec<u32>> {
    if matches!(name, "rust-version" | "go") {
        return None;
    }
    let ends = |one: &str| {
        // `18 - 20` is the range between both.
        let one = one.split_once(" - ").map_or(one.to_owned(), |(from, to)| format!(">={from} <={to}"));
        let pieces: Vec<Vec<u32>> = PIECE.captures_iter(&one).filter_map(|piece| end_of(&piece)).collect();
        pieces.into_iter().map(trimmed).min()
    };
    // An alternative without an end leaves the whole without one.
    range.split("||").map(ends).collect::<Option<Vec<_>>>()?.into_iter().max()
}

/// Where one comparison ends; see <https://docs.npmjs.com/cli/configuring-npm/package-json> and
/// <https://peps.python.org/pep-0440/#version-specifiers>.
fn end_of(piece: &regex::Captures<'_>) -> Option<Vec<u32>> {
    let version = numbers(&piece[2]);
    let bumped = |at: usize| {
        let mut version: Vec<u32> = version.iter().copied().chain(std::iter::repeat(0)).take(at + 1).collect();
        version[at] += 1;
        version
    };
    let last = version.len() - 1;
    match piece.get(1).map_or("", |sign| sign.as_str()) {
        ">" | ">=" | "!=" => None,
        "<" => Some(version),
        // The least version that is above it.
        "<=" if piece[3].is_empty() && version.len() > 2 => Some([version.as_slice(), &[1]].concat()),
        "^" => Some(bumped(version.iter().position(|part| *part > 0).unwrap_or(last))),
        "~=" => Some(bumped(last.saturating_sub(1))),
        "~" => Some(bumped(last.min(1))),
        _ => Some(bumped(last)),
    }
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap_or(u32::MAX - 1)).take(8).collect()
}

/// 3.8 and 3.8.0 are one.
fn trimmed(mut version: Vec<u32>) -> Vec<u32> {
    while version.last() == Some(&0) {
        version.pop();
    }
    version
}
