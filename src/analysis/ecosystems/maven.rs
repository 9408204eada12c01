//! Java by Maven: modules of a reactor and who depends on whom.

use super::super::{
    facts::{Discovery, Package, Purpose, check_in},
    manifests::{Repository, join, parent, resolve, shell_word},
    read::{Element, xml},
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const MANIFESTS: &[&str] = &["pom.xml"];

pub(super) const KNOWN: &[(&str, &str)] = &[
    ("spring-boot", "spring-boot"),
    ("quarkus", "quarkus"),
    ("micronaut", "micronaut"),
    ("junit", "junit"),
    ("testng", "testng"),
    ("lombok", "lombok"),
    ("ktor", "ktor"),
];

pub(super) fn find(repository: &Repository<'_>, all: &mut Discovery) {
    let homes = repository.homes(&["pom.xml"]);
    if homes.is_empty() {
        return;
    }
    all.manager("Maven");
    let poms: BTreeMap<&str, Vec<Element>> =
        repository.named("pom.xml").map(|path| (parent(path), xml(repository.text(path).unwrap_or("")))).collect();
    for home in homes {
        let origin = join(home, "pom.xml");
        let text = repository.text(&origin).unwrap_or("");
        for (_, name) in KNOWN.iter().filter(|(mark, _)| text.contains(mark)) {
            all.framework(name, &origin);
        }
        // The wrapper would fetch Maven itself.
        let own = repository.has_in(home, "mvnw") && repository.lacks_program("mvn");
        let maven = if own { "sh ./mvnw" } else { "mvn" };
        all.usual(Purpose::Setup, home, format!("{maven} -B dependency:go-offline"), &origin);
        all.usual(Purpose::Build, home, format!("{maven} -B -o -DskipTests package"), &origin);
        all.check(home, format!("{maven} -B -o test"), &origin);
        all.usual(Purpose::SingleTest, home, format!("{maven} -B -o test -Dtest='CLASS#NAME'"), &origin);
        for (plugin, purpose, goal) in [
            ("spotless-maven-plugin", Purpose::Format, "spotless:apply"),
            ("fmt-maven-plugin", Purpose::Format, "fmt:format"),
            ("maven-checkstyle-plugin", Purpose::Lint, "checkstyle:check"),
            ("spotbugs-maven-plugin", Purpose::Lint, "spotbugs:check"),
            ("maven-pmd-plugin", Purpose::Lint, "pmd:check"),
        ] {
            if text.contains(plugin) {
                all.usual(purpose, home, format!("{maven} -B -o {goal}"), &origin);
            }
        }
        let release = poms.get(home).into_iter().flatten().find(|element| {
            ["java.version", "maven.compiler.release", "maven.compiler.source"]
                .iter()
                .any(|name| element.path == format!("project/properties/{name}"))
        });
        if let Some(release) = release.filter(|release| !release.text.starts_with('$')) {
            all.pin("Java", &release.text, &origin);
        }
        modules(home, maven, &poms, all);
    }
}

/// The home's pom and all that its modules lead to.
fn modules(home: &str, maven: &str, poms: &BTreeMap<&str, Vec<Element>>, all: &mut Discovery) {
    let texts = |directory: &str, path: &'static str| {
        let elements = poms.get(directory).into_iter().flatten();
        elements.filter(move |element| element.path == path).map(|element| element.text.as_str())
    };
    let mut reached: BTreeSet<String> = BTreeSet::from([home.to_owned()]);
    let mut next = vec![home.to_owned()];
    while let Some(directory) = next.pop() {
        let listed = texts(&directory, "project/modules/module")
            .chain(texts(&directory, "project/profiles/profile/modules/module"));
        for module in listed.filter_map(|module| resolve(&directory, module)) {
            if poms.contains_key(module.as_str()) && reached.insert(module.clone()) {
                next.push(module);
            }
        }
    }
    let name = |directory: &str| {
        texts(directory, "project/artifactId").next().map_or_else(|| directory.to_owned(), str::to_owned)
    };
    let names: BTreeMap<String, String> =
        reached.iter().map(|directory| (name(directory), directory.clone())).collect();
    for (artifact, directory) in &names {
        let is_parent = texts(directory, "project/modules/module").next().is_some();
        if is_parent && reached.len() > 1 {
            continue;
        }
        let needs = texts(directory, "project/dependencies/dependency/artifactId");
        let depends_on: BTreeSet<String> =
            needs.filter(|need| *need != artifact && names.contains_key(*need)).map(str::to_owned).collect();
        let below = directory.strip_prefix(home).unwrap_or(directory).trim_start_matches('/');
        let line = if below.is_empty() {
            format!("{maven} -B -o test")
        } else {
            format!("{maven} -B -o test -pl {} -am", shell_word(below))
        };
        all.packages.push(Package {
            name: artifact.clone(),
            directory: directory.clone(),
            ecosystem: "Maven",
            depends_on: depends_on.into_iter().collect(),
            test: Some(check_in(home, &line)),
        });
    }
}
