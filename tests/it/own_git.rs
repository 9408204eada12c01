//! Whole tasks whose model does as it likes with the repository's own git: the patch is what differs from the base.

use crate::support::{
    calculator::{self, BROKEN, TESTS, request},
    replayed::{export, fold},
    service::{call, git, plan, say},
};
use journeyman::runner::Failpoint;
use serde_json::{Value, json};
use std::{
    ops::ControlFlow,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

fn shell(command: &str) -> Value {
    call("shell", json!({ "command": command }))
}

/// Commits, stashes, another branch, a rewritten history, and then no `.git` at all.
fn steps() -> Vec<Value> {
    let identity = "git config user.name Model && git config user.email model@example.com";
    vec![
        plan(),
        call("edit", json!({ "path": "calc.py", "old": "a - b", "new": "a + b" })),
        shell(&format!("{identity} && git add -A && git commit -qm mine")),
        shell("echo kept > stashed.txt && git add stashed.txt && git stash -q && test ! -e stashed.txt"),
        shell(
            "git checkout -qb other && echo more > more.txt && git add -A && git commit -qm more && git stash pop -q",
        ),
        shell("echo gone > gone.txt && git add -A && git commit -qm gone && git reset -q --hard HEAD~1"),
        shell("git stash list; git reset -q --soft $(git rev-list --max-parents=0 HEAD) && git commit -qm all --amend"),
        shell("rm -rf .git && echo last > last.txt"),
        shell("git init -q . && git add -A"),
        say("Mended."),
    ]
}

/// The patch applied to the base; the files that it makes, with their contents.
fn applied(patch: &str, names: &[&str]) -> Vec<Option<String>> {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| std::fs::write(dir.path().join(name), content).unwrap();
    write("calc.py", BROKEN);
    write("test_calc.py", TESTS);
    let outside = tempfile::tempdir().unwrap();
    let file = outside.path().join("patch");
    std::fs::write(&file, patch).unwrap();
    git(dir.path(), &["init", "--quiet"]);
    git(dir.path(), &["apply", file.to_str().unwrap()]);
    let read = |name: &&str| std::fs::read_to_string(Path::new(dir.path()).join(name)).ok();
    names.iter().map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_stashes_and_a_deleted_git_change_nothing_about_the_patch() {
    let ground = calculator::ground(&json!({ "sequence": steps() })).await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&request(&ground)).await;
    let task = api.rest(&id).await;
    let outputs: Vec<Value> = api.events(&id).await.into_iter().filter(|e| e["kind"] == "tool.completed").collect();
    assert!(
        outputs.iter().skip(2).all(|event| event["data"]["exit_code"] == 0 || event["data"]["tool"] == "edit"),
        "{outputs:#?}"
    );
    assert_eq!((&task["status"], &task["result"]["verdict"]), (&json!("succeeded"), &json!("verified")), "{task:#}");
    let (status, patch) = api.text(&format!("/v1/tasks/{id}/patch")).await;
    assert_eq!(status, 200);
    assert!(!patch.contains(".git/"), "{patch}");
    let names = ["calc.py", "stashed.txt", "more.txt", "last.txt", "gone.txt"];
    let texts = [Some("def add(a, b):\n    return a + b\n"), None, Some("more\n"), Some("last\n"), None];
    let texts: Vec<Option<String>> = texts.map(|text| text.map(str::to_owned)).into();
    assert_eq!(applied(&patch, &names), texts, "{patch}");
    assert_eq!(task["result"]["patch"]["files"], 3, "{patch}");
    assert_eq!(fold(&export(&api, &id, "").await).difference, None);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_falls_in_between_leaves_a_patch_that_applies() {
    for boundary in [14, 22, 30] {
        let ground = calculator::ground(&json!({ "sequence": steps() })).await;
        let met = AtomicU32::new(0);
        let failpoint: Failpoint = Arc::new(move |_, _| {
            let falls = met.fetch_add(1, Ordering::Relaxed) == boundary;
            if falls { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let service = ground.start_with(ground.data.path(), Some(failpoint)).await;
        let api = service.api();
        let id = api.create(&request(&ground)).await;
        api.rest(&id).await;
        let events = api.events(&id).await;
        assert!(events.iter().any(|event| event["kind"] == "recovered"), "{boundary}: {events:#?}");
        let (_, patch) = api.text(&format!("/v1/tasks/{id}/patch")).await;
        assert!(!patch.contains(".git/"), "{patch}");
        assert_eq!(applied(&patch, &["last.txt"]), [Some("last\n".to_owned())], "{boundary}: {patch}");
        assert_eq!(fold(&export(&api, &id, "").await).difference, None);
        service.stop().await;
    }
}
