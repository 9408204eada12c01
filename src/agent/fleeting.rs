//! What tools print that is another each time and says nothing: durations, dates, process numbers, ports and ids.

use regex::Regex;
use std::{borrow::Cow, sync::LazyLock};

/// The forms that tasks of every build know.
const FIRST: &str = concat!(
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
    r"|\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?",
    r"|\b\d\d:\d\d:\d\d(?:\.\d+)?\b",
    r"|\b\d+(?:\.\d+)? ?(?:ns|us|ms|s|secs?|seconds?|min|mins|minutes?)\b",
    r"|\b(?:pid|process|job|thread|port)[ :=#]{1,2}\d+",
    r"|\[\d+\] \d+",
    r"|\b0x[0-9a-f]+\b",
    r"|\b[0-9a-f]{7,64}\b",
    r"|/tmp/[\w.-]+",
);

/// The forms that came later; they are looked for first. What `kept` names says something and stays.
const LATER: &str = concat!(
    // `time`, and durations of several units: 0m1.234s, 1h 2m 3s.
    r"\b(?:\d+h ?)?\d+m ?\d+(?:[.,]\d+)?s\b",
    r"|\b\d+(?:\.\d+)? ?[µμ]s\b",
    // Rust: thread 'main' (4711) panicked.
    r"|(?P<kept>\bthread '[^'\n]{0,80}') \(\d+\)",
    // Shells: line 1:  4711 Segmentation fault.
    r"|: +\d+ (?P<signal>segmentation fault|killed|aborted|terminated|bus error|floating point exception",
    r"|illegal instruction|trace/breakpoint trap|quit|hangup|broken pipe|stopped)",
    // Sanitizers and valgrind: ==4711==ERROR.
    r"|==\d+==",
    r"|\bgoroutine \d+",
    r"|\(node:\d+\)",
    r"|\b(?:pid|process|task) id:? ?\d+",
    // As the system log has it: cron[4711]:
    r"|\[\d{4,7}\]:",
    // Ports that a system gives out.
    r"|(?P<host>\b(?:127\.\d+\.\d+\.\d+|0\.0\.0\.0|localhost)|\[::1?\]):(?:3[2-9]\d{3}|[4-6]\d{4})\b",
    // Seconds or milliseconds since 1970.
    r"|\b1[5-9]\d{8}(?:\d{3})?(?:\.\d+)?\b",
);

static EARLIER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&format!("(?i-u){FIRST}")).ok());
// Without `u` a pattern may hold nothing but ASCII.
static FLEETING: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&format!("(?i){LATER}|{FIRST}")).ok());

/// A text without them. Tasks of earlier builds know fewer.
pub(super) fn without(text: &str, loop_version: u32) -> Cow<'_, str> {
    let (forms, instead) = if loop_version == 0 { (&*EARLIER, "#") } else { (&*FLEETING, "#$kept$signal$host") };
    match forms {
        Some(forms) => forms.replace_all(text, instead),
        None => Cow::Borrowed(text),
    }
}
