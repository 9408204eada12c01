//! Linear (`@linear/sdk`, the types of its webhooks). It knows no repository: a team's comes by the integration's mapping.

use super::{
    delivery::{Comment, Delivery, Issue, Person, What},
    github::unknown,
    mark::{is_own_id, own_or},
    read::{Reader, about, at, entries, ignored, link, moved_or, names, person, text, title, word},
};
use serde_json::Value;

pub(super) fn read(reader: &Reader<'_>) -> Delivery {
    let json = reader.json;
    let (kind, action) = (reader.word("/type"), reader.word("/action"));
    let event = format!("{kind}.{action}");
    let delivery = reader.delivery(&["linear-delivery"], event, actor(reader.at("/actor")));
    match (kind.as_str(), action.as_str()) {
        ("Issue", "create") => {
            let data = reader.at("/data");
            let labels = names(at(data, "/labels"), "/name");
            let assignees = actor(at(data, "/assignee")).into_iter().collect();
            about(delivery, issue(json, data), What::Opened { labels, assignees })
        }
        ("Issue", "update") => {
            let moved_from = moved_from(json);
            let what = moved_or(moved_from.is_some(), updated(json));
            about(delivery, Issue { moved_from, ..issue(json, reader.at("/data")) }, what)
        }
        ("Issue", "remove") => about(delivery, issue(json, reader.at("/data")), What::Closed),
        ("Comment", "create") => commented(delivery, json),
        ("AgentSessionEvent", action) => session(delivery, json, action),
        _ => Delivery { what: ignored(unknown(&delivery.event)), ..delivery },
    }
}

fn actor(value: &Value) -> Option<Person> {
    let kind = word(at(value, "/type"));
    let found = person(value, "/id", "/id", &["/email", "/name", "/displayName"])?;
    // Users have the type `user` or none; others are integrations, OAuth clients and bots.
    Some(Person { bot: !matches!(kind.as_str(), "" | "user"), ..found })
}

pub(super) fn issue(json: &Value, data: &Value) -> Issue {
    let key = word(at(data, "/identifier"));
    let team = [word(at(data, "/team/key")), key.split('-').next().unwrap_or_default().to_owned()];
    let creator = word(at(data, "/creatorId"));
    let author = match actor(at(data, "/creator")) {
        Some(one) => Some(one),
        None if creator.is_empty() => None,
        None => actor(at(json, "/actor")).filter(|one| one.login == creator).or(Some(Person {
            login: creator.clone(),
            id: creator,
            ..Person::default()
        })),
    };
    let urls = [at(data, "/url"), at(json, "/url")];
    Issue {
        title: title(at(data, "/title")),
        body: text(at(data, "/description")),
        url: urls.map(link).into_iter().find(|url| !url.is_empty()).unwrap_or_default(),
        author,
        project: team.into_iter().find(|key| !key.is_empty()),
        updated_at: word(at(data, "/updatedAt")),
        key,
        ..Issue::default()
    }
}

/// The identifier that it had in another team.
fn moved_from(json: &Value) -> Option<String> {
    at(json, "/updatedFrom").get("teamId")?;
    entries(at(json, "/data/previousIdentifiers")).last().map(word).filter(|key| !key.is_empty())
}

fn updated(json: &Value) -> What {
    let (data, before) = (at(json, "/data"), at(json, "/updatedFrom"));
    // Whoever ends it may set other fields by the same act.
    let ended = matches!(word(at(data, "/state/type")).as_str(), "completed" | "canceled");
    if before.get("stateId").is_some() && ended {
        return What::Closed;
    }
    let had = at(before, "/labelIds");
    let had: Option<Vec<String>> = had.is_array().then(|| entries(had).iter().map(word).collect());
    let labels = had.map_or_else(Vec::new, |had| {
        let is_new = |label: &&Value| !had.contains(&word(at(label, "/id")));
        entries(at(data, "/labels")).iter().filter(is_new).map(|label| word(at(label, "/name"))).collect()
    });
    let to = before.get("assigneeId").and_then(|_| actor(at(data, "/assignee")));
    What::changed(labels, to.into_iter().collect())
        .unwrap_or_else(|| ignored("nothing is done about an update without a new label, assignee or end"))
}

fn commented(delivery: Delivery, json: &Value) -> Delivery {
    let data = at(json, "/data");
    // An object, or one as a text (`packages/sdk/src/schema.graphql`).
    if !at(data, "/botActor").is_null() {
        return Delivery { what: ignored("its author is a program"), ..delivery };
    }
    let comment = Comment {
        id: word(at(data, "/id")),
        body: text(at(data, "/body")),
        url: link(at(json, "/url")),
        author: actor(at(data, "/user")).or_else(|| delivery.sender.clone()),
        ..Comment::default()
    };
    let found = issue(&Value::Null, at(data, "/issue"));
    about(delivery, found, own_or(is_own_id(at(data, "/id")), || What::Commented { comment }))
}

/// A session of an agent: begun by a mention or a delegation, or told more.
fn session(delivery: Delivery, json: &Value, action: &str) -> Delivery {
    let session = at(json, "/agentSession");
    let people = [at(json, "/agentActivity/user"), at(session, "/creator")];
    let sender = delivery.sender.clone().or_else(|| people.into_iter().find_map(actor));
    let delivery = Delivery { sender, ..delivery };
    let found = issue(json, at(session, "/issue"));
    // A thread can begin with a comment of the service's own, which is not what is asked for.
    let root = if is_own_id(at(session, "/comment/id")) { &Value::Null } else { at(session, "/comment/body") };
    let said = [at(json, "/agentActivity/content/body"), root];
    let body = said.map(text).into_iter().find(|text| !text.is_empty()).unwrap_or_default();
    // Comments are told of by events of their own as well, and can be reacted to; activities cannot.
    let ids = [at(json, "/agentActivity/sourceCommentId"), at(json, "/agentActivity/id")];
    let session_id = word(at(session, "/id"));
    let comment = Some(word(at(session, "/comment/id"))).filter(|id| !id.is_empty() && !root.is_null());
    let what = match action {
        // linear.app/developers/agent-signals
        "prompted" if word(at(json, "/agentActivity/signal")) == "stop" => {
            What::Stopped { session: session_id, id: word(at(json, "/agentActivity/id")) }
        }
        "created" => What::Delegated { session: session_id, text: body, comment },
        "prompted" => What::Commented {
            comment: Comment {
                id: ids.map(word).into_iter().find(|id| !id.is_empty()).unwrap_or_default(),
                body,
                url: found.url.clone(),
                author: delivery.sender.clone(),
                at: None,
                session: Some(session_id).filter(|id| !id.is_empty()),
            },
        },
        _ => ignored(unknown(&delivery.event)),
    };
    about(delivery, found, what)
}
