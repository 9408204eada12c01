//! The command line: what can be typed, what is shown, what of a checkout goes up and comes back.

use journeyman::{
    cli::{
        checkout::{Checkout, remote_url},
        client::{SseDecoder, SseEvent},
        screen::{Line, Tone, clean, clean_block, layout, paint, width},
        story::{Ending, Story, apply_patch, ending, patch, replaced},
        table,
        view::{ApprovalView, EventView, TaskView},
    },
    domain::Timestamp,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

const AT: &str = "2026-03-01T12:00:00Z";

/// Lines as they stand on a screen of this width, or in a pipe, without colours.
fn shown(lines: &[Line], columns: Option<usize>) -> String {
    let rows = lines.iter().flat_map(|line| layout(line, columns));
    rows.map(|row| paint(&row, false) + "\n").collect()
}

/// The story of events given as (kind, data).
fn told(events: &[(&str, Value)], columns: Option<usize>) -> String {
    let mut story = Story::default();
    let mut lines = Vec::new();
    for (at, (kind, data)) in events.iter().enumerate() {
        let event = json!({ "seq": at + 1, "task": "0195", "run": 1, "turn": 1, "at": AT, "kind": kind, "data": data });
        lines.extend(story.event(&EventView::read(event).expect("an event has a kind")));
    }
    shown(&lines, columns)
}

fn call(call: &str, tool: &str, arguments: Value, output: &str, exit_code: Option<i32>) -> [(&'static str, Value); 2] {
    [
        ("tool.started", json!({ "call": call, "tool": tool, "arguments": arguments })),
        (
            "tool.completed",
            json!({ "call": call, "tool": tool, "outcome": "ok", "output": output, "exit_code": exit_code, "duration_ms": 340 }),
        ),
    ]
}

fn plan(revision: u32, statuses: [&str; 2]) -> (&'static str, Value) {
    let steps = [("Find the cause", statuses[0]), ("Mend it", statuses[1])];
    let steps: Vec<Value> = steps.iter().map(|(step, status)| json!({ "step": step, "status": status })).collect();
    let planning = json!({
        "revision": revision,
        "origin": "model",
        "approaches": [
            { "name": "Round half up", "for": "as the docs say", "chosen": true },
            { "name": "Use floats", "against": "inexact", "chosen": false },
        ],
        "steps": steps,
        "criteria": ["all tests pass"],
    });
    ("plan.updated", json!({ "planning": planning }))
}

fn check_result(baseline: Value, last: Value) -> Value {
    json!({
        "name": "unit",
        "command": "python3 -m unittest",
        "source": "task",
        "baseline": baseline,
        "final": last,
        "log": "",
    })
}

fn run_of(outcome: &str, exit_code: i32, failing: &[&str], all: &[&str]) -> Value {
    let status = |name: &&str| if failing.contains(name) { "failed" } else { "passed" };
    let tests: Vec<Value> = all.iter().map(|name| json!({ "name": name, "status": status(name) })).collect();
    json!({ "outcome": outcome, "exit_code": exit_code, "duration_ms": 410, "failing": failing, "tests": tests, "log": "" })
}

#[test]
fn a_task_is_told_from_request_to_refusal() {
    let mut events = vec![
        ("task.phase", json!({ "phase": "analysis" })),
        (
            "brief.ready",
            json!({
                "commit": null,
                "languages": [{ "name": "Python", "files": 7 }],
                "conventions": ["AGENTS.md"],
                "checks": [],
                "files": 9,
            }),
        ),
        ("task.phase", json!({ "phase": "planning" })),
        ("model.started", json!({ "model": "m", "absorbed": [1] })),
        ("message.assistant", json!({ "text": "I look first.", "author": "m" })),
    ];
    events.extend(call("call_1_0", "read_file", json!({ "path": "a.py", "offset": 10, "limit": 5 }), "1: x", None));
    let output = "exit code 1 after 0 s\n.F\nAssertionError: 2 != 3\nFAILED (failures=1)\n";
    events.extend(call("call_1_1", "shell", json!({ "command": "python3 -m unittest" }), output, Some(1)));
    events.push(plan(1, ["completed", "in_progress"]));
    events.push(("task.phase", json!({ "phase": "generation" })));
    let edit = json!({ "path": "a.py", "old": "def f():\n    return 2\n", "new": "def f():\n    return 3\n" });
    events.extend(call("call_2_0", "edit", edit, "a.py changed", None));
    events.push(plan(2, ["completed", "completed"]));
    events.push(("task.phase", json!({ "phase": "validation" })));
    events.push(("checks.started", json!({ "cycle": 1, "checks": ["unit"] })));
    let all = ["test_a", "test_b", "test_c"];
    let check = check_result(run_of("fail", 1, &["test_a"], &all), run_of("fail", 1, &["test_a", "test_b"], &all));
    events.push((
        "checks.completed",
        json!({ "verdict": "failed", "reason": "test_b passed on the base", "checks": [check], "findings": [], "tree": null }),
    ));
    let expected = "
Analysis                                                0 ms
  Python · 9 files · follows AGENTS.md

Planning                                                0 ms
  ● I look first.
  · read a.py:10–14                                   340 ms
  $ python3 -m unittest                      exit 1 · 340 ms
    │ .F
    │ AssertionError: 2 != 3
    │ FAILED (failures=1)
  Plan
    → Round half up  + as the docs say
    · Use floats  − inexact
    ✔ Find the cause
    ▸ Mend it
    done when  all tests pass

Generation                                              0 ms
  ✎ a.py  +1  −1
    │   def f():
    │ -     return 2
    │ +     return 3
  ✔ Mend it

Validation                                              0 ms
  ✘ python3 -m unittest    1 of 3 fail → 2 of 3 fail  410 ms
    │ test_a  (also on the base)
    │ test_b  (new)
  → test_b passed on the base
";
    pretty(&told(&events, Some(60)), expected);
}

fn pretty(got: &str, expected: &str) {
    assert!(got == expected, "--- got\n{got}\n--- expected\n{expected}");
}

#[test]
fn in_a_pipe_nothing_is_wrapped_or_cut() {
    let long = "word ".repeat(60);
    let events = [("message.assistant", json!({ "text": long, "author": "m" }))];
    assert_eq!(told(&events, None), format!("  ● {}\n", long.trim()));
    let command = "x".repeat(250);
    let ran = told(&call("call_1_0", "shell", json!({ "command": command }), "", Some(0)), None);
    assert_eq!(ran, format!("  $ {command}  340 ms\n"));
}

#[test]
fn kinds_and_words_of_later_servers_are_passed_over() {
    let events = [
        ("weather.changed", json!({ "to": "rain" })),
        ("task.phase", json!({ "phase": "celebration" })),
        ("task.status", json!({ "status": "hibernating", "waiting_for": null, "error": null })),
    ];
    assert_eq!(told(&events, None), "");
    let task =
        json!({ "id": "1", "status": "dreaming", "result": { "verdict": "splendid", "checks": [{ "odd": 1 }] } });
    let task: TaskView = serde_json::from_value(task).expect("unknown words are fine");
    assert_eq!((task.status.as_str(), task.verdict(), task.is_end()), ("dreaming", Some("splendid"), false));
}

#[test]
fn a_patch_in_the_models_own_format_is_shown_by_file() {
    let text = "*** Begin Patch\n*** Update File: a.py\n*** Move to: b.py\n@@ def f\n keep\n-old\n+new\n*** Add File: c.py\n+one\n+two\n*** Delete File: d.py\n*** End Patch";
    let files = apply_patch(text);
    let heads: Vec<_> =
        files.iter().map(|f| (f.path.as_str(), f.note.as_deref(), f.additions(), f.deletions())).collect();
    assert_eq!(
        heads,
        [("a.py", Some("moved to b.py"), 1, 1), ("c.py", Some("new file"), 2, 0), ("d.py", Some("deleted"), 0, 0),]
    );
}

#[test]
fn an_edit_shows_what_it_changes_and_not_what_it_repeats() {
    let edit = replaced("a", "one\ntwo\nthree\nfour", "one\ntwo\n3\nfour");
    let marks: String = edit.lines.iter().map(|(mark, _)| *mark).collect();
    assert_eq!(marks, "  -+ ");
}

#[test]
fn a_diffs_own_marks_have_colours_and_its_heads_do_not_count_as_changes() {
    let text = "diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-- old\n++ new\n same";
    let tones: Vec<Tone> = patch(text, 0).iter().map(|line| line.spans[0].tone).collect();
    assert_eq!(tones, [Tone::Strong, Tone::Dim, Tone::Dim, Tone::Hunk, Tone::Removed, Tone::Added, Tone::Plain]);
}

#[test]
fn the_ending_gives_the_verdict_with_its_evidence_and_its_price() {
    let all = ["test_a", "test_b"];
    let check = check_result(run_of("fail", 1, &["test_a"], &all), run_of("pass", 0, &[], &all));
    let task = json!({
        "id": "0195e000-0000-7000-8000-000000000001",
        "status": "succeeded",
        "started_at": "2026-03-01T12:00:00Z",
        "finished_at": "2026-03-01T12:01:03Z",
        "usage": { "model_calls": 3, "turns": 3, "input_tokens": 20_000, "cached_input_tokens": 15_000, "output_tokens": 700, "cost_usd": 0.004 },
        "result": {
            "summary": "Rounded up.",
            "verdict": "verified",
            "criteria": [{ "text": "all tests pass", "status": "met" }],
            "checks": [check],
            "patch": { "files": 1, "additions": 1, "deletions": 1 },
            "findings": [],
            "memories": [],
        },
    });
    let task: TaskView = serde_json::from_value(task).expect("a task");
    let lines = ending(&Ending { task: &task, patch: "diff --git a/f b/f\n@@ -1 +1 @@\n-a\n+b\n", told: false });
    let expected = "
✔ Verified  the server ran every check on a clean copy of base + patch, and all pass
  ✔ python3 -m unittest  1 of 2 fail → 2 tests pass  410 ms
  ✔ all tests pass

  Rounded up.

Patch  1 file  +1 −1
diff --git a/f b/f
@@ -1 +1 @@
-a
+b

3 turns · 20.0k tokens in (75 % cached) · 700 out · $0.0040 · 1 min 03 s
task 0195e000-0000-7000-8000-000000000001
";
    pretty(&shown(&lines, None), expected);
}

#[test]
fn a_list_of_tasks_has_one_row_each() {
    let task = json!({ "id": "0195e000", "status": "succeeded", "title": "Mend it", "created_at": AT, "result": { "verdict": "broken_before" } });
    let task: TaskView = serde_json::from_value(task).expect("a task");
    let now: Timestamp = serde_json::from_value(json!("2026-03-01T12:05:30Z")).expect("a time");
    assert_eq!(shown(&table::tasks(&[task], now), None), "✔ broken before 0195e000    5 min  Mend it\n");
    assert_eq!(shown(&table::tasks(&[], now), None), "no tasks\n");
}

#[test]
fn what_a_task_asks_is_shown_whole_before_it_is_approved() {
    let asked: Vec<ApprovalView> = serde_json::from_value(json!([
        {
            "id": "0196", "kind": "command", "deadline": AT, "decision": null,
            "subject": {
                "command": "git push\rls\nls", "rule": "ask: git push", "reason": "it sends work to another place",
            },
        },
        { "id": "0197", "kind": "command", "deadline": null, "decision": null, "subject": { "paths": ["a", "b"] } },
        { "id": "0198", "kind": "question", "deadline": null, "decision": null, "subject": { "questions": [] } },
    ]))
    .unwrap();
    let page = shown(&table::pending(&asked), None);
    let lines: Vec<&str> = page.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(lines[0], "asks        git push␍ls⏎ ls", "{page}");
    assert_eq!(lines[1], "because     it sends work to another place (ask: git push)");
    assert_eq!((lines[2], lines[4], lines.len()), ("approval    0196", "asks        a, b", 6), "{page}");
}

#[test]
fn escapes_and_reordering_marks_never_reach_the_screen() {
    assert_eq!(clean("a\u{1b}[31mred\u{1b}[0m\u{1b}]0;title\u{7}b\u{1b}]8;;x\u{1b}\\c"), "aredbc");
    assert_eq!(clean("10 %\r55 %\r100 %\r\n"), "100 %");
    assert_eq!(clean("\tx\u{8}\u{0}y"), "    xy");
    assert_eq!(clean("admin\u{202e}nimda"), "admin\u{fffd}nimda");
    assert_eq!(clean_block("a\n\u{1b}[2Jb\n\n \n"), ["a", "b"]);
}

#[test]
fn the_status_line_says_what_runs() {
    let mut story = Story::default();
    for (kind, data) in [
        ("task.status", json!({ "status": "running", "waiting_for": null, "error": null })),
        ("tool.started", json!({ "call": "call_1_0", "tool": "shell", "arguments": { "command": "make\nmake test" } })),
    ] {
        let event = json!({ "seq": 1, "at": AT, "kind": kind, "data": data });
        story.event(&EventView::read(event).expect("an event"));
    }
    story.live("tool.output", &json!({ "call": "call_1_0", "text": "one\ntwo\n" }));
    let status = story.status(Duration::from_millis(3_210), 0).expect("something runs");
    assert_eq!(shown(&[status.cut()], Some(60)), "⠋ $ make  … 1 more line  two                           3.2 s\n");
}

proptest! {
    #[test]
    fn no_row_is_wider_than_the_screen(
        text in "[ -~äπ漢🙂]{0,200}",
        columns in 20_usize..120,
        indent in 0_usize..6,
        right in "[a-z0-9]{0,30}",
        cut in any::<bool>(),
    ) {
        let line = Line::at(indent).plain(text.clone()).hang(2);
        let line = if right.is_empty() { line } else { line.right(right, Tone::Dim) };
        let line = if cut { line.cut() } else { line };
        let rows = layout(&line, Some(columns));
        for row in &rows {
            let row = paint(row, false);
            prop_assert!(width(&row) <= columns, "{row:?} is wider than {columns}");
        }
        if !cut && line.right.is_empty() {
            let whole: String = rows.iter().map(|row| paint(row, false)).collect();
            let letters = |text: &str| text.chars().filter(|char| *char != ' ').collect::<String>();
            prop_assert_eq!(letters(&whole), letters(&text));
        }
    }

    #[test]
    fn a_stream_means_the_same_however_it_is_cut(pieces in proptest::collection::vec(1_usize..9, 40)) {
        let stream = ": hello\r\nid: 1\nevent: task.phase\ndata: {\"a\":\r\ndata: 1}\r\n\r\nevent:message.delta\rdata:x\r\rdata\n\nid: 2\n\n";
        let expected = [
            SseEvent { id: Some("1".into()), event: "task.phase".into(), data: "{\"a\":\n1}".into() },
            SseEvent { id: None, event: "message.delta".into(), data: "x".into() },
            SseEvent::default(),
        ];
        let mut decoder = SseDecoder::default();
        let mut events = Vec::new();
        let mut rest = stream.as_bytes();
        for piece in pieces {
            let (now, later) = rest.split_at(piece.min(rest.len()));
            events.extend(decoder.feed(now).expect("short enough"));
            rest = later;
        }
        events.extend(decoder.feed(rest).expect("short enough"));
        prop_assert_eq!(events, expected);
    }
}

#[test]
fn what_looks_like_a_remote_is_one_and_a_path_is_none() {
    assert_eq!(remote_url("https://example.org/a.git").as_deref(), Some("https://example.org/a.git"));
    assert_eq!(remote_url("git@example.org:team/a.git").as_deref(), Some("ssh://git@example.org/team/a.git"));
    for path in [".", "../a", "/srv/a.git", "a:b", "./git@x:y/z"] {
        assert_eq!(remote_url(path), None, "{path}");
    }
}

#[expect(clippy::disallowed_methods, reason = "tests run git as a user does")]
fn git(dir: &Path, arguments: &[&str]) -> String {
    let identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"];
    let done = Command::new("git").arg("-C").arg(dir).args(identity).args(arguments).output().expect("git runs");
    assert!(done.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

fn write(path: impl AsRef<Path>, text: &str) {
    std::fs::write(path, text).expect("written");
}

/// A repository with two commits on `main`.
fn sample() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    git(dir.path(), &["init", "-q", "-b", "main"]);
    for text in ["one\n", "one\ntwo\n"] {
        write(dir.path().join("f"), text);
        git(dir.path(), &["add", "-A"]);
        git(dir.path(), &["commit", "-q", "-m", text.trim()]);
    }
    dir
}

/// What a server gets out of a bundle: HEAD's commit, tree and number of commits.
fn unbundled(bundle: &[u8]) -> (String, String, String) {
    let dir = tempfile::tempdir().expect("a directory");
    write(dir.path().join("note"), "");
    std::fs::write(dir.path().join("b.bundle"), bundle).expect("written");
    git(dir.path(), &["clone", "-q", "--bare", "b.bundle", "r"]);
    let clone = dir.path().join("r");
    let of = |arguments: &[&str]| git(&clone, arguments);
    (of(&["rev-parse", "HEAD"]), of(&["rev-parse", "HEAD^{tree}"]), of(&["rev-list", "--count", "HEAD"]))
}

#[tokio::test]
async fn a_checkout_goes_up_as_committed_and_says_what_stays_behind() {
    let dir = sample();
    write(dir.path().join("f"), "changed\n");
    std::fs::create_dir(dir.path().join("sub")).expect("made");
    write(dir.path().join("sub/new"), "");
    write(dir.path().join("new"), "");
    let checkout = Checkout::open(&dir.path().join("sub"), None).await.expect("a checkout");
    assert_eq!((checkout.changed, checkout.untracked, checkout.name.as_deref()), (1, 2, Some("main")));
    let bundle = checkout.bundle().await.expect("a bundle");
    let head = git(dir.path(), &["rev-parse", "HEAD"]);
    let tree = git(dir.path(), &["rev-parse", "HEAD^{tree}"]);
    assert_eq!(unbundled(&bundle.bytes), (head, tree, "2".into()));
    assert!(!bundle.without_history);
    assert_eq!(git(dir.path(), &["for-each-ref", "--format=%(refname)"]), "refs/heads/main", "nothing was added");
}

#[tokio::test]
async fn any_commit_can_go_up_also_from_a_shallow_clone() {
    let dir = sample();
    let first = git(dir.path(), &["rev-parse", "HEAD~1"]);
    let checkout = Checkout::open(dir.path(), Some(&first)).await.expect("a checkout");
    assert_eq!(unbundled(&checkout.bundle().await.expect("a bundle").bytes).0, first);

    let shallow = tempfile::tempdir().expect("a directory");
    let url = format!("file://{}", dir.path().display());
    git(shallow.path(), &["clone", "-q", "--depth", "1", &url, "s"]);
    let checkout = Checkout::open(&shallow.path().join("s"), None).await.expect("a checkout");
    let bundle = checkout.bundle().await.expect("a bundle");
    assert!(bundle.without_history);
    let (_, tree, commits) = unbundled(&bundle.bytes);
    assert_eq!((tree, commits), (git(dir.path(), &["rev-parse", "HEAD^{tree}"]), "1".into()));
}

#[tokio::test]
async fn what_is_no_usable_repository_is_said_with_the_mend() {
    let dir = tempfile::tempdir().expect("a directory");
    let why = async |reference| format!("{:#}", Checkout::open(dir.path(), reference).await.expect_err("no checkout"));
    assert!(why(None).await.contains("`git init`"));
    git(dir.path(), &["init", "-q"]);
    assert!(why(None).await.contains("has no commits yet"));
    assert!(why(Some("--upload-pack=x")).await.contains("no branch, tag or commit"));
    let missing = Checkout::open(&dir.path().join("missing"), None).await.expect_err("no directory");
    assert!(missing.to_string().contains("No such file"), "{missing}");
}

#[tokio::test]
async fn a_patch_is_applied_whole_or_not_at_all() {
    let dir = sample();
    let checkout = Checkout::open(dir.path(), None).await.expect("a checkout");
    let patch = "diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n one\n-two\n+2\ndiff --git a/g b/g\nnew file mode 100644\n--- /dev/null\n+++ b/g\n@@ -0,0 +1 @@\n+new\n";
    write(dir.path().join("f"), "one\nzwei\n");
    let refused = checkout.apply(patch).await.expect_err("f is another");
    assert!(refused.to_string().contains("patch does not apply"), "{refused}");
    assert!(!dir.path().join("g").exists(), "nothing of it was applied");
    write(dir.path().join("f"), "one\ntwo\n");
    checkout.apply(patch).await.expect("applies");
    assert_eq!(std::fs::read_to_string(dir.path().join("f")).expect("f"), "one\n2\n");
    assert_eq!(std::fs::read_to_string(dir.path().join("g")).expect("g"), "new\n");
}

#[expect(clippy::disallowed_methods, reason = "tests run the binary as a user does")]
fn journeyman(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_journeyman"));
    for name in ["JOURNEYMAN_URL", "JOURNEYMAN_KEY", "JOURNEYMAN_CONFIG", "DATABASE_URL"] {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null()).output().expect("the binary runs")
}

fn refused(arguments: &[&str]) -> String {
    let done = journeyman(arguments);
    let error = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(2), "{arguments:?}: {error}");
    assert_eq!(done.stdout, b"", "{arguments:?} says nothing on stdout");
    error
}

#[test]
fn wrong_usage_is_refused_with_exit_2_and_the_mend() {
    for (arguments, words) in [
        (vec!["frobnicate"], "unrecognized subcommand"),
        (vec!["run"], "REQUEST"),
        (vec!["run", "x", "--require", "luck"], "verified"),
        (vec!["run", "  ", "--no-repo"], "the text is empty"),
        (vec!["run", "x", "--no-repo", "--apply"], "--apply needs a local repository"),
        (vec!["run", "x", "--repo", "/nowhere/at/all"], "No such file"),
        (vec!["run", "x", "--repo", ".", "--no-repo"], "cannot be used with"),
        (vec!["run", "x", "--no-repo", "--url", "ftp://x"], "not a URL of a server"),
        (vec!["task", "list"], "JOURNEYMAN_URL"),
        (vec!["task", "show", "../../me", "--url", "http://127.0.0.1:1"], "is not an id"),
        (vec!["task", "replay", "../../me", "--url", "http://127.0.0.1:1"], "is no file"),
        (vec!["model", "--script", "/nowhere.json"], "/nowhere.json"),
    ] {
        let error = refused(&arguments);
        assert!(error.contains(words), "{arguments:?} says {error}");
    }
}

#[test]
fn a_server_that_is_not_there_is_said_with_its_address() {
    let done = journeyman(&["run", "x", "--no-repo", "--url", "http://127.0.0.1:1"]);
    let error = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(2));
    assert!(error.contains("cannot reach the server at http://127.0.0.1:1"), "{error}");
    let unhealthy = journeyman(&["healthcheck", "--listen", "127.0.0.1:1"]);
    assert_eq!(unhealthy.status.code(), Some(1));
}

#[test]
fn help_and_version_go_to_stdout() {
    for arguments in [["--help"], ["--version"]] {
        let done = journeyman(&arguments);
        assert!(done.status.success() && !done.stdout.is_empty() && done.stderr.is_empty());
    }
}
