//! Jira (developer.atlassian.com/cloud/jira/platform/webhooks). It knows no repository: a project's comes by the
//! integration's mapping.

use super::{
    delivery::{Comment, Delivery, Issue, Person, What},
    github::unknown,
    mark::{is_linked_in, own_or},
    read::{Reader, about, at, cut, entries, ignored, moved_or, person, text, title, word},
};
use regex::Regex;
use serde_json::Value;
use std::sync::LazyLock;

/// How deep a document in Atlassian's format is read.
const DEPTH_MAX: usize = 20;

pub(super) fn read(reader: &Reader<'_>) -> Delivery {
    let event = reader.word("/webhookEvent");
    let json = reader.json;
    let sender = [at(json, "/user"), at(json, "/comment/author")].into_iter().find_map(user);
    let delivery = reader.delivery(&["x-atlassian-webhook-identifier"], event.clone(), sender);
    let found = issue(json);
    match event.trim_start_matches("jira:") {
        "issue_created" => {
            let fields = at(json, "/issue/fields");
            let labels = entries(at(fields, "/labels")).iter().map(word).collect();
            let assignees = user(at(fields, "/assignee")).into_iter().collect();
            about(delivery, found, What::Opened { labels, assignees })
        }
        "issue_updated" => {
            let moved_from = moved_from(json);
            let what = moved_or(moved_from.is_some(), updated(json));
            about(delivery, Issue { moved_from, ..found }, what)
        }
        "issue_deleted" => about(delivery, found, What::Closed),
        "comment_created" => about(delivery, found, commented(json)),
        _ => Delivery { what: ignored(unknown(&event)), ..delivery },
    }
}

fn user(value: &Value) -> Option<Person> {
    let kind = word(at(value, "/accountType"));
    // A customer of a service desk names himself as he likes.
    let also: &[&str] = if kind == "customer" { &[] } else { &["/emailAddress", "/displayName", "/name", "/key"] };
    let found = person(value, "/accountId", "/accountId", also).or_else(|| person(value, "/name", "/name", also))?;
    Some(Person { bot: kind == "app", ..found })
}

pub(super) fn issue(json: &Value) -> Issue {
    let (found, fields) = (at(json, "/issue"), at(json, "/issue/fields"));
    let key = word(at(found, "/key"));
    let project = [word(at(fields, "/project/key")), key.split('-').next().unwrap_or_default().to_owned()];
    let (creator, reporter) = (user(at(fields, "/creator")), user(at(fields, "/reporter")));
    // The payload has the address of its API alone: `https://x.atlassian.net/rest/api/2/issue/10002`.
    let site = word(at(found, "/self")).split("/rest/").next().map(str::to_owned).unwrap_or_default();
    Issue {
        url: if site.starts_with("http") { format!("{site}/browse/{key}") } else { String::new() },
        title: title(at(fields, "/summary")),
        body: written(at(fields, "/description")),
        // A reporter can be changed by others.
        author: creator.clone().or_else(|| reporter.clone()),
        in_the_name_of: reporter.filter(|reporter| creator.is_some_and(|creator| creator.login != reporter.login)),
        project: project.into_iter().find(|key| !key.is_empty()),
        updated_at: [at(fields, "/updated"), at(json, "/timestamp")]
            .map(word)
            .into_iter()
            .find(|at| !at.is_empty())
            .unwrap_or_default(),
        key,
        ..Issue::default()
    }
}

/// The key that it had in another project.
fn moved_from(json: &Value) -> Option<String> {
    let items = entries(at(json, "/changelog/items"));
    let item = items.iter().find(|item| word(at(item, "/field")) == "Key")?;
    Some(word(at(item, "/fromString"))).filter(|key| !key.is_empty())
}

fn updated(json: &Value) -> What {
    let items = entries(at(json, "/changelog/items"));
    let words = |item: &Value, side: &str| -> Vec<String> {
        word(at(item, side)).split_whitespace().map(str::to_owned).collect()
    };
    let of = |field: &str| items.iter().find(|item| word(at(item, "/field")) == field);
    // Whoever ends it may set other fields by the same act.
    let done = word(at(json, "/issue/fields/status/statusCategory/key")) == "done";
    if of("status").is_some() && done {
        return What::Closed;
    }
    let labels = of("labels").map_or_else(Vec::new, |item| {
        let before = words(item, "/fromString");
        words(item, "/toString").into_iter().filter(|label| !before.contains(label)).collect()
    });
    let to = of("assignee").map(|item| {
        let id = word(at(item, "/to"));
        Person { login: id.clone(), id, also: vec![word(at(item, "/toString"))], bot: false }
    });
    What::changed(labels, to.into_iter().filter(|to| !to.login.is_empty()).collect())
        .unwrap_or_else(|| ignored("nothing is done about an update without a new label, assignee or end"))
}

fn commented(json: &Value) -> What {
    let found = at(json, "/comment");
    if at(found, "/jsdPublic") == false {
        return ignored("a comment that is internal to the service desk");
    }
    let (id, key) = (word(at(found, "/id")), word(at(json, "/issue/key")));
    let issue = issue(json);
    let comment = Comment {
        url: if issue.url.is_empty() || key.is_empty() {
            String::new()
        } else {
            format!("{}?focusedCommentId={id}", issue.url)
        },
        id,
        body: written(at(found, "/body")),
        author: user(at(found, "/author")),
        ..Comment::default()
    };
    own_or(is_linked_in(at(found, "/body")), || What::Commented { comment })
}

static MENTION: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\[~(?:accountid:)?([^\]\s]+)\]").ok());

/// Wiki text, or a document in Atlassian's format; a mention is `@` and whom it names.
fn written(value: &Value) -> String {
    let plain = match value {
        Value::String(raw) => text(&Value::String(raw.clone())),
        Value::Object(_) => {
            let mut found = String::new();
            flatten(value, &mut found, 0);
            text(&Value::String(found))
        }
        _ => String::new(),
    };
    MENTION.as_ref().map_or(plain.clone(), |mention| mention.replace_all(&plain, "@$1").into_owned())
}

fn flatten(node: &Value, out: &mut String, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    match word(at(node, "/type")).as_str() {
        "text" => out.push_str(&cut(at(node, "/text").as_str().unwrap_or_default(), super::read::BODY_CHARS_MAX)),
        "mention" => {
            out.push('@');
            out.push_str(&word(at(node, "/attrs/id")));
        }
        "hardBreak" => out.push('\n'),
        kind => {
            for child in node.get("content").and_then(Value::as_array).into_iter().flatten() {
                flatten(child, out, depth + 1);
            }
            if matches!(kind, "paragraph" | "heading" | "listItem" | "codeBlock") {
                out.push('\n');
            }
        }
    }
}
