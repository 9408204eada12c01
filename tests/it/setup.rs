//! Setup of environments: run once, kept for every copy, run again when what shapes it has changed; what fails is told.

use crate::support::{
    calculator::BROKEN,
    process::Process,
    replayed,
    service::{Api, Ground, call, git, plan, say},
};
use serde_json::{Value, json};
use std::path::Path;

const TOKEN: &str = "canary-token-of-the-setup";

/// Looks at what the setup left, mends, ends.
fn script(look: &str) -> Value {
    json!({ "rules": [
        { "when": { "calls": 0 }, "reply": plan() },
        { "when": { "calls": 1 }, "reply": call("shell", json!({ "command": look })) },
        { "when": { "calls": 2 }, "reply": call("edit", json!({ "path": "calc.py", "old": "a - b", "new": "a + b" })) },
        { "when": {}, "reply": say("Mended.") },
    ] })
}

async fn environment(api: &Api, body: &Value) -> String {
    let (status, made) = api.post("/v1/environments", body).await;
    assert_eq!(status, 201, "{made}");
    made["id"].as_str().unwrap().to_owned()
}

async fn secret(api: &Api, environment: &str, name: &str) {
    let path = format!("{}/v1/environments/{environment}/secrets/{name}", api.base);
    let body = json!({ "value": TOKEN, "use": "setup" });
    let answer = api.http.put(path).bearer_auth(&api.key).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 204);
}

async fn setups(api: &Api, task: &str) -> (usize, Vec<Value>) {
    let events = api.events(task).await;
    let of_kind = |kind: &'static str| {
        events.iter().filter(move |event| event["kind"] == kind).map(|event| event["data"].clone())
    };
    (of_kind("setup.started").count(), of_kind("setup.completed").collect())
}

async fn snapshot(api: &Api, environment: &str) -> String {
    let (_, environment) = api.get(&format!("/v1/environments/{environment}")).await;
    let snapshot = &environment["snapshot"];
    assert!(snapshot["created_at"].is_string(), "{environment}");
    snapshot["state"].as_str().unwrap().to_owned()
}

#[track_caller]
fn verified(task: &Value) {
    assert_eq!((&task["status"], &task["result"]["verdict"]), (&json!("succeeded"), &json!("verified")), "{task:#}");
}

/// What the agent's look gave.
async fn looked(api: &Api, task: &str) -> String {
    let events = api.events(task).await;
    let shell = events.iter().find(|e| e["kind"] == "tool.completed" && e["data"]["tool"] == "shell").unwrap();
    shell["data"]["output"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setup_is_run_once_for_all_copies_and_again_when_a_lock_file_has_changed() {
    run_once_for_all_copies(&[]).await;
}

/// `backend`: the variables of one other than the default.
pub(crate) async fn run_once_for_all_copies(backend: &[(String, String)]) {
    // As npm leaves it: ignored files, links among them, a program.
    let setup = "test \"$TOKEN\" = canary-token-of-the-setup || exit 9; echo \"with $TOKEN\"; mkdir -p node_modules/.bin node_modules/dep; \
        printf '#!/bin/sh\\ngrep -q \"$1\" calc.py\\n' > node_modules/dep/cli.sh; chmod 755 node_modules/dep/cli.sh; \
        ln -s ../dep/cli.sh node_modules/.bin/check; date +%s%N > node_modules/stamp; echo left > stray.txt";
    let look = "cat node_modules/stamp; readlink node_modules/.bin/check; env | grep -c TOKEN; ls stray.txt; id -u; stat -c %u node_modules/stamp; echo \"$GREETING\"";
    let mut ground = Ground::new(&script(look)).await;
    ground.variables.extend(backend.iter().cloned());
    let files =
        [("calc.py", BROKEN), ("package.json", "{}"), ("package-lock.json", "1"), (".gitignore", "node_modules\n")];
    let url = ground.repositories.make("calc", &files);
    let service = ground.start().await;
    let api = service.api();
    let body = json!({ "name": "node", "setup": setup, "variables": { "GREETING": "hello" }, "checks": ["node_modules/.bin/check 'a + b' && test \"$GREETING\" = hello"] });
    let environment = environment(&api, &body).await;
    secret(&api, &environment, "TOKEN").await;
    let request = json!({ "request": "mend add", "environment": "node", "repository": { "url": url } });

    let first = api.create(&request).await;
    verified(&api.rest(&first).await);
    let (started, completed) = setups(&api, &first).await;
    assert_eq!((started, completed.len()), (1, 1));
    let told = (&completed[0]["outcome"], &completed[0]["exit_code"], &completed[0]["cached"], &completed[0]["output"]);
    assert_eq!(told, (&json!("ok"), &json!(0), &json!(false), &json!("with ***\n")));
    assert_eq!(snapshot(&api, &environment).await, "ready");
    let seen = looked(&api, &first).await;
    let lines: Vec<&str> = seen.lines().collect();
    assert!(
        seen.contains("../dep/cli.sh\n0\n") && seen.contains("stray.txt': No such file") && lines.contains(&"hello"),
        "{seen}"
    );
    let uid = lines[lines.iter().position(|line| line.contains("stray.txt")).unwrap() + 1];
    assert!(lines.iter().filter(|line| **line == uid).count() == 2, "the task owns what it finds: {seen}");
    let prompt = ground.model.requests().await[0].to_string();
    assert!(prompt.contains("setup has run"), "{prompt}");

    let second = api.create(&request).await;
    verified(&api.rest(&second).await);
    let (started, completed) = setups(&api, &second).await;
    assert_eq!((started, &completed[0]["cached"]), (0, &json!(true)));
    assert_eq!(
        looked(&api, &second).await.lines().find(|line| line.len() > 15),
        lines.iter().find(|line| line.len() > 15).copied()
    );

    let repository = ground.repositories.path().join("calc");
    let commit = |file: &str, content: &str| {
        std::fs::write(repository.join(file), content).unwrap();
        git(&repository, &["add", "--all"]);
        git(
            &repository,
            &["-c", "user.name=T", "-c", "user.email=t@example.com", "commit", "--quiet", "--message", "next"],
        );
    };
    commit("README", "not for the setup");
    let third = api.create(&request).await;
    verified(&api.rest(&third).await);
    assert_eq!(setups(&api, &third).await.0, 0, "another commit with the same manifests");
    commit("package-lock.json", "2");
    let fourth = api.create(&request).await;
    verified(&api.rest(&fourth).await);
    let (started, completed) = setups(&api, &fourth).await;
    assert_eq!((started, &completed[0]["cached"]), (1, &json!(false)));

    for task in [&first, &second, &fourth] {
        let replayed = replayed::fold(&replayed::export(&api, task, "").await);
        assert!(replayed.difference.is_none(), "{:?}", replayed.difference);
    }
    // Where it is gone, it is made again before the next run's copy is laid.
    std::fs::remove_dir_all(ground.data.path().join("prepared")).unwrap();
    let again = api.create(&request).await;
    verified(&api.rest(&again).await);
    assert_eq!(setups(&api, &again).await.0, 1);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_projects_tests_find_what_its_setup_installed_on_the_clean_copies_too() {
    found_on_clean_copies(&[]).await;
}

/// `backend`: the variables of one other than the default.
pub(crate) async fn found_on_clean_copies(backend: &[(String, String)]) {
    let setup = "mkdir -p .venv/lib .venv/bin && touch .venv/pyvenv.cfg && echo 'EXPECTED = 5' > .venv/lib/dep.py && \
        ln -s /usr/bin/python3 .venv/bin/python && chmod 700 .venv/lib";
    // Nothing waits for what an environment starts: who needs it does.
    let mut ground = Ground::new(&script("for i in $(seq 200); do [ -s /tmp/begun ] && break; sleep 0.05; done; cat /tmp/begun; .venv/bin/python -c 'import dep; print(dep.EXPECTED)'")).await;
    ground.variables.extend(backend.iter().cloned());
    let test = "import unittest\nimport dep\nfrom calc import add\n\n\nclass T(unittest.TestCase):\n    def test_adds(self):\n        self.assertEqual(add(2, 3), dep.EXPECTED)\n";
    let url =
        ground.repositories.make("calc", &[("calc.py", BROKEN), ("test_calc.py", test), ("requirements.txt", "dep\n")]);
    let service = ground.start().await;
    let api = service.api();
    let body = json!({
        "name": "python", "setup": setup, "start": "echo begun > /tmp/begun; sleep 600",
        "variables": { "PYTHONPATH": "/workspace/.venv/lib" }, "checks": [".venv/bin/python -m unittest"],
    });
    environment(&api, &body).await;
    let request = json!({ "request": "mend add", "environment": "python", "repository": { "url": url } });
    let task = api.create(&request).await;
    let done = api.rest(&task).await;
    verified(&done);
    assert_eq!(done["result"]["checks"][0]["baseline"]["outcome"], "fail", "{done:#}");
    assert!(looked(&api, &task).await.contains("begun\n5"), "{}", looked(&api, &task).await);
    let (_, patch) = api.text(&format!("/v1/tasks/{task}/patch")).await;
    assert!(patch.contains("a + b") && !patch.contains("venv"), "{patch}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setup_that_fails_is_told_with_its_output_and_the_mend() {
    let ground = Ground::new(&script("ls -a")).await;
    let url = ground.repositories.make("calc", &[("calc.py", BROKEN)]);
    let service = ground.start().await;
    let api = service.api();
    let body = json!({ "name": "broken", "setup": "echo \"no $TOKEN\"; mkdir node_modules; exit 3", "checks": ["grep -q 'a + b' calc.py"] });
    let environment_id = environment(&api, &body).await;
    secret(&api, &environment_id, "TOKEN").await;
    let request = json!({ "request": "mend add", "environment": "broken", "repository": { "url": url } });
    let task = api.create(&request).await;
    let failed = api.rest(&task).await;
    assert_eq!(
        (&failed["status"], &failed["error"]["code"]),
        (&json!("failed"), &json!("workspace_failed")),
        "{failed:#}"
    );
    let message = failed["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("exit code 3") && message.contains(&format!("PATCH /v1/environments/{environment_id}")),
        "{message}"
    );
    let (started, completed) = setups(&api, &task).await;
    assert_eq!(started, 1);
    let told = (&completed[0]["outcome"], &completed[0]["exit_code"], &completed[0]["output"]);
    assert_eq!(told, (&json!("error"), &json!(3), &json!("no ***\n")));
    assert_eq!(snapshot(&api, &environment_id).await, "failed");
    let replayed = replayed::fold(&replayed::export(&api, &task, "").await);
    assert!(replayed.difference.is_none(), "{:?}", replayed.difference);
    assert!(ground.model.requests().await.is_empty(), "no model is asked");

    let edit = json!({ "setup_optional": true, "setup": "sleep 600", "setup_timeout_seconds": 1 });
    let patched = api.http.patch(format!("{}/v1/environments/{environment_id}", api.base)).bearer_auth(&api.key);
    assert_eq!(patched.json(&edit).send().await.unwrap().status(), 200);
    let task = api.create(&request).await;
    verified(&api.rest(&task).await);
    assert_eq!(setups(&api, &task).await.1[0]["outcome"], "timed_out");
    assert!(!looked(&api, &task).await.contains("node_modules"));
    assert!(ground.model.requests().await[0].to_string().contains("may be missing"));
    service.stop().await;
}

/// What was begun and not ended lies there.
fn unfinished(data: &Path) -> usize {
    let teams = std::fs::read_dir(data.join("prepared")).into_iter().flatten().flatten();
    let entries = teams.flat_map(|team| std::fs::read_dir(team.path()).unwrap().flatten());
    entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".part")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setup_that_a_kill_cuts_off_is_run_again_and_nothing_half_made_is_used() {
    let gate = tempfile::tempdir().unwrap();
    std::fs::set_permissions(gate.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut ground = Ground::new(&script("ls node_modules")).await;
    ground.variables.push(("JOURNEYMAN_TOOLCHAINS".to_owned(), gate.path().display().to_string()));
    let url = ground.repositories.make("calc", &[("calc.py", BROKEN), ("package.json", "{}")]);
    let open = gate.path().join("open");
    let setup = format!(
        "mkdir node_modules; echo half > node_modules/one; while [ ! -e {} ]; do sleep 0.05; done; echo whole > node_modules/two",
        open.display()
    );
    let process = Process::start(&ground, ground.data.path());
    let api = process.api.clone();
    let body =
        json!({ "name": "slow", "setup": setup, "checks": ["test -e node_modules/two && grep -q 'a + b' calc.py"] });
    environment(&api, &body).await;
    let request = json!({ "request": "mend add", "environment": "slow", "repository": { "url": url } });
    let task = api.create(&request).await;
    api.met(&task, "setup.started", 1).await;
    process.kill();
    std::fs::write(&open, "").unwrap();
    let process = Process::start(&ground, ground.data.path());
    let api = process.api.clone();
    verified(&api.rest(&task).await);
    let (started, completed) = setups(&api, &task).await;
    assert_eq!((started, completed.len(), &completed[0]["cached"]), (2, 1, &json!(false)));
    assert!(looked(&api, &task).await.contains("one\ntwo"));
    assert_eq!(unfinished(ground.data.path()), 0);
    let replayed = replayed::fold(&replayed::export(&api, &task, "").await);
    assert!(replayed.difference.is_none(), "{:?}", replayed.difference);
    process.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn caches_go_from_one_setup_to_the_next_of_the_default_branch_and_nowhere_else() {
    // Says what it found, adds to it, and installs.
    let setup = "cat \"$PIP_CACHE_DIR\"/* 2>/dev/null; echo \"by $(cat requirements.txt)\" >> \"$PIP_CACHE_DIR/log\"; \
        chmod 700 \"$PIP_CACHE_DIR\"; ln -sf /etc/passwd \"$OTHER_CACHE/link\"; mkdir node_modules; echo one > node_modules/one; \
        ! grep -q failing requirements.txt";
    let look = "ls -a; env | grep -c CACHE; ls node_modules";
    let ground = Ground::new(&script(look)).await;
    let files = [("calc.py", BROKEN), ("requirements.txt", "first"), (".gitignore", "node_modules\n")];
    let url = ground.repositories.make("calc", &files);
    let other_url = ground.repositories.make("other", &files);
    let service = ground.start().await;
    let api = service.api();
    for (caches, pointer) in [
        (json!(["PIP_CACHE_DIR", "PIP_CACHE_DIR"]), "/caches/1"),
        (json!(["../up"]), "/caches/0"),
        (json!(["1"]), "/caches/0"),
        (json!(["A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K"]), "/caches"),
    ] {
        let (status, problem) = api.post("/v1/environments", &json!({ "name": "x", "caches": caches })).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!(pointer)), "{problem}");
    }
    let caches = json!(["PIP_CACHE_DIR", "OTHER_CACHE"]);
    let check = "grep -q 'a + b' calc.py && test ! -e .journeyman-caches";
    let body = json!({ "name": "cached", "setup": setup, "setup_optional": true, "caches": caches, "checks": [check] });
    let id = environment(&api, &body).await;
    assert_eq!(api.get(&format!("/v1/environments/{id}")).await.1["caches"], caches);
    let again = json!({ "name": "another", "setup": setup, "caches": caches, "checks": [check] });
    environment(&api, &again).await;
    let repository = ground.repositories.path().join("calc");
    let commit = |content: &str, branch: &str| {
        git(&repository, &["checkout", "--quiet", "-B", branch]);
        std::fs::write(repository.join("requirements.txt"), content).unwrap();
        git(&repository, &["add", "--all"]);
        let who = ["-c", "user.name=T", "-c", "user.email=t@example.com"];
        git(&repository, &[&who[..], &["commit", "--quiet", "--message", "next"]].concat());
        git(&repository, &["checkout", "--quiet", "main"]);
    };
    // What a setup of the task said: what it found in its cache.
    let found = async |environment: &str, url: &str, branch: Option<&str>| {
        let mut repository = json!({ "url": url });
        if let Some(branch) = branch {
            repository["ref"] = json!(branch);
        }
        let task =
            api.create(&json!({ "request": "mend add", "environment": environment, "repository": repository })).await;
        verified(&api.rest(&task).await);
        let seen = looked(&api, &task).await;
        assert!(!seen.contains("journeyman-caches") && seen.contains("\n0\n"), "nothing of it is in a task: {seen}");
        setups(&api, &task).await.1[0]["output"].as_str().unwrap().to_owned()
    };
    assert_eq!(found("cached", &url, None).await, "");
    commit("poison", "evil");
    assert_eq!(found("cached", &url, Some("evil")).await, "by first\n", "a copy is there on other branches");
    commit("failing", "main");
    assert_eq!(found("cached", &url, None).await, "by first\n", "what another branch did is not kept");
    commit("second", "main");
    assert_eq!(found("cached", &url, None).await, "by first\n", "nor is what a failed setup did");
    commit("third", "main");
    assert_eq!(found("cached", &url, None).await, "by first\nby second\n");
    // Another environment's and another repository's are their own.
    assert_eq!(found("another", &url, None).await, "");
    assert_eq!(found("cached", &other_url, None).await, "");
    service.stop().await;
}
