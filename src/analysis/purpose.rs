//! What a script's name or a command line is for, by its words.

use super::facts::Purpose;

/// By the name of a script, target, session or task: its first word that says something.
pub(super) fn of_name(name: &str) -> Option<Purpose> {
    NAMES.iter().find(|(_, names)| names.contains(&name)).map(|(purpose, _)| *purpose)
}

const NAMES: &[(Purpose, &[&str])] = &[
    (
        Purpose::Test,
        &[
            "test",
            "tests",
            "unit",
            "unittest",
            "check",
            "spec",
            "pytest",
            "coverage",
            "cov",
            "test:unit",
            "test-unit",
            "unit-test",
            "unit-tests",
            "test:ci",
            "test-all",
            "tests:unit",
        ],
    ),
    (
        Purpose::TypeCheck,
        &[
            "test:types",
            "types",
            "type",
            "typing",
            "typecheck",
            "type-check",
            "type_check",
            "typecheck:all",
            "check-types",
            "check:types",
            "types:check",
            "tsc",
            "mypy",
            "pyright",
            "phpstan",
            "psalm",
            "stan",
        ],
    ),
    (
        Purpose::Lint,
        &[
            "lint",
            "lint:all",
            "lint:check",
            "linters",
            "flake8",
            "ruff",
            "eslint",
            "clippy",
            "vet",
            "style",
            "cs",
            "phpcs",
            "rubocop",
            "analyze",
            "analyse",
            "lints",
            "linting",
        ],
    ),
    (
        Purpose::Format,
        &["fmt", "format", "format:fix", "format:write", "prettier", "black", "formatting", "cs-fix", "cs:fix"],
    ),
    (Purpose::Build, &["build", "compile", "all", "build:all"]),
    (Purpose::Setup, &["setup", "bootstrap", "install-dev", "install_dev", "deps", "dev-setup", "init"]),
];

/// Programs that a line which does something worth knowing begins with; `./x` and the like too.
const PROGRAMS: &[&str] = &[
    "ava",
    "bats",
    "bazel",
    "bazelisk",
    "biome",
    "black",
    "buck2",
    "bun",
    "bunx",
    "bundle",
    "cabal",
    "cargo",
    "clj",
    "clojure",
    "cmake",
    "composer",
    "crystal",
    "ctest",
    "dart",
    "deno",
    "dotnet",
    "dune",
    "earthly",
    "eslint",
    "flake8",
    "flutter",
    "gleam",
    "go",
    "gofmt",
    "goimports",
    "golangci-lint",
    "gotestsum",
    "gradle",
    "gulp",
    "grunt",
    "hatch",
    "hlint",
    "isort",
    "jest",
    "julia",
    "just",
    "lein",
    "lerna",
    "make",
    "melos",
    "meson",
    "mill",
    "mix",
    "mocha",
    "mvn",
    "mvnw",
    "gradlew",
    "mypy",
    "nimble",
    "ninja",
    "node",
    "nox",
    "npm",
    "npx",
    "nx",
    "ormolu",
    "pants",
    "pdm",
    "perl",
    "php",
    "phpunit",
    "pip",
    "pip3",
    "pipenv",
    "pnpm",
    "poe",
    "poetry",
    "pre-commit",
    "prettier",
    "prove",
    "pylint",
    "pyright",
    "pytest",
    "python",
    "python3",
    "rake",
    "rspec",
    "rubocop",
    "ruby",
    "ruff",
    "rustfmt",
    "rye",
    "sbt",
    "scalafmt",
    "shellcheck",
    "stack",
    "staticcheck",
    "swift",
    "swiftlint",
    "task",
    "tox",
    "tsc",
    "turbo",
    "uv",
    "uvx",
    "vitest",
    "yarn",
    "zig",
];

/// The purpose of a command line; absent where it has none of these or does not begin with a
/// program that is known.
pub(super) fn of_line(line: &str) -> Option<Purpose> {
    let mut words = line.split_whitespace().skip_while(|word| is_assignment(word)).peekable();
    let first = *words.peek()?;
    let base = first.rsplit('/').next().unwrap_or(first);
    let own = ["./", "bin/", "script/", "scripts/", "tools/", "ci/", "dev/", "hack/", "vendor/bin/"]
        .iter()
        .any(|start| first.starts_with(start));
    let shell = matches!(first, "sh" | "bash");
    if !own && !shell && !PROGRAMS.contains(&base) {
        return None;
    }
    if single_test(line) {
        return Some(Purpose::SingleTest);
    }
    let words: Vec<&str> = words.collect();
    let has = |known: &[&str]| words.iter().any(|word| parts(word).any(|part| known.contains(&part)));
    let second = words.get(1).copied().unwrap_or("");
    let installs = matches!(second, "install" | "ci" | "sync" | "restore" | "deps.get" | "fetch" | "bootstrap")
        || words.starts_with(&["go", "mod", "download"])
        || words.get(2..4) == Some(&["pip", "install"])
        || (words.len() == 1 && base == "yarn");
    // `cargo install` and the like bring tools, not what the repository needs.
    if installs && (base != "cargo" || second == "fetch") && base != "make" {
        return Some(Purpose::Setup);
    }
    if (own || base == "make") && has(&["setup", "bootstrap"]) && !has(&["test", "tests"]) {
        return Some(Purpose::Setup);
    }
    if has(&["mypy", "pyright", "tsc", "typecheck", "typing", "types", "phpstan", "psalm", "dialyzer"])
        || line.contains("type-check")
    {
        return Some(Purpose::TypeCheck);
    }
    if words.starts_with(&["cargo", "check"]) {
        return Some(Purpose::TypeCheck);
    }
    if has(&["fmt", "format", "prettier", "black", "gofmt", "rustfmt", "isort", "ormolu", "fourmolu", "scalafmt"])
        || line.contains("spotless")
    {
        return Some(Purpose::Format);
    }
    let lints = [
        "lint",
        "clippy",
        "eslint",
        "ruff",
        "flake8",
        "pylint",
        "vet",
        "golangci",
        "rubocop",
        "phpcs",
        "credo",
        "shellcheck",
        "hlint",
        "detekt",
        "ktlint",
        "checkstyle",
        "swiftlint",
        "staticcheck",
        "analyze",
        "biome",
    ];
    if has(&lints) || words.starts_with(&["pre-commit", "run"]) {
        return Some(Purpose::Lint);
    }
    let tests = [
        "test",
        "tests",
        "check",
        "pytest",
        "spec",
        "rspec",
        "jest",
        "vitest",
        "mocha",
        "ava",
        "tox",
        "nox",
        "ctest",
        "phpunit",
        "pest",
        "unittest",
        "nextest",
        "verify",
        "runtests",
        "bats",
        "prove",
        "gotestsum",
        "testall",
    ];
    if has(&tests) {
        return Some(Purpose::Test);
    }
    has(&["build", "compile", "assemble", "package", "ninja"])
        .then_some(Purpose::Build)
        .or((base == "make" && words.len() == 1).then_some(Purpose::Build))
}

/// Whether it looks like one that runs a single test: a test's name, or a place for one.
fn single_test(line: &str) -> bool {
    let runs = ["test", "spec", "jest", "mocha"].iter().any(|word| line.contains(word));
    let marks = [
        "::test",
        "::Test",
        "::<",
        " -k ",
        " -run ",
        " -run=",
        "--filter ",
        "--filter=",
        " -t ",
        " --tests ",
        "-Dtest=",
        "testOnly",
        " --grep ",
        "--test-name-pattern",
    ];
    let place = line.contains('<') && line.contains('>') || line.contains("path/to");
    runs && (marks.iter().any(|mark| line.contains(mark)) || place)
}

fn parts(word: &str) -> impl Iterator<Item = &str> {
    word.split(|letter: char| !letter.is_ascii_alphanumeric())
}

pub(super) fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_' || byte.is_ascii_digit())
    })
}

/// Programs and words that a sandbox without network and services has no use for.
const OUTSIDE: &[&str] = &[
    "aws",
    "cypress",
    "docker",
    "docker-compose",
    "gcloud",
    "heroku",
    "helm",
    "kind",
    "kubectl",
    "minikube",
    "playwright",
    "podman",
    "podman-compose",
    "scp",
    "ssh",
    "terraform",
    "testcontainers",
    "vagrant",
    "wget",
    "curl",
];

/// Whether a line cannot work, or would never end, in a workspace: containers, other hosts,
/// browsers, watching.
pub(super) fn needs_outside(text: &str) -> bool {
    let mut words = text.split(|letter: char| letter.is_whitespace() || ";&|()\"'`$@".contains(letter));
    words.any(|word| {
        let word = word.rsplit('/').next().unwrap_or(word);
        OUTSIDE.contains(&word) || matches!(word, "--watch" | "--watchAll" | "--watch-all" | "watch")
    })
}
