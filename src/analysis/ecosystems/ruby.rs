//! Ruby: Bundler, `RSpec`, minitest, Rails, Rake.

use super::super::{
    facts::{Discovery, Package, Purpose, check_in},
    manifests::{Repository, extension, join, name, parent, resolve},
};
use regex::Regex;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

pub(super) const MANIFESTS: &[&str] = &["Gemfile", "Rakefile", ".rspec", ".rubocop.yml", ".standard.yml"];
pub(super) const ENDINGS: &[&str] = &[".gemspec"];

const KNOWN: &[&str] = &["rails", "sinatra", "hanami", "rspec", "minitest", "sidekiq", "rubocop", "sorbet"];

static GEM: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?m)^\s*(?:gem|\w+\.add(?:_development|_runtime)?_dependency)\s*\(?\s*["']([\w.-]+)["']([^\n]*)"#)
        .expect("the pattern is a constant")
});
static PATH: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"path(?::|\s*=>)\s*["']([^"']+)["']"#).expect("the pattern is a constant"));

pub(super) fn find(repository: &Repository<'_>, all: &mut Discovery) {
    let is_home = |name: &str| name == "Gemfile" || name.ends_with(".gemspec");
    let homes = repository.homes_where(is_home);
    if homes.is_empty() {
        return;
    }
    all.manager("Bundler");
    for home in homes {
        project(repository, home, all);
    }
    packages(repository, all);
}

fn project(repository: &Repository<'_>, home: &str, all: &mut Discovery) {
    let has = |name: &str| repository.has_in(home, name);
    let gemspec = repository.below(home).iter().find(|path| parent(path) == home && path.ends_with(".gemspec"));
    let bundled = has("Gemfile");
    let origin = if bundled { join(home, "Gemfile") } else { gemspec.map_or(String::new(), |path| (*path).to_owned()) };
    let run = if bundled { "bundle exec " } else { "" };
    let mut needs: BTreeSet<String> = BTreeSet::new();
    let texts = [repository.text_in(home, "Gemfile"), gemspec.and_then(|path| repository.text(path)).unwrap_or("")];
    for text in texts {
        needs.extend(GEM.captures_iter(text).map(|found| found[1].to_owned()));
    }
    if needs.contains("rspec-rails") || needs.contains("rspec-core") {
        needs.insert("rspec".to_owned());
    }
    all.frameworks_among(&needs, KNOWN, repository, |path| name(path) == "Gemfile" || path.ends_with(".gemspec"));
    if bundled {
        all.usual(Purpose::Setup, home, "bundle install", &origin);
    }
    if let Some(path) = gemspec {
        all.usual(Purpose::Build, home, format!("gem build {}", name(path)), path);
    }
    let specs = repository.any_below(home, |path| path.ends_with("_spec.rb"));
    let tests = repository.any_below(home, |path| {
        path.ends_with("_test.rb") || (name(path).starts_with("test_") && extension(path) == "rb")
    });
    let rakefile = repository.text_in(home, "Rakefile");
    let rake_test = rakefile.contains("TestTask") || rakefile.contains("task :test") || rakefile.contains("task test:");
    if specs && (needs.contains("rspec") || has(".rspec") || !tests) {
        let shown = if has(".rspec") { join(home, ".rspec") } else { origin.clone() };
        all.check(home, format!("{run}rspec --format documentation"), &shown);
        all.usual(Purpose::SingleTest, home, format!("{run}rspec PATH:LINE"), &shown);
    } else if tests && (has("bin/rails") || has("config/application.rb")) {
        all.check(home, format!("{run}rails test -v"), &origin);
        all.usual(Purpose::SingleTest, home, format!("{run}rails test PATH:LINE"), &origin);
    } else if tests && rake_test {
        let rake = join(home, "Rakefile");
        all.check(home, format!("{run}rake test TESTOPTS=-v"), &rake);
        all.usual(Purpose::SingleTest, home, format!("{run}ruby -Ilib:test PATH -n NAME"), &rake);
    } else if tests {
        let all_tests = "-e 'Dir[\"./test/**/{*_test,test_*}.rb\"].sort.each { |test| require test }'";
        all.check(home, format!("{run}ruby -Ilib:test {all_tests}"), &origin);
        all.usual(Purpose::SingleTest, home, format!("{run}ruby -Ilib:test PATH -n NAME"), &origin);
    }
    if needs.contains("rubocop") || has(".rubocop.yml") {
        all.usual(Purpose::Lint, home, format!("{run}rubocop"), &origin);
        all.usual(Purpose::Format, home, format!("{run}rubocop -A"), &origin);
    } else if needs.contains("standard") {
        all.usual(Purpose::Lint, home, format!("{run}standardrb"), &origin);
        all.usual(Purpose::Format, home, format!("{run}standardrb --fix"), &origin);
    }
    if needs.contains("sorbet") {
        all.usual(Purpose::TypeCheck, home, format!("{run}srb tc"), &origin);
    }
    let pinned = repository.text_in(home, "Gemfile").lines().find_map(|line| line.strip_prefix("ruby "));
    if let Some(version) = pinned.and_then(|rest| rest.split(['"', '\'']).nth(1)) {
        all.pin("Ruby", version, &origin);
    }
}

/// Gems of this repository, by their gemspecs.
fn packages(repository: &Repository<'_>, all: &mut Discovery) {
    let gemspecs = repository.manifests.iter().filter(|path| path.ends_with(".gemspec"));
    let found: BTreeMap<&str, &str> =
        gemspecs.map(|path| (name(path).trim_end_matches(".gemspec"), parent(path))).collect();
    for (gem, directory) in &found {
        let spec = repository.text_in(directory, &format!("{gem}.gemspec"));
        let mut depends_on: BTreeSet<String> = BTreeSet::new();
        for text in [spec, repository.text_in(directory, "Gemfile")] {
            for line in GEM.captures_iter(text) {
                let path = PATH.captures(&line[2]).and_then(|path| resolve(directory, &path[1]));
                let by_path = path.and_then(|path| found.iter().find(|(_, other)| **other == path));
                let named = by_path.map(|(name, _)| *name).or(found.contains_key(&line[1]).then_some(&line[1]));
                depends_on.extend(named.filter(|name| name != gem).map(str::to_owned));
            }
        }
        let own = all.checks.iter().rev().find(|check| {
            let words = ["bundle exec ", "rspec ", "ruby ", "rake "];
            check.workdir.as_deref().unwrap_or("") == *directory
                && words.iter().any(|word| check.command.starts_with(word))
        });
        let specs = repository.any_below(directory, |path| path.ends_with("_spec.rb"));
        let test =
            own.cloned().or_else(|| specs.then(|| check_in(directory, "bundle exec rspec --format documentation")));
        all.packages.push(Package {
            name: (*gem).to_owned(),
            directory: (*directory).to_owned(),
            ecosystem: "RubyGems",
            depends_on: depends_on.into_iter().collect(),
            test,
        });
    }
}
