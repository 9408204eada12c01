//! JUnit's XML, as pytest, Maven, Gradle, vitest and many others write it.

use super::{
    Parsed, Summary,
    tally::{settle, sum},
};
use crate::domain::check::TestStatus::{self, Failed, Passed, Skipped};
use quick_xml::{Reader, events::BytesStart, events::Event};

/// A whole report, alone or somewhere in a log.
pub(super) fn parse(text: &str) -> Parsed {
    let mut runs = Vec::new();
    let mut rest = text;
    while let Some(at) = start(rest) {
        let Some((run, read)) = report(&rest[at..]) else { return Parsed::Broken };
        runs.push(run);
        rest = &rest[at + read..];
    }
    sum(runs)
}

fn start(text: &str) -> Option<usize> {
    let suites = ["<testsuites>", "<testsuites ", "<testsuite>", "<testsuite "];
    suites.iter().filter_map(|tag| text.find(tag)).min()
}

/// One root element, and how many bytes it takes; absent where it is cut or not well formed.
fn report(text: &str) -> Option<(Parsed, usize)> {
    let mut reader = Reader::from_str(text);
    let mut depth = 0_u32;
    let mut declared = Some(0_u32);
    let mut named: Vec<(String, TestStatus)> = Vec::new();
    let mut open: Option<(String, TestStatus)> = None;
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) => {
                depth += 1;
                match tag.local_name().as_ref() {
                    b"testsuite" => declared = declared.zip(own_tests(&tag)).map(|(sum, own)| sum + own),
                    b"testcase" => open = Some((name(&tag), Passed)),
                    other => mark(&mut open, other),
                }
            }
            Event::Empty(tag) => match tag.local_name().as_ref() {
                b"testcase" => named.push((name(&tag), Passed)),
                b"testsuite" => declared = declared.zip(own_tests(&tag)).map(|(sum, own)| sum + own),
                other => mark(&mut open, other),
            },
            Event::End(tag) => {
                if tag.local_name().as_ref() == b"testcase" {
                    named.extend(open.take());
                }
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    break;
                }
            }
            Event::Eof => return None,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    let read = usize::try_from(reader.buffer_position()).ok()?;
    // Nested suites count their children's tests again: then the declaration is more than there is.
    if declared.is_some_and(|declared| (declared as usize) < named.len()) {
        return Some((Parsed::Broken, read));
    }
    let count = |wanted| named.iter().filter(|(_, status)| *status == wanted).count() as u32;
    let summary = Summary {
        passed: Some(count(Passed)),
        failed: count(Failed),
        skipped: count(Skipped),
        partial: declared.is_none_or(|declared| declared as usize != named.len()),
    };
    Some((settle(named, summary), read))
}

/// What a child element says of its test.
fn mark(open: &mut Option<(String, TestStatus)>, tag: &[u8]) {
    if let Some((_, status)) = open {
        match tag {
            b"failure" | b"error" => *status = Failed,
            b"skipped" if *status == Passed => *status = Skipped,
            _ => {}
        }
    }
}

fn own_tests(tag: &BytesStart<'_>) -> Option<u32> {
    attribute(tag, "tests")?.parse().ok()
}

fn name(tag: &BytesStart<'_>) -> String {
    let name = attribute(tag, "name").unwrap_or_default();
    match attribute(tag, "classname").filter(|class| !class.is_empty() && *class != name) {
        Some(class) => format!("{class}::{name}"),
        None => name,
    }
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = tag.try_get_attribute(name).ok()??;
    Some(found.unescape_value().ok()?.into_owned())
}
