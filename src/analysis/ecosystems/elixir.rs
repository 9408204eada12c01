//! Elixir: Mix projects and umbrellas.

use super::super::{
    facts::{Discovery, Package, Purpose, check_in},
    manifests::{Repository, join, name, parent, resolve},
};
use regex::Regex;
use std::{collections::BTreeSet, sync::LazyLock};

pub(super) const MANIFESTS: &[&str] = &["mix.exs", ".formatter.exs", ".credo.exs"];
const KNOWN: &[&str] = &["phoenix", "phoenix_live_view", "ecto", "absinthe", "oban", "nerves", "credo", "dialyxir"];

static NEEDED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\{:(\w+),([^}\n]*)").expect("the pattern is a constant"));
static PATH: LazyLock<Regex> = LazyLock::new(|| Regex::new(r#"path:\s*"([^"]+)""#).expect("the pattern is a constant"));
static APP: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"app:\s*:(\w+)").expect("the pattern is a constant"));
static VERSION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"(?m)^\s*elixir:\s*"([^"]+)""#).expect("the pattern is a constant"));

pub(super) fn find(repository: &Repository<'_>, all: &mut Discovery) {
    let homes = repository.homes(&["mix.exs"]);
    if homes.is_empty() {
        return;
    }
    all.manager("Mix");
    let manifests: Vec<(&str, &str)> =
        repository.named("mix.exs").map(|path| (parent(path), repository.text(path).unwrap_or(""))).collect();
    let needs: BTreeSet<String> =
        manifests.iter().flat_map(|(_, text)| NEEDED.captures_iter(text)).map(|found| found[1].to_owned()).collect();
    all.frameworks_among(&needs, KNOWN, repository, |path| name(path) == "mix.exs");
    for home in homes {
        let origin = join(home, "mix.exs");
        all.usual(Purpose::Setup, home, "mix deps.get", &origin);
        all.usual(Purpose::Build, home, "mix compile", &origin);
        if repository.any_below(home, |path| path.ends_with("_test.exs")) {
            all.check(home, "mix test --trace", &origin);
            all.usual(Purpose::SingleTest, home, "mix test PATH:LINE", &origin);
        }
        if needs.contains("credo") {
            all.usual(Purpose::Lint, home, "mix credo", &origin);
        }
        if needs.contains("dialyxir") {
            all.usual(Purpose::TypeCheck, home, "mix dialyzer", &origin);
        }
        all.usual(Purpose::Format, home, "mix format", &origin);
        if let Some(version) = VERSION.captures(repository.text(&origin).unwrap_or("")) {
            all.pin("Elixir", &version[1], &origin);
        }
    }
    let named: Vec<(String, &str, &str)> = manifests
        .iter()
        .filter(|(_, text)| !text.contains("apps_path:"))
        .map(|(directory, text)| {
            let app = APP.captures(text).map_or_else(|| name(directory).to_owned(), |found| found[1].to_owned());
            (app, *directory, *text)
        })
        .collect();
    for (app, directory, text) in &named {
        let mut depends_on: BTreeSet<String> = BTreeSet::new();
        for found in NEEDED.captures_iter(text) {
            let path = PATH.captures(&found[2]).and_then(|path| resolve(directory, &path[1]));
            let inside = found[2].contains("in_umbrella: true");
            let other =
                named.iter().find(|(other, at, _)| (inside && *other == found[1]) || path.as_deref() == Some(*at));
            depends_on.extend(other.map(|(other, ..)| other.clone()).filter(|other| other != app));
        }
        all.packages.push(Package {
            name: app.clone(),
            directory: (*directory).to_owned(),
            ecosystem: "Mix",
            depends_on: depends_on.into_iter().collect(),
            test: repository
                .any_below(directory, |path| path.ends_with("_test.exs"))
                .then(|| check_in(directory, "mix test --trace")),
        });
    }
}
