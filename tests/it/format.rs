//! Tests of formatting before the checks, by whole tasks: a formatter that the repository brings, and rustfmt.

use crate::support::{
    failpoint::each_at_its_own_boundary,
    service::{Api, Ground, call, git, plan, say},
};
use serde_json::{Value, json};
use std::{os::unix::fs::PermissionsExt, path::Path, process::Command};

/// Takes blanks from the ends of lines; it stands where prettier would.
const STRIPS: &str = "#!/bin/sh\nexec sed 's/ *$//'\n";
const FAILS: &str = "#!/bin/sh\necho 'let broken;'\nexit 2\n";

/// A repository of these files whose programs can be run.
fn repository(ground: &Ground, files: &[(&str, &str)]) -> String {
    let url = ground.repositories.make("web", files);
    let path = ground.repositories.path().join("web");
    for (file, _) in files.iter().filter(|(file, _)| file.contains("/.bin/")) {
        std::fs::set_permissions(path.join(file), PermissionsExt::from_mode(0o755)).unwrap();
    }
    git(&path, &["add", "--all"]);
    let author = ["-c", "user.name=Test", "-c", "user.email=test@example.com"];
    git(&path, &[&author[..], &["commit", "--quiet", "--allow-empty", "--message", "programs"]].concat());
    url
}

async fn patch(api: &Api, id: &str) -> String {
    let (status, patch) = api.text(&format!("/v1/tasks/{id}/patch")).await;
    assert_eq!(status, 200, "{patch}");
    patch
}

fn formatted(events: &[Value]) -> Vec<&Value> {
    events.iter().map(|event| &event["data"]["formatted"]).filter(|list| list.is_array()).collect()
}

fn told(task: &Value) -> Vec<&str> {
    let findings = task["result"]["findings"].as_array().unwrap().iter();
    findings.filter(|finding| finding["kind"] == "formatted").map(|f| f["message"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_were_clean_are_formatted_before_the_checks_and_the_model_and_people_are_told() {
    let patch_text = "*** Begin Patch\n*** Add File: new.js\n+let n = 1;  \n*** Add File: old/new.js\n+let o = 1;  \n*** Add File: bad/new.js\n+let p = 1;  \n*** Add File: notes.txt\n+two blanks  \n*** End Patch\n";
    let script = json!({ "sequence": [
        plan(),
        call("edit", json!({ "path": "a.js", "old": "let a = 1;", "new": "let a = 2;   " })),
        call("edit", json!({ "path": "b.js", "old": "let b = 1;", "new": "let b = 2;" })),
        call("apply_patch", json!({ "patch": patch_text })),
        say("Done."),
        call("edit", json!({ "path": "a.js", "old": "let a = 2;\n", "new": "let a = 2;\n// done\n" })),
        say("Done now."),
    ] });
    let ground = Ground::new(&script).await;
    let files = [
        (".prettierrc", "{}\n"),
        ("node_modules/.bin/prettier", STRIPS),
        ("a.js", "let a = 1;\n"),
        ("b.js", "let b = 1;  \n"),
        ("c.js", "let c = 1;\n"),
        ("untouched.js", "let u = 1;\n"),
        // Most of these are not clean.
        ("old/.prettierrc", "{}\n"),
        ("old/x.js", "let x = 1;  \n"),
        // Its formatter fails.
        ("bad/.prettierrc", "{}\n"),
        ("bad/node_modules/.bin/prettier", FAILS),
        ("bad/x.js", "let x = 1;\n"),
    ];
    let url = repository(&ground, &files);
    let service = ground.start().await;
    let api = service.api();
    let body = json!({ "request": "mend it", "repository": { "url": url }, "checks": ["grep -q done a.js"] });
    let id = api.create(&body).await;
    let task = api.rest(&id).await;
    let (events, patch) = (api.events(&id).await, patch(&api, &id).await);
    let requests = ground.model.requests().await;
    service.stop().await;

    assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
    let by_prettier = json!([{ "path": "a.js", "by": "prettier" }, { "path": "new.js", "by": "prettier" }]);
    assert_eq!(formatted(&events), [&by_prettier]);
    assert_eq!(told(&task), ["formatted by prettier: a.js, new.js"]);
    let added: Vec<&str> = patch.lines().filter(|line| line.starts_with('+') && !line.starts_with("+++")).collect();
    assert_eq!(
        added,
        ["+let a = 2;", "+// done", "+let b = 2;  ", "+let p = 1;  ", "+let n = 1;", "+two blanks  ", "+let o = 1;  "]
    );
    let words = "were formatted by the repository's own formatter";
    let with_words = requests.iter().filter(|request| request.to_string().contains(words)).count();
    assert_eq!(with_words, 2, "the two calls after the checks that failed");
    assert!(requests.last().unwrap().to_string().contains("- prettier: a.js, new.js"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_boundary_neither_loses_nor_doubles_what_was_formatted() {
    let (failpoint, seen) = each_at_its_own_boundary();
    let edit = call("edit", json!({ "path": "a.js", "old": "let a = 1;", "new": "let a = 2;   " }));
    let again = call("shell", json!({ "command": "printf 'let a = 2;   \\n' > a.js" }));
    let ground = Ground::new(&json!({ "sequence": [plan(), edit, again, say("Done.")] })).await;
    let files =
        [(".prettierrc", "{}\n"), ("node_modules/.bin/prettier", STRIPS), ("a.js", "let a = 1;\n"), ("b.js", "\n")];
    let url = repository(&ground, &files);
    let service = ground.start_with(ground.data.path(), Some(failpoint)).await;
    let api = service.api();
    let body = json!({ "request": "mend it", "repository": { "url": url }, "checks": ["! grep -q ' $' a.js"] });
    let mut crashes = 0;
    loop {
        let id = api.create(&body).await;
        let task = api.rest(&id).await;
        let events = api.events(&id).await;
        let (at, crashed) = seen.lock().unwrap()[&id.parse().unwrap()];
        let what = format!("crashed at boundary {at}: {crashed} {events:#?}");
        assert_eq!(task["result"]["verdict"], "verified", "{what}");
        assert_eq!(formatted(&events), [&json!([{ "path": "a.js", "by": "prettier" }])], "{what}");
        assert_eq!(told(&task), ["formatted by prettier: a.js"], "{what}");
        assert!(patch(&api, &id).await.ends_with("-let a = 1;\n+let a = 2;\n"), "{what}");
        crashes += u32::from(crashed);
        if at > 0 && !crashed {
            break;
        }
    }
    assert!(crashes >= 10, "only {crashes} boundaries were met");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rustfmt_formats_a_file_and_none_of_its_modules() {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap();
    let sysroot = String::from_utf8(sysroot.stdout).unwrap().trim().to_owned();
    let rustfmt = Path::new(&sysroot).join("bin/rustfmt");
    assert!(rustfmt.is_file(), "there is no {}: add the component rustfmt to the toolchain", rustfmt.display());
    let edit = call("edit", json!({ "path": "src/lib.rs", "old": "1 + 1", "new": "(  2+2)" }));
    let mut ground = Ground::new(&json!({ "sequence": [plan(), edit, say("Done.")] })).await;
    ground.variables.push(("JOURNEYMAN_TOOLCHAINS".to_owned(), sysroot));
    let files = [
        ("Cargo.toml", "[package]\nname = \"a\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
        ("src/rustfmt.toml", "hard_tabs = true\n"),
        ("src/lib.rs", "mod other;\npub fn two() -> u8 {\n\t1 + 1\n}\n"),
        ("src/other.rs", "pub fn  a( ) { }\n"),
    ];
    let url = repository(&ground, &files);
    let service = ground.start().await;
    let api = service.api();
    let body = json!({ "request": "mend it", "repository": { "url": url }, "checks": ["grep -q 2 src/lib.rs"] });
    let id = api.create(&body).await;
    let task = api.rest(&id).await;
    let patch = patch(&api, &id).await;
    service.stop().await;
    assert_eq!(told(&task), ["formatted by rustfmt: src/lib.rs"], "{task:#}");
    assert!(patch.contains("-\t1 + 1\n+\t(2 + 2)\n") && !patch.contains("other.rs"), "{patch}");
}
