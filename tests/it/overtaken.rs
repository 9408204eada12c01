//! Words that come at the very moment at which a run is about to end, through another replica than the one that works.

use crate::support::{
    process::Process,
    service::{Ground, say, second_data_dir},
};
use journeyman::{app::Role, domain::TaskId, runner::Failpoint};
use serde_json::json;
use std::{
    collections::HashMap,
    ops::ControlFlow,
    sync::{Arc, Mutex},
};

/// More step boundaries than a task of one reply has.
const BOUNDARIES: u32 = 9;

#[tokio::test(flavor = "multi_thread")]
async fn words_that_come_at_any_step_boundary_are_shown_to_the_model() {
    let script = json!({ "rules": [
        { "when": { "contains": "And why?" }, "reply": say("Because.") },
        { "reply": say("It is so.") },
    ] });
    let mut ground = Ground::new(&script).await;
    ground.repositories.make("calc", &[("calc.txt", "bad\n")]);
    ground.variables.push(("JOURNEYMAN_WORKERS".to_owned(), "2".to_owned()));
    let (_dir, elsewhere) = second_data_dir();
    let process = Process::api_only(&ground, &elsewhere);
    let url = format!("file://{}", ground.repositories.path().join("calc").display());

    // Nobody works yet: each task is made with the boundary at which somebody speaks.
    let mut ids = Vec::new();
    for _ in 0..BOUNDARIES {
        let body = json!({ "request": "is it so?", "mode": "answer", "repository": { "url": url } });
        ids.push(process.api.create(&body).await);
    }
    let speaks: HashMap<TaskId, u32> = ids.iter().map(|id| id.parse().unwrap()).zip(1..).collect();
    let spoken = Arc::new(Mutex::new(Vec::new()));
    let (api, told) = (process.api.clone(), Arc::clone(&spoken));
    let failpoint: Failpoint = Arc::new(move |task, boundary| {
        if speaks.get(&task) == Some(&boundary) && !told.lock().unwrap().contains(&task) {
            told.lock().unwrap().push(task);
            let api = api.clone();
            // Committed before the step that is about to be decided, and not heard of yet.
            let speaking = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let words = json!({ "text": "And why?" });
                let http = reqwest::Client::new();
                let api = crate::support::service::Api { http, ..api };
                runtime.block_on(api.post(&format!("/v1/tasks/{task}/messages"), &words)).0
            });
            assert_eq!(speaking.join().unwrap(), 202);
        }
        ControlFlow::Continue(())
    });
    let worker = ground.start_as(Role::Worker, ground.data.path(), Some(failpoint)).await;
    for (id, at) in ids.iter().zip(1..) {
        let task = process.api.rest(id).await;
        let heard = spoken.lock().unwrap().contains(&id.parse().unwrap());
        let wanted = if heard { "Because." } else { "It is so." };
        let events = process.api.events(id).await;
        assert_eq!(task["result"]["answer"], wanted, "words at boundary {at}: {events:#?}");
    }
    assert!(spoken.lock().unwrap().len() >= 4, "{spoken:?}");
    worker.stop().await;
    process.kill();
}
