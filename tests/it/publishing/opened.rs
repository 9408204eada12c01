//! A pull request by the service: opened once, whatever is lost or crashes.

use super::{
    branches, calc, came,
    forge_server::{App, ForgeServer, Member, TOKEN},
    ground, publish, request, rested,
};
use crate::support::service::{Api, Ground};
use journeyman::{runner::Failpoint, trackers::forge::ForgeKind};
use serde_json::{Value, json};
use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

const KINDS: [(ForgeKind, &str); 3] =
    [(ForgeKind::Github, "github"), (ForgeKind::Gitlab, "gitlab"), (ForgeKind::Gitea, "gitea")];

async fn grounded() -> Ground {
    let mut ground = ground().await;
    for (name, value) in [("JOURNEYMAN_PRIVATE_HOSTS", "127.0.0.1"), ("JOURNEYMAN_LEASE_TTL_SECONDS", "1")] {
        ground.variables.push((name.to_owned(), value.to_owned()));
    }
    ground
}

/// Lets the service into the forge for the repository.
async fn integrate(api: &Api, ground: &Ground, server: &ForgeServer, tracker: &str) {
    let url = format!("file://{}", calc(ground).display());
    let body = json!({ "name": tracker, "tracker": tracker, "secret": "a-secret-of-the-hooks", "base_url": server.url,
        "token": TOKEN, "repositories": { "team/calc": { "url": url } },
        "pull_requests": { "labels": ["agent"], "reviewers": ["ada"] } });
    let (status, made) = api.post("/v1/integrations", &body).await;
    assert_eq!(status, 201, "{made:#}");
    // The label is not among those that come first.
    (0..60).for_each(|number| server.has_label(&format!("area {number}")));
    server.has_label("agent");
    server.has_member(Member { id: 21, login: "ada".to_owned(), permission: "write" });
}

fn body_of(pull: &Value) -> &str {
    pull["body"].as_str().or(pull["description"].as_str()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_is_opened_once_at_each_forge() {
    for (kind, tracker) in KINDS {
        let ground = grounded().await;
        super::commit(&calc(&ground), ".gitkeep", "");
        std::fs::create_dir_all(calc(&ground).join(".github")).unwrap();
        super::commit(&calc(&ground), ".github/pull_request_template.md", "## Our own list\n- [ ] read\n");
        let server = ForgeServer::start(kind).await;
        let service = ground.start().await;
        let api = service.api();
        integrate(&api, &ground, &server, tracker).await;
        let id = rested(&api, &request(&ground, "mend")).await;
        // The answer to the first is lost: it is found, and not made again.
        server.lose(1);
        let accepted = publish(&api, &id, &json!({ "pull_request": true })).await;
        let done = came(&api, &id, &accepted, &["done", "failed"]).await;
        assert_eq!(done["state"], "done", "{tracker}: {done:#}");
        let url = done["pull_request_url"].as_str().unwrap_or_else(|| panic!("{tracker}: {done:#}")).to_owned();
        assert!(url.starts_with("https://forge.example/team/calc/"), "{url}");
        let task = api.get(&format!("/v1/tasks/{id}")).await.1;
        assert_eq!(task["result"]["pull_request_url"], json!(url));
        let pulls = server.pulls();
        assert_eq!(pulls.len(), 1, "{tracker}: {pulls:#?}");
        let body = body_of(&pulls[0]);
        let label = &pulls[0]["labels"][0];
        assert_eq!(label["name"].as_str().or(label.as_str()), Some("agent"), "{tracker}: {:#}", pulls[0]);
        let asked = server.asked().iter().any(|asked| match kind {
            ForgeKind::Gitlab => asked.starts_with("PUT ") && asked.contains("/merge_requests/1"),
            _ => asked.ends_with("/pulls/1/requested_reviewers"),
        });
        assert!(asked, "{tracker}: {:#?}", server.asked());
        for part in
            ["Not verified", "## What\n\nDone as asked.", "> mend the sum", "Verdict: unverified", "## Our own list"]
        {
            assert!(body.contains(part), "{tracker}: {part:?} is not in {body}");
        }
        let again = publish(&api, &id, &json!({ "pull_request": true })).await;
        let again = came(&api, &id, &again, &["done", "failed"]).await;
        assert_eq!(again["pull_request_url"], json!(url));
        assert_eq!(server.pulls().len(), 1, "{tracker}");
        service.stop().await;
    }
}

/// What an earlier run has come to is not what the branch holds now.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_pull_request_says_what_holds_now_and_keeps_what_people_wrote() {
    for (kind, tracker) in KINDS {
        let ground = grounded().await;
        let server = ForgeServer::start(kind).await;
        let service = ground.start().await;
        let api = service.api();
        integrate(&api, &ground, &server, tracker).await;
        let id = rested(&api, &request(&ground, "mend")).await;
        let accepted = publish(&api, &id, &json!({ "pull_request": true })).await;
        assert_eq!(came(&api, &id, &accepted, &["done", "failed"]).await["state"], "done");
        let first = server.pulls()[0].clone();
        assert_eq!((first["draft"].clone(), body_of(&first).contains("Verdict: unverified")), (json!(true), true));
        // As a run that was verified would have left it, with words of people around.
        server.change(1, |pull| {
            let field = if kind == ForgeKind::Gitlab { "description" } else { "body" };
            let said = body_of(pull).replace("request: draft -->", "request: ready -->");
            let said = said.replace("Verdict: unverified", "Verdict: verified").replace('\n', "\r\n");
            pull[field] = json!(format!("Please read this first.\r\n\r\n{said}\r\n\r\n- [x] read"));
            pull["draft"] = json!(false);
            let title = pull["title"].as_str().unwrap();
            pull["title"] = json!(title.trim_start_matches("Draft: ").trim_start_matches("WIP: "));
        });
        // What is not done the first time is done by the next try.
        server.graphql_is_away_for(1);
        let again = publish(&api, &id, &json!({ "pull_request": true })).await;
        assert_eq!(came(&api, &id, &again, &["done", "failed"]).await["state"], "done");
        let now = server.pulls()[0].clone();
        let own = body_of(&first);
        assert_eq!(body_of(&now), format!("Please read this first.\n\n{own}\n\n- [x] read"), "{tracker}");
        assert_eq!((&now["draft"], &now["title"]), (&json!(true), &first["title"]), "{tracker}");
        // Where nobody can tell what is the service's, and where nothing is new, it is left alone.
        let edits = || {
            let asked = server.asked();
            let of_bodies = asked.iter().filter(|asked| asked.starts_with("PATCH ") || asked.starts_with("PUT "));
            of_bodies.count()
        };
        let before = edits();
        let same = publish(&api, &id, &json!({ "pull_request": true })).await;
        came(&api, &id, &same, &["done"]).await;
        server.change(1, |pull| {
            let field = if kind == ForgeKind::Gitlab { "description" } else { "body" };
            pull[field] = json!("All my own words.");
        });
        let other = publish(&api, &id, &json!({ "pull_request": true })).await;
        came(&api, &id, &other, &["done"]).await;
        assert_eq!((edits(), body_of(&server.pulls()[0])), (before, "All my own words."), "{tracker}");
        service.stop().await;
    }
}

/// Somebody has opened it himself: it gets none of what the service's have.
#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_of_somebody_elses_is_taken_as_it_is() {
    let ground = grounded().await;
    let server = ForgeServer::start(ForgeKind::Github).await;
    let service = ground.start().await;
    let api = service.api();
    let id = rested(&api, &request(&ground, "mend")).await;
    let accepted = publish(&api, &id, &json!({})).await;
    came(&api, &id, &accepted, &["done"]).await;
    let own = json!({ "title": "Mine", "head": accepted["branch"], "base": "main", "body": "All my own words." });
    let made = api.http.post(format!("{}/api/v3/repos/team/calc/pulls", server.url)).json(&own);
    let made = made.bearer_auth(TOKEN).header("user-agent", "somebody").send().await.unwrap();
    assert_eq!(made.status(), 201);
    integrate(&api, &ground, &server, "github").await;
    let accepted = publish(&api, &id, &json!({ "pull_request": true })).await;
    let done = came(&api, &id, &accepted, &["done", "failed"]).await;
    assert!(done["pull_request_url"].is_string(), "{done:#}");
    let pull = &server.pulls()[0];
    assert_eq!((body_of(pull), &pull["labels"]), ("All my own words.", &json!([])), "{pull:#}");
    let changed: Vec<String> = server.asked().into_iter().filter(|asked| !asked.starts_with("GET ")).collect();
    assert_eq!(changed, ["POST /api/v3/repos/team/calc/pulls"], "but for theirs nothing was asked");
    service.stop().await;
}

/// One App for some repositories of a host leaves the others to whoever else may speak for them.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_not_let_into_a_repository_leaves_it_to_the_next_integration() {
    let ground = grounded().await;
    let (apps, server) = (ForgeServer::start(ForgeKind::Github).await, ForgeServer::start(ForgeKind::Gitea).await);
    let (app, private) = App::new("4711", "815");
    apps.knows(app.for_repositories(&["elsewhere"]));
    let service = ground.start().await;
    let api = service.api();
    let url = format!("file://{}", calc(&ground).display());
    let body = json!({ "name": "app", "tracker": "github", "secret": "a-secret-of-the-hooks", "base_url": apps.url,
        "app": { "app_id": "4711", "installation_id": "815" }, "token": private,
        "repositories": { "team/calc": { "url": url } } });
    assert_eq!(api.post("/v1/integrations", &body).await.0, 201);
    let id = rested(&api, &request(&ground, "mend")).await;
    let accepted = publish(&api, &id, &json!({ "pull_request": true })).await;
    let alone = came(&api, &id, &accepted, &["done", "failed"]).await;
    assert_eq!((&alone["state"], &alone["pull_request_url"]), (&json!("done"), &Value::Null), "{alone:#}");
    assert!(alone["reason"].as_str().unwrap().contains("is not let into it"), "{alone:#}");
    integrate(&api, &ground, &server, "gitea").await;
    let accepted = publish(&api, &id, &json!({ "pull_request": true })).await;
    let done = came(&api, &id, &accepted, &["done", "failed"]).await;
    assert!(done["pull_request_url"].is_string(), "{done:#}");
    assert_eq!((apps.pulls().len(), server.pulls().len()), (0, 1));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_boundary_leaves_one_pull_request() {
    let ground = grounded().await;
    let server = ForgeServer::start(ForgeKind::Gitea).await;
    let armed = Arc::new(AtomicU32::new(0));
    let failpoint: Failpoint = {
        let armed = Arc::clone(&armed);
        Arc::new(move |_, boundary| match armed.compare_exchange(boundary, 0, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(0) | Err(_) => ControlFlow::Continue(()),
            Ok(_) => ControlFlow::Break(()),
        })
    };
    let service = ground.start_with(ground.data.path(), Some(failpoint)).await;
    let api = service.api();
    integrate(&api, &ground, &server, "gitea").await;
    let id = rested(&api, &request(&ground, "mend")).await;
    let mut crashes = 0;
    for boundary in 1.. {
        armed.store(boundary, Ordering::SeqCst);
        let wish = json!({ "branch": format!("journeyman/crash-{boundary}"), "pull_request": true });
        let accepted = publish(&api, &id, &wish).await;
        let done = came(&api, &id, &accepted, &["done", "failed"]).await;
        assert_eq!(done["state"], "done", "crashed at {boundary}: {done:#}");
        assert!(done["pull_request_url"].is_string(), "crashed at {boundary}: {done:#}");
        let of = |pull: &&Value| pull["head"]["ref"] == wish["branch"];
        let pulls = server.pulls();
        let made: Vec<&Value> = pulls.iter().filter(of).collect();
        assert_eq!(made.len(), 1, "crashed at {boundary}");
        assert_eq!(made[0]["labels"][0]["name"], "agent", "crashed at {boundary}");
        let path = format!("/pulls/{}/requested_reviewers", made[0]["number"]);
        assert!(server.asked().iter().any(|asked| asked.ends_with(&path)), "crashed at {boundary}: no reviewer");
        if armed.swap(0, Ordering::SeqCst) != 0 {
            break;
        }
        crashes += 1;
    }
    assert!(crashes >= 8, "only {crashes} boundaries were met");
    assert_eq!((server.pulls().len(), branches(&calc(&ground)).len()), (crashes + 1, crashes + 1));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_github_app_opens_it_by_tokens_that_it_is_given_for_the_one_repository() {
    let ground = grounded().await;
    let server = ForgeServer::start(ForgeKind::Github).await;
    let (app, private) = App::new("4711", "815");
    server.knows(app);
    let service = ground.start().await;
    let api = service.api();
    let url = format!("file://{}", calc(&ground).display());
    let mut body = json!({ "name": "app", "tracker": "github", "secret": "a-secret-of-the-hooks", "base_url": server.url,
        "app": { "app_id": "4711", "installation_id": "815" }, "token": "github_pat_of_somebody",
        "pull_requests": { "labels": ["agent"], "reviewers": ["ada"] },
        "repositories": { "team/calc": { "url": url } } });
    let (status, refused) = api.post("/v1/integrations", &body).await;
    assert_eq!((status, &refused["errors"][0]["pointer"]), (422, &json!("/token")), "{refused:#}");
    body["token"] = json!(private);
    let (status, made) = api.post("/v1/integrations", &body).await;
    assert_eq!(status, 201, "{made:#}");
    assert!(!made.to_string().contains("PRIVATE KEY"), "{made:#}");
    for what in ["mend", "again"] {
        let id = rested(&api, &request(&ground, what)).await;
        let accepted = publish(&api, &id, &json!({ "pull_request": true })).await;
        let done = came(&api, &id, &accepted, &["done", "failed"]).await;
        assert!(done["pull_request_url"].is_string(), "{done:#}");
    }
    assert_eq!(server.pulls().len(), 2);
    let permissions = json!({ "contents": "write", "issues": "write", "pull_requests": "write" });
    let asked = json!({ "repositories": ["calc"], "permissions": permissions });
    assert_eq!(server.given(), [asked], "one token lasts for both");
    for pull in server.pulls() {
        assert_eq!(
            (&pull["labels"][0]["name"], &pull["requested_reviewers"][0]["login"]),
            (&json!("agent"), &json!("ada"))
        );
    }

    // Another App's key opens nothing, and says so.
    let path = format!("{}/v1/integrations/{}", api.base, made["id"].as_str().unwrap());
    let edit = json!({ "app": { "app_id": "4712", "installation_id": "815" }, "token": private });
    assert_eq!(api.http.patch(path).bearer_auth(&api.key).json(&edit).send().await.unwrap().status(), 200);
    let id = rested(&api, &request(&ground, "mend")).await;
    let accepted = publish(&api, &id, &json!({ "pull_request": true, "branch": "journeyman/other" })).await;
    let failed = came(&api, &id, &accepted, &["done", "failed"]).await;
    assert!(failed["reason"].as_str().unwrap().contains("refused the integration's token (401)"), "{failed:#}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_an_integration_gets_the_branch_alone() {
    let ground = ground().await;
    let service = ground.start().await;
    let api = service.api();
    let id = rested(&api, &request(&ground, "mend")).await;
    let accepted = publish(&api, &id, &json!({ "pull_request": true })).await;
    let done = came(&api, &id, &accepted, &["done", "failed"]).await;
    assert_eq!((&done["state"], &done["pull_request_url"]), (&json!("done"), &Value::Null), "{done:#}");
    assert!(done["reason"].as_str().unwrap().contains("POST /v1/integrations"), "{done:#}");
    assert_eq!(branches(&calc(&ground)).len(), 1);
    service.stop().await;
}
