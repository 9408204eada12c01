//! `journeyman run`: one request from words to a patch.

use super::{
    Exit,
    arguments::{RequireArgument, Run, SettingsArguments},
    checkout::{Checkout, remote_url},
    client::{Api, read_task},
    output::Output,
    screen::{Line, Tone, clean},
    server::{self, Connection},
    story::{self, Ending, count},
    view::TaskView,
    watch::{Interrupts, Watched, watch},
};
use anyhow::{Context, bail};
use clap::ValueEnum;
use serde_json::{Value, json};
use std::{
    io::Read,
    path::{Path, PathBuf},
};

/// Where the code comes from.
enum Source {
    Nothing,
    Remote(String),
    Local(Box<Checkout>),
}

/// What `--apply` did.
enum Applied {
    NotAsked,
    Done,
    Nothing,
    Refused(String),
}

pub(super) async fn run(settings: &SettingsArguments, run: Run) -> anyhow::Result<Exit> {
    let request = read_text(&run.request).context("REQUEST")?;
    let source = source(&run).await?;
    let mut interrupts = Interrupts::new()?;
    let mut output = Output::new(run.output.json, run.output.color);
    let connection = tokio::select! {
        connection = server::connect(settings, &run.server) => connection?,
        () = interrupts.next() => return Ok(Exit::Interrupted),
    };
    output.lines(&head(&source));
    let done = with_server(&run, request, &source, &connection, &mut output, &mut interrupts).await;
    output.close();
    // Whoever does not wait for an embedded server's end loses nothing: its database is taken
    // over, and what ran is taken up, by the next start.
    tokio::select! {
        () = connection.close() => {}
        () = interrupts.next() => {}
    }
    done
}

async fn with_server(
    run: &Run,
    request: String,
    source: &Source,
    connection: &Connection,
    output: &mut Output,
    interrupts: &mut Interrupts,
) -> anyhow::Result<Exit> {
    let api = &connection.api;
    let task = tokio::select! {
        task = create(run, request, source, api, output) => task?,
        () = interrupts.next() => return Ok(Exit::Interrupted),
    };
    let mut interrupted = false;
    let mut follow = api.follow(&task.id, 0, false);
    loop {
        match watch(&mut follow, output, interrupts, false).await? {
            Watched::Ended | Watched::Unread => break,
            Watched::Interrupted if interrupted => return Ok(Exit::Interrupted),
            Watched::Interrupted => {
                interrupted = true;
                let words = "cancelling the task; Ctrl-C again leaves at once";
                output.lines(&[Line::at(2).with("■ ", Tone::Warn).with(words, Tone::Warn)]);
                let nothing = json!({});
                tokio::select! {
                    cancelled = api.act(&task.id, "cancel", &nothing) => {
                        // A task that ended meanwhile has nothing to cancel: its end is next in the stream.
                        if let Err(error) = cancelled && error.is_passing() { return Err(error.into()); }
                    }
                    () = interrupts.next() => return Ok(Exit::Interrupted),
                }
            }
        }
    }
    finish(run, source, api, &task.id, output, interrupted).await
}

/// Uploads what has to go up and creates the task.
async fn create(
    run: &Run,
    request: String,
    source: &Source,
    api: &Api,
    output: &mut Output,
) -> anyhow::Result<TaskView> {
    let mut body = json!({ "request": request });
    match source {
        Source::Nothing => {}
        Source::Remote(url) => {
            body["repository"] = json!({ "url": url });
            if let Some(reference) = &run.reference {
                body["repository"]["ref"] = json!(reference);
            }
        }
        Source::Local(checkout) => {
            let bundle = checkout.bundle().await?;
            if bundle.without_history {
                output.lines(&[Line::at(2).dim("the commit goes up alone: its history is not all here, or too large")]);
            }
            body["repository"] = json!({ "upload": api.upload_bundle(bundle.bytes).await? });
        }
    }
    if let Some(model) = &run.model {
        body["model"] = json!(model);
    }
    if !run.checks.is_empty() {
        body["checks"] = json!(run.checks);
    }
    if let Some(mode) = run.mode.and_then(|mode| mode.to_possible_value()) {
        body["mode"] = json!(mode.get_name());
    }
    let mut limits = serde_json::Map::new();
    limits.extend(run.turns.map(|turns| ("turns".to_owned(), json!(turns))));
    limits.extend(run.cost.map(|cost| ("cost_usd".to_owned(), json!(cost))));
    if !limits.is_empty() {
        body["limits"] = Value::Object(limits);
    }
    Ok(read_task(api.post("/v1/tasks", &body).await?)?)
}

/// Shows the end, applies the patch where that was asked for, and says what it all means.
async fn finish(
    run: &Run,
    source: &Source,
    api: &Api,
    id: &str,
    output: &mut Output,
    interrupted: bool,
) -> anyhow::Result<Exit> {
    let raw = api.get(&format!("/v1/tasks/{id}"), &[]).await?;
    let task = read_task(raw.clone())?;
    let has_patch = task.result.as_ref().and_then(|result| result.patch).is_some_and(|patch| patch.files > 0);
    let patch = if has_patch { api.patch(id, &[]).await? } else { String::new() };
    output.lines(&story::ending(&Ending { task: &task, patch: &patch, told: true }));

    let good = is_good(&task, run.require);
    if task.status == "succeeded" && !good {
        let verdict = task.verdict().unwrap_or("missing");
        let words = format!("required is verified, the verdict is {}", clean(verdict));
        output.lines(&[Line::at(0).with("✘ ", Tone::Bad).plain(words)]);
    }
    let applied = match source {
        Source::Local(checkout) if run.apply && good => apply(checkout, &task, &patch).await?,
        _ => Applied::NotAsked,
    };
    let exit = match (&applied, interrupted) {
        (_, true) => Exit::Interrupted,
        (Applied::Refused(_), _) => Exit::Unusable,
        _ if good => Exit::Done,
        _ => Exit::Failed,
    };
    let (applied, line) = match applied {
        Applied::NotAsked => (Value::Null, None),
        Applied::Nothing => (json!(false), Some(Line::at(0).plain("There is nothing to apply."))),
        Applied::Done => (
            json!(true),
            Some(Line::at(0).with("✔ ", Tone::Good).plain("Applied to the checkout; nothing is committed.")),
        ),
        Applied::Refused(why) => (json!(false), Some(Line::at(0).with("✘ ", Tone::Bad).plain(why).hang(2))),
    };
    output.lines(line.as_slice());
    let data = json!({ "task": raw, "patch": patch, "applied": applied, "exit_code": exit.code() });
    output.json(&json!({ "kind": "run.result", "data": data }));
    Ok(exit)
}

fn is_good(task: &TaskView, require: Option<RequireArgument>) -> bool {
    task.status == "succeeded"
        && match require {
            Some(RequireArgument::Verified) => task.verdict() == Some("verified"),
            None => true,
        }
}

/// Applies the patch, or writes it to a file where it does not apply.
async fn apply(checkout: &Checkout, task: &TaskView, patch: &str) -> anyhow::Result<Applied> {
    if patch.trim().is_empty() {
        return Ok(Applied::Nothing);
    }
    let Err(why) = checkout.apply(patch).await else { return Ok(Applied::Done) };
    let file = PathBuf::from(format!("journeyman-{}.patch", task.short_id()));
    tokio::fs::write(&file, patch).await.with_context(|| format!("cannot write {}", file.display()))?;
    Ok(Applied::Refused(format!(
        "the patch does not apply to the files as they are now, and nothing was changed; it is kept in {} ({})",
        file.display(),
        clean(&why.to_string())
    )))
}

async fn source(run: &Run) -> anyhow::Result<Source> {
    let reference = run.reference.as_deref();
    let source = match run.repo.as_deref() {
        _ if run.no_repo => Source::Nothing,
        Some(repo) => match remote_url(repo) {
            Some(url) => Source::Remote(url),
            None => Source::Local(Box::new(Checkout::open(Path::new(repo), reference).await?)),
        },
        None => match Checkout::open(Path::new("."), reference).await {
            Ok(checkout) => Source::Local(Box::new(checkout)),
            Err(error) => return Err(error.context("no --repo is given (--no-repo starts in an empty directory)")),
        },
    };
    match &source {
        Source::Local(checkout) if run.apply && checkout.bare => {
            bail!("--apply needs a working copy, and this is a bare repository")
        }
        Source::Nothing | Source::Remote(_) if run.apply => bail!("--apply needs a local repository"),
        _ => Ok(source),
    }
}

/// What the task starts from, and what of it stays behind.
fn head(source: &Source) -> Vec<Line> {
    match source {
        Source::Nothing => vec![Line::at(0).dim("an empty directory")],
        Source::Remote(url) => vec![Line::at(0).dim("repository  ").plain(clean(url)).keep()],
        Source::Local(checkout) => {
            let name = checkout.name.as_ref().map(|name| format!(" ({})", clean(name))).unwrap_or_default();
            let commit = checkout.commit.get(..10).unwrap_or(&checkout.commit);
            let place = clean(&checkout.root.display().to_string());
            let mut lines = vec![Line::at(0).dim("repository  ").plain(place).dim(format!("  {commit}{name}"))];
            let mut left = Vec::new();
            if checkout.changed > 0 {
                left.push(count(
                    checkout.changed as u64,
                    "file with uncommitted changes",
                    "files with uncommitted changes",
                ));
            }
            if checkout.untracked > 0 {
                left.push(count(checkout.untracked as u64, "untracked file", "untracked files"));
            }
            if !left.is_empty() {
                let words = format!("left out: {}; the task sees what is committed", left.join(" and "));
                lines.push(Line::at(12).with(words, Tone::Warn));
            }
            lines
        }
    }
}

/// A text as typed, or stdin for `-`.
pub(super) fn read_text(argument: &str) -> anyhow::Result<String> {
    let text = if argument == "-" {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text)?;
        text
    } else {
        argument.to_owned()
    };
    if text.trim().is_empty() {
        bail!("the text is empty");
    }
    Ok(text)
}
