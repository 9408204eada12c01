//! What a request forbids in so many words: "do not touch `src/legacy`", "without adding
//! dependencies". Pure. English and the commonest German.
//!
//! Only sentences that forbid something of the work count: "do not crash on empty input" says what
//! the program is to do, and is none.

mod forms;
mod places;

use crate::domain::brief::Prohibition;
use forms::{formed, pointed_at};
use globset::{GlobBuilder, GlobMatcher};
use places::{between_verbs, glob_of, places};
use regex::Regex;
use std::sync::LazyLock;

/// Prohibitions of one request.
const PROHIBITIONS_MAX: usize = 20;
/// Of a sentence, in characters; a longer one is cut.
const SENTENCE_CHARS_MAX: usize = 300;
/// Of a request, in bytes; what stands behind is not looked at.
const REQUEST_BYTES_MAX: usize = 256 * 1024;
const PATHS_MAX: usize = 20;

macro_rules! pattern {
    ($name:ident, $text:literal) => {
        static $name: LazyLock<Regex> = LazyLock::new(|| Regex::new($text).expect("the pattern is a constant"));
    };
}

// A negation, then soon a word for changing something.
pattern!(
    FORBIDS,
    r"(?ix)
    \b(?:(?:do\s+not|don['’]?t|did\s+not|didn['’]?t)\s+want\s+(?:you|anyone|anybody|us)\s+to|(?:rather|prefer)\s+(?:that\s+|it\s+if\s+|if\s+)?you\s+(?:didn['’]?t|did\s+not|don['’]?t|do\s+not|never)|(?:I|we)\s+(?:do\s+not|don['’]?t)\s+want(?:\s+to\s+see)?(?:\s+any)?|must\s+neither|may\s+neither|neither|do\s+not|don['’]?t|never|under\s+no\s+circumstances?|on\s+no\s+account|by\s+no\s+means|resist\s+the\s+(?:urge|temptation)\s+to|you(?:\s+are|['’]re)\s+(?:not|never)\s+(?:allowed|permitted|supposed|free)\s+to|it\s+is\s+(?:forbidden|prohibited|not\s+allowed)\s+to|must\s+not|mustn['’]t|should\s+not|shouldn['’]t|shall\s+not|may\s+not|cannot|can['’]t|please\s+no|avoid|refrain\s+from|without|not\s+to|stop\s+short\s+of)
    (?:\s*,\s*|\s+)(?:(?:ever|even|also|please|be|any\s+of|any|further|other|making|so\s+much\s+as|(?:need|have)\s+to|(?:should\s+|may\s+|must\s+)?you|in\s+any\s+way|under\s+any\s+circumstances?|(?:try|attempt|dare)\s+to|go(?:\s+and)?|start)(?:\s*,\s*|\s+)){0,4}
    (?:(?:mak|appl|perform|do)\w*\s+(?:any|a|further|other)?\s*(?:changes?|edits?|modifications?|alterations?)\b|(?:mess|fiddl|tamper|meddl|interfer|play|toy|monkey|tinker)\w*\s+(?:around\s+|about\s+)?with\b|lay(?:ing)?\s+(?:a\s+|your\s+)?(?:finger|hands?)\s+on\b|touch|chang|modif|edit|alter|updat|delet|remov|renam|mov|rewrit|reformat|refactor|format|overwrit|break|add|introduc|install|creat|bump|upgrad|downgrad|commit|push|weaken|skip|disabl|us(?:e|ing)\b|replac|regenerat|rearrang|reorder)\w*"
);
// Something is to be let alone or kept.
pattern!(
    KEEPS,
    r"(?ix)
    \b(?:leave|keep)\b .{1,120}? \b(?:alone|untouched|unchanged|intact|as\s+(?:is|it\s+is|they\s+are)|unmodified|stable|the\s+same)\b
    | \b(?:must|should|has\s+to|have\s+to|needs?\s+to)\s+(?:stay|remain)\b .{0,60}? \b(?:unchanged|untouched|intact|the\s+same|as\s+(?:is|it\s+is|they\s+are)|stable|compatible)\b
    | \b(?:must|should)\s+not\s+be\s+(?:touched|changed|modified|edited|altered|updated|deleted|removed|renamed|moved)\b
    | \b(?:is|are)\s+off[\s-]limits\b
    | \bno\s+(?:new|additional|extra|further)\s+(?:dependenc|librar|packag|crate|file|module|test|feature)\w*
    | \bno\s+(?:changes?|edits?|modifications?)\s+(?:to|in|of|outside)\b
    | \b(?:only|nothing\s+but)\s+(?:touch|change|edit|modify)\b"
);
// The same in pictures. Who says so to the program and not to the agent does not begin with it.
pattern!(
    AWAY,
    r"(?ix)
    (?:^|[,;:]\s*|\b(?:please|and|but|also|you\s+(?:must|should))\s+)
    (?:(?:keep\s+(?:your\s+)?)?hands\s+off(?:\s+of)?|(?:stay|keep|steer)\s+(?:well\s+)?(?:away\s+from|out\s+of|clear\s+of)|no\s+(?:touching|changing|editing|modifying)|(?:finger|hände)\s+weg\s+von)\b"
);
pattern!(
    TREATS,
    r"(?ix)
    \b(?:treat|consider|regard)\b .{1,120}? \bas\s+(?:strictly\s+)?(?:read[\s-]?only|frozen|immutable|off[\s-]limits|untouchable)\b
    | \b(?:changes?|edits?|modifications?)\s+(?:to|in|of)\b .{1,120}? \b(?:are|is)\s+(?:not\s+(?:allowed|permitted|wanted|welcome)|forbidden|prohibited)\b"
);
pattern!(
    GERMAN,
    r"(?ix)
    \b(?:nicht|nichts|kein(?:e|en|er|em)?|niemals|nie)\b .{0,100}? \b(?:anfass|angefasst|anrühr|angerührt|änder|geändert|veränder|verändert|ander|lösch|gelöscht|entfern|umbenenn|umbenannt|verschieb|verschoben|bearbeit|hinzufüg|hinzugefügt|hinzukomm|einführ|eingeführt|einbau|installier|anpass|angepasst|brech|überschreib)\w*
    | \b(?:fass|fasse|fasst|rühr|rühre|änder|ändere|ändern|änderst|lösche|entferne|bearbeite|füge|verschiebe)\b .{1,120}? \b(?:nicht|nichts|kein(?:e|en|er)?)\b
    | \bohne\b .{0,100}? (?:\bzu\s+(?:ändern|verändern|löschen|entfernen|brechen)\b|zufügen\b|zuführen\b|zufassen\b|zurühren\b|\bneue\s+(?:Abhängigkeit|Bibliothek|Paket)\w*)
    | \blass(?:e|t|en)?\b .{1,120}? \b(?:in\s+Ruhe|unverändert|unangetastet|so\s+wie|wie\s+(?:er|sie|es)\s+(?:ist|sind))\b
    | \bkeine\s+(?:neuen|weiteren|zusätzlichen|Änderung(?:en)?)\b
    | \b(?:muss|müssen|soll|sollen)\b .{0,100}? \b(?:unverändert|unangetastet)\b"
);
// Behaviour that is asked of the program, in the words of a prohibition.
pattern!(
    BEHAVIOUR,
    r"(?ix)\b(?:it|they|this|that|which|code|function|parser|program|server|client|users?|tests?|build|command|app|page|button|method|api|who)\s+(?:do(?:es)?\s+not|don['’]t|doesn['’]t|cannot|can['’]t|should\s+not|shouldn['’]t|must\s+not|never|may\s+not)\s+(?:touch|chang|modif|edit|alter|updat|delet|remov|renam|mov|rewrit|format|overwrit|break|add|creat|install|us|replac|skip|push|commit)\w*"
);
// What leaves nothing of a file as it is; "do not break" or "do not add" speaks of what is in it.
pattern!(
    WHOLE,
    r"(?i)\b(?:touch|chang|modif|edit|alter|updat|delet|remov|renam|mov|rewrit|reformat|refactor|format|overwrit|replac|regenerat|commit|push|mess|fiddl|tamper|meddl|interfer|play|toy|monkey|tinker|lay)"
);

/// What the request forbids, in its order, each sentence once.
pub fn prohibitions(request: &str) -> Vec<Prohibition> {
    let mut found: Vec<Prohibition> = Vec::new();
    for sentence in sentences(request) {
        let forbids = FORBIDS.find(sentence);
        // What is said in pictures speaks of the work only where it names a path.
        let pictured = |pattern: &Regex| {
            pattern.find(sentence).filter(|mark| !paths(sentence, mark.start(), mark.end()).is_empty())
        };
        let marks = [forbids, KEEPS.find(sentence), pictured(&AWAY), pictured(&TREATS), GERMAN.find(sentence)];
        let formed = formed(sentence);
        let text: String = sentence.chars().take(SENTENCE_CHARS_MAX).collect();
        let is_new = |found: &[Prohibition]| found.len() < PROHIBITIONS_MAX && found.iter().all(|one| one.text != text);
        let Some(mark) = marks.into_iter().flatten().min_by_key(regex::Match::start) else {
            if !formed.is_empty() && is_new(&found) {
                found.push(Prohibition { text, paths: formed });
            }
            continue;
        };
        let behaviour = BEHAVIOUR.find(sentence).is_some_and(|words| words.end() >= mark.end());
        let only_behaviour = behaviour && paths(sentence, mark.start(), mark.end()).is_empty();
        if (only_behaviour && formed.is_empty()) || !is_new(&found) {
            continue;
        }
        let limits_to = mark.as_str().to_lowercase();
        // "Only touch X" forbids everything but X, which no list of paths says.
        let paths =
            if limits_to.starts_with("only") || limits_to.starts_with("nothing but") || sentence.contains("outside") {
                Vec::new()
            } else {
                paths(sentence, mark.start(), mark.end())
            };
        let mut paths = if paths.is_empty() { formed } else { paths };
        if paths.is_empty() && FORBIDS.is_match(mark.as_str()) && WHOLE.is_match(mark.as_str()) {
            paths = pointed_at(sentence, mark.start(), mark.end());
        }
        found.push(Prohibition { text, paths });
    }
    found
}

/// The same for a repository with these paths: what it has not where the request says, and has elsewhere by
/// that name, is meant there.
pub fn prohibitions_in(request: &str, paths: &[&str]) -> Vec<Prohibition> {
    let mut found = prohibitions(request);
    let matcher = |glob: &str| -> Option<GlobMatcher> {
        GlobBuilder::new(glob).literal_separator(true).build().ok().map(|glob| glob.compile_matcher())
    };
    let has = |glob: &str| matcher(glob).is_some_and(|glob| paths.iter().any(|path| glob.is_match(path)));
    for glob in found.iter_mut().flat_map(|one| &mut one.paths).filter(|glob| !glob.starts_with("**/")) {
        let elsewhere = format!("**/{glob}");
        if !has(glob) && has(&elsewhere) {
            *glob = elsewhere;
        }
    }
    found
}

/// Sentences and items of lists, outside fenced blocks.
fn sentences(request: &str) -> Vec<&str> {
    let mut end = request.len().min(REQUEST_BYTES_MAX);
    while !request.is_char_boundary(end) {
        end -= 1;
    }
    let mut found = Vec::new();
    let mut fenced = false;
    for line in request[..end].lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            found.extend(split(line.trim_start().trim_start_matches(['-', '*', '>', ' ', '•'])));
        }
    }
    found
}

/// At full stops, question and exclamation marks and semicolons that blanks follow.
fn split(line: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut quoted = false;
    for (at, letter) in line.char_indices() {
        quoted ^= letter == '`';
        let next = at + letter.len_utf8();
        let ends = matches!(letter, '.' | '!' | '?' | ';') && line[next..].starts_with([' ', '\t']);
        let short = ["e.g.", "i.e.", "z.B.", "etc.", "vs."].iter().any(|short| line[start..next].ends_with(short));
        if ends && !quoted && !short {
            parts.push(line[start..next].trim());
            start = next;
        }
    }
    parts.push(line[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

/// Words for parts of a repository that have no path of their own, and the globs that they mean.
const MEANT: &[(&[&str], &[&str])] = &[
    (
        &[
            "the tests",
            "tests alone",
            "existing tests",
            "any tests",
            "test files",
            "the test suite",
            "die tests",
            "tests nicht",
            "keine tests",
        ],
        &[
            "**/test/**",
            "**/tests/**",
            "**/__tests__/**",
            "**/spec/**",
            "**/test_*",
            "**/*_test.*",
            "**/*.test.*",
            "**/*.spec.*",
            "**/*_spec.*",
        ],
    ),
    (
        &["lock file", "lockfile", "lock files", "lockfiles"],
        &[
            "**/Cargo.lock",
            "**/package-lock.json",
            "**/pnpm-lock.yaml",
            "**/yarn.lock",
            "**/poetry.lock",
            "**/uv.lock",
            "**/Gemfile.lock",
            "**/composer.lock",
            "**/go.sum",
        ],
    ),
    (
        &["the ci", "ci config", "workflows", "github actions"],
        &[".github/workflows/**", ".gitlab-ci.yml", ".circleci/**"],
    ),
    (&["migrations"], &["**/migrations/**"]),
    (&["documentation", "the docs"], &["docs/**", "**/*.md"]),
    (&["the readme"], &["**/README*"]),
];

/// The globs that a sentence's prohibition speaks of: what stands behind the words that forbid, or
/// between them.
fn paths(sentence: &str, start: usize, end: usize) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut add = |glob: String| {
        if !found.contains(&glob) && found.len() < PATHS_MAX {
            found.push(glob);
        }
    };
    // "X must stay unchanged" and German sentences name it before.
    let marked = &sentence[start..end];
    let subject =
        ["must", "should", "shall", "may"].iter().any(|word| marked.to_lowercase() == format!("{word} not change"));
    let before = marked.to_lowercase().contains(" be ")
        || (subject && sentence[end..].trim_matches(['.', '!', ' ']).is_empty())
        || !(FORBIDS.is_match(sentence) || AWAY.is_match(marked));
    let from = if before { 0 } else { start };
    // What a contrast or a reason brings is not what is forbidden.
    let rest = &sentence[from..];
    let until = [" but ", ", instead", " except ", " because ", " unless ", " sondern ", " außer ", " weil "]
        .iter()
        .filter_map(|word| rest.find(word).filter(|at| from + at >= end))
        .min();
    let part = &rest[..until.unwrap_or(rest.len())];
    if FORBIDS.is_match(&sentence[start..end]) && !WHOLE.is_match(part) {
        return found;
    }
    let mut words = part.to_lowercase();
    let mut direct = None;
    for place in places(part) {
        words = words.replacen(&part[place.range.clone()].to_lowercase(), " ", 1);
        let at = from + place.range.start;
        if *direct.get_or_insert_with(|| is_direct(sentence, start..end, at)) {
            add(glob_of(place.path));
        }
    }
    for (meant, globs) in MEANT {
        if meant.iter().any(|word| words.contains(word)) && !words.contains("new test") {
            globs.iter().for_each(|glob| add((*glob).to_owned()));
        }
    }
    found
}

/// Whether the path at `at` is itself what is forbidden: "the signature of `add` in calc.py" is not calc.py.
fn is_direct(sentence: &str, mark: std::ops::Range<usize>, at: usize) -> bool {
    let marked = &sentence[mark.clone()];
    let begins = if (FORBIDS.is_match(marked) || AWAY.is_match(marked)) && at >= mark.end {
        mark.end
    } else if at >= mark.start {
        mark.start
    } else {
        0
    };
    between_verbs(&sentence[begins..at])
}
