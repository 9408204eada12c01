//! Patches as models write them, and what becomes of them: the cases are in `corpus/*.txt`.
//!
//! A case has `%% file PATH` (before), `%% patch`, and either `%% gives PATH` and `%% gone PATH`
//! or `%% refused` with a text on each line that the refusal must hold. `␍`, `␉`, `␠`, `␀` and
//! `␂` stand for a carriage return, tab, space, NUL and byte order mark.

use journeyman::tools::patch::{self, Change, Entry};
use std::collections::BTreeMap;

type Tree = BTreeMap<String, String>;

#[derive(Debug, Default)]
struct Case {
    name: String,
    before: Tree,
    patch: String,
    gives: Tree,
    gone: Vec<String>,
    refused: Option<Vec<String>>,
}

#[test]
fn the_grammar_does_what_it_says() {
    check(include_str!("corpus/grammar.txt"));
}

#[test]
fn mistakes_with_one_reading_are_understood() {
    check(include_str!("corpus/tolerant.txt"));
}

#[test]
fn unified_diffs_are_understood() {
    check(include_str!("corpus/unified.txt"));
}

#[test]
fn what_does_not_fit_is_refused_with_its_place() {
    check(include_str!("corpus/refusals.txt"));
}

fn check(corpus: &str) {
    let cases = read(corpus);
    assert!(cases.len() > 10, "the corpus has cases");
    let wrong: Vec<String> = cases.iter().filter_map(|case| verdict(case).err()).collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n\n{}", wrong.len(), cases.len(), wrong.join("\n\n"));
}

fn verdict(case: &Case) -> Result<(), String> {
    let outcome = applied(&case.before, &case.patch);
    match (&case.refused, outcome) {
        (Some(wanted), Err(refusal)) => {
            let missing: Vec<&String> = wanted.iter().filter(|text| !refusal.contains(text.as_str())).collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("{}: lacks {missing:?}:\n{refusal}", case.name)) }
        }
        (Some(_), Ok(tree)) => Err(format!("{}: was applied: {tree:#?}", case.name)),
        (None, Err(refusal)) => Err(format!("{}: was refused: {refusal}", case.name)),
        (None, Ok(tree)) => {
            let mut wanted = case.before.clone();
            wanted.extend(case.gives.clone());
            wanted.retain(|path, _| !case.gone.contains(path));
            if tree == wanted { Ok(()) } else { Err(format!("{}:\nis     {tree:?}\nwanted {wanted:?}", case.name)) }
        }
    }
}

/// The tree after a patch, or the refusal.
pub(super) fn applied(before: &Tree, patch: &str) -> Result<Tree, String> {
    let patch = patch::parse(patch).map_err(|error| error.to_string())?;
    let files = before.iter().map(|(path, text)| (path.clone(), Entry::File(text.clone().into_bytes()))).collect();
    let changes = patch::apply(&files, &patch).map_err(|refusal| refusal.to_string())?;
    let mut tree = before.clone();
    for change in changes {
        match change {
            Change::Add { path, content, .. } => {
                tree.insert(path, content);
            }
            Change::Delete { path } => {
                tree.remove(&path);
            }
            Change::Update { path, move_to, content, .. } => {
                tree.remove(&path);
                tree.insert(move_to.unwrap_or(path), content);
            }
        }
    }
    Ok(tree)
}

fn read(corpus: &str) -> Vec<Case> {
    corpus.split("%% case ").skip(1).map(read_case).collect()
}

fn read_case(text: &str) -> Case {
    let (name, rest) = text.split_once('\n').expect("a case has lines");
    let mut case = Case { name: name.to_owned(), ..Case::default() };
    let body = format!("\n{}", rest.strip_suffix("\n\n").map_or(rest.to_owned(), |rest| format!("{rest}\n")));
    for block in body.split("\n%% ").skip(1) {
        let (head, content) = block.split_once('\n').unwrap_or((block, ""));
        let (word, path) = head.split_once(' ').unwrap_or((head, ""));
        let (path, newline) = path.strip_suffix(" without newline").map_or((path, true), |path| (path, false));
        let mut content = content.to_owned();
        if !content.is_empty() && !content.ends_with('\n') && newline {
            content.push('\n');
        }
        if !newline {
            content.truncate(content.trim_end_matches('\n').len());
        }
        for (sign, real) in [('␍', "\r"), ('␉', "\t"), ('␠', " "), ('␀', "\0"), ('␂', "\u{feff}")] {
            content = content.replace(sign, real);
        }
        match word {
            "file" => {
                case.before.insert(path.to_owned(), content);
            }
            "patch" => case.patch = content,
            "gives" => {
                case.gives.insert(path.to_owned(), content);
            }
            "gone" => case.gone.push(path.to_owned()),
            "refused" => case.refused = Some(content.lines().map(str::to_owned).collect()),
            other => panic!("{name}: unknown word {other}"),
        }
    }
    case
}
