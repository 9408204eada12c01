//! Each event of each tracker: what is understood of it, and what the rules make of it.

use super::{
    reading::{read, rules},
    sent::names,
};
use journeyman::{
    domain::linked_account::Provider,
    trackers::{
        Delivery,
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
        (Github, "issues_deleted", "issues.deleted", "ada", "acme/calc#12", "cancel: it was closed"),
        (Github, "issues_transferred", "issues.transferred", "ada", "acme/calc#12", "cancel: it was closed"),
        (
            Github,
            "pull_request_review_submitted_without_changes",
            "pull_request_review.submitted",
            "ada",
            "acme/calc#13",
            "message: a review: Does it add floats?",
        ),
        (Github, "pull_request_closed", "pull_request.closed", "ada", "acme/calc#13", "cancel: it was closed"),
        (Github, "star", "star.created", "ada", "", "nothing: nothing is done about star.created"),
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
        (
            Gitlab,
            "issue_assigned",
            "Issue Hook: update",
            "ada",
            "acme/calc#23",
            "task: it was assigned to journeyman-acme: ",
        ),
        (
            Gitlab,
            "note_on_merge_request_whole",
            "Note Hook: create",
            "ada",
            "acme/calc!4",
            "message: a comment: Please add a test too.",
        ),
        (Gitlab, "merge_request_closed", "Merge Request Hook: close", "ada", "acme/calc!4", "cancel: it was closed"),
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
            Gitea,
            "issues_assigned",
            "issues.assigned",
            "ada",
            "acme/calc#7",
            "task: it was assigned to journeyman-acme: ",
        ),
        (Gitea, "issues_closed", "issues.closed", "ada", "acme/calc#7", "cancel: it was closed"),
        (
            Gitea,
            "issue_comment_on_pull_request",
            "issue_comment.created",
            "ada",
            "acme/calc#8",
            "message: a comment: Please add a test too.",
        ),
        (
            Gitea,
            "pull_request_comment",
            "pull_request_comment.reviewed",
            "ada",
            "acme/calc#8",
            "message: a review: Does it add floats?",
        ),
        (Gitea, "pull_request_merged", "pull_request.closed", "ada", "acme/calc#8", "merged: cccc"),
        (Gitea, "pull_request_closed", "pull_request.closed", "ada", "acme/calc#8", "cancel: it was closed"),
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
        (
            Jira,
            "issue_assigned",
            "jira:issue_updated",
            "557058:ada",
            "CALC-12",
            "task: it was assigned to journeyman-acme: ",
        ),
        (Jira, "issue_deleted", "jira:issue_deleted", "557058:ada", "CALC-12", "cancel: it was closed"),
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
        (Linear, "issue_assigned", "Issue.update", "u-ada", "CALC-12", "task: it was assigned to journeyman-acme: "),
        (Linear, "issue_removed", "Issue.remove", "u-ada", "CALC-12", "cancel: it was closed"),
        (
            Linear,
            "agent_session_prompted",
            "AgentSessionEvent.prompted",
            "u-ada",
            "CALC-12",
            "message: a comment: And the tests.",
        ),
    ];
    let mut told_of = BTreeSet::new();
    for (tracker, name, event, sender, issue, wanted) in all {
        told_of.insert((tracker.as_str().to_owned(), name.to_owned()));
        let delivery = read(tracker, name);
        let shown = (
            delivery.event.as_str(),
            delivery.sender.as_ref().map_or("", |sender| sender.login.as_str()),
            delivery.issue.as_ref().map_or("", |issue| issue.key.as_str()),
        );
        assert_eq!(shown, (event, sender, issue), "{tracker:?} {name}: {delivery:#?}");
        assert_eq!(told(&delivery), wanted, "{tracker:?} {name}: {delivery:#?}");
    } // No payload is there that nobody reads.
    assert_eq!(told_of, names());
}
