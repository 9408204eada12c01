//! What a check speaks of: the paths below its directory, of the languages that its command's programs read. A guess by
//! words, which says whether a check that could not run was the only one of some changed file.

use super::ComparedCheck;

/// Programs, and the endings of the files that they read.
const LANGUAGES: &[(&[&str], &[&str])] = &[
    (
        &[
            "pytest", "unittest", "tox", "nox", "python", "python3", "ruff", "mypy", "black", "flake8", "pylint",
            "pyright", "isort", "hatch", "poetry", "pdm", "uv",
        ],
        &["py", "pyi", "pyx", "ipynb"],
    ),
    (
        &[
            "npm", "npx", "yarn", "pnpm", "bun", "node", "deno", "jest", "vitest", "mocha", "eslint", "tsc",
            "prettier", "biome",
        ],
        &["js", "jsx", "ts", "tsx", "mjs", "cjs", "mts", "cts", "vue", "svelte", "css", "scss", "html"],
    ),
    (&["cargo"], &["rs"]),
    (&["go", "gofmt", "golangci-lint", "staticcheck"], &["go"]),
    (&["mvn", "mvnw", "gradle", "gradlew", "ant", "sbt"], &["java", "kt", "kts", "scala", "groovy"]),
    (&["dotnet"], &["cs", "fs", "vb", "razor"]),
    (&["bundle", "rspec", "rake", "rubocop", "rails", "ruby"], &["rb", "erb", "rake"]),
    (&["composer", "phpunit", "phpstan", "psalm", "php"], &["php"]),
    (&["mix"], &["ex", "exs", "eex", "heex"]),
    (&["ctest", "cmake", "meson", "ninja"], &["c", "h", "cc", "cpp", "cxx", "hh", "hpp"]),
    (&["swift"], &["swift"]),
    (&["dart", "flutter"], &["dart"]),
    (&["stack", "cabal"], &["hs"]),
];
/// What is written for people: no check is missed for it.
const PROSE: &[&str] = &["md", "rst", "adoc", "txt"];
const PROSE_NAMES: &[&str] = &["LICENSE", "LICENCE", "NOTICE", "AUTHORS", "CODEOWNERS", "CHANGELOG", "README"];

/// The first of the changed paths that this check speaks of, and none of the passing ones does that lies where it does
/// or below. A linter says nothing in the place of tests.
pub(super) fn missed<'a>(check: &ComparedCheck, passing: &[&ComparedCheck], changed: &'a [String]) -> Option<&'a str> {
    let stands_in =
        |other: &&&ComparedCheck| below(directory(other), directory(check)) && (is_static(check) || !is_static(other));
    let missed =
        |path: &&str| speaks_of(check, path) && !passing.iter().filter(stands_in).any(|other| speaks_of(other, path));
    changed.iter().map(String::as_str).filter(|path| !is_prose(path)).find(missed)
}

fn is_static(check: &ComparedCheck) -> bool {
    super::order::is_static(&check.check.command)
}

fn directory(check: &ComparedCheck) -> &str {
    check.check.workdir.as_deref().unwrap_or_default().trim_start_matches("./").trim_matches('/')
}

fn below(path: &str, directory: &str) -> bool {
    directory.is_empty() || path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Files of no language that is known here are everybody's, and so is everything where the programs are not known.
fn speaks_of(check: &ComparedCheck, path: &str) -> bool {
    let words: Vec<&str> =
        check.check.command.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).collect();
    let mut read = LANGUAGES.iter().filter(|(programs, _)| programs.iter().any(|program| words.contains(program)));
    let ending = ending(path);
    let known = LANGUAGES.iter().any(|(_, endings)| endings.contains(&ending));
    below(path, directory(check))
        && (!known || read.clone().next().is_none() || read.any(|(_, endings)| endings.contains(&ending)))
}

fn is_prose(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    PROSE.contains(&ending(path)) || PROSE_NAMES.contains(&name)
}

fn ending(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or("", |(_, ending)| ending)
}
