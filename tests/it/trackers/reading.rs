//! What is understood of payloads beyond their event, and what means the same.

use super::sent::{sent, sent_with};
use journeyman::{
    domain::{integration::Rules, linked_account::Provider},
    trackers::{
        Delivery, What, parse,
        rules::{Wanted, meaning, wanted},
    },
};
use serde_json::json;

pub(super) fn rules() -> Rules {
    Rules {
        labels: vec!["Agent".to_owned()],
        mention: Some("@journeyman".to_owned()),
        assignee: Some("journeyman-acme".to_owned()),
    }
}

pub(super) fn read(tracker: Provider, name: &str) -> Delivery {
    let sent = sent(tracker, name);
    parse(tracker, &sent.map(), &sent.body)
}

#[test]
fn an_issue_is_known_with_its_author_its_code_and_its_address() {
    let of = |tracker, name| {
        let issue = read(tracker, name).issue.unwrap();
        let repository = issue.repository.map(|repository| repository.clone_url);
        (issue.title, issue.url, issue.author.unwrap().login, repository, issue.project)
    };
    let text = str::to_owned;
    let add = || text("add subtracts");
    assert_eq!(
        of(Provider::Github, "issues_labeled"),
        (
            add(),
            text("https://github.com/acme/calc/issues/12"),
            text("ada"),
            Some(text("https://github.com/acme/calc.git")),
            None
        )
    );
    assert_eq!(
        of(Provider::Gitlab, "note_on_issue"),
        (
            add(),
            text("https://gitlab.com/acme/calc/-/issues/23"),
            text("ada"),
            Some(text("https://gitlab.com/acme/calc.git")),
            None
        )
    );
    assert_eq!(
        of(Provider::Jira, "issue_labelled"),
        (add(), text("https://acme.atlassian.net/browse/CALC-12"), text("557058:ada"), None, Some(text("CALC")))
    );
    assert_eq!(
        of(Provider::Linear, "issue_labelled"),
        (add(), text("https://linear.app/acme/issue/CALC-12/add-subtracts"), text("u-ada"), None, Some(text("CALC")))
    );
}

#[test]
fn programs_own_comments_unknown_events_and_broken_bodies_ask_for_nothing() {
    let reason = |tracker, name: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let sent = sent_with(tracker, name, change);
        match parse(tracker, &sent.map(), &sent.body).what {
            What::Ignored { reason } => reason,
            other => panic!("{other:?}"),
        }
    };
    let github = Provider::Github;
    assert_eq!(reason(github, "issues_labeled", &|p| p["sender"]["type"] = json!("Bot")), "its sender is a program");
    let own = |p: &mut serde_json::Value| p["comment"]["body"] = json!("<!-- journeyman status -->\nDone.");
    assert_eq!(reason(github, "issue_comment_created", &own), "it is the service's own comment");
    assert_eq!(
        reason(github, "issue_comment_created", &|p| p["action"] = json!("edited")),
        "nothing is done about issue_comment.edited"
    );
    assert_eq!(reason(github, "star", &|_| {}), "nothing is done about star.created");
    let app = |p: &mut serde_json::Value| p["user"]["accountType"] = json!("app");
    assert_eq!(reason(Provider::Jira, "issue_labelled", &app), "its sender is a program");
    let bot = |p: &mut serde_json::Value| p["data"]["botActor"] = json!("{\"id\":\"b\"}");
    assert_eq!(reason(Provider::Linear, "comment_created", &bot), "its author is a program");
    let token = |p: &mut serde_json::Value| p["user"]["username"] = json!("project_15_bot_9f");
    assert_eq!(reason(Provider::Gitlab, "note_on_issue", &token), "its sender is a program");

    let mut broken = sent(github, "issues_labeled");
    broken.body.truncate(100);
    let delivery = parse(github, &broken.map(), &broken.body);
    assert_eq!(delivery.what, What::Ignored { reason: "its body is no JSON object".to_owned() });
    // What comes from the account that the rules name is the service's own.
    let self_made = sent_with(github, "issues_assigned", |p| p["sender"]["login"] = json!("Journeyman"));
    let delivery = parse(github, &self_made.map(), &self_made.body);
    assert_eq!(wanted(&delivery, &rules()), Wanted::Nothing("its sender is the service's own account".to_owned()));
}

#[test]
fn a_form_holds_the_same_as_json() {
    let json = sent(Provider::Github, "issues_labeled");
    let mut form = json.clone().with("content-type", "application/x-www-form-urlencoded");
    form.body = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("payload", std::str::from_utf8(&json.body).unwrap())
        .finish()
        .into_bytes();
    let read = |sent: &super::sent::Sent| parse(Provider::Github, &sent.map(), &sent.body);
    assert_eq!(read(&form), read(&json));
}

#[test]
fn what_is_sent_again_means_the_same_and_what_is_done_again_does_not() {
    let of = |sent: &super::sent::Sent| {
        let delivery = parse(sent.tracker, &sent.map(), &sent.body);
        (delivery.id.clone(), meaning(&delivery, &wanted(&delivery, &rules())))
    };
    for (tracker, name) in [
        (Provider::Github, "issues_labeled"),
        (Provider::Gitlab, "note_on_issue"),
        (Provider::Gitea, "issue_label_updated"),
        (Provider::Jira, "comment_created"),
        (Provider::Linear, "issue_labelled"),
    ] {
        let first = sent(tracker, name);
        let (again, same) = (of(&first.clone().again()), of(&first));
        assert_ne!(again.0, same.0, "{name}");
        assert_eq!(again.1, same.1, "{name}");
        assert!(same.1.is_some(), "{name}");
    }
    let later =
        sent_with(Provider::Github, "issues_labeled", |p| p["issue"]["updated_at"] = json!("2026-12-01T00:00:00Z"));
    assert_ne!(of(&later).1, of(&sent(Provider::Github, "issues_labeled")).1);
    // Without an id of its own a body is known by what is in it.
    let nameless = sent(Provider::Github, "issues_labeled").without("x-github-delivery");
    let id = of(&nameless).0;
    assert!(id.starts_with("sha256:") && id == of(&nameless.clone()).0, "{id}");
}
