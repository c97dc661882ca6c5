//! Versions: `GET /api/v{1,2}/version`, open to everybody; and the headers that tell which version an answer is of.

use axum::{Json, extract::Request, middleware::Next, response::Response};
use http::{HeaderName, HeaderValue, header};
use mutt_core::http::version::API_VERSION;
use serde_json::{Value, json};

use super::input::ApiVersion;

/// `GET /version`.
pub(crate) async fn version() -> Json<Value> {
    Json(json!({
        "current": API_VERSION,
        "default": API_VERSION,
        "supported": [API_VERSION, "2.0", "1.0"],
        "history": [
            { "version": "2.5", "status": "current", "removal_date": null },
            { "version": "2.0", "status": "supported", "removal_date": null },
            // Existing scripts use it; it stays as long as they do.
            { "version": "1.0", "status": "deprecated", "removal_date": null },
        ],
        "product_version": env!("CARGO_PKG_VERSION"),
    }))
}

/// Middleware: says in every answer whether a newer version of the path should be used, and which.
pub(crate) async fn deprecation(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_old = ApiVersion::of(path) == ApiVersion::V1;
    let successor = path.strip_prefix("/api/v1/").filter(|rest| !rest.is_empty() && is_old).map(|rest| {
        let rest = if rest == "audit" { "config-audit" } else { rest };
        format!("</api/v2/{rest}>; rel=\"successor-version\"")
    });
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let deprecated = HeaderValue::from_static(if is_old { "true" } else { "false" });
    headers.insert(HeaderName::from_static("x-api-deprecated"), deprecated);
    if let Some(successor) = successor.and_then(|link| HeaderValue::from_str(&link).ok()) {
        headers.insert(header::LINK, successor);
    }
    response
}
