//! What reviewers made of a task's work: the merged branch against the task's own tree, and their comments.

use super::{asked, ground, learner, learnt, memories, memory, names, of_kind, request, script, told_first};
use crate::support::service::{Api, Ground, call, git, plan};
use serde_json::{Value, json};

const LESSON: &str = "Add numbers with sum((a, b)) in calc.py, as reviewers want it";

fn mends() -> Value {
    let edit = call("edit", json!({ "path": "calc.py", "old": "return a - b", "new": "return a + b" }));
    let new =
        call("apply_patch", json!({ "patch": "*** Begin Patch\n*** Add File: extra.py\n+EXTRA = 1\n*** End Patch" }));
    json!([plan(), edit, new, { "text": "Mended.", "repeat": 9 }])
}

/// A branch of the repository with these files, one commit after its first.
fn branch(ground: &Ground, name: &str, files: &[(&str, &str)]) -> String {
    let path = ground.repositories.path().join("calc");
    git(&path, &["checkout", "--quiet", "-b", name, "main"]);
    for (file, content) in files {
        std::fs::write(path.join(file), content).unwrap();
    }
    git(&path, &["add", "--all"]);
    git(&path, &["-c", "user.name=Rev", "-c", "user.email=rev@example.com", "commit", "--quiet", "--message", name]);
    let commit = git(&path, &["rev-parse", "HEAD"]).trim().to_owned();
    git(&path, &["checkout", "--quiet", "main"]);
    commit
}

async fn told(api: &Api, task: &str, body: &Value, count: usize) -> Value {
    let (status, feedback) = api.post(&format!("/v1/tasks/{task}/feedback"), body).await;
    assert_eq!(status, 201, "{feedback:#}");
    learnt(api, task, count).await[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merged_branch_with_a_reviewer_s_change_becomes_a_lesson() {
    let mut lesson = memory(LESSON, "lesson", "repository", &["{{1}}"]);
    lesson["files"] = json!(["calc.py"]);
    let ground = ground(&script(vec![learner(&of_kind("merged_change"), names(&[lesson]))], mends())).await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&request(&ground, &json!({}))).await;
    let task = api.rest(&id).await;
    assert_eq!(task["result"]["patch"]["files"], 2, "{task:#}");
    let reviewed = "def add(a, b):\n    return sum((a, b))\n";
    branch(&ground, "reviewed", &[("calc.py", reviewed), ("extra.py", "EXTRA = 1\n"), ("other.py", "x = 1\n")]);
    let row = told(&api, &id, &json!({ "merged": { "ref": "reviewed" } }), 2).await;
    assert_eq!(
        (&row["trigger"], &row["outcome"], &row["calls"]),
        (&json!("merge"), &json!("learned"), &json!(1)),
        "{row:#}"
    );
    let question = asked(&ground).await[0]["messages"].to_string();
    for wanted in ["-    return a + b", "+    return sum((a, b))", r#"\"from\":\"reviewer\""#] {
        assert!(question.contains(wanted), "{wanted} in {question}");
    }
    for other in ["extra.py", "other.py"] {
        assert!(!question.contains(other), "{other} in {question}");
    }
    let mine = memories(&api).await;
    assert_eq!(
        (&mine[0]["text"], &mine[0]["kind"], &mine[0]["origin"], &mine[0]["state"]),
        (&json!(LESSON), &json!("lesson"), &json!("review"), &json!("proposed")),
        "{mine:#?}"
    );
    assert_eq!(mine[0]["evidence"]["sources"][0]["provenance"], "reviewer");
    let path = format!("{}/v1/memories/{}", api.base, mine[0]["id"].as_str().unwrap());
    let patch = api.http.patch(path).bearer_auth(&api.key).json(&json!({ "state": "active" }));
    assert_eq!(patch.send().await.unwrap().status().as_u16(), 200);
    // It speaks of the file as it was merged, and once that is the base the lesson is told.
    let path = ground.repositories.path().join("calc");
    let oid = git(&path, &["rev-parse", "reviewed:calc.py"]);
    assert_eq!(mine[0]["evidence"]["files"], json!([{ "path": "calc.py", "oid": oid.trim() }]));
    git(&path, &["merge", "--quiet", "--ff-only", "reviewed"]);
    let prompt = told_first(&ground, &api, &json!({ "request": "Add numbers of a list in calc.py" })).await;
    assert!(prompt.contains(LESSON), "{prompt}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_merged_as_it_was_or_not_at_all_teaches_nothing_and_no_model_is_asked() {
    let ground = ground(&script(vec![], mends())).await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&request(&ground, &json!({}))).await;
    api.rest(&id).await;
    let same = [("calc.py", "def add(a, b):\n    return a + b\n"), ("extra.py", "EXTRA = 1\n")];
    let commit = branch(&ground, "same", &same);
    let row = told(&api, &id, &json!({ "merged": { "commit": commit } }), 2).await;
    assert_eq!((&row["outcome"], &row["calls"]), (&json!("nothing"), &json!(0)), "{row:#}");
    assert_eq!(row["detail"], "what was merged is the task's work as it was");
    let row = told(&api, &id, &json!({ "merged": { "ref": "main" } }), 3).await;
    assert_eq!(row["detail"], "nothing of the task's work is in what was merged", "{row:#}");
    let row = told(&api, &id, &json!({ "merged": { "ref": "no-such-branch" } }), 4).await;
    assert_eq!((&row["outcome"], &row["calls"]), (&json!("failed"), &json!(0)), "{row:#}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn review_comments_are_learnt_from_and_never_by_themselves_more_than_proposed() {
    let text = "Name things in full words";
    let comment = learner(&of_kind("review_comment"), names(&[memory(text, "convention", "team", &["{{1}}"])]));
    let ground = ground(&script(vec![comment], json!([{ "text": "Looked.", "repeat": 9 }]))).await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&request(&ground, &json!({}))).await;
    api.rest(&id).await;
    let comments = json!([{ "text": "Name things in full words.", "author": "carol", "path": "calc.py", "line": 1 }]);
    let row = told(&api, &id, &json!({ "rating": "up", "review_comments": comments }), 3).await;
    assert_eq!(row["trigger"], "merge");
    assert!(asked(&ground).await[0]["messages"].to_string().contains("carol on calc.py:1: Name things"));
    let mine = memories(&api).await;
    assert_eq!((&mine[0]["state"], &mine[0]["scope"]), (&json!("proposed"), &json!("team_repository")), "{mine:#?}");
    assert!(!told_first(&ground, &api, &json!({ "request": text })).await.contains("earlier tasks (data"));
    for (body, pointer) in [
        (json!({}), "/rating"),
        (json!({ "comment": "x", "merged": { "ref": "main" } }), "/rating"),
        (json!({ "merged": {} }), "/merged"),
        (json!({ "merged": { "ref": "main", "commit": "1".repeat(40) } }), "/merged"),
        (json!({ "merged": { "ref": "--upload-pack=x" } }), "/merged/ref"),
        (json!({ "merged": { "commit": "HEAD" } }), "/merged/commit"),
        (json!({ "review_comments": [{ "text": "" }] }), "/review_comments/0/text"),
        (json!({ "review_comments": vec![json!({ "text": "x" }); 51] }), "/review_comments"),
    ] {
        let (status, problem) = api.post(&format!("/v1/tasks/{id}/feedback"), &body).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!(pointer)), "{body} {problem:#}");
    }
    service.stop().await;
}
