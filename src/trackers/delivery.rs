//! What a tracker tells, whichever it is.

use super::{
    gitea, github, gitlab, jira, linear,
    read::{BODY_CHARS_MAX, Reader, cut},
};
use crate::domain::{linked_account::Provider, publish::BRANCH_PREFIX};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Something that has happened at a tracker. Its texts are cleaned and cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The tracker's own, the same when it tries again; of a body without one its hash.
    pub id: String,
    /// As the tracker calls it: `issues.labeled`.
    pub event: String,
    /// Who did it; absent where the tracker does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<Person>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue: Option<Issue>,
    pub what: What,
}

/// An account at a tracker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// What the tracker shows him by: a login; of Jira and Linear the account's id.
    pub login: String,
    /// Of his account, which nobody else ever has; empty where the tracker does not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// What else the tracker calls him: at Jira and Linear his address and his name; at forges the id once more, for services of
    /// the version before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// A program.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bot: bool,
}

impl Delivery {
    /// Adds what a review says of the code.
    pub fn add_review(&mut self, told: &[ReviewComment]) {
        let What::Review { comment, unread, .. } = &mut self.what else { return };
        *unread = false;
        let mut said = comment.body.clone();
        for ReviewComment { at, body } in told {
            said.extend(["\n\n", at, ": ", body.trim()]);
        }
        comment.body = cut(said.trim(), BODY_CHARS_MAX);
    }

    /// Gives people their ids in a delivery that was written down before these stood apart from their names.
    pub fn complete(&mut self, tracker: Provider) {
        let author = match &mut self.what {
            What::Commented { comment } | What::ReviewComment { comment } | What::Review { comment, .. } => {
                comment.author.as_mut()
            }
            _ => None,
        };
        let of_issue = self.issue.as_mut().and_then(|issue| issue.author.as_mut());
        for person in [self.sender.as_mut(), of_issue, author].into_iter().flatten() {
            person.complete(tracker);
        }
    }
}

impl Person {
    fn complete(&mut self, tracker: Provider) {
        if !self.id.is_empty() {
            return;
        }
        self.id = match tracker {
            Provider::Jira | Provider::Linear => self.login.clone(),
            // Of an issue's author GitLab gives the id alone.
            _ => self.also.first().unwrap_or(&self.login).clone(),
        };
    }

    /// Whether both are one account.
    pub fn is(&self, other: &Self) -> bool {
        if self.id.is_empty() || other.id.is_empty() { self.login == other.login } else { self.id == other.id }
    }

    /// Whether this is an id or a name of his. Names are chosen: one that looks like the id of an account is nobody's.
    pub fn is_called(&self, name: &str) -> bool {
        let name = name.trim().trim_start_matches('@').to_lowercase();
        if name.is_empty() || self.id.to_lowercase() == name {
            return !name.is_empty();
        }
        let mut names = std::iter::once(&self.login).chain(&self.also);
        !looks_like_id(&name) && names.any(|own| own.to_lowercase() == name)
    }
}

/// A number (forges), a UUID (Linear), 24 hex digits or a number before a colon (Atlassian).
fn looks_like_id(name: &str) -> bool {
    let all = |is: fn(&u8) -> bool| name.bytes().all(|byte| is(&byte));
    let has_number =
        || name.split_once(':').is_some_and(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit()));
    all(u8::is_ascii_digit)
        || uuid::Uuid::parse_str(name).is_ok()
        || (name.len() == 24 && all(u8::is_ascii_hexdigit))
        || has_number()
}

/// An issue, or a pull request where comments and reviews of one are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// Unique at its tracker: `owner/name#12`, `group/project!3`, `ABC-12`.
    pub key: String,
    pub title: String,
    pub body: String,
    /// For people.
    pub url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Person>,
    /// Whose words the author says that they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_the_name_of: Option<Person>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
    /// The key of its Jira project or Linear team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// It is a pull or merge request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_pull_request: bool,
    /// Of a pull request: the branch that it would merge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The key that it had until this event; of a repository that has another name now the name that it had, and the key is its
    /// name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<String>,
    /// When it was last changed, as the tracker writes it: the same in each copy of one event.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub updated_at: String,
}

impl Issue {
    /// Whether it may be a pull request that the service has opened.
    pub fn may_be_own(&self) -> bool {
        self.is_pull_request && self.branch.as_ref().is_none_or(|branch| branch.starts_with(BRANCH_PREFIX))
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// `owner/name`, or a GitLab project's path.
    pub name: String,
    pub clone_url: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comment {
    pub id: String,
    pub body: String,
    pub url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Person>,
    /// Of a review: the file and the line that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Of an agent session: that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

/// What a review says of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewComment {
    /// The file and the line: `calc.py:2`.
    pub at: String,
    /// Cleaned and cut.
    pub body: String,
}

/// What has happened to the issue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// Made, with these labels and assignees.
    Opened {
        labels: Vec<String>,
        assignees: Vec<Person>,
    },
    /// These labels are new; with `whole` it has them, and which is new is not told.
    Labelled {
        labels: Vec<String>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        whole: bool,
        /// To whom it was assigned by the same act.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        to: Vec<Person>,
    },
    Assigned {
        to: Vec<Person>,
    },
    /// Given to this very agent by name, where the tracker knows agents; with what was said.
    Delegated {
        session: String,
        text: String,
        /// The comment that it was said in, of which an event of its own tells as well.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<String>,
    },
    Commented {
        comment: Comment,
    },
    ReviewComment {
        comment: Comment,
    },
    /// A whole review; `changes` where it asks for some, `unread` where its comments on the code have to be asked for.
    Review {
        comment: Comment,
        changes: bool,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unread: bool,
    },
    /// A check of a forge on a pull request's branch did not hold.
    CheckFailed {
        name: String,
        url: String,
        commit: String,
    },
    /// Whoever is spoken to in an agent session is told to stop; the id of that act.
    Stopped {
        session: String,
        id: String,
    },
    Closed,
    /// A pull request that was closed is open again.
    Reopened,
    /// It has another key now, and nothing else was done.
    Moved,
    Merged {
        commit: String,
    },
    /// The tracker tries the hook.
    Ping,
    /// Nothing is to be done, whatever the rules say; why.
    Ignored {
        reason: String,
    },
}

impl What {
    /// What has come about and asks nobody for anything: it counts whoever tells of it, a program or the service's own account,
    /// under which checks of what it has pushed run.
    pub fn is_a_fact(&self) -> bool {
        matches!(self, Self::CheckFailed { .. } | Self::Closed | Self::Reopened | Self::Moved | Self::Merged { .. })
    }

    /// An assignment and new labels, whichever there are of them; none where there are neither.
    pub(super) fn changed(labels: Vec<String>, to: Vec<Person>) -> Option<Self> {
        match (labels.is_empty(), to.is_empty()) {
            (true, true) => None,
            (true, false) => Some(Self::Assigned { to }),
            (false, _) => Some(Self::Labelled { labels, whole: false, to }),
        }
    }
}

/// Reads a request that [`super::verify`] has let through. What cannot be read or is not known is [`What::Ignored`].
pub fn parse(tracker: Provider, headers: &HeaderMap, body: &[u8]) -> Delivery {
    let json = content(headers, body);
    let reader = Reader::new(headers, json.as_ref().unwrap_or(&Value::Null));
    let mut delivery = match tracker {
        Provider::Github => github::read(&reader),
        Provider::Gitlab => gitlab::read(&reader),
        Provider::Gitea => gitea::read(&reader),
        Provider::Jira => jira::read(&reader),
        Provider::Linear => linear::read(&reader),
    };
    if delivery.id.is_empty() {
        delivery.id = hash(body);
    }
    if json.is_none() {
        delivery.what = What::Ignored { reason: "its body is no JSON object".to_owned() };
    }
    let is_bot = delivery.sender.as_ref().is_some_and(|sender| sender.bot);
    if is_bot && !delivery.what.is_a_fact() && !matches!(delivery.what, What::Ignored { .. } | What::Ping) {
        delivery.what = What::Ignored { reason: "its sender is a program".to_owned() };
    }
    delivery
}

/// GitHub and Gitea can send the object as a form's field `payload`.
fn content(headers: &HeaderMap, body: &[u8]) -> Option<Value> {
    let kind = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let form = kind.trim().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded");
    let json = if form {
        let (_, payload) = url::form_urlencoded::parse(body).find(|(name, _)| name == "payload")?;
        serde_json::from_str(&payload)
    } else {
        serde_json::from_slice(body)
    };
    json.ok().filter(Value::is_object)
}

fn hash(body: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(body) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
