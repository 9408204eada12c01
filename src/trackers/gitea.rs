//! Gitea and Forgejo, whose payloads are GitHub's with differences (`modules/structs/hook.go`,
//! `services/webhook/deliver.go`).

use super::{
    delivery::{Comment, Delivery, Issue, What},
    github::{account, closed_request, commented, issue, issue_event, labels, unknown},
    mark::{is_hidden_in, own_or},
    read::{Reader, about, at, ignored, names, text, word},
};

pub(super) fn read(reader: &Reader<'_>) -> Delivery {
    let kind = reader.header(&["x-forgejo-event", "x-gitea-event"]);
    let full = reader.header(&["x-forgejo-event-type", "x-gitea-event-type"]);
    let action = reader.word("/action");
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
            about(delivery, issue(json, "/issue"), What::Labelled { labels, whole })
        }
        ("issues", action) => {
            let what = issue_event(json, action, &delivery.event);
            about(delivery, issue(json, "/issue"), what)
        }
        ("issue_comment", "created") => about(delivery, issue(json, "/issue"), commented(json)),
        // A review as a whole: no id of its own, its text in `review`. Its comments on the code are told by no event.
        (_, "reviewed") => {
            let pull = issue(json, "/pull_request");
            let what = review(reader, &full, &pull);
            about(delivery, pull, what)
        }
        ("pull_request", "closed") => {
            let what = closed_request(at(json, "/pull_request"));
            about(delivery, issue(json, "/pull_request"), what)
        }
        _ => Delivery { what: ignored(unknown(&delivery.event)), ..delivery },
    }
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
    if comment.body.is_empty() && !changes {
        return ignored("a review without words");
    }
    let own = word(reader.at("/sender/login"));
    own_or(is_hidden_in(reader.at("/review/content")), || What::Review {
        comment: Comment { id: format!("{} {own}", comment.id), ..comment },
        changes,
    })
}
