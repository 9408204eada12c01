//! Java, Kotlin and Android by Gradle: projects that the settings include.

use super::super::{
    facts::{Discovery, Package, Purpose, check_in},
    manifests::{Repository, join},
};
use regex::Regex;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

pub(super) const MANIFESTS: &[&str] =
    &["build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts", "libs.versions.toml"];
const BUILDS: &[&str] = &["build.gradle.kts", "build.gradle"];
const SETTINGS: &[&str] = &["settings.gradle.kts", "settings.gradle"];
/// Projects that one build may include.
const PROJECTS_MAX: usize = 1_000;

static INCLUDE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?m)^\s*include\b\s*\(?((?:\s*["'][^"'\n]+["']\s*,?)+)"#).expect("the pattern is a constant")
});
static QUOTED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"["']([^"']+)["']"#).expect("the pattern is a constant"));
static PROJECT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"project\(\s*(?:path\s*[:=]\s*)?["'](:[^"']+)["']"#).expect("the pattern is a constant")
});
static JAVA: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?:JavaLanguageVersion\.of\(|jvmToolchain\(|JavaVersion\.VERSION_)(\d+)")
        .expect("the pattern is a constant")
});

pub(super) fn find(repository: &Repository<'_>, all: &mut Discovery) {
    let mut homes = repository.homes_where(|name| BUILDS.contains(&name) || SETTINGS.contains(&name));
    // Where Maven builds as well, one of the two is enough.
    homes.retain(|home| !repository.has_in(home, "pom.xml"));
    if homes.is_empty() {
        return;
    }
    all.manager("Gradle");
    for home in homes {
        let settings = repository.first_in(home, SETTINGS);
        let Some(file) = repository.first_in(home, BUILDS).or(settings) else { continue };
        let origin = join(home, file);
        let gradle = if repository.has_in(home, "gradlew") { "sh ./gradlew" } else { "gradle" };
        let text = repository.text(&origin).unwrap_or("");
        for (_, name) in super::maven::KNOWN.iter().filter(|(mark, _)| text.contains(mark)) {
            all.framework(name, &origin);
        }
        all.usual(Purpose::Build, home, format!("{gradle} --offline assemble"), &origin);
        all.check(home, format!("{gradle} --offline test"), &origin);
        all.usual(Purpose::SingleTest, home, format!("{gradle} --offline test --tests 'CLASS.NAME'"), &origin);
        for (plugin, purpose, task) in [
            ("spotless", Purpose::Format, "spotlessApply"),
            ("ktlint", Purpose::Lint, "ktlintCheck"),
            ("detekt", Purpose::Lint, "detekt"),
            ("checkstyle", Purpose::Lint, "checkstyleMain"),
            ("com.android", Purpose::Lint, "lint"),
        ] {
            if text.contains(plugin) {
                all.usual(purpose, home, format!("{gradle} --offline {task}"), &origin);
            }
        }
        if let Some(java) = JAVA.captures(text) {
            all.pin("Java", &java[1], &origin);
        }
        let settings = settings.map_or("", |file| repository.text_in(home, file));
        packages(repository, home, gradle, settings, all);
    }
}

fn packages(repository: &Repository<'_>, home: &str, gradle: &str, settings: &str, all: &mut Discovery) {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for list in INCLUDE.captures_iter(settings) {
        for quoted in QUOTED.captures_iter(&list[1]).take(PROJECTS_MAX - found.len().min(PROJECTS_MAX)) {
            let project = format!(":{}", quoted[1].trim_start_matches(':'));
            let directory = join(home, &project[1..].replace(':', "/"));
            found.insert(project, directory);
        }
    }
    for (project, directory) in &found {
        let build = repository.first_in(directory, BUILDS).map_or("", |file| repository.text_in(directory, file));
        let named = PROJECT.captures_iter(build).map(|found| found[1].to_owned());
        // Type-safe accessors, such as `projects.core.api`.
        let accessor = |other: &&String| {
            let word = format!("projects.{}", other[1..].replace(':', ".").replace('-', ""));
            let camel = build.replace('-', "").to_lowercase();
            camel.contains(&format!("{})", word.to_lowercase()))
        };
        let by_accessor = found.keys().filter(accessor).cloned();
        let depends_on: BTreeSet<String> =
            named.chain(by_accessor).filter(|other| other != project && found.contains_key(other)).collect();
        all.packages.push(Package {
            name: project.clone(),
            directory: directory.clone(),
            ecosystem: "Gradle",
            depends_on: depends_on.into_iter().collect(),
            test: Some(check_in(home, &format!("{gradle} --offline {project}:test"))),
        });
    }
    if found.is_empty() {
        all.packages.push(Package {
            name: if home.is_empty() { "root".to_owned() } else { home.to_owned() },
            directory: home.to_owned(),
            ecosystem: "Gradle",
            depends_on: Vec::new(),
            test: Some(check_in(home, &format!("{gradle} --offline test"))),
        });
    }
}
