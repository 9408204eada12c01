//! Random runs of whole tasks over HTTP: scripted replies with faults, people who act, change limits and instructions,
//! and fork, workers that fall, a replica with other instructions and tools, as another release has them, that is
//! drained, a provider whose tokens have two bytes. Each comes to its end with every call answered once, nothing after
//! the end and no limit passed, by what was told and by what the provider itself counted; what was sent to the model
//! grew by appending; and the exported log folds again to itself.
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
use regex::Regex;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    fmt::Write,
    ops::ControlFlow,
    sync::{Arc, Mutex},
};
use story::{Act, Story};
use tokio::{sync::watch, task::JoinSet};

/// The models as the other replica has them.
const OTHER: &str = "other.toml";
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
    std::fs::write(ground.data.path().join("models.toml"), models(&ground, "")).unwrap();
    std::fs::write(ground.data.path().join(OTHER), models(&ground, "edit_format = \"edit\"\n")).unwrap();
    let path = ground.data.path().join("models.toml");
    ground.variables.push(("JOURNEYMAN_CONFIG".to_owned(), path.display().to_string()));
    ground
}

/// All models, each with these settings besides its own.
fn models(ground: &Ground, all: &str) -> String {
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
            "[[models]]\nname = \"{name}\"\napi = \"{wire}\"\nurl = \"{url}\"\n{more}{all}\
             retries = {{ attempts = 2, first_delay_ms = 5 }}\n\
             prices = {{ input = 1.0, cached_input = 0.1, output = 4.0 }}\n"
        );
    }
    models
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
    // What is recalled of another task repeats its words.
    let recalled = Regex::new(r"Asked: (See to it\. \[scenario: r\d+\]|And once more, as fork-\d+\.)").unwrap();
    let sent: Vec<&Value> = requests
        .iter()
        .filter(|sent| {
            let body = sent["body"].to_string();
            let body = recalled.replace_all(&body, "");
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

/// Plays so many stories at once; a second replica, as another release would be, works along and is drained in the
/// midst of it.
async fn play_all(ground: &Ground, api: &Api, fates: &Fates, stories: &[Arc<Story>]) -> Vec<String> {
    let repository = format!("file://{}", ground.repositories.path().join("calc").display());
    let (_dir, elsewhere) = second_data_dir();
    // Whoever takes a task up from the other gives its model other instructions and tools, if it was to begin it.
    let other = [
        ("JOURNEYMAN_CONFIG".to_owned(), ground.data.path().join(OTHER).display().to_string()),
        ("JOURNEYMAN_INSTRUCTIONS".to_owned(), "As another release says it.".to_owned()),
    ];
    let replica = ground.start_other(Role::Worker, &elsewhere, Some(fates.failpoint()), &other).await;
    let mut replica = Some(replica);
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
    wrong.extend(sums(api).await.err());
    wrong
}

/// Whether the sums of all tasks, whatever befell them, are those that their logs fold to.
async fn sums(api: &Api) -> Result<(), String> {
    let names = ["model_calls", "input_tokens", "cached_input_tokens", "output_tokens"];
    let of = |value: &Value| names.map(|name| value[name].as_u64().unwrap());
    let added = |sums: [u64; 4], more: [u64; 4]| std::array::from_fn(|at| sums[at] + more[at]);
    let (mut folded, mut cost, mut cursor) = ([0; 4], 0.0, String::new());
    loop {
        let (_, page) = api.get(&format!("/v1/tasks?limit=100{cursor}")).await;
        for task in page["data"].as_array().unwrap() {
            folded = added(folded, of(&task["usage"]));
            cost += task["usage"]["cost_usd"].as_f64().unwrap_or_default();
        }
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let (_, page) = api.get("/v1/usage?group_by=model").await;
    let rows = page["data"].as_array().unwrap();
    let summed = rows.iter().map(of).fold([0; 4], added);
    let summed_cost: f64 = rows.iter().filter_map(|row| row["cost_usd"].as_f64()).sum();
    if summed != folded || (summed_cost - cost).abs() > 1e-4 {
        return Err(format!(
            "usage: {names:?} are {summed:?} for ${summed_cost}, and of the tasks {folded:?} for ${cost}"
        ));
    }
    Ok(())
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
