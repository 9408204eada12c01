//! The OpenAPI document: what the routes say of themselves, and what holds for all of them.

use super::{
    error::{FieldError, Problem},
    server, yaml,
};
use crate::domain::check::Check;
use serde_json::{Map, Value, json};
use utoipa::{
    OpenApi,
    openapi::{
        OpenApi as Document,
        security::{Http, HttpAuthScheme, SecurityScheme},
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
    components(schemas(Problem, FieldError, Check)),
    security(("bearer" = [])),
    tags(
        (name = "tasks", description = "Requests and what becomes of them"),
        (name = "approvals", description = "What tasks ask people"),
        (name = "uploads", description = "Code that no remote has"),
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
    value
}

/// The whole document as YAML, as it is committed.
pub fn yaml_document() -> String {
    yaml::write(&document())
}

/// Adds what holds for every operation of its shape: the header of idempotency, and the errors.
fn complete(method: &str, operation: &mut Map<String, Value>) {
    let open = operation.get("security").is_some();
    let id = operation.get("operationId").and_then(Value::as_str).unwrap_or_default();
    let creates = method == "post" && id != "search_memories";
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

fn has_path_parameter(operation: &Map<String, Value>) -> bool {
    let parameters = operation.get("parameters").and_then(Value::as_array);
    parameters.into_iter().flatten().any(|parameter| parameter["in"] == "path")
}
