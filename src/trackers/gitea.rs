//! Gitea and Forgejo, whose payloads are GitHub's with differences (`modules/structs/hook.go`,
//! `services/webhook/deliver.go`).

use super::{
    delivery::{Comment, Delivery, Issue, What},
    github::{account, closed_request, commented, failed, issue, issue_event, labels, status, unknown},
    mark::{is_hidden_in, own_or},
    read::{Reader, about, at, ignored, link, names, text, word},
};
use serde_json::Value;

pub(super) fn read(reader: &Reader<'_>) -> Delivery {
    let kind = reader.header(&["x-forgejo-event", "x-gitea-event"]);
    let full = reader.header(&["x-forgejo-event-type", "x-gitea-event-type"]);
    let action = reader.word("/action");
    // Forgejo's runs have no other name than that in full.
    let kind = if full == "action_run_failure" { full.clone() } else { kind };
    let event = [kind.as_str(), action.as_str()].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>();
    let ids = ["x-forgejo-delivery", "x-gitea-delivery"];
    let delivery = reader.delivery(&ids, event.join("."), account(reader.at("/sender")));
    let json = reader.json;
    match (kind.as_str(), action.as_str()) {
        ("issues", "opened") => {
            // It tells of labels that an issue is made with here alone.
            let what = match issue_event(json, "opened", "") {
                What::Opened { assignees, .. } => What::Opened { labels: labels(at(json, "/issue")), assignees },
                other => other,
            };
            about(delivery, issue(json, "/issue"), what)
        }
        // Older ones say what labels there are, and not which is new: the issue's task is made once.
        ("issues", "label_updated") => {
            let added = at(json, "/changes/added_labels");
            let whole = !added.is_array();
            let labels = if whole { labels(at(json, "/issue")) } else { names(added, "/name") };
            about(delivery, issue(json, "/issue"), What::Labelled { labels, whole, to: Vec::new() })
        }
        ("issues", action) => {
            let what = issue_event(json, action, &delivery.event);
            about(delivery, issue(json, "/issue"), what)
        }
        ("issue_comment", "created") => about(delivery, issue(json, "/issue"), commented(json)),
        // A review as a whole: no id of its own, its text in `review`. No event tells of its comments on the code.
        (_, "reviewed") => {
            let pull = issue(json, "/pull_request");
            let what = review(reader, &full, &pull);
            about(delivery, pull, what)
        }
        ("pull_request", "closed") => {
            let what = closed_request(at(json, "/pull_request"));
            about(delivery, issue(json, "/pull_request"), what)
        }
        ("pull_request", "reopened") => about(delivery, issue(json, "/pull_request"), What::Reopened),
        ("status", _) => status(delivery, json),
        ("workflow_run", "completed") => workflow_run(delivery, json),
        ("action_run_failure", _) => action_run(delivery, json),
        _ => Delivery { what: ignored(unknown(&delivery.event)), ..delivery },
    }
}

/// A run of Gitea's Actions (`modules/structs/repo_actions.go`).
fn workflow_run(delivery: Delivery, json: &Value) -> Delivery {
    let run = at(json, "/workflow_run");
    let conclusion = word(at(run, "/conclusion"));
    if conclusion != "failure" {
        return Delivery { what: ignored(format!("a check that came to {conclusion}")), ..delivery };
    }
    let names = [at(json, "/workflow/name"), at(run, "/path"), at(run, "/display_title")].map(word);
    let what = What::CheckFailed {
        name: names.into_iter().find(|name| !name.is_empty()).unwrap_or_default(),
        url: link(at(run, "/html_url")),
        commit: word(at(run, "/head_sha")),
    };
    if at(json, "/pull_request").is_object() {
        return about(delivery, issue(json, "/pull_request"), what);
    }
    failed(delivery, json, &[word(at(run, "/head_branch"))], what)
}

/// A run of Forgejo's Actions (`modules/structs/action.go`): of a pull request it says `#12` where others say the branch.
fn action_run(delivery: Delivery, json: &Value) -> Delivery {
    let run = at(json, "/run");
    let what = What::CheckFailed {
        name: word(at(run, "/workflow_id")),
        url: link(at(run, "/html_url")),
        commit: word(at(run, "/commit_sha")),
    };
    let reference = word(at(run, "/prettyref"));
    if !reference.starts_with('#') {
        return failed(delivery, run, &[reference], what);
    }
    let name = word(at(run, "/repository/full_name"));
    let key = if name.is_empty() { name } else { format!("{name}{reference}") };
    about(delivery, Issue { key, is_pull_request: true, ..Issue::default() }, what)
}

fn review(reader: &Reader<'_>, full: &str, pull: &Issue) -> What {
    let kind = format!("{full} {}", reader.word("/review/type"));
    let changes = kind.contains("rejected");
    let comment = Comment {
        id: format!("{} {}", pull.key, reader.word("/pull_request/updated_at")),
        body: text(reader.at("/review/content")),
        url: pull.url.clone(),
        author: account(reader.at("/sender")),
        ..Comment::default()
    };
    let own = word(reader.at("/sender/login"));
    own_or(is_hidden_in(reader.at("/review/content")), || What::Review {
        comment: Comment { id: format!("{} {own}", comment.id), ..comment },
        changes,
        unread: true,
    })
}
