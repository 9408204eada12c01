//! Logs and reports of test runners into named tests.
//!
//! Every parser finds its runner by the summary that it prints and answers [`Parsed::Broken`]
//! where the summary does not agree with the tests named. Then the whole log counts as not
//! parsed: better no claim than a wrong one. A log may hold several runners one after the other.

mod ctest;
mod dotnet;
mod elixir;
mod go;
mod javascript;
mod junit;
mod jvm;
mod php;
mod python;
mod ruby;
mod rust;
mod tally;
mod tap;
mod times;

pub(super) use elixir::exunit_places;
pub(super) use ruby::rspec_places;

use crate::domain::check::TestReport;
use std::borrow::Cow;
use tally::{Parsed, Summary, Tally};

/// A regular expression made once.
macro_rules! pattern {
    ($name:ident, $text:literal) => {
        static $name: std::sync::LazyLock<regex::Regex> =
            std::sync::LazyLock::new(|| regex::Regex::new($text).expect("the pattern is a constant"));
    };
}
pub(super) use pattern;

/// The tests of one run. `reports` are the contents of report files (JUnit XML, TAP) that the run
/// wrote; where they can be read they go before the log, unless that names every test and at least as many, or more
/// that fail (another runner spoke there too). Absent where neither says for sure what
/// ran: an unknown runner, a cut log, a summary that does not agree with the tests named.
pub fn parse(command: &str, log: &[u8], reports: &[Vec<u8>]) -> Option<TestReport> {
    parse_cut(command, log, None, reports)
}

/// As [`parse`], for a log whose bytes are missing at `gap`.
pub(super) fn parse_cut(command: &str, log: &[u8], gap: Option<usize>, reports: &[Vec<u8>]) -> Option<TestReport> {
    let told = read(command, log, gap);
    let reported =
        if reports.is_empty() { None } else { combine(reports.iter().map(|report| of_file(command, report))) };
    match (reported, told) {
        (Some(reported), Some(told)) if tells_more(&told, &reported) => Some(told),
        (Some(reported), _) => Some(reported),
        (None, told) => told,
    }
}

fn of_file(command: &str, report: &[u8]) -> Parsed {
    let text = clean(report);
    match junit::parse(&text) {
        Parsed::NotMine => tap::parse(&Log::of(command, &text, false)),
        parsed => parsed,
    }
}

fn tells_more(log: &TestReport, reported: &TestReport) -> bool {
    log.counts.failed > reported.counts.failed || (log.counts.all_named && log.tests.len() >= reported.tests.len())
}

/// The tests of a log whose bytes are missing at `gap`.
fn read(command: &str, log: &[u8], gap: Option<usize>) -> Option<TestReport> {
    let text = match gap.map(|at| log.split_at(at.min(log.len()))) {
        Some((head, tail)) => Cow::Owned([whole_lines_before(head), whole_lines_after(tail)].concat()),
        None => clean(log),
    };
    let log = Log::of(command, &text, gap.is_some());
    let mut parsed = vec![
        python::unittest(&log),
        python::pytest(&log),
        rust::cargo_test(&log),
        rust::nextest(&log),
        go::parse(&log),
        javascript::jest(&log),
        javascript::vitest(&log),
        javascript::mocha(&log),
        tap::parse(&log),
        tap::node_spec(&log),
        ruby::rspec(&log),
        ctest::ctest(&log),
        php::phpunit(&log),
        elixir::exunit(&log),
        jvm::surefire(&log),
        jvm::gradle(&log),
        dotnet::vstest(&log),
    ];
    // A report that a log quotes does not count beside a runner that speaks for itself.
    if parsed.iter().all(|one| matches!(one, Parsed::NotMine)) {
        parsed.push(junit::parse(&text));
    }
    let mut report = combine(parsed)?;
    times::place(&log, &mut report);
    Some(report)
}

/// A log as parsers read it: no colours, no carriage returns.
struct Log<'a> {
    lines: Vec<&'a str>,
    /// Some of the middle is missing: only a summary at the very end still says what ran.
    gap: bool,
    command: &'a str,
}

impl<'a> Log<'a> {
    fn of(command: &'a str, text: &'a str, gap: bool) -> Self {
        Self { lines: text.split('\n').collect(), gap, command }
    }

    /// The command asks to stop at the first failure, so that what did not run has no name.
    fn stops_early(&self, flags: &[&str]) -> bool {
        self.command.split_whitespace().any(|word| flags.contains(&word.split('=').next().unwrap_or(word)))
    }
}

/// Half a line is no evidence: `2 failed, 3 passed` would read as `3 passed`.
fn whole_lines_before(head: &[u8]) -> String {
    let end = head.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    clean(&head[..end]).into_owned()
}

fn whole_lines_after(tail: &[u8]) -> String {
    let start = tail.iter().position(|byte| *byte == b'\n').unwrap_or(tail.len());
    clean(&tail[start..]).into_owned()
}

fn combine(parsed: impl IntoIterator<Item = Parsed>) -> Option<TestReport> {
    let mut whole: Option<Tally> = None;
    for one in parsed {
        match one {
            Parsed::NotMine => {}
            Parsed::Broken => return None,
            Parsed::Tests(tally) => match &mut whole {
                Some(whole) => whole.add(tally),
                None => whole = Some(tally),
            },
        }
    }
    whole.map(Tally::report)
}

pattern!(ESCAPE, r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-Za-z]|[=>78])");

/// Text without escape sequences, carriage returns and NUL; what is not UTF-8 is replaced.
pub(super) fn clean(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    if !text.contains(['\x1b', '\r', '\0']) {
        return text;
    }
    let plain = ESCAPE.replace_all(&text, "").replace("\r\n", "\n");
    Cow::Owned(plain.replace('\r', "\n").replace('\0', "\u{fffd}"))
}
