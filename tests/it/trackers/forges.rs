//! Who may is asked of the forge, live, and what cannot be found out is no leave.

use super::{
    sent::{sent, sent_with},
    stories::World,
};
use crate::{
    publishing::forge_server::{ForgeServer, Member, TOKEN},
    support::calculator,
};
use journeyman::{domain::linked_account::Provider, trackers::forge::ForgeKind};
use serde_json::{Value, json};

/// A service with an integration of a forge where Ada may write and Bob may read.
async fn world(tracker: Provider) -> (World, ForgeServer) {
    let forge = ForgeServer::start(ForgeKind::parse(tracker.as_str()).unwrap()).await;
    for (id, login, permission) in [(21, "ada", "write"), (22, "bob", "read")] {
        forge.has_member(Member { id, login: login.to_owned(), permission });
    }
    let script = json!({ "sequence": [{ "text": "Looked.", "repeat": 99 }] });
    let mut ground = calculator::ground(&script).await;
    ground.variables.push(("JOURNEYMAN_PRIVATE_HOSTS".to_owned(), "127.0.0.0/8".to_owned()));
    let more = json!({ "allowed_users": [], "token": TOKEN, "base_url": forge.url, "publish": "off",
        "answers": { "enabled": false } });
    (World::on(ground, tracker, &more).await, forge)
}

fn by_bob(tracker: Provider) -> super::sent::Sent {
    let (name, author): (_, fn(&mut Value)) = match tracker {
        Provider::Github => ("issues_labeled", |p| p["sender"]["login"] = json!("bob")),
        Provider::Gitea => ("issue_label_updated", |p| p["sender"]["login"] = json!("bob")),
        _ => ("issue_labelled", |p| {
            p["user"]["username"] = json!("bob");
            p["user"]["id"] = json!(22);
        }),
    };
    sent_with(tracker, name, author)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_write_may_ask_and_who_may_read_may_not() {
    for (tracker, name) in [
        (Provider::Github, "issues_labeled"),
        (Provider::Gitlab, "issue_labelled"),
        (Provider::Gitea, "issue_label_updated"),
    ] {
        let (world, forge) = world(tracker).await;
        let refused = world.done(&by_bob(tracker)).await;
        assert_eq!(refused["state"], "ignored", "{tracker:?}: {refused:#}");
        assert!(
            refused["reason"].as_str().unwrap().starts_with("bob may not make or steer tasks: his "),
            "{refused:#}"
        );
        let done = world
            .done(&sent_with(tracker, name, |p| {
                for place in ["/issue/updated_at", "/object_attributes/updated_at"] {
                    if let Some(at) = p.pointer_mut(place) {
                        *at = json!("2026-11-09T10:00:00Z");
                    }
                }
            }))
            .await;
        assert_eq!(done["state"], "done", "{tracker:?}: {done:#} {:?}", forge.asked());
        let task = world.api.rest(done["task"].as_str().unwrap()).await;
        assert_eq!(
            (&task["source"]["outsider"], &task["source"]["untrusted"]),
            (&json!(true), &Value::Null),
            "{task:#}"
        );
        // It is asked once a minute about one person.
        let asked = forge.asked();
        assert_eq!(asked.iter().filter(|path| path.contains("/ada/") || path.ends_with("/21")).count(), 1, "{asked:?}");
        world.service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forge_that_refuses_or_knows_nobody_gives_no_leave() {
    let (world, forge) = world(Provider::Github).await;
    forge.answers_only(Some(403));
    let failed = world.done(&sent(Provider::Github, "issues_labeled")).await;
    let reason = "who may could not be asked: the host refused the integration's token (403): it gave no reason";
    assert_eq!((&failed["state"], &failed["reason"]), (&json!("failed"), &json!(reason)));
    // One that is away is asked again.
    forge.answers_only(Some(502));
    let later =
        sent_with(Provider::Github, "issues_labeled", |p| p["issue"]["updated_at"] = json!("2026-11-03T10:00:00Z"));
    let (status, answer) = world.send(&later).await;
    assert_eq!(status, 202);
    let path = format!("/v1/integrations/{}/deliveries", world.integration["id"].as_str().unwrap());
    let reason = "who may could not be asked: the host cannot be reached: it answered 502: it gave no reason";
    let told = |page: &Value| page["data"][0]["reason"] == reason;
    let page = world.api.until_at(&path, told).await;
    assert_eq!(page["data"][0]["state"], "waiting", "{page:#}");
    forge.answers_only(None);
    let came = world.came(&answer).await;
    assert_eq!(came["state"], "done", "{came:#}");
    assert!(came["attempts"].as_u64().unwrap() > 1);
    let stranger = sent_with(Provider::Github, "issues_labeled", |p| {
        p["sender"]["login"] = json!("mallory");
        p["issue"]["number"] = json!(44);
    });
    let came = world.done(&stranger).await;
    assert_eq!(came["state"], "ignored", "{came:#}");
    assert_eq!(world.tasks().await.len(), 1);
    world.service.stop().await;
}
