//! How this code base writes things, from counts.

use parsers::LanguageStyle;
use std::fmt::Write;

const LANGUAGES_MAX: usize = 3;
/// Groups in the order in which they are told, with how many of their labels.
const GROUPS: &[(&str, usize)] = &[
    ("functions", 2),
    ("types", 2),
    ("constants", 2),
    ("indentation", 2),
    ("quotes", 2),
    ("semicolons", 2),
    ("errors", 7),
];

/// A line for each language, in at most `room` bytes.
pub(super) fn render(styles: &[LanguageStyle], room: usize) -> String {
    let mut text = String::new();
    for style in styles.iter().take(LANGUAGES_MAX) {
        let mut parts = Vec::new();
        for (wanted, most) in GROUPS {
            let counts = style.groups.iter().find(|(group, _)| group == wanted).map(|(_, counts)| counts);
            let Some(counts) = counts.filter(|counts| !counts.is_empty()) else { continue };
            let shown: Vec<String> = counts
                .iter()
                .take(*most)
                .map(|(label, count)| format!("{} {count}", super::super::brief::plain(label, 40)))
                .collect();
            let unit = if *wanted == "indentation" { " files" } else { "" };
            parts.push(format!("{wanted} {}{unit}", shown.join(", ")));
        }
        let mut line = String::new();
        let _ = writeln!(
            line,
            "- {} ({} files): {}",
            super::super::brief::plain(&style.language, 40),
            style.files,
            parts.join("; ")
        );
        if !parts.is_empty() && text.len() + line.len() <= room {
            text.push_str(&line);
        }
    }
    text
}
