//! What is understood of each payload, and what the rules make of it.

use super::sent::{sent, sent_with};
use journeyman::{
    domain::{integration::Rules, linked_account::Provider},
    trackers::{
        Delivery, What, parse,
        rules::{Wanted, meaning, wanted},
    },
};
use serde_json::json;

fn rules() -> Rules {
    Rules {
        labels: vec!["Agent".to_owned()],
        mention: Some("@journeyman".to_owned()),
        assignee: Some("journeyman-acme".to_owned()),
    }
}

fn read(tracker: Provider, name: &str) -> Delivery {
    let sent = sent(tracker, name);
    parse(tracker, &sent.map(), &sent.body)
}

/// What is wanted, in a few words.
fn told(delivery: &Delivery) -> String {
    match wanted(delivery, &rules()) {
        Wanted::Task { command, trigger, .. } => {
            let model = command.model.map_or_else(String::new, |model| format!(" model {model}"));
            let checks = command.checks.iter().map(|check| format!(" check {check}")).collect::<String>();
            format!("task: {trigger}: {}{model}{checks}", command.text)
        }
        Wanted::Message { comment, trigger } => {
            format!(
                "message: {trigger}{}: {}",
                comment.at.map_or_else(String::new, |at| format!(" at {at}")),
                comment.body
            )
        }
        Wanted::Failure { text } => format!("failure: {text}"),
        Wanted::Cancel { trigger, .. } => format!("cancel: {trigger}"),
        Wanted::Merged { commit } => format!("merged: {}", &commit[..4]),
        Wanted::Nothing(reason) => format!("nothing: {reason}"),
    }
}

#[test]
fn each_event_of_each_tracker_is_understood() {
    use Provider::{Gitea, Github, Gitlab, Jira, Linear};
    let all = [
        (Github, "issues_labeled", "issues.labeled", "ada", "acme/calc#12", "task: the label agent was set: "),
        (
            Github,
            "issues_opened",
            "issues.opened",
            "ada",
            "acme/calc#12",
            "task: it speaks to the agent:  check python3 -m unittest",
        ),
        (
            Github,
            "issues_assigned",
            "issues.assigned",
            "ada",
            "acme/calc#12",
            "task: it was assigned to journeyman-acme: ",
        ),
        (Github, "issues_closed", "issues.closed", "ada", "acme/calc#12", "cancel: it was closed"),
        (
            Github,
            "issue_comment_created",
            "issue_comment.created",
            "ada",
            "acme/calc#12",
            "task: it was asked for in a comment: mend this model scripted check python3 -m unittest",
        ),
        (
            Github,
            "issue_comment_on_pull_request",
            "issue_comment.created",
            "ada",
            "acme/calc#13",
            "message: a comment: Please add a test too.",
        ),
        (
            Github,
            "pull_request_review_comment_created",
            "pull_request_review_comment.created",
            "ada",
            "acme/calc#13",
            "message: a comment on the code at calc.py:2: Name this sum.",
        ),
        (
            Github,
            "pull_request_review_submitted",
            "pull_request_review.submitted",
            "ada",
            "acme/calc#13",
            "message: a review that asks for changes: Almost.",
        ),
        (Github, "pull_request_merged", "pull_request.closed", "ada", "acme/calc#13", "merged: cccc"),
        (
            Github,
            "check_run_completed",
            "check_run.completed",
            "github-actions[bot]",
            "acme/calc#13",
            "failure: On the pull request, at aaaaaaaaaaaa, a check of the forge failed: tests \
             (https://github.com/acme/calc/runs/2001)",
        ),
        (Github, "ping", "ping", "ada", "", "nothing: the tracker tried the hook"),
        (Gitlab, "issue_labelled", "Issue Hook: update", "ada", "acme/calc#23", "task: the label agent was set: "),
        (Gitlab, "issue_opened", "Issue Hook: open", "ada", "acme/calc#23", "task: it was made with the label agent: "),
        (Gitlab, "issue_closed", "Issue Hook: close", "ada", "acme/calc#23", "cancel: it was closed"),
        (
            Gitlab,
            "note_on_issue",
            "Note Hook: create",
            "ada",
            "acme/calc#23",
            "task: it was asked for in a comment: mend this",
        ),
        (Gitlab, "note_by_gitlab", "Note Hook: create", "ada", "", "nothing: a note that GitLab itself has written"),
        (
            Gitlab,
            "note_on_merge_request",
            "Note Hook: create",
            "ada",
            "acme/calc!4",
            "message: a comment on the code at calc.py:2: Name this sum.",
        ),
        (Gitlab, "merge_request_merged", "Merge Request Hook: merge", "ada", "acme/calc!4", "merged: cccc"),
        (
            Gitlab,
            "pipeline_failed",
            "Pipeline Hook",
            "ada",
            "acme/calc!4",
            "failure: On the pull request, at aaaaaaaaaaaa, a check of the forge failed: unit \
             (https://gitlab.com/acme/calc/-/pipelines/31)",
        ),
        (Gitea, "issue_label_updated", "issues.label_updated", "ada", "acme/calc#7", "task: the label agent was set: "),
        (
            Gitea,
            "issue_label_updated_without_changes",
            "issues.label_updated",
            "ada",
            "acme/calc#7",
            "task: the label agent was set: ",
        ),
        (Gitea, "issues_opened", "issues.opened", "ada", "acme/calc#7", "task: it was made with the label agent: "),
        (
            Gitea,
            "issue_comment_created",
            "issue_comment.created",
            "ada",
            "acme/calc#7",
            "task: it was asked for in a comment: mend this",
        ),
        (
            Gitea,
            "pull_request_rejected",
            "pull_request_rejected.reviewed",
            "ada",
            "acme/calc#8",
            "message: a review that asks for changes: Almost.",
        ),
        (
            Jira,
            "issue_created",
            "jira:issue_created",
            "557058:ada",
            "CALC-12",
            "task: it was made with the label agent: ",
        ),
        (Jira, "issue_labelled", "jira:issue_updated", "557058:ada", "CALC-12", "task: the label agent was set: "),
        (Jira, "issue_done", "jira:issue_updated", "557058:ada", "CALC-12", "cancel: it was closed"),
        (
            Jira,
            "comment_created",
            "comment_created",
            "557058:ada",
            "CALC-12",
            "message: a comment: @557058:journeyman mend this",
        ),
        (Linear, "issue_labelled", "Issue.update", "u-ada", "CALC-12", "task: the label agent was set: "),
        (Linear, "issue_created", "Issue.create", "u-ada", "CALC-12", "task: it was made with the label agent: "),
        (Linear, "issue_completed", "Issue.update", "u-ada", "CALC-12", "cancel: it was closed"),
        (
            Linear,
            "comment_created",
            "Comment.create",
            "u-ada",
            "CALC-12",
            "task: it was asked for in a comment: mend this",
        ),
        (
            Linear,
            "agent_session_created",
            "AgentSessionEvent.created",
            "u-ada",
            "CALC-12",
            "task: it was given to the agent: Please mend this",
        ),
    ];
    for (tracker, name, event, sender, issue, wanted) in all {
        let delivery = read(tracker, name);
        let shown = (
            delivery.event.as_str(),
            delivery.sender.as_ref().map_or("", |sender| sender.login.as_str()),
            delivery.issue.as_ref().map_or("", |issue| issue.key.as_str()),
        );
        assert_eq!(shown, (event, sender, issue), "{tracker:?} {name}: {delivery:#?}");
        assert_eq!(told(&delivery), wanted, "{tracker:?} {name}: {delivery:#?}");
    }
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
    let bot = |p: &mut serde_json::Value| p["data"]["botActor"] = json!({ "id": "b" });
    assert_eq!(reason(Provider::Linear, "comment_created", &bot), "its author is a program");
    let token = |p: &mut serde_json::Value| p["user"]["username"] = json!("project_15_bot_9f");
    assert_eq!(reason(Provider::Gitlab, "note_on_issue", &token), "its sender is a program");

    let mut broken = sent(github, "issues_labeled");
    broken.body.truncate(100);
    let delivery = parse(github, &broken.map(), &broken.body);
    assert_eq!(delivery.what, What::Ignored { reason: "its body is no JSON object".to_owned() });
    // What comes from the account that the rules name is the service's own.
    let self_made = sent_with(github, "issues_closed", |p| p["sender"]["login"] = json!("Journeyman"));
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
