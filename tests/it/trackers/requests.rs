//! Pull requests of a task: what is said there once they have ended, and what of them is told by no event.

use super::{
    reading::rules,
    sent::{Sent, sent_with},
    stories::World,
    whole::{at, calc, labelled, mends, opened, reachable, until},
};
use crate::{
    publishing::forge_server::{ForgeServer, Review},
    support::{
        calculator,
        service::{call, git, say},
    },
};
use journeyman::{
    domain::linked_account::Provider,
    trackers::{
        What,
        forge::ForgeKind,
        parse,
        rules::{Wanted, wanted},
    },
};
use serde_json::{Value, json};

/// A task whose pull request is open: its id, and the number.
async fn open(tracker: Provider, kind: ForgeKind) -> (World, ForgeServer, String, Value) {
    let mut script = mends();
    script.as_array_mut().unwrap().extend((0..20).map(|_| json!({ "text": "Well." })));
    let ground = reachable(calculator::ground(&json!({ "sequence": script })).await).await;
    let server = ForgeServer::start(kind).await;
    let world = World::on(ground, tracker, &at(&server, &json!({}))).await;
    let id = world.done(&labelled(tracker)).await["task"].as_str().unwrap().to_owned();
    let number = opened(&server).await;
    world.api.until(&id, |task| !task["result"]["pull_request_url"].is_null()).await;
    (world, server, id, number)
}

fn state_and_reason(come: &Value) -> (&str, &str) {
    (come["state"].as_str().unwrap(), come["reason"].as_str().unwrap())
}

fn said(number: &Value, text: &str) -> Sent {
    sent_with(Provider::Github, "issue_comment_on_pull_request", |p| {
        p["issue"]["number"] = number.clone();
        p["comment"]["id"] = json!(text.len());
        p["comment"]["body"] = json!(text);
    })
}

fn request(number: &Value, action: &str, state: &str) -> Sent {
    sent_with(Provider::Github, "pull_request_closed", |p| {
        p["action"] = json!(action);
        p["number"] = number.clone();
        p["pull_request"]["number"] = number.clone();
        p["pull_request"]["state"] = json!(state);
        p["pull_request"]["updated_at"] = json!(format!("2026-11-03T08:00:0{}Z", action.len() % 10));
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_once_a_pull_request_has_ended_wakes_nobody_unless_it_speaks_to_the_agent() {
    let (world, server, id, number) = open(Provider::Github, ForgeKind::Github).await;
    let branch = server.pulls()[0]["head"]["ref"].as_str().unwrap().to_owned();
    let commit = git(&calc(&world.ground), &["rev-parse", &branch]).trim().to_owned();
    let failed = |check: &str| {
        sent_with(Provider::Github, "status_failed", |p| {
            (p["sha"], p["context"], p["branches"]) = (json!(commit), json!(check), json!([]));
        })
    };
    let come = world.done(&failed("lint")).await;
    assert_eq!((&come["state"], &come["task"]), (&json!("done"), &json!(id)), "{come:#}");
    world.api.until(&id, |task| task["run"] == 2 && task["status"] == "succeeded").await;

    let come = world.done(&request(&number, "closed", "closed")).await;
    assert_eq!(state_and_reason(&come), ("done", "it is remembered that it was closed"));
    let over = "the pull request was closed, and the comment does not speak to the agent";
    assert_eq!(state_and_reason(&world.done(&said(&number, "Thanks, nice.")).await), ("ignored", over));
    assert_eq!(state_and_reason(&world.done(&failed("tests")).await), ("ignored", "the pull request was closed"));
    let come = world.done(&request(&number, "reopened", "open")).await;
    assert_eq!(state_and_reason(&come), ("done", "the pull request is open again"));
    assert_eq!(state_and_reason(&world.done(&said(&number, "Please name it.")).await), ("done", "its task was told"));
    world.api.until(&id, |task| task["run"] == 3 && task["status"] == "succeeded").await;

    let merged = sent_with(Provider::Github, "pull_request_merged", |p| {
        (p["number"], p["pull_request"]["number"]) = (number.clone(), number.clone());
        p["pull_request"]["merge_commit_sha"] = json!(commit);
    });
    assert_eq!(world.done(&merged).await["state"], "done");
    let over = "the pull request was merged, and the comment does not speak to the agent";
    assert_eq!(state_and_reason(&world.done(&said(&number, "Merged, thank you.")).await), ("ignored", over));
    let asked = world.done(&said(&number, "@journeyman one thing more: a test.")).await;
    assert_eq!(state_and_reason(&asked), ("done", "its task was told"));
    world.api.until(&id, |task| task["run"] == 4 && task["status"] == "succeeded").await;
    world.service.stop().await;
}

/// Gitea tells that somebody has reviewed, and what he said in general; what he said of lines is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_review_at_gitea_says_of_lines_reaches_the_task() {
    let (world, server, id, number) = open(Provider::Gitea, ForgeKind::Gitea).await;
    let on_lines = |at: &str, lines: &[(&str, u64, &str)]| Review {
        login: "ada".to_owned(),
        at: at.to_owned(),
        lines: lines.iter().map(|(path, line, text)| ((*path).to_owned(), *line, (*text).to_owned())).collect(),
    };
    server.has_review(on_lines("2026-11-01T11:00:00Z", &[("calc.py", 1, "Not this one.")]));
    server.has_review(on_lines(
        "2026-11-01T12:00:01Z",
        &[("calc.py", 2, "Name this sum."), ("README.md", 7, "Say so. <!-- not this -->")],
    ));
    server.has_review(on_lines("2026-11-01T14:00:00Z", &[]));
    let reviewed = |at: &str| {
        sent_with(Provider::Gitea, "pull_request_comment", |p| {
            (p["number"], p["pull_request"]["number"]) = (number.clone(), number.clone());
            p["pull_request"]["updated_at"] = json!(at);
            p["review"]["content"] = json!("");
        })
    };
    // Away for the first time that it is asked.
    server.is_away_for(1);
    let come = world.done(&reviewed("2026-11-01T12:00:00Z")).await;
    assert_eq!((&come["state"], &come["task"]), (&json!("done"), &json!(id)), "{come:#}");
    let events = world.api.events(&id).await;
    let told = events.iter().rfind(|event| event["kind"] == "message.user").unwrap();
    let text = told["data"]["text"].as_str().unwrap();
    assert!(text.contains("calc.py:2: Name this sum."), "{text}");
    assert!(
        text.contains("README.md:7: Say so.") && !text.contains("not this") && !text.contains("Not this"),
        "{text}"
    );
    world.api.until(&id, |task| task["run"] == 2 && task["status"] == "succeeded").await;
    // An approval has no words at all.
    let come = world.done(&reviewed("2026-11-01T14:00:00Z")).await;
    assert_eq!(state_and_reason(&come), ("ignored", "a comment without words"));
    world.service.stop().await;
}

/// What a repository is called is no part of what its tasks are about.
#[tokio::test(flavor = "multi_thread")]
async fn a_repository_with_another_name_keeps_its_issues_tasks() {
    let ask = call("ask_user", json!({ "questions": [{ "question": "Which one?" }] }));
    let script =
        json!({ "rules": [{ "when": { "calls": 0 }, "reply": ask }, { "when": {}, "reply": say("Looked.") }] });
    let ground = reachable(calculator::ground(&script).await).await;
    let server = ForgeServer::start(ForgeKind::Github).await;
    let world = World::on(ground, Provider::Github, &at(&server, &json!({}))).await;
    let id = world.done(&labelled(Provider::Github)).await["task"].as_str().unwrap().to_owned();
    world.api.until(&id, |task| task["status"] == "waiting").await;
    until("answered", async || server.comments().first().cloned()).await;
    let renamed = sent_with(Provider::Github, "repository_renamed", |p| {
        p["repository"]["full_name"] = json!("acme/adder");
        p["changes"]["repository"]["name"]["from"] = json!("calc");
    });
    assert_eq!(state_and_reason(&world.done(&renamed).await), ("done", "it has another name now"));
    // Another repository that has the name now has no task.
    let other = world.send(&sent_with(Provider::Github, "issues_closed", |_| {})).await;
    assert_eq!((other.0, &other.1["reason"]), (200, &json!("no task is about this issue")), "{}", other.1);
    let closed = sent_with(Provider::Github, "issues_closed", |p| {
        p["repository"]["full_name"] = json!("acme/adder");
        p["issue"]["updated_at"] = json!("2026-11-04T08:00:00Z");
    });
    let come = world.done(&closed).await;
    assert_eq!((state_and_reason(&come).0, &come["task"]), ("done", &json!(id)), "{come:#}");
    world.api.until(&id, |task| task["status"] == "cancelled").await;
    let edited = |asked: &String| asked.starts_with("PATCH /api/v3/repos/acme/adder/issues/comments/");
    until("answered there", async || server.asked().iter().any(edited).then_some(())).await;
    world.service.stop().await;
}

/// An issue that goes to another project or team has another key, by which it is told of from then on.
#[test]
fn an_issue_that_was_moved_says_from_where_and_what_else_was_done() {
    for tracker in [Provider::Jira, Provider::Linear] {
        let read = |change: &dyn Fn(&mut Value)| {
            let sent = sent_with(tracker, "issue_moved", change);
            parse(tracker, &sent.map(), &sent.body)
        };
        let issue = read(&|_| {}).issue.unwrap();
        assert_eq!((issue.key.as_str(), issue.moved_from.as_deref()), ("CALC-12", Some("OLD-3")));
        // It has moved whatever else was done with it, for which no rule is.
        let labelled = read(&|p| {
            if tracker == Provider::Jira {
                let label = json!({ "field": "labels", "fromString": "", "toString": "bug" });
                p["changelog"]["items"].as_array_mut().unwrap().push(label);
            } else {
                p["updatedFrom"]["labelIds"] = json!([]);
                p["data"]["labels"][0]["name"] = json!("bug");
                p["data"]["labels"] = json!([p["data"]["labels"][0]]);
            }
        });
        assert!(matches!(labelled.what, What::Labelled { .. }), "{tracker:?}: {labelled:#?}");
        assert_eq!(wanted(&labelled, &rules()), Wanted::Moved, "{tracker:?}");
        // It may end by the same act.
        let ended = read(&|p| {
            if tracker == Provider::Jira {
                let status = json!({ "field": "status", "fromString": "To Do", "toString": "Done" });
                p["changelog"]["items"].as_array_mut().unwrap().push(status);
                p["issue"]["fields"]["status"]["statusCategory"]["key"] = json!("done");
            } else {
                p["updatedFrom"]["stateId"] = json!("s-1");
                p["data"]["state"]["type"] = json!("completed");
            }
        });
        assert_eq!(ended.what, What::Closed, "{tracker:?}");
        assert_eq!(ended.issue.unwrap().moved_from.as_deref(), Some("OLD-3"));
    }
}
