//! Text that may be shown: no escapes, no control characters, no reordering.

/// One line of text for a screen: escape sequences are gone, tabs are four columns, other
/// control characters are gone, and marks that reorder letters are shown as `\u{fffd}`.
///
/// Of a line that overwrote itself with carriage returns the last state is kept.
pub fn clean(text: &str) -> String {
    let text = text.trim_end_matches(['\r', '\n']);
    let text = text.rsplit('\r').find(|part| !part.is_empty()).unwrap_or_default();
    let mut shown = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\u{1b}' => skip_escape(&mut chars),
            '\t' => shown.push_str("    "),
            '\n' => shown.push(' '),
            // left-to-right and right-to-left overrides and isolates
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => shown.push('\u{fffd}'),
            char if char.is_control() => {}
            char => shown.push(char),
        }
    }
    shown
}

/// The lines of a text, each [`clean`], without empty ones at the end.
pub fn clean_block(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.split('\n').map(clean).collect();
    while lines.last().is_some_and(|line| line.trim().is_empty()) {
        lines.pop();
    }
    lines
}

/// Skips what follows ESC: a CSI sequence, a string sequence up to its end, or one character
/// (ECMA-48, 5.4 and 5.6).
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next() {
        Some('[') => {
            chars.by_ref().find(|char| ('\u{40}'..='\u{7e}').contains(char));
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(char) = chars.next() {
                if char == '\u{7}' || (char == '\u{1b}' && chars.next_if_eq(&'\\').is_some()) {
                    break;
                }
            }
        }
        _ => {}
    }
}
