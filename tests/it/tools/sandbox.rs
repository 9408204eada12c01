//! Calls in a real sandbox.

use crate::support::sandbox::{Copy, open, output};
use journeyman::{
    domain::tool::ToolOutcome,
    tools::{ToolAnswer, cut, parse, run},
    workspace::{Workspace, WorkspaceError},
};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use tokio::sync::mpsc;

async fn call(workspace: &Workspace, tool: &str, arguments: Value) -> ToolAnswer {
    match parse(tool, &arguments.to_string()) {
        Ok(parsed) => run(workspace, &parsed, None).await.expect("the workspace lives"),
        Err(answer) => answer,
    }
}

fn text(answer: &ToolAnswer) -> String {
    cut(&answer.output).0
}

async fn said(workspace: &Workspace, tool: &str, arguments: Value) -> String {
    let answer = call(workspace, tool, arguments).await;
    assert_eq!(answer.outcome, ToolOutcome::Ok, "{}", text(&answer));
    text(&answer)
}

async fn refused(workspace: &Workspace, tool: &str, arguments: Value) -> String {
    let answer = call(workspace, tool, arguments).await;
    assert_eq!(answer.outcome, ToolOutcome::Error, "{}", text(&answer));
    assert!(!answer.changed_files);
    text(&answer)
}

fn content(copy: &Copy, path: &str) -> Vec<u8> {
    std::fs::read(copy.path.join(path)).expect("the file is there")
}

fn sample(copy: &Copy) {
    copy.write(
        "src/cart.py",
        "class Cart:\n    def total(self):\n        return 0\n\n    def count(self):\n        return 0\n",
    );
    copy.write("src/tax.py", "RATE = 0.2\n");
    copy.write("README.md", "# Cart\r\n\r\nIt sums (all) prices.\r\n");
    copy.write(".gitignore", "build/\n");
    copy.write("build/out.txt", "RATE\n");
}

#[tokio::test]
async fn a_patch_is_applied_whole_and_told_file_by_file() {
    let (copy, workspace) = open().await;
    sample(&copy);
    let patch = "*** Begin Patch\n*** Update File: src/cart.py\n@@     def count(self):\n-        return 0\n+        return 1\n\
                 *** Add File: src/deep/new.py\n+x = 1\n+y = 2\n*** Delete File: src/tax.py\n*** Update File: README.md\n\
                 *** Move to: docs/README.md\n@@\n-# Cart\n+# The cart\n*** End Patch";
    let answer = call(&workspace, "apply_patch", json!({ "patch": patch })).await;
    assert!(answer.changed_files && answer.outcome == ToolOutcome::Ok, "{}", text(&answer));
    let told = "done:\nM src/cart.py (+1 -1, now line 6)\nA src/deep/new.py (2 lines)\nD src/tax.py\n\
                R README.md -> docs/README.md (+1 -1, now line 1)";
    assert_eq!(text(&answer), told);
    assert!(content(&copy, "src/cart.py").ends_with(b"    def count(self):\n        return 1\n"));
    assert_eq!(content(&copy, "src/deep/new.py"), b"x = 1\ny = 2\n");
    assert_eq!(content(&copy, "docs/README.md"), b"# The cart\r\n\r\nIt sums (all) prices.\r\n");
    assert!(!copy.path.join("src/tax.py").exists() && !copy.path.join("README.md").exists());
}

#[tokio::test]
async fn a_patch_that_fails_in_one_place_changes_nothing() {
    let (copy, workspace) = open().await;
    sample(&copy);
    let patch = "*** Begin Patch\n*** Add File: a.txt\n+a\n*** Update File: src/carts.py\n@@\n-a\n+b\n*** End Patch";
    let why = refused(&workspace, "apply_patch", json!({ "patch": patch })).await;
    assert_eq!(why, "nothing was changed.\nsrc/carts.py: there is no such file; did you mean src/cart.py?");
    assert!(!copy.path.join("a.txt").exists());
    let patch = "*** Begin Patch\n*** Add File: src\n+a\n*** End Patch";
    let why = refused(&workspace, "apply_patch", json!({ "patch": patch })).await;
    assert!(why.contains("src is a directory"), "{why}");
}

#[tokio::test]
async fn a_patch_keeps_the_executable_bit_and_never_leaves_the_working_copy() {
    let (copy, workspace) = open().await;
    output(
        &workspace,
        "printf 'a\\nb\\n' > run.sh; chmod 755 run.sh; echo out > /tmp/out; ln -s /tmp/out leak; ln -s run.sh link",
    )
    .await;
    let patch = |path: &str, old: &str| json!({ "patch": format!("*** Begin Patch\n*** Update File: {path}\n@@\n-{old}\n+new\n*** End Patch") });
    said(&workspace, "apply_patch", patch("run.sh", "a")).await;
    let mode = std::fs::metadata(copy.path.join("run.sh")).expect("there").permissions().mode();
    assert_eq!((content(&copy, "run.sh"), mode & 0o777), (b"new\nb\n".to_vec(), 0o755));
    let why = refused(&workspace, "apply_patch", patch("leak", "out")).await;
    assert!(why.contains("leads out of the working copy"), "{why}");
    assert_eq!(output(&workspace, "cat /tmp/out").await, "out\n");
    said(&workspace, "apply_patch", patch("link", "b")).await;
    assert_eq!(output(&workspace, "readlink link; cat run.sh").await, "run.sh\nnew\nnew\n");
}

#[tokio::test]
async fn an_edit_replaces_one_place_and_makes_new_files() {
    let (copy, workspace) = open().await;
    sample(&copy);
    let told =
        said(&workspace, "edit", json!({"path": "README.md", "old": "# Cart\n\nIt", "new": "# Cart\n\nThis"})).await;
    assert_eq!(told, "done:\nM README.md (+3 -3, now lines 1-3)");
    assert_eq!(content(&copy, "README.md"), b"# Cart\r\n\r\nThis sums (all) prices.\r\n");
    let why = refused(&workspace, "edit", json!({"path": "src/cart.py", "old": "return 0", "new": "return 1"})).await;
    assert!(why.contains("src/cart.py: `old` stands at 2 places, lines 3 and 6"), "{why}");
    let why = refused(&workspace, "edit", json!({"path": "cart.py", "old": "a", "new": "b"})).await;
    assert!(why.contains("cart.py: there is no such file; did you mean src/cart.py?"), "{why}");
    said(&workspace, "edit", json!({"path": "new/file.txt", "old": "", "new": "hello\n"})).await;
    assert_eq!(content(&copy, "new/file.txt"), b"hello\n");
    let why = refused(&workspace, "edit", json!({"path": "new/file.txt", "old": "", "new": "x"})).await;
    assert!(why.contains("`old` is empty, but the file is not"), "{why}");
}

#[tokio::test]
async fn a_change_is_computed_anew_when_the_file_changes_meanwhile() {
    let (copy, workspace) = open().await;
    copy.write("counter.txt", "head\n0\nmark\n");
    // A process that rewrites another line all the time: an edit either lands on what is there, or is refused.
    let start = json!({"command": "i=0; while :; do i=$((i+1)); sed -i \"s/^[0-9]*$/$i/\" counter.txt; done", "background": true});
    said(&workspace, "shell", start).await;
    let mut landed = 0;
    for round in 0..20 {
        let (old, new) = if round % 2 == 0 { ("mark", "MARK") } else { ("MARK", "mark") };
        let answer = call(&workspace, "edit", json!({"path": "counter.txt", "old": old, "new": new})).await;
        landed += usize::from(answer.outcome == ToolOutcome::Ok);
    }
    workspace.close().await;
    let left = String::from_utf8(content(&copy, "counter.txt")).expect("text");
    let lines: Vec<&str> = left.lines().collect();
    assert!(lines.len() == 3 && lines[0] == "head" && lines[1].parse::<u64>().is_ok(), "{landed} landed: {left:?}");
}

#[tokio::test]
async fn files_are_shown_with_numbers_and_in_parts() {
    let (copy, workspace) = open().await;
    sample(&copy);
    assert_eq!(said(&workspace, "read_file", json!({"path": "src/tax.py"})).await, "1\tRATE = 0.2\n");
    assert_eq!(
        said(&workspace, "read_file", json!({"path": "/workspace/README.md", "offset": 3})).await,
        "3\tIt sums (all) prices.\n(lines 3-3 of 3)\n(lines end with CRLF)\n"
    );
    let long = (1..=5_000).fold(String::new(), |text, n| text + &format!("line {n}\n"));
    copy.write("long.txt", format!("{long}{}", "x".repeat(3_000)));
    let part = said(&workspace, "read_file", json!({"path": "long.txt", "offset": 2, "limit": 2})).await;
    assert_eq!(part, "2\tline 2\n3\tline 3\n(lines 2-3 of 5,001; go on with `offset` 4)\n");
    let end = said(&workspace, "read_file", json!({"path": "long.txt", "offset": 5_001})).await;
    assert!(
        end.contains("… (+1,000 characters)") && end.ends_with("(no line break at the end of the file)\n"),
        "{end}"
    );
    let all = call(&workspace, "read_file", json!({"path": "long.txt", "limit": 100_000})).await;
    assert!(!cut(&all.output).1, "what is shown of a file is never cut in the middle");
    assert!(text(&all).contains("go on with `offset`"));
    output(
        &workspace,
        "printf 'a\\000b' > bin; printf '\\033[1mx\\n' > esc; printf 'caf\\351\\n' > latin; : > empty; mkfifo pipe",
    )
    .await;
    assert!(
        refused(&workspace, "read_file", json!({"path": "bin"}))
            .await
            .contains("binary file of 3 bytes, beginning with 61 00 62")
    );
    assert_eq!(said(&workspace, "read_file", json!({"path": "esc"})).await, "1\t\\x1b[1mx\n");
    assert!(said(&workspace, "read_file", json!({"path": "latin"})).await.contains("not UTF-8"));
    assert!(refused(&workspace, "read_file", json!({"path": "esc", "offset": 9})).await.contains("has only 1 lines"));
    assert_eq!(said(&workspace, "read_file", json!({"path": "empty"})).await, "(empty is empty)");
    assert!(refused(&workspace, "read_file", json!({"path": "src"})).await.contains("src is a directory: list_files"));
    assert!(refused(&workspace, "read_file", json!({"path": "pipe"})).await.contains("not a regular file"));
    assert!(refused(&workspace, "read_file", json!({"path": "readme.md"})).await.contains("did you mean README.md?"));
}

#[tokio::test]
async fn a_search_shows_lines_with_their_places() {
    let (copy, workspace) = open().await;
    sample(&copy);
    assert_eq!(
        said(&workspace, "search", json!({"pattern": "def \\w+"})).await,
        "src/cart.py:2:     def total(self):\nsrc/cart.py:5:     def count(self):\n"
    );
    assert_eq!(
        said(&workspace, "search", json!({"pattern": "RATE", "glob": "*.py"})).await,
        "src/tax.py:1: RATE = 0.2\n"
    );
    let first = said(&workspace, "search", json!({"pattern": "return", "limit": 1})).await;
    assert!(first.starts_with("src/cart.py:3: ") && first.contains("there are more"), "{first}");
    let plain = said(&workspace, "search", json!({"pattern": "sums (all)"})).await;
    assert!(plain.contains("as plain text it stands at:\nREADME.md:3: It sums (all) prices."), "{plain}");
    let other = said(&workspace, "search", json!({"pattern": "class cart"})).await;
    assert!(other.contains("without regard to case:\nsrc/cart.py:1: class Cart:"), "{other}");
    let none = said(&workspace, "search", json!({"pattern": "nowhere_at_all"})).await;
    assert!(none.starts_with("no line matches, in ") && none.ends_with(" files"), "{none}");
    let none = said(&workspace, "search", json!({"pattern": "x", "glob": "*.zig"})).await;
    assert!(none.contains("no file fits"), "{none}");
    let wrong = refused(&workspace, "search", json!({"pattern": "total(self"})).await;
    assert!(
        wrong.contains("unclosed group") && wrong.contains("     ^") && wrong.contains("`total\\(self`"),
        "{wrong}"
    );
    let wrong = refused(&workspace, "search", json!({"pattern": "x", "path": "source"})).await;
    assert!(wrong.contains("source: there is no such file or directory"), "{wrong}");
}

#[tokio::test]
async fn a_listing_is_a_tree_without_ignored_files() {
    let (copy, workspace) = open().await;
    sample(&copy);
    copy.write("a/b/c/d.txt", "");
    let tree = said(&workspace, "list_files", json!({})).await;
    for line in ["README.md\n", "src/\n", "  cart.py\n", "a/\n  b/\n    c/\n"] {
        assert!(tree.contains(line), "{line:?} in\n{tree}");
    }
    assert!(!tree.contains("build") && tree.ends_with("(3 levels; what is deeper is not shown)\n"), "{tree}");
    assert_eq!(said(&workspace, "list_files", json!({"path": "a/b"})).await, "c/\n  d.txt\n");
    assert_eq!(said(&workspace, "list_files", json!({"glob": "*.txt"})).await, "a/b/c/d.txt\n");
    assert!(said(&workspace, "list_files", json!({"glob": "*.zig"})).await.contains("no file fits `glob`"));
    assert!(refused(&workspace, "list_files", json!({"path": "srcs"})).await.contains("there is no such directory"));
}

#[tokio::test]
async fn a_command_gives_its_exit_code_and_output_and_not_its_words() {
    let (_copy, workspace) = open().await;
    let answer = call(&workspace, "shell", json!({"command": "echo one; echo two >&2; exit 3"})).await;
    assert_eq!((answer.outcome, answer.exit_code), (ToolOutcome::Error, Some(3)));
    assert_eq!(text(&answer), "exit code 3 in under 1 s\none\ntwo\n");
    assert_eq!(said(&workspace, "shell", json!({"command": "true"})).await, "exit code 0 in under 1 s, no output");
    let below = json!({"command": "mkdir -p sub && cd sub && pwd"});
    assert!(said(&workspace, "shell", below).await.ends_with("/workspace/sub\n"));
    assert!(said(&workspace, "shell", json!({"command": "pwd", "workdir": "sub"})).await.ends_with("/workspace/sub\n"));
    let answer = call(&workspace, "shell", json!({"command": "echo begun; sleep 30", "timeout_ms": 300})).await;
    assert_eq!((answer.outcome, answer.exit_code), (ToolOutcome::TimedOut, None));
    assert!(
        text(&answer).starts_with("timed out after under 1 s") && text(&answer).ends_with("begun\n"),
        "{}",
        text(&answer)
    );
    let answer = call(&workspace, "shell", json!({"command": "kill -SEGV $$"})).await;
    assert!(text(&answer).contains("signal 11 (SIGSEGV)"), "{}", text(&answer));
    let answer = call(&workspace, "shell", json!({"command": "echo x | apply_patch"})).await;
    assert!(text(&answer).contains("a tool of its own"), "{}", text(&answer));
    let answer = call(&workspace, "shell", json!({"command": "seq 1 400000"})).await;
    assert!(answer.output.len() < 1_200_000);
    let shown = text(&answer);
    assert!(
        shown.starts_with("exit code 0") && shown.contains("left out here") && shown.ends_with("400000\n"),
        "{}",
        &shown[..100]
    );
    let (sender, mut pieces) = mpsc::channel(16);
    let parsed = parse("shell", r#"{"command":"echo live"}"#).expect("right arguments");
    run(&workspace, &parsed, Some(sender)).await.expect("the workspace lives");
    assert_eq!(pieces.recv().await.as_deref(), Some(&b"live\n"[..]));
}

#[tokio::test]
async fn a_process_in_the_background_is_talked_to_and_tells_its_end() {
    let (_copy, workspace) = open().await;
    let started = said(
        &workspace,
        "shell",
        json!({"command": "echo ready; read line; echo got $line; exit 4", "background": true}),
    )
    .await;
    let process: u32 = started.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    assert_eq!(started, format!("process {process} is running\nready\n"));
    let mut answer = call(&workspace, "write_stdin", json!({"process": process, "text": "hi\n"})).await;
    let mut seen = text(&answer);
    while answer.exit_code.is_none() {
        answer = call(&workspace, "write_stdin", json!({"process": process, "wait_ms": 2_000})).await;
        seen.push_str(&text(&answer));
    }
    assert!(seen.contains("got hi") && seen.contains(&format!("process {process} has ended: exit code 4")), "{seen}");
    assert_eq!(answer.exit_code, Some(4));
    let why = refused(&workspace, "write_stdin", json!({"process": 4_000_000})).await;
    assert!(why.contains("4000000"), "{why}");
}

#[tokio::test]
async fn a_patch_in_a_command_is_applied_as_one() {
    let (copy, workspace) = open().await;
    copy.write("sub/a.txt", "a\n");
    let command =
        "cd sub && apply_patch <<'EOF'\n*** Begin Patch\n*** Update File: a.txt\n@@\n-a\n+b\n*** End Patch\nEOF\n";
    assert_eq!(
        said(&workspace, "shell", json!({ "command": command })).await,
        "done:\nM sub/a.txt (+1 -1, now line 1)"
    );
    assert_eq!(content(&copy, "sub/a.txt"), b"b\n");
}

#[tokio::test]
async fn a_workspace_that_is_gone_is_for_the_caller_not_for_the_model() {
    let (_copy, workspace) = open().await;
    workspace.close().await;
    let parsed = parse("list_files", "{}").expect("right arguments");
    let error = run(&workspace, &parsed, None).await.expect_err("it is gone");
    assert!(matches!(error, WorkspaceError::Gone { .. }), "{error}");
}

#[tokio::test]
async fn a_patch_of_files_that_are_too_large_together_is_refused_with_the_mend() {
    let (copy, workspace) = open().await;
    let large = format!("first\n{}", ("a".repeat(1023) + "\n").repeat(14 << 10));
    for name in ["a", "b", "c"] {
        copy.write(name, &large);
    }
    let section = |name: &str| format!("*** Update File: {name}\n@@\n-first\n+one\n");
    let patch = |names: &[&str]| {
        let sections: String = names.iter().map(|name| section(name)).collect();
        json!({ "patch": format!("*** Begin Patch\n{sections}*** End Patch") })
    };
    let why = refused(&workspace, "apply_patch", patch(&["a", "b", "c"])).await;
    assert!(why.contains("33554432 bytes together") && why.contains("split it"), "{why}");
    said(&workspace, "apply_patch", patch(&["a", "b"])).await;
    assert!(content(&copy, "b").starts_with(b"one\na"));
    assert!(content(&copy, "c").starts_with(b"first\na"));
    workspace.close().await;
}
