//! What says what a host runs goes out only once an admin has approved it.

use super::{branches, calc, came, ground, publish, request, rested};
use crate::support::replayed::{export, fold};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_waits_for_an_admin() {
    let ground = ground().await;
    let service = ground.start().await;
    let api = service.api();
    let member = ground.member(&service.base, "default", "a member").await;
    let id = rested(&member, &request(&ground, "workflow")).await;
    let repository = calc(&ground);

    let accepted = publish(&member, &id, &json!({})).await;
    let waits = came(&member, &id, &accepted, &["waiting_approval", "done", "failed"]).await;
    assert_eq!(waits["state"], "waiting_approval", "{waits:#}");
    assert!(waits["reason"].as_str().unwrap().contains(".github/workflows/ci.yml"), "{waits:#}");
    assert_eq!(branches(&repository), [] as [String; 0]);
    let task = api.get(&format!("/v1/tasks/{id}")).await.1;
    assert_eq!((&task["status"], &task["waiting_for"]), (&json!("succeeded"), &Value::Null));
    let approval = api.get("/v1/approvals?state=pending").await.1["data"][0].clone();
    assert_eq!((&approval["kind"], &approval["default"]), (&json!("publish"), &json!("deny")), "{approval:#}");
    assert_eq!(approval["subject"]["files"], json!([".github/workflows/ci.yml"]), "{approval:#}");
    let path = format!("/v1/tasks/{id}/approvals/{}", approval["id"].as_str().unwrap());
    let (status, _) = member.post(&path, &json!({ "decision": "approve" })).await;
    assert_eq!(status, 403, "a member does not approve it");

    // A message does not withdraw it: what is to go out is as it was.
    let (status, _) = api.post(&path, &json!({ "decision": "deny", "note": "not that one" })).await;
    assert_eq!(status, 200);
    let denied = came(&api, &id, &accepted, &["denied"]).await;
    assert_eq!(denied["state"], "denied");
    assert_eq!(branches(&repository), [] as [String; 0]);

    let accepted = publish(&member, &id, &json!({})).await;
    came(&api, &id, &accepted, &["waiting_approval"]).await;
    let pending = api.get("/v1/approvals?state=pending").await.1;
    let path = format!("/v1/tasks/{id}/approvals/{}", pending["data"][0]["id"].as_str().unwrap());
    let (status, decided) = api.post(&path, &json!({ "decision": "approve" })).await;
    assert_eq!(status, 200, "{decided:#}");
    let done = came(&api, &id, &accepted, &["done", "failed"]).await;
    assert_eq!(done["state"], "done", "{done:#}");
    assert_eq!(branches(&repository), [accepted["branch"].as_str().unwrap()]);
    let replayed = fold(&export(&api, &id, "").await);
    assert!(replayed.difference.is_none(), "{replayed:#?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outsiders_task_waits_too_and_nobody_deciding_is_a_no() {
    let ground = ground().await;
    let service = ground.start().await;
    let api = service.api();
    let mut body = request(&ground, "mend");
    body["outsider"] = json!(true);
    body["approval_deadline_seconds"] = json!(1);
    let id = rested(&api, &body).await;
    let accepted = publish(&api, &id, &json!({})).await;
    came(&api, &id, &accepted, &["waiting_approval"]).await;
    let denied = came(&api, &id, &accepted, &["denied", "done", "failed"]).await;
    assert_eq!(denied["state"], "denied", "{denied:#}");
    assert_eq!(branches(&calc(&ground)), [] as [String; 0]);
    let task = api.get(&format!("/v1/tasks/{id}")).await.1;
    assert_eq!(task["status"], "succeeded", "its deadline wakes no task: {task:#}");
    service.stop().await;
}
