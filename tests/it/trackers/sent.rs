//! Requests as trackers send them: payloads of `tests/fixtures/trackers`, with the headers and signatures of each.

use aws_lc_rs::hmac;
use http::{HeaderMap, HeaderName, HeaderValue};
use journeyman::{clock, domain::linked_account::Provider};
use serde_json::Value;
use std::{collections::BTreeSet, fmt::Write, path::PathBuf};
use uuid::Uuid;

pub(crate) const SECRET: &str = "a secret that a tracker signs with";

/// A request that a tracker would send.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) tracker: Provider,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// Where the payloads are, by tracker.
pub(super) fn place() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/fixtures/trackers"].iter().collect()
}

/// All payloads there are, by tracker and name.
pub(super) fn names() -> BTreeSet<(String, String)> {
    let all = [Provider::Github, Provider::Gitlab, Provider::Gitea, Provider::Jira, Provider::Linear];
    let of = |tracker: Provider| {
        let entries = std::fs::read_dir(place().join(tracker.as_str())).unwrap();
        entries.map(move |entry| {
            let path = entry.unwrap().path();
            (tracker.as_str().to_owned(), path.file_stem().unwrap().to_str().unwrap().to_owned())
        })
    };
    all.into_iter().flat_map(of).collect()
}

pub(crate) fn fixture(tracker: Provider, name: &str) -> Value {
    let path = place().join(tracker.as_str()).join(format!("{name}.json"));
    serde_json::from_slice(&std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))).unwrap()
}

pub(crate) fn now_ms() -> i64 {
    (clock::now().0.unix_timestamp_nanos() / 1_000_000) as i64
}

/// A fixture as it is sent now.
pub(crate) fn sent(tracker: Provider, name: &str) -> Sent {
    sent_with(tracker, name, |_| {})
}

/// The same with something else in it.
pub(crate) fn sent_with(tracker: Provider, name: &str, change: impl FnOnce(&mut Value)) -> Sent {
    let mut payload = fixture(tracker, name);
    change(&mut payload);
    of(tracker, name, payload)
}

fn of(tracker: Provider, name: &str, mut payload: Value) -> Sent {
    if tracker == Provider::Linear {
        payload["webhookTimestamp"] = now_ms().into();
    }
    let body = serde_json::to_vec(&payload).unwrap();
    Sent { tracker, headers: headers(tracker, name, &payload), body }.signed(SECRET)
}

fn headers(tracker: Provider, name: &str, payload: &Value) -> Vec<(String, String)> {
    let id = clock::new_id::<Uuid>().to_string();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let pairs: Vec<(&str, String)> = match tracker {
        Provider::Github => {
            let events = [
                "pull_request_review_comment",
                "pull_request_review",
                "pull_request",
                "issue_comment",
                "issues",
                "check_run",
                "status",
                "repository",
                "ping",
            ];
            let event = events.into_iter().find(|event| name.starts_with(event)).unwrap_or("star");
            vec![("x-github-event", event.to_owned()), ("x-github-delivery", id)]
        }
        Provider::Gitlab => {
            let event = match text(&payload["object_kind"]).as_str() {
                "issue" => "Issue Hook",
                "note" => "Note Hook",
                "merge_request" => "Merge Request Hook",
                _ => "Pipeline Hook",
            };
            vec![("x-gitlab-event", event.to_owned()), ("x-gitlab-event-uuid", id.clone()), ("idempotency-key", id)]
        }
        Provider::Gitea => {
            let (event, full) = match name {
                "issue_comment_created" => ("issue_comment", "issue_comment"),
                "issue_comment_on_pull_request" => ("issue_comment", "pull_request_comment"),
                "issues_assigned" => ("issues", "issue_assign"),
                "pull_request_rejected" => ("pull_request_rejected", "pull_request_review_rejected"),
                "pull_request_comment" => ("pull_request_comment", "pull_request_review_comment"),
                "pull_request_merged" | "pull_request_closed" => ("pull_request", "pull_request"),
                "status_failed" => ("status", "status"),
                "workflow_run_failed" => ("workflow_run", "workflow_run"),
                "action_run_failure" => ("", "action_run_failure"),
                _ if name.contains("label") => ("issues", "issue_label"),
                _ => ("issues", "issues"),
            };
            // It sends those of GitHub as well.
            vec![
                ("x-gitea-event", event.to_owned()),
                ("x-gitea-event-type", full.to_owned()),
                ("x-gitea-delivery", id.clone()),
                ("x-github-event", event.to_owned()),
                ("x-github-delivery", id),
            ]
        }
        Provider::Jira => vec![("x-atlassian-webhook-identifier", id)],
        Provider::Linear => vec![("linear-delivery", id), ("linear-event", text(&payload["type"]))],
    };
    let all = pairs.into_iter().map(|(name, value)| (name.to_owned(), value));
    all.chain([("content-type".to_owned(), "application/json".to_owned())]).collect()
}

pub(crate) fn hex_mac(secret: &str, body: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body);
    tag.as_ref().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

impl Sent {
    /// Signed anew.
    pub(crate) fn signed(self, secret: &str) -> Self {
        let mac = hex_mac(secret, &self.body);
        match self.tracker {
            Provider::Github => self.with("x-hub-signature-256", &format!("sha256={mac}")),
            Provider::Gitlab => self.with("x-gitlab-token", secret),
            Provider::Gitea => {
                let own = self.with("x-gitea-signature", &mac);
                own.with("x-hub-signature-256", &format!("sha256={mac}"))
            }
            Provider::Jira => self.with("x-hub-signature", &format!("sha256={mac}")),
            Provider::Linear => self.with("linear-signature", &mac),
        }
    }

    /// The header of this name.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// With this header in the place of what it was.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    /// The same event under another id.
    pub(crate) fn again(mut self) -> Self {
        let id = clock::new_id::<Uuid>().to_string();
        for name in [
            "x-github-delivery",
            "idempotency-key",
            "x-gitea-delivery",
            "x-atlassian-webhook-identifier",
            "linear-delivery",
        ] {
            if self.headers.iter().any(|(other, _)| other == name) {
                self = self.with(name, &id);
            }
        }
        self
    }

    pub(crate) fn map(&self) -> HeaderMap {
        let pair = |(name, value): &(String, String)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        };
        self.headers.iter().map(pair).collect()
    }

    /// Sends it to a hook; the status and the body of the answer.
    pub(crate) async fn to(&self, http: &reqwest::Client, hook: &str) -> (u16, Value) {
        let answer = http.post(hook).headers(self.map()).body(self.body.clone()).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }
}
