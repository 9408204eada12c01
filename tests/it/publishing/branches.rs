//! The branch and its commit: what they hold, and what is refused.

use super::{branches, calc, came, commit, commits, ground, publish, pushes, request, rested};
use crate::support::{
    replayed::{export, fold},
    service::{git, say},
};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_becomes_one_commit_on_a_branch_of_its_own() {
    let ground = ground().await;
    let service = ground.start().await;
    let api = service.api();
    let id = rested(&api, &request(&ground, "mend")).await;
    let before = api.get(&format!("/v1/tasks/{id}")).await.1;
    let accepted = publish(&api, &id, &json!({})).await;
    let branch = accepted["branch"].as_str().unwrap().to_owned();
    assert!(branch.starts_with("journeyman/") && branch.ends_with("-mend-the-sum"), "{branch}");
    let done = came(&api, &id, &accepted, &["done", "failed"]).await;
    assert_eq!((&done["state"], &done["branch"]), (&json!("done"), &json!(branch)), "{done:#}");

    let repository = calc(&ground);
    assert_eq!(branches(&repository), std::slice::from_ref(&branch));
    assert_eq!((commits(&repository, &format!("main..{branch}")), pushes(&repository, &branch)), (1, 1));
    let told = git(&repository, &["log", "-1", "--format=%H%n%an <%ae>%n%cn%n%B", &branch]);
    assert!(told.starts_with(done["commit"].as_str().unwrap()), "{told}");
    for line in [
        "Journeyman <journeyman@localhost>",
        "mend the sum",
        "Verdict: unverified",
        "Co-authored-by: admin <",
        &format!("Task: {id}"),
    ] {
        assert!(told.contains(line), "{line:?} is not in {told}");
    }
    let diff = ["diff", "--binary", "--full-index", "--no-renames", "main", &branch];
    assert_eq!(git(&repository, &diff), api.text(&format!("/v1/tasks/{id}/patch")).await.1);
    assert_eq!(git(&repository, &["status", "--porcelain"]), "", "what is checked out there stays as it is");

    let task = api.get(&format!("/v1/tasks/{id}")).await.1;
    assert_eq!((&task["result"]["branch"], &task["status"]), (&json!(branch), &json!("succeeded")), "{task:#}");
    assert!(task["last_seq"].as_i64() > before["last_seq"].as_i64());
    let events = api.events(&id).await;
    let states: Vec<_> = events.iter().filter(|e| e["kind"] == "publish").map(|e| &e["data"]["state"]).collect();
    assert_eq!(states, ["requested", "done"]);
    assert_eq!(events.last().unwrap()["kind"], "publish");
    let audit = api.get(&format!("/v1/audit_log?subject={id}")).await.1.to_string();
    assert!(audit.contains("task.publish_asked") && audit.contains("task.published"), "{audit}");

    // The same again is there already, and is not pushed.
    let again = publish(&api, &id, &json!({})).await;
    assert_eq!(again["branch"], accepted["branch"]);
    let again = came(&api, &id, &again, &["done", "failed"]).await;
    assert_eq!((&again["state"], &again["commit"]), (&json!("done"), &done["commit"]), "{again:#}");
    assert_eq!(pushes(&repository, &branch), 1);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_published_is_refused_with_what_to_do() {
    let ground = ground().await;
    let service = ground.start().await;
    let api = service.api();
    let id = rested(&api, &request(&ground, "mend")).await;
    for body in [
        json!({ "branch": "main" }),
        json!({ "branch": "journeyman/" }),
        json!({ "branch": "refs/heads/journeyman/x" }),
        json!({ "branch": "journeyman/a..b" }),
        json!({ "branch": "journeyman/../main" }),
        json!({ "branch": "journeyman/x y" }),
        json!({ "title": "two\nlines" }),
        json!({ "pull_request": "yes" }),
        json!({ "remote": "elsewhere" }),
    ] {
        let (status, problem) = api.post(&format!("/v1/tasks/{id}/publish"), &body).await;
        assert_eq!(status, 422, "{body}: {problem:#}");
    }
    let nothing = rested(&api, &request(&ground, "nothing")).await;
    let (status, problem) = api.post(&format!("/v1/tasks/{nothing}/publish"), &json!({})).await;
    assert_eq!((status, &problem["code"]), (409, &json!("nothing_to_publish")), "{problem:#}");
    let nowhere = rested(&api, &json!({ "request": "mend it in an empty directory" })).await;
    let (status, problem) = api.post(&format!("/v1/tasks/{nowhere}/publish"), &json!({})).await;
    assert_eq!((status, &problem["code"]), (409, &json!("no_remote")), "{problem:#}");
    assert!(problem["detail"].as_str().unwrap().contains("repository's url"), "{problem:#}");
    let (status, _) = api.post("/v1/tasks/01890000-0000-7000-8000-000000000000/publish", &json!({})).await;
    assert_eq!(status, 404);
    assert_eq!(branches(&calc(&ground)), [] as [String; 0]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_under_way_is_not_published() {
    let mut ground = ground().await;
    ground.variables.push(("JOURNEYMAN_WORKERS".to_owned(), "1".to_owned()));
    let service = ground.start_as(journeyman::app::Role::Api, ground.data.path(), None).await;
    let api = service.api();
    let id = api.create(&request(&ground, "mend")).await;
    let (status, problem) = api.post(&format!("/v1/tasks/{id}/publish"), &json!({})).await;
    assert_eq!((status, &problem["state"]), (409, &json!("queued")), "{problem:#}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_has_moved_is_where_the_commit_goes() {
    let ground = ground().await;
    let service = ground.start().await;
    let api = service.api();
    let id = rested(&api, &request(&ground, "mend")).await;
    let repository = calc(&ground);
    commit(&repository, "README.md", "calc, a calculator\n");
    let accepted = publish(&api, &id, &json!({ "branch": "journeyman/moved", "title": "Add rightly" })).await;
    let done = came(&api, &id, &accepted, &["done", "failed", "conflict"]).await;
    assert_eq!(done["state"], "done", "{done:#}");
    let parent = git(&repository, &["rev-parse", "journeyman/moved^", "main"]);
    let parents: Vec<&str> = parent.lines().collect();
    assert_eq!(parents[0], parents[1], "it is based on what main is now");
    assert_eq!(git(&repository, &["show", "journeyman/moved:README.md"]), "calc, a calculator\n");
    assert_eq!(git(&repository, &["show", "journeyman/moved:calc.py"]), "def add(a, b):\n    return a + b\n");
    assert_eq!(git(&repository, &["log", "-1", "--format=%s", "journeyman/moved"]).trim(), "Add rightly");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_told_and_nothing_is_pushed() {
    let ground = ground().await;
    let service = ground.start().await;
    let api = service.api();
    let id = rested(&api, &request(&ground, "mend")).await;
    let repository = calc(&ground);
    commit(&repository, "calc.py", "def add(a, b):\n    return a * b\n");
    let accepted = publish(&api, &id, &json!({})).await;
    let conflict = came(&api, &id, &accepted, &["done", "failed", "conflict"]).await;
    assert_eq!(conflict["state"], "conflict", "{conflict:#}");
    assert!(conflict["reason"].as_str().unwrap().contains("calc.py"), "{conflict:#}");
    assert_eq!(branches(&repository), [] as [String; 0]);
    let task = api.get(&format!("/v1/tasks/{id}")).await.1;
    assert_eq!((&task["status"], &task["result"]["branch"]), (&json!("succeeded"), &json!(null)));
    // What the repository came to has it already: there is nothing to publish, and that is told.
    commit(&repository, "calc.py", "def add(a, b):\n    return a + b\n");
    let accepted = publish(&api, &id, &json!({})).await;
    let nothing = came(&api, &id, &accepted, &["done", "failed", "conflict"]).await;
    assert_eq!(nothing["state"], "failed", "{nothing:#}");
    assert!(nothing["reason"].as_str().unwrap().contains("nothing is left"), "{nothing:#}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_branch_is_left_as_it_is() {
    let ground = ground().await;
    let service = ground.start().await;
    let api = service.api();
    let id = rested(&api, &request(&ground, "mend")).await;
    let repository = calc(&ground);
    git(&repository, &["branch", "journeyman/taken", "main"]);
    let accepted = publish(&api, &id, &json!({ "branch": "journeyman/taken" })).await;
    let failed = came(&api, &id, &accepted, &["done", "failed"]).await;
    assert_eq!(failed["state"], "failed", "{failed:#}");
    assert!(failed["reason"].as_str().unwrap().contains("name another branch"), "{failed:#}");
    assert_eq!(commits(&repository, "main..journeyman/taken"), 0);

    // Nor is what people have put onto the task's own branch overwritten.
    let accepted = publish(&api, &id, &json!({ "branch": "journeyman/ours" })).await;
    came(&api, &id, &accepted, &["done"]).await;
    git(&repository, &["checkout", "--quiet", "journeyman/ours"]);
    commit(&repository, "README.md", "a reviewer's own words\n");
    git(&repository, &["checkout", "--quiet", "main"]);
    commit(&repository, "other", "main goes on\n");
    let accepted = publish(&api, &id, &json!({ "branch": "journeyman/ours" })).await;
    let failed = came(&api, &id, &accepted, &["done", "failed"]).await;
    assert_eq!(failed["state"], "failed", "{failed:#}");
    assert_eq!(git(&repository, &["show", "journeyman/ours:README.md"]), "a reviewer's own words\n");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_run_goes_onto_the_same_branch() {
    let script = json!({ "rules": [{ "when": { "last_contains": "the other way" }, "reply": { "calls": [{
        "tool": "shell", "arguments": { "command": "printf 'def add(a, b):\\n    return b + a\\n' > calc.py" } }] } }],
        "sequence": [super::plan(), super::call("shell", json!({ "command":
            "printf 'def add(a, b):\\n    return a + b\\n' > calc.py" })), say("Done."), say("No."), say("Done again."), say("Yes.")] });
    let ground = crate::support::service::Ground::new(&script).await;
    ground.repositories.make("calc", &[("calc.py", "def add(a, b):\n    return a - b\n")]);
    let service = ground.start().await;
    let api = service.api();
    let id = rested(&api, &request(&ground, "mend")).await;
    let first = publish(&api, &id, &json!({})).await;
    let before = came(&api, &id, &first, &["done", "failed"]).await;
    let (status, _) = api.post(&format!("/v1/tasks/{id}/messages"), &json!({ "text": "the other way round" })).await;
    assert_eq!(status, 202);
    let task = api.until(&id, |task| task["run"] == 2 && task["status"] == "succeeded").await;
    assert_eq!(task["result"]["branch"], first["branch"], "what was published stays told: {task:#}");
    let second = publish(&api, &id, &json!({})).await;
    assert_eq!(second["branch"], first["branch"]);
    let after = came(&api, &id, &second, &["done", "failed"]).await;
    assert_eq!(after["state"], "done", "{after:#}");
    assert_ne!(after["commit"], before["commit"]);
    let (repository, branch) = (calc(&ground), first["branch"].as_str().unwrap());
    assert_eq!(commits(&repository, &format!("main..{branch}")), 1);
    assert_eq!(git(&repository, &["show", &format!("{branch}:calc.py")]), "def add(a, b):\n    return b + a\n");
    // Its log folds to itself, whoever wrote into it.
    let replayed = fold(&export(&api, &id, "").await);
    assert!(replayed.difference.is_none(), "{replayed:#?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_at_once_get_one_branch() {
    let ground = ground().await;
    let service = ground.start().await;
    let api = service.api();
    let id = rested(&api, &request(&ground, "mend")).await;
    let path = format!("/v1/tasks/{id}/publish");
    let asked = (0..16).map(|_| {
        let (api, path) = (api.clone(), path.clone());
        tokio::spawn(async move { api.post(&path, &json!({})).await })
    });
    let mut last = None;
    for answer in futures::future::join_all(asked).await {
        let (status, accepted) = answer.unwrap();
        assert_eq!(status, 202, "{accepted:#}");
        last = Some(accepted);
    }
    let last = last.unwrap();
    came(&api, &id, &last, &["done"]).await;
    api.until(&id, |task| task["result"]["branch"].is_string()).await;
    let (repository, branch) = (calc(&ground), last["branch"].as_str().unwrap());
    assert_eq!(branches(&repository), [branch]);
    assert_eq!((commits(&repository, &format!("main..{branch}")), pushes(&repository, branch)), (1, 1));
    // Another wish is not the same.
    let first = publish(&api, &id, &json!({ "branch": "journeyman/a" })).await;
    let (status, problem) = api.post(&path, &json!({ "branch": "journeyman/b" })).await;
    if status != 202 {
        assert_eq!((status, &problem["code"]), (409, &json!("publishing")), "{problem:#}");
    }
    came(&api, &id, &first, &["done"]).await;
    service.stop().await;
}

/// Others rename a directory while the task puts a file into it: it goes along, and nothing of it is lost.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_new_in_a_directory_that_was_renamed_goes_along() {
    let script = super::script(&[("add", super::shell("printf 'new\\n' > src/new.py"))]);
    let ground = crate::support::service::Ground::new(&script).await;
    let files: Vec<(String, String)> = (0..6).map(|n| (format!("src/{n}.py"), format!("print({n})\n"))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    ground.repositories.make("calc", &files);
    let service = ground.start().await;
    let api = service.api();
    let id = rested(&api, &request(&ground, "add")).await;
    let repository = calc(&ground);
    git(&repository, &["mv", "src", "lib"]);
    commit(&repository, "README.md", "src is lib now\n");
    let accepted = publish(&api, &id, &json!({ "branch": "journeyman/along" })).await;
    let done = came(&api, &id, &accepted, &["done", "failed", "conflict"]).await;
    assert_eq!(done["state"], "done", "{done:#}");
    assert_eq!(git(&repository, &["show", "journeyman/along:lib/new.py"]), "new\n");
    assert_eq!(git(&repository, &["ls-tree", "--name-only", "journeyman/along"]), "README.md\nlib\n");
    service.stop().await;
}

/// A file that others have moved and changed is in conflict where it is now. A task that mends it where it was has resolved
/// nothing, however often it says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_in_a_file_that_was_moved_is_not_resolved_by_the_old_one() {
    let text = |last: &str| (0..20).map(|n| format!("line {n}\n")).collect::<String>() + last + "\n";
    let change = format!("sed -i 's/^the end$/{}/' old.py", "the task");
    let script = json!({ "sequence": [super::plan(), super::call("shell", json!({ "command": change })), say("Done."), say("Still so."), say("And so.")] });
    let ground = crate::support::service::Ground::new(&script).await;
    ground.repositories.make("calc", &[("old.py", text("the end").as_str())]);
    let service = ground.start().await;
    let api = service.api();
    let id = rested(&api, &request(&ground, "mend")).await;
    let repository = calc(&ground);
    git(&repository, &["mv", "old.py", "new.py"]);
    commit(&repository, "new.py", &text("somebody else"));
    for _ in 0..2 {
        let accepted = publish(&api, &id, &json!({ "branch": "journeyman/moved" })).await;
        let conflict = came(&api, &id, &accepted, &["done", "failed", "conflict"]).await;
        assert_eq!(conflict["state"], "conflict", "{conflict:#}");
        assert!(conflict["reason"].as_str().unwrap().contains("new.py"), "{conflict:#}");
    }
    assert_eq!(branches(&repository), [] as [String; 0]);
    service.stop().await;
}

/// Another repository under the same name, or one whose history was taken out, is brought none of the old one's.
#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_has_nothing_in_common_with_the_base_gets_nothing_of_it() {
    let ground = ground().await;
    let service = ground.start().await;
    let api = service.api();
    let id = rested(&api, &request(&ground, "mend")).await;
    let repository = calc(&ground);
    git(&repository, &["checkout", "--quiet", "--orphan", "new"]);
    commit(&repository, "calc.py", "def add(a, b):\n    return a - b\n");
    git(&repository, &["branch", "--force", "main", "new"]);
    git(&repository, &["checkout", "--quiet", "main"]);
    let accepted = publish(&api, &id, &json!({})).await;
    let failed = came(&api, &id, &accepted, &["done", "failed", "conflict"]).await;
    assert_eq!(failed["state"], "failed", "{failed:#}");
    assert!(failed["reason"].as_str().unwrap().contains("nothing in common"), "{failed:#}");
    assert_eq!(branches(&repository), [] as [String; 0]);
    service.stop().await;
}
