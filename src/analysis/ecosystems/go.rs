//! Go: modules and go.work.

use super::super::{
    facts::{Discovery, Package, Purpose, check_in},
    manifests::{Repository, join, parent, resolve, shell_word},
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const MANIFESTS: &[&str] =
    &["go.mod", "go.work", ".golangci.yml", ".golangci.yaml", ".golangci.toml", "magefile.go"];

/// Libraries by the paths that they are required by.
const KNOWN: &[(&str, &str)] = &[
    ("gin-gonic/gin", "gin"),
    ("labstack/echo", "echo"),
    ("go-chi/chi", "chi"),
    ("gofiber/fiber", "fiber"),
    ("spf13/cobra", "cobra"),
    ("gorm.io/gorm", "gorm"),
    ("stretchr/testify", "testify"),
    ("onsi/ginkgo", "ginkgo"),
    ("google.golang.org/grpc", "grpc"),
];
/// Modules of a workspace that one command names.
const WORK_MODULES_MAX: usize = 12;

pub(super) fn find(repository: &Repository<'_>, all: &mut Discovery) {
    let homes = repository.homes(&["go.work", "go.mod"]);
    if homes.is_empty() {
        return;
    }
    all.manager("Go modules");
    for home in homes {
        let modules = if repository.has_in(home, "go.work") { used(repository, home) } else { Vec::new() };
        let file = if modules.is_empty() { "go.mod" } else { "go.work" };
        let origin = join(home, file);
        let everything = if modules.is_empty() { "./...".to_owned() } else { modules.join(" ") };
        all.usual(Purpose::Setup, home, "go mod download", &origin);
        all.usual(Purpose::Build, home, format!("go build {everything}"), &origin);
        if repository.any_below(home, |path| path.ends_with("_test.go")) {
            all.check(home, format!("go test -v {everything}"), &origin);
            all.usual(Purpose::SingleTest, home, "go test -v -run '^NAME$' ./PACKAGE", &origin);
        }
        let linter = repository.first_in(home, &[".golangci.yml", ".golangci.yaml", ".golangci.toml"]);
        if let Some(file) = linter {
            all.usual(Purpose::Lint, home, "golangci-lint run", &join(home, file));
        }
        all.usual(Purpose::Lint, home, format!("go vet {everything}"), &origin);
        all.usual(Purpose::Format, home, "gofmt -w .", &origin);
        for directive in ["go", "toolchain"] {
            let text = repository.text(&origin).unwrap_or("");
            let version = text.lines().find_map(|line| line.strip_prefix(directive)?.strip_prefix(' '));
            if let Some(version) = version {
                all.pin("Go", version.trim().trim_start_matches("go"), &format!("{origin}: {directive}"));
            }
        }
    }
    packages(repository, all);
}

/// The modules that go.work uses, as patterns of packages.
fn used(repository: &Repository<'_>, home: &str) -> Vec<String> {
    let text = repository.text_in(home, "go.work");
    let mut found = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or("").trim();
        match line.strip_prefix("use") {
            _ if inside && line == ")" => inside = false,
            _ if inside && !line.is_empty() => found.push(line),
            Some(rest) if rest.trim() == "(" => inside = true,
            Some(rest) if rest.starts_with(' ') => found.push(rest.trim()),
            _ => {}
        }
    }
    let patterns = found.into_iter().take(WORK_MODULES_MAX).map(|path| {
        let path = path.trim_matches('"').trim_start_matches("./").trim_end_matches('/');
        if matches!(path, "" | ".") { "./...".to_owned() } else { shell_word(&format!("./{path}/...")) }
    });
    patterns.collect()
}

fn packages(repository: &Repository<'_>, all: &mut Discovery) {
    let mut found: BTreeMap<String, (&str, &str)> = BTreeMap::new();
    for path in repository.named("go.mod") {
        let text = repository.text(path).unwrap_or("");
        let module =
            text.lines().find_map(|line| line.strip_prefix("module ")).map(|name| name.trim().trim_matches('"'));
        if let Some(module) = module {
            found.entry(module.to_owned()).or_insert((parent(path), text));
        }
    }
    for (directory, text) in found.values() {
        for (path, name) in KNOWN {
            if text.contains(path) {
                all.framework(name, &join(directory, "go.mod"));
            }
        }
    }
    for (module, (directory, text)) in &found {
        let mut depends_on: BTreeSet<String> = BTreeSet::new();
        for line in text.lines().map(str::trim) {
            let first = line.trim_start_matches("require ").split_whitespace().next().unwrap_or("");
            if first != module && found.contains_key(first) {
                depends_on.insert(first.to_owned());
            }
            let replaced = line.split_once("=> ").and_then(|(_, to)| resolve(directory, to.split_whitespace().next()?));
            if let Some((name, _)) = replaced.and_then(|to| found.iter().find(|(_, (other, _))| *other == to)) {
                depends_on.insert(name.clone());
            }
        }
        depends_on.remove(module);
        let tests = repository.any_below(directory, |path| path.ends_with("_test.go"));
        all.packages.push(Package {
            name: module.clone(),
            directory: (*directory).to_owned(),
            ecosystem: "Go",
            depends_on: depends_on.into_iter().collect(),
            test: tests.then(|| check_in(directory, "go test -v ./...")),
        });
    }
}
