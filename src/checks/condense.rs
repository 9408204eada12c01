//! Logs without what says nothing of a failure: frames of libraries, progress, passes, lines repeated.

use super::parse::pattern;

pattern!(
    NOISE,
    r"^(?: +(?:Compiling|Downloaded|Downloading|Checking|Fresh|Locking|Adding|Updating|Blocking|Building \[) ?.*|(?:Downloading|Collecting|Requirement already satisfied|Using cached|Installing collected)\b.*|npm (?:warn|notice|WARN) .*|\[ *\d+%\] .*|\[INFO\] .*|test .+ \.\.\. ok|=== (?:RUN|PAUSE|CONT|NAME) .*|\s*--- PASS: .*|\S+ \([\w.<>]+\)(?: \.\.\.)? ?\.\.\. ok|[\w./-]+ [.sxX]+ +\[ *\d+%\]|.+::.+ PASSED +\[ *\d+%\]| +(?:✓|✔|√) .*|PASS \S+)$"
);
pattern!(RUST_FRAME, r"^ +\d+: \S");
pattern!(RUST_PLACE, r"^ +at (\S+)");
pattern!(PYTHON_FRAME, r#"^\s*File "([^"]+)", line \d+"#);
pattern!(NODE_FRAME, r"^\s+at (?:.*\()?(\S+?):\d+:\d+\)?$");
pattern!(JAVA_FRAME, r"^\s+at ([\w.$/]+)\([^)]*\)$");
pattern!(GO_PLACE, r"^\t(/\S+\.go):\d+");
pattern!(
    FOREIGN,
    r"^(?:/rustc/|/usr/|/opt/|/home/[^/]+/\.|node:|<|(?:java|jdk|sun|kotlin|org\.junit|org\.gradle|org\.apache\.maven)[./])|node_modules/|site-packages/|dist-packages/|/lib/python3|/\.venv/|/\.cargo/|/pkg/mod/|/vendor/"
);

/// The lines that matter, each as it is; what is left out is counted in its place.
pub(super) fn condense(log: &str) -> Vec<String> {
    let lines: Vec<&str> = log.lines().collect();
    let mut kept = Kept::default();
    let mut at = 0;
    while at < lines.len() {
        let frame = foreign_frame(&lines[at..]);
        if frame > 0 {
            kept.frames += 1;
            at += frame;
            continue;
        }
        kept.line(lines[at]);
        at += 1;
    }
    kept.close();
    kept.lines
}

/// How many lines the frame of a library takes, that begins here; 0: none does.
fn foreign_frame(lines: &[&str]) -> usize {
    let is_foreign = |path: Option<regex::Match<'_>>| path.is_some_and(|path| FOREIGN.is_match(path.as_str()));
    let next = lines.get(1).copied().unwrap_or("");
    if RUST_FRAME.is_match(lines[0]) {
        return match RUST_PLACE.captures(next) {
            Some(place) if is_foreign(place.get(1)) => 2,
            Some(_) => 0,
            // Without a place it is one of the runtime's.
            None => {
                usize::from(lines[0].contains("std::") || lines[0].contains("core::") || lines[0].contains("__rust"))
            }
        };
    }
    if let Some(found) = PYTHON_FRAME.captures(lines[0]) {
        // The source line, and where in it.
        let own = |line: &&&str| line.starts_with("    ") && !PYTHON_FRAME.is_match(line);
        let source = lines[1..].iter().take(2).take_while(own).count();
        return if is_foreign(found.get(1)) { 1 + source } else { 0 };
    }
    if let Some(found) = NODE_FRAME.captures(lines[0]).or_else(|| JAVA_FRAME.captures(lines[0])) {
        return usize::from(is_foreign(found.get(1)));
    }
    if GO_PLACE.captures(next).is_some_and(|found| is_foreign(found.get(1))) && lines[0].ends_with(')') {
        return 2;
    }
    0
}

#[derive(Default)]
struct Kept {
    lines: Vec<String>,
    /// Left out since the last line.
    frames: usize,
    /// How often the last line came again.
    again: usize,
}

impl Kept {
    fn line(&mut self, line: &str) {
        if NOISE.is_match(line) {
            return;
        }
        if self.frames == 0 && !line.trim().is_empty() && self.lines.last().is_some_and(|last| last == line) {
            self.again += 1;
            return;
        }
        self.close();
        self.lines.push(line.to_owned());
    }

    fn close(&mut self) {
        if self.again > 0 {
            self.lines.push(format!("[the line above {} times more]", self.again));
        }
        if self.frames > 0 {
            let frames = if self.frames == 1 { "1 frame".to_owned() } else { format!("{} frames", self.frames) };
            self.lines.push(format!("[{frames} of libraries]"));
        }
        (self.again, self.frames) = (0, 0);
    }
}
