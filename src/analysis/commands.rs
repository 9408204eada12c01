//! Commands that build, test, lint and format, and which of them validate a patch.
//!
//! Chosen with care: one test command an ecosystem, one that is likely to run in a sandbox
//! without network and whose log names its tests.

use super::manifests::{Repository, is_python_test, join};
use crate::domain::check::{Check, CheckSource};

/// What the manifests say.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) managers: Vec<String>,
    pub(super) frameworks: Vec<String>,
    pub(super) commands: Vec<Command>,
    pub(super) checks: Vec<Check>,
}

#[derive(Debug)]
pub(super) struct Command {
    pub(super) purpose: &'static str,
    pub(super) line: String,
    /// The file that shows it.
    pub(super) origin: String,
}

impl Found {
    fn command(&mut self, purpose: &'static str, command: impl Into<String>, origin: &str) {
        self.commands.push(Command { purpose, line: command.into(), origin: origin.to_owned() });
    }

    fn check(&mut self, command: impl Into<String>, directory: &str, origin: &str) {
        let mut check = Check::command(command, CheckSource::Detected);
        check.workdir = (!directory.is_empty()).then(|| directory.to_owned());
        self.command("test", check.command.clone(), origin);
        self.checks.push(check);
    }

    fn libraries(&mut self, text: &str, known: &[&str]) {
        for name in known {
            let quoted = [
                format!("\"{name}\""),
                format!("\n{name}"),
                format!("'{name}"),
                format!("\"{name}"),
                format!("/{name}"),
            ];
            if quoted.iter().any(|quoted| text.contains(quoted.as_str()))
                && !self.frameworks.iter().any(|one| one == name)
            {
                self.frameworks.push((*name).to_owned());
            }
        }
    }
}

pub(super) fn find(repository: &Repository<'_>) -> Found {
    let mut found = Found::default();
    rust(repository, &mut found);
    python(repository, &mut found);
    go(repository, &mut found);
    node(repository, &mut found);
    java(repository, &mut found);
    make(repository, &mut found);
    continuous_integration(repository, &mut found);
    found
}

fn rust(repository: &Repository<'_>, found: &mut Found) {
    let Some(home) = repository.home("Cargo.toml") else { return };
    let origin = join(&home, "Cargo.toml");
    let text = repository.text(&origin).unwrap_or("");
    found.managers.push("Cargo".to_owned());
    found.libraries(text, &["tokio", "axum", "actix-web", "rocket", "serde", "clap", "sqlx", "diesel", "bevy"]);
    let all = if text.contains("[workspace]") { " --workspace" } else { "" };
    found.command("build", format!("cargo build{all}"), &origin);
    found.check(format!("cargo test{all} --no-fail-fast"), &home, &origin);
    found.command("lint", format!("cargo clippy{all} --all-targets"), &origin);
    found.command("format", "cargo fmt", &origin);
}

fn python(repository: &Repository<'_>, found: &mut Found) {
    let tests: Vec<&str> = repository
        .paths
        .iter()
        .copied()
        .filter(|path| is_python_test(path.rsplit('/').next().unwrap_or(path)))
        .collect();
    let manifest = ["pyproject.toml", "setup.cfg", "setup.py", "requirements.txt", "tox.ini"];
    let origin = manifest.iter().copied().find(|name| repository.has(name));
    if tests.is_empty() && origin.is_none() {
        return;
    }
    let texts: String = repository
        .texts()
        .filter(|(path, _)| manifest.contains(path) || path.contains("requirements") || *path == "pytest.ini")
        .map(|(_, text)| text)
        .collect::<Vec<_>>()
        .join("\n");
    let manager = [("poetry.lock", "Poetry"), ("uv.lock", "uv"), ("Pipfile", "Pipenv"), ("pdm.lock", "PDM")];
    let manager = manager.iter().find(|(file, _)| repository.has(file)).map_or("pip", |(_, name)| name);
    if origin.is_some() {
        found.managers.push(manager.to_owned());
    }
    found.libraries(
        &texts,
        &["django", "flask", "fastapi", "sqlalchemy", "pydantic", "numpy", "pandas", "pytest", "celery"],
    );
    for (tool, purpose, command) in [
        ("ruff", "lint", "ruff check ."),
        ("flake8", "lint", "flake8"),
        ("mypy", "lint", "mypy ."),
        ("black", "format", "black ."),
    ] {
        if texts.contains(tool) {
            found.command(purpose, command, origin.unwrap_or("requirements.txt"));
        }
    }
    let Some(first) = tests.first() else { return };
    let path = if repository.paths.iter().any(|path| is_source_package(path)) { "PYTHONPATH=src " } else { "" };
    if wants_pytest(repository, &texts) {
        found.check(format!("{path}python3 -m pytest"), "", origin.unwrap_or(first));
    } else if repository.has("manage.py") {
        found.check("python3 manage.py test -v 2", "", "manage.py");
    } else {
        found.check(format!("{path}{}", unittest(repository, &tests)), "", first);
    }
}

fn is_source_package(path: &str) -> bool {
    path.strip_prefix("src/").is_some_and(|rest| rest.ends_with("/__init__.py") && rest.matches('/').count() == 1)
}

/// pytest is configured, or tests import it; where the workspace is known to lack it, only tests
/// that cannot do without it count.
fn wants_pytest(repository: &Repository<'_>, manifests: &str) -> bool {
    let samples: Vec<&str> = repository
        .texts()
        .filter(|(path, _)| is_python_test(path.rsplit('/').next().unwrap_or(path)))
        .map(|(_, text)| text)
        .collect();
    let imports = samples.iter().any(|text| text.contains("import pytest") || text.contains("from pytest"));
    let functions = samples
        .iter()
        .any(|text| text.lines().any(|line| line.starts_with("def test_") || line.starts_with("async def test_")));
    if imports || functions {
        return true;
    }
    let configured = repository.has("pytest.ini")
        || repository.paths.iter().any(|path| *path == "conftest.py" || path.ends_with("/conftest.py"))
        || ["[tool.pytest", "[pytest]", "[tool:pytest]"].iter().any(|mark| manifests.contains(mark));
    let mentioned = configured || manifests.contains("pytest");
    let cases = samples.iter().any(|text| text.contains("unittest"));
    mentioned && !(cases && repository.lacks_program("pytest"))
}

/// With a package of tests, discovery starts at the root; without, in the tests' directory.
fn unittest(repository: &Repository<'_>, tests: &[&str]) -> String {
    let suffix = tests.iter().all(|path| path.ends_with("_test.py"));
    let pattern = if suffix { " -p '*_test.py'" } else { "" };
    let top = |path: &str| path.split_once('/').map(|(directory, _)| directory.to_owned());
    let directory = tests
        .first()
        .and_then(|path| top(path))
        .filter(|first| tests.iter().all(|path| top(path).as_ref() == Some(first)));
    match directory {
        Some(directory) if !repository.has(&join(&directory, "__init__.py")) => {
            format!("python3 -m unittest discover -v -s {}{pattern}", shell_word(&directory))
        }
        _ if pattern.is_empty() => "python3 -m unittest -v".to_owned(),
        _ => format!("python3 -m unittest discover -v{pattern}"),
    }
}

fn shell_word(text: &str) -> String {
    let safe = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte));
    if safe && !text.starts_with('-') { text.to_owned() } else { format!("'./{}'", text.replace('\'', r"'\''")) }
}

fn go(repository: &Repository<'_>, found: &mut Found) {
    let Some(home) = repository.home("go.mod") else { return };
    let origin = join(&home, "go.mod");
    found.managers.push("Go modules".to_owned());
    found.libraries(
        repository.text(&origin).unwrap_or(""),
        &["gin", "echo", "chi", "cobra", "gorm", "testify", "fiber"],
    );
    found.command("build", "go build ./...", &origin);
    if repository.paths.iter().any(|path| path.ends_with("_test.go")) {
        found.check("go test -v ./...", &home, &origin);
    }
    found.command("lint", "go vet ./...", &origin);
    found.command("format", "gofmt -w .", &origin);
}

fn node(repository: &Repository<'_>, found: &mut Found) {
    let Some(home) = repository.home("package.json") else { return };
    let origin = join(&home, "package.json");
    let manifest: serde_json::Value =
        repository.text(&origin).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let named = manifest["packageManager"].as_str().and_then(|name| name.split('@').next());
    let lock = [("pnpm-lock.yaml", "pnpm"), ("yarn.lock", "yarn"), ("bun.lockb", "bun"), ("bun.lock", "bun")];
    let manager = lock.iter().find(|(file, _)| repository.has(&join(&home, file))).map(|(_, name)| *name);
    let manager = manager.or(named.filter(|name| ["npm", "pnpm", "yarn", "bun"].contains(name))).unwrap_or("npm");
    found.managers.push(manager.to_owned());
    for group in ["dependencies", "devDependencies"] {
        let Some(names) = manifest[group].as_object() else { continue };
        for known in [
            "react",
            "vue",
            "svelte",
            "next",
            "express",
            "fastify",
            "@nestjs/core",
            "@angular/core",
            "typescript",
            "jest",
            "vitest",
            "mocha",
            "vite",
        ] {
            if names.contains_key(known) && !found.frameworks.iter().any(|one| one == known) {
                found.frameworks.push(known.to_owned());
            }
        }
    }
    let script = |name: &str| manifest["scripts"][name].as_str().filter(|text| !text.contains("no test specified"));
    let tests = repository
        .paths
        .iter()
        .any(|path| [".test.js", ".test.mjs", ".test.cjs"].iter().any(|end| path.ends_with(end)));
    if script("test").is_some() {
        found.check(format!("{manager} test"), &home, &origin);
    } else if tests && !found.frameworks.iter().any(|name| ["jest", "vitest", "mocha"].contains(&name.as_str())) {
        found.check("node --test", &home, &origin);
    }
    for (name, purpose) in
        [("build", "build"), ("lint", "lint"), ("typecheck", "lint"), ("format", "format"), ("fmt", "format")]
    {
        if script(name).is_some() {
            found.command(purpose, format!("{manager} run {name}"), &origin);
        }
    }
}

fn java(repository: &Repository<'_>, found: &mut Found) {
    if let Some(home) = repository.home("pom.xml") {
        let origin = join(&home, "pom.xml");
        found.managers.push("Maven".to_owned());
        found.libraries(repository.text(&origin).unwrap_or(""), &["spring-boot", "junit"]);
        found.check("mvn -B -o test", &home, &origin);
        return;
    }
    let Some(origin) = ["build.gradle", "build.gradle.kts"].into_iter().find(|name| repository.has(name)) else {
        return;
    };
    found.managers.push("Gradle".to_owned());
    let gradle = if repository.has("gradlew") { "sh ./gradlew" } else { "gradle" };
    found.check(format!("{gradle} --offline test"), "", origin);
}

const TARGETS: &[(&str, &str)] = &[
    ("build", "build"),
    ("all", "build"),
    ("test", "test"),
    ("tests", "test"),
    ("check", "test"),
    ("lint", "lint"),
    ("typecheck", "lint"),
    ("fmt", "format"),
    ("format", "format"),
];

/// A Makefile's tests are a check only where no ecosystem gave one: else they would run twice.
fn make(repository: &Repository<'_>, found: &mut Found) {
    let Some(origin) = ["GNUmakefile", "makefile", "Makefile"].into_iter().find(|name| repository.has(name)) else {
        return;
    };
    let text = repository.text(origin).unwrap_or("");
    let has = |target: &str| {
        text.lines().any(|line| {
            let head = line.split_once(':').filter(|(_, rest)| !rest.starts_with('=')).map(|(head, _)| head);
            !line.starts_with(['\t', '#'])
                && head.is_some_and(|head| head.split_whitespace().any(|word| word == target))
        })
    };
    found.managers.push("make".to_owned());
    let mut test = None;
    for (target, purpose) in TARGETS.iter().copied().filter(|(target, _)| has(target)) {
        if purpose == "test" && test.is_none() && found.checks.is_empty() {
            test = Some(target);
        } else {
            found.command(purpose, format!("make {target}"), origin);
        }
    }
    if let Some(target) = test {
        found.check(format!("make {target}"), "", origin);
    }
}

/// Lines that continuous integration runs, as hints: at most these many.
const CI_LINES_MAX: usize = 10;

fn continuous_integration(repository: &Repository<'_>, found: &mut Found) {
    let mut lines: Vec<(String, String)> = Vec::new();
    for (path, text) in repository.texts().filter(|(path, _)| path.starts_with(".github/workflows/")) {
        for line in text.lines() {
            let line = line.trim().trim_start_matches("- ");
            let Some(run) = line.strip_prefix("run:").map(str::trim) else { continue };
            let run = super::brief::plain(run.trim_matches(['"', '\'']), 120).replace('`', "'");
            let useful =
                ["test", "build", "lint", "check", "fmt", "format", "clippy"].iter().any(|word| run.contains(word));
            if useful && run != "|" && !lines.iter().any(|(seen, _)| *seen == run) {
                lines.push((run, path.to_owned()));
            }
        }
    }
    for (run, path) in lines.into_iter().take(CI_LINES_MAX) {
        if !found.commands.iter().any(|command| command.line == run) {
            found.command("continuous integration", run, &path);
        }
    }
}
