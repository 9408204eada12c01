//! Answers at Linear, by its GraphQL API (`packages/sdk/src/schema.graphql` of github.com/linear/linear). A comment's mark is in
//! its id, so that one is found without going through others, and none is made twice.

use super::{Place, SessionEnd, Spot, unfolded::unfolded};
use crate::{
    net::{Fetched, NetError},
    secrets::Secret,
    trackers::{
        client::TrackerClient,
        delivery::Issue,
        exchange::{Entrance, Exchange, in_one_line, judged, read},
        forge::ForgeError,
        linear, mark,
    },
};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

const USUAL: &str = "https://api.linear.app/graphql";
/// What personal API keys begin with; they are sent as they are, OAuth tokens as bearers
/// (linear.app/developers/graphql).
const API_KEY: &str = "lin_api_";

const ISSUE: &str = "query Issue($id: String!) { issue(id: $id) { identifier title description url \
                     creator { id email name displayName } team { key } } }";
const FIND: &str = "query Find($id: String!) { comment(id: $id) { id } }";
const SAY: &str =
    "mutation Say($input: CommentCreateInput!) { commentCreate(input: $input) { success comment { id } } }";
const EDIT: &str = "mutation Edit($id: String!, $input: CommentUpdateInput!) \
                    { commentUpdate(id: $id, input: $input) { success } }";
const REACT: &str = "mutation React($input: ReactionCreateInput!) { reactionCreate(input: $input) { success } }";

const ACT: &str = "mutation Act($input: AgentActivityCreateInput!) { agentActivityCreate(input: $input) { success } }";

#[derive(Clone, Debug)]
pub(super) struct Linear {
    exchange: Exchange,
}

impl Linear {
    pub(super) fn new(base_url: Option<&str>, token: &Secret, client: TrackerClient) -> Result<Self, ForgeError> {
        let unreadable = |_| ForgeError::Address(NetError::InvalidUrl { reason: "it cannot be parsed" });
        let mut api = Url::parse(base_url.unwrap_or(USUAL)).map_err(unreadable)?;
        let path = api.path().trim_end_matches('/').trim_end_matches("/graphql").to_owned();
        api.set_path(&format!("{path}/graphql"));
        if api.host_str() == Some("linear.app") {
            api = Url::parse(USUAL).map_err(unreadable)?;
        }
        let token = token.expose();
        let credential = if token.starts_with(API_KEY) { token.to_owned() } else { format!("Bearer {token}") };
        let credential = ("authorization", Secret::new(credential));
        let entrance = Entrance { api, otherwise: None, credential, headers: &[("accept", "application/json")] };
        Ok(Self { exchange: Exchange::new(entrance, client) })
    }

    pub(super) async fn issue(&self, place: &Place) -> Result<Issue, ForgeError> {
        let data = self.ask(ISSUE, &json!({ "id": place.issue })).await?;
        Ok(linear::issue(&Value::Null, &data["issue"]))
    }

    pub(super) async fn find(&self, mark: Uuid) -> Result<Option<String>, ForgeError> {
        match self.ask(FIND, &json!({ "id": mark::id(mark) })).await {
            Ok(data) => Ok(data["comment"]["id"].as_str().map(str::to_owned)),
            Err(ForgeError::Rejected { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn say(&self, place: &Place, mark: Uuid, text: &str) -> Result<String, ForgeError> {
        let id = mark::id(mark).to_string();
        let input = json!({ "id": id, "issueId": place.issue, "body": unfolded(text) });
        match self.done(SAY, "commentCreate", &json!({ "input": input })).await {
            // It is there, as its answer was lost, or was deleted.
            Err(ForgeError::Rejected { status: 409, reason }) => {
                self.find(mark).await?.ok_or(ForgeError::Rejected { status: 409, reason })
            }
            done => done.map(|()| id),
        }
    }

    pub(super) async fn edit(&self, comment: &str, text: &str) -> Result<(), ForgeError> {
        let variables = json!({ "id": comment, "input": { "body": unfolded(text) } });
        self.done(EDIT, "commentUpdate", &variables).await
    }

    /// The reaction's id follows from what it is to, so that there is one.
    pub(super) async fn react(&self, place: &Place, spot: &Spot) -> Result<(), ForgeError> {
        let (field, thing) = match spot {
            Spot::Issue => ("issueId", &place.issue),
            Spot::Comment(comment) | Spot::ReviewComment(comment) => ("commentId", comment),
            // A session that hears nothing for ten seconds is shown as one whose agent does not answer
            // (linear.app/developers/agent-interaction).
            Spot::Session { session, of } => {
                let thought = json!({ "type": "thought", "body": "Seen: it is in the queue." });
                return self.act(session, of, &thought, true).await;
            }
        };
        let input = json!({ "id": mark::id_of("reaction", thing), "emoji": "eyes", field: thing });
        match self.done(REACT, "reactionCreate", &json!({ "input": input })).await {
            Err(ForgeError::Rejected { status: 409, .. }) => Ok(()),
            done => done,
        }
    }

    pub(super) async fn conclude(
        &self,
        session: &str,
        once: &str,
        end: SessionEnd,
        text: &str,
    ) -> Result<(), ForgeError> {
        let kind = match end {
            SessionEnd::Done => "response",
            SessionEnd::Failed => "error",
            SessionEnd::Asks => "elicitation",
        };
        self.act(session, once, &json!({ "type": kind, "body": unfolded(text) }), false).await
    }

    /// An activity of a session; its id follows from `once`.
    async fn act(&self, session: &str, once: &str, content: &Value, ephemeral: bool) -> Result<(), ForgeError> {
        let id = mark::id_of("activity", once);
        let input = json!({ "id": id, "agentSessionId": session, "content": content, "ephemeral": ephemeral });
        match self.done(ACT, "agentActivityCreate", &json!({ "input": input })).await {
            Err(ForgeError::Rejected { status: 409, .. }) => Ok(()),
            done => done,
        }
    }

    /// A mutation, which says of itself whether it was done.
    async fn done(&self, mutation: &str, name: &str, variables: &Value) -> Result<(), ForgeError> {
        let data = self.ask(mutation, variables).await?;
        if data[name]["success"] == true {
            return Ok(());
        }
        Err(ForgeError::Unreadable(format!("{name} is not said to have been done")))
    }

    async fn ask(&self, query: &str, variables: &Value) -> Result<Value, ForgeError> {
        let answer = self.exchange.post_raw(&json!({ "query": query, "variables": variables })).await?;
        if let Some(error) = fault(&answer) {
            return Err(error);
        }
        let answer: Value = read(&judged(answer)?)?;
        Ok(answer["data"].clone())
    }
}

/// What is wrong, where an answer says so in GraphQL's way: its status can be 200, and is 400 for what is asked too often. The
/// types are those of `packages/sdk/src/error.ts`.
fn fault(answer: &Fetched) -> Option<ForgeError> {
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    let error = body["errors"].as_array()?.first()?;
    let (said, more) = (error["message"].as_str().unwrap_or_default(), &error["extensions"]);
    let reason = in_one_line(&match more["userPresentableMessage"].as_str() {
        Some(shown) => format!("{said}: {shown}"),
        None => said.to_owned(),
    });
    let word = |field: &str| more[field].as_str().unwrap_or_default().to_lowercase().replace('_', " ");
    let (kind, code) = (word("type"), word("code"));
    let is = |names: &[&str]| names.iter().any(|name| kind == *name || code == *name);
    let status = more["statusCode"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(answer.status);
    let said = said.to_lowercase();
    Some(if is(&["ratelimited"]) || is(&["internal error", "network error", "lock timeout"]) || status >= 500 {
        ForgeError::Unavailable(reason)
    } else if is(&["authentication error"]) || answer.status == 401 {
        ForgeError::Refused { status: 401, reason }
    } else if is(&["forbidden", "feature not accessible"]) || answer.status == 403 {
        ForgeError::Refused { status: 403, reason }
    } else if said.starts_with("entity not found") {
        ForgeError::Rejected { status: 404, reason }
    } else if said.starts_with("conflict on insert") {
        ForgeError::Rejected { status: 409, reason }
    } else {
        ForgeError::Rejected { status: if status == 200 { 400 } else { status }, reason }
    })
}
