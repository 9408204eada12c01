//! The tests written in a file, roughly: enough to see which a patch removed, emptied or skipped.
//!
//! No parser: a test that is written in an unusual way is not seen here, but its runs still are.

use super::parse::pattern;

/// Larger files are not read: nobody writes such tests by hand.
const FILE_LIMIT_BYTES: usize = 2 * 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct WrittenTests {
    pub(super) tests: Vec<Test>,
    /// The file is in a language whose tests are understood here.
    pub(super) known_language: bool,
    /// Something in the file keeps its other tests from running: `it.only`, `collect_ignore`.
    pub(super) others_left_out: bool,
}

#[derive(Debug)]
pub(super) struct Test {
    /// With its class, where it has one.
    pub(super) name: String,
    /// Skipped, or expected to fail.
    pub(super) skipped: bool,
    pub(super) asserts: bool,
    /// Lines that do something.
    pub(super) statements: usize,
    /// What it does.
    pub(super) text: String,
}

impl Test {
    pub(super) fn leaf(&self) -> &str {
        self.name.rsplit("::").next().unwrap_or(&self.name)
    }

    fn of(name: String, skipped: bool, body: &str) -> Self {
        let body = TAUTOLOGY.replace_all(body, "");
        let statements: Vec<&str> = body.lines().map(str::trim).filter(|line| is_statement(line)).collect();
        // Behind a return at the very start nothing runs.
        let returns =
            statements.first().is_some_and(|line| matches!(line.trim_end_matches(';'), "return" | "return nil"));
        let text = statements.join("\n");
        let statements = if returns { 0 } else { statements.len() };
        Self {
            name,
            skipped: skipped || SKIP_INSIDE.is_match(&body),
            asserts: statements > 0 && ASSERT.is_match(&body),
            statements,
            text,
        }
    }
}

pattern!(
    ASSERT,
    r"(?i)(assert|expect\b|expect\(|\bshould\b|require\.|raises\b|panic!|\bt\.(error|fatal|fail)|verify|\.unwrap\(|\.rejects|\bfail\(|\bcheck\()"
);
pattern!(
    TAUTOLOGY,
    r"(?m)(assert (True|1)\b *$|self\.assertTrue\(True\)|assert!\(true\);?|assert_eq!\((true, true|1, 1)\);?|expect\((true|1)\)\.(toBe|toEqual)\((true|1)\);?|expect\(true\)\.toBeTruthy\(\);?|assert\.ok\(true\);?|assert\(true\);?)"
);
pattern!(
    SKIP_INSIDE,
    r"(self\.skipTest\(|pytest\.(skip|xfail)\(|raise (unittest\.)?SkipTest|\bt\.Skip(Now|f)?\(|\bthis\.skip\(\)|\bt\.(skip|todo)\()"
);

fn is_statement(line: &str) -> bool {
    let nothing = line.is_empty()
        || ["#", "//", "/*", "*", "\"\"\"", "'''"].iter().any(|start| line.starts_with(start))
        || matches!(line, "pass" | "..." | "{" | "}" | "});" | "})" | "};" | ")" | ");")
        || line.chars().all(|letter| "{}()[];,".contains(letter));
    !nothing
}

pub(super) fn tests_in(path: &str, text: &[u8]) -> WrittenTests {
    if text.len() > FILE_LIMIT_BYTES {
        return WrittenTests::default();
    }
    let text = String::from_utf8_lossy(text);
    let extension = path.rsplit('.').next().unwrap_or("");
    let (tests, known_language) = match extension {
        "py" => (python(&text), true),
        "rs" => (braces(&text, &RUST_TEST, rust_attributes), true),
        "go" => (braces(&text, &GO_TEST, |_| Some(false)), true),
        "java" | "kt" => (braces(&text, &JAVA_TEST, java_annotations), true),
        "js" | "jsx" | "ts" | "tsx" | "mjs" | "cjs" | "mts" | "cts" => (javascript(&text), true),
        _ => (Vec::new(), false),
    };
    let others_left_out = match extension {
        "py" => text.contains("collect_ignore"),
        "go" => text.contains("//go:build ignore"),
        "js" | "jsx" | "ts" | "tsx" | "mjs" | "cjs" | "mts" | "cts" => JS_ONLY.is_match(&text),
        _ => false,
    };
    WrittenTests { tests, known_language, others_left_out }
}

pattern!(PY_TEST, r"^(\s*)(?:async +)?def (test\w*)\(");
pattern!(PY_CLASS, r"^(\s*)class (\w+)");
pattern!(PY_SKIP, r"^\s*@.*\b(skip|skipIf|skipUnless|skipif|xfail|expectedFailure)\b");
pattern!(PY_MODULE_SKIP, r"(?m)^(pytestmark *=.*\b(skip|skipif|xfail)\b|raise (unittest\.)?SkipTest|pytest\.skip\()");

fn python(text: &str) -> Vec<Test> {
    let lines: Vec<&str> = text.lines().collect();
    let all_skipped = PY_MODULE_SKIP.is_match(text);
    let mut classes: Vec<(usize, &str, bool)> = Vec::new();
    let mut tests = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        if !line.trim_start().starts_with(['@', '#', ')']) {
            classes.retain(|(depth, _, _)| *depth < indent);
        }
        if let Some(found) = PY_CLASS.captures(line) {
            let name = found.get(2).map_or("", |name| name.as_str());
            classes.push((indent, name, decorated(&lines[..at], indent)));
        } else if let Some(found) = PY_TEST.captures(line) {
            let end = lines[at + 1..]
                .iter()
                .position(|line| {
                    !line.trim().is_empty()
                        && line.len() - line.trim_start().len() <= indent
                        && !line.trim_start().starts_with(')')
                })
                .map_or(lines.len(), |end| at + 1 + end);
            let skipped = all_skipped || decorated(&lines[..at], indent) || classes.iter().any(|class| class.2);
            let path = classes.iter().map(|class| class.1).chain([&found[2]]).collect::<Vec<_>>().join("::");
            // What stands behind the colon of a one-line test counts too.
            let inline = line.split_once("):").map_or("", |(_, rest)| rest);
            tests.push(Test::of(path, skipped, &format!("{inline}\n{}", lines[at + 1..end].join("\n"))));
        }
    }
    tests
}

/// The decorators right above, at the same indentation, skip what they decorate.
fn decorated(above: &[&str], indent: usize) -> bool {
    let own = above.iter().rev().take_while(|line| {
        !line.trim().is_empty()
            && (line.len() - line.trim_start().len() > indent || line.trim_start().starts_with(['@', ')', '#']))
    });
    own.take(20).any(|line| PY_SKIP.is_match(line))
}

pattern!(RUST_TEST, r"(?m)^[ \t]*(?:pub(?:\([^)]*\))? +)?(?:async +)?fn +(\w+)[^{;]*\{");
pattern!(RUST_IS_TEST, r"#\[(?:\w+::)*(?:test|rstest|test_case|quickcheck|proptest)\b");
pattern!(GO_TEST, r"(?m)^func +((?:Test|Fuzz|Example)\w*)\([^{]*\{");
pattern!(
    JAVA_TEST,
    r"(?m)^[ \t]*(?:(?:public|private|protected|static|final|suspend) +)*(?:void|fun|\w+) +(`[^`]+`|\w+)\([^{;]*\{"
);
pattern!(JAVA_IS_TEST, r"@(?:\w+\.)*(?:Test|ParameterizedTest|RepeatedTest)\b");

/// Functions with a body in braces. `attributes` reads the lines right above: absent where they
/// do not make it a test, else whether they skip it.
fn braces(text: &str, function: &regex::Regex, attributes: fn(&str) -> Option<bool>) -> Vec<Test> {
    let mut tests = Vec::new();
    for found in function.captures_iter(text) {
        let (Some(whole), Some(name)) = (found.get(0), found.get(1)) else { continue };
        let above: Vec<&str> = text[..whole.start()]
            .lines()
            .rev()
            .take(12)
            .take_while(|line| {
                line.trim_start().starts_with(['#', '@', '/', '*']) || line.trim_end().ends_with([')', ']'])
            })
            .collect();
        let Some(skipped) = attributes(&above.join("\n")) else { continue };
        let body = enclosed(&text[whole.end() - 1..]);
        tests.push(Test::of(name.as_str().to_owned(), skipped, body));
    }
    tests
}

fn rust_attributes(above: &str) -> Option<bool> {
    RUST_IS_TEST.is_match(above).then(|| above.contains("#[ignore") || above.contains("#[cfg(any())]"))
}

fn java_annotations(above: &str) -> Option<bool> {
    JAVA_IS_TEST.is_match(above).then(|| above.contains("@Disabled") || above.contains("@Ignore"))
}

pattern!(
    JS_TEST,
    r#"\b(it|test|xit|xtest|fit|specify|xspecify)((?:\.\w+)*)\s*\(\s*(?:'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)"|`([^`]*)`)"#
);
pattern!(JS_SUITE_SKIP, r"\b(?:(?:describe|suite|context)\.skip|xdescribe|xcontext|describe\.todo)\s*\(");
pattern!(JS_ONLY, r"\b(?:(?:it|test|describe|suite|context)\.only|fit|fdescribe)\s*\(");

fn javascript(text: &str) -> Vec<Test> {
    let skipped: Vec<std::ops::Range<usize>> = JS_SUITE_SKIP
        .find_iter(text)
        .map(|found| found.start()..found.end() + enclosed(&text[found.end() - 1..]).len())
        .collect();
    let mut tests = Vec::new();
    for found in JS_TEST.captures_iter(text) {
        let (Some(whole), Some(name)) = (found.get(0), found.get(3).or(found.get(4)).or(found.get(5))) else {
            continue;
        };
        let open = text[whole.start()..].find('(').map_or(whole.end(), |at| whole.start() + at);
        let body = &enclosed(&text[open..])[whole.end().saturating_sub(open).min(enclosed(&text[open..]).len())..];
        let marked =
            found[1].starts_with('x') || [".skip", ".todo", ".failing"].iter().any(|mark| found[2].contains(mark));
        let option = SKIP_OPTION.is_match(body.lines().next().unwrap_or(""));
        let inside = skipped.iter().any(|range| range.contains(&whole.start()));
        tests.push(Test::of(name.as_str().to_owned(), marked || option || inside, strip_arrow(body)));
    }
    tests
}

pattern!(SKIP_OPTION, r#"^\s*,\s*\{[^}]*\b(?:skip|todo)\s*:\s*(?:true|['"`])"#);
pattern!(ARROW, r"^\s*,\s*(?:\{[^}]*\}\s*,\s*)?(?:async\s*)?(?:\([^)]*\)|\w+|function\s*\w*\s*\([^)]*\))\s*(?:=>)?\s*");

/// A test's body without the head of its function.
fn strip_arrow(body: &str) -> &str {
    ARROW.find(body).map_or(body, |head| &body[head.end()..])
}

/// From an opening bracket to the one that closes it, strings and comments left out of the count.
fn enclosed(text: &str) -> &str {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return &text[..=at];
                }
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at += bytes[at..].iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len() - at);
                continue;
            }
            quote @ (b'"' | b'`') => at += string_length(&bytes[at..], quote),
            // A lifetime or a character in Rust, a string in JavaScript: only a closed one counts.
            b'\'' => at += string_length(&bytes[at..], b'\''),
            _ => {}
        }
        at += 1;
    }
    text
}

/// How many bytes behind the opening quote belong to the string; 0 where it does not close in its
/// line (backticks may span lines).
fn string_length(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'\n' if quote == b'\'' => return 0,
            byte if byte == quote => return at,
            _ => {}
        }
        at += 1;
    }
    0
}
