//! HTTP: one file per resource with its routes, views, errors and OpenAPI.
