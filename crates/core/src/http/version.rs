//! Version headers of the API.

use axum::{extract::Request, middleware::Next, response::Response};
use http::{HeaderName, HeaderValue};

/// The version that answers.
pub const API_VERSION: &str = "2.5";
/// The versions that are answered, newest first.
pub const SUPPORTED_VERSIONS: &str = "2.5, 2.0, 1.0";

/// Middleware: names the version in every answer. For `axum::middleware::from_fn`.
pub async fn layer(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("x-api-version"), HeaderValue::from_static(API_VERSION));
    headers.insert(
        HeaderName::from_static("x-api-supported-versions"),
        HeaderValue::from_static(SUPPORTED_VERSIONS),
    );
    response
}
