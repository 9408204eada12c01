//! Approvals: decided once, in time, by those who may; withdrawn when the task goes another way.

use super::harness::{ADMIN, Server, server};
use journeyman::{
    clock,
    domain::{ApprovalId, Status, WaitingFor, task::TaskDetail},
};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

/// A task that waits for an approval of that kind.
async fn waiting(server: &Server, kind: &str, deadline: &str) -> (String, ApprovalId) {
    let task = server.task(ADMIN, "Plan it").await;
    let worker = server.run().await;
    let id: ApprovalId = clock::new_id();
    let mut connection = PgConnection::connect(&server.url).await.unwrap();
    sqlx::query(
        "INSERT INTO approvals (team, id, task, kind, subject, deadline, default_decision)
         VALUES ($1, $2, $3, $4, '{\"steps\":[]}', now() + $5::text::interval, 'deny')",
    )
    .bind(worker.lease.team.0)
    .bind(id.0)
    .bind(task.0)
    .bind(kind)
    .bind(deadline)
    .execute(&mut connection)
    .await
    .unwrap();
    worker.status(Status::Waiting, Some(WaitingFor::Approval), &TaskDetail::default()).await;
    (format!("/v1/tasks/{task}"), id)
}

async fn kinds_after(server: &Server, task: &str, seq: i64) -> Vec<String> {
    let events = server.get(&format!("{task}/events?after={seq}"), ADMIN).await.json();
    events["data"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect()
}

async fn pending(server: &Server) -> usize {
    server.get("/v1/approvals?state=pending", ADMIN).await.json()["data"].as_array().unwrap().len()
}

#[tokio::test]
async fn an_approved_plan_comes_back_edited_and_lets_the_task_go_on() {
    let server = server().await;
    let (task, id) = waiting(&server, "plan", "1 hour").await;
    let listed = server.get("/v1/approvals?state=pending", ADMIN).await.expect(200).json();
    assert_eq!((&listed["data"][0]["id"], &listed["data"][0]["kind"]), (&json!(id), &json!("plan")));
    assert_eq!(listed["data"][0]["default"], "deny");
    let path = format!("{task}/approvals/{id}");
    for (body, pointer) in [
        (json!({}), "/decision"),
        (json!({ "decision": "maybe" }), "/decision"),
        (json!({ "decision": "answer" }), "/decision"),
        (json!({ "decision": "approve", "answers": ["x"] }), "/answers"),
        (json!({ "decision": "deny", "plan": [{ "step": "a", "status": "pending" }] }), "/plan"),
        (json!({ "decision": "approve", "plan": [{ "step": "", "status": "pending" }] }), "/plan/0/step"),
        (json!({ "decision": "approve", "plan": [{ "step": "a", "status": "later" }] }), "/plan/0/status"),
        (json!({ "decision": "approve", "remember": "always" }), "/remember"),
    ] {
        assert_eq!(server.post(&path, ADMIN, &body).await.pointers(), [pointer], "{body}");
    }
    let plan = json!([{ "step": "first", "status": "pending" }]);
    let body = json!({ "decision": "approve", "plan": plan, "note": "smaller" });
    let decided = server.post(&path, ADMIN, &body).await.expect(200).json();
    assert_eq!((&decided["decision"], &decided["note"]), (&json!("approve"), &json!("smaller")));
    assert_eq!(server.get(&task, ADMIN).await.json()["status"], "queued");
    let events = server.get(&format!("{task}/events?after=4"), ADMIN).await.json();
    assert_eq!(events["data"][0]["kind"], "approval.resolved");
    assert_eq!(events["data"][0]["data"]["plan"], plan);
    let again = server.post(&path, ADMIN, &json!({ "decision": "deny" })).await.expect(409).json();
    assert_eq!((&again["code"], &again["state"]), (&json!("already_decided"), &json!("approve")));
    assert_eq!(pending(&server).await, 0);
    let all = server.get(&format!("{task}/approvals"), ADMIN).await.expect(200).json();
    assert_eq!((all["data"].as_array().unwrap().len(), &all["next_cursor"]), (1, &Value::Null));
}

#[tokio::test]
async fn past_its_deadline_nothing_is_decided() {
    let server = server().await;
    let (task, id) = waiting(&server, "plan", "-1 second").await;
    let path = format!("{task}/approvals/{id}");
    server.post(&path, ADMIN, &json!({ "decision": "approve" })).await.expect(410);
    assert_eq!(pending(&server).await, 0);
    let unknown = format!("{task}/approvals/{}", clock::new_id::<ApprovalId>());
    server.post(&unknown, ADMIN, &json!({ "decision": "approve" })).await.expect(404);
}

#[tokio::test]
async fn a_message_or_a_cancel_withdraws_what_was_asked() {
    let server = server().await;
    let (told, _) = waiting(&server, "plan", "1 hour").await;
    server.post(&format!("{told}/messages"), ADMIN, &json!({ "text": "otherwise" })).await.expect(202);
    assert_eq!(kinds_after(&server, &told, 4).await, ["message.user", "approval.resolved", "task.status"]);
    server.post(&format!("{told}/cancel"), ADMIN, &json!({})).await.expect(202);
    let (cancelled, _) = waiting(&server, "plan", "1 hour").await;
    server.post(&format!("{cancelled}/cancel"), ADMIN, &json!({})).await.expect(202);
    assert_eq!(kinds_after(&server, &cancelled, 4).await, ["task.control", "approval.resolved", "task.status"]);
    assert_eq!(pending(&server).await, 0);
}
