//! Unified diffs, as `git diff` and `diff -u` write them and models imitate them.

use super::{
    Hunk, Mark, Section, SyntaxError,
    envelope::Numbered,
    sections::{self, Draft},
};

/// Whether a diff begins with this line.
pub(super) fn begins(line: &str) -> bool {
    line.starts_with("diff --git ") || line.starts_with("--- ") || line.starts_with("Index: ")
}

/// What the lines before a file's hunks say of it.
#[derive(Debug, Default)]
struct Head<'a> {
    line: usize,
    /// Of the `diff --git` line, where its two halves agree.
    named: Option<&'a str>,
    old: Option<&'a str>,
    new: Option<&'a str>,
    renamed: Option<(&'a str, &'a str)>,
    added: bool,
    deleted: bool,
    executable: Option<bool>,
}

pub(super) fn parse(lines: &[Numbered<'_>]) -> Result<Draft, SyntaxError> {
    let mut draft = Draft::default();
    let mut rest = lines;
    while let Some(start) = rest.iter().position(|(_, line)| begins(line)) {
        if let Some((number, line)) = rest[..start].iter().find(|(_, line)| !line.trim().is_empty()) {
            return Err(SyntaxError::new(*number, format!("`{line}` belongs to no file of the diff")));
        }
        let (head, after) = read_head(&rest[start..])?;
        let (hunks, after) = read_hunks(after);
        rest = after;
        draft.push(head.line, section(&head, hunks)?);
    }
    match rest.iter().find(|(_, line)| !line.trim().is_empty()) {
        Some((number, line)) => Err(SyntaxError::new(*number, format!("`{line}` belongs to no file of the diff"))),
        None => Ok(draft),
    }
}

fn read_head<'a, 'b>(lines: &'a [Numbered<'b>]) -> Result<(Head<'b>, &'a [Numbered<'b>]), SyntaxError> {
    let mut head = Head { line: lines[0].0, ..Head::default() };
    let mut renamed_from = None;
    for (i, (number, line)) in lines.iter().enumerate() {
        let line = line.trim_end_matches('\r');
        let word = |prefix: &str| line.strip_prefix(prefix).map(str::trim);
        if let Some(path) = word("--- ") {
            head.old = Some(without_date(path));
        } else if let Some(path) = word("+++ ") {
            head.new = Some(without_date(path));
            return Ok((head, &lines[i + 1..]));
        } else if let Some(names) = word("diff --git ") {
            if i > 0 {
                return Ok((head, &lines[i..]));
            }
            head.named = halves(names);
        } else if let Some(mode) = word("new file mode ") {
            head.added = true;
            head.executable = Some(mode.ends_with("755"));
        } else if word("deleted file mode ").is_some() {
            head.deleted = true;
        } else if let Some(mode) = word("new mode ") {
            head.executable = Some(mode.ends_with("755"));
        } else if let Some(path) = word("rename from ") {
            renamed_from = Some(path);
        } else if let Some(path) = word("rename to ") {
            head.renamed = renamed_from.map(|from| (from, path));
        } else if line.starts_with("Binary files ") || line.starts_with("GIT binary patch") {
            return Err(SyntaxError::new(*number, "a binary file cannot be changed by a patch: write it with `shell`"));
        } else if line.starts_with("@@") {
            return Ok((head, &lines[i..]));
        } else if ["copy from ", "copy to "].iter().any(|copy| line.starts_with(copy)) {
            return Err(SyntaxError::new(*number, "copies are not understood: add the new file whole"));
        } else if !is_known(line) {
            return Err(SyntaxError::new(*number, format!("`{line}` is no part of a diff's head")));
        }
    }
    Ok((head, &[]))
}

fn is_known(line: &str) -> bool {
    let known = ["index ", "old mode ", "similarity index ", "dissimilarity index ", "Index: ", "====="];
    line.trim().is_empty() || known.iter().any(|word| line.starts_with(word))
}

/// The hunks of one file. Counts in the `@@` lines are used where they hold; models often get
/// them wrong, so a line that can only belong to a hunk belongs to it.
fn read_hunks<'a, 'b>(lines: &'a [Numbered<'b>]) -> (Vec<Hunk>, &'a [Numbered<'b>]) {
    let mut hunks = Vec::new();
    let mut hunk: Option<Hunk> = None;
    let mut left = (0_usize, 0_usize);
    for (i, (_, line)) in lines.iter().enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let counted = left.0 + left.1 > 0;
        if ends_file(&lines[i..], counted) {
            hunks.extend(hunk);
            return (closed(hunks), &lines[i..]);
        }
        if let Some(at) = line.strip_prefix("@@") {
            hunks.extend(hunk.take());
            let mut next = Hunk::default();
            read_position(&mut next, at);
            left = counts(at).unwrap_or_default();
            hunk = Some(next);
            continue;
        }
        let Some(open) = &mut hunk else {
            if line.trim().is_empty() {
                continue;
            }
            hunk = Some(Hunk::default());
            sections::push_line(hunk.get_or_insert_default(), line);
            continue;
        };
        sections::push_line(open, line);
        let mark = if line.starts_with('\\') { None } else { open.lines.last().map(|line| line.mark) };
        left.0 = left.0.saturating_sub(usize::from(matches!(mark, Some(Mark::Keep | Mark::Remove))));
        left.1 = left.1.saturating_sub(usize::from(matches!(mark, Some(Mark::Keep | Mark::Add))));
    }
    hunks.extend(hunk);
    (closed(hunks), &[])
}

fn closed(raw: Vec<Hunk>) -> Vec<Hunk> {
    let mut hunks = Vec::with_capacity(raw.len());
    for hunk in raw {
        sections::finish(&mut hunks, hunk);
    }
    hunks
}

/// Whether the next file's head begins here. `---` and `+++` may also be lines that go and come:
/// while the hunk's counts are open, only a `@@` after them makes them a head.
fn ends_file(lines: &[Numbered<'_>], counted: bool) -> bool {
    let at = |i: usize| lines.get(i).map_or("", |(_, line)| *line);
    if at(0).starts_with("diff --git ") || at(0).starts_with("Index: ") {
        return true;
    }
    at(0).starts_with("--- ") && at(1).starts_with("+++ ") && (!counted || at(2).starts_with("@@ -"))
}

fn section(head: &Head<'_>, hunks: Vec<Hunk>) -> Result<Section, SyntaxError> {
    let (old, new) = stripped(head.old.or(head.named), head.new.or(head.named));
    let missing = || SyntaxError::new(head.line, "the diff does not say which file it is about");
    if head.added || old == Some("/dev/null") {
        let path = new.ok_or_else(missing)?.to_owned();
        let last = hunks.last().and_then(|hunk| hunk.final_newline);
        let lines = hunks.iter().flat_map(|hunk| &hunk.lines).filter(|line| line.mark == Mark::Add);
        let mut content: String = lines.flat_map(|line| [line.text.as_str(), "\n"]).collect();
        if last == Some(false) {
            content.pop();
        }
        return Ok(Section::Add { path, content, executable: head.executable == Some(true) });
    }
    if head.deleted || new == Some("/dev/null") {
        return Ok(Section::Delete { path: old.ok_or_else(missing)?.to_owned() });
    }
    let (from, to) = match head.renamed {
        Some((from, to)) => (from, to),
        None => (old.or(new).ok_or_else(missing)?, new.or(old).ok_or_else(missing)?),
    };
    if hunks.is_empty() && head.renamed.is_none() && head.executable.is_none() {
        return Err(SyntaxError::new(head.line, "this file's diff has no hunks"));
    }
    let move_to = (from != to).then(|| to.to_owned());
    Ok(Section::Update { path: from.to_owned(), move_to, executable: head.executable, hunks })
}

/// Without the `a/` and `b/` that git puts before paths, where both sides have them.
fn stripped<'a>(old: Option<&'a str>, new: Option<&'a str>) -> (Option<&'a str>, Option<&'a str>) {
    let null = Some("/dev/null");
    let a = old.and_then(|path| path.strip_prefix("a/"));
    let b = new.and_then(|path| path.strip_prefix("b/"));
    match (a, b) {
        (Some(_), Some(_)) => (a, b),
        (Some(_), None) if new == null => (a, new),
        (None, Some(_)) if old == null => (old, b),
        _ => (old, new),
    }
}

/// The path of `a/path b/path`, whose halves are the same but for the prefix.
fn halves(names: &str) -> Option<&str> {
    let middle = names.len() / 2;
    let (a, b) = (names.get(..middle)?, names.get(middle + 1..)?);
    (a.strip_prefix("a/")? == b.strip_prefix("b/")?).then(|| &a[2..])
}

fn without_date(path: &str) -> &str {
    path.split('\t').next().unwrap_or(path).trim()
}

/// Reads what follows `@@`: `-3,4 +3,6 @@ heading`, a heading alone, or nothing.
pub(super) fn read_position(hunk: &mut Hunk, after: &str) {
    let after = after.trim_end();
    let heading = match ranges(after) {
        Some((old, heading)) => {
            hunk.old = Some(old);
            hunk.contexts_are_hints = true;
            heading
        }
        None => after.strip_suffix("@@").map_or(after, str::trim_end),
    };
    let heading = heading.strip_prefix(' ').unwrap_or(heading);
    if !matches!(heading.trim(), "" | "..." | "…") {
        hunk.contexts.push(heading.to_owned());
    }
}

type Range = (usize, usize);

fn ranges(after: &str) -> Option<(Range, &str)> {
    let (ranges, heading) =
        after.trim_start().strip_prefix('-')?.split_once("@@").or(Some((after.trim_start().strip_prefix('-')?, "")))?;
    let (old, new) = ranges.trim().split_once(" +")?;
    range(new)?;
    Some((range(old)?, heading))
}

fn counts(after: &str) -> Option<Range> {
    let (old, new) = after.trim_start().strip_prefix('-')?.split_once("@@")?.0.trim().split_once(" +")?;
    Some((range(old)?.1, range(new)?.1))
}

fn range(text: &str) -> Option<Range> {
    let (start, count) = text.trim().split_once(',').unwrap_or((text.trim(), "1"));
    Some((start.parse().ok()?, count.parse().ok()?))
}
