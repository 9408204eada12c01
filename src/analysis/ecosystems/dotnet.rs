//! C#, F# and Visual Basic: solutions and projects.

use super::super::{
    facts::{Discovery, Package, Purpose, check_in},
    manifests::{Repository, extension, join, name, parent, resolve, shell_word},
    read::{Element, xml},
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ENDINGS: &[&str] = &[".sln", ".slnx", ".csproj", ".fsproj", ".vbproj"];
const PROJECTS: &[&str] = &[".csproj", ".fsproj", ".vbproj"];
const KNOWN: &[(&str, &str)] = &[
    ("Microsoft.NET.Sdk.Web", "ASP.NET Core"),
    ("Microsoft.EntityFrameworkCore", "Entity Framework Core"),
    ("xunit", "xunit"),
    ("NUnit", "NUnit"),
    ("MSTest", "MSTest"),
    ("Avalonia", "Avalonia"),
];

pub(super) fn find(repository: &Repository<'_>, all: &mut Discovery) {
    let is_solution = |name: &str| matches!(extension(name), "sln" | "slnx");
    let is_project = |name: &str| PROJECTS.iter().any(|ending| name.ends_with(ending));
    let mut homes = repository.homes_where(is_solution);
    if homes.is_empty() {
        homes = repository.homes_where(is_project);
    }
    if homes.is_empty() {
        return;
    }
    all.manager(".NET");
    let projects: BTreeMap<&str, Vec<Element>> = repository
        .manifests
        .iter()
        .filter(|path| is_project(path))
        .map(|path| (*path, xml(repository.text(path).unwrap_or(""))))
        .collect();
    let tests = |path: &str| {
        let text = repository.text(path).unwrap_or("");
        ["Microsoft.NET.Test.Sdk", "xunit", "NUnit", "MSTest", "TUnit"].iter().any(|mark| text.contains(mark))
    };
    for path in projects.keys() {
        let text = repository.text(path).unwrap_or("");
        for (_, name) in KNOWN.iter().filter(|(mark, _)| text.contains(mark)) {
            all.framework(name, path);
        }
    }
    for home in homes {
        let files = repository
            .below(home)
            .iter()
            .filter(|path| parent(path) == home && (is_solution(path) || is_project(path)));
        let mut files: Vec<&&str> = files.collect();
        files.sort_by_key(|path| (!is_solution(path), **path));
        let Some(origin) = files.first() else { continue };
        // With several of them beside each other, dotnet asks which.
        let which = if files.len() > 1 { format!(" {}", shell_word(name(origin))) } else { String::new() };
        all.usual(Purpose::Setup, home, format!("dotnet restore{which}"), origin);
        all.usual(Purpose::Build, home, format!("dotnet build{which}"), origin);
        if projects.keys().any(|path| (home.is_empty() || path.starts_with(&join(home, ""))) && tests(path)) {
            all.check(home, format!("dotnet test{which} --logger 'console;verbosity=normal'"), origin);
            all.usual(
                Purpose::SingleTest,
                home,
                format!("dotnet test{which} --filter FullyQualifiedName~NAME"),
                origin,
            );
        }
        all.usual(Purpose::Format, home, format!("dotnet format{which}"), origin);
    }
    packages(&projects, tests, all);
}

fn packages(projects: &BTreeMap<&str, Vec<Element>>, tests: impl Fn(&str) -> bool, all: &mut Discovery) {
    let stem = |path: &str| name(path).rsplit_once('.').map_or(String::new(), |(stem, _)| stem.to_owned());
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for path in projects.keys() {
        let taken = names.values().any(|name| *name == stem(path));
        names.insert((*path).to_owned(), if taken { parent(path).to_owned() } else { stem(path) });
    }
    for (path, elements) in projects {
        let references = elements.iter().filter(|element| element.path.ends_with("/ProjectReference"));
        let depends_on: BTreeSet<String> = references
            .filter_map(|element| names.get(&resolve(parent(path), element.attribute("Include")?)?).cloned())
            .collect();
        all.packages.push(Package {
            name: names.get(*path).cloned().unwrap_or_default(),
            directory: parent(path).to_owned(),
            ecosystem: ".NET",
            depends_on: depends_on.into_iter().collect(),
            test: tests(path).then(|| {
                check_in(
                    parent(path),
                    &format!("dotnet test {} --logger 'console;verbosity=normal'", shell_word(name(path))),
                )
            }),
        });
        let framework = elements.iter().find(|element| element.path == "Project/PropertyGroup/TargetFramework");
        if let Some(framework) = framework {
            all.pin(".NET", &framework.text, path);
        }
    }
}
