//! GitHub (docs.github.com/webhooks/webhook-events-and-payloads).

use super::{
    delivery::{Comment, Delivery, Issue, Person, Repository, What},
    mark::{is_hidden_in, own_or},
    read::{Reader, about, at, entries, ignored, link, names, people, person, text, title, word},
};
use crate::domain::publish::BRANCH_PREFIX;
use serde_json::Value;

pub(super) fn read(reader: &Reader<'_>) -> Delivery {
    let kind = reader.header(&["x-github-event"]);
    let action = reader.word("/action");
    let event = if action.is_empty() { kind.clone() } else { format!("{kind}.{action}") };
    let delivery = reader.delivery(&["x-github-delivery"], event, account(reader.at("/sender")));
    match (kind.as_str(), action.as_str()) {
        ("ping", _) => Delivery { what: What::Ping, ..delivery },
        ("issues", action) => {
            let what = issue_event(reader.json, action, &delivery.event);
            about(delivery, issue(reader.json, "/issue"), what)
        }
        ("issue_comment", "created") => {
            let what = commented(reader.json);
            about(delivery, issue(reader.json, "/issue"), what)
        }
        ("pull_request_review_comment", "created") => {
            let what = own_or(is_hidden_in(reader.at("/comment/body")), || What::ReviewComment {
                comment: comment(reader.json),
            });
            about(delivery, issue(reader.json, "/pull_request"), what)
        }
        ("pull_request_review", "submitted") => {
            let what = review(reader.at("/review"));
            about(delivery, issue(reader.json, "/pull_request"), what)
        }
        ("pull_request", "closed") => {
            let what = closed_request(reader.at("/pull_request"));
            about(delivery, issue(reader.json, "/pull_request"), what)
        }
        ("pull_request", "reopened") => about(delivery, issue(reader.json, "/pull_request"), What::Reopened),
        ("check_run", "completed") => check_run(delivery, reader.json),
        ("status", _) => status(delivery, reader.json),
        ("repository", "renamed" | "transferred") => renamed(delivery, reader.json),
        _ => Delivery { what: ignored(unknown(&delivery.event)), ..delivery },
    }
}

pub(super) fn unknown(event: &str) -> String {
    if event.is_empty() { "it names no event".to_owned() } else { format!("nothing is done about {event}") }
}

/// What happened to an issue; Gitea tells it likewise.
pub(super) fn issue_event(json: &Value, action: &str, event: &str) -> What {
    match action {
        "opened" => What::Opened { labels: Vec::new(), assignees: people(at(json, "/issue/assignees"), account) },
        "labeled" => What::Labelled { labels: vec![word(at(json, "/label/name"))], whole: false, to: Vec::new() },
        "assigned" => {
            let one = account(at(json, "/assignee"));
            let to = one.map_or_else(|| people(at(json, "/issue/assignees"), account), |one| vec![one]);
            What::Assigned { to }
        }
        "closed" | "deleted" | "transferred" => What::Closed,
        _ => ignored(unknown(event)),
    }
}

pub(super) fn account(value: &Value) -> Option<Person> {
    let bot = matches!(word(at(value, "/type")).as_str(), "Bot" | "bot");
    person(value, "/login", "/id", &["/id"]).map(|one| Person { bot: bot || one.login.ends_with("[bot]"), ..one })
}

/// Who wrote an issue. One that Gitea or Forgejo has brought from elsewhere is shown as the words of who brought it
/// (`services/migrations/gitea_uploader.go`): of whom it is says a name alone, which anybody could bear.
fn author(issue: &Value) -> Option<Person> {
    let is_brought = !word(at(issue, "/original_author")).is_empty();
    account(at(issue, "/user")).filter(|_| !is_brought)
}

/// The issue or pull request at `place`, with the repository beside it.
pub(super) fn issue(json: &Value, place: &str) -> Issue {
    let (found, repository) = (at(json, place), at(json, "/repository"));
    let (name, number) = (word(at(repository, "/full_name")), word(at(found, "/number")));
    let is_pull = place == "/pull_request" || at(found, "/pull_request").is_object() || at(json, "/is_pull") == true;
    let branch = Some(word(at(found, "/head/ref"))).filter(|branch| !branch.is_empty());
    Issue {
        key: if name.is_empty() || number.is_empty() { String::new() } else { format!("{name}#{number}") },
        title: title(at(found, "/title")),
        body: text(at(found, "/body")),
        url: link(at(found, "/html_url")),
        author: author(found),
        in_the_name_of: None,
        repository: Some(Repository { name, clone_url: link(at(repository, "/clone_url")) }),
        project: None,
        is_pull_request: is_pull,
        branch,
        moved_from: None,
        updated_at: word(at(found, "/updated_at")),
    }
}

fn comment(json: &Value) -> Comment {
    let found = at(json, "/comment");
    let path = word(at(found, "/path"));
    let line = [at(found, "/line"), at(found, "/original_line")].map(word).into_iter().find(|line| !line.is_empty());
    let place = match line {
        _ if path.is_empty() => None,
        Some(line) => Some(format!("{path}:{line}")),
        None => Some(path),
    };
    Comment {
        id: word(at(found, "/id")),
        body: text(at(found, "/body")),
        url: link(at(found, "/html_url")),
        author: account(at(found, "/user")),
        at: place,
        session: None,
    }
}

pub(super) fn commented(json: &Value) -> What {
    own_or(is_hidden_in(at(json, "/comment/body")), || What::Commented { comment: comment(json) })
}

fn review(review: &Value) -> What {
    let comment = Comment {
        id: word(at(review, "/id")),
        body: text(at(review, "/body")),
        url: link(at(review, "/html_url")),
        author: account(at(review, "/user")),
        ..Comment::default()
    };
    let changes = word(at(review, "/state")).eq_ignore_ascii_case("changes_requested");
    if comment.body.is_empty() && !changes {
        return ignored("a review without words; its comments come by themselves");
    }
    own_or(is_hidden_in(at(review, "/body")), || What::Review { comment, changes, unread: false })
}

pub(super) fn closed_request(request: &Value) -> What {
    if at(request, "/merged") == true {
        What::Merged { commit: word(at(request, "/merge_commit_sha")) }
    } else {
        What::Closed
    }
}

fn check_run(delivery: Delivery, json: &Value) -> Delivery {
    let run = at(json, "/check_run");
    let conclusion = word(at(run, "/conclusion"));
    if !matches!(conclusion.as_str(), "failure" | "timed_out") {
        return Delivery { what: ignored(format!("a check that came to {conclusion}")), ..delivery };
    }
    let what = What::CheckFailed {
        name: word(at(run, "/name")),
        url: link(at(run, "/html_url")),
        commit: word(at(run, "/head_sha")),
    };
    // One that was begun by the push has none where the pull request came after it.
    let Some(request) = entries(at(run, "/pull_requests")).first() else {
        return failed(delivery, json, &[word(at(run, "/check_suite/head_branch"))], what);
    };
    let (repository, number) = (at(json, "/repository"), word(at(request, "/number")));
    let name = word(at(repository, "/full_name"));
    let issue = Issue {
        key: format!("{name}#{number}"),
        repository: Some(Repository { name, clone_url: link(at(repository, "/clone_url")) }),
        is_pull_request: true,
        branch: Some(word(at(request, "/head/ref"))).filter(|branch| !branch.is_empty()),
        ..Issue::default()
    };
    about(delivery, issue, what)
}

/// A repository that has another name now, or another owner.
fn renamed(delivery: Delivery, json: &Value) -> Delivery {
    let (name, changes) = (word(at(json, "/repository/full_name")), at(json, "/changes"));
    let (owner, repository) = name.split_once('/').unwrap_or_default();
    let owners = ["/owner/from/organization/login", "/owner/from/user/login"].map(|place| word(at(changes, place)));
    let before = match (owners.into_iter().find(|owner| !owner.is_empty()), word(at(changes, "/repository/name/from")))
    {
        (Some(owner), _) => format!("{owner}/{repository}"),
        (None, name) if !name.is_empty() => format!("{owner}/{name}"),
        (None, _) => return Delivery { what: ignored(unknown(&delivery.event)), ..delivery },
    };
    let updated_at = word(at(json, "/repository/updated_at"));
    about(delivery, Issue { key: name, moved_from: Some(before), updated_at, ..Issue::default() }, What::Moved)
}

/// The status of a commit; Gitea tells it likewise, without the branches.
pub(super) fn status(delivery: Delivery, json: &Value) -> Delivery {
    let state = word(at(json, "/state"));
    if !matches!(state.as_str(), "failure" | "error") {
        return Delivery { what: ignored(format!("a check that came to {state}")), ..delivery };
    }
    let what = What::CheckFailed {
        name: word(at(json, "/context")),
        url: link(at(json, "/target_url")),
        commit: word(at(json, "/sha")),
    };
    failed(delivery, json, &names(at(json, "/branches"), "/name"), what)
}

/// A check that failed at a commit, of these branches where they are told. Which pull request it is about is known to who has
/// pushed that commit: a branch of a fork may have any name.
pub(super) fn failed(delivery: Delivery, json: &Value, branches: &[String], what: What) -> Delivery {
    let mut branches = branches.iter().filter(|branch| !branch.is_empty()).peekable();
    if branches.peek().is_some() && !branches.any(|branch| branch.starts_with(BRANCH_PREFIX)) {
        return Delivery { what: ignored("a check of no pull request"), ..delivery };
    }
    let repository = at(json, "/repository");
    let (name, clone_url) = (word(at(repository, "/full_name")), link(at(repository, "/clone_url")));
    let repository = Some(Repository { name, clone_url });
    let issue = Issue { repository, is_pull_request: true, ..Issue::default() };
    Delivery { issue: Some(issue), what, ..delivery }
}

/// Labels of an issue by name.
pub(super) fn labels(issue: &Value) -> Vec<String> {
    names(at(issue, "/labels"), "/name")
}
