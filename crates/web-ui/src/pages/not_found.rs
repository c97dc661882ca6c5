//! The page for addresses that lead nowhere.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::page;

#[derive(Template)]
#[template(path = "not_found.html")]
struct NotFound;

/// For everything that has no route.
pub(crate) async fn show() -> Response {
    answer()
}

/// The page, with status 404.
pub(super) fn answer() -> Response {
    page(StatusCode::NOT_FOUND, &NotFound)
}
