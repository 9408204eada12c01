//! Which programs a workspace finds on its `PATH`, learned by looking through the directories that
//! every sandbox mounts. Nothing is started.

use crate::workspace::SandboxSettings;
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Entries looked at in one directory.
const ENTRIES_MAX: usize = 20_000;
/// Bytes of a file that tells a version.
const VERSION_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Names of programs and of Python's modules, and versions of some as `name@version`; sorted.
pub(super) fn find(settings: &SandboxSettings) -> Vec<String> {
    let system = ["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from);
    let directories: Vec<PathBuf> =
        settings.toolchains.iter().map(|toolchain| toolchain.join("bin")).chain(system).collect();
    let seen = Seen { toolchains: &settings.toolchains };
    let mut found = BTreeSet::new();
    for directory in &directories {
        for entry in entries(directory) {
            if seen.program(&directory.join(&entry)).is_some() {
                found.insert(entry);
            }
        }
    }
    let first = |name: &str| directories.iter().find_map(|directory| seen.program(&directory.join(name)));
    if let Some(python) = first("python3") {
        found.extend(modules(&python));
        let version = python.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("python"));
        found.extend(version.filter(|version| version.contains('.')).map(|version| format!("python3@{version}")));
    }
    for (program, file, mark) in [("go", "VERSION", "go"), ("java", "release", "JAVA_VERSION=")] {
        let home = first(program).and_then(|path| Some(path.parent()?.parent()?.to_owned()));
        let version = home.and_then(|home| version(&home.join(file), mark));
        found.extend(version.map(|version| format!("{program}@{version}")));
    }
    found.into_iter().collect()
}

/// What of the host sandboxes see.
struct Seen<'a> {
    toolchains: &'a [PathBuf],
}

impl Seen<'_> {
    /// The file that is run, where it is one and a sandbox sees it: links may lead elsewhere.
    fn program(&self, path: &Path) -> Option<PathBuf> {
        let real = path.canonicalize().ok()?;
        let inside = real.starts_with("/usr")
            || self.toolchains.iter().any(|toolchain| {
                real.starts_with(toolchain)
                    || toolchain.canonicalize().is_ok_and(|toolchain| real.starts_with(toolchain))
            });
        let about = fs::metadata(&real).ok()?;
        (inside && about.is_file() && about.permissions().mode() & 0o111 != 0).then_some(real)
    }
}

/// Names in a directory that are UTF-8; none where it cannot be read.
fn entries(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().take(ENTRIES_MAX);
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Modules that this Python finds besides its own: `<prefix>/lib/python3.11/site-packages` and
/// Debian's `dist-packages`.
fn modules(python: &Path) -> BTreeSet<String> {
    let name = python.file_name().and_then(|name| name.to_str()).unwrap_or("python3");
    let Some(prefix) = python.parent().and_then(Path::parent) else { return BTreeSet::new() };
    let mut places = vec![prefix.join("lib").join(name).join("site-packages")];
    if prefix == Path::new("/usr") {
        places.push(PathBuf::from("/usr/lib/python3/dist-packages"));
        places.push(Path::new("/usr/local/lib").join(name).join("dist-packages"));
    }
    let modules = places.iter().flat_map(|place| entries(place));
    let modules = modules.filter_map(|entry| {
        let module = entry.strip_suffix(".py").unwrap_or(&entry);
        let plain = module.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !module.starts_with('_');
        plain.then(|| module.to_owned())
    });
    modules.collect()
}

/// The version after `mark` on a line of a file, without quotes.
fn version(file: &Path, mark: &str) -> Option<String> {
    if fs::metadata(file).ok()?.len() > VERSION_FILE_BYTES_MAX {
        return None;
    }
    let text = fs::read_to_string(file).ok()?;
    let version = text.lines().find_map(|line| line.strip_prefix(mark))?.trim().trim_matches('"');
    let plain = version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte));
    (plain && version.starts_with(|letter: char| letter.is_ascii_digit())).then(|| version.to_owned())
}
