//! PHP: Composer, `PHPUnit`, Pest, Laravel.

use super::super::{
    facts::{Discovery, Package, Purpose, check_in},
    manifests::{Repository, join, parent},
    purpose,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const MANIFESTS: &[&str] = &[
    "composer.json",
    "phpunit.xml",
    "phpunit.xml.dist",
    "phpstan.neon",
    "phpstan.neon.dist",
    ".php-cs-fixer.dist.php",
];

const KNOWN: &[(&str, &str)] = &[
    ("laravel/framework", "laravel"),
    ("symfony/framework-bundle", "symfony"),
    ("slim/slim", "slim"),
    ("phpunit/phpunit", "phpunit"),
    ("pestphp/pest", "pest"),
    ("phpstan/phpstan", "phpstan"),
];

pub(super) fn find(repository: &Repository<'_>, all: &mut Discovery) {
    let homes = repository.homes(&["composer.json"]);
    if homes.is_empty() {
        return;
    }
    all.manager("Composer");
    for home in homes {
        project(repository, home, all);
    }
    packages(repository, all);
}

fn needs(manifest: &Value) -> BTreeSet<String> {
    let groups = ["require", "require-dev"].iter().filter_map(|group| manifest[*group].as_object());
    groups.flat_map(serde_json::Map::keys).cloned().collect()
}

fn project(repository: &Repository<'_>, home: &str, all: &mut Discovery) {
    let has = |name: &str| repository.has_in(home, name);
    let origin = join(home, "composer.json");
    let manifest = repository.json(&origin);
    let needs = needs(&manifest);
    for (_, name) in KNOWN.iter().filter(|(package, _)| needs.contains(*package)) {
        all.framework(name, &origin);
    }
    all.usual(Purpose::Setup, home, "composer install", &origin);
    for (script, text) in manifest["scripts"].as_object().into_iter().flatten().take(100) {
        let Some(purpose) = purpose::of_name(script) else { continue };
        let outside = purpose::needs_outside(&text.to_string());
        let note = if outside { ", not run here" } else { "" };
        all.script(purpose, home, format!("composer {script}"), &format!("{origin}: scripts.{script}{note}"));
    }
    let configuration = ["phpunit.xml", "phpunit.xml.dist"].into_iter().find(|file| has(file));
    if needs.contains("pestphp/pest") {
        all.check(home, "vendor/bin/pest", &origin);
        all.usual(Purpose::SingleTest, home, "vendor/bin/pest PATH --filter NAME", &origin);
    } else if needs.contains("phpunit/phpunit") || needs.contains("symfony/phpunit-bridge") || configuration.is_some() {
        let shown = configuration.map_or(origin.clone(), |file| join(home, file));
        all.check(home, "vendor/bin/phpunit --testdox", &shown);
        all.usual(Purpose::SingleTest, home, "vendor/bin/phpunit --filter NAME PATH", &shown);
    } else if manifest["scripts"].get("test").is_some_and(|text| !purpose::needs_outside(&text.to_string())) {
        all.checks.push(check_in(home, "composer test"));
    }
    for (package, purpose, line) in [
        ("phpstan/phpstan", Purpose::TypeCheck, "vendor/bin/phpstan analyse"),
        ("larastan/larastan", Purpose::TypeCheck, "vendor/bin/phpstan analyse"),
        ("vimeo/psalm", Purpose::TypeCheck, "vendor/bin/psalm"),
        ("squizlabs/php_codesniffer", Purpose::Lint, "vendor/bin/phpcs"),
        ("friendsofphp/php-cs-fixer", Purpose::Format, "vendor/bin/php-cs-fixer fix"),
        ("laravel/pint", Purpose::Format, "vendor/bin/pint"),
    ] {
        if needs.contains(package) {
            all.usual(purpose, home, line, &origin);
        }
    }
    if let Some(version) = manifest["require"]["php"].as_str() {
        all.pin("PHP", version, &format!("{origin}: require"));
    }
}

fn packages(repository: &Repository<'_>, all: &mut Discovery) {
    let mut found: BTreeMap<String, (&str, BTreeSet<String>)> = BTreeMap::new();
    for path in repository.named("composer.json") {
        let manifest = repository.json(path);
        let name = manifest["name"].as_str().unwrap_or(if parent(path).is_empty() { "root" } else { parent(path) });
        found.entry(name.to_owned()).or_insert((parent(path), needs(&manifest)));
    }
    for (name, (directory, needs)) in &found {
        let depends_on = needs.iter().filter(|need| found.contains_key(*need) && *need != name).cloned().collect();
        let own = all.checks.iter().find(|check| {
            check.workdir.as_deref().unwrap_or("") == *directory
                && (check.command.starts_with("vendor/") || check.command.starts_with("composer"))
        });
        let tested = repository.first_in(directory, &["phpunit.xml", "phpunit.xml.dist"]).is_some();
        let test = own.cloned().or_else(|| tested.then(|| check_in(directory, "vendor/bin/phpunit --testdox")));
        let package =
            Package { name: name.clone(), directory: (*directory).to_owned(), ecosystem: "Composer", depends_on, test };
        all.packages.push(package);
    }
}
