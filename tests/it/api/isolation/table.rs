//! Who may do what on every route: one row for each operation of openapi.yaml. A row is written by hand, from what docs/users.md
//! promises and not from the code: it is what the code is held to.

use super::estate::{CALL, FILE, Ids, SECRET};
use Need::{Credential, Nothing, Operator, Role as Least};
use journeyman::domain::Role::{Admin, Member, Viewer};
use serde_json::{Value, json};

/// What a caller needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Nothing,
    Credential,
    /// This role or a higher one.
    Role(journeyman::domain::Role),
    /// Operators of the instance, whatever their role is.
    Operator,
}

/// What goes with a request.
#[derive(Clone, Debug)]
pub(super) enum Content {
    None,
    Query(String),
    /// As a stream.
    Stream,
    Json(Value),
    Bytes(&'static [u8]),
}

type Ask = fn(&Ids) -> Content;

pub(super) struct Row {
    pub(super) operation: &'static str,
    pub(super) need: Need,
    /// What is asked, in turn; with ids of things in bodies and queries too.
    pub(super) asks: Vec<Ask>,
    /// Operators reach things of other teams.
    pub(super) operators_too: bool,
    /// Admins reach what is named in the body, and are answered so where it is there.
    pub(super) admins_reach: Option<u16>,
    /// How others than who made the thing are answered in his team: viewers, members.
    pub(super) of_others: [Option<u16>; 2],
    /// What the request answers besides success, where it can have been done before or cannot be done now.
    pub(super) or: &'static [u16],
}

impl Row {
    fn new(operation: &'static str, need: Need) -> Self {
        Self {
            operation,
            need,
            asks: Vec::new(),
            operators_too: need == Operator,
            admins_reach: None,
            of_others: [None; 2],
            or: &[],
        }
    }

    fn ask(mut self, ask: Ask) -> Self {
        self.asks.push(ask);
        self
    }

    fn operators_too(self) -> Self {
        Self { operators_too: true, ..self }
    }

    fn admins_reach(self, status: u16) -> Self {
        Self { admins_reach: Some(status), ..self }
    }

    fn of_others(self, viewer: Option<u16>, member: u16) -> Self {
        Self { of_others: [viewer, Some(member)], ..self }
    }

    fn or(self, statuses: &'static [u16]) -> Self {
        Self { or: statuses, ..self }
    }

    /// All that is asked; at least the bare request.
    pub(super) fn contents(&self, ids: &Ids) -> Vec<Content> {
        if self.asks.is_empty() { vec![Content::None] } else { self.asks.iter().map(|ask| ask(ids)).collect() }
    }
}

/// The path of an operation with the things' ids in it.
///
/// # Panics
/// On a parameter that says nothing to this test.
pub(super) fn path(template: &str, ids: &Ids) -> String {
    let resource = template.split('/').nth(2).unwrap_or_default();
    let fill = |part: &str| match part {
        "{id}" | "{user}" => ids.of(resource).to_owned(),
        "{delivery}" if resource == "integrations" => ids.of("tracker_deliveries").to_owned(),
        "{approval}" => ids.of("approvals").to_owned(),
        "{delivery}" => ids.of("deliveries").to_owned(),
        "{call}" => CALL.to_owned(),
        "{path}" => FILE.to_owned(),
        "{n}" => "0".to_owned(),
        "{name}" => SECRET.to_owned(),
        part if part.starts_with('{') => panic!("{template}: say in table.rs what {part} names"),
        part => part.to_owned(),
    };
    template.split('/').map(fill).collect::<Vec<_>>().join("/")
}

pub(super) fn rows() -> Vec<Row> {
    [operation(), tasks(), kept(), accounts(), instance()].into_iter().flatten().collect()
}

fn none(_: &Ids) -> Content {
    Content::None
}

fn empty(_: &Ids) -> Content {
    Content::Json(json!({}))
}

fn operation() -> Vec<Row> {
    // Signing in is for those who have no credential yet.
    // A hook is known by its integration's secret.
    let open = ["deliver", "get_docs", "get_openapi", "healthz", "login", "login_callback", "metrics", "readyz"];
    let mut rows: Vec<Row> = open.map(|operation| Row::new(operation, Nothing)).into();
    rows.extend(["get_me", "list_models", "logout"].map(|operation| Row::new(operation, Credential)));
    rows
}

fn tasks() -> Vec<Row> {
    let read = |operation| Row::new(operation, Least(Viewer));
    let write = |operation| Row::new(operation, Least(Member));
    vec![
        read("list_tasks").ask(none).ask(|ids| Content::Query(format!("created_by={}", ids.of("users")))),
        read("get_task"),
        read("get_events").ask(none).ask(|_| Content::Stream),
        read("get_conversation"),
        read("get_patch").ask(none).ask(|_| Content::Query("from_turn=1".to_owned())),
        read("get_file"),
        read("get_output"),
        read("get_check_log"),
        read("get_team_events"),
        read("task_learnings"),
        read("list_approvals"),
        read("list_task_approvals"),
        // Of one's own, and of an admin anybody's.
        read("export_task").of_others(Some(403), 403),
        write("create_task")
            .ask(|ids| Content::Json(json!({ "request": "x", "repository": { "upload": ids.of("uploads") } })))
            .ask(|ids| Content::Json(json!({ "request": "x", "environment": ids.of("environments") })))
            // No role has the scope for it.
            .ask(|ids| Content::Json(json!({ "request": "x", "on_behalf_of": ids.of("newcomer") })))
            .or(&[403]),
        write("import_task").ask(|_| Content::Bytes(b"no archive")).or(&[415, 422]),
        write("edit_task").ask(|_| Content::Json(json!({ "title": "mine now" }))),
        write("delete_task").of_others(None, 403).or(&[409]),
        write("send_message").ask(|_| Content::Json(json!({ "text": "hello" }))),
        write("cancel_task").ask(empty).or(&[409]),
        write("pause_task").ask(empty).or(&[409]),
        write("resume_task").ask(empty).or(&[409]),
        write("retry_task").ask(empty).or(&[409]),
        write("fork_task").ask(empty).or(&[409, 422]),
        write("publish_task").ask(empty).or(&[409]),
        write("add_feedback").ask(|_| Content::Json(json!({ "rating": "up" }))),
        write("decide_approval").ask(|_| Content::Json(json!({ "decision": "approve" }))).or(&[409]),
        write("create_upload").ask(|_| Content::Bytes(b"\x1f\x8brest")),
    ]
}

/// What tasks find and what is remembered.
fn kept() -> Vec<Row> {
    let read = |operation| Row::new(operation, Least(Viewer));
    let manage = |operation| Row::new(operation, Least(Admin));
    let secret = |_: &Ids| Content::Json(json!({ "value": "a value of mine" }));
    let credential = |_: &Ids| Content::Json(json!({ "host": "x.example.org", "kind": "token", "secret": "a token" }));
    let integration =
        |_: &Ids| Content::Json(json!({ "name": "mine", "tracker": "jira", "secret": "a secret of mine" }));
    vec![
        read("list_memories"),
        read("get_memory"),
        read("memory_history"),
        read("export_memories"),
        Row::new("import_memories", Least(Member)).ask(|_| Content::Bytes(b"no memory")).or(&[415, 422]),
        read("search_memories").ask(|_| Content::Json(json!({ "query": "the of zebras" }))),
        Row::new("create_memory", Least(Member)).ask(|_| Content::Json(json!({ "text": "a fact" }))),
        Row::new("edit_memory", Least(Member)).ask(|_| Content::Json(json!({ "text": "mine" }))).of_others(None, 403),
        Row::new("delete_memory", Least(Member)).of_others(None, 403),
        read("list_environments"),
        read("get_environment"),
        read("list_environment_secrets"),
        manage("create_environment").ask(|_| Content::Json(json!({ "name": "mine" }))).or(&[409]),
        manage("edit_environment").ask(|_| Content::Json(json!({ "setup": "true" }))),
        manage("delete_environment"),
        manage("set_environment_secret").ask(secret),
        manage("delete_environment_secret"),
        read("list_git_credentials"),
        read("get_git_credential"),
        manage("create_git_credential").ask(credential).or(&[409]),
        manage("edit_git_credential").ask(|_| Content::Json(json!({ "username": "me" }))),
        manage("delete_git_credential"),
        manage("list_webhook_endpoints"),
        manage("get_webhook_endpoint"),
        manage("create_webhook_endpoint")
            .ask(|_| Content::Json(json!({ "url": "http://127.0.0.1:9/mine", "events": ["*"] })))
            .or(&[409]),
        manage("edit_webhook_endpoint").ask(|_| Content::Json(json!({ "description": "mine" }))),
        manage("delete_webhook_endpoint"),
        manage("rotate_webhook_secret").ask(empty),
        manage("test_webhook_endpoint").ask(empty),
        manage("list_webhook_deliveries").ask(none).ask(|_| Content::Query("state=pending".to_owned())),
        manage("redeliver_webhook").ask(empty),
        read("list_integrations"),
        read("get_integration"),
        manage("create_integration").ask(integration).or(&[409]),
        manage("edit_integration").ask(|_| Content::Json(json!({ "allowed_users": ["me"] }))),
        manage("delete_integration"),
        manage("list_deliveries"),
        manage("replay_delivery"),
    ]
}

/// Who belongs to a team, and with what.
fn accounts() -> Vec<Row> {
    let read = |operation| Row::new(operation, Least(Viewer));
    let manage = |operation| Row::new(operation, Least(Admin));
    let own = |operation| Row::new(operation, Least(Member)).of_others(None, 404);
    let link = |operation| read(operation).of_others(Some(404), 404);
    vec![
        read("export_own_data"),
        read("list_teams").operators_too(),
        read("get_team").operators_too(),
        manage("edit_team").operators_too().ask(empty),
        read("list_members"),
        read("get_member"),
        // Whoever can name a user of the instance can make him a member: so people come into a second team.
        manage("add_member")
            .ask(|ids| Content::Json(json!({ "user": { "id": ids.of("newcomer") }, "role": "viewer" })))
            .admins_reach(201)
            .or(&[409]),
        manage("edit_member").ask(|_| Content::Json(json!({ "limits": { "queued_tasks": 3 } }))),
        manage("remove_member").or(&[409]),
        Row::new("list_api_keys", Least(Member)),
        Row::new("create_api_key", Least(Member)).ask(|_| Content::Json(json!({ "name": "mine" }))),
        own("get_api_key"),
        own("rotate_api_key").ask(empty),
        own("revoke_api_key"),
        read("list_linked_accounts"),
        // Of oneself; an admin names members of his team.
        read("propose_linked_account")
            .ask(|ids| Content::Json(json!({ "provider": "gitlab", "login": "somebody", "user": ids.of("members") })))
            .of_others(Some(403), 403),
        read("list_sessions"),
        link("end_session"),
        link("get_linked_account"),
        link("confirm_linked_account").ask(empty),
        link("delete_linked_account"),
        read("get_instructions"),
        read("list_instruction_versions"),
        manage("set_instructions").ask(|_| Content::Json(json!({ "text": "Be brief." }))),
        read("get_usage")
            .ask(none)
            .ask(|ids| Content::Query(format!("user={}", ids.of("users"))))
            .of_others(Some(403), 403),
        manage("list_audit_log")
            .ask(none)
            .ask(|ids| Content::Query(format!("user={}&subject={}", ids.of("users"), ids.of("tasks")))),
    ]
}

/// What reaches beyond a team.
fn instance() -> Vec<Row> {
    let all = |operation| Row::new(operation, Operator);
    vec![
        all("create_team").ask(|ids| {
            let name = format!("of {}", ids.of("newcomer"));
            Content::Json(json!({ "name": name, "admin": { "id": ids.of("newcomer") } }))
        }),
        all("delete_team").or(&[409]),
        all("list_users"),
        all("get_user"),
        all("deactivate_user").ask(empty),
        all("reactivate_user").ask(empty),
        all("list_erasures"),
        // The last: he is nobody afterwards.
        all("erase_user").ask(empty),
    ]
}
