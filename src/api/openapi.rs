//! The OpenAPI document: what the routes say of themselves, and what holds for all of them.

use super::{
    error::{FieldError, Problem},
    server, wait, yaml,
};
use crate::{
    domain::{
        CallId, Event, Mode, Phase, Status, WaitingFor,
        task::{ApprovalPolicy, Control, NetworkMode, OnBusy, SourceKind},
    },
    service::{ConversationItem, MemberView, ModelView, TaskSummary},
};
use serde_json::{Map, Value, json};
use utoipa::{
    OpenApi,
    openapi::{
        OpenApi as Document,
        security::{ApiKey as SchemeKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme},
    },
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Journeyman",
        description = "A self-hosted, multi-user service that does the work of a coding agent: requests in, verified patches out.\n\
            Clients ignore unknown fields, event kinds and enum values; the server refuses unknown request fields.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(Problem, FieldError, CallId, wait::Until, ModelView, TaskSummary, MemberView, Event, ConversationItem)),
    security(("bearer" = []), ("session" = [])),
    tags(
        (name = "tasks", description = "Requests and what becomes of them"),
        (name = "approvals", description = "What tasks ask people"),
        (name = "uploads", description = "Code that no remote has"),
        (name = "environments", description = "What tasks find beside their repository, and what reaches it"),
        (name = "webhooks", description = "What other systems are told"),
        (name = "integrations", description = "Issue trackers: what they tell becomes tasks"),
        (name = "memories", description = "What the service remembers"),
        (name = "accounts", description = "Who may do what"),
        (name = "operation", description = "For operators; no key needed"),
    ),
)]
struct Head;

/// What stands before the paths.
pub(super) fn head() -> Document {
    let mut document = Head::openapi();
    let components = document.components.get_or_insert_default();
    let scheme = SecurityScheme::Http(
        Http::builder()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API key (`jm_…`) or a JWT with sub, team, role and exp"))
            .build(),
    );
    components.add_security_scheme("bearer", scheme);
    let cookie = ApiKeyValue::with_description(
        "__Host-journeyman_session",
        "A browser session, begun at `/auth/login`; over http without `__Host-`. What changes something also needs the header \
         `X-CSRF-Token` with the value of the cookie `__Host-journeyman_csrf`",
    );
    components.add_security_scheme("session", SecurityScheme::ApiKey(SchemeKey::Cookie(cookie)));
    document
}

/// The whole document as JSON.
pub fn document() -> Value {
    let (_, document) = server::routes().split_for_parts();
    let mut value = serde_json::to_value(document).unwrap_or_default();
    if let Some(paths) = value.get_mut("paths").and_then(Value::as_object_mut) {
        // axum's wildcard is no part of OpenAPI's template.
        *paths = std::mem::take(paths).into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
        for item in paths.values_mut().filter_map(Value::as_object_mut) {
            for (method, operation) in item.iter_mut() {
                if let Some(operation) = operation.as_object_mut() {
                    complete(method, operation);
                }
            }
        }
    }
    if let Some(schemas) = value.pointer_mut("/components/schemas").and_then(Value::as_object_mut) {
        mend(schemas);
    }
    inline_integers(&mut value);
    value
}

/// Says of some schemas what the derived ones cannot.
fn mend(schemas: &mut Map<String, Value>) {
    // A type alias is no type of its own.
    schemas.remove("i64");
    let event = json!({
        "description": "One event of a task's log. Clients ignore kinds that they do not know.",
        "type": "object",
        "required": ["seq", "task", "run", "turn", "at", "kind", "data"],
        "properties": {
            "seq": {"type": "integer", "format": "int64", "minimum": 1, "description": "From 1 per task, without gaps"},
            "task": {"$ref": "#/components/schemas/TaskId"},
            "run": {"type": "integer", "minimum": 1, "description": "A message, retry or resume starts the next"},
            "turn": {"type": "integer", "minimum": 0, "description": "The model call that it belongs to; 0 before the first"},
            "at": {"$ref": "#/components/schemas/Timestamp"},
            "kind": {"type": "string", "example": "tool.completed"},
            "data": {"type": "object", "description": "Its fields go by the kind"},
        },
    });
    schemas.insert("Event".to_owned(), event);
    let check = json!({
        "description": "A command alone, or with what else is known of it.",
        "oneOf": [{"type": "string", "example": "make test"}, {"$ref": "#/components/schemas/CheckObject"}],
    });
    schemas.insert("CheckInput".to_owned(), check);
    if let Some(problem) =
        schemas.get_mut("Problem").and_then(|problem| problem.pointer_mut("/allOf/1")).map(Value::take)
    {
        let mut problem = problem;
        problem["description"] = json!(
            "The body of every answer that is no success (RFC 9457). Facts that belong to a code stand beside: \
             `state` of a 409, `oldest_seq` of a 410, `of`, `depth` and `cap` of a full queue, `violated-policies` of a rate."
        );
        schemas.insert("Problem".to_owned(), problem);
    }
    for (name, words) in words() {
        if let Some(schema) = schemas.get_mut(name) {
            schema["enum"] = json!(words);
        }
    }
    let pages: Vec<String> = schemas.keys().filter(|name| name.starts_with("Page_")).cloned().collect();
    for name in pages {
        let item = name.trim_start_matches("Page_").to_owned();
        if !schemas.contains_key(&item) {
            continue;
        }
        if let Some(items) = schemas.get_mut(&name).and_then(|page| page.pointer_mut("/properties/data/items")) {
            *items = json!({"$ref": format!("#/components/schemas/{item}")});
        }
    }
}

/// The enums whose words a macro gives, where the derived schemas do not see them.
fn words() -> [(&'static str, Vec<&'static str>); 9] {
    [
        ("Status", Status::ALL.iter().map(|word| word.as_str()).collect()),
        ("WaitingFor", WaitingFor::ALL.iter().map(|word| word.as_str()).collect()),
        ("Phase", Phase::ALL.iter().map(|word| word.as_str()).collect()),
        ("Mode", Mode::ALL.iter().map(|word| word.as_str()).collect()),
        ("ApprovalPolicy", ApprovalPolicy::ALL.iter().map(|word| word.as_str()).collect()),
        ("NetworkMode", NetworkMode::ALL.iter().map(|word| word.as_str()).collect()),
        ("SourceKind", SourceKind::ALL.iter().map(|word| word.as_str()).collect()),
        ("OnBusy", OnBusy::ALL.iter().map(|word| word.as_str()).collect()),
        ("Control", Control::ALL.iter().map(|word| word.as_str()).collect()),
    ]
}

/// Puts the integer itself where the derived schemas refer to an alias of it.
fn inline_integers(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("$ref").is_some_and(|target| target == "#/components/schemas/i64") {
                fields.remove("$ref");
                fields.insert("type".to_owned(), json!("integer"));
                fields.insert("format".to_owned(), json!("int64"));
            }
            fields.values_mut().for_each(inline_integers);
        }
        Value::Array(items) => items.iter_mut().for_each(inline_integers),
        _ => {}
    }
}

/// The whole document as YAML, as it is committed: what it is first, the schemas last.
pub fn yaml_document() -> String {
    let document = document();
    let mut text = String::new();
    for part in ["openapi", "info", "security", "tags", "paths", "components"] {
        text.push_str(&yaml::write(&json!({ part: document[part] })));
    }
    text
}

/// Adds what holds for every operation of its shape: the header of idempotency, and the errors.
fn complete(method: &str, operation: &mut Map<String, Value>) {
    without_null(operation);
    let open = operation.get("security").is_some();
    let id = operation.get("operationId").and_then(Value::as_str).unwrap_or_default();
    // What may be done twice over needs no key.
    let repeatable = [
        "search_memories",
        "deactivate_user",
        "reactivate_user",
        "erase_user",
        "confirm_linked_account",
        "logout",
        "deliver",
    ]
    .contains(&id);
    let creates = method == "post" && !repeatable;
    let by_id = has_path_parameter(operation);
    let has_body = operation.contains_key("requestBody");
    if creates {
        let header = json!({
            "name": "Idempotency-Key", "in": "header", "required": false, "schema": {"type": "string", "maxLength": 255},
            "description": "Kept for 24 hours: the same body gets the same answer, another body 422",
        });
        if let Some(parameters) = operation.entry("parameters").or_insert_with(|| json!([])).as_array_mut() {
            parameters.push(header);
        }
    }
    let mut errors: Vec<(&str, &str)> = Vec::new();
    if !open {
        errors.extend([
            ("401", "No credential, or one that does not hold"),
            ("403", "The role or the key's scopes do not allow it"),
            ("422", "A field or parameter is not valid: `errors` says which"),
        ]);
    }
    if by_id {
        errors.push(("404", "It does not exist, or you may not see it"));
    }
    if creates {
        errors.push(("409", "Another request with this Idempotency-Key is being done"));
    }
    if has_body {
        errors.push(("413", "The body is too large"));
        errors.push(("415", "The body has another media type"));
    }
    errors.push(("default", "Any other error"));
    let Some(responses) = operation.entry("responses").or_insert_with(|| json!({})).as_object_mut() else { return };
    for (status, description) in errors {
        let problem = json!({
            "description": description,
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        });
        responses.entry(status).or_insert(problem);
    }
}

/// A parameter that may be left out is not sent as null.
fn without_null(operation: &mut Map<String, Value>) {
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        let kinds = parameter.pointer_mut("/schema/type").filter(|kinds| kinds.is_array()).map(Value::take);
        let kind = kinds.and_then(|kinds| kinds.as_array()?.iter().find(|kind| *kind != "null").cloned());
        if let Some(kind) = kind {
            parameter["schema"]["type"] = kind;
        }
    }
}

fn has_path_parameter(operation: &Map<String, Value>) -> bool {
    let parameters = operation.get("parameters").and_then(Value::as_array);
    parameters.into_iter().flatten().any(|parameter| parameter["in"] == "path")
}
