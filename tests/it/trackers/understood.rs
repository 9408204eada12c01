//! Each event of each tracker: what is understood of it, and what the rules make of it.

use super::{
    reading::{read, rules},
    sent::{names, sent_with},
};
use journeyman::{
    domain::linked_account::Provider,
    trackers::{
        Delivery, What, parse,
        rules::{Wanted, wanted},
    },
};
use std::collections::BTreeSet;

/// What is wanted, in a few words.
fn told(delivery: &Delivery) -> String {
    match wanted(delivery, &rules()) {
        Wanted::Task { command, trigger, .. } => {
            let model = command.model.map_or_else(String::new, |model| format!(" model {model}"));
            let checks = command.checks.iter().map(|check| format!(" check {check}")).collect::<String>();
            format!("task: {trigger}: {}{model}{checks}", command.text)
        }
        Wanted::Message { comment, trigger, .. } => {
            format!(
                "message: {trigger}{}: {}",
                comment.at.map_or_else(String::new, |at| format!(" at {at}")),
                comment.body
            )
        }
        Wanted::Failure { text } => format!("failure: {text}"),
        Wanted::Cancel { trigger, .. } => format!("cancel: {trigger}"),
        Wanted::Merged { commit } => format!("merged: {}", &commit[..4]),
        Wanted::Moved => "it has another name now".to_owned(),
        Wanted::Reopened => "reopened".to_owned(),
        Wanted::Nothing(reason) => format!("nothing: {reason}"),
    }
}

#[test]
fn each_event_of_each_tracker_is_understood() {
    let mut told_of = BTreeSet::new();
    for line in include_str!("../../fixtures/trackers/understood.txt").lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [tracker, name, event, sender, issue, wanted] = cells[..] else { panic!("{line}") };
        assert!(told_of.insert((tracker.to_owned(), name.to_owned())), "{line}");
        let delivery = read(Provider::parse(tracker).unwrap(), name);
        let shown = (
            delivery.event.as_str(),
            delivery.sender.as_ref().map_or("", |sender| sender.login.as_str()),
            delivery.issue.as_ref().map_or("", |issue| issue.key.as_str()),
        );
        assert_eq!(shown, (event, sender, issue), "{line}: {delivery:#?}");
        assert_eq!(told(&delivery).trim(), wanted, "{line}: {delivery:#?}");
    }
    // No payload is there that nobody reads.
    assert_eq!(told_of, names());
}

/// A comment that an activity comes of is told of by itself too: it is known again.
#[test]
fn a_prompt_at_linear_has_the_id_of_its_comment() {
    let id = |delivery: Delivery| match delivery.what {
        What::Commented { comment } => comment.id,
        what => panic!("{what:?}"),
    };
    assert_eq!(id(read(Provider::Linear, "agent_session_prompted")), "c-3");
    let without = sent_with(Provider::Linear, "agent_session_prompted", |payload| {
        payload["agentActivity"]["sourceCommentId"] = serde_json::Value::Null;
    });
    assert_eq!(id(parse(Provider::Linear, &without.map(), &without.body)), "aa-1");
}
