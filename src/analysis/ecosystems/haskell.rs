//! Haskell: Stack and Cabal.

use super::super::{
    facts::{Discovery, Package, Purpose, check_in},
    manifests::{Repository, extension, join, name, parent, shell_word},
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const MANIFESTS: &[&str] =
    &["stack.yaml", "cabal.project", "package.yaml", ".hlint.yaml", "fourmolu.yaml", ".stylish-haskell.yaml"];
pub(super) const ENDINGS: &[&str] = &[".cabal"];

pub(super) fn find(repository: &Repository<'_>, all: &mut Discovery) {
    let is_home = |name: &str| matches!(name, "stack.yaml" | "cabal.project") || extension(name) == "cabal";
    for home in repository.homes_where(is_home) {
        let stack = repository.has_in(home, "stack.yaml");
        let tested = repository.manifests.iter().any(|path| {
            let text = repository.text(path).unwrap_or("");
            (extension(path) == "cabal" && text.contains("test-suite"))
                || (name(path) == "package.yaml" && text.contains("tests:"))
        });
        if stack {
            let origin = join(home, "stack.yaml");
            all.manager("Stack");
            all.usual(Purpose::Setup, home, "stack setup", &origin);
            all.usual(Purpose::Build, home, "stack build", &origin);
            if tested {
                all.check(home, "stack test", &origin);
                all.usual(Purpose::SingleTest, home, "stack test --ta '--match NAME'", &origin);
            }
            if let Some(resolver) = repository.yaml(&origin)["resolver"].as_str() {
                all.pin("Stack resolver", resolver, &origin);
            }
        } else {
            let below = repository.below(home).iter().find(|path| parent(path) == home && extension(path) == "cabal");
            let project = repository.has_in(home, "cabal.project");
            let origin = if project {
                join(home, "cabal.project")
            } else {
                below.map_or(String::new(), |path| (*path).to_owned())
            };
            all.manager("Cabal");
            all.usual(Purpose::Setup, home, "cabal update", &origin);
            all.usual(Purpose::Build, home, "cabal build all", &origin);
            if tested {
                all.check(home, "cabal test all --test-show-details=direct", &origin);
                all.usual(Purpose::SingleTest, home, "cabal test --test-options='--match NAME'", &origin);
            }
        }
        for (file, purpose, line) in [
            (".hlint.yaml", Purpose::Lint, "hlint ."),
            ("fourmolu.yaml", Purpose::Format, "fourmolu -i ."),
            (".stylish-haskell.yaml", Purpose::Format, "stylish-haskell -ir ."),
        ] {
            if repository.has_in(home, file) {
                all.usual(purpose, home, line, &join(home, file));
            }
        }
        packages(repository, home, stack, all);
    }
}

fn packages(repository: &Repository<'_>, home: &str, stack: bool, all: &mut Discovery) {
    let mut found: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    let inside = |path: &&&str| home.is_empty() || path.starts_with(&format!("{home}/"));
    for path in repository.manifests.iter().filter(inside) {
        let text = repository.text(path).unwrap_or("");
        let stem = if name(path) == "package.yaml" {
            text.lines().find_map(|line| line.strip_prefix("name:")).map(str::trim)
        } else {
            name(path).strip_suffix(".cabal")
        };
        if let Some(stem) = stem {
            found.entry(stem).or_insert((parent(path), text));
        }
    }
    for (package, (directory, text)) in &found {
        let word = |letter: char| !(letter.is_ascii_alphanumeric() || letter == '-');
        let words: BTreeSet<&str> = text
            .lines()
            .filter(|line| !line.starts_with("name:") && !line.trim_start().starts_with("--"))
            .flat_map(|line| line.split(word))
            .collect();
        let depends_on = found.keys().filter(|other| *other != package && words.contains(**other));
        let tested = text.contains("test-suite") || text.contains("tests:");
        let run = if stack {
            format!("stack test {}", shell_word(package))
        } else {
            format!("cabal test {} --test-show-details=direct", shell_word(package))
        };
        all.packages.push(Package {
            name: (*package).to_owned(),
            directory: (*directory).to_owned(),
            ecosystem: "Haskell",
            depends_on: depends_on.map(|other| (*other).to_owned()).collect(),
            test: tested.then(|| check_in(home, &run)),
        });
    }
}
