//! Scala: sbt and Mill.

use super::super::{
    facts::{Discovery, Package, Purpose, check_in},
    manifests::{Repository, join, resolve},
};
use regex::Regex;
use std::{collections::BTreeMap, sync::LazyLock};

pub(super) const MANIFESTS: &[&str] =
    &["build.sbt", "build.sc", "build.mill", "build.properties", "plugins.sbt", ".scalafmt.conf"];

static PROJECT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?m)^\s*lazy\s+val\s+`?([\w-]+)`?\s*=\s*\(?\s*(?:project|crossProject\([^)]*\))(?:\s*\.?\s*in\s*\(?\s*file\("([^"]+)"\))?"#)
        .expect("the pattern is a constant")
});
static DEPENDS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\.dependsOn\(([^)]*)\)?").expect("the pattern is a constant"));
static VERSION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"scalaVersion\s*:=\s*"([^"]+)""#).expect("the pattern is a constant"));

pub(super) fn find(repository: &Repository<'_>, all: &mut Discovery) {
    for home in repository.homes(&["build.sbt", "build.sc", "build.mill"]) {
        let Some(file) = repository.first_in(home, &["build.sbt", "build.sc", "build.mill"]) else { continue };
        let origin = join(home, file);
        if file == "build.sbt" {
            all.manager("sbt");
            all.usual(Purpose::Setup, home, "sbt update", &origin);
            all.usual(Purpose::Build, home, "sbt compile", &origin);
            all.check(home, "sbt test", &origin);
            all.usual(Purpose::SingleTest, home, "sbt 'testOnly CLASS'", &origin);
            if repository.has_in(home, ".scalafmt.conf") {
                all.usual(Purpose::Format, home, "sbt scalafmtAll", &join(home, ".scalafmt.conf"));
            }
        } else {
            all.manager("Mill");
            all.usual(Purpose::Build, home, "mill __.compile", &origin);
            all.check(home, "mill __.test", &origin);
            all.usual(Purpose::SingleTest, home, "mill PACKAGE.test.testOnly CLASS", &origin);
        }
        let text = repository.text(&origin).unwrap_or("");
        if let Some(version) = VERSION.captures(text) {
            all.pin("Scala", &version[1], &origin);
        }
        packages(home, text, all);
    }
}

/// Projects of one build, each with what stands up to the next.
fn packages(home: &str, text: &str, all: &mut Discovery) {
    let starts: Vec<usize> = PROJECT.find_iter(text).map(|found| found.start()).chain([text.len()]).collect();
    let mut found: BTreeMap<String, (String, &str)> = BTreeMap::new();
    for (index, project) in PROJECT.captures_iter(text).enumerate().take(500) {
        let directory = project.get(2).map_or(&project[1], |path| path.as_str());
        if let Some(directory) = resolve(home, directory) {
            found.insert(project[1].to_owned(), (directory, &text[starts[index]..starts[index + 1]]));
        }
    }
    for (name, (directory, text)) in &found {
        let lists = DEPENDS.captures_iter(text).flat_map(|list| {
            let words = list[1].split([',', '%', ' ', '\n', '"']).map(|word| word.trim().to_owned());
            words.collect::<Vec<_>>()
        });
        let mut depends_on: Vec<String> = lists.filter(|word| word != name && found.contains_key(word)).collect();
        depends_on.sort();
        depends_on.dedup();
        all.packages.push(Package {
            name: name.clone(),
            directory: directory.clone(),
            ecosystem: "sbt",
            depends_on,
            test: Some(check_in(home, &format!("sbt {name}/test"))),
        });
    }
}
