//! The console: pages that work without scripts, made on the server, with everything they need in this binary.

pub(crate) mod assets;
pub(crate) mod headers;
pub(crate) mod login;
pub(crate) mod not_found;
pub(crate) mod overview;

use askama::Template;
use axum::response::{Html, IntoResponse as _, Response};
use http::StatusCode;

/// Makes an answer of a page.
fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a page cannot be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
