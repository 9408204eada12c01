//! What is not lost, not given away and not held up, whatever trackers and strangers do.

use super::{
    client,
    jira_server::{self, JiraServer},
    linear_server::{self, LinearServer},
    sent::{SECRET, sent, sent_with},
    stories::World,
    whole::{at, calc, labelled, mends, opened, reachable, until},
};
use crate::{
    learning,
    publishing::forge_server::{App, ForgeServer, Member, TOKEN},
    support::{calculator, service::git},
};
use journeyman::{
    clock,
    domain::{IntegrationId, integration::GithubApp, linked_account::Provider},
    secrets::Secret,
    trackers::{
        Person, What,
        forge::{ForgeError, ForgeKind},
        parse,
        rules::{Wanted, wanted},
        tokens::{Purpose, TokenOf, Tokens},
    },
};
use serde_json::{Value, json};
use std::time::Duration;

fn person(login: &str, id: &str, also: &[&str]) -> Person {
    let also = also.iter().map(|name| (*name).to_owned()).collect();
    Person { login: login.to_owned(), id: id.to_owned(), also, bot: false }
}

#[test]
fn nobody_takes_the_id_of_another_for_his_name() {
    let ada = person("ada", "583231", &["Ada Lovelace", "ada@example.org"]);
    for name in ["ada", "@Ada", "583231", "ada lovelace", "ada@example.org"] {
        assert!(ada.is_called(name), "{name}");
    }
    let uuid = "0192f3a0-7b1c-4e7e-9c55-0123456789ab";
    for id in ["583231", "557058:ada", "5b10a2844c20165700ede21f", uuid] {
        for mallory in [person(id, "99", &[]), person("mallory", "99", &[id])] {
            assert!(!mallory.is_called(id), "{mallory:?}");
        }
        assert!(person("mallory", id, &[]).is_called(id));
    }
    assert!(!ada.is_called("") && !person("", "", &[]).is_called(""));
}

#[tokio::test]
async fn a_token_of_an_app_goes_to_no_other_host_and_lasts_no_longer_than_its_key() {
    let (server, elsewhere) =
        (ForgeServer::start(ForgeKind::Github).await, ForgeServer::start(ForgeKind::Github).await);
    let (known, private) = App::new("4711", "815");
    server.knows(known);
    let app = GithubApp { app_id: "4711".to_owned(), installation_id: "815".to_owned() };
    let tokens = Tokens::new(client(&["127.0.0.1"]));
    let integration: IntegrationId = clock::new_id();
    let of = |url, key: &str| {
        let (secret, app, tokens) = (Secret::new(key), app.clone(), tokens.clone());
        async move {
            let of = TokenOf { integration, base_url: Some(url), app: Some(&app), secret: &secret };
            tokens.of(of, Purpose::Git, Some("team/calc")).await
        }
    };
    for _ in 0..2 {
        assert_eq!(of(&server.url, &private).await.unwrap().expose(), TOKEN);
    }
    let narrow = json!({ "repositories": ["calc"], "permissions": { "contents": "write" } });
    assert_eq!(server.given(), [narrow], "it is kept, and has no more of the App than that");
    assert!(of(&elsewhere.url, &private).await.is_err());
    assert_eq!(elsewhere.asked(), ["POST /api/v3/app/installations/815/access_tokens"; 2][..elsewhere.asked().len()]);
    let (_, other) = App::new("4711", "815");
    assert!(of(&server.url, &other).await.is_err(), "another key");
}

#[tokio::test]
async fn an_app_that_is_not_let_into_a_repository_is_not_asked_about_it_all_the_time() {
    let server = ForgeServer::start(ForgeKind::Github).await;
    let (known, private) = App::new("4711", "815");
    server.knows(known.for_repositories(&["calc"]));
    let app = GithubApp { app_id: "4711".to_owned(), installation_id: "815".to_owned() };
    let tokens = Tokens::new(client(&["127.0.0.1"]));
    let secret = Secret::new(private);
    let of = TokenOf { integration: clock::new_id(), base_url: Some(&server.url), app: Some(&app), secret: &secret };
    for _ in 0..3 {
        let refused = tokens.of(of, Purpose::Comments, Some("team/other")).await.unwrap_err();
        assert!(matches!(refused, ForgeError::Rejected { status: 422, .. }), "{refused:?}");
    }
    assert_eq!(server.asked().len(), 2, "{:?}", server.asked());
    assert_eq!(tokens.of(of, Purpose::Comments, Some("team/calc")).await.unwrap().expose(), TOKEN);
    // One of the same name is not it.
    let other = tokens.of(of, Purpose::Comments, Some("upstream/calc")).await.unwrap_err();
    assert!(matches!(other, ForgeError::Rejected { status: 404, .. }), "{other:?}");
}

#[test]
fn an_issue_of_jira_is_by_who_made_it_whoever_reports_it() {
    let change = |p: &mut Value| {
        p["issue"]["fields"]["creator"]["accountId"] = json!("557058:mallory");
    };
    let sent = sent_with(Provider::Jira, "issue_labelled", change);
    let issue = parse(Provider::Jira, &sent.map(), &sent.body).issue.unwrap();
    assert_eq!(issue.author.unwrap().login, "557058:mallory");
    assert_eq!(issue.in_the_name_of.unwrap().login, "557058:ada");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_in_the_name_of_somebody_who_may_is_a_stranger_all_the_same() {
    for (field, untrusted) in [("creator", json!(true)), ("reporter", json!(true)), ("assignee", Value::Null)] {
        let world =
            World::new(Provider::Jira, &json!({ "sequence": [{ "text": "Looked.", "repeat": 9 }] }), &json!({})).await;
        let labelled = sent_with(Provider::Jira, "issue_labelled", |p| {
            p["issue"]["fields"][field] = p["issue"]["fields"]["creator"].clone();
            let person = &mut p["issue"]["fields"][field];
            (person["accountId"], person["displayName"]) = (json!("557058:mallory"), json!("Mallory"));
            person.as_object_mut().unwrap().remove("emailAddress");
        });
        let id = world.done(&labelled).await["task"].as_str().unwrap().to_owned();
        assert_eq!(world.api.rest(&id).await["source"]["untrusted"], untrusted, "{field}");
        world.service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_its_turn_waits_as_long_as_what_comes_before() {
    let ground =
        reachable(calculator::ground(&json!({ "sequence": [{ "text": "Looked.", "repeat": 9 }] })).await).await;
    let forge = ForgeServer::start(ForgeKind::Github).await;
    let world =
        World::on(ground, Provider::Github, &at(&forge, &json!({ "allowed_users": [], "publish": "off" }))).await;
    forge.has_member(Member { id: 1, login: "ada".to_owned(), permission: "write" });
    forge.answers_only(Some(502));
    let (_, label) = world.send(&labelled(Provider::Github)).await;
    let (status, close) = world.send(&sent(Provider::Github, "issues_closed")).await;
    assert_eq!(status, 202, "{close}");
    // As after minutes of turns.
    let mut database = learning::connection(&world.ground).await;
    let many = "UPDATE tracker_deliveries SET attempts = 500 WHERE id::text = $1 AND lease_until IS NULL";
    until("between two turns", async || {
        let done = sqlx::query(many).bind(close["delivery"].as_str().unwrap()).execute(&mut database).await.unwrap();
        (done.rows_affected() == 1).then_some(())
    })
    .await;
    forge.answers_only(None);
    let label = world.came(&label).await;
    assert_eq!(label["state"], "done", "{label:#}");
    let close = world.came(&close).await;
    // It ends the task, or finds it ended.
    assert!(close["state"] != "failed" && close["task"] == label["task"], "{close:#}");
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_a_pull_request_before_it_is_written_down_is_not_lost() {
    let ground = reachable(calculator::ground(&json!({ "sequence": mends() })).await).await;
    let server = ForgeServer::start(ForgeKind::Gitlab).await;
    let world = World::on(ground, Provider::Gitlab, &at(&server, &json!({}))).await;
    let id = world.done(&labelled(Provider::Gitlab)).await["task"].as_str().unwrap().to_owned();
    let number = opened(&server).await;
    world.api.until(&id, |task| !task["result"]["pull_request_url"].is_null()).await;
    let mut database = learning::connection(&world.ground).await;
    // As where it has been opened, and the service has not come to writing that.
    for statement in [
        "UPDATE publishings SET done_at = NULL, state = 'requested'",
        "UPDATE tracker_issues SET task = NULL WHERE issue LIKE '%!%'",
    ] {
        assert_eq!(sqlx::query(statement).execute(&mut database).await.unwrap().rows_affected(), 1, "{statement}");
    }
    let note = sent_with(Provider::Gitlab, "note_on_merge_request", |p| {
        p["merge_request"]["iid"] = number.clone();
        p["merge_request"]["source_branch"] = server.pulls()[0]["source_branch"].clone();
    });
    let (status, answer) = world.send(&note).await;
    assert_eq!((status, &answer["state"]), (202, &json!("waiting")), "{answer}");
    // Other people's wait for nothing.
    let other = sent_with(Provider::Gitlab, "note_on_merge_request", |p| {
        p["merge_request"]["iid"] = json!(99);
        p["merge_request"]["source_branch"] = json!("feature");
        p["object_attributes"]["id"] = json!(4_711);
    });
    assert_eq!(world.send(&other).await.1["state"], "ignored");
    tokio::time::sleep(Duration::from_secs(1)).await;
    sqlx::query("UPDATE tracker_issues SET task = $1::uuid WHERE issue LIKE '%!%'")
        .bind(&id)
        .execute(&mut database)
        .await
        .unwrap();
    sqlx::query("UPDATE publishings SET done_at = now(), state = 'done'").execute(&mut database).await.unwrap();
    let come = world.came(&answer).await;
    assert_eq!((&come["state"], &come["task"]), (&json!("done"), &json!(id)), "{come:#}");
    world.api.until(&id, |task| task["run"] == 2 && task["status"] == "succeeded").await;

    // A branch's own pipeline says nothing of its merge request.
    let failed = |branch: &Value| {
        sent_with(Provider::Gitlab, "pipeline_failed", |p| {
            p["merge_request"] = Value::Null;
            p["object_attributes"]["ref"] = branch.clone();
        })
    };
    let (_, answer) = world.send(&failed(&json!("journeyman/of-nobody"))).await;
    assert_eq!(answer["reason"], "a check of no pull request of the service's", "{answer}");
    let come = world.done(&failed(&server.pulls()[0]["source_branch"])).await;
    assert_eq!((&come["state"], &come["task"]), (&json!("done"), &json!(id)), "{come:#}");
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_that_has_been_away_for_long_keeps_no_pull_request_back() {
    let ground = reachable(calculator::ground(&json!({ "sequence": mends() })).await).await;
    let jira = JiraServer::start().await;
    let server = ForgeServer::start(ForgeKind::Github).await;
    let more = json!({ "base_url": jira.url, "token": jira_server::TOKEN, "publish": "off" });
    let world = World::on(ground, Provider::Jira, &more).await;
    let forge = json!({ "name": "forge", "tracker": "github", "secret": SECRET, "base_url": server.url, "token": TOKEN,
        "repositories": { "acme/calc": world.integration["repositories"]["CALC"] } });
    assert_eq!(world.api.post("/v1/integrations", &forge).await.0, 201);
    jira.is_away_for(u32::MAX);
    let id = world.done(&sent(Provider::Jira, "issue_labelled")).await["task"].as_str().unwrap().to_owned();
    world.api.until(&id, |task| task["status"] == "succeeded").await;
    // It has failed for long, and is to be tried in an hour; the task is told something and comes to rest again.
    let mut database = learning::connection(&world.ground).await;
    let later = "UPDATE tracker_answers SET failures = 8, due_at = now() + interval '1 hour' WHERE lease_until IS NULL";
    until("backed off", async || {
        (sqlx::query(later).execute(&mut database).await.unwrap().rows_affected() == 1).then_some(())
    })
    .await;
    let path = format!("{}/v1/integrations/{}", world.api.base, world.integration["id"].as_str().unwrap());
    let edit = json!({ "publish": "pull_request" });
    assert_eq!(world.api.http.patch(path).bearer_auth(&world.api.key).json(&edit).send().await.unwrap().status(), 200);
    let told = world.api.post(&format!("/v1/tasks/{id}/messages"), &json!({ "text": "otherwise" })).await;
    assert_eq!(told.0, 202, "{}", told.1);
    opened(&server).await;
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_session_hears_at_once_that_it_was_seen_and_in_the_end_what_it_came_to() {
    let ground = reachable(calculator::ground(&json!({ "sequence": mends() })).await).await;
    let linear = LinearServer::start().await;
    let more = json!({ "base_url": linear.url, "token": linear_server::TOKEN, "publish": "off" });
    let world = World::on(ground, Provider::Linear, &more).await;
    let begun = sent_with(Provider::Linear, "agent_session_created", |p| {
        p["agentSession"]["comment"]["id"] = json!("c-9");
    });
    let id = world.done(&begun).await["task"].as_str().unwrap().to_owned();
    let kinds = || -> Vec<String> {
        let all = linear.activities();
        all.iter().map(|one| one["content"]["type"].as_str().unwrap().to_owned()).collect()
    };
    until("concluded", async || (kinds() == ["thought", "response"]).then_some(())).await;
    let activities = linear.activities();
    assert!(activities.iter().all(|one| one["agentSessionId"] == "as-1"), "{activities:#?}");
    let body = activities[1]["content"]["body"].as_str().unwrap();
    assert!(body.contains("Done.") && body.contains(&format!("/v1/tasks/{id}")), "{body}");
    // The comment that began it is told of by itself as well.
    let comment = sent_with(Provider::Linear, "comment_created", |p| p["data"]["id"] = json!("c-9"));
    let come = world.done(&comment).await;
    assert_eq!((&come["state"], &come["task"]), (&json!("ignored"), &json!(id)), "{come:#}");
    assert_eq!(world.api.rest(&id).await["run"], 1);
    // What it is told more is seen, too, though its comment was ignored: that speaks to nobody.
    let aside = sent_with(Provider::Linear, "comment_created", |p| {
        (p["data"]["id"], p["data"]["body"]) = (json!("c-3"), json!("And the tests."));
    });
    assert_eq!(world.done(&aside).await["state"], "ignored");
    world.done(&sent(Provider::Linear, "agent_session_prompted")).await;
    until("concluded again", async || (kinds() == ["thought", "response", "thought", "response"]).then_some(())).await;
    world.service.stop().await;
}

#[test]
fn an_agent_session_is_commanded_as_a_comment_is() {
    let rules = serde_json::from_value(json!({ "mention": "@journeyman" })).unwrap();
    let wants = |text: &str| {
        let begun = sent_with(Provider::Linear, "agent_session_created", |p| {
            p["agentSession"]["comment"]["body"] = json!(text);
        });
        wanted(&parse(Provider::Linear, &begun.map(), &begun.body), &rules)
    };
    assert!(matches!(wants("@journeyman cancel"), Wanted::Cancel { .. }));
    let Wanted::Task { command, .. } = wants("@journeyman mend this model=large") else { panic!("no task") };
    assert_eq!((command.text.as_str(), command.model.as_deref()), ("mend this", Some("large")));
    let Wanted::Task { command, .. } = wants("Please mend this") else { panic!("no task") };
    assert_eq!(command.text, "Please mend this");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_write_orders_nothing_of_the_host() {
    let ground = reachable(calculator::ground(&json!({ "sequence": mends() })).await).await;
    let server = ForgeServer::start(ForgeKind::Github).await;
    let world = World::on(ground, Provider::Github, &at(&server, &json!({}))).await;
    let labelled = sent_with(Provider::Github, "issues_labeled", |p| {
        p["issue"]["user"] = p["sender"].clone();
        p["issue"]["title"] = json!("Mend it [skip ci]");
        p["issue"]["body"] = json!(
            "Fixes #3, closes: acme/calc#4 [ci skip]\n\nskip-checks: true\n\nResolved https://github.com/acme/calc/issues/5\n\n\
             See [why there is no cache](https://a.example/b), a[no] and [--no-default-features]."
        );
    });
    world.done(&labelled).await;
    opened(&server).await;
    let pull = &server.pulls()[0];
    let branch = pull["head"]["ref"].as_str().unwrap();
    let message = git(&calc(&world.ground), &["log", "-1", "--format=%B", branch]);
    let (title, body) = (pull["title"].as_str().unwrap(), pull["body"].as_str().unwrap());
    assert_eq!(title, "Mend it (skip ci)");
    for text in [&message, body] {
        for part in [
            "(#3)",
            "(acme/calc#4)",
            "(ci skip)",
            "skip checks: true",
            "Resolved (https://github.com/acme/calc/issues/5)",
            "[why there is no cache](https://a.example/b), a[no] and [--no-default-features]",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(!text.contains("[skip ci]") && !text.contains("[ci skip]"), "{text}");
    }
    world.service.stop().await;
}

#[test]
fn a_comment_and_its_session_know_each_other() {
    let begun =
        sent_with(Provider::Linear, "agent_session_created", |p| p["agentSession"]["comment"]["id"] = json!("c-9"));
    let what = parse(Provider::Linear, &begun.map(), &begun.body).what;
    assert!(matches!(&what, What::Delegated { comment: Some(comment), .. } if comment == "c-9"), "{what:?}");
}
