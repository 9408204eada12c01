//! Random runs of whole tasks over HTTP: scripted replies with faults, people who act, change limits and instructions, and fork, workers
//! that fall and a replica that is drained, a provider whose tokens have two bytes. Each comes to its end with every call
//! answered once, nothing after the end and no limit passed, by what was told and by what the provider itself counted;
//! what was sent to the model grew by appending; and the exported log folds again to itself.
//!
//! `JOURNEYMAN_RANDOM_RUNS` says how many, `JOURNEYMAN_RANDOM_SEED` with which seed they begin.

mod limits;
mod sound;
mod story;

use crate::support::{
    replayed::{export, fold},
    service::{Api, Ground, second_data_dir},
};
use journeyman::{app::Role, domain::TaskId, runner::Failpoint};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    fmt::Write,
    ops::ControlFlow,
    sync::{Arc, Mutex},
};
use story::{Act, Story};
use tokio::{sync::watch, task::JoinSet};

const RUNS: u64 = 160;
/// Tasks that run at once.
const AT_ONCE: usize = 40;
/// How often people wake one task.
const WAKES_MAX: u32 = 40;

/// One task, as its workers meet it.
struct Fate {
    /// Step boundaries over all workers.
    met: watch::Sender<u32>,
    falls: Vec<u32>,
}

#[derive(Clone, Default)]
struct Fates(Arc<Mutex<HashMap<TaskId, Fate>>>);

impl Fates {
    fn of<T>(&self, task: TaskId, use_it: impl FnOnce(&mut Fate) -> T) -> T {
        let mut fates = self.0.lock().unwrap();
        use_it(fates.entry(task).or_insert_with(|| Fate { met: watch::channel(0).0, falls: Vec::new() }))
    }

    fn failpoint(&self) -> Failpoint {
        let fates = self.clone();
        Arc::new(move |task, _| {
            fates.of(task, |fate| {
                fate.met.send_modify(|met| *met += 1);
                let met = *fate.met.borrow();
                if fate.falls.contains(&met) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
        })
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

async fn ground(stories: &[Story]) -> Ground {
    let scenarios: HashMap<String, &Value> =
        stories.iter().map(|story| (format!("r{}", story.seed), &story.scenario)).collect();
    let mut ground = Ground::new(&json!({ "scenarios": scenarios, "bytes_per_token": 2 })).await;
    ground.repositories.make("calc", &[("calc.txt", "bad\n")]);
    let mut models = String::new();
    for (name, wire, more) in [
        ("responses", "responses", ""),
        ("chat", "chat", ""),
        ("messages", "messages", ""),
        ("narrow", "chat", "window = 28000\n"),
        ("falls", "responses", "fallback = \"chat\"\n"),
    ] {
        let url = &ground.model.url;
        let _ = write!(
            models,
            "[[models]]\nname = \"{name}\"\napi = \"{wire}\"\nurl = \"{url}\"\n{more}\
             retries = {{ attempts = 2, first_delay_ms = 5 }}\n\
             prices = {{ input = 1.0, cached_input = 0.1, output = 4.0 }}\n"
        );
    }
    let path = ground.data.path().join("models.toml");
    std::fs::write(&path, models).unwrap();
    ground.variables.push(("JOURNEYMAN_CONFIG".to_owned(), path.display().to_string()));
    ground
}

/// Plays one story to its end; the task's id, and of the task that was forked from it.
async fn play(api: Api, fates: Fates, story: Arc<Story>, repository: String) -> (String, Option<String>) {
    let mut request = story.request.clone();
    request["repository"] = json!({ "url": repository });
    let id = api.create(&request).await;
    let mut met = fates.of(id.parse().unwrap(), |fate| {
        fate.falls.clone_from(&story.falls);
        fate.met.subscribe()
    });
    let mut acts = story.acts.iter().peekable();
    let (mut after, mut wakes, mut forked) = (story.after.clone(), 0, None);
    let mut resting = Box::pin(api.rest(&id));
    loop {
        tokio::select! {
            changed = met.changed() => {
                changed.unwrap();
                let now = *met.borrow_and_update();
                while let Some((_, act)) = acts.next_if(|(at, _)| *at <= now) {
                    if *act == Act::Fork {
                        forked = fork(&api, &id, story.seed).await;
                    } else {
                        perform(&api, &id, act).await;
                    }
                }
            }
            task = &mut resting => {
                wakes += 1;
                assert!(wakes < WAKES_MAX, "seed {}: {task:#}", story.seed);
                match task["waiting_for"].as_str() {
                    Some("paused" | "capacity") => perform(&api, &id, &Act::Resume).await,
                    Some(_) => decide(&api, &id, story.agrees).await,
                    None => match after.take() {
                        Some(act) => perform(&api, &id, &act).await,
                        None => break,
                    },
                }
                resting = Box::pin(api.rest(&id));
            }
        }
    }
    drop(resting);
    if let Some(forked) = &forked {
        ended(&api, forked, &story).await;
    }
    (id, forked)
}

/// How the words of a fork are known among those of its task.
fn fork_mark(seed: u64) -> String {
    format!("fork-{seed}.")
}

/// The task that goes on from here; none where there is nothing to go on from.
async fn fork(api: &Api, id: &str, seed: u64) -> Option<String> {
    let body = json!({ "request": format!("And once more, as {}", fork_mark(seed)) });
    let (status, answer) = api.post(&format!("/v1/tasks/{id}/fork"), &body).await;
    assert!(matches!(status, 201 | 409), "fork: {status} {answer}");
    (status == 201).then(|| answer["id"].as_str().unwrap().to_owned())
}

/// Waits for the end of a task to which people do nothing but answer.
async fn ended(api: &Api, id: &str, story: &Story) {
    for _ in 0..WAKES_MAX {
        let task = api.rest(id).await;
        match task["waiting_for"].as_str() {
            Some("paused" | "capacity") => perform(api, id, &Act::Resume).await,
            Some(_) => decide(api, id, story.agrees).await,
            None => return,
        }
    }
    panic!("seed {}: the fork does not end", story.seed);
}

/// What cannot be done any more is refused.
async fn perform(api: &Api, id: &str, act: &Act) {
    let (path, body) = match act {
        Act::Say(on_busy) => ("messages", json!({ "text": "And mind the other one.", "on_busy": on_busy })),
        Act::Cancel => ("cancel", json!({})),
        Act::Pause => ("pause", json!({})),
        Act::Resume => ("resume", json!({})),
        Act::Retry => ("retry", json!({})),
        Act::Limit(name, limit) => {
            let request = api.http.patch(format!("{}/v1/tasks/{id}", api.base)).bearer_auth(&api.key);
            let answer = request.json(&json!({ "limits": { *name: limit } })).send().await.unwrap();
            let status = answer.status().as_u16();
            assert!(matches!(status, 200 | 409), "{act:?}: {status} {}", answer.text().await.unwrap());
            return;
        }
        Act::Fork => return,
        Act::Instruct => {
            let request = api.http.put(format!("{}/v1/instructions", api.base)).bearer_auth(&api.key);
            let text = format!("Mind what {id} has taught us.");
            let answer = request.json(&json!({ "text": text })).send().await.unwrap();
            let status = answer.status().as_u16();
            assert!(matches!(status, 200 | 409), "{act:?}: {status} {}", answer.text().await.unwrap());
            return;
        }
    };
    let (status, answer) = api.post(&format!("/v1/tasks/{id}/{path}"), &body).await;
    assert!(matches!(status, 202 | 409), "{act:?}: {status} {answer}");
}

async fn decide(api: &Api, id: &str, agrees: bool) {
    let (_, page) = api.get(&format!("/v1/tasks/{id}/approvals")).await;
    let pending = page["data"].as_array().unwrap().iter().find(|approval| approval["decision"].is_null());
    let Some(approval) = pending else { return };
    let body = match (agrees, approval["kind"].as_str()) {
        (false, _) => json!({ "decision": "deny" }),
        (true, Some("question")) => json!({ "decision": "answer", "answers": ["This one."] }),
        (true, _) => json!({ "decision": "approve" }),
    };
    let path = format!("/v1/tasks/{id}/approvals/{}", approval["id"].as_str().unwrap());
    let (status, answer) = api.post(&path, &body).await;
    assert!(matches!(status, 200 | 409), "{status} {answer}");
}

/// Looks at a task that has ended; what is wrong with it, with its file. Of a fork its own part.
async fn judge(api: &Api, id: &str, story: &Story, is_fork: bool, requests: &[Value]) -> Result<(), String> {
    let all = api.events(id).await;
    let own = all.iter().position(|event| is_fork && event["kind"] == "task.forked").unwrap_or(0);
    let events = &all[own..];
    let (mark, fork) = (format!("[scenario: r{}]", story.seed), fork_mark(story.seed));
    let sent: Vec<&Value> = requests
        .iter()
        .filter(|sent| {
            let body = sent["body"].to_string();
            body.contains(&mark) && body.contains(&fork) == is_fork
        })
        .collect();
    let file = export(api, id, "").await;
    let replayed = fold(&file);
    let folds = match &replayed.difference {
        Some(difference) => Err(format!("{difference:#?}")),
        None => replayed.unknown_because.map_or(Ok(()), Err),
    };
    let sound = sound::sound(&all)
        .and_then(|()| limits::held(events, &all, &story.request))
        .and_then(|()| limits::counted(&sent, events, &all, &story.request))
        .and_then(|()| sound::grew(&sent, events))
        .and(folds);
    sound.map_err(|why| {
        let of = if is_fork { "-fork" } else { "" };
        let path = std::env::temp_dir().join(format!("random-{}{of}.jsonl.gz", story.seed));
        std::fs::write(&path, &file).unwrap();
        format!("seed {}{of}, {}: {why}", story.seed, path.display())
    })
}

/// Plays so many stories at once; a second replica works along and is drained in the midst of it.
async fn play_all(ground: &Ground, api: &Api, fates: &Fates, stories: &[Arc<Story>]) -> Vec<String> {
    let repository = format!("file://{}", ground.repositories.path().join("calc").display());
    let (_dir, elsewhere) = second_data_dir();
    let mut replica = Some(ground.start_as(Role::Worker, &elsewhere, Some(fates.failpoint())).await);
    let mut playing = JoinSet::new();
    for story in stories {
        let (api, fates, story, repository) = (api.clone(), fates.clone(), Arc::clone(story), repository.clone());
        playing.spawn(async move { (play(api, fates, Arc::clone(&story), repository).await, story) });
    }
    let (mut ended, mut wrong) = (Vec::new(), Vec::new());
    while let Some(done) = playing.join_next().await {
        match done {
            Ok(task) => ended.push(task),
            Err(error) => wrong.push(format!("a story broke off: {error}")),
        }
        if ended.len() > stories.len() / 3
            && let Some(replica) = replica.take()
        {
            replica.stop().await;
        }
    }
    if let Some(replica) = replica {
        replica.stop().await;
    }
    let requests = ground.model.requests().await;
    for ((id, forked), story) in &ended {
        wrong.extend(judge(api, id, story, false, &requests).await.err());
        if let Some(forked) = forked {
            wrong.extend(judge(api, forked, story, true, &requests).await.err());
        }
    }
    ground.model.forget().await;
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_whole_tasks_they_end_soundly_and_their_logs_fold_to_themselves() {
    let (runs, first) = (number("JOURNEYMAN_RANDOM_RUNS", RUNS), number("JOURNEYMAN_RANDOM_SEED", 1));
    let stories: Vec<Story> = (first..first + runs).map(Story::of).collect();
    let ground = ground(&stories).await;
    let stories: Vec<Arc<Story>> = stories.into_iter().map(Arc::new).collect();
    let fates = Fates::default();
    let service = ground.start_with(ground.data.path(), Some(fates.failpoint())).await;
    let mut wrong = Vec::new();
    for stories in stories.chunks(AT_ONCE) {
        wrong.extend(play_all(&ground, &service.api(), &fates, stories).await);
    }
    assert!(wrong.is_empty(), "{} of {runs}:\n{}", wrong.len(), wrong.join("\n"));
    service.stop().await;
}
