//! What roles decide besides the route that is asked: see `isolation` for the routes themselves.

use super::harness::{ADMIN, server};
use journeyman::domain::Role;
use serde_json::json;

#[tokio::test]
async fn only_an_admin_opens_the_network() {
    let server = server().await;
    let (_, member) = server.user("default", "mia", Role::Member, None).await;
    let task = json!({ "request": "x", "network": { "mode": "open" } });
    server.post("/v1/tasks", &member, &task).await.expect(403);
    server.post("/v1/tasks", ADMIN, &task).await.expect(201);
}

#[tokio::test]
async fn nobody_makes_tasks_in_anothers_name() {
    let server = server().await;
    let (bob, _) = server.user("default", "bob", Role::Member, None).await;
    let me = server.get("/v1/me", ADMIN).await.json()["user"]["id"].clone();
    server.post("/v1/tasks", ADMIN, &json!({ "request": "x", "on_behalf_of": bob })).await.expect(403);
    server.post("/v1/tasks", ADMIN, &json!({ "request": "x", "on_behalf_of": me })).await.expect(201);
}
