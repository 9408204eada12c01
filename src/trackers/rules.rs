//! What is to be done about a delivery, by the rules of its integration.

use super::{
    command::{Command, command},
    delivery::{Comment, Delivery, Issue, Person, What},
};
use crate::domain::integration::Rules;

/// What a delivery asks for, if its sender may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A task for the issue; where one lives it is told what the command says.
    Task {
        command: Command,
        /// What was done: `the label agent was set`.
        trigger: String,
        /// The comment that asks for it.
        comment: Option<Comment>,
        /// A session of Linear's that waits for the task.
        session: Option<String>,
        /// Where the issue has had a task there is none more: what is new is not told.
        once: bool,
    },
    /// The task of the issue, or of the pull request, is told this, which may be `addressed` to it.
    Message { comment: Comment, trigger: String, addressed: bool },
    /// The task of the pull request is told that a check has failed.
    Failure { text: String },
    /// The task of the issue is no longer wanted: the issue has `ended`, which is for whom the tracker lets, or somebody asks
    /// for it.
    Cancel { trigger: String, ended: bool },
    /// The pull request was merged, as this commit.
    Merged { commit: String },
    /// The pull request is open again.
    Reopened,
    /// It has another key now.
    Moved,
    /// Nothing; why.
    Nothing(String),
}

/// What a delivery means, to be done once however often and under whatever ids it comes.
pub fn meaning(delivery: &Delivery, wanted: &Wanted) -> Option<String> {
    let issue = delivery.issue.as_ref()?;
    let (key, at) = (&issue.key, &issue.updated_at);
    let text = match (&delivery.what, wanted) {
        (_, Wanted::Nothing(_)) | (What::Ping | What::Ignored { .. }, _) => return None,
        (What::Commented { comment } | What::ReviewComment { comment } | What::Review { comment, .. }, _) => {
            if matches!(delivery.what, What::Review { .. }) {
                format!("review {key} {}", comment.id)
            } else if let Some(session) = &comment.session {
                format!("{}{session} more", meaning_of_session(key, &comment.id))
            } else {
                meaning_of_comment(key, &comment.id)
            }
        }
        (What::Delegated { session, comment: Some(comment), .. }, _) => {
            format!("{}{session}", meaning_of_session(key, comment))
        }
        (What::Delegated { session, .. }, _) => format!("session {session}"),
        (What::CheckFailed { name, commit, .. }, _) => format!("check {key} {commit} {name}"),
        (What::Opened { .. }, _) => format!("opened {key}"),
        (What::Labelled { labels, .. }, _) => format!("labelled {key} {at} {}", labels.join(" ").to_lowercase()),
        (What::Assigned { .. }, _) => format!("assigned {key} {at}"),
        (What::Stopped { session, id }, _) => format!("stopped {session} {id}"),
        (What::Closed | What::Merged { .. }, _) => format!("closed {key} {at}"),
        (What::Reopened, _) => format!("reopened {key} {at}"),
        (What::Moved, _) => format!("moved {} {key} {at}", issue.moved_from.as_deref().unwrap_or_default()),
    };
    Some(text)
}

/// What that of an agent session begins with which a comment has begun.
pub fn meaning_of_session(key: &str, comment: &str) -> String {
    format!("session {key} {comment} ")
}

/// What that of a comment is.
pub fn meaning_of_comment(key: &str, comment: &str) -> String {
    format!("comment {key} {comment}")
}

pub fn wanted(delivery: &Delivery, rules: &Rules) -> Wanted {
    let has_moved = delivery.issue.as_ref().is_some_and(|issue| issue.moved_from.is_some());
    match by_rules(delivery, rules) {
        // What else was done with it comes to nothing: that is all the same.
        Wanted::Nothing(_) if has_moved => Wanted::Moved,
        wanted => wanted,
    }
}

fn by_rules(delivery: &Delivery, rules: &Rules) -> Wanted {
    let Some(issue) = &delivery.issue else { return Wanted::Nothing(reason(&delivery.what)) };
    // Own doings come back under the account that tokens belong to; what they are named by is in the rules.
    let own = [&rules.mention, &rules.assignee].into_iter().flatten();
    let from_self = |person: &Person| own.clone().any(|name| person.is_called(name));
    if delivery.sender.as_ref().is_some_and(from_self) && !delivery.what.is_a_fact() {
        return Wanted::Nothing("its sender is the service's own account".to_owned());
    }
    match &delivery.what {
        What::Ignored { .. } | What::Ping => Wanted::Nothing(reason(&delivery.what)),
        What::Opened { labels, assignees } => opened(issue, labels, assignees, delivery.sender.as_ref(), rules),
        What::Labelled { labels, whole, to } => match (labelled(labels, rules), assigned(to, rules)) {
            (Some(label), _) => {
                let trigger = format!("the label {label} was set");
                Wanted::Task { command: Command::default(), trigger, comment: None, session: None, once: *whole }
            }
            (None, Some(name)) => task(format!("it was assigned to {name}"), Command::default(), None),
            (None, None) => Wanted::Nothing(format!("no rule names the label {}", shown(labels))),
        },
        What::Assigned { to } => match assigned(to, rules) {
            Some(name) => task(format!("it was assigned to {name}"), Command::default(), None),
            None => Wanted::Nothing("it was assigned to somebody else".to_owned()),
        },
        What::Delegated { session, text, .. } => match spoken_to(text, rules) {
            Some(Command { cancel: true, .. }) => {
                Wanted::Cancel { trigger: "a comment asked for it".to_owned(), ended: false }
            }
            command => Wanted::Task {
                command: command.unwrap_or_else(|| Command { text: text.clone(), ..Command::default() }),
                trigger: "it was given to the agent".to_owned(),
                comment: None,
                session: Some(session.clone()),
                once: false,
            },
        },
        What::Commented { comment } => match spoken_to(&comment.body, rules) {
            Some(Command { cancel: true, .. }) => {
                Wanted::Cancel { trigger: "a comment asked for it".to_owned(), ended: false }
            }
            Some(command) if issue.is_pull_request => {
                let body = if command.text.is_empty() { comment.body.clone() } else { command.text };
                said(&Comment { body, ..comment.clone() }, "a comment on the pull request", true)
            }
            Some(command) => task("it was asked for in a comment".to_owned(), command, Some(comment.clone())),
            // Whatever is said in its session is said to it.
            None if comment.session.is_some() && !comment.body.trim().is_empty() => {
                let command = Command { text: comment.body.clone(), ..Command::default() };
                task("it was asked for in its session".to_owned(), command, Some(comment.clone()))
            }
            None => said(comment, "a comment", false),
        },
        What::ReviewComment { comment } => said(comment, "a comment on the code", is_addressed(comment, rules)),
        What::Review { comment, changes, unread } => {
            let trigger = if *changes { "a review that asks for changes" } else { "a review" };
            match said(comment, trigger, is_addressed(comment, rules)) {
                // There may be some on the code.
                Wanted::Nothing(_) if *unread => {
                    Wanted::Message { comment: comment.clone(), trigger: trigger.to_owned(), addressed: false }
                }
                wanted => wanted,
            }
        }
        What::CheckFailed { name, url, commit } => {
            let commit = &commit[..commit.len().min(12)];
            Wanted::Failure {
                text: format!("On the pull request, at {commit}, a check of the forge failed: {name} ({url})"),
            }
        }
        // Whoever the tracker lets stop it may.
        What::Stopped { .. } => Wanted::Cancel { trigger: "its session was stopped".to_owned(), ended: true },
        What::Closed => Wanted::Cancel { trigger: "it was closed".to_owned(), ended: true },
        What::Merged { commit } => Wanted::Merged { commit: commit.clone() },
        What::Moved => Wanted::Moved,
        What::Reopened if issue.is_pull_request => Wanted::Reopened,
        What::Reopened => Wanted::Nothing("nothing is done about an issue that is open again".to_owned()),
    }
}

fn opened(issue: &Issue, labels: &[String], assignees: &[Person], sender: Option<&Person>, rules: &Rules) -> Wanted {
    if let Some(label) = labelled(labels, rules) {
        return task(format!("it was made with the label {label}"), Command::default(), None);
    }
    if let Some(name) = assigned(assignees, rules) {
        return task(format!("it was made and assigned to {name}"), Command::default(), None);
    }
    // An issue that came from another repository is told of by who moved it, who has not said what it says.
    let is_senders = issue.author.as_ref().zip(sender).is_none_or(|(author, sender)| author.is(sender));
    match spoken_to(&issue.body, rules).filter(|_| is_senders) {
        // What it says is quoted whole; its settings hold.
        Some(command) => task("it speaks to the agent".to_owned(), Command { text: String::new(), ..command }, None),
        None => Wanted::Nothing("a new issue that no rule names".to_owned()),
    }
}

fn task(trigger: String, command: Command, comment: Option<Comment>) -> Wanted {
    Wanted::Task { command, trigger, comment, session: None, once: false }
}

fn is_addressed(comment: &Comment, rules: &Rules) -> bool {
    spoken_to(&comment.body, rules).is_some()
}

fn said(comment: &Comment, trigger: &str, addressed: bool) -> Wanted {
    if comment.body.trim().is_empty() && comment.at.is_none() && !trigger.ends_with("changes") {
        return Wanted::Nothing("a comment without words".to_owned());
    }
    Wanted::Message { comment: comment.clone(), trigger: trigger.to_owned(), addressed }
}

fn labelled<'a>(labels: &'a [String], rules: &Rules) -> Option<&'a String> {
    labels.iter().find(|label| rules.labels.iter().any(|rule| rule.to_lowercase() == label.to_lowercase()))
}

fn assigned<'a>(people: &[Person], rules: &'a Rules) -> Option<&'a String> {
    rules.assignee.as_ref().filter(|name| people.iter().any(|person| person.is_called(name)))
}

fn spoken_to(text: &str, rules: &Rules) -> Option<Command> {
    rules.mention.as_ref().and_then(|mention| command(text, mention))
}

fn reason(what: &What) -> String {
    match what {
        What::Ping => "the tracker tried the hook".to_owned(),
        What::Ignored { reason } => reason.clone(),
        _ => "it names no issue".to_owned(),
    }
}

fn shown(labels: &[String]) -> String {
    labels.join(", ")
}
