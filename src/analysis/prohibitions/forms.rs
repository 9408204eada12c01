//! Sentences that forbid in a form of their own, with the paths where that form has them: "nothing in X should be
//! touched", "everything except X may be changed", "X is off limits", "see X, but don't change it".
//!
//! A form counts only where it names a path, and nothing but the path: what else it speaks of is not known.

use super::places::{between, glob_of, places};
use regex::Regex;
use std::sync::LazyLock;

/// Longer sentences have no such form.
const SENTENCE_BYTES_MAX: usize = 1_000;

/// Something was done to it, and to do so.
const CHANGED: &str =
    r"(?:touched|changed|modified|edited|altered|updated|deleted|removed|renamed|moved|rewritten|reformatted)";
const CHANGE: &str = r"(?:touch|change|edit|modify|alter|rewrite)";
const EXCEPT: &str = r"(?:except(?:\s+for|ing)?|but(?:\s+not)?|other\s+than|apart\s+from|aside\s+from|besides|excluding|save(?:\s+for)?|outside(?:\s+of)?)";

/// Each with what it forbids as its group `what`.
static FORMS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let begin = r"(?:^|[,;:]\s*|\b(?:please|and|but|also|just|so|you\s+(?:must|should))\s+)";
    let end = r"\s*(?:,?\s*please)?\s*[.!]*$";
    [
        // Nothing in X may be changed.
        format!(r"\b(?:nothing|nobody|no\s+\w+|none\s+of|neither)\b(?P<what>.{{1,160}}?)\s+(?:should|shall|may|must|can|is|are|has|have|needs?)\s+(?:to\s+)?(?:ever\s+)?(?:be\s+)?(?:{CHANGED}|{CHANGE})\b"),
        // X must not be changed.
        format!(r"(?:^|[,;:(]\s*|\b(?:that|sure|and|but|please|ensure|file|files|directory|folder)\s+)(?P<what>[^,;:]{{1,160}}?)\s+(?:(?:must|should|shall|may|can|is|are|ought|has|have|needs?)(?:\s+(?:not|never)|n['’]t)|cannot|can['’]t|won['’]t)\s+(?:ever\s+)?(?:(?:to\s+)?be\s+)?(?:{CHANGED}\b|{CHANGE}{end})"),
        // X is off limits.
        format!(r"(?:^|[,;:]\s*|\b(?:that|sure|and|but|please|ensure)\s+)(?P<what>[^,;:]{{1,160}}?)\s+(?:is|are|stays?|remains?|(?:must|should|shall|has\s+to|have\s+to|needs?\s+to|is\s+to|are\s+to)\s+(?:be|stay|remain)(?:\s+left)?)\s+(?:(?:strictly|completely|absolutely|exactly)\s+)?(?:off[\s-]limits|taboo|sacred|sacrosanct|untouchable|untouched|unchanged|unmodified|intact|alone|as\s+(?:is|(?:it|they)\s+(?:is|are|was|were))|(?:frozen|read[\s-]?only|immutable|out\s+of\s+bounds|not\s+(?:yours|ours)\s+to\s+\w+){end})"),
        // Everything except X may be changed.
        format!(r"\b(?:everything|anything|all(?:\s+(?:files|code))?|any\s+file)\s+{EXCEPT}\s+(?P<what>[^,;]{{1,160}}?)\s+(?:may|can|could)\s+(?:freely\s+)?(?:be\s+)?(?:{CHANGED}|{CHANGE})\b"),
        format!(r"(?:^|[,;:]\s*|\b(?:may|can|to|please|and)\s+){CHANGE}\s+(?:everything|anything|whatever|any\s+(?:of\s+the\s+)?files?|all(?:\s+(?:the\s+)?files)?|what(?:ever)?)(?:\s+(?:else\s+)?(?:that\s+)?you\s+(?:like|need|want|wish|please)(?:\s+to)?)?\s*,?\s*{EXCEPT}\s+(?P<what>.{{1,200}}?){end}"),
        // Leave X be.
        r"\b(?:leave|let)\s+(?P<what>.{1,160}?)\s+(?:be|stay(?:\s+(?:as\s+(?:it|they)\s+(?:is|are)|untouched|unchanged))?|in\s+peace|out\s+of\s+(?:it|this)|as\s+(?:it|they)\s+(?:was|were)|where\s+(?:it|they)\s+(?:is|are))\b".to_owned(),
        format!(r"^(?:please\s+)?(?:just\s+)?leave\s+(?P<what>.{{1,200}}?){end}"),
        // Avoid X. Off limits: X.
        format!(r"{begin}(?:avoid|keep\s+off(?:\s+of)?|hands\s+(?:off(?:\s+of)?|away\s+from)|off[\s-]limits(?:\s+(?:is|are))?\s*:?|do\s+not\s+enter|no\s+go\s*:)\s*(?P<what>[^;]{{1,200}}?){end}"),
        format!(r"\b(?:no|any)\s+business\s+(?:in|with)\s+(?P<what>.{{1,200}}?){end}"),
        // I don't want X to be changed. I want X left alone.
        format!(r"\b(?:don['’]?t|do\s+not|never)\s+want\s+(?:to\s+see\s+)?(?P<what>.{{1,160}}?)\s+(?:to\s+(?:be|get)\s+|(?:be|get)(?:ting)?\s+)?(?:{CHANGED}|to\s+{CHANGE})\b"),
        format!(r"\b(?:want|like|prefer|need)\s+(?P<what>.{{1,160}}?)\s+(?:to\s+(?:be|stay|remain)\s+)?(?:left\s+)?(?:alone|untouched|unchanged|intact|as\s+(?:is|it\s+is|they\s+are)){end}"),
        // Nobody should change X. Do not go near X. No changes allowed in X.
        format!(r"\b(?:nobody|no[\s-]one)\s+(?:should|may|must|shall|can|is\s+(?:allowed|supposed)\s+to)\s+(?:ever\s+)?{CHANGE}\s+(?P<what>.{{1,200}}?){end}"),
        format!(r"{begin}(?:do\s+not|don['’]?t|never)\s+(?:go\s+(?:anywhere\s+)?(?:near|into|in)|enter|write\s+(?:to|into|in))\s+(?P<what>.{{1,200}}?){end}"),
        format!(r"\bno\s+(?:changes?|edits?|modifications?)\s+(?:are\s+)?(?:allowed|permitted|wanted|accepted)\s+(?:to|in|of|within|under|below)\s+(?P<what>.{{1,200}}?){end}"),
        // Changing X is forbidden. X: hands off!
        String::from(r"(?:^|[,;:]\s*)(?:touching|changing|editing|modifying|altering|deleting|removing|renaming|(?:any\s+)?(?:changes?|edits?|modifications?)\s+(?:to|in|of))\s+(?P<what>[^,;]{1,160}?)\s+(?:is|are)\s+(?:strictly\s+)?(?:not\s+(?:allowed|permitted|wanted|welcome|acceptable|an\s+option)|forbidden|prohibited|off[\s-]limits|unwelcome|unwanted|taboo)\b"),
        format!(r"^(?P<what>[^,;:]{{1,160}}?)\s*(?::|\s[-—–])\s*(?:hands\s+off|keep\s+out|stay\s+out|no\s+(?:changes?|edits?|touching)|off[\s-]limits|read[\s-]?only|frozen|leave\s+(?:it\s+)?(?:alone|as\s+is)){end}"),
        // Work around it rather than changing X.
        format!(r"\b(?:rather\s+than|instead\s+of|short\s+of)\s+(?:touching|changing|editing|modifying|altering|rewriting)\s+(?P<what>.{{1,200}}?){end}"),
    ]
    .iter()
    .map(|form| Regex::new(&format!("(?i){form}")).expect("the pattern is a constant"))
    .collect()
});

/// The work that a sentence asks for: what stands beside it is not let alone.
static WORK: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\b(?:mend|fix|add|chang|rewrit|updat|edit|refactor|implement|extend|mov|renam|creat|mak|replac|remov|delet|writ|improv|clean|port|convert|split|migrat|bump|introduc|adjust|correct|repair|simplif|translat|merg|extract|optimi)\w*")
        .expect("the pattern is a constant")
});

static POINTS_BACK: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)^\s*(?:(?:any\s+of\s+|anything\s+(?:in|of)\s+)?(?:it|them|this|that|these|those|there)\b|[.!,]*\s*(?:please)?[.!]*$)")
        .expect("the pattern is a constant")
});

/// The globs that such a form forbids; none where the sentence has no such form, or speaks of something else too.
pub(super) fn formed(sentence: &str) -> Vec<String> {
    if sentence.ends_with('?') || sentence.len() > SENTENCE_BYTES_MAX {
        return Vec::new();
    }
    let of = |form: &Regex| {
        let found = form.captures(sentence)?;
        found.get(0).filter(|whole| is_settled(&sentence[whole.end()..])).and(found.name("what"))
    };
    FORMS.iter().filter_map(of).map(|what| direct(what.as_str())).find(|globs| !globs.is_empty()).unwrap_or_default()
}

/// What "do not change it" points back to, where the words that forbid end at `end`: the one thing that was named before
/// `start`, unless the sentence asks for work on it.
pub(super) fn pointed_at(sentence: &str, start: usize, end: usize) -> Vec<String> {
    let before = &sentence[..start];
    let mut spoken = before.to_owned();
    for place in places(before).collect::<Vec<_>>().into_iter().rev() {
        spoken.replace_range(place.range, " ");
    }
    if WORK.is_match(&spoken) || !POINTS_BACK.is_match(&sentence[end..]) {
        return Vec::new();
    }
    // Of several things it is not known which.
    let all: Vec<_> = places(before).collect();
    let joined = all.windows(2).all(|two| between(&before[two[0].range.end..two[1].range.start]));
    if joined { all.iter().map(|place| glob_of(place.path)).collect() } else { Vec::new() }
}

/// What follows does not make a description of it: "cannot be removed while the server runs".
fn is_settled(rest: &str) -> bool {
    const GO_ON: &[&str] = &[
        "and", "as", "at", "because", "but", "by", "either", "ever", "here", "in", "or", "please", "since", "so",
        "under",
    ];
    let rest = rest.trim_start();
    let word = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_lowercase();
    let for_now = ["for this", "for now", "for the time"].iter().any(|words| rest.to_lowercase().starts_with(words));
    !rest.starts_with(char::is_alphanumeric) || for_now || GO_ON.contains(&word.as_str())
}

/// What may stand before it, and says nothing of its own.
static LEADS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)^\s*(?:please\s+)?(?:(?:make|be)\s+sure|ensure|see\s+to\s+it|take\s+care|note|remember|mind|i\s+(?:want|need))(?:\s+that)?\s+")
        .expect("the pattern is a constant")
});

/// The globs of a text that is nothing but paths, with at most a name of what they are: "the legacy code (src/legacy)".
fn direct(what: &str) -> Vec<String> {
    let what = &what[LEADS.find(what).map_or(0, |lead| lead.end())..];
    let found: Vec<_> = places(what).collect();
    let Some(first) = found.first() else { return Vec::new() };
    let named =
        what[..first.range.start].trim_end().ends_with('(') && what[..first.range.start].split(' ').count() <= 5;
    let mut at = if named { first.range.start } else { 0 };
    let is_direct = found.iter().all(|place| {
        let before = &what[at..place.range.start];
        at = place.range.end;
        between(before)
    });
    let rest = what[at..].trim_start_matches(')');
    let ends = between(rest) || rest.trim_start().to_lowercase().starts_with("because ");
    if is_direct && ends { found.iter().map(|place| glob_of(place.path)).collect() } else { Vec::new() }
}
