//! What a team has: one of each thing that has an id.

use super::super::harness::Server;
use journeyman::{
    clock,
    domain::{
        BlobHash, EventData, Private, Role, SessionId, Status, WaitingFor,
        check::{Check, CheckOutcome, CheckResult, CheckRun, CheckSource},
        event::{DeltaEntry, TreeDelta},
        integration::DeliveryState,
        task::{TaskDetail, TaskResult},
        tool::ToolOutcome,
    },
    store::{
        blobs,
        log::{JobChange, NewEvent, TaskChange},
        sessions::{self, NewSession},
        trackers::intake::{Inserted, Intake, NewDelivery},
    },
};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::{collections::BTreeMap, time::Duration};
use uuid::Uuid;

/// In every name and text of an estate, and in no request: who reads it in an answer reads what is not his.
pub(super) const MARK: &str = "zebra";
pub(super) const SECRET: &str = "A_SECRET";
pub(super) const CALL: &str = "call_3_0";
pub(super) const FILE: &str = "dir/file";

/// The kinds of things, by the word of their path.
const KINDS: [&str; 18] = [
    "tasks",
    "approvals",
    "memories",
    "api_keys",
    "environments",
    "git_credentials",
    "webhook_endpoints",
    "integrations",
    "hooks",
    "tracker_deliveries",
    "deliveries",
    "linked_accounts",
    "teams",
    "members",
    "users",
    "uploads",
    "sessions",
    "newcomer",
];

/// The id of one thing of each kind.
#[derive(Clone, Debug)]
pub(super) struct Ids(BTreeMap<&'static str, String>);

impl Ids {
    /// Of things that never were.
    pub(super) fn unknown() -> Self {
        Self(KINDS.iter().map(|kind| (*kind, clock::new_id::<Uuid>().to_string())).collect())
    }

    pub(super) fn of(&self, kind: &str) -> &str {
        self.0.get(kind).unwrap_or_else(|| panic!("an estate has nothing of the kind {kind}: lay it in estate.rs"))
    }

    /// The text with each of the ids replaced by its kind.
    pub(super) fn masked(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (kind, id)| text.replace(id.as_str(), kind))
    }
}

/// A team with its people and all that it can have.
pub(super) struct Estate {
    pub(super) ids: Ids,
    pub(super) admin: String,
    pub(super) member: String,
    pub(super) viewer: String,
}

impl Estate {
    /// `name` is unique in the test.
    pub(super) async fn lay(server: &Server, name: &str) -> Self {
        let name = format!("{MARK} {name}");
        let (user, admin) = server.user(&name, &format!("{name} admin"), Role::Admin, None).await;
        let (_, member) = server.user(&name, &format!("{name} member"), Role::Member, None).await;
        let (_, viewer) = server.user(&name, &format!("{name} viewer"), Role::Viewer, None).await;
        // Of nobody's team but one that no test is about.
        let (newcomer, _) = server.user("elsewhere", &format!("{name} newcomer"), Role::Member, None).await;
        let mut ids = BTreeMap::from([
            ("members", user.to_string()),
            ("users", user.to_string()),
            ("newcomer", newcomer.to_string()),
            ("teams", server.team(&name).await.to_string()),
        ]);
        let make = async |path: &str, body: Value| server.post(path, &admin, &body).await.expect(201).id();
        let memory = json!({ "text": name, "scope": "team_repository", "repository": "https://example.org/zebra" });
        ids.insert("memories", make("/v1/memories", memory).await);
        ids.insert("api_keys", make("/v1/api_keys", json!({ "name": name })).await);
        let environment = make("/v1/environments", json!({ "name": name, "setup": "make zebra" })).await;
        let secret = server.request(Method::PUT, &format!("/v1/environments/{environment}/secrets/{SECRET}"), &admin);
        server.send(secret.json(&json!({ "value": "the zebra's secret" }))).await.expect(204);
        ids.insert("environments", environment);
        let credential = json!({ "host": "zebra.example.org", "kind": "token", "secret": "the zebra's token" });
        ids.insert("git_credentials", make("/v1/git_credentials", credential).await);
        let endpoint = json!({ "url": "http://127.0.0.1:9/zebra", "events": ["*"], "description": name });
        let endpoint = make("/v1/webhook_endpoints", endpoint).await;
        let test = server.post(&format!("/v1/webhook_endpoints/{endpoint}/test"), &admin, &json!({})).await;
        ids.insert("deliveries", test.expect(202).id());
        ids.insert("webhook_endpoints", endpoint);
        let integration = json!({ "name": name, "tracker": "github", "secret": "the zebra's signature" });
        let integration = make("/v1/integrations", integration).await;
        ids.insert("tracker_deliveries", delivery(server, &name, &integration).await);
        ids.insert("hooks", integration.clone());
        ids.insert("integrations", integration);
        let link = json!({ "provider": "github", "login": MARK });
        ids.insert("linked_accounts", make("/v1/linked_accounts", link).await);
        let instructions = server.request(Method::PUT, "/v1/instructions", &admin);
        assert!(server.send(instructions.json(&json!({ "text": name }))).await.status.is_success());
        let upload = server.request(Method::POST, "/v1/uploads", &admin).body(b"\x1f\x8bzebra".to_vec());
        ids.insert("uploads", server.send(upload).await.expect(201).id());
        let session: SessionId = clock::new_id();
        let hour = Duration::from_secs(3_600);
        let hash = session.to_string();
        let agent = Some("a zebra's browser");
        let new = NewSession { id: session, user, hash: hash.as_bytes(), user_agent: agent, lasts: hour, rests: hour };
        sessions::insert(&server.store, new).await.unwrap();
        ids.insert("sessions", session.to_string());
        let (task, approval) = task(server, &admin).await;
        ids.insert("tasks", task);
        ids.insert("approvals", approval);
        Self { ids: Ids(ids), admin, member, viewer }
    }

    /// All that its admin can see of it.
    pub(super) async fn seen(&self, server: &Server) -> Vec<String> {
        let of = |kind: &str| format!("/v1/{kind}/{}", self.ids.of(kind));
        let task = of("tasks");
        let mut paths: Vec<String> = [
            "tasks",
            "memories",
            "api_keys",
            "environments",
            "git_credentials",
            "webhook_endpoints",
            "linked_accounts",
        ]
        .map(of)
        .to_vec();
        paths.extend(["integrations", "teams", "members"].map(of));
        paths.extend([
            format!("{task}/events"),
            format!("{task}/approvals"),
            format!("{}/secrets", of("environments")),
            format!("{}/deliveries", of("webhook_endpoints")),
            format!("{}/deliveries", of("integrations")),
        ]);
        paths.extend(
            ["/v1/members", "/v1/memories", "/v1/sessions", "/v1/instructions", "/v1/audit_log", "/v1/usage"]
                .map(str::to_owned),
        );
        let mut seen = Vec::new();
        for path in paths {
            let reply = server.get(&path, &self.admin).await.expect(200);
            seen.push(format!("{path}: {}", String::from_utf8(reply.bytes).unwrap()));
        }
        seen
    }
}

/// Something that a tracker has told.
async fn delivery(server: &Server, team: &str, integration: &str) -> String {
    let id = clock::new_id();
    let new = NewDelivery {
        team: server.team(team).await,
        id,
        integration: integration.parse().unwrap(),
        delivery: "1".to_owned(),
        meaning: None,
        event: "issues.labeled".to_owned(),
        sender: MARK.to_owned(),
        issue: Some("zebra/zebra#1".to_owned()),
        content: Some("{}".to_owned()),
        state: DeliveryState::Done,
        reason: MARK.to_owned(),
    };
    assert_eq!(Intake::new(server.store.clone()).write_down(new).await.unwrap(), Inserted::New);
    id.to_string()
}

/// A task that waits for an approval and has made all that tasks make: a patch, a file, an output, a check's log.
async fn task(server: &Server, key: &str) -> (String, String) {
    let id = server.task(key, "Count the zebra").await;
    let mut claimed = server.claim().await;
    claimed.retain(|worker| worker.lease.task == id);
    let worker = claimed.pop().expect("the task is due");
    worker.status(Status::Running, None, &TaskDetail::default()).await;
    let (patch, whole) = (b"diff --git a/zebra b/zebra\n".as_slice(), b"all of the zebra".as_slice());
    let delta = TreeDelta {
        changed: vec![DeltaEntry {
            path: FILE.into(),
            mode: 0o100_644,
            oid: "a".repeat(40).parse().unwrap(),
            content: BlobHash::of(whole),
        }],
        deleted: Vec::new(),
    };
    let delta = serde_json::to_vec(&delta).unwrap();
    let contents: Vec<(BlobHash, &[u8])> =
        [patch, whole, &delta].into_iter().map(|content| (BlobHash::of(content), content)).collect();
    blobs::put(&server.store, worker.lease.team, id, &contents).await.unwrap();
    let event = |data, private| NewEvent { run: 1, turn: 3, data, private: Some(private) };
    let output = EventData::ToolCompleted {
        call: CALL.parse().unwrap(),
        tool: "shell".into(),
        outcome: ToolOutcome::Ok,
        output: MARK.into(),
        exit_code: Some(0),
        duration_ms: 5,
    };
    let tree = "b".repeat(40).parse().unwrap();
    let checkpoint = EventData::Checkpoint { turn: 3, tree, restored: false, formatted: Vec::new() };
    let kept = Private::Output { blob: Some(BlobHash::of(whole)), changed_files: true, head_bytes: 0 };
    let events =
        vec![event(output, kept), event(checkpoint, Private::Checkpoint { delta: BlobHash::of(&delta), told: None })];
    worker.append(events, &TaskChange::default(), JobChange::Keep).await;
    let approval = approval(server, &worker.lease.team.to_string(), &id.to_string()).await;
    let result = TaskResult { checks: vec![check(whole)], ..TaskResult::default() };
    let detail = TaskDetail { result: Some(result), patch: Some(BlobHash::of(patch)), ..TaskDetail::default() };
    worker.status(Status::Waiting, Some(WaitingFor::Approval), &detail).await;
    (id.to_string(), approval)
}

async fn approval(server: &Server, team: &str, task: &str) -> String {
    let id: Uuid = clock::new_id();
    let mut connection = PgConnection::connect(&server.url).await.unwrap();
    sqlx::query(
        "INSERT INTO approvals (team, id, task, kind, subject, deadline, default_decision)
         VALUES ($1::uuid, $2, $3::uuid, 'plan', '{\"steps\":[\"zebra\"]}', now() + interval '1 hour', 'deny')",
    )
    .bind(team)
    .bind(id)
    .bind(task)
    .execute(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
    id.to_string()
}

fn check(log: &[u8]) -> CheckResult {
    let run = CheckRun {
        outcome: CheckOutcome::Pass,
        exit_code: Some(0),
        duration_ms: 1,
        failing: vec![],
        tests: None,
        counts: None,
        obstacle: None,
        reason: None,
        flaky: None,
        log: MARK.into(),
        log_blob: Some(BlobHash::of(log)),
    };
    let check = Check::command("make", CheckSource::Task);
    CheckResult {
        name: check.name,
        command: check.command,
        source: check.source,
        required: check.required,
        baseline: None,
        final_run: Some(run),
        measured: None,
        log: MARK.into(),
    }
}
