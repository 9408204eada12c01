//! Python: pyproject and its tools, setup files, tox, nox, requirements; pytest, unittest, Django.

use super::{
    super::{
        facts::{Discovery, Purpose},
        manifests::{Repository, is_own, is_python_test, join, name, parent, shell_word},
        purpose,
        read::at,
    },
    python_packages as packages,
};
use regex::Regex;
use std::{collections::BTreeSet, sync::LazyLock};

pub(super) const MANIFESTS: &[&str] = &[
    "pyproject.toml",
    "setup.cfg",
    "setup.py",
    "tox.ini",
    "noxfile.py",
    "pytest.ini",
    "Pipfile",
    "requirements.txt",
    "requirements-dev.txt",
    "requirements-test.txt",
    "requirements_dev.txt",
    "dev-requirements.txt",
    "test-requirements.txt",
    "environment.yml",
    "mypy.ini",
    "ruff.toml",
    ".flake8",
    "pyrightconfig.json",
    "hatch.toml",
];

/// What makes a directory a project; the first that is there is the origin.
const HOMES: &[&str] = &["pyproject.toml", "setup.cfg", "setup.py", "requirements.txt", "Pipfile", "tox.ini"];

const KNOWN: &[&str] = &[
    "django",
    "flask",
    "fastapi",
    "starlette",
    "sqlalchemy",
    "pydantic",
    "numpy",
    "pandas",
    "scipy",
    "torch",
    "celery",
    "click",
    "typer",
    "aiohttp",
    "httpx",
    "pytest",
    "hypothesis",
];

pub(super) fn find(repository: &Repository<'_>, all: &mut Discovery) {
    let mut homes = repository.homes(HOMES);
    let tests = |home: &str| -> Vec<&str> {
        let below = repository.below(home).iter().copied();
        below.filter(|path| is_python_test(name(path)) && is_own(path)).collect()
    };
    if homes.is_empty() || homes.contains(&"") {
        if homes.is_empty() && tests("").is_empty() {
            return;
        }
        homes = vec![""];
    }
    for home in homes {
        Project::of(repository, home, tests(home)).find(all);
    }
    packages::find(repository, all);
}

static SESSION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?m)^@nox\.session(?:\(([^)]*)\))?[^\n]*\n(?:@[^\n]*\n)*(?:async )?def (\w+)\(")
        .expect("the pattern is a constant")
});

/// A project: a directory with Python's manifests, or a repository with tests alone.
struct Project<'r, 'a> {
    repository: &'r Repository<'a>,
    home: &'r str,
    /// Name of its first manifest.
    origin: Option<&'static str>,
    manifest: toml::Table,
    /// The text of all its manifests.
    texts: String,
    /// Names of what it depends on, for development too.
    needs: BTreeSet<String>,
    tests: Vec<&'r str>,
}

impl<'r, 'a> Project<'r, 'a> {
    fn of(repository: &'r Repository<'a>, home: &'r str, tests: Vec<&'r str>) -> Self {
        let mut texts = String::new();
        for (path, text) in repository.texts() {
            let directory = parent(path);
            let near = directory == home || (directory == join(home, "requirements"));
            if near
                && (MANIFESTS.contains(&name(path)) || name(path).contains("requirements"))
                && name(path) != "noxfile.py"
            {
                texts.push_str(text);
                texts.push('\n');
            }
        }
        let manifest = repository.toml(&join(home, "pyproject.toml"));
        let needs = packages::needs(repository, home, &manifest);
        Self { repository, home, origin: repository.first_in(home, HOMES), manifest, texts, needs, tests }
    }

    fn find(&self, all: &mut Discovery) {
        let origin = self.origin.map(|name| join(self.home, name));
        if let Some(origin) = &origin {
            self.manager(all, origin);
        }
        all.frameworks_among(&self.needs, KNOWN, self.repository, |path| {
            MANIFESTS.contains(&name(path)) || name(path).contains("requirements")
        });
        self.runners(all);
        if let Some(origin) = &origin {
            self.tools(all, origin);
        }
        self.test(all);
    }

    fn manager(&self, all: &mut Discovery, origin: &str) {
        let has = |name: &str| self.repository.has_in(self.home, name);
        let tool = |name: &str| at(&self.manifest, &format!("tool.{name}")).is_some();
        let text = |name: &str| self.repository.text_in(self.home, name);
        let (manager, setup, shown) = if has("uv.lock") || tool("uv") {
            ("uv", "uv sync".to_owned(), "uv.lock")
        } else if has("poetry.lock") || tool("poetry") {
            ("Poetry", "poetry install".to_owned(), "poetry.lock")
        } else if has("pdm.lock") || tool("pdm") {
            ("PDM", "pdm install".to_owned(), "pdm.lock")
        } else if has("Pipfile") {
            ("Pipenv", "pipenv install --dev".to_owned(), "Pipfile")
        } else if tool("hatch.envs") || has("hatch.toml") {
            ("Hatch", "hatch env create".to_owned(), "pyproject.toml")
        } else if has("environment.yml") && !has("pyproject.toml") {
            ("Conda", "conda env create -f environment.yml".to_owned(), "environment.yml")
        } else if text("pyproject.toml").contains("[project]")
            || has("setup.py")
            || text("setup.cfg").contains("[metadata]")
        {
            let extras = at(&self.manifest, "project.optional-dependencies").and_then(toml::Value::as_table);
            let extra = ["dev", "test", "tests", "testing"]
                .into_iter()
                .find(|extra| extras.is_some_and(|all| all.contains_key(*extra)));
            (
                "pip",
                extra.map_or("python3 -m pip install -e .".to_owned(), |extra| {
                    format!("python3 -m pip install -e '.[{extra}]'")
                }),
                "",
            )
        } else {
            let files = [
                "requirements.txt",
                "requirements-dev.txt",
                "requirements_dev.txt",
                "dev-requirements.txt",
                "requirements-test.txt",
                "test-requirements.txt",
            ];
            let files: Vec<String> = files.iter().filter(|file| has(file)).map(|file| format!(" -r {file}")).collect();
            (
                "pip",
                if files.is_empty() { String::new() } else { format!("python3 -m pip install{}", files.concat()) },
                "",
            )
        };
        all.manager(manager);
        if !setup.is_empty() {
            let shown = if !shown.is_empty() && has(shown) { join(self.home, shown) } else { origin.to_owned() };
            all.usual(Purpose::Setup, self.home, setup, &shown);
        }
        let backend = at(&self.manifest, "build-system.build-backend").and_then(toml::Value::as_str);
        if manager != "pip" || backend.is_some() {
            let build = match manager {
                "uv" => "uv build",
                "Poetry" => "poetry build",
                "PDM" => "pdm build",
                "Hatch" => "hatch build",
                _ => "python3 -m build",
            };
            if backend.is_some() {
                all.usual(Purpose::Build, self.home, build, &join(self.home, "pyproject.toml"));
            }
        }
    }

    /// tox, nox, and scripts of hatch, PDM, poe, taskipy and Pipenv.
    fn runners(&self, all: &mut Discovery) {
        let has = |name: &str| self.repository.has_in(self.home, name);
        let pyproject = join(self.home, "pyproject.toml");
        let ini = self.repository.text_in(self.home, "tox.ini");
        if ini.contains("[tox]") || ini.contains("[testenv") || at(&self.manifest, "tool.tox").is_some() {
            let origin = if has("tox.ini") { join(self.home, "tox.ini") } else { pyproject.clone() };
            all.script(Purpose::Test, self.home, "tox", &origin);
            for line in ini.lines() {
                let environment = line.trim().strip_prefix("[testenv:").and_then(|rest| rest.strip_suffix(']'));
                let Some(environment) = environment.filter(|name| !name.contains(['{', ',', ' '])) else { continue };
                if let Some(purpose) = purpose::of_name(environment) {
                    all.script(
                        purpose,
                        self.home,
                        format!("tox -e {environment}"),
                        &format!("{origin}: testenv:{environment}"),
                    );
                }
            }
        }
        for found in SESSION.captures_iter(self.repository.text_in(self.home, "noxfile.py")).take(40) {
            let named = found.get(1).and_then(|arguments| arguments.as_str().split("name=").nth(1));
            let named = named.and_then(|rest| rest.split(['"', '\'']).nth(1));
            let session = named.unwrap_or(&found[2]);
            if let Some(purpose) = purpose::of_name(session) {
                let origin = format!("{}: {session}", join(self.home, "noxfile.py"));
                all.script(purpose, self.home, format!("nox -s {}", shell_word(session)), &origin);
            }
        }
        let mut scripts = |path: &str, table: Option<&toml::Table>, run: &str, file: &str| {
            for key in table.into_iter().flatten().map(|(key, _)| key).take(100) {
                if let Some(purpose) = purpose::of_name(key) {
                    all.script(
                        purpose,
                        self.home,
                        format!("{run} {}", shell_word(key)),
                        &format!("{file}: {path}.{key}"),
                    );
                }
            }
        };
        let table = |path: &str| at(&self.manifest, path).and_then(toml::Value::as_table);
        let poe = if has("poetry.lock") {
            "poetry run poe"
        } else if has("uv.lock") {
            "uv run poe"
        } else {
            "poe"
        };
        scripts("tool.poe.tasks", table("tool.poe.tasks"), poe, &pyproject);
        scripts("tool.pdm.scripts", table("tool.pdm.scripts"), "pdm run", &pyproject);
        scripts("tool.taskipy.tasks", table("tool.taskipy.tasks"), "task", &pyproject);
        let pipfile = join(self.home, "Pipfile");
        let of_pipfile = self.repository.toml(&pipfile);
        scripts("scripts", of_pipfile.get("scripts").and_then(toml::Value::as_table), "pipenv run", &pipfile);
        for (environment, settings) in table("tool.hatch.envs").into_iter().flatten().take(20) {
            let prefix = if environment == "default" { String::new() } else { format!("{environment}:") };
            for key in settings.get("scripts").and_then(toml::Value::as_table).into_iter().flatten().map(|(key, _)| key)
            {
                if let Some(purpose) = purpose::of_name(key) {
                    let origin = format!("{pyproject}: tool.hatch.envs.{environment}.scripts.{key}");
                    all.script(purpose, self.home, format!("hatch run {prefix}{key}"), &origin);
                }
            }
        }
    }

    /// Linters, formatters and type checkers that are configured or depended on.
    fn tools(&self, all: &mut Discovery, origin: &str) {
        let pre_commit = self.repository.text(".pre-commit-config.yaml").unwrap_or("");
        for (tool, files, commands) in [
            (
                "ruff",
                &["ruff.toml", ".ruff.toml"][..],
                &[(Purpose::Lint, "ruff check ."), (Purpose::Format, "ruff format .")][..],
            ),
            ("flake8", &[".flake8"], &[(Purpose::Lint, "flake8")]),
            ("pylint", &[".pylintrc"], &[(Purpose::Lint, "pylint .")]),
            ("mypy", &["mypy.ini"], &[(Purpose::TypeCheck, "mypy .")]),
            ("pyright", &["pyrightconfig.json"], &[(Purpose::TypeCheck, "pyright")]),
            ("black", &[], &[(Purpose::Format, "black .")]),
            ("isort", &[".isort.cfg"], &[(Purpose::Format, "isort .")]),
        ] {
            let file = files.iter().find(|file| self.repository.has_in(self.home, file));
            let configured = at(&self.manifest, &format!("tool.{tool}")).is_some();
            if configured
                || file.is_some()
                || self.needs.contains(tool)
                || self.texts.contains(tool)
                || pre_commit.contains(tool)
            {
                let origin = file.map_or(origin.to_owned(), |file| join(self.home, file));
                for (purpose, line) in commands {
                    // Where black formats, ruff's formatter is not what is used.
                    if *line == "ruff format ." && self.texts.contains("black") {
                        continue;
                    }
                    all.usual(*purpose, self.home, *line, &origin);
                }
            }
        }
    }

    fn test(&self, all: &mut Discovery) {
        let Some(first) = self.tests.first() else { return };
        let shown = self.origin.map_or((*first).to_owned(), |name| join(self.home, name));
        let package = |path: &&str| {
            let below = path.strip_prefix(&join(self.home, "src/"));
            below.is_some_and(|rest| rest.ends_with("/__init__.py") && rest.matches('/').count() == 1)
        };
        let path = if self.repository.below(self.home).iter().any(package) { "PYTHONPATH=src " } else { "" };
        if self.wants_pytest() {
            all.check(self.home, format!("{path}python3 -m pytest"), &shown);
            all.usual(Purpose::SingleTest, self.home, format!("{path}python3 -m pytest PATH::NAME"), &shown);
        } else if self.repository.has_in(self.home, "manage.py") {
            let origin = join(self.home, "manage.py");
            all.check(self.home, "python3 manage.py test -v 2", &origin);
            all.usual(Purpose::SingleTest, self.home, "python3 manage.py test MODULE.CLASS.NAME", &origin);
        } else {
            all.check(self.home, format!("{path}{}", self.unittest()), first);
            all.usual(Purpose::SingleTest, self.home, format!("{path}python3 -m unittest -v MODULE.CLASS.NAME"), first);
        }
    }

    /// pytest is configured, or tests import it; where the workspace is known to lack it, only tests
    /// that cannot do without it count.
    fn wants_pytest(&self) -> bool {
        let samples: Vec<&str> = self
            .repository
            .texts()
            .filter(|(path, _)| self.tests.binary_search(path).is_ok())
            .map(|(_, text)| text)
            .collect();
        let imports = samples.iter().any(|text| text.contains("import pytest") || text.contains("from pytest"));
        let functions = samples
            .iter()
            .any(|text| text.lines().any(|line| line.starts_with("def test_") || line.starts_with("async def test_")));
        if imports || functions {
            return true;
        }
        let configured = self.repository.has_in(self.home, "pytest.ini")
            || self.repository.any_below(self.home, |path| name(path) == "conftest.py")
            || ["[tool.pytest", "[pytest]", "[tool:pytest]"].iter().any(|mark| self.texts.contains(mark));
        let mentioned = configured || self.texts.contains("pytest");
        let cases = samples.iter().any(|text| text.contains("unittest"));
        mentioned && !(cases && self.repository.lacks_program("pytest"))
    }

    /// With a package of tests, discovery starts at the root; without, in the tests' directory.
    fn unittest(&self) -> String {
        let suffix = self.tests.iter().all(|path| path.ends_with("_test.py"));
        let pattern = if suffix { " -p '*_test.py'" } else { "" };
        let top = |path: &&str| {
            let below = path.strip_prefix(self.home).unwrap_or(path).trim_start_matches('/');
            below.split_once('/').map(|(directory, _)| directory.to_owned())
        };
        let directory = self
            .tests
            .first()
            .and_then(top)
            .filter(|first| self.tests.iter().all(|path| top(path).as_ref() == Some(first)));
        match directory {
            Some(directory) if !self.repository.has(&join(self.home, &join(&directory, "__init__.py"))) => {
                format!("python3 -m unittest discover -v -s {}{pattern}", shell_word(&directory))
            }
            _ if pattern.is_empty() => "python3 -m unittest -v".to_owned(),
            _ => format!("python3 -m unittest discover -v{pattern}"),
        }
    }
}
