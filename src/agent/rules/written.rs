//! The files that a command line writes, as far as its text says so: by redirections and by programs that are known
//! to make the files that they are given.

use super::shell::{Known, Word, take_apart};

/// Paths as they were written, below where the line's own `cd` leads. What an expansion names is not known.
pub(in crate::agent) fn written(line: &str, workdir: Option<&str>) -> Vec<String> {
    let Ok(commands) = take_apart(line) else { return Vec::new() };
    let mut place = workdir.unwrap_or_default().to_owned();
    let mut paths = Vec::new();
    for simple in &commands {
        let words: Option<Vec<&str>> = simple.words.iter().map(text).collect();
        if let Some(["cd", to]) = words.as_deref() {
            place = joined(&place, to);
            continue;
        }
        let named = simple.targets.iter().filter_map(text).chain(words.iter().flat_map(|words| made(words)));
        paths.extend(named.map(|path| joined(&place, path)));
    }
    paths
}

fn text(word: &Word) -> Option<&str> {
    let plain = word.known == Known::Whole && !word.text.contains(['*', '?', '$', '~']);
    Some(word.text.as_str()).filter(|text| plain && !text.is_empty())
}

/// The files that these words make.
fn made<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let Some((program, rest)) = words.split_first() else { return Vec::new() };
    let files = || rest.iter().copied().filter(|word| !word.starts_with('-'));
    match *program {
        "touch" | "tee" => files().collect(),
        // The last is the target; one that is a directory is no file and is not found.
        "cp" | "mv" | "install" if files().count() == 2 => files().skip(1).collect(),
        _ => Vec::new(),
    }
}

fn joined(place: &str, path: &str) -> String {
    if path.starts_with('/') || place.is_empty() { path.to_owned() } else { format!("{place}/{path}") }
}
