//! What may stand around a patch: JSON, code fences, a heredoc, prose.

use super::{Patch, SyntaxError, sections, unified};

/// Reads a patch. Tolerant of what has one reading only; everything else is refused with the
/// line that it stands in.
pub fn parse(text: &str) -> Result<Patch, SyntaxError> {
    parse_below(text, None)
}

/// As [`parse`], with relative paths taken from `base`, a directory of the working copy.
pub fn parse_below(text: &str, base: Option<&str>) -> Result<Patch, SyntaxError> {
    let text = text.trim_start_matches('\u{feff}');
    if let Some(inner) = from_json(text) {
        return parse_below(&inner, base);
    }
    let lines = body(text)?;
    let mut patch = match lines.iter().find(|(_, line)| !line.trim().is_empty()) {
        None => return Err(SyntaxError::new(1, format!("the patch is empty; {FORM}"))),
        Some((_, line)) if unified::begins(line) => unified::parse(&lines)?,
        Some(_) => sections::parse(&lines)?,
    };
    sections::normalise_paths(&mut patch, base)?;
    Ok(patch.patch)
}

/// What the grammar asks for, in one sentence.
pub(super) const FORM: &str = "a patch goes from `*** Begin Patch` to `*** End Patch` and has `*** Add File: path`, \
                               `*** Update File: path` or `*** Delete File: path` before what is said of each file";

/// A numbered line of the patch, from 1.
pub(super) type Numbered<'a> = (usize, &'a str);

/// A patch found in a shell command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pasted<'a> {
    pub patch: &'a str,
    /// From a leading `cd DIR &&`.
    pub directory: Option<&'a str>,
}

/// The patch in a shell command that does nothing else than apply it: `apply_patch <<'EOF'` and
/// so on, perhaps after `cd DIR &&`.
pub fn in_command(command: &str) -> Option<Pasted<'_>> {
    let mut rest = command.trim();
    let mut directory = None;
    if let Some(after) = rest.strip_prefix("cd ") {
        let (dir, after) = after.split_once("&&").or_else(|| after.split_once('\n'))?;
        directory = Some(dir.trim().trim_matches(['"', '\'']));
        rest = after.trim_start();
    }
    let after = ["apply_patch", "applypatch"].into_iter().find_map(|name| rest.strip_prefix(name))?.trim_start();
    let patch = match after.strip_prefix("<<") {
        Some(heredoc) => {
            let (word, body) = heredoc.split_once('\n')?;
            let word = word.trim().trim_start_matches('-').trim().trim_matches(['"', '\'']);
            let end = body.lines().last()?;
            (end.trim() == word && !word.is_empty()).then_some(&body[..body.len() - end.len()])?
        }
        None => quoted(after)?,
    };
    (patch.contains("*** Begin Patch") && directory.is_none_or(|dir| !dir.contains(['$', '`', '*', ';'])))
        .then_some(Pasted { patch, directory })
}

fn quoted(text: &str) -> Option<&str> {
    let text = text.trim_end();
    let inner = text.strip_prefix('\'')?.strip_suffix('\'')?;
    (!inner.contains('\'')).then_some(inner)
}

/// A patch that came as a JSON string, or as the object of a call.
fn from_json(text: &str) -> Option<String> {
    match serde_json::from_str(text.trim()).ok()? {
        serde_json::Value::String(inner) => Some(inner),
        serde_json::Value::Object(map) => {
            ["patch", "input"].into_iter().find_map(|name| map.get(name)?.as_str().map(str::to_owned))
        }
        _ => None,
    }
}

/// The lines between the first `*** Begin Patch` and the last `*** End Patch`; where the markers
/// are missing, from the first line that begins a section or a diff.
fn body(text: &str) -> Result<Vec<Numbered<'_>>, SyntaxError> {
    let mut lines: Vec<Numbered<'_>> = text.split('\n').enumerate().map(|(i, line)| (i + 1, line)).collect();
    // Where the patch's own marks end with CR, so does everything by the way it came.
    if lines.iter().any(|(_, line)| is_begin(line) && line.ends_with('\r'))
        || lines.iter().all(|(n, l)| l.ends_with('\r') || *n == lines.len())
    {
        for (_, line) in &mut lines {
            *line = line.strip_suffix('\r').unwrap_or(line);
        }
    }
    let start = match lines.iter().position(|(_, line)| is_begin(line)) {
        Some(begin) => begin + 1,
        None => lines
            .iter()
            .position(|(_, line)| sections::is_header(line) || unified::begins(line))
            .ok_or_else(|| SyntaxError::new(1, format!("there is no patch here: {FORM}")))?,
    };
    let margin = start.checked_sub(1).map_or("", |begin| margin_of(lines[begin].1));
    let mut kept = Vec::new();
    let mut open = true;
    for (number, line) in lines.drain(..).skip(start) {
        let line = line.strip_prefix(margin).unwrap_or(line);
        if open && is_end(line) {
            open = false;
        } else if is_begin(line) {
            open = true;
        } else if open {
            kept.push((number, line));
        } else if sections::is_header(line) {
            return Err(SyntaxError::new(number, "this stands after `*** End Patch`: put it before"));
        }
    }
    if open {
        drop_wrapping(&mut kept);
    }
    Ok(kept)
}

/// White space before `*** Begin Patch`: the whole patch is indented by it.
fn margin_of(line: &str) -> &str {
    if is_begin(line) { &line[..line.len() - line.trim_start().len()] } else { "" }
}

fn is_begin(line: &str) -> bool {
    line.trim().eq_ignore_ascii_case("*** Begin Patch")
}

fn is_end(line: &str) -> bool {
    !line.starts_with([' ', '+', '-']) && line.trim().eq_ignore_ascii_case("*** End Patch")
}

/// Takes a closing fence or heredoc word off a patch that lacks its end mark.
fn drop_wrapping(lines: &mut Vec<Numbered<'_>>) {
    while let Some((_, last)) = lines.last() {
        if last.is_empty() || last.starts_with("```") || matches!(last.trim_end(), "EOF" | "PATCH") {
            lines.pop();
        } else {
            break;
        }
    }
}
