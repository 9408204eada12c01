//! The brief as text for the model and facts for programs.

use super::{
    conventions, discovery,
    facts::{Command, Discovery, Package, Purpose},
    layout,
    manifests::Repository,
    prohibitions, reach,
    symbols::{self, Known},
    toolchains, tree,
};
use crate::domain::brief::Brief;
use std::{collections::BTreeMap, fmt::Write};

/// A file of the base.
#[derive(Clone, Copy, Debug)]
pub struct BriefFile<'a> {
    pub path: &'a str,
    /// In bytes.
    pub size: u64,
}

/// What a brief is made from.
#[derive(Clone, Copy, Debug)]
pub struct BriefInput<'a> {
    /// Every file of the base.
    pub files: &'a [BriefFile<'a>],
    /// The contents of the files that [`super::wanted`] names, by path; what is absent is not
    /// looked at.
    pub contents: &'a BTreeMap<String, Vec<u8>>,
    pub request: &'a str,
    /// Of the model.
    pub window_tokens: u64,
    /// What tools, skills and memories leave of the prompt's head, in bytes, as [`room_bytes`] has it; absent: they
    /// are small.
    pub room_bytes: Option<usize>,
    /// Lines of recent history, newest first.
    pub history: &'a [String],
    /// Programs and Python modules that the workspace is known to have, and versions of some as
    /// `name@version`; absent: unknown.
    pub programs: Option<&'a [&'a str]>,
}

/// Characters that a token is taken to have.
const CHARS_PER_TOKEN: u64 = 4;
/// The brief's part of the window, in hundredths; in small windows the tools leave less.
const WINDOW_PERCENT: u64 = 12;
const SMALL_WINDOW_TOKENS: u64 = 16_000;
const SMALL_WINDOW_PERCENT: u64 = 7;
/// Below this a brief says nothing; above that it says too much.
const CHARS_MIN: usize = 1_500;
const CHARS_MAX: usize = 60_000;
/// What is left to the brief, whatever the tools take, in bytes.
pub const BRIEF_BYTES_MIN: usize = 600;
/// The part of the window that brief, tools, skills and memories have together, in thousandths.
const HEAD_PER_MILLE: u64 = 248;
/// Lines of history.
const HISTORY_MAX: usize = 10;
/// Files that the request names.
const NAMED_MAX: usize = 12;
/// Packages told, and of each what it needs.
const PACKAGES_MAX: usize = 24;
const NEEDS_MAX: usize = 5;
/// Pins and manifests that cannot be parsed.
const PINS_MAX: usize = 8;
const BROKEN_MAX: usize = 5;
/// The commands' part of the brief, in hundredths.
const COMMANDS_PERCENT: usize = 22;
/// The packages', and the pins'.
const PACKAGES_PERCENT: usize = 8;
const PINS_PERCENT: usize = 6;

/// What the sections about code may have of the room that is left for them and the tree, in
/// hundredths.
const SYMBOLS_PERCENT: usize = 70;

/// The room for the brief where all else of the prompt's head has so many bytes: one budget holds for all of it.
pub fn room_bytes(window_tokens: u64, others_bytes: usize) -> usize {
    let all = window_tokens.saturating_mul(CHARS_PER_TOKEN * HEAD_PER_MILLE) / 1_000;
    usize::try_from(all).unwrap_or(usize::MAX).saturating_sub(others_bytes)
}

/// Makes the brief without looking into code. The same input gives the same text, byte for byte.
pub fn brief(input: &BriefInput<'_>) -> Brief {
    brief_with(input, None)
}

/// Makes the brief with what is known of the code, if something is.
pub fn brief_with(input: &BriefInput<'_>, known: Option<Known<'_>>) -> Brief {
    let repository = Repository::of(input);
    let languages = layout::languages(&repository.paths);
    let found = discovery::of(&repository);
    let percent = if input.window_tokens < SMALL_WINDOW_TOKENS { SMALL_WINDOW_PERCENT } else { WINDOW_PERCENT };
    let window = (input.window_tokens * CHARS_PER_TOKEN * percent / 100) as usize;
    let budget = window.clamp(CHARS_MIN, CHARS_MAX).min(input.room_bytes.unwrap_or(usize::MAX)).max(BRIEF_BYTES_MIN);

    let mut text = String::from("# The repository, as the server found it before your first turn\n");
    if repository.paths.is_empty() {
        text.push_str("\nThe working copy is empty: nothing is there yet.\n");
    } else {
        let total = repository.paths.len();
        let _ = writeln!(text, "\n{total} files. Languages by files: {}.", layout::language_line(&languages));
        line(&mut text, "Build and packages", &found.managers);
        line(&mut text, "Frameworks and libraries", &frameworks(&found));
        line(&mut text, "Entry points", &layout::entry_points(&repository));
        line(&mut text, "How files are named and laid out", &layout::habits(&repository.paths));
    }
    write_toolchains(&mut text, &found, input.programs, budget * PINS_PERCENT / 100);
    write_commands(&mut text, &found, budget * COMMANDS_PERCENT / 100);
    let named = named_by(input.request, &repository.paths);
    if !named.is_empty() {
        let _ = writeln!(text, "\nFiles that the request names: {}.", quoted(&named));
    }
    write_packages(&mut text, &found, budget * PACKAGES_PERCENT / 100);
    if let Some(line) = conventions::editor_line(&repository) {
        let _ = writeln!(text, "\n.editorconfig: {line}.");
    }
    if !found.broken.is_empty() {
        let shown: Vec<&str> = found.broken.iter().map(String::as_str).take(BROKEN_MAX).collect();
        let _ = writeln!(text, "\nManifests that cannot be parsed: {}.", quoted(&shown));
    }
    if !input.history.is_empty() {
        text.push_str("\n## Recent history, newest first\n");
        for entry in input.history.iter().take(HISTORY_MAX) {
            let _ = writeln!(text, "- {}", plain(entry, 160));
        }
    }
    let mut text = cut(text, budget * 45 / 100);

    let conventions = conventions::read(&repository, budget.saturating_sub(text.len()) * 65 / 100);
    let room = budget.saturating_sub(text.len() + conventions.text.len());
    let code = known.map(|known| symbols::render(&known, input.request, room * SYMBOLS_PERCENT / 100));
    let room = room.saturating_sub(code.as_ref().map_or(0, String::len));
    if !repository.paths.is_empty() {
        let tree = tree::render(&repository.paths, room.saturating_sub(60));
        if !tree.is_empty() {
            let _ = write!(text, "\n## Tree\n```\n{tree}```\n");
        }
    }
    text.push_str(&code.unwrap_or_default());
    text.push_str(&conventions.text);
    Brief {
        languages,
        conventions: conventions.paths,
        packages: reach::packages(&repository, &found),
        prohibitions: prohibitions::prohibitions_in(input.request, &repository.paths),
        checks: found.checks,
        files: u32::try_from(input.files.len()).unwrap_or(u32::MAX),
        text,
    }
}

/// Packages of a monorepo with who depends on whom, the most depended on first, as far as there
/// is room.
fn write_packages(text: &mut String, found: &Discovery, room: usize) {
    if found.packages.len() < 2 {
        return;
    }
    let mut ecosystems: BTreeMap<&str, usize> = BTreeMap::new();
    let mut dependants: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for package in &found.packages {
        *ecosystems.entry(package.ecosystem).or_default() += 1;
        for name in &package.depends_on {
            *dependants.entry((package.ecosystem, name)).or_default() += 1;
        }
    }
    let count = |package: &Package| dependants.get(&(package.ecosystem, package.name.as_str())).copied().unwrap_or(0);
    let mut sorted: Vec<&Package> = found.packages.iter().collect();
    sorted.sort_by_key(|package| (std::cmp::Reverse(count(package)), &package.directory, package.ecosystem));
    let kinds = ecosystems.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ");
    let _ = writeln!(text, "\n## Packages: {} ({kinds})", found.packages.len());
    let end = text.len() + room;
    for (shown, package) in sorted.iter().enumerate() {
        if shown == PACKAGES_MAX || text.len() > end {
            let _ = writeln!(text, "- and {} more", found.packages.len() - shown);
            break;
        }
        let place = if package.directory.is_empty() { "the root" } else { &package.directory };
        let _ = write!(text, "- `{}` in `{}`", plain(&package.name, 80), plain(place, 100));
        if !package.depends_on.is_empty() {
            let names = package.depends_on.iter().take(NEEDS_MAX).map(|name| plain(name, 60)).collect::<Vec<_>>();
            let more = package.depends_on.len().saturating_sub(NEEDS_MAX);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let _ = write!(text, ", needs {}{more}", names.join(", "));
        }
        if count(package) > 0 {
            let _ = write!(text, ", needed by {}", count(package));
        }
        text.push('\n');
    }
}

fn write_toolchains(text: &mut String, found: &Discovery, programs: Option<&[&str]>, room: usize) {
    let shown = found
        .pins
        .iter()
        .take(PINS_MAX)
        .map(|pin| format!("{} {} ({})", plain(&pin.tool, 20), plain(&pin.version, 40), plain(&pin.origin, 80)));
    let mut left = room;
    let pins = shown.take_while(|pin| {
        left = left.saturating_sub(pin.len());
        left > 0
    });
    line(text, "Pinned", &pins.collect::<Vec<_>>());
    let versions = programs.into_iter().flatten().filter_map(|program| program.split_once('@'));
    let versions =
        versions.filter(|(name, _)| found.pins.iter().any(|pin| toolchains::program(&pin.tool) == Some(name)));
    line(text, "Here", &versions.map(|(name, version)| format!("{name} {version}")).collect::<Vec<_>>());
    line(text, "Missing here, do not try", &found.missing.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>());
}

/// What validation runs always, commands as far as there is room: they are in the order of their
/// weight, the root's first.
fn write_commands(text: &mut String, found: &Discovery, room: usize) {
    let mut checks = String::new();
    if !found.checks.is_empty() {
        let shown = found.checks.iter().map(|check| match &check.workdir {
            Some(directory) => format!("`{}` in `{}`", check.command, plain(directory, 100)),
            None => format!("`{}`", check.command),
        });
        let shown = shown.collect::<Vec<_>>().join(", ");
        let _ = writeln!(checks, "\nValidation will run, unless the task names checks of its own: {shown}.");
    }
    let mut by_weight: Vec<&Command> = found.commands.iter().collect();
    by_weight.sort_by_key(|command| (!command.directory.is_empty(), weight(command.purpose)));
    let mut left = room.saturating_sub(checks.len());
    let mut shown: Vec<(&Command, String)> = Vec::new();
    for command in by_weight {
        let place = if command.directory.is_empty() {
            String::new()
        } else {
            format!(" in `{}`", plain(&command.directory, 100))
        };
        let line = plain(&command.line, 200).replace('`', "'");
        let line = format!("- {}{place}: `{line}` ({})\n", command.purpose.name(), plain(&command.origin, 140));
        if line.len() > left {
            break;
        }
        left -= line.len();
        shown.push((command, line));
    }
    if !shown.is_empty() {
        text.push_str("\n## Commands found\n");
        shown.sort_by_key(|(command, _)| (!command.directory.is_empty(), command.directory.clone(), command.purpose));
        text.extend(shown.iter().map(|(_, line)| line.as_str()));
        let left = found.commands.len() - shown.len();
        if left > 0 {
            let _ = writeln!(text, "- and {left} more, in the manifests");
        }
    }
    text.push_str(&checks);
}

/// What is dropped last has the least.
fn weight(purpose: Purpose) -> u8 {
    match purpose {
        Purpose::Test => 0,
        Purpose::SingleTest => 1,
        Purpose::Build => 2,
        Purpose::Lint => 3,
        Purpose::TypeCheck => 4,
        Purpose::Format => 5,
        Purpose::Setup => 6,
    }
}

/// Names by the manifest that shows them: `axum, serde (Cargo.toml)`.
fn frameworks(found: &Discovery) -> Vec<String> {
    let mut by_origin: Vec<(&str, Vec<&str>)> = Vec::new();
    for (name, origin) in &found.frameworks {
        match by_origin.iter_mut().find(|(known, _)| known == origin) {
            Some((_, names)) => names.push(name),
            None => by_origin.push((origin, vec![name])),
        }
    }
    let shown = |(origin, names): (&str, Vec<&str>)| match origin {
        "" => names.join(", "),
        origin => format!("{} ({})", names.join(", "), plain(origin, 120)),
    };
    by_origin.into_iter().map(shown).collect()
}

fn line(text: &mut String, title: &str, parts: &[String]) {
    if !parts.is_empty() {
        let _ = writeln!(text, "{title}: {}.", parts.join(", "));
    }
}

/// Files whose path or name stands in the request.
fn named_by<'a>(request: &str, paths: &[&'a str]) -> Vec<&'a str> {
    let words: std::collections::BTreeSet<&str> = request
        .split(|letter: char| !(letter.is_alphanumeric() || "._-/".contains(letter)))
        .map(|word| word.trim_matches(['.', '/', '-']))
        .filter(|word| word.contains('.') && word.len() > 3)
        .collect();
    if words.is_empty() {
        return Vec::new();
    }
    let names = |path: &&&str| words.contains(**path) || words.contains(path.rsplit('/').next().unwrap_or(path));
    paths.iter().filter(names).take(NAMED_MAX).copied().collect()
}

fn quoted(paths: &[&str]) -> String {
    paths.iter().map(|path| format!("`{}`", plain(path, 200))).collect::<Vec<_>>().join(", ")
}

/// One line without control characters, of at most `limit` characters.
pub(super) fn plain(text: &str, limit: usize) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).take(limit).collect()
}

/// Cut at the end of a line.
pub(super) fn cut(mut text: String, limit: usize) -> String {
    if text.len() <= limit {
        return text;
    }
    let mut end = limit.saturating_sub(8);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let end = text[..end].rfind('\n').map_or(end, |at| at + 1);
    text.truncate(end);
    text.push_str("[cut]\n");
    text
}
