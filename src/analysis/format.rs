//! Which formatter a repository has configured for a file, how it is asked, and whether a file may
//! be formatted. Pure: the caller reads the configuration that [`consulted`] names and runs what
//! [`Formatter::probe`] gives.
//!
//! Every formatter is a filter here, text in and text out: none can touch another file than the one
//! that it is given. Those that are none (`dotnet format`, `php-cs-fixer`) are not run.

use super::{
    manifests::{ancestors, extension, is_own, join, name, parent, shell_word},
    read,
};
use crate::workspace::WORKSPACE;
use std::collections::{BTreeMap, BTreeSet};

/// Base files that tell whether a language's files are clean, at most.
pub const SAMPLES_MAX: usize = 20;
/// What a probe exits with where the formatter would change the text, and where it could not be asked.
pub const DIFFERS: i32 = 10;
const UNABLE: i32 = 9;

/// Files whose contents configure a formatter.
const CONSULTED: &[&str] =
    &["Cargo.toml", "pyproject.toml", "package.json", "ruff.toml", ".ruff.toml", ".pre-commit-config.yaml"];
const PRETTIER_FILES: &[&str] = &[
    ".prettierrc",
    ".prettierrc.json",
    ".prettierrc.json5",
    ".prettierrc.yaml",
    ".prettierrc.yml",
    ".prettierrc.toml",
    ".prettierrc.js",
    ".prettierrc.cjs",
    ".prettierrc.mjs",
    ".prettierrc.ts",
    "prettier.config.js",
    "prettier.config.cjs",
    "prettier.config.mjs",
    "prettier.config.ts",
];
const BIOME_FILES: &[&str] = &["biome.json", "biome.jsonc"];
const CLANG_FILES: &[&str] = &[".clang-format", "_clang-format"];

const C: &[&str] = &["c", "h", "cc", "cpp", "cxx", "hh", "hpp", "hxx"];
const PYTHON: &[&str] = &["py", "pyi"];
const SHELL: &[&str] = &["sh", "bash"];
const ELIXIR: &[&str] = &["ex", "exs", "heex"];
const RUBY: &[&str] = &["rb", "rake", "gemspec"];
const WEB: &[&str] = &["js", "jsx", "mjs", "cjs", "ts", "tsx", "mts", "cts", "css", "scss", "less", "vue", "svelte"];
const BIOME: &[&str] = &["js", "jsx", "mjs", "cjs", "ts", "tsx", "mts", "cts", "css"];

/// What the base says of formatters: which paths it has, and the texts of those that were read.
#[derive(Clone, Copy)]
pub struct Configured<'a> {
    pub has: &'a dyn Fn(&str) -> bool,
    pub texts: &'a BTreeMap<String, Vec<u8>>,
}

impl std::fmt::Debug for Configured<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Configured").field("texts", &self.texts.keys()).finish_non_exhaustive()
    }
}

impl Configured<'_> {
    fn text(&self, directory: &str, name: &str) -> String {
        let bytes = self.texts.get(&join(directory, name));
        bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
    }

    fn toml(&self, directory: &str, name: &str) -> toml::Table {
        read::toml(&self.text(directory, name)).unwrap_or_default()
    }

    fn has_one(&self, directory: &str, names: &[&str]) -> bool {
        names.iter().any(|name| (self.has)(&join(directory, name)))
    }
}

/// The nearest directory above a file that shows the formatter.
fn home(path: &str, shows: impl Fn(&str) -> bool) -> Option<&str> {
    ancestors(parent(path)).find(|directory| shows(directory))
}

/// The files to read before [`formatter`] is asked about these: manifests in the directories above.
pub fn consulted<'a>(paths: impl Iterator<Item = &'a str>, has: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let directories: BTreeSet<&str> = paths.flat_map(|path| ancestors(parent(path))).collect();
    let files = directories.iter().flat_map(|directory| CONSULTED.iter().map(|name| join(directory, name)));
    files.filter(|file| has(file)).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tool {
    Rustfmt,
    Gofmt,
    Black,
    Ruff,
    Prettier,
    Biome,
    ClangFormat,
    Isort,
    Shfmt,
    Mix,
    Rubocop,
}

/// A configured formatter of one project.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Formatter {
    tool: Tool,
    /// Where it is configured; empty: the root.
    home: String,
    /// Rust's.
    edition: Option<String>,
    /// Python's imports are sorted before.
    imports: bool,
}

/// The formatter that the base has configured for a file; none for other people's and generated files.
pub fn formatter(path: &str, base: Configured<'_>) -> Option<Formatter> {
    if !is_own(path) {
        return None;
    }
    let of = |tool, home: &str| Some(Formatter { tool, home: home.to_owned(), edition: None, imports: false });
    let kind = extension(path);
    match kind {
        "rs" => {
            let home = home(path, |directory| base.has_one(directory, &["Cargo.toml"]))?;
            Some(Formatter {
                tool: Tool::Rustfmt,
                home: home.to_owned(),
                edition: Some(edition(home, base)),
                imports: false,
            })
        }
        "go" => of(Tool::Gofmt, home(path, |directory| base.has_one(directory, &["go.mod"]))?),
        _ if PYTHON.contains(&kind) => {
            let has = |tool: &'static str| {
                move |directory: &str| read::at(&base.toml(directory, "pyproject.toml"), tool).is_some()
            };
            let sorted = home(path, has("tool.isort"));
            let (tool, home) = match (home(path, has("tool.black")), sorted) {
                (Some(home), _) => (Tool::Black, home),
                (None, sorted) => match home(path, |directory| formats_with_ruff(directory, base)) {
                    Some(home) => (Tool::Ruff, home),
                    None => return of(Tool::Isort, sorted?),
                },
            };
            let imports = sorted.is_some();
            Some(Formatter { tool, home: home.to_owned(), edition: None, imports })
        }
        // Its options stand in .editorconfig, which says nothing of whether it is used.
        _ if SHELL.contains(&kind) => of(Tool::Shfmt, home(path, |directory| runs_hook(directory, base, "shfmt"))?),
        _ if ELIXIR.contains(&kind) => {
            of(Tool::Mix, home(path, |directory| base.has_one(directory, &[".formatter.exs"]))?)
        }
        _ if RUBY.contains(&kind) => {
            of(Tool::Rubocop, home(path, |directory| base.has_one(directory, &[".rubocop.yml"]))?)
        }
        _ if C.contains(&kind) => of(Tool::ClangFormat, home(path, |directory| base.has_one(directory, CLANG_FILES))?),
        _ if WEB.contains(&kind) => match home(path, |directory| has_prettier(directory, base)) {
            Some(home) => of(Tool::Prettier, home),
            None if !BIOME.contains(&kind) => None,
            None => of(Tool::Biome, home(path, |directory| base.has_one(directory, BIOME_FILES))?),
        },
        _ => None,
    }
}

/// Ruff lints many projects that it does not format: only what names its formatter counts.
fn formats_with_ruff(directory: &str, base: Configured<'_>) -> bool {
    read::at(&base.toml(directory, "pyproject.toml"), "tool.ruff.format").is_some()
        || ["ruff.toml", ".ruff.toml"].iter().any(|name| base.toml(directory, name).contains_key("format"))
        || runs_hook(directory, base, "ruff-format")
}

fn runs_hook(directory: &str, base: Configured<'_>, hook: &str) -> bool {
    base.text(directory, ".pre-commit-config.yaml").contains(hook)
}

fn has_prettier(directory: &str, base: Configured<'_>) -> bool {
    base.has_one(directory, PRETTIER_FILES)
        || read::json(&base.text(directory, "package.json")).is_some_and(|package| package.get("prettier").is_some())
}

/// The edition as Cargo finds it: the package's own, else the workspace's where it says so, else 2015.
fn edition(home: &str, base: Configured<'_>) -> String {
    let manifest = base.toml(home, "Cargo.toml");
    let text = |value: Option<&toml::Value>| {
        let text = value.and_then(toml::Value::as_str)?;
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.to_owned())
    };
    let shared = |directory| text(read::at(&base.toml(directory, "Cargo.toml"), "workspace.package.edition"));
    let inherited = read::at(&manifest, "package.edition.workspace").is_some();
    text(read::at(&manifest, "package.edition"))
        .or_else(|| inherited.then(|| ancestors(home).find_map(shared)).flatten())
        .unwrap_or_else(|| "2015".to_owned())
}

impl Formatter {
    pub fn name(&self) -> &'static str {
        match self.tool {
            Tool::Rustfmt => "rustfmt",
            Tool::Gofmt => "gofmt",
            Tool::Black => "black",
            Tool::Ruff => "ruff format",
            Tool::Prettier => "prettier",
            Tool::Biome => "biome format",
            Tool::ClangFormat => "clang-format",
            Tool::Isort => "isort",
            Tool::Shfmt => "shfmt",
            Tool::Mix => "mix format",
            Tool::Rubocop => "rubocop --fix-layout",
        }
    }

    /// Where it is run to format a file: rustfmt looks for its settings from there, the others from
    /// the name that they are told.
    pub fn directory<'a>(&'a self, path: &'a str) -> &'a str {
        if self.tool == Tool::Rustfmt { parent(path) } else { &self.home }
    }

    /// A command that formats the file `input` as if it stood at `path`, into `scratch`/out. It exits with 0
    /// where that is the same text, with [`DIFFERS`] where it is another, else with something else.
    pub fn probe(&self, path: &str, input: &str, scratch: &str) -> String {
        let (filter, input, scratch) = (self.filter(path), shell_word(input), shell_word(scratch));
        let (before, input_or_sorted) = if self.imports {
            let sorted = format!("{scratch}/sorted");
            (format!("{ISORT} < {input} > {sorted} 2> /dev/null || exit {UNABLE}; "), sorted)
        } else {
            (String::new(), input.clone())
        };
        format!(
            "{before}{filter} < {input_or_sorted} > {scratch}/out 2> /dev/null || exit {UNABLE}; [ -s {scratch}/out ] || exit {UNABLE}; \
             cmp -s {input} {scratch}/out && exit 0; exit {DIFFERS}"
        )
    }

    fn filter(&self, path: &str) -> String {
        let file = self.inside(path);
        match self.tool {
            Tool::Rustfmt => format!("rustfmt --edition {}", self.edition.as_deref().unwrap_or("2015")),
            Tool::Gofmt => "gofmt".to_owned(),
            Tool::Black => format!("black --quiet --stdin-filename {file} -"),
            Tool::Ruff => format!("ruff format --quiet --no-cache --stdin-filename {file} -"),
            Tool::Prettier => format!("{} --stdin-filepath {file}", installed("prettier")),
            Tool::Biome => format!("{} format --stdin-file-path={file}", installed("biome")),
            Tool::ClangFormat => format!("clang-format --style=file --assume-filename={file}"),
            Tool::Isort => ISORT.to_owned(),
            Tool::Shfmt => format!("shfmt --filename {file} -"),
            Tool::Mix => format!("mix format --stdin-filename {file} -"),
            // Its report goes to the error stream, and what no layout mends is no failure.
            Tool::Rubocop => {
                format!("rubocop --fix-layout --fail-level fatal --cache false --stderr --stdin {file}")
            }
        }
    }

    /// The file's name from where the formatter is run, as a word of the shell.
    fn inside(&self, path: &str) -> String {
        shell_word(path.strip_prefix(self.home.as_str()).unwrap_or(path).trim_start_matches('/'))
    }

    /// Base files whose state tells whether a new file at `path` is to be formatted: those of its language below
    /// the formatter's configuration, its own directory's first. `paths` are sorted.
    pub fn samples<'a>(&self, path: &str, paths: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        let below = |other: &&str| self.home.is_empty() || ancestors(parent(other)).any(|above| above == self.home);
        let same = |other: &&str| extension(name(other)) == extension(name(path)) && is_own(other);
        let (mut near, far): (Vec<&str>, Vec<&str>) =
            paths.filter(same).filter(below).partition(|other| parent(other) == parent(path));
        near.extend(far);
        near.truncate(SAMPLES_MAX);
        near
    }
}

/// Versions in use know no way to tell it the file's name; its settings it finds from where it is run.
const ISORT: &str = "isort --quiet -";

/// A program of the project's own packages: those beside its configuration, else those of the root.
fn installed(program: &str) -> String {
    let local = format!("node_modules/.bin/{program}");
    format!("\"$([ -x {local} ] && echo ./{local} || echo {WORKSPACE}/{local})\"")
}

/// What is known of a file's like on the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// The file itself; absent: the formatter could not tell.
    Itself(Option<bool>),
    /// The patch adds the file: so many of so many sampled files are clean.
    Like { clean: usize, sampled: usize },
}

/// Whether a file that the patch changed or added may be formatted: only where that adds nothing to the patch but the
/// model's own lines.
pub fn may_format(before: Before) -> bool {
    match before {
        Before::Itself(clean) => clean == Some(true),
        Before::Like { clean, sampled } => clean * 2 > sampled,
    }
}
