//! Users of one team and of another at once: what each may see, through a `kill -9`.

use crate::support::{
    calculator::{self, request, ten_turns},
    process::Process,
    service::Api,
    stream::{Seed, Stream, Watcher, assert_whole},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tokio::sync::watch;

/// What a team's member is shown of a task that is another team's, or of none: nothing, in the
/// same words.
async fn assert_unseen(api: &Api, task: &str) {
    let nobody = "018f0000-0000-7000-8000-000000000000";
    let words = |mut problem: Value, id: &str| {
        problem.as_object_mut().unwrap().remove("request_id").unwrap();
        problem.to_string().replace(id, "ID")
    };
    for rest in ["", "/events", "/conversation", "/patch", "/approvals"] {
        let (status, found) = api.get(&format!("/v1/tasks/{task}{rest}")).await;
        let (_, none) = api.get(&format!("/v1/tasks/{nobody}{rest}")).await;
        assert_eq!(status, 404, "{rest} {found}");
        assert_eq!(words(found, task), words(none, nobody), "{rest}");
    }
    for (rest, body) in [("/messages", json!({ "text": "stop" })), ("/cancel", json!({})), ("/pause", json!({}))] {
        assert_eq!(api.post(&format!("/v1/tasks/{task}{rest}"), &body).await.0, 404, "{rest}");
    }
    assert_eq!(Stream::open(api, task, None).await.unwrap().err(), Some(404));
}

async fn listed(api: &Api) -> BTreeSet<String> {
    let (_, list) = api.get("/v1/tasks").await;
    list["data"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sees_his_teams_tasks_alone_before_and_after_a_kill() {
    let seed = Seed::new();
    let mut script = ten_turns();
    script["pace"]["first_byte_ms"] = 300.into();
    let ground = calculator::ground(&script).await;
    let mut process = Process::start(&ground, ground.data.path());
    let base = process.api.base.clone();
    let mut ada = ground.member(&base, "one", "ada").await;
    let mut bob = ground.member(&base, "one", "bob").await;
    let mut eve = ground.member(&base, "two", "eve").await;
    let body = request(&ground);
    let (adas, bobs, eves) = tokio::join!(ada.create(&body), bob.create(&body), eve.create(&body));

    // Each follows his own, and Ada her team-mate's too.
    let (address, base) = watch::channel(base);
    let follows = [(&ada, &adas), (&bob, &bobs), (&eve, &eves), (&ada, &bobs)];
    let watching: Vec<_> = follows
        .into_iter()
        .zip(0..)
        .map(|((who, task), number)| {
            let (base, key, task, random) = (base.clone(), who.key.clone(), task.clone(), seed.random(number));
            (task.clone(), tokio::spawn(Watcher { base, key, task, random }.watch()))
        })
        .collect();
    for (who, task) in [(&ada, &adas), (&bob, &bobs), (&eve, &eves)] {
        who.answered(task, 2).await;
    }
    assert_unseen(&eve, &adas).await;
    assert_unseen(&ada, &eves).await;
    process.kill();

    process = Process::start(&ground, ground.data.path());
    for who in [&mut ada, &mut bob, &mut eve] {
        who.base.clone_from(&process.api.base);
    }
    address.send(process.api.base.clone()).unwrap();
    assert_unseen(&eve, &bobs).await;
    for (who, task, name) in [(&ada, &adas, "ada"), (&bob, &bobs, "bob"), (&eve, &eves, "eve")] {
        let ended = who.rest(task).await;
        assert_eq!(ended["result"]["verdict"], "verified", "{ended:#}");
        assert_eq!(ended["created_by"]["name"], name);
        assert!(who.events(task).await.iter().any(|e| e["kind"] == "recovered"), "the kill came in its midst");
        let patch = who.text(&format!("/v1/tasks/{task}/patch")).await.1;
        assert!(patch.contains("+    return a + b"), "{patch}");
    }
    for (task, watched) in watching {
        let reader = if task == eves { &eve } else { &bob };
        assert_whole(&watched.await.unwrap().events, &reader.events(&task).await, &task);
    }
    assert_unseen(&eve, &adas).await;
    assert_unseen(&eve, &bobs).await;
    assert_unseen(&bob, &eves).await;
    assert_eq!(listed(&ada).await, BTreeSet::from([adas.clone(), bobs.clone()]));
    assert_eq!(listed(&bob).await, BTreeSet::from([adas, bobs]));
    assert_eq!(listed(&eve).await, BTreeSet::from([eves]));
}
