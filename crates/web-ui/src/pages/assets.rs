//! Files of the console, inside the binary: `/static/…`.

use axum::{
    extract::Path,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rust_embed::RustEmbed;

use super::not_found;

#[derive(RustEmbed)]
#[folder = "static/"]
struct Files;

/// Serves a file; a browser that has it already gets 304.
pub(crate) async fn serve(Path(path): Path<String>, headers: HeaderMap) -> Response {
    let Some(file) = Files::get(&path) else { return not_found::answer() };
    let hash = file.metadata.sha256_hash();
    let tag = hash.iter().take(8).fold(String::from("\""), |tag, byte| format!("{tag}{byte:02x}")) + "\"";
    let Ok(tag_value) = HeaderValue::from_str(&tag) else { return not_found::answer() };
    // Asked for again at every load, so that a new release shows at once; nearly always answered with 304.
    let common = [(header::CACHE_CONTROL, HeaderValue::from_static("no-cache")), (header::ETAG, tag_value)];
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == tag.as_str()) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    let kind = HeaderValue::from_str(file.metadata.mimetype());
    let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    (common, [(header::CONTENT_TYPE, kind)], file.data.into_owned()).into_response()
}
