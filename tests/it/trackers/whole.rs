//! Whole stories at forges: from an issue to its pull request, a review, a second push and the merge, and what is said of it
//! at the issue meanwhile; once, whatever crashes.

use super::{
    jira_server::{self, JiraServer},
    linear_server::{self, LinearServer},
    sent::{SECRET, Sent, sent, sent_with},
    stories::World,
};
use crate::{
    learning,
    publishing::forge_server::{ForgeServer, TOKEN},
    support::{
        calculator,
        service::{Ground, PATIENCE, call, git, plan, say},
    },
};
use journeyman::{domain::linked_account::Provider, runner::Failpoint, trackers::forge::ForgeKind};
use serde_json::{Value, json};
use std::{
    ops::ControlFlow,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

const LESSON: &str = "Add numbers with sum((a, b)) in calc.py, as reviewers want it";

fn writes(body: &str) -> Value {
    call("shell", json!({ "command": format!("printf 'def add(a, b):\\n    return {body}\\n' > calc.py") }))
}

/// Mends it, and does it otherwise when it is told to; calls somebody by name.
pub(super) fn mends() -> Value {
    json!([plan(), writes("a + b"), say("Mended, @everybody."), writes("b + a"), say("As you want it."), say("Well.")])
}

pub(super) async fn reachable(mut ground: Ground) -> Ground {
    for (name, value) in [("JOURNEYMAN_PRIVATE_HOSTS", "127.0.0.1"), ("JOURNEYMAN_LEASE_TTL_SECONDS", "2")] {
        ground.variables.push((name.to_owned(), value.to_owned()));
    }
    ground
}

pub(super) fn at(server: &ForgeServer, more: &Value) -> Value {
    let mut body = json!({ "base_url": server.url, "token": TOKEN });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// The issue is labelled by somebody who may, and who wrote it.
pub(super) fn labelled(tracker: Provider) -> Sent {
    match tracker {
        Provider::Gitlab => {
            sent_with(tracker, "issue_labelled", |p| p["object_attributes"]["author_id"] = p["user"]["id"].clone())
        }
        Provider::Gitea => sent_with(tracker, "issue_label_updated", |p| p["issue"]["user"] = p["sender"].clone()),
        _ => sent_with(tracker, "issues_labeled", |p| p["issue"]["user"] = p["sender"].clone()),
    }
}

/// Somebody who may asks for a change on the pull request.
fn reviewed(tracker: Provider, number: &Value) -> Sent {
    match tracker {
        Provider::Gitlab => sent_with(tracker, "note_on_merge_request", |p| p["merge_request"]["iid"] = number.clone()),
        Provider::Gitea => sent_with(tracker, "pull_request_rejected", |p| {
            p["number"] = number.clone();
            p["pull_request"]["number"] = number.clone();
        }),
        _ => {
            sent_with(tracker, "pull_request_review_comment_created", |p| p["pull_request"]["number"] = number.clone())
        }
    }
}

fn merged(tracker: Provider, number: &Value, commit: &str) -> Sent {
    match tracker {
        Provider::Gitlab => sent_with(tracker, "merge_request_merged", |p| {
            p["object_attributes"]["iid"] = number.clone();
            p["object_attributes"]["merge_commit_sha"] = json!(commit);
        }),
        _ => sent_with(tracker, "pull_request_merged", |p| {
            p["number"] = number.clone();
            p["pull_request"]["number"] = number.clone();
            p["pull_request"]["merge_commit_sha"] = json!(commit);
        }),
    }
}

pub(super) fn calc(ground: &Ground) -> PathBuf {
    ground.repositories.path().join("calc")
}

/// Waits until something holds.
pub(super) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("not {what}"))
}

/// Waits until the comment at the issue says this; it is the only one of the service.
async fn said(server: &ForgeServer, parts: &[&str]) -> String {
    let mut last = String::new();
    let looking = async {
        loop {
            let comments = server.comments();
            let texts = comments.iter().filter_map(|comment| comment["body"].as_str());
            let own: Vec<&str> = texts.filter(|text| text.starts_with("<!-- journeyman")).collect();
            assert!(own.len() <= 1, "{own:#?}");
            last = own.first().copied().unwrap_or_default().to_owned();
            if parts.iter().all(|part| last.contains(part)) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let done = tokio::time::timeout(PATIENCE, looking).await;
    assert!(done.is_ok(), "{parts:?} are not in {last}");
    last
}

/// The number of the one pull request, once it is open.
pub(super) async fn opened(server: &ForgeServer) -> Value {
    let number = |pull: &Value| if pull["iid"].is_null() { pull["number"].clone() } else { pull["iid"].clone() };
    until("opened", async || server.pulls().first().map(number)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_becomes_a_pull_request_and_its_review_a_second_push() {
    for (tracker, kind) in [
        (Provider::Github, ForgeKind::Github),
        (Provider::Gitlab, ForgeKind::Gitlab),
        (Provider::Gitea, ForgeKind::Gitea),
    ] {
        let ground = reachable(calculator::ground(&json!({ "sequence": mends() })).await).await;
        git(&calc(&ground), &["config", "core.logAllRefUpdates", "always"]);
        let server = ForgeServer::start(kind).await;
        let world = World::on(ground, tracker, &at(&server, &json!({}))).await;
        let id = world.done(&labelled(tracker)).await["task"].as_str().unwrap().to_owned();
        let task = world.api.until(&id, |task| task["status"] == "succeeded").await;
        assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
        let number = opened(&server).await;
        let text = said(&server, &["**Done.**", "Verdict: verified", "[Pull request](https://forge.example/"]).await;
        for part in
            ["- [ ] **mend it**", "| pass |", "Mended, @\u{200b}everybody.", "turns, ", &format!("/v1/tasks/{id})")]
        {
            assert!(text.contains(part), "{tracker:?}: {part} is not in {text}");
        }
        assert_eq!(server.reactions().len(), 1, "{tracker:?}: {:?}", server.reactions());

        to_the_merge(&world, (tracker, &world.integration), &server, (&id, &number)).await;
        said(&server, &["**Done.**", "As you want it.", "2 runs, "]).await;
        world.service.stop().await;
    }
}

/// A review makes a second push to the same branch, and the merge is remembered. What is told comes by this integration.
async fn to_the_merge(
    world: &World,
    (tracker, integration): (Provider, &Value),
    server: &ForgeServer,
    (id, number): (&str, &Value),
) {
    let pull = server.pulls()[0].clone();
    let branch = pull["head"]["ref"].as_str().or(pull["source_branch"].as_str()).unwrap().to_owned();
    assert!(branch.starts_with("journeyman/"), "{branch}");
    let come = world.done_by(integration, &reviewed(tracker, number)).await;
    assert_eq!((&come["state"], &come["task"]), (&json!("done"), &json!(id)), "{tracker:?}: {come:#}");
    let task = world.api.until(id, |task| task["run"] == 2 && task["status"] == "succeeded").await;
    assert_eq!(task["result"]["verdict"], "verified");
    let repository = calc(&world.ground);
    let shown = format!("{branch}:calc.py");
    until("pushed again", async || git(&repository, &["show", &shown]).contains("b + a").then_some(())).await;
    assert_eq!(server.pulls().len(), 1, "{tracker:?}");
    assert_eq!(git(&repository, &["rev-list", "--count", &format!("main..{branch}")]).trim(), "1");
    assert_eq!(git(&repository, &["reflog", "show", "--format=%H", &branch]).lines().count(), 2);
    assert_eq!(world.tasks().await.len(), 1);
    let commit = git(&repository, &["rev-parse", &branch]).trim().to_owned();
    let come = world.done_by(integration, &merged(tracker, number, &commit)).await;
    assert_eq!(
        (&come["state"], &come["reason"]),
        (&json!("done"), &json!(format!("it was merged as {commit}"))),
        "{tracker:?}: {come:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_of_a_tracker_without_repositories_becomes_a_pull_request_at_the_forge() {
    for tracker in [Provider::Jira, Provider::Linear] {
        let ground = reachable(calculator::ground(&json!({ "sequence": mends() })).await).await;
        git(&calc(&ground), &["config", "core.logAllRefUpdates", "always"]);
        let (jira, linear) = (JiraServer::start().await, LinearServer::start().await);
        let server = ForgeServer::start(ForgeKind::Github).await;
        let (url, token) = match tracker {
            Provider::Jira => (&jira.url, jira_server::TOKEN),
            _ => (&linear.url, linear_server::TOKEN),
        };
        let world = World::on(ground, tracker, &json!({ "base_url": url, "token": token })).await;
        let forge = json!({ "name": "forge", "tracker": "github", "secret": SECRET, "base_url": server.url, "token": TOKEN,
            "repositories": { "acme/calc": world.integration["repositories"]["CALC"] }, "allowed_users": ["ada"] });
        let (status, forge) = world.api.post("/v1/integrations", &forge).await;
        assert_eq!(status, 201, "{forge}");
        let id = world.done(&sent(tracker, "issue_labelled")).await["task"].as_str().unwrap().to_owned();
        let number = opened(&server).await;
        let comments = || if tracker == Provider::Jira { jira.comments() } else { linear.comments() };
        let says = |parts: &[&str]| {
            let texts: Vec<String> =
                comments().iter().map(|comment| comment["body"].as_str().unwrap().to_owned()).collect();
            assert!(texts.len() <= 1, "{texts:#?}");
            texts.first().is_some_and(|text| parts.iter().all(|part| text.contains(part))).then_some(())
        };
        until("answered", async || says(&["Done.", "Verdict: verified", "Pull request", "https://forge.example/"]))
            .await;
        if tracker == Provider::Linear {
            assert_eq!(linear.reactions().len(), 1, "{:?}", linear.reactions());
        }
        to_the_merge(&world, (Provider::Github, &forge), &server, (&id, &number)).await;
        until("answered again", async || says(&["Done.", "As you want it.", "2 runs, "])).await;
        assert_eq!(server.comments(), Vec::<Value>::new(), "it is answered where it was asked for");
        world.service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_that_is_away_keeps_no_pull_request_back() {
    let ground = reachable(calculator::ground(&json!({ "sequence": mends() })).await).await;
    let jira = JiraServer::start().await;
    let server = ForgeServer::start(ForgeKind::Github).await;
    let world = World::on(ground, Provider::Jira, &json!({ "base_url": jira.url, "token": jira_server::TOKEN })).await;
    let forge = json!({ "name": "forge", "tracker": "github", "secret": SECRET, "base_url": server.url, "token": TOKEN,
        "repositories": { "acme/calc": world.integration["repositories"]["CALC"] } });
    assert_eq!(world.api.post("/v1/integrations", &forge).await.0, 201);
    jira.is_away_for(u32::MAX);
    let id = world.done(&sent(Provider::Jira, "issue_labelled")).await["task"].as_str().unwrap().to_owned();
    opened(&server).await;
    world.api.until(&id, |task| !task["result"]["pull_request_url"].is_null()).await;
    assert_eq!(jira.comments(), Vec::<Value>::new());
    // Back again, it is told what it missed.
    jira.is_away_for(0);
    until("answered", async || {
        let comments = jira.comments();
        comments.first()?["body"].as_str()?.contains("Pull request").then_some(())
    })
    .await;
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_comment_comes_without_is_asked_of_its_tracker() {
    for tracker in [Provider::Jira, Provider::Linear] {
        let ground = reachable(calculator::ground(&json!({ "sequence": mends() })).await).await;
        let (jira, linear) = (JiraServer::start().await, LinearServer::start().await);
        let (url, token, mention) = match tracker {
            Provider::Jira => (&jira.url, jira_server::TOKEN, "557058:journeyman"),
            _ => (&linear.url, linear_server::TOKEN, "@journeyman"),
        };
        let more = json!({ "base_url": url, "token": token, "rules": { "mention": mention } });
        let world = World::on(ground, tracker, &more).await;
        // It is away for the first time that it is asked.
        jira.is_away_for(1);
        linear.is_away_for(1);
        let come = world.done(&sent(tracker, "comment_created")).await;
        assert_eq!(come["state"], "done", "{tracker:?}: {come:#}");
        let task = world.api.rest(come["task"].as_str().unwrap()).await;
        let request = task["request"].as_str().unwrap();
        assert!(
            request.contains("> # add subtracts") && request.contains("> It should add."),
            "{tracker:?}: {request}"
        );
        assert_eq!(task["source"]["untrusted"], Value::Null, "{tracker:?}: its author is ada: {task:#}");
        world.service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reviewers_merged_in_its_place_becomes_a_lesson() {
    let mut lesson = learning::memory(LESSON, "lesson", "repository", &["{{1}}"]);
    lesson["files"] = json!(["calc.py"]);
    let rules = vec![learning::learner(&learning::of_kind("merged_change"), learning::names(&[lesson]))];
    let ground = reachable(learning::ground(&learning::script(rules, mends())).await).await;
    let server = ForgeServer::start(ForgeKind::Github).await;
    let world = World::on(ground, Provider::Github, &at(&server, &json!({}))).await;
    world.is_member("ada").await;
    let id = world.done(&labelled(Provider::Github)).await["task"].as_str().unwrap().to_owned();
    let number = opened(&server).await;
    world.api.until(&id, |task| !task["result"]["pull_request_url"].is_null()).await;

    let repository = calc(&world.ground);
    let branch = server.pulls()[0]["head"]["ref"].as_str().unwrap().to_owned();
    let by = ["-c", "user.name=Rev", "-c", "user.email=rev@example.com"];
    git(&repository, &["checkout", "--quiet", &branch]);
    std::fs::write(repository.join("calc.py"), "def add(a, b):\n    return sum((a, b))\n").unwrap();
    git(&repository, &[&by[..], &["commit", "--quiet", "--all", "--message", "sum"]].concat());
    git(&repository, &["checkout", "--quiet", "main"]);
    git(&repository, &[&by[..], &["merge", "--quiet", "--no-ff", "--message", "merged", &branch]].concat());
    let commit = git(&repository, &["rev-parse", "HEAD"]).trim().to_owned();
    let merged = merged(Provider::Github, &number, &commit);
    let come = world.done(&merged).await;
    assert_eq!((&come["state"], &come["reason"]), (&json!("done"), &json!(format!("it was merged as {commit}"))));
    let row = learning::learnt(&world.api, &id, 2).await[0].clone();
    assert_eq!((&row["trigger"], &row["outcome"]), (&json!("merge"), &json!("learned")), "{row:#}");
    assert_eq!(learning::memories(&world.api).await[0]["text"], LESSON);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stranger_wrote_is_published_by_nobody_but_who_approves_it() {
    let ground = reachable(calculator::ground(&json!({ "sequence": mends() })).await).await;
    let server = ForgeServer::start(ForgeKind::Github).await;
    let world = World::on(ground, Provider::Github, &at(&server, &json!({}))).await;
    let strange = sent_with(Provider::Github, "issues_labeled", |p| p["issue"]["user"]["login"] = json!("mallory"));
    let id = world.done(&strange).await["task"].as_str().unwrap().to_owned();
    let task = world.api.until(&id, |task| task["status"] == "succeeded").await;
    assert_eq!(task["source"]["untrusted"], true, "{task:#}");
    said(&server, &["A member of the team has to approve before it is published"]).await;
    let branches = |ground: &Ground| git(&calc(ground), &["for-each-ref", "refs/heads/journeyman"]);
    assert_eq!((branches(&world.ground).as_str(), server.pulls().len()), ("", 0));
    let (_, pending) = world.api.get(&format!("/v1/tasks/{id}/approvals")).await;
    let approval = pending["data"].as_array().unwrap().iter().find(|one| one["kind"] == "publish").unwrap().clone();
    let path = format!("/v1/tasks/{id}/approvals/{}", approval["id"].as_str().unwrap());
    assert_eq!(world.api.post(&path, &json!({ "decision": "approve" })).await.0, 200);
    opened(&server).await;
    said(&server, &["[Pull request]("]).await;
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_given_back_and_what_the_task_makes_of_both_is_published() {
    let both = "sum([a, b])  # theirs and ours";
    let script =
        json!({ "sequence": [plan(), writes("a + b"), say("Mended."), writes(both), say("Both."), say("Well.")] });
    let ground = reachable(calculator::ground(&script).await).await;
    let server = ForgeServer::start(ForgeKind::Github).await;
    // Nobody publishes before the others have changed it.
    let world = World::on(ground, Provider::Github, &at(&server, &json!({ "publish": "off" }))).await;
    let id = world.done(&labelled(Provider::Github)).await["task"].as_str().unwrap().to_owned();
    world.api.until(&id, |task| task["status"] == "succeeded").await;
    let repository = calc(&world.ground);
    let theirs = "def add(a, b):\n    return sum([a, b])\n";
    std::fs::write(repository.join("calc.py"), theirs).unwrap();
    std::fs::write(repository.join("other.py"), "x = 1\n").unwrap();
    git(&repository, &["add", "--all"]);
    let by = ["-c", "user.name=Rev", "-c", "user.email=rev@example.com"];
    git(&repository, &[&by[..], &["commit", "--quiet", "--message", "theirs"]].concat());
    let path = format!("{}/v1/integrations/{}", world.api.base, world.integration["id"].as_str().unwrap());
    let edit = world.api.http.patch(path).bearer_auth(&world.api.key).json(&json!({ "publish": "branch" }));
    assert_eq!(edit.send().await.unwrap().status(), 200);
    let comment = sent_with(Provider::Github, "issue_comment_created", |p| {
        p["comment"]["body"] = json!("@journeyman well?");
        p["issue"]["user"] = p["sender"].clone();
    });
    world.done(&comment).await;
    // The run that was asked for meets theirs; the one after it makes one of both.
    let task = world.api.until(&id, |task| task["run"] == 3 && !task["result"]["branch"].is_null()).await;
    let branch = task["result"]["branch"].as_str().unwrap();
    let events = world.api.events(&id).await;
    let states: Vec<&Value> =
        events.iter().filter(|event| event["kind"] == "publish").map(|event| &event["data"]["state"]).collect();
    assert_eq!(states, ["requested", "conflict", "requested", "done"], "{events:#?}");
    let told = events.iter().rfind(|event| event["kind"] == "message.user").unwrap();
    assert!(told["data"]["text"].as_str().unwrap().contains("> def add(a, b):\n>     return sum([a, b])"), "{told:#}");
    assert_eq!(
        git(&repository, &["show", &format!("{branch}:calc.py")]),
        format!("def add(a, b):\n    return {both}\n")
    );
    assert_eq!(git(&repository, &["show", &format!("{branch}:other.py")]), "x = 1\n");
    assert_eq!(git(&repository, &["rev-parse", &format!("{branch}^")]), git(&repository, &["rev-parse", "main"]));
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_boundary_leaves_one_comment() {
    let armed = Arc::new(AtomicU32::new(0));
    let failpoint: Failpoint = {
        let armed = Arc::clone(&armed);
        Arc::new(move |_, boundary| match armed.compare_exchange(boundary, 0, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(0) | Err(_) => ControlFlow::Continue(()),
            Ok(_) => ControlFlow::Break(()),
        })
    };
    let ground =
        reachable(calculator::ground(&json!({ "rules": [{ "when": {}, "reply": say("Looked.") }] })).await).await;
    let server = ForgeServer::start(ForgeKind::Github).await;
    let quiet = at(&server, &json!({ "answers": { "enabled": false } }));
    let world = World::with(ground, Provider::Github, &quiet, Some(failpoint)).await;
    let path = format!("{}/v1/integrations/{}", world.api.base, world.integration["id"].as_str().unwrap());
    let answers = async |enabled: bool| {
        let edit = json!({ "answers": { "enabled": enabled } });
        let sent = world.api.http.patch(&path).bearer_auth(&world.api.key).json(&edit).send().await.unwrap();
        assert_eq!(sent.status(), 200);
    };
    let mut crashes = 0;
    for boundary in 1..10_u32 {
        let number = (100 + boundary).to_string();
        let issue = sent_with(Provider::Github, "issues_labeled", |p| {
            p["issue"]["number"] = json!(100 + boundary);
            p["issue"]["user"] = p["sender"].clone();
        });
        let id = world.done(&issue).await["task"].as_str().unwrap().to_owned();
        world.api.until(&id, |task| task["status"] == "succeeded").await;
        let own = || server.comments_of(&number);
        assert_eq!(own(), Vec::<Value>::new());
        // The task rests: what crashes is what answers.
        armed.store(boundary, Ordering::SeqCst);
        answers(true).await;
        let mut database = learning::connection(&world.ground).await;
        sqlx::query("UPDATE tracker_answers SET news = news + 1, due_at = now() WHERE task::text = $1")
            .bind(&id)
            .execute(&mut database)
            .await
            .unwrap();
        until("answered", async || {
            let due: Option<bool> =
                sqlx::query_scalar("SELECT due_at IS NOT NULL FROM tracker_answers WHERE task::text = $1")
                    .bind(&id)
                    .fetch_one(&mut database)
                    .await
                    .unwrap();
            (due == Some(false)).then_some(())
        })
        .await;
        assert_eq!(own().len(), 1, "crashed at {boundary}");
        assert!(own()[0]["body"].as_str().unwrap().contains("**Done.**"), "crashed at {boundary}: {:#?}", own());
        answers(false).await;
        if armed.swap(0, Ordering::SeqCst) != 0 {
            break;
        }
        crashes += 1;
    }
    assert_eq!(crashes, 3, "before it is said, after that, and once it is written down");
    world.service.stop().await;
}
