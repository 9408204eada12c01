//! `/openapi.yaml` and `/docs`: the document, and a page that shows it with nothing from
//! elsewhere.

use super::{ApiState, openapi};
use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use std::sync::LazyLock;
use utoipa_axum::{router::OpenApiRouter, routes};

static YAML: LazyLock<String> = LazyLock::new(openapi::yaml_document);
static JSON: LazyLock<String> = LazyLock::new(|| openapi::document().to_string());

/// Nothing but what this origin itself serves, and no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(yaml))
        .routes(routes!(page))
        .route("/openapi.json", get(async || asset("application/json", &JSON)))
        .route("/docs/docs.js", get(async || asset("text/javascript; charset=utf-8", include_str!("docs/docs.js"))))
        .route("/docs/docs.css", get(async || asset("text/css; charset=utf-8", include_str!("docs/docs.css"))))
}

fn asset(kind: &'static str, body: &'static str) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// This document.
#[utoipa::path(get, path = "/openapi.yaml", tag = "operation", operation_id = "get_openapi", security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = String, content_type = "application/yaml")))]
async fn yaml() -> Response {
    asset("application/yaml; charset=utf-8", &YAML)
}

/// This document as a page for people.
#[utoipa::path(get, path = "/docs", tag = "operation", operation_id = "get_docs", security(()),
    responses((status = 200, description = "A page", body = String, content_type = "text/html")))]
async fn page() -> Response {
    asset("text/html; charset=utf-8", include_str!("docs/index.html"))
}
