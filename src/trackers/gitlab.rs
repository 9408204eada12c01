//! GitLab (`docs.gitlab.com/user/project/integrations/webhook_events`).

use super::{
    delivery::{Comment, Delivery, Issue, Person, Repository, What},
    github::unknown,
    mark::{is_hidden_in, own_or},
    read::{Reader, about, at, entries, ignored, link, names, person, text, title, word},
};
use crate::domain::publish::BRANCH_PREFIX;
use serde_json::Value;

/// What a hook is called once for, whatever it is tried: stable over its retries.
const IDS: [&str; 3] = ["idempotency-key", "webhook-id", "x-gitlab-event-uuid"];

pub(super) fn read(reader: &Reader<'_>) -> Delivery {
    let header = reader.header(&["x-gitlab-event"]);
    let (kind, action) = (reader.word("/object_kind"), reader.word("/object_attributes/action"));
    let event = if action.is_empty() { header.clone() } else { format!("{header}: {action}") };
    let sender = user(reader.at("/user"));
    let delivery = reader.delivery(&IDS, event, sender);
    let json = reader.json;
    match kind.as_str() {
        "issue" => {
            let what = issue_event(json, &action, &delivery.event);
            about(delivery, of(json, "/object_attributes", '#'), what)
        }
        "note" => note(delivery, json),
        "merge_request" => {
            let what = match action.as_str() {
                "merge" => What::Merged { commit: merged_as(at(json, "/object_attributes")) },
                "close" => What::Closed,
                "reopen" => What::Reopened,
                _ => ignored(unknown(&delivery.event)),
            };
            about(delivery, of(json, "/object_attributes", '!'), what)
        }
        "pipeline" => pipeline(delivery, json),
        _ => Delivery { what: ignored(unknown(&delivery.event)), ..delivery },
    }
}

fn user(value: &Value) -> Option<Person> {
    let found = person(value, "/username", "/id", &["/id"])?;
    // Of access tokens of projects and groups (docs.gitlab.com/user/project/settings/project_access_tokens).
    let bot = is_token_bot(&found.login);
    Some(Person { bot, ..found })
}

/// `project_{id}_bot_{random}` and `group_{id}_bot_{random}`.
fn is_token_bot(login: &str) -> bool {
    let rest = login.strip_prefix("project_").or_else(|| login.strip_prefix("group_"));
    rest.is_some_and(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with("_bot"))
}

fn issue_event(json: &Value, action: &str, event: &str) -> What {
    match action {
        "open" => What::Opened {
            labels: names(at(json, "/labels"), "/title"),
            assignees: entries(at(json, "/assignees")).iter().filter_map(user).collect(),
        },
        "update" => updated(json, event),
        "close" => What::Closed,
        _ => ignored(unknown(event)),
    }
}

/// What is new in the lists before and after.
fn updated(json: &Value, event: &str) -> What {
    let list = |list: &str, side: &str| at(json, &format!("/changes/{list}/{side}")).clone();
    let (before, now) = (names(&list("labels", "previous"), "/title"), names(&list("labels", "current"), "/title"));
    let labels: Vec<String> = now.into_iter().filter(|label| !before.contains(label)).collect();
    let before = list("assignees", "previous");
    let before: Vec<Person> = entries(&before).iter().filter_map(user).collect();
    let now = list("assignees", "current");
    let to: Vec<Person> = entries(&now).iter().filter_map(user).filter(|one| !before.contains(one)).collect();
    What::changed(labels, to)
        .unwrap_or_else(|| ignored(format!("nothing is done about {event} without a new label or assignee")))
}

/// What went into the target: without a merge commit (fast-forward) the last one of the branch.
fn merged_as(request: &Value) -> String {
    let commits = ["/merge_commit_sha", "/squash_commit_sha", "/last_commit/id"];
    commits.map(|place| word(at(request, place))).into_iter().find(|commit| !commit.is_empty()).unwrap_or_default()
}

/// The issue or merge request at `place`, with the project beside it. Of its author there is the id alone, which is the
/// sender's or nobody's who is known.
fn of(json: &Value, place: &str, mark: char) -> Issue {
    let (found, project) = (at(json, place), at(json, "/project"));
    let (name, number) = (word(at(project, "/path_with_namespace")), word(at(found, "/iid")));
    let author_id = word(at(found, "/author_id"));
    let sender = at(json, "/user");
    let author = match word(at(sender, "/id")) {
        _ if author_id.is_empty() => None,
        id if id == author_id => user(sender),
        _ => Some(Person { login: author_id.clone(), id: author_id, ..Person::default() }),
    };
    let is_merge = mark == '!';
    let branch = Some(word(at(found, "/source_branch"))).filter(|branch| is_merge && !branch.is_empty());
    let url = link(at(found, "/url"));
    Issue {
        key: if name.is_empty() || number.is_empty() { String::new() } else { format!("{name}{mark}{number}") },
        title: title(at(found, "/title")),
        body: text(at(found, "/description")),
        url: if url.is_empty() { page(project, mark, &number) } else { url },
        author,
        in_the_name_of: None,
        repository: Some(Repository { name, clone_url: link(at(project, "/git_http_url")) }),
        project: None,
        is_pull_request: is_merge,
        branch,
        moved_from: None,
        updated_at: word(at(found, "/updated_at")),
    }
}

/// A note's issue has no address of its own in the payload.
fn page(project: &Value, mark: char, number: &str) -> String {
    let home = link(at(project, "/web_url"));
    let part = if mark == '!' { "merge_requests" } else { "issues" };
    if home.is_empty() { home } else { format!("{home}/-/{part}/{number}") }
}

fn note(delivery: Delivery, json: &Value) -> Delivery {
    let note = at(json, "/object_attributes");
    if at(note, "/system") == true {
        return Delivery { what: ignored("a note that GitLab itself has written"), ..delivery };
    }
    // Absent of older ones, which tell of new notes alone.
    if !matches!(word(at(note, "/action")).as_str(), "" | "create") {
        return Delivery { what: ignored(unknown(&delivery.event)), ..delivery };
    }
    let path = word(at(note, "/position/new_path"));
    let line = word(at(note, "/position/new_line"));
    let comment = Comment {
        id: word(at(note, "/id")),
        body: text(at(note, "/note")),
        url: link(at(note, "/url")),
        author: delivery.sender.clone(),
        at: (!path.is_empty()).then(|| if line.is_empty() { path.clone() } else { format!("{path}:{line}") }),
        session: None,
    };
    let own = is_hidden_in(at(note, "/note"));
    match word(at(note, "/noteable_type")).as_str() {
        "Issue" => about(delivery, of(json, "/issue", '#'), own_or(own, || What::Commented { comment })),
        "MergeRequest" => {
            let what = own_or(own, || match comment.at {
                Some(_) => What::ReviewComment { comment },
                None => What::Commented { comment },
            });
            about(delivery, of(json, "/merge_request", '!'), what)
        }
        other => Delivery { what: ignored(format!("a note on a {other}")), ..delivery },
    }
}

fn pipeline(delivery: Delivery, json: &Value) -> Delivery {
    let status = word(at(json, "/object_attributes/status"));
    if status != "failed" {
        return Delivery { what: ignored(format!("a pipeline that is {status}")), ..delivery };
    }
    let failed = entries(at(json, "/builds")).iter().filter(|build| word(at(build, "/status")) == "failed");
    let jobs: Vec<String> = failed.map(|build| word(at(build, "/name"))).collect();
    let what = What::CheckFailed {
        name: if jobs.is_empty() { "the pipeline".to_owned() } else { jobs.join(", ") },
        url: link(at(json, "/object_attributes/url")),
        commit: word(at(json, "/object_attributes/sha")),
    };
    if at(json, "/merge_request").is_object() {
        return about(delivery, of(json, "/merge_request", '!'), what);
    }
    // A branch's own pipeline, which says nothing of the merge request that there is of it.
    let branch = word(at(json, "/object_attributes/ref"));
    if !branch.starts_with(BRANCH_PREFIX) || at(json, "/object_attributes/tag") == true {
        return Delivery { what: ignored("a pipeline of no merge request"), ..delivery };
    }
    let project = at(json, "/project");
    let repository = Repository { name: word(at(project, "/path_with_namespace")), clone_url: String::new() };
    let issue = Issue { repository: Some(repository), is_pull_request: true, branch: Some(branch), ..Issue::default() };
    Delivery { issue: Some(issue), what, ..delivery }
}
