//! Paths as models write them.

/// Where the working copy lies inside every sandbox.
const WORKSPACE: &str = "/workspace";

/// `path` relative to the working copy, with `.` and `..` resolved; a relative one is taken from
/// `base`. The error says why it is no path inside.
pub fn relative(path: &str, base: Option<&str>) -> Result<String, String> {
    let given = unquoted(path.trim());
    if given.is_empty() {
        return Err("the path is empty".to_owned());
    }
    if given.contains(['\0', '\n', '\r']) {
        return Err("the path holds a control character".to_owned());
    }
    let outside = || format!("{given} is outside the workspace: give a path relative to {WORKSPACE}");
    let whole = match base {
        Some(base) if !given.starts_with('/') => format!("{base}/{given}"),
        _ => given.to_owned(),
    };
    let inside = match whole.strip_prefix(WORKSPACE) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ if whole.starts_with('/') => return Err(outside()),
        _ => &whole,
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in inside.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or_else(outside)?;
            }
            part => parts.push(part),
        }
    }
    if parts.is_empty() {
        return Err(format!("{given} is the workspace itself, not a file in it"));
    }
    Ok(parts.join("/"))
}

fn unquoted(path: &str) -> &str {
    ['"', '\'', '`'].into_iter().find_map(|quote| path.strip_prefix(quote)?.strip_suffix(quote)).map_or(path, str::trim)
}
