//! `journeyman hook verify`: whether a secret is that of a request that was captured, and what the service would understand of
//! it. It speaks to nobody.

use super::{
    Exit,
    arguments::{HookCommand, TrackerArgument, VerifyHook},
};
use crate::{
    clock,
    domain::linked_account::Provider,
    secrets::Secret,
    trackers::{self, Delivery, Refused, What},
};
use anyhow::{Context, bail};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::{
    fs,
    io::{self, Write},
};

pub(super) fn hook(command: HookCommand) -> anyhow::Result<Exit> {
    let HookCommand::Verify(VerifyHook { tracker, secret_file, headers_file, body_file }) = command;
    let read = |path: &std::path::Path| fs::read(path).with_context(|| path.display().to_string());
    let secret = String::from_utf8(read(&secret_file)?).with_context(|| secret_file.display().to_string())?;
    let secret = Secret::new(secret.trim_end_matches(['\r', '\n']));
    let head = String::from_utf8_lossy(&read(&headers_file)?).into_owned();
    let headers = headers(&head).with_context(|| headers_file.display().to_string())?;
    let body = read(&body_file)?;
    let tracker = provider(tracker);
    let now_ms = (clock::now().0.unix_timestamp_nanos() / 1_000_000) as i64;
    let mut out = io::stdout().lock();
    match trackers::verify(tracker, &headers, &body, &[secret], now_ms) {
        Ok(()) => writeln!(out, "verified: the request is signed with this secret")?,
        Err(Refused::Stale) => {
            writeln!(out, "verified: the request is signed with this secret; it is too old by now to be taken")?;
        }
        Err(refused) => {
            writeln!(out, "not verified: {refused}")?;
            return Ok(Exit::Failed);
        }
    }
    told(&mut out, &trackers::parse(tracker, &headers, &body))?;
    Ok(Exit::Done)
}

fn told(out: &mut impl Write, delivery: &Delivery) -> io::Result<()> {
    writeln!(out, "event: {}", delivery.event)?;
    writeln!(out, "delivery: {}", delivery.id)?;
    if let Some(sender) = &delivery.sender {
        let mut names = vec![sender.login.as_str()];
        names.extend([sender.id.as_str()].into_iter().filter(|id| !id.is_empty()));
        names.extend(sender.also.iter().map(String::as_str));
        writeln!(out, "sender, as allowed_users can name it: {}", names.join(", "))?;
    }
    if let Some(issue) = &delivery.issue {
        writeln!(out, "issue: {} {:?} {}", issue.key, issue.title, issue.url)?;
        let names = issue.repository.iter().map(|one| one.name.as_str()).chain(issue.project.as_deref());
        writeln!(out, "repository, as repositories can name it: {}", names.collect::<Vec<_>>().join(", "))?;
    }
    match &delivery.what {
        What::Ignored { reason } => writeln!(out, "nothing is done about it: {reason}"),
        What::Ping => writeln!(out, "nothing is done about it: the tracker tried the hook"),
        What::Opened { labels, .. } | What::Labelled { labels, .. } => writeln!(out, "labels: {}", labels.join(", ")),
        _ => Ok(()),
    }
}

/// Lines as `Name: value`; a request's first line before them is let by.
fn headers(text: &str) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match line.split_once(':') {
            Some((name, value)) if !name.contains(' ') => {
                let name: HeaderName = name.trim().parse().with_context(|| format!("line {}", number + 1))?;
                let value = HeaderValue::from_str(value.trim()).with_context(|| format!("line {}", number + 1))?;
                headers.append(name, value);
            }
            _ if number == 0 => {}
            _ => bail!("line {} is no header: it must be as in Name: value", number + 1),
        }
    }
    Ok(headers)
}

fn provider(tracker: TrackerArgument) -> Provider {
    match tracker {
        TrackerArgument::Github => Provider::Github,
        TrackerArgument::Gitlab => Provider::Gitlab,
        TrackerArgument::Gitea => Provider::Gitea,
        TrackerArgument::Jira => Provider::Jira,
        TrackerArgument::Linear => Provider::Linear,
    }
}
