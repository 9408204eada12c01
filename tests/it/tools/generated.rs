//! Diffs made from random edits apply to exactly the edited file.

use super::corpus::applied;
use proptest::{collection::vec, prelude::*};
use std::{collections::BTreeMap, fmt::Write};

/// Lines of a file; few words, so that many are the same.
fn lines() -> impl Strategy<Value = Vec<String>> {
    vec("( {0,2}|\t)(a|b|c|if x:|return|}|){1}", 0..40)
}

#[derive(Clone, Debug)]
enum Edit {
    Keep,
    Remove,
    Insert(Vec<String>),
    Replace(Vec<String>),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let text = || vec("[ a-d]{0,4}", 1..3);
    vec(
        prop_oneof![
            8 => Just(Edit::Keep),
            1 => Just(Edit::Remove),
            1 => text().prop_map(Edit::Insert),
            1 => text().prop_map(Edit::Replace),
        ],
        41,
    )
}

/// A script of lines: kept (both), old alone, new alone.
type Script = Vec<(char, String)>;

fn script(old: &[String], edits: &[Edit]) -> Script {
    let mut script = Vec::new();
    for (line, edit) in old.iter().zip(edits) {
        match edit {
            Edit::Keep => script.push((' ', line.clone())),
            Edit::Remove => script.push(('-', line.clone())),
            Edit::Insert(new) => {
                script.extend(new.iter().map(|new| ('+', new.clone())));
                script.push((' ', line.clone()));
            }
            Edit::Replace(new) => {
                script.push(('-', line.clone()));
                script.extend(new.iter().map(|new| ('+', new.clone())));
            }
        }
    }
    script
}

fn side(script: &Script, other: char, ending: &str, newline: bool) -> String {
    let lines: Vec<&str> = script.iter().filter(|(mark, _)| *mark != other).map(|(_, line)| line.as_str()).collect();
    let mut text = lines.join(ending);
    if newline && !lines.is_empty() {
        text.push_str(ending);
    }
    text
}

/// The script as hunks with `context` lines around each change, as `diff -U` writes them.
fn hunks(script: &Script, context: usize) -> Vec<(usize, usize)> {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for (i, _) in script.iter().enumerate().filter(|(_, (mark, _))| *mark != ' ') {
        let (from, to) = (i.saturating_sub(context), (i + context + 1).min(script.len()));
        match ranges.last_mut() {
            Some(last) if from <= last.1 => last.1 = to,
            _ => ranges.push((from, to)),
        }
    }
    ranges
}

fn unified(script: &Script, context: usize) -> String {
    let mut diff = String::from("--- a/f.txt\n+++ b/f.txt\n");
    for (from, to) in hunks(script, context) {
        let count = |range: &[(char, String)], other| range.iter().filter(|(mark, _)| *mark != other).count();
        let (old, new) = (count(&script[from..to], '+'), count(&script[from..to], '-'));
        let before = |other| count(&script[..from], other);
        let start = |before: usize, own: usize| if own == 0 { before } else { before + 1 };
        let _ = writeln!(diff, "@@ -{},{old} +{},{new} @@", start(before('+'), old), start(before('-'), new));
        push_lines(&mut diff, &script[from..to]);
    }
    diff
}

/// One hunk of the whole file, so that its place is never in doubt.
fn sections(script: &Script) -> String {
    let mut patch = String::from("*** Begin Patch\n*** Update File: f.txt\n@@\n");
    push_lines(&mut patch, script);
    patch + "*** End Patch\n"
}

fn push_lines(text: &mut String, lines: &[(char, String)]) {
    for (mark, line) in lines {
        let _ = writeln!(text, "{mark}{line}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_global_rejects: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_diff_of_random_edits_gives_exactly_the_edited_file(
        old in lines(), edits in edits(), context in 0_usize..4, crlf: bool, newline: bool,
    ) {
        let script = script(&old, &edits);
        let ending = if crlf { "\r\n" } else { "\n" };
        let (before, after) = (side(&script, '+', ending, newline), side(&script, '-', ending, newline));
        // Without any line break of its own a file has no style to keep.
        prop_assume!(before != after && before.contains('\n') && !after.is_empty());
        prop_assume!(newline || !(before.ends_with('\n') || after.ends_with('\n')));
        let files = BTreeMap::from([("f.txt".to_owned(), before)]);
        let wanted = BTreeMap::from([("f.txt".to_owned(), after)]);
        prop_assert_eq!(applied(&files, &unified(&script, context)), Ok(wanted.clone()));
        prop_assert_eq!(applied(&files, &sections(&script)), Ok(wanted));
    }

    #[test]
    fn a_patch_with_short_context_is_applied_rightly_or_refused(
        old in lines(), edits in edits(), context in 0_usize..3,
    ) {
        let script = script(&old, &edits);
        let (before, after) = (side(&script, '+', "\n", true), side(&script, '-', "\n", true));
        prop_assume!(before != after && !before.is_empty());
        let has_old = |range: &(usize, usize)| script[range.0..range.1].iter().any(|(mark, _)| *mark != '+');
        prop_assume!(hunks(&script, context).iter().all(has_old));
        let mut patch = String::from("*** Begin Patch\n*** Update File: f.txt\n");
        for (from, to) in hunks(&script, context) {
            patch.push_str("@@\n");
            push_lines(&mut patch, &script[from..to]);
        }
        patch.push_str("*** End Patch\n");
        let files = BTreeMap::from([("f.txt".to_owned(), before)]);
        if let Ok(tree) = applied(&files, &patch) {
            prop_assert_eq!(tree, BTreeMap::from([("f.txt".to_owned(), after)]));
        }
    }

    #[test]
    fn no_text_makes_the_reader_fail(text in "(\\*\\*\\* (Begin Patch|End Patch|Add File: a|Update File: a|Move to: b|End of File)|@@( -1,2 \\+1 @@)?|[ +-]?[ab]{0,2}|--- a|\\+\\+\\+ b|\\\\ No newline|\r|\n){0,20}") {
        let files = BTreeMap::from([("a".to_owned(), "a\nb\n".to_owned())]);
        drop(applied(&files, &text.replace("***", "\n***").replace("@@", "\n@@")));
    }
}
