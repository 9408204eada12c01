//! Licences of new dependencies, as the packages that are installed in the workspace tell them: a help for people, of
//! which nothing is sure. Bounded; what cannot be read is not known.

use crate::workspace::{RunCommand, Workspace};
use std::time::Duration;

/// Packages that are looked for.
const PACKAGES_MAX: usize = 20;
const MANIFEST_BYTES_MAX: u64 = 256 << 10;
const LICENCE_CHARS_MAX: usize = 60;
/// For Python's packages, whose directories have to be looked through.
const TIME: Duration = Duration::from_secs(5);
const OUTPUT_BYTES_MAX: usize = 256 << 10;
/// The heads of what is installed, of virtual environments first.
const PYTHON: &str = "for m in .venv/lib/python3*/site-packages/*.dist-info/METADATA \
    venv/lib/python3*/site-packages/*.dist-info/METADATA /usr/local/lib/python3*/*-packages/*.dist-info/METADATA \
    /usr/lib/python3/dist-packages/*.dist-info/METADATA; do [ -f \"$m\" ] && \
    sed -n '/^\\r*$/q;/^Name: /p;/^License-Expression: /p;/^License: /p;/^Classifier: License ::/p' \"$m\"; done; exit 0";

/// The licences of packages that a manifest asks for, by name: (manifest, name).
pub(super) async fn installed(workspace: &Workspace, wanted: &[(String, String)]) -> Vec<(String, String)> {
    let wanted = &wanted[..wanted.len().min(PACKAGES_MAX)];
    let mut found = Vec::new();
    for (manifest, name) in wanted {
        let licence = match manifest.rsplit('/').next().unwrap_or_default() {
            "package.json" => npm(workspace, manifest, name).await,
            "Cargo.toml" => vendored(workspace, name).await,
            _ => None,
        };
        found.extend(licence.map(|licence| (name.clone(), short(&licence))));
    }
    let python: Vec<&str> =
        wanted.iter().filter(|(manifest, _)| is_python(manifest)).map(|(_, name)| &**name).collect();
    if !python.is_empty() {
        let mut command = RunCommand::new(PYTHON, TIME);
        command.output_limit_bytes = OUTPUT_BYTES_MAX;
        if let Ok(result) = workspace.run(command, None).await {
            found.extend(metadata(&String::from_utf8_lossy(&result.output), &python));
        }
    }
    found
}

fn is_python(manifest: &str) -> bool {
    let name = manifest.rsplit('/').next().unwrap_or_default();
    matches!(name, "pyproject.toml" | "Pipfile") || name.contains("requirements")
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

async fn vendored(workspace: &Workspace, name: &str) -> Option<String> {
    let table: toml::Table = text(workspace, &format!("vendor/{name}/Cargo.toml")).await?.parse().ok()?;
    Some(table.get("package")?.get("license")?.as_str()?.to_owned())
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
