//! Tests of execd: its protocol against liars on both ends, and what it does to files.

use crate::support::sandbox::{Copy, execd, open, output, run, settings};
use execd::{
    flow::{Receiver, Sender, WINDOW_BYTES},
    frame::{self, Decoder, Header, Kind, PAYLOAD_LIMIT_BYTES},
};
use journeyman::workspace::{
    EntryKind, Expect, FileChange, LeftOutReason, ListQuery, RunCommand, RunOutcome, Sandboxes, SearchQuery, Walk,
    Workspace, WorkspaceError,
};
use proptest::prelude::*;
use std::{
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

proptest! {
    #[test]
    fn any_bytes_are_frames_or_an_error_however_they_are_cut(
        bytes in proptest::collection::vec(any::<u8>(), 0..2_000), cut in 1_usize..50,
    ) {
        let all = |pieces: Vec<&[u8]>| {
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for piece in pieces {
                decoder.feed(piece);
                loop {
                    match decoder.next_frame() {
                        Ok(Some((header, payload))) => {
                            prop_assert!(payload.len() <= PAYLOAD_LIMIT_BYTES);
                            seen.push((header, payload.to_vec()));
                        }
                        Ok(None) => break,
                        Err(_) => return Ok(seen),
                    }
                }
            }
            Ok(seen)
        };
        prop_assert_eq!(all(vec![&bytes])?, all(bytes.chunks(cut).collect())?);
    }

    #[test]
    fn a_header_that_is_accepted_is_the_one_that_was_sent(bytes in any::<[u8; 8]>()) {
        if let Ok(header) = Header::decode(bytes) {
            prop_assert_eq!(header.encode(), bytes);
        }
    }

    #[test]
    fn credit_is_neither_made_nor_lost(steps in proptest::collection::vec((1_usize..40_000, any::<bool>()), 0..200)) {
        let (mut sender, mut receiver) = (Sender::default(), Receiver::default());
        let mut untaken = 0;
        for (bytes, take) in steps {
            if take {
                let taken = untaken.min(bytes);
                untaken -= taken;
                if let Some(credit) = receiver.take(taken) {
                    prop_assert!(sender.grant(credit).is_ok());
                }
            } else {
                let sent = bytes.min(sender.available());
                sender.spend(sent);
                prop_assert!(receiver.receive(sent).is_ok());
                untaken += sent;
            }
        }
        prop_assert!(sender.available() <= WINDOW_BYTES as usize);
        prop_assert!(sender.grant(WINDOW_BYTES + 1).is_err());
        prop_assert!(receiver.receive(WINDOW_BYTES as usize + 1).is_err());
    }
}

/// execd in a bare sandbox, its pipes in our hands.
pub(crate) fn bare() -> std::process::Child {
    let mut bwrap = Command::new("bwrap");
    bwrap.args(["--unshare-pid", "--as-pid-1", "--tmpfs", "/", "--ro-bind", "/usr", "/usr", "--proc", "/proc"]);
    bwrap.args(["--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin"]);
    bwrap.args(["--dev", "/dev", "--dir", "/workspace", "--ro-bind"]).arg(execd());
    bwrap.args(["/.execd", "/.execd", "serve", "--of", "test"]);
    bwrap.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Says `bytes` to a fresh execd, hangs up and waits for its end; its exit code and words.
fn say(bytes: &[u8]) -> (Option<i32>, Vec<u8>) {
    let mut child = bare();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&bytes)));
    let mut said = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut said).unwrap();
    writer.join().unwrap();
    (child.wait().unwrap().code(), said)
}

#[test]
fn garbage_ends_execd_and_crashes_nothing() {
    let frame = |kind, stream, payload: &[u8]| {
        let mut out = frame::hello();
        frame::push(&mut out, kind, stream, payload);
        out
    };
    let request = |json: &str| {
        let mut payload = (4 + json.len() as u32).to_le_bytes().to_vec();
        payload.extend((json.len() as u32).to_le_bytes());
        payload.extend(json.as_bytes());
        frame(Kind::Open, 3, &payload)
    };
    let liars: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 100_000],
        vec![0; 100_000],
        frame(Kind::Done, 3, b"{}"),
        frame(Kind::Accept, 2, &[1, 2]),
        frame(Kind::Data, 3, b"data without a request"),
        frame(Kind::Open, 2, &[9, 0, 0, 0]),
        frame(Kind::Open, 3, &[0xff; 4]),
        frame(Kind::Open, 3, &[1, 0, 0, 0, 1, 2, 3]),
        frame(Kind::Open, 3, &[4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]),
        [frame(Kind::Open, 3, &[200, 0, 0, 0]), frame(Kind::Credit, 3, &[0xff; 4])[16..].to_vec()].concat(),
    ];
    for liar in liars {
        let (code, said) = say(&liar);
        assert_eq!(code, Some(1), "{:?}", &liar[..liar.len().min(40)]);
        assert!(said.len() < 1000);
    }
    for wrong in [
        "",
        "null",
        "{\"run\":1}",
        "{\"configure\":{\"env\":[],\"other\":1}}",
        &"[".repeat(30_000),
        "{\"kill\":{\"process\":1}}",
    ] {
        let (code, said) = say(&request(wrong));
        assert_eq!(code, Some(0), "a wrong request is answered, not died of: {}", &wrong[..wrong.len().min(40)]);
        assert!(String::from_utf8_lossy(&said).contains("refused") || code == Some(0));
    }
}

#[test]
fn another_version_is_refused_by_name() {
    let mut hello = frame::hello();
    let at = hello.len() - 2;
    hello[at] = hello[at].wrapping_add(1);
    assert_eq!(say(&hello).0, Some(1));
    assert_eq!(frame::check_hello(&hello[8..]).unwrap_err().to_string(), "another version of the protocol");
    assert!(frame::check_hello(b"").is_err());
}

/// A sandbox whose execd speaks the protocol for the first call and then says `attack`, hex.
async fn liar(attack: &[u8]) -> (Copy, Result<Workspace, WorkspaceError>) {
    let copy = Copy::new().await;
    let script = copy.data_dir.path().join("liar");
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut hex, byte| {
            std::fmt::Write::write_fmt(&mut hex, format_args!("{byte:02x}")).unwrap();
            hex
        })
    };
    let attack = hex(attack);
    let mut good = frame::hello();
    frame::push(&mut good, Kind::Done, 3, b"\"configured\"");
    let good = hex(&good);
    let python = format!(
        "#!/usr/bin/python3\nimport os, sys, time\n\
         if len(sys.argv) < 2 or sys.argv[1] != 'launch': sys.exit(9)\n\
         os.write(1, bytes.fromhex('{good}'))\nseen = b''\nopens = 0\n\
         while opens < 2:\n    got = os.read(0, 65536)\n    if not got: sys.exit(0)\n    seen += got\n\
         \x20   opens = 0\n    at = 0\n    while at + 8 <= len(seen):\n        opens += seen[at + 2] == 5\n\
         \x20       at += 8 + seen[at] + 256 * seen[at + 1]\n\
         os.write(1, bytes.fromhex('{attack}'))\nwhile os.read(0, 65536): pass\n"
    );
    std::fs::write(&script, python).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut settings = settings(copy.data_dir.path());
    settings.execd = script;
    // The trial at the start is the liar's first victim: one call alone, which it answers.
    let workspace = match Sandboxes::new(settings).await {
        Ok(sandboxes) => sandboxes.open(copy.options()).await,
        Err(error) => Err(error),
    };
    (copy, workspace)
}

#[tokio::test]
async fn whatever_a_lying_execd_says_the_workspace_is_gone_and_nothing_else() {
    let framed = |kind, stream, payload: &[u8]| {
        let mut out = Vec::new();
        frame::push(&mut out, kind, stream, payload);
        out
    };
    let walked = |lines: &str| {
        [framed(Kind::Data, 5, lines.as_bytes()), framed(Kind::Done, 5, b"{\"walked\":{\"generation\":1}}")].concat()
    };
    let file = |path: &str| {
        format!("{{\"changed\":{{\"path\":\"{path}\",\"mode\":33188,\"oid\":\"{}\",\"size\":1}}}}\n", "a".repeat(40))
    };
    let attacks: Vec<Vec<u8>> = vec![
        vec![0xff; 64],
        vec![0; 64],
        frame::hello(),
        framed(Kind::Done, 7, b"\"applied\""),
        framed(Kind::Done, 5, b"not json"),
        framed(Kind::Done, 5, b"\"applied\""),
        framed(Kind::Failed, 5, b"{}"),
        framed(Kind::Credit, 5, &[0xff; 4]),
        framed(Kind::Accept, 5, &[0, 0]),
        framed(Kind::Open, 5, &[0; 4]),
        framed(Kind::Data, 99, b"x"),
        walked("{}\n"),
        walked(&file("../outside")),
        walked(&file("/absolute")),
        walked(&file("a/.GIT/config")),
        walked(&file("a//b")),
        walked(&(file("twice") + &file("twice"))),
        walked(&file("ok").replace("33188", "57344")),
        walked(&file("ok").replace("aaaa", "zzzz")),
        walked("{\"deleted\":\"on the first walk\"}\n"),
        framed(Kind::Done, 5, b"{\"walked\":{\"generation\":0}}"),
    ];
    for attack in attacks {
        let (_copy, workspace) = liar(&attack).await;
        let workspace = workspace.unwrap();
        let walk = tokio::time::timeout(Duration::from_secs(5), workspace.walk()).await.unwrap();
        assert!(
            matches!(walk, Err(WorkspaceError::Gone { .. })),
            "{walk:?} after {:?}",
            &attack[..attack.len().min(60)]
        );
        tokio::time::timeout(Duration::from_secs(5), workspace.closed()).await.unwrap();
        let again = workspace.run(RunCommand::new("true", Duration::from_secs(1)), None).await;
        assert!(matches!(again, Err(WorkspaceError::Gone { .. })));
    }
}

#[tokio::test]
async fn more_data_than_was_asked_for_ends_the_workspace() {
    let mut attack = Vec::new();
    frame::push(&mut attack, Kind::Data, 5, &vec![b'x'; PAYLOAD_LIMIT_BYTES]);
    let (_copy, workspace) = liar(&attack).await;
    let read = tokio::time::timeout(Duration::from_secs(5), workspace.unwrap().read("file", 100)).await.unwrap();
    assert!(matches!(read, Err(WorkspaceError::Gone { .. })), "{read:?}");
}

fn write(path: &str, content: &str, expect: Expect) -> FileChange {
    FileChange::Write { path: path.to_owned(), content: content.into(), executable: None, expect }
}

#[tokio::test]
async fn changes_are_made_all_together_or_not_at_all() {
    let (_copy, workspace) = open().await;
    workspace
        .apply(vec![
            write("a.txt", "one", Expect::Absent),
            write("deep/er/b.txt", "two", Expect::Anything),
            FileChange::Write {
                path: "/workspace/run.sh".to_owned(),
                content: b"#!/bin/sh\necho run".to_vec(),
                executable: Some(true),
                expect: Expect::Anything,
            },
        ])
        .await
        .unwrap();
    assert_eq!(output(&workspace, "cat a.txt deep/er/b.txt; ./run.sh").await, "onetworun\n");
    let read = workspace.read("a.txt", 100).await.unwrap();
    assert_eq!((read.bytes.as_slice(), read.mode, read.size, read.truncated), (&b"one"[..], 0o100_644, 3, false));
    let oid = read.oid.unwrap();

    // The last of these cannot be made, so none is.
    for (last, why) in [
        (write("run.sh", "x", Expect::Absent), "exists"),
        (write("run.sh", "x", Expect::Content(oid.clone())), "changed"),
        (write("gone", "x", Expect::Content(oid.clone())), "does not exist"),
        (FileChange::Delete { path: "gone".to_owned(), expect: Expect::Anything }, "no such file"),
        (write("deep", "x", Expect::Anything), "is a directory"),
        (write("a.txt/b", "x", Expect::Anything), "file"),
        (write("../out", "x", Expect::Anything), "outside"),
        (write("/etc/passwd", "x", Expect::Anything), "outside"),
        (write("a.txt", "twice", Expect::Anything), "two changes"),
    ] {
        let first = vec![
            write("a.txt", "changed", Expect::Content(oid.clone())),
            write("new/dir/c", "x", Expect::Anything),
            FileChange::Delete { path: "deep/er/b.txt".to_owned(), expect: Expect::Anything },
            last,
        ];
        let error = workspace.apply(first).await.unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(told.contains(why) || matches!(error, WorkspaceError::NotFound { .. }), "{told} should say {why}");
        assert_eq!(
            output(&workspace, "cat a.txt deep/er/b.txt; ls -A; ls -A deep/er").await,
            "onetwoa.txt\ndeep\nrun.sh\nb.txt\n"
        );
    }
    let rename = FileChange::Rename {
        from: "run.sh".to_owned(),
        to: "bin/go.sh".to_owned(),
        content: Some(b"#!/bin/sh\necho gone".to_vec()),
        expect: Expect::Anything,
    };
    let plain = FileChange::Rename {
        from: "a.txt".to_owned(),
        to: "z".to_owned(),
        content: None,
        expect: Expect::Content(oid),
    };
    workspace.apply(vec![rename, plain]).await.unwrap();
    assert_eq!(output(&workspace, "bin/go.sh; cat z; ls -A . bin").await, "gone\none.:\nbin\ndeep\nz\n\nbin:\ngo.sh\n");
}

#[tokio::test]
async fn nothing_is_written_through_a_link_that_leaves() {
    let (_copy, workspace) = open().await;
    output(&workspace, "mkdir in; echo in > in/f; ln -s /tmp out; ln -s /tmp/x file; ln -s in/f near; ln -s in dir; echo t > /tmp/t; ln -s /tmp/t t").await;
    for path in ["out/x", "file", "t", "out/new/deep"] {
        let error = workspace.apply(vec![write(path, "x", Expect::Anything)]).await.unwrap_err();
        assert!(matches!(error, WorkspaceError::Refused { .. }), "{path}: {error}");
    }
    workspace
        .apply(vec![write("near", "through", Expect::Anything), write("dir/g", "g", Expect::Anything)])
        .await
        .unwrap();
    let text = output(&workspace, "cat in/f in/g; readlink near; ls /tmp; cat /tmp/t").await;
    assert_eq!(text, "throughgin/f\nt\nt\n");
    workspace.apply(vec![FileChange::Delete { path: "t".to_owned(), expect: Expect::Anything }]).await.unwrap();
    assert_eq!(output(&workspace, "cat /tmp/t; ls t 2>/dev/null || echo gone").await, "t\ngone\n");
}

#[tokio::test]
async fn reading_tells_what_cannot_be_read() {
    let (_copy, workspace) = open().await;
    output(&workspace, "seq 100000 > long; mkdir d; mkfifo p; ln -s /proc/self/environ e; echo s > s; chmod 0 s").await;
    let read = workspace.read("long", 10).await.unwrap();
    assert_eq!(
        (read.bytes.as_slice(), read.size, read.truncated, read.oid),
        (&b"1\n2\n3\n4\n5\n"[..], 588_895, true, None)
    );
    assert_eq!(
        workspace.read("nowhere", 10).await.unwrap_err(),
        WorkspaceError::NotFound { path: "nowhere".to_owned() }
    );
    for path in ["d", "p", "e", "/proc/1/environ", "/dev/zero", ""] {
        let error = workspace.read(path, 10).await.unwrap_err();
        assert!(matches!(error, WorkspaceError::Refused { .. }), "{path}: {error}");
    }
    assert!(matches!(workspace.read("s", 10).await.unwrap_err(), WorkspaceError::Io { .. }));
    assert!(workspace.read("/etc/passwd", 1000).await.unwrap().bytes.starts_with(b"root"));
}

#[tokio::test]
async fn search_finds_lines_and_leaves_out_what_is_ignored() {
    let (copy, workspace) = open().await;
    copy.write(".gitignore", "ignored/\n*.log\n");
    copy.write("src/a.rs", "fn one() {}\nfn two() {}\r\n");
    copy.write("src/b.py", "def one(): pass\n");
    copy.write("ignored/c.rs", "fn one() {}\n");
    copy.write("d.log", "fn one\n");
    copy.write("node_modules/m.rs", "fn one\n");
    copy.write(".git/e", "fn one\n");
    copy.write("binary", b"\0fn one\n");
    copy.write("latin", b"fn one \xe9\n");
    let query = |pattern: &str, path: Option<&str>, glob: Option<&str>, limit| SearchQuery {
        pattern: pattern.to_owned(),
        path: path.map(str::to_owned),
        glob: glob.map(str::to_owned),
        limit,
    };
    let find = async |query| {
        let hits = workspace.search(query).await.unwrap();
        hits.hits.into_iter().map(|hit| format!("{}:{}: {}", hit.path, hit.line, hit.text)).collect::<Vec<_>>()
    };
    assert_eq!(
        find(query(r"fn \w+", None, None, 10)).await,
        ["latin:1: fn one \u{fffd}", "src/a.rs:1: fn one() {}", "src/a.rs:2: fn two() {}",]
    );
    assert_eq!(find(query("one", None, Some("*.py"), 10)).await, ["src/b.py:1: def one(): pass"]);
    assert_eq!(find(query("one", None, Some("src/**/*.rs"), 10)).await, ["src/a.rs:1: fn one() {}"]);
    assert_eq!(find(query("one", Some("ignored"), None, 10)).await, ["ignored/c.rs:1: fn one() {}"]);
    assert_eq!(find(query("two", Some("src/a.rs"), None, 10)).await, ["src/a.rs:2: fn two() {}"]);
    // One line at a time: neither white space nor a carriage return reaches over its end.
    copy.write("src/c.rs", "\n\n    four();\r\nfive();\n");
    assert_eq!(find(query(r"\s*four", Some("src/c.rs"), None, 10)).await, ["src/c.rs:3:     four();"]);
    assert_eq!(
        find(query(r"\(\);$", Some("src/c.rs"), None, 10)).await,
        ["src/c.rs:3:     four();", "src/c.rs:4: five();"]
    );
    assert_eq!(find(query("^$", Some("src/c.rs"), None, 10)).await, ["src/c.rs:1: ", "src/c.rs:2: "]);
    assert_eq!(find(query(r"four\(\);\r\nfive", Some("src/c.rs"), None, 10)).await, ["src/c.rs:3:     four();"]);
    let cut = workspace.search(query("fn", None, None, 2)).await.unwrap();
    assert_eq!((cut.hits.len(), cut.truncated), (2, true));
    let wrong = workspace.search(query("(", None, None, 2)).await.unwrap_err();
    assert!(wrong.to_string().contains("pattern: "), "{wrong}");
    let nowhere = workspace.search(query("x", Some("nowhere"), None, 2)).await.unwrap_err();
    assert_eq!(nowhere, WorkspaceError::NotFound { path: "nowhere".to_owned() });
    assert!(workspace.search(query("x", Some("../etc"), None, 2)).await.is_err());
}

#[tokio::test]
async fn listing_goes_to_a_depth_and_leaves_out_what_is_ignored() {
    let (copy, workspace) = open().await;
    copy.write(".gitignore", "out\n");
    copy.write("a/b/c.txt", "12345");
    copy.write("out/x", "");
    copy.write("z.txt", "1");
    output(&workspace, "ln -s a link").await;
    let list = async |depth, glob: Option<&str>, limit| {
        let query = ListQuery { path: None, depth, glob: glob.map(str::to_owned), limit };
        let listing = workspace.list(query).await.unwrap();
        let lines = listing.entries.into_iter().map(|entry| (entry.path, entry.kind, entry.size)).collect::<Vec<_>>();
        (lines, listing.truncated)
    };
    let entry = |path: &str, kind, size| (path.to_owned(), kind, size);
    let top = vec![
        entry(".gitignore", EntryKind::File, 4),
        entry("a", EntryKind::Directory, 0),
        entry("link", EntryKind::Symlink, 0),
        entry("z.txt", EntryKind::File, 1),
    ];
    assert_eq!(list(1, None, 10).await, (top.clone(), false));
    assert_eq!(list(1, None, 2).await, (top[..2].to_vec(), true));
    assert_eq!(
        list(9, Some("*.txt"), 10).await.0,
        [entry("a/b/c.txt", EntryKind::File, 5), entry("z.txt", EntryKind::File, 1),]
    );
}

fn shown(walk: &Walk) -> Vec<String> {
    let mut lines: Vec<String> =
        walk.changed.iter().map(|file| format!("{:o} {} {}", file.mode, file.path, file.size)).collect();
    lines.extend(walk.deleted.iter().map(|path| format!("deleted {path}")));
    lines.extend(walk.left_out.iter().map(|left| format!("left out {} {:?}", left.path, left.why)));
    lines
}

#[tokio::test]
async fn a_walk_gives_what_changed_since_the_last() {
    let (copy, workspace) = open().await;
    copy.write("a", "one");
    copy.write("dir/b", "two");
    output(&workspace, "chmod +x dir/b; ln -s nowhere link").await;
    let first = workspace.walk().await.unwrap();
    assert!(first.first);
    assert_eq!(shown(&first), ["100644 a 3", "100755 dir/b 3", "120000 link 7"]);
    assert_eq!(first.changed[0].oid.as_str(), "43dd47ea691c90a5fa7827892c70241913351963", "git hash-object");
    assert_eq!(shown(&workspace.walk().await.unwrap()), [""; 0]);
    output(&workspace, "chmod -x dir/b").await;
    assert_eq!(shown(&workspace.walk().await.unwrap()), ["100644 dir/b 3"]);
    output(&workspace, "mv dir/b c; printf six > a; rm link").await;
    assert_eq!(shown(&workspace.walk().await.unwrap()), ["100644 a 3", "100644 c 3", "deleted dir/b", "deleted link"]);
    // The same size and times, written at once behind a walk.
    for round in 0..20 {
        output(&workspace, &format!("printf %03d {round} > a")).await;
        assert_eq!(shown(&workspace.walk().await.unwrap()), ["100644 a 3"], "round {round}");
    }
    output(&workspace, "touch a; cp a b; mv b a; rm c; ln -s a c").await;
    assert_eq!(shown(&workspace.walk().await.unwrap()), ["120000 c 1"]);
}

#[tokio::test]
async fn a_walk_leaves_out_what_is_ignored_or_junk_unless_it_is_tracked() {
    let copy = Copy::new().await;
    for path in [
        ".gitignore",
        "keep/a",
        "ignored/tracked",
        "ignored/untracked",
        "node_modules/x/y",
        "__pycache__/m.pyc",
        "n.pyc",
        "target/debug/x",
        "Cargo.toml",
        "sub/target/kept",
        "env/pyvenv.cfg",
        "env/bin/python",
        "own/.git/HEAD",
        "own/f",
        ".git/HEAD",
        "gone/.keep",
        "sub/.Git/x",
        "link/inside",
        ".git2",
    ] {
        copy.write(path, if path == ".gitignore" { "ignored\nlink\n" } else { "x" });
    }
    let mut options = copy.options();
    options.tracked = ["ignored/tracked", "node_modules/x/y", "never/there", "../outside", "link/inside", ".git/HEAD"]
        .map(str::to_owned)
        .into_iter()
        .collect::<Vec<_>>()
        .into();
    let workspace = copy.sandboxes.open(options).await.unwrap();
    assert_eq!(
        shown(&workspace.walk().await.unwrap()),
        [
            "100644 .git2 1",
            "100644 .gitignore 13",
            "100644 Cargo.toml 1",
            "100644 gone/.keep 1",
            "100644 ignored/tracked 1",
            "100644 keep/a 1",
            "100644 link/inside 1",
            "100644 node_modules/x/y 1",
            "100644 sub/target/kept 1",
            "left out own Repository",
        ]
    );
    // A tracked file below what has become a link is gone, wherever the link leads.
    output(&workspace, "mv link elsewhere; ln -s elsewhere link; rm -r node_modules").await;
    assert_eq!(
        shown(&workspace.walk().await.unwrap()),
        ["100644 elsewhere/inside 1", "deleted link/inside", "deleted node_modules/x/y", "left out own Repository",]
    );
}

#[tokio::test]
async fn a_walk_says_what_it_cannot_take() {
    let (_copy, workspace) = open().await;
    output(
        &workspace,
        "printf x > $'new\\nline'; printf x > $'bad\\xff'; mkfifo pipe; printf x > secret; mkdir closed; printf x > closed/in; \
         truncate -s 20M large; printf '\"' > 'quo\"te'",
    )
    .await;
    assert!(workspace.walk().await.unwrap().changed.iter().any(|file| file.path == "closed/in"));
    output(&workspace, "chmod 0 secret closed; sleep 0.1; printf more >> 'quo\"te'").await;
    let walk = workspace.walk().await.unwrap();
    let reasons: Vec<_> = walk.left_out.iter().map(|left| (left.path.as_str(), left.why)).collect();
    assert_eq!(
        reasons,
        [
            ("bad\u{fffd}", LeftOutReason::Name),
            ("closed", LeftOutReason::Unreadable),
            ("large", LeftOutReason::TooLarge),
            ("pipe", LeftOutReason::Special),
            ("secret", LeftOutReason::Unreadable),
        ]
    );
    assert_eq!(walk.changed.len(), 1, "{:?}", walk.changed);
    assert_eq!(walk.deleted, [""; 0], "what cannot be looked at is not gone");
}

#[tokio::test]
async fn a_dropped_walk_is_as_if_it_had_not_been_made() {
    let (copy, workspace) = open().await;
    for number in 0..500 {
        copy.write(&format!("d{}/f{number}", number % 10), format!("{number}"));
    }
    for delay_us in (0..4_000).step_by(500) {
        let _ = tokio::time::timeout(Duration::from_micros(delay_us), workspace.walk()).await;
    }
    let mut seen = workspace.walk().await.unwrap();
    if !seen.first {
        // One of the eight was fast enough; what it gave is not given again.
        output(&workspace, "for f in d*/f*; do echo more >> $f; done").await;
        seen = workspace.walk().await.unwrap();
    }
    assert_eq!(seen.changed.len(), 500);
}

#[tokio::test]
async fn an_unchanged_walk_of_two_thousand_files_is_quick() {
    let (copy, workspace) = open().await;
    for number in 0..2_000 {
        copy.write(&format!("d{}/s{}/f{number}.txt", number % 20, number % 7), format!("content {number}"));
    }
    let first = workspace.walk().await.unwrap();
    assert_eq!(first.changed.len(), 2_000);
    std::thread::sleep(Duration::from_millis(60));
    workspace.walk().await.unwrap();
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        assert_eq!(shown(&workspace.walk().await.unwrap()), [""; 0]);
        fastest = fastest.min(begun.elapsed());
    }
    assert!(fastest < Duration::from_millis(200), "{fastest:?} in a build without optimisation");
}

#[tokio::test]
async fn many_calls_at_once_all_come_back() {
    let (copy, workspace) = open().await;
    copy.write("f", "x".repeat(300_000));
    let calls = (0..40).map(|number| {
        let workspace = workspace.clone();
        async move {
            match number % 4 {
                0 => assert_eq!(workspace.read("f", 1 << 20).await.unwrap().bytes.len(), 300_000),
                1 => assert_eq!(run(&workspace, "head -c 500000 /dev/zero").await.output.len(), 500_000),
                2 => {
                    let content = vec![b'y'; 700_000];
                    let path = format!("w{number}");
                    let change = FileChange::Write { path, content, executable: None, expect: Expect::Absent };
                    workspace.apply(vec![change]).await.unwrap();
                }
                _ => drop(workspace.walk().await.unwrap()),
            }
        }
    });
    futures::future::join_all(calls).await;
    assert_eq!(output(&workspace, "ls | wc -l").await, "11\n");
}

#[tokio::test]
async fn a_process_is_spoken_to_over_a_stream_of_its_own_that_nothing_is_lost_on() {
    let (_copy, workspace) = open().await;
    let command = RunCommand::new("echo aside >&2; cat; echo over >&2; exit 3", Duration::from_secs(60));
    let (process, stream) = workspace.connect_process(command).await.unwrap();
    // More than pipes and windows hold, so that both directions wait for each other.
    let sent: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    let mut received = Vec::new();
    let writing = async {
        stream.write(&sent).await.unwrap();
        stream.end();
    };
    let reading = async {
        loop {
            let bytes = stream.read().await.unwrap();
            if bytes.is_empty() {
                return;
            }
            received.extend_from_slice(&bytes);
        }
    };
    tokio::join!(writing, reading);
    assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
    let seen = workspace.write_stdin(process, b"", Duration::from_secs(20)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&seen.output), "aside\nover\n", "stderr is apart");
    assert_eq!(seen.exit, Some(RunOutcome::Exited(3)));
    drop(stream);

    let (process, stream) = workspace.connect_process(RunCommand::new("cat", Duration::from_secs(60))).await.unwrap();
    drop(stream);
    let seen = workspace.write_stdin(process, b"", Duration::from_secs(20)).await.unwrap();
    assert_eq!(seen.exit, Some(RunOutcome::Exited(0)), "its stdin ends with the stream");
    workspace.close().await;
}

/// An execd that is reached by its door, in a bare sandbox. It ends by itself when nobody comes.
struct Listening {
    child: std::process::Child,
    name: String,
    copy: tempfile::TempDir,
}

impl Listening {
    fn new() -> Self {
        let user = 61_500;
        let copy = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(copy.path(), Some(user), Some(user)).unwrap();
        let name = format!("jm-test-{}", copy.path().file_name().unwrap().to_str().unwrap());
        let mut bwrap = Command::new("bwrap");
        // In this machine's process namespace: it asks the kernel who comes, and has to know them.
        bwrap.args(["--tmpfs", "/", "--ro-bind", "/usr", "/usr"]);
        bwrap.args([
            "--symlink",
            "usr/lib",
            "/lib",
            "--symlink",
            "usr/lib64",
            "/lib64",
            "--symlink",
            "usr/bin",
            "/bin",
        ]);
        bwrap.args(["--proc", "/proc", "--dev", "/dev", "--bind"]).arg(copy.path()).arg("/workspace");
        bwrap.args(["--ro-bind"]).arg(execd()).args(["/.execd", "/usr/bin/setpriv", "--clear-groups"]);
        bwrap.args([format!("--reuid={user}"), format!("--regid={user}")]);
        bwrap.args(["/.execd", "serve", "--of", "test", "--listen", &name, "--from", "0"]);
        let child = bwrap.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { child, name, copy }
    }

    /// As the server: has said and heard the hello, and configured.
    fn connect(&self) -> std::os::unix::net::UnixStream {
        use std::os::{linux::net::SocketAddrExt, unix::net};
        let address = net::SocketAddr::from_abstract_name(self.name.as_bytes()).unwrap();
        let begun = Instant::now();
        let mut stream = loop {
            match net::UnixStream::connect_addr(&address) {
                Ok(stream) => break stream,
                Err(error) => assert!(begun.elapsed() < Duration::from_secs(20), "{error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(&frame::hello()).unwrap();
        let configure = r#"{"configure":{"env":[],"pids":null,"processes":1000,"data_bytes":null,"disk_bytes":1000000000,"output_bytes":1000000}}"#;
        stream.write_all(&open_frame(1, configure, &[])).unwrap();
        assert_eq!(answer(&mut stream, 1), "\"configured\"");
        stream
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // What bubblewrap has started, whose new user it cannot bind to its own end.
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let named =
                std::fs::read_to_string(entry.path().join("cmdline")).is_ok_and(|line| line.contains(&self.name));
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(pid) = pid.filter(|_| named).and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

/// A request of at most one frame.
fn open_frame(stream: u32, json: &str, attached: &[u8]) -> Vec<u8> {
    let mut payload = (4 + json.len() as u32 + attached.len() as u32).to_le_bytes().to_vec();
    payload.extend((json.len() as u32).to_le_bytes());
    payload.extend(json.as_bytes());
    payload.extend(attached);
    let mut out = Vec::new();
    frame::push(&mut out, Kind::Open, stream, &payload);
    out
}

/// The answer to a call, whatever else comes before it.
fn answer(from: &mut impl Read, stream: u32) -> String {
    let mut decoder = Decoder::default();
    let mut bytes = [0; 4096];
    loop {
        while let Some((header, payload)) = decoder.next_frame().unwrap() {
            if header.stream == stream && matches!(header.kind, Kind::Done | Kind::Failed) {
                return String::from_utf8_lossy(payload).into_owned();
            }
        }
        let count = from.read(&mut bytes).unwrap();
        assert!(count > 0, "it hung up");
        decoder.feed(&bytes[..count]);
    }
}

#[test]
fn after_a_lost_connection_nothing_is_changed_that_the_next_could_miss() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let listening = Listening::new();
    let files = || {
        let read = |entry: std::fs::DirEntry| std::fs::read_dir(entry.path()).map_or(0, Iterator::count);
        std::fs::read_dir(listening.copy.path()).unwrap().flatten().map(read).sum::<usize>()
    };
    let mut first = listening.connect();
    for call in 0..60 {
        let write = |number| {
            format!(
                "{{\"write\":{{\"path\":\"d{call}/f{number}\",\"size\":0,\"executable\":null,\"expect\":\"anything\"}}}}"
            )
        };
        let changes: Vec<String> = (0..300).map(write).collect();
        let json = format!("{{\"apply\":{{\"changes\":[{}]}}}}", changes.join(","));
        first.write_all(&open_frame(3 + 2 * call, &json, &[])).unwrap();
    }
    // They are under way.
    let begun = Instant::now();
    while files() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(first);
    let mut next = listening.connect();
    next.write_all(&open_frame(3, r#"{"read":{"path":"/etc","max_bytes":1,"entry":false}}"#, &[])).unwrap();
    answer(&mut next, 3);
    let then = files();
    // What was queued would need longer than any of these answers.
    for call in 2..200 {
        next.write_all(&open_frame(1 + 2 * call, r#"{"list":{"path":null,"depth":1,"glob":null,"limit":10}}"#, &[]))
            .unwrap();
        answer(&mut next, 1 + 2 * call);
    }
    assert_eq!(files(), then);
    assert!(then < 60 * 300, "they were too quick to be caught");
}
