//! `journeyman task …`: a client of somebody's server.

use super::{
    Exit,
    arguments::{OnBusyArgument, Task, TaskCommand},
    client::{Api, read_task},
    output::Output,
    replay,
    run::read_text,
    screen::{Line, Tone, clean},
    server::named,
    story::{self, Ending},
    table,
    view::TaskView,
    watch::{Interrupts, Watched, watch},
};
use anyhow::{Context, bail};
use clap::ValueEnum;
use serde_json::{Value, json};
use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
};

pub(super) async fn task(task: Task) -> anyhow::Result<Exit> {
    let Task { command, server, output: shape } = task;
    if let TaskCommand::Replay { task } = &command
        && let Some(file) = replay::file(task)?
    {
        return replay::replay(&mut Output::new(shape.json, shape.color), &file);
    }
    let (Some(url), key) = named(&server)? else {
        bail!("which server? Set JOURNEYMAN_URL (and JOURNEYMAN_KEY), or give --url and --key");
    };
    let api = Api::new(&url, key)?;
    let mut output = Output::new(shape.json, shape.color);
    match command {
        TaskCommand::List { status, query, limit } => list(&api, &mut output, &status, query, limit).await,
        TaskCommand::Show { task } => show(&api, &mut output, &task).await,
        TaskCommand::Watch { task, after, follow } => watch_task(&api, &mut output, &task, after, follow).await,
        TaskCommand::Say { task, text, on_busy } => {
            let body = json!({ "text": read_text(&text)?, "on_busy": on_busy_word(on_busy) });
            act(&api, &mut output, &task, "messages", &body, "said").await
        }
        TaskCommand::Cancel { task } => act(&api, &mut output, &task, "cancel", &json!({}), "cancelling").await,
        TaskCommand::Retry { task } => act(&api, &mut output, &task, "retry", &json!({}), "queued again").await,
        TaskCommand::Approve { task, approval, note, remember } => {
            let body = json!({ "decision": "approve" });
            decide(&api, &mut output, &task, approval, with_words(body, note, remember), "approved").await
        }
        TaskCommand::Deny { task, approval, note, remember } => {
            let body = json!({ "decision": "deny" });
            decide(&api, &mut output, &task, approval, with_words(body, note, remember), "denied").await
        }
        TaskCommand::Answer { task, answers, approval } => {
            let body = json!({ "decision": "answer", "answers": answers });
            decide(&api, &mut output, &task, approval, body, "answered").await
        }
        TaskCommand::Patch { task, from_turn, to_turn } => patch(&api, &mut output, &task, from_turn, to_turn).await,
        TaskCommand::Publish { task, branch, pull_request, title } => {
            let mut body = json!({ "pull_request": pull_request });
            for (name, value) in [("branch", branch), ("title", title)] {
                if let Some(value) = value {
                    body[name] = value.into();
                }
            }
            act(&api, &mut output, &task, "publish", &body, "publishing").await
        }
        TaskCommand::Fork { task, from_seq, request, model } => {
            let mut body = json!({});
            for (name, value) in [
                ("from_seq", from_seq.map(Value::from)),
                ("request", request.map(Value::from)),
                ("model", model.map(Value::from)),
            ] {
                if let Some(value) = value {
                    body[name] = value;
                }
            }
            let forked = api.act(path_word(&task)?, "fork", &body).await?;
            output.json(&forked);
            output.lines(&table::task_page(&read_task(forked)?));
            Ok(Exit::Done)
        }
        TaskCommand::Replay { task } => {
            let file = api.export(path_word(&task)?, false).await?;
            replay::replay(&mut output, &file)
        }
        TaskCommand::Export { task, output: path, redact } => export(&api, &mut output, &task, path, redact).await,
        TaskCommand::Import { file } => {
            let file = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let imported = api.import(file).await?;
            output.json(&imported);
            output.lines(&table::task_page(&read_task(imported)?));
            Ok(Exit::Done)
        }
    }
}

async fn list(
    api: &Api,
    output: &mut Output,
    status: &[String],
    query: Option<String>,
    limit: u32,
) -> anyhow::Result<Exit> {
    let mut left = limit;
    let mut cursor: Option<String> = None;
    let mut tasks: Vec<TaskView> = Vec::new();
    while left > 0 {
        let mut search: Vec<(&str, String)> = status.iter().map(|status| ("status", status.clone())).collect();
        search.extend(query.clone().map(|query| ("q", query)));
        search.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        search.push(("limit", left.min(100).to_string()));
        let page = api.get("/v1/tasks", &search).await?;
        let rows = page.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
        left = left.saturating_sub(rows.len() as u32);
        let empty = rows.is_empty();
        for row in rows {
            output.json(&row);
            tasks.push(read_task(row)?);
        }
        cursor = page.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
        if cursor.is_none() || empty {
            break;
        }
    }
    output.lines(&table::tasks(&tasks, crate::clock::now()));
    Ok(Exit::Done)
}

async fn show(api: &Api, output: &mut Output, task: &str) -> anyhow::Result<Exit> {
    let raw = api.get(&format!("/v1/tasks/{}", path_word(task)?), &[]).await?;
    output.json(&raw);
    let view = read_task(raw)?;
    let waits = view.waiting_for.is_some();
    output.lines(&table::task_page(&view));
    if waits {
        output.lines(&table::pending(&api.pending_approvals(path_word(task)?).await?));
    }
    Ok(Exit::Done)
}

async fn watch_task(api: &Api, output: &mut Output, task: &str, after: i64, beyond_end: bool) -> anyhow::Result<Exit> {
    let mut interrupts = Interrupts::new()?;
    let mut follow = api.follow(path_word(task)?, after, beyond_end);
    let watched = watch(&mut follow, output, &mut interrupts, true).await;
    output.close();
    match watched? {
        Watched::Interrupted => Ok(Exit::Interrupted),
        Watched::Unread => Ok(Exit::Done),
        Watched::Ended => {
            let task = api.task(task).await?;
            output.lines(&story::ending(&Ending { task: &task, patch: "", told: true }));
            Ok(if task.status == "succeeded" { Exit::Done } else { Exit::Failed })
        }
    }
}

async fn act(api: &Api, output: &mut Output, task: &str, what: &str, body: &Value, done: &str) -> anyhow::Result<Exit> {
    let answer = api.act(path_word(task)?, what, body).await?;
    output.json(&answer);
    output.lines(&[Line::at(0).with("✔ ", Tone::Good).plain(done)]);
    Ok(Exit::Done)
}

/// Decides the approval that is named, or the only one that waits.
async fn decide(
    api: &Api,
    output: &mut Output,
    task: &str,
    approval: Option<String>,
    body: Value,
    done: &str,
) -> anyhow::Result<Exit> {
    let approval = match approval {
        Some(approval) => approval,
        None => match api.pending_approvals(path_word(task)?).await?.as_slice() {
            [] => bail!("the task waits for no decision"),
            [one] => one.id.clone(),
            many => {
                let ids: Vec<String> =
                    many.iter().map(|one| format!("{} ({})", clean(&one.id), clean(&one.kind))).collect();
                bail!("several decisions wait, name one: {}", ids.join(", "));
            }
        },
    };
    act(api, output, task, &format!("approvals/{}", path_word(&approval)?), &body, done).await
}

fn with_words(mut body: Value, note: Option<String>, remember: bool) -> Value {
    if let Some(note) = note {
        body["note"] = json!(note);
    }
    if remember {
        body["remember"] = json!("task");
    }
    body
}

/// Writes the task's file, by default into the current directory.
async fn export(
    api: &Api,
    output: &mut Output,
    task: &str,
    path: Option<PathBuf>,
    redact: bool,
) -> anyhow::Result<Exit> {
    let file = api.export(path_word(task)?, redact).await?;
    let path = path.unwrap_or_else(|| PathBuf::from(format!("task-{task}.jsonl.gz")));
    std::fs::write(&path, &file).with_context(|| format!("cannot write {}", path.display()))?;
    output.json(&json!({ "file": path, "bytes": file.len() }));
    let text = format!("written to {} ({} bytes)", path.display(), file.len());
    output.lines(&[Line::at(0).with("✔ ", Tone::Good).plain(text)]);
    Ok(Exit::Done)
}

/// The patch alone on stdout, byte for byte.
async fn patch(api: &Api, output: &mut Output, task: &str, from: Option<u32>, to: Option<u32>) -> anyhow::Result<Exit> {
    let mut query = Vec::new();
    query.extend(from.map(|turn| ("from_turn", turn.to_string())));
    query.extend(to.map(|turn| ("to_turn", turn.to_string())));
    let patch = api.patch(path_word(task)?, &query).await?;
    if output.is_json() {
        output.json(&json!({ "patch": patch }));
    } else if std::io::stdout().is_terminal() {
        output.lines(&story::patch(&patch, 0));
    } else {
        // A reader that went away wants no more.
        let _ = std::io::stdout().lock().write_all(patch.as_bytes());
    }
    Ok(Exit::Done)
}

fn on_busy_word(on_busy: OnBusyArgument) -> String {
    on_busy.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// An id as typed; what cannot be one is refused before a server is asked.
fn path_word(id: &str) -> anyhow::Result<&str> {
    let sane = !id.is_empty()
        && id.len() <= 100
        && id.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_'));
    anyhow::ensure!(sane, "{id:?} is not an id");
    Ok(id)
}
