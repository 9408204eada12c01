//! Answers at Jira, by version 2 of its REST API, which Cloud (developer.atlassian.com/cloud/jira/platform/rest/v2) and Data
//! Center (developer.atlassian.com/server/jira/platform/rest) share. Its comments are wiki markup. They carry their mark as a
//! property, which nobody sees or edits, and as a link, since not every Jira gives properties with a list.

use super::{Place, wiki};
use crate::{
    net::NetError,
    secrets::Secret,
    trackers::{
        client::TrackerClient,
        delivery::Issue,
        exchange::{Entrance, Exchange},
        forge::{ForgeError, PAGES_MAX},
        jira, mark,
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

/// What of a list comes at once: the most that Cloud gives.
const PAGE: usize = 100;
const PROPERTY: &str = "journeyman";

#[derive(Clone, Debug)]
pub(super) struct Jira {
    exchange: Exchange,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    comments: Vec<Comment>,
    #[serde(default)]
    total: Option<usize>,
}

#[derive(Deserialize)]
struct Comment {
    id: String,
    #[serde(default)]
    body: Value,
    #[serde(default)]
    properties: Vec<Property>,
}

#[derive(Deserialize)]
struct Property {
    key: String,
    #[serde(default)]
    value: Value,
}

impl Comment {
    fn is_of(&self, mark: Uuid) -> bool {
        let by_property = |property: &Property| {
            property.key == PROPERTY && property.value["mark"].as_str() == Some(mark.to_string().as_str())
        };
        let by_text = || self.body.as_str().is_some_and(|body| body.contains(&mark::link(mark)));
        self.properties.iter().any(by_property) || by_text()
    }
}

impl Jira {
    pub(super) fn new(base_url: Option<&str>, token: &Secret, client: TrackerClient) -> Result<Self, ForgeError> {
        let without = ForgeError::Address(NetError::InvalidUrl { reason: "it needs the base_url of the Jira" });
        let unreadable = |_| ForgeError::Address(NetError::InvalidUrl { reason: "it cannot be parsed" });
        let mut api = Url::parse(base_url.ok_or(without)?).map_err(unreadable)?;
        // Below a path, of Cloud with a token of limited scopes: `https://api.atlassian.com/ex/jira/{cloudId}`.
        let path = api.path().split("/rest").next().unwrap_or_default().trim_end_matches('/').to_owned();
        api.set_path(&format!("{path}/rest/api/2/"));
        let token = token.expose();
        let credential =
            if token.contains(':') { format!("Basic {}", STANDARD.encode(token)) } else { format!("Bearer {token}") };
        let credential = ("authorization", Secret::new(credential));
        let entrance = Entrance { api, otherwise: None, credential, headers: &[("accept", "application/json")] };
        Ok(Self { exchange: Exchange::new(entrance, client) })
    }

    pub(super) async fn issue(&self, place: &Place) -> Result<Issue, ForgeError> {
        let query = [("fields", "summary,description,reporter,creator,project,updated")];
        let found: Value = self.exchange.get(&["issue", &place.issue], &query).await?;
        Ok(jira::issue(&json!({ "issue": found })))
    }

    /// The newest first.
    pub(super) async fn find(&self, place: &Place, mark: Uuid) -> Result<Option<String>, ForgeError> {
        let path = ["issue", &place.issue, "comment"];
        let mut seen = 0;
        for _ in 0..PAGES_MAX {
            let (start, most) = (seen.to_string(), PAGE.to_string());
            let query = [
                ("startAt", start.as_str()),
                ("maxResults", most.as_str()),
                ("orderBy", "-created"),
                ("expand", "properties"),
            ];
            let page: Page = self.exchange.get(&path, &query).await?;
            seen += page.comments.len();
            let last = page.comments.is_empty() || page.total.is_some_and(|total| seen >= total);
            if let Some(ours) = page.comments.into_iter().find(|comment| comment.is_of(mark)) {
                return Ok(Some(ours.id));
            }
            if last {
                break;
            }
        }
        Ok(None)
    }

    pub(super) async fn say(&self, place: &Place, mark: Uuid, text: &str) -> Result<String, ForgeError> {
        let path = ["issue", &place.issue, "comment"];
        let made: Comment = self.exchange.send_json(Method::POST, &path, &comment(mark, text)).await?;
        Ok(made.id)
    }

    /// Nobody gets mail for it.
    pub(super) async fn edit(&self, place: &Place, id: &str, mark: Uuid, text: &str) -> Result<(), ForgeError> {
        let path = ["issue", &place.issue, "comment", id];
        let body = comment(mark, text);
        let edited: Result<Comment, _> =
            self.exchange.call(Method::PUT, &path, &[("notifyUsers", "false")], Some(&body)).await;
        match edited {
            // So older ones say that it is not there.
            Err(ForgeError::Rejected { status: 400, reason })
                if reason.to_lowercase().contains("can not find a comment") =>
            {
                Err(ForgeError::Rejected { status: 404, reason })
            }
            edited => edited.map(|_| ()),
        }
    }
}

/// `properties`: up to fifty, each a key and a value of JSON.
fn comment(mark: Uuid, text: &str) -> Value {
    let body = format!("{}\n\n{}", mark::link(mark), wiki::from_markdown(text));
    json!({ "body": body, "properties": [{ "key": PROPERTY, "value": { "mark": mark } }] })
}
