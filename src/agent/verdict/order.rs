//! The order in which checks run: what answers fast first, so that a short time for validation
//! still says something.

use crate::domain::check::{Check, CheckKind};

/// Linters, formatters and type checkers: they read the code and run none of it.
const STATIC: &[&str] = &[
    "biome",
    "black",
    "clippy",
    "eslint",
    "flake8",
    "fmt",
    "format",
    "gofmt",
    "golangci-lint",
    "isort",
    "lint",
    "mypy",
    "phpstan",
    "prettier",
    "psalm",
    "pylint",
    "pyright",
    "rubocop",
    "ruff",
    "shellcheck",
    "staticcheck",
    "tsc",
    "typecheck",
    "type-check",
    "vet",
];

/// Places of the checks in the order to run them: static ones, then the others by how long they took
/// on the base (unknown ones after those, in the order given), measures last.
pub fn order(checks: &[Check], base_ms: impl Fn(usize) -> Option<u64>) -> Vec<usize> {
    let mut places: Vec<usize> = (0..checks.len()).collect();
    places.sort_by_key(|at| {
        let check = &checks[*at];
        let slow = check.kind == CheckKind::Measure;
        (slow, !is_static(&check.command), base_ms(*at).unwrap_or(u64::MAX), *at)
    });
    places
}

/// The command reads the code and runs none of it: running it again gives the same.
pub(super) fn is_static(command: &str) -> bool {
    let words =
        || command.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).filter(|w| !w.is_empty());
    let tests = words().any(|word| word.contains("test") || word.contains("spec") || word.contains("bench"));
    let cargo_check = words().zip(words().skip(1)).any(|pair| pair == ("cargo", "check"));
    !tests && (cargo_check || words().any(|word| STATIC.contains(&word)))
}
