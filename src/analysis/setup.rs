//! Which files of a repository shape what an environment's setup installs.

use std::collections::HashSet;

/// Manifests, lock files and pins by name.
const NAMES: &[&str] = &[
    ".node-version",
    ".nvmrc",
    ".npmrc",
    ".python-version",
    ".ruby-version",
    ".tool-versions",
    ".yarnrc.yml",
    "Cargo.lock",
    "Cargo.toml",
    "Directory.Packages.props",
    "Gemfile",
    "Gemfile.lock",
    "Package.resolved",
    "Package.swift",
    "Pipfile",
    "Pipfile.lock",
    "Podfile",
    "Podfile.lock",
    "build.gradle",
    "build.gradle.kts",
    "build.sbt",
    "bun.lock",
    "bun.lockb",
    "cabal.project",
    "composer.json",
    "composer.lock",
    "conanfile.py",
    "conanfile.txt",
    "deno.json",
    "deno.jsonc",
    "deno.lock",
    "environment.yml",
    "go.mod",
    "go.sum",
    "go.work",
    "go.work.sum",
    "gradle-wrapper.properties",
    "gradle.lockfile",
    "gradle.properties",
    "libs.versions.toml",
    "mise.toml",
    "mix.exs",
    "mix.lock",
    "npm-shrinkwrap.json",
    "package-lock.json",
    "package.json",
    "packages.lock.json",
    "pdm.lock",
    "pixi.lock",
    "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
    "poetry.lock",
    "pom.xml",
    "pubspec.lock",
    "pubspec.yaml",
    "pyproject.toml",
    "rust-toolchain",
    "rust-toolchain.toml",
    "settings.gradle",
    "settings.gradle.kts",
    "setup.cfg",
    "setup.py",
    "stack.yaml",
    "stack.yaml.lock",
    "uv.lock",
    "vcpkg.json",
    "yarn.lock",
];
const ENDS: &[&str] = &[".cabal", ".csproj", ".fsproj", ".gemspec", ".vbproj"];

/// Tells of a path whether a change there may change what this script installs: a manifest, a lock file, a pin, or a file
/// that the script names.
pub fn shapes_setup(script: &str) -> impl Fn(&str) -> bool + '_ {
    let part = |c: char| !(c.is_alphanumeric() || "._-+@/".contains(c));
    let words: HashSet<&str> = script.split(part).map(|word| word.strip_prefix("./").unwrap_or(word)).collect();
    move |path| is_manifest(path) || words.contains(path)
}

fn is_manifest(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let requirements = (name.starts_with("requirements") && matches!(ending, "txt" | "in"))
        || (path.contains("requirements/") && ending == "txt");
    requirements || NAMES.contains(&name) || ENDS.iter().any(|end| name.ends_with(end))
}
