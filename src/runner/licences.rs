//! Licences of new dependencies, as the packages that are installed in the workspace tell them: a help for people, of
//! which nothing is sure. Bounded; what cannot be read is not known.

use crate::workspace::{RunCommand, Workspace};
use std::{collections::BTreeMap, time::Duration};

/// Packages that are looked for.
const PACKAGES_MAX: usize = 20;
const MANIFEST_BYTES_MAX: u64 = 256 << 10;
const LICENCE_CHARS_MAX: usize = 60;
/// For the packages of one ecosystem.
const TIME: Duration = Duration::from_secs(5);
const OUTPUT_BYTES_MAX: usize = 256 << 10;
/// The heads of what is installed, of virtual environments first.
const PYTHON: &str = "for m in .venv/lib/python3*/site-packages/*.dist-info/METADATA \
    venv/lib/python3*/site-packages/*.dist-info/METADATA /usr/local/lib/python3*/*-packages/*.dist-info/METADATA \
    /usr/lib/python3/dist-packages/*.dist-info/METADATA; do [ -f \"$m\" ] && \
    sed -n '/^\\r*$/q;/^Name: /p;/^License-Expression: /p;/^License: /p;/^Classifier: License ::/p' \"$m\"; done; exit 0";
/// Heads of the same form for the packages in `$NAMES`, from what other package managers unpack: each ecosystem's
/// places, the repository's own copies first.
const CARGO: &str = r#"for n in $NAMES; do echo "Name: $n"
    for m in vendor/$n/Cargo.toml "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/$n-[0-9]*/Cargo.toml; do
    [ -f "$m" ] && sed -n 's/^license *= *"\([^"]*\)".*/License: \1/p' "$m"; done; done; exit 0"#;
/// Modules carry a text, not a name: <https://pkg.go.dev/license-policy>. Capital letters are escaped in the cache.
const GO: &str = r#"c=${GOMODCACHE:-${GOPATH:-$HOME/go}/pkg/mod}
    for n in $NAMES; do echo "Name: $n"; e=$(printf %s "$n" | sed 's/[A-Z]/!\l&/g')
    for f in vendor/$n/LICEN[SC]E* "$c"/$e@*/LICEN[SC]E*; do [ -f "$f" ] || continue; t=$(head -n 30 "$f" | tr -s '\n\t ' ' ')
    case $t in *"Apache License"*) l=Apache-2.0;; *"Mozilla Public License"*2.0*) l=MPL-2.0;;
    *"GNU AFFERO"*) l=AGPL;; *"GNU LESSER"*) l=LGPL;; *"GNU GENERAL PUBLIC"*) l=GPL;; *"Permission is hereby granted, free of charge"*) l=MIT;;
    *"Permission to use, copy, modify, and"*) l=ISC;; *"Neither the name"*) l=BSD-3-Clause;; *"Redistribution and use in source and binary"*) l=BSD;;
    *) continue;; esac; echo "License: $l"; done; done; exit 0"#;
const RUBY: &str = r#"for n in $NAMES; do echo "Name: $n"
    for m in vendor/bundle/ruby/*/specifications/$n-[0-9]*.gemspec /usr/local/bundle/specifications/$n-[0-9]*.gemspec \
    "$HOME"/.gem/ruby/*/specifications/$n-[0-9]*.gemspec /var/lib/gems/*/specifications/$n-[0-9]*.gemspec \
    /usr/share/rubygems-integration/*/specifications/$n-[0-9]*.gemspec; do
    [ -f "$m" ] && sed -n 's/.*\.licenses* = \[*"\([^"]*\)".*/License: \1/p' "$m"; done; done; exit 0"#;
const PHP: &str = r#"for n in $NAMES; do echo "Name: $n"; m=vendor/$n/composer.json
    [ -f "$m" ] && tr -d '\n' < "$m" | sed -n 's/.*"license": *\[* *"\([^"]*\)".*/License: \1\n/p'; done; exit 0"#;
/// A project's own description; a parent's is not looked for.
const MAVEN: &str = r#"for n in $NAMES; do echo "Name: $n"; g=$(printf %s "${n%%:*}" | tr . /)
    for m in "$HOME/.m2/repository/$g/${n#*:}"/*/*.pom; do [ -f "$m" ] && tr -d '\n' < "$m" |
    sed -n 's/.*<license> *<name>\([^<]*\)<.*/License: \1\n/p'; done; done; exit 0"#;
const NUGET: &str = r#"for n in $NAMES; do echo "Name: $n"; l=$(printf %s "$n" | tr A-Z a-z)
    for m in "${NUGET_PACKAGES:-$HOME/.nuget/packages}/$l"/*/$l.nuspec; do
    [ -f "$m" ] && sed -n 's/.*<license type="expression">\([^<]*\)<.*/License: \1/p' "$m"; done; done; exit 0"#;
const ELIXIR: &str = r#"for n in $NAMES; do echo "Name: $n"; m=deps/$n/mix.exs
    [ -f "$m" ] && sed -n 's/.*licenses: *\["\([^"]*\)".*/License: \1/p' "$m"; done; exit 0"#;

/// The licences of packages that a manifest asks for, by name: (manifest, name).
pub(super) async fn installed(workspace: &Workspace, wanted: &[(String, String)]) -> Vec<(String, String)> {
    let wanted = &wanted[..wanted.len().min(PACKAGES_MAX)];
    let mut found = Vec::new();
    let mut scripts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (manifest, name) in wanted {
        if manifest.rsplit('/').next() == Some("package.json") {
            let licence = npm(workspace, manifest, name).await;
            found.extend(licence.map(|licence| (name.clone(), short(&licence))));
        } else if let Some(script) = script(manifest)
            && is_plain(name)
        {
            scripts.entry(script).or_default().push(name);
        }
    }
    for (script, names) in scripts {
        let mut command = RunCommand::new(script, TIME);
        command.output_limit_bytes = OUTPUT_BYTES_MAX;
        command.env = vec![("NAMES".to_owned(), names.join(" "))];
        if let Ok(result) = workspace.run(command, None).await {
            found.extend(metadata(&String::from_utf8_lossy(&result.output), &names));
        }
    }
    found
}

/// What tells of the packages that this manifest asks for; absent where nothing does.
fn script(manifest: &str) -> Option<&'static str> {
    let name = manifest.rsplit('/').next().unwrap_or_default();
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    match (name, ending) {
        ("Cargo.toml", _) => Some(CARGO),
        ("go.mod", _) => Some(GO),
        ("Gemfile", _) => Some(RUBY),
        ("composer.json", _) => Some(PHP),
        ("pom.xml" | "libs.versions.toml", _) | (_, "gradle" | "kts") => Some(MAVEN),
        ("Directory.Packages.props", _) | (_, "csproj" | "fsproj" | "vbproj") => Some(NUGET),
        ("mix.exs", _) => Some(ELIXIR),
        ("pyproject.toml" | "Pipfile", _) => Some(PYTHON),
        _ => name.contains("requirements").then_some(PYTHON),
    }
}

/// A name that a script may take for a word, and part of a path.
fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@~".contains(c);
    !name.starts_with(['/', '-', '~']) && name.chars().all(plain) && !name.split('/').any(|part| part == "..")
}

async fn npm(workspace: &Workspace, manifest: &str, name: &str) -> Option<String> {
    let directory = manifest.strip_suffix("package.json").unwrap_or_default();
    for at in [directory, ""] {
        if let Some(text) = text(workspace, &format!("{at}node_modules/{name}/package.json")).await {
            let json: serde_json::Value = serde_json::from_str(&text).ok()?;
            return Some(json.get("license")?.as_str()?.to_owned());
        }
    }
    None
}

async fn text(workspace: &Workspace, path: &str) -> Option<String> {
    let content = workspace.read_entry(path, MANIFEST_BYTES_MAX).await.ok().filter(|content| !content.truncated)?;
    String::from_utf8(content.bytes).ok()
}

/// From the heads of `METADATA` files, one after the other:
/// <https://packaging.python.org/en/latest/specifications/core-metadata/>.
fn metadata(text: &str, wanted: &[&str]) -> Vec<(String, String)> {
    let plain = |name: &str| name.trim().to_lowercase().replace(['_', '.'], "-");
    let mut found: Vec<(String, String)> = Vec::new();
    for head in text.split("Name: ").skip(1) {
        let mut lines = head.lines();
        let name = plain(lines.next().unwrap_or_default());
        let Some(wanted) = wanted.iter().find(|wanted| plain(wanted) == name) else { continue };
        let lines: Vec<&str> = lines.collect();
        let field = |field: &str| lines.iter().find_map(|line| line.strip_prefix(field)).map(str::trim);
        let classified = || Some(field("Classifier: License ::")?.rsplit("::").next()?.trim());
        let said = field("License-Expression: ").or_else(|| field("License: ").filter(|it| *it != "UNKNOWN"));
        if let Some(licence) = said.or_else(classified).filter(|licence| !licence.is_empty())
            && !found.iter().any(|(name, _)| name == wanted)
        {
            found.push(((*wanted).to_owned(), short(licence)));
        }
    }
    found
}

/// Somebody else's words: few, and on one line.
fn short(licence: &str) -> String {
    licence.chars().filter(|letter| !letter.is_control()).take(LICENCE_CHARS_MAX).collect()
}
