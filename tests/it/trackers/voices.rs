//! Answers at each tracker: a comment is made once and known again, whatever becomes of the answer.

use super::{
    client,
    jira_server::{self, JiraServer},
    linear_server::{self, LinearServer},
    sent::sent_with,
};
use crate::publishing::forge_server::{self, ForgeServer};
use journeyman::{
    clock,
    domain::linked_account::Provider,
    net::NetError,
    secrets::Secret,
    trackers::{
        What,
        forge::{ForgeError, ForgeKind},
        parse,
        voice::{Place, Spot, Voice},
    },
};
use serde_json::{Value, json};
use uuid::Uuid;

const TEXT: &str = "**Working on it.**\n\n<details><summary>Plan</summary>\n\n- look\n- mend `add`\n</details>";

/// A tracker in memory.
enum Server {
    Forge(ForgeServer),
    Jira(JiraServer),
    Linear(LinearServer),
}

impl Server {
    async fn start(tracker: Provider) -> Self {
        match tracker {
            Provider::Jira => Self::Jira(JiraServer::start().await),
            Provider::Linear => Self::Linear(LinearServer::start().await),
            forge => Self::Forge(ForgeServer::start(ForgeKind::parse(forge.as_str()).unwrap()).await),
        }
    }

    fn at(&self) -> (&str, &'static str) {
        match self {
            Self::Forge(server) => (&server.url, forge_server::TOKEN),
            Self::Jira(server) => (&server.url, jira_server::TOKEN),
            Self::Linear(server) => (&server.url, linear_server::TOKEN),
        }
    }

    fn comments(&self) -> Vec<Value> {
        match self {
            Self::Forge(server) => server.comments(),
            Self::Jira(server) => server.comments(),
            Self::Linear(server) => server.comments(),
        }
    }

    fn delete(&self, comment: &str) {
        match self {
            Self::Forge(server) => server.delete(comment),
            Self::Jira(server) => server.delete(comment),
            Self::Linear(server) => server.delete(comment),
        }
    }

    fn lose(&self, answers: u32) {
        match self {
            Self::Forge(server) => server.lose(answers),
            Self::Jira(server) => server.lose(answers),
            Self::Linear(server) => server.lose(answers),
        }
    }

    fn is_away_for(&self, requests: u32) {
        match self {
            Self::Forge(server) => server.is_away_for(requests),
            Self::Jira(server) => server.is_away_for(requests),
            Self::Linear(server) => server.is_away_for(requests),
        }
    }

    fn reactions(&self) -> usize {
        match self {
            Self::Forge(server) => server.reactions().len(),
            Self::Jira(_) => 0,
            Self::Linear(server) => server.reactions().len(),
        }
    }
}

fn voice_with(server: &Server, tracker: Provider, token: &str) -> Voice {
    Voice::new(tracker, Some(server.at().0), Secret::new(token), client(&["127.0.0.1"])).unwrap()
}

/// A tracker, what speaks there, and an issue.
async fn ground(tracker: Provider) -> (Server, Voice, Place) {
    let server = Server::start(tracker).await;
    let voice = voice_with(&server, tracker, server.at().1);
    (server, voice, issue(tracker))
}

fn issue(tracker: Provider) -> Place {
    let key = match tracker {
        Provider::Jira | Provider::Linear => "CALC-12",
        _ => "acme/calc#12",
    };
    Place { issue: key.to_owned(), is_pull_request: false }
}

fn new_mark() -> Uuid {
    clock::new_id()
}

#[tokio::test]
async fn a_comment_is_made_once_though_its_answer_was_lost() {
    for tracker in Provider::ALL {
        let (server, voice, place) = ground(tracker).await;
        let (mark, other) = (new_mark(), new_mark());
        assert_eq!(voice.find(&place, mark).await.unwrap(), None, "{tracker:?}");
        server.lose(1);
        let lost = voice.say(&place, mark, TEXT).await.unwrap_err();
        assert!(matches!(lost, ForgeError::Unavailable(_)), "{tracker:?}: {lost:?}");
        let found = voice.find(&place, mark).await.unwrap();
        let id = |comment: &Value| comment["id"].to_string().trim_matches('"').to_owned();
        assert_eq!(found, Some(id(&server.comments()[0])), "{tracker:?}");
        // Another mark is another comment's.
        assert_eq!(voice.find(&place, other).await.unwrap(), None, "{tracker:?}");
        let second = voice.say(&place, other, TEXT).await.unwrap();
        assert_eq!(voice.find(&place, other).await.unwrap(), Some(second), "{tracker:?}");
        assert_eq!(voice.find(&place, mark).await.unwrap(), found, "{tracker:?}");
        assert_eq!(server.comments().len(), 2, "{tracker:?}");
    }
}

#[tokio::test]
async fn a_comment_is_edited_and_one_that_was_deleted_is_told_of() {
    for tracker in Provider::ALL {
        let (server, voice, place) = ground(tracker).await;
        let mark = new_mark();
        let id = voice.say(&place, mark, TEXT).await.unwrap();
        voice.edit(&place, &id, mark, "Done.").await.unwrap();
        let comments = server.comments();
        assert_eq!(comments.len(), 1, "{tracker:?}");
        let body = comments[0]["body"].as_str().unwrap();
        assert!(body.ends_with("Done.") && !body.contains("Working"), "{tracker:?}: {body}");
        assert_eq!(voice.find(&place, mark).await.unwrap(), Some(id.clone()), "{tracker:?}");
        server.delete(&id);
        let gone = voice.edit(&place, &id, mark, "Done.").await.unwrap_err();
        assert!(matches!(gone, ForgeError::Rejected { status: 404, .. }), "{tracker:?}: {gone:?}");
        assert_eq!(voice.find(&place, mark).await.unwrap(), None, "{tracker:?}");
        let another = voice.say(&place, new_mark(), "Once more.").await.unwrap();
        assert_ne!(another, id, "{tracker:?}");
    }
}

#[tokio::test]
async fn what_was_seen_is_shown_once_and_jira_has_nothing_to_show_it_by() {
    for tracker in Provider::ALL {
        let (server, voice, place) = ground(tracker).await;
        let comment = voice.say(&place, new_mark(), TEXT).await.unwrap();
        for _ in 0..2 {
            voice.react(&place, &Spot::Issue).await.unwrap();
            voice.react(&place, &Spot::Comment(comment.clone())).await.unwrap();
        }
        let expected = if tracker == Provider::Jira { 0 } else { 2 };
        assert_eq!(server.reactions(), expected, "{tracker:?}");
    }
    let (server, voice, _) = ground(Provider::Gitlab).await;
    let request = Place { issue: "acme/tools/calc!4".to_owned(), is_pull_request: true };
    voice.say(&request, new_mark(), TEXT).await.unwrap();
    voice.react(&request, &Spot::ReviewComment("31".to_owned())).await.unwrap();
    let Server::Forge(server) = server else { panic!("no forge") };
    assert_eq!(server.reactions(), ["merge_requests/4/notes/31"]);
    assert_eq!(server.asked()[0], "POST /api/v4/projects/acme%2Ftools%2Fcalc/merge_requests/4/notes");
}

#[tokio::test]
async fn a_wrong_token_a_tracker_that_is_away_and_an_unknown_place_are_told_apart() {
    for tracker in Provider::ALL {
        let (server, voice, place) = ground(tracker).await;
        for token in ["another", "another:one"] {
            let refused = voice_with(&server, tracker, token).say(&place, new_mark(), TEXT).await.unwrap_err();
            assert!(matches!(refused, ForgeError::Refused { status: 401, .. }), "{tracker:?}: {refused:?}");
        }
        server.is_away_for(1);
        let away = voice.find(&place, new_mark()).await.unwrap_err();
        assert!(matches!(away, ForgeError::Unavailable(_)) && !away.is_lasting(), "{tracker:?}: {away:?}");
        let nowhere = Place { issue: "nowhere".to_owned(), is_pull_request: false };
        let lost = voice.say(&nowhere, new_mark(), TEXT).await.unwrap_err();
        assert!(
            matches!(lost, ForgeError::Rejected { status: 404, .. } | ForgeError::Unreadable(_)),
            "{tracker:?}: {lost:?}"
        );
        assert_eq!(server.comments().len(), 0, "{tracker:?}");
    }
}

#[tokio::test]
async fn what_is_said_is_ignored_when_it_comes_back() {
    for tracker in Provider::ALL {
        let (server, voice, place) = ground(tracker).await;
        voice.say(&place, new_mark(), "@journeyman cancel").await.unwrap();
        let said = server.comments().remove(0);
        assert_eq!(coming_back(tracker, &said), "it is the service's own comment", "{tracker:?}: {said:#}");
        // The same words of a person are not.
        let words = json!({ "id": "77", "body": "@journeyman cancel" });
        assert_eq!(coming_back(tracker, &words), "a comment", "{tracker:?}");
    }
}

/// What is understood of a comment when the tracker tells of it.
fn coming_back(tracker: Provider, comment: &Value) -> String {
    let (name, body) = match tracker {
        Provider::Github | Provider::Gitea => ("issue_comment_created", "/comment/body"),
        Provider::Gitlab => ("note_on_issue", "/object_attributes/note"),
        Provider::Jira => ("comment_created", "/comment/body"),
        Provider::Linear => ("comment_created", "/data/body"),
    };
    let sent = sent_with(tracker, name, |payload| {
        *payload.pointer_mut(body).unwrap() = comment["body"].clone();
        let (object, _) = body.rsplit_once('/').unwrap();
        payload.pointer_mut(object).unwrap()["id"] = comment["id"].clone();
    });
    match parse(tracker, &sent.map(), &sent.body).what {
        What::Ignored { reason } => reason,
        What::Commented { comment } if !comment.body.is_empty() => "a comment".to_owned(),
        other => panic!("{tracker:?}: {other:?}"),
    }
}

#[tokio::test]
async fn a_comment_of_jira_is_known_as_a_document_and_by_either_of_its_marks() {
    let (server, voice, place) = ground(Provider::Jira).await;
    let Server::Jira(jira) = &server else { panic!("no Jira") };
    let mark = new_mark();
    let id = voice.say(&place, mark, TEXT).await.unwrap();
    let said = &server.comments()[0];
    let body = format!("[Journeyman|#journeyman-{mark}]\n\n*Working on it.*\n\n*Plan*\n\n* look\n* mend {{{{add}}}}");
    assert_eq!(said["body"], body);
    assert_eq!(said["properties"], json!([{ "key": "journeyman", "value": { "mark": mark } }]));
    // Its editor makes a document of it: the link stays a link.
    let href = format!("#journeyman-{mark}");
    let link =
        json!({ "type": "text", "text": "Journeyman", "marks": [{ "type": "link", "attrs": { "href": href } }] });
    let plain = json!({ "type": "text", "text": "Journeyman" });
    let document = |first: &Value| {
        json!({ "type": "doc", "version": 1, "content": [{ "type": "paragraph", "content": [first] },
            { "type": "paragraph", "content": [{ "type": "text", "text": "Working on it." }, link] }] })
    };
    let known = |first: &Value| coming_back(Provider::Jira, &json!({ "id": id, "body": document(first) }));
    assert_eq!(known(&link), "it is the service's own comment");
    // Who quotes it further down says something.
    assert_eq!(known(&plain), "a comment");
    for _ in 0..120 {
        jira.commented("words of people");
    }
    jira.gives_no_properties();
    assert_eq!(voice.find(&place, mark).await.unwrap(), Some(id));
    let (server, voice, place) = ground(Provider::Jira).await;
    let Server::Jira(jira) = &server else { panic!("no Jira") };
    let id = voice.say(&place, mark, TEXT).await.unwrap();
    jira.rewrite(&id, "Somebody has written something else.");
    assert_eq!(voice.find(&place, mark).await.unwrap(), Some(id));
    let personal = voice_with(&server, Provider::Jira, jira_server::PERSONAL);
    assert!(personal.find(&place, mark).await.unwrap().is_some());
}

#[tokio::test]
async fn a_comment_of_linear_is_its_marks_and_what_is_asked_too_often_can_be_asked_again() {
    let (server, voice, place) = ground(Provider::Linear).await;
    let Server::Linear(linear) = &server else { panic!("no Linear") };
    let mark = new_mark();
    linear.is_busy_for(1);
    let busy = voice.say(&place, mark, TEXT).await.unwrap_err();
    assert!(matches!(busy, ForgeError::Unavailable(_)), "{busy:?}");
    let id = voice.say(&place, mark, TEXT).await.unwrap();
    // Who says it again is told of the one that there is.
    assert_eq!(voice.say(&place, mark, TEXT).await.unwrap(), id);
    assert_eq!(server.comments()[0]["body"], "**Working on it.**\n\n**Plan**\n\n- look\n- mend `add`");
    let oauth = voice_with(&server, Provider::Linear, linear_server::OAUTH);
    assert_eq!(oauth.find(&place, mark).await.unwrap(), Some(id.clone()));
    server.delete(&id);
    let twice = voice.say(&place, mark, TEXT).await.unwrap_err();
    assert!(matches!(twice, ForgeError::Rejected { status: 409, .. }), "{twice:?}");
    // Of a thread that it begins, its words are not what is asked for.
    let sent = sent_with(Provider::Linear, "agent_session_created", |payload| {
        payload["agentSession"]["comment"] = json!({ "id": id, "body": "Done." });
    });
    let delivery = parse(Provider::Linear, &sent.map(), &sent.body);
    assert_eq!(delivery.what, What::Delegated { session: "as-1".to_owned(), text: String::new(), comment: None });
}

#[tokio::test]
async fn a_voice_speaks_at_addresses_that_may_be_reached_alone() {
    for tracker in Provider::ALL {
        let (server, _, place) = ground(tracker).await;
        let (url, token) = server.at();
        let voice = Voice::new(tracker, Some(url), Secret::new(token), client(&[])).unwrap();
        let refused = voice.say(&place, new_mark(), TEXT).await.unwrap_err();
        assert!(matches!(refused, ForgeError::Address(NetError::Private { .. })), "{tracker:?}: {refused:?}");
        let without = Voice::new(tracker, None, Secret::new(token), client(&[]));
        let needs_one = matches!(tracker, Provider::Gitea | Provider::Jira);
        assert_eq!(without.is_err(), needs_one, "{tracker:?}");
        assert!(!format!("{voice:?}").contains(token), "{voice:?}");
        assert_eq!(server.comments().len(), 0);
    }
}
