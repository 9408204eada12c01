//! The packages that build files of the JVM, .NET, Elixir, Dart and PHP name, where they name them as text: what a
//! program in them computes is not seen.

use super::{
    super::parse::pattern,
    manifests::{Package, Packages, leaf},
};
use serde_json::Value;

/// Files whose contents a scan reads on both sides.
pub(super) fn is_build(path: &str) -> bool {
    let name = leaf(path);
    matches!(
        name,
        "pom.xml"
            | "build.gradle"
            | "build.gradle.kts"
            | "libs.versions.toml"
            | "Directory.Packages.props"
            | "mix.exs"
            | "pubspec.yaml"
            | "composer.lock"
    ) || is_project(name)
}

/// Project files of .NET.
fn is_project(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, ending)| matches!(ending, "csproj" | "fsproj" | "vbproj"))
}

/// What a person asked for; absent for other files.
pub(super) fn asked_for(path: &str, text: &str) -> Option<Packages> {
    match leaf(path) {
        "pom.xml" => Some(maven(text)),
        "build.gradle" | "build.gradle.kts" => Some(gradle(text)),
        "libs.versions.toml" => Some(catalog(&text.parse().ok()?)),
        "mix.exs" => Some(named(text, &MIX)),
        "pubspec.yaml" => Some(pub_spec(&serde_saphyr::from_str(text).ok()?)),
        name if is_project(name) || name == "Directory.Packages.props" => Some(named(text, &NUGET)),
        _ => None,
    }
}

/// What was resolved from it; absent for other files.
pub(super) fn resolved(path: &str, text: &str) -> Option<Packages> {
    (leaf(path) == "composer.lock").then(|| composer_lock(&serde_json::from_str(text).unwrap_or_default()))
}

pattern!(MAVEN, r"(?s)<(?:dependency|plugin)>(.*?)</(?:dependency|plugin)>");
pattern!(MAVEN_FIELD, r"<(groupId|artifactId|version|scope)>\s*([^<\s]+)\s*</");
pattern!(
    GRADLE,
    r#"(?m)^\s*(\w*(?:[iI]mplementation|[aA]pi|[cC]ompileOnly|[rR]untimeOnly|[kK]apt|[kK]sp|annotationProcessor))[\s(]+(?:platform\(|kotlin\()?['"]([\w.-]+:[\w.-]+)(?::([^'":@]+))?"#
);
pattern!(MIX, r#"(?m)^[^#\n]*?\{\s*:(\w+)\s*,\s*(?:"([^"]+)"|(?:github|git|hex):)"#);
pattern!(NUGET, r#"<Package(?:Reference|Version)\s+Include="([^"]+)"(?:\s+Version="([^"]*)")?"#);

fn package(version: &str, development: bool) -> Package {
    Package { version: version.to_owned(), licence: None, development }
}

/// By a pattern whose first group is a name and whose second, if there, a version.
fn named(text: &str, pattern: &regex::Regex) -> Packages {
    let version = |found: &regex::Captures<'_>| found.get(2).map_or("", |text| text.as_str()).to_owned();
    pattern.captures_iter(text).map(|found| (found[1].to_owned(), package(&version(&found), false))).collect()
}

/// As `group:artifact`.
fn maven(text: &str) -> Packages {
    let mut found = Packages::new();
    for block in MAVEN.captures_iter(text) {
        let fields: Vec<_> = MAVEN_FIELD.captures_iter(&block[1]).collect();
        let field = |name: &str| fields.iter().find(|one| &one[1] == name).map(|one| one[2].to_owned());
        if let (Some(group), Some(artifact)) = (field("groupId"), field("artifactId")) {
            let development = field("scope").is_some_and(|scope| scope == "test") || block[0].starts_with("<plugin>");
            let version = field("version").unwrap_or_default();
            found.entry(format!("{group}:{artifact}")).or_insert_with(|| package(&version, development));
        }
    }
    found
}

fn gradle(text: &str) -> Packages {
    let each = GRADLE.captures_iter(text).map(|found| {
        let version = found.get(3).map_or("", |text| text.as_str());
        (found[2].to_owned(), package(version, found[1].starts_with("test") || found[1].starts_with("androidTest")))
    });
    each.collect()
}

/// Gradle's version catalog: <https://docs.gradle.org/current/userguide/version_catalogs.html>.
fn catalog(table: &toml::Table) -> Packages {
    let versions = table.get("versions");
    let libraries = table.get("libraries").and_then(toml::Value::as_table).into_iter().flatten();
    let each = libraries.filter_map(|(_, library)| {
        let text = |key: &str| library.get(key).and_then(toml::Value::as_str);
        if let Some((name, version)) = library.as_str().and_then(|short| short.rsplit_once(':')) {
            return Some((name.to_owned(), package(version, false)));
        }
        let name = match text("module") {
            Some(module) => module.to_owned(),
            None => format!("{}:{}", text("group")?, text("name")?),
        };
        let by_name = || versions?.get(library.get("version")?.get("ref")?.as_str()?)?.as_str();
        Some((name, package(text("version").or_else(by_name).unwrap_or(""), false)))
    });
    each.collect()
}

fn pub_spec(spec: &Value) -> Packages {
    let mut found = Packages::new();
    for (section, development) in [("dependencies", false), ("dev_dependencies", true)] {
        for (name, version) in spec.get(section).and_then(Value::as_object).into_iter().flatten() {
            // Of the same repository, or of the toolchain.
            let own = version.get("path").is_some() || version.get("sdk").is_some();
            if !own {
                let version = version.as_str().or_else(|| version.get("version")?.as_str()).unwrap_or("");
                found.entry(name.clone()).or_insert_with(|| package(version, development));
            }
        }
    }
    found
}

fn composer_lock(lock: &Value) -> Packages {
    let mut found = Packages::new();
    for (section, development) in [("packages", false), ("packages-dev", true)] {
        for one in lock.get(section).and_then(Value::as_array).into_iter().flatten() {
            let Some(name) = one.get("name").and_then(Value::as_str) else { continue };
            let version = one.get("version").and_then(Value::as_str).unwrap_or("");
            let licences = one.get("license").and_then(Value::as_array).into_iter().flatten();
            let licences: Vec<&str> = licences.filter_map(Value::as_str).collect();
            let licence = (!licences.is_empty()).then(|| licences.join(" or "));
            found.insert(name.to_owned(), Package { licence, ..package(version, development) });
        }
    }
    found
}
