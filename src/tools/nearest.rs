//! The name that was probably meant.

/// A name with other names that people and models use for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    pub(super) name: &'static str,
    pub(super) also: &'static [&'static str],
}

/// The one of `names` that `given` most likely stands for; none where all are too different.
pub(super) fn among(given: &str, names: impl IntoIterator<Item = Name>) -> Option<&'static str> {
    let given = plain(given);
    let mut best: Option<(usize, &'static str)> = None;
    for Name { name, also } in names {
        for known in also.iter().copied().chain([name]) {
            if let Some(far) = distance_if_near(&given, &plain(known))
                && best.is_none_or(|(least, _)| far < least)
            {
                best = Some((far, name));
            }
        }
    }
    best.map(|(_, name)| name)
}

/// The paths of `paths` nearest to `given`, best first: same file name elsewhere, then names
/// that differ in little.
pub(super) fn paths<'a>(given: &str, paths: impl IntoIterator<Item = &'a str>, most: usize) -> Vec<&'a str> {
    let name = file_name(given).to_lowercase();
    let mut scored: Vec<(usize, usize, &str)> = paths
        .into_iter()
        .filter_map(|path| {
            let other = file_name(path).to_lowercase();
            let of_name = if other == name { 0 } else { 1 + distance_if_near(&name, &other)? };
            Some((of_name, levenshtein(given, path), path))
        })
        .collect();
    scored.sort_unstable();
    scored.into_iter().map(|(_, _, path)| path).take(most).collect()
}

fn file_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

/// Lower case, and only letters and digits: `oldString` and `old_string` are one.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn distance_if_near(given: &str, known: &str) -> Option<usize> {
    if given == known {
        return Some(0);
    }
    let shorter = given.len().min(known.len());
    if shorter >= 3 && (given.contains(known) || known.contains(given)) {
        return Some(1);
    }
    let far = levenshtein(given, known);
    (far <= (given.chars().count().max(known.chars().count()) / 3).max(1)).then_some(far + 1)
}

/// The number of insertions, deletions and replacements between two words; words are compared up
/// to their first 256 characters.
fn levenshtein(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().take(256).collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().take(256).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}
