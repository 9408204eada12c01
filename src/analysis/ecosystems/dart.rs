//! Dart and Flutter: pubspecs, workspaces, Melos.

use super::super::{
    facts::{Discovery, Package, Purpose, check_in},
    manifests::{Repository, join, name, parent, resolve},
};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const MANIFESTS: &[&str] = &["pubspec.yaml", "melos.yaml", "analysis_options.yaml"];
const DEPENDENCIES: &[&str] = &["dependencies", "dev_dependencies", "dependency_overrides"];

pub(super) fn find(repository: &Repository<'_>, all: &mut Discovery) {
    let manifests: BTreeMap<&str, Value> =
        repository.named("pubspec.yaml").map(|path| (parent(path), repository.yaml(path))).collect();
    if manifests.is_empty() {
        return;
    }
    let test = |directory: &str| repository.any_below(directory, |path| path.ends_with("_test.dart"));
    let flutter = |directory: &str| {
        let manifest = manifests.get(directory);
        manifest.is_some_and(|manifest| DEPENDENCIES.iter().any(|group| manifest[*group].get("flutter").is_some()))
    };
    let line = |directory: &str| if flutter(directory) { "flutter test -r expanded" } else { "dart test -r expanded" };
    all.manager("pub");
    for home in repository.homes(&["pubspec.yaml"]) {
        let origin = join(home, "pubspec.yaml");
        let program = if flutter(home) { "flutter" } else { "dart" };
        if flutter(home) {
            all.framework("flutter", &origin);
        }
        all.usual(Purpose::Setup, home, format!("{program} pub get"), &origin);
        let own =
            |path: &str| parent(path) == join(home, "test") || path.starts_with(&format!("{}/", join(home, "test")));
        if repository.any_below(home, |path| path.ends_with("_test.dart") && own(path)) {
            all.check(home, line(home), &origin);
            let name = if flutter(home) { "--plain-name" } else { "-n" };
            all.usual(Purpose::SingleTest, home, format!("{program} test PATH {name} NAME"), &origin);
        }
        all.usual(Purpose::Lint, home, format!("{program} analyze"), &origin);
        all.usual(Purpose::Format, home, "dart format .", &origin);
        if let Some(version) = manifests.get(home).and_then(|manifest| manifest["environment"]["sdk"].as_str()) {
            all.pin("Dart", version, &format!("{origin}: environment"));
        }
    }
    if repository.has("melos.yaml") {
        all.manager("Melos");
        all.usual(Purpose::Setup, "", "melos bootstrap", "melos.yaml");
    }
    let named = |directory: &str, manifest: &Value| manifest["name"].as_str().unwrap_or(name(directory)).to_owned();
    let names: BTreeMap<String, &str> =
        manifests.iter().map(|(directory, manifest)| (named(directory, manifest), *directory)).collect();
    for (package, directory) in &names {
        let groups = DEPENDENCIES.iter().filter_map(|group| manifests.get(directory)?[*group].as_object());
        let mut depends_on: BTreeSet<String> = BTreeSet::new();
        for (key, value) in groups.flat_map(Map::iter) {
            let path = value["path"].as_str().and_then(|path| resolve(directory, path));
            let by_path = names.iter().find(|(_, other)| path.as_deref() == Some(**other)).map(|(name, _)| name);
            let by_name = names.get_key_value(key).map(|(name, _)| name);
            depends_on.extend(by_path.or(by_name).filter(|name| *name != package).cloned());
        }
        all.packages.push(Package {
            name: package.clone(),
            directory: (*directory).to_owned(),
            ecosystem: "pub",
            depends_on: depends_on.into_iter().collect(),
            test: test(directory).then(|| check_in(directory, line(directory))),
        });
    }
}
