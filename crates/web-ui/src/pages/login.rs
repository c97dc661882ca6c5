//! Logging in and out.

use std::{net::SocketAddr, sync::Arc};

use askama::Template;
use axum::{
    Form,
    extract::{ConnectInfo, Query, State},
    response::{IntoResponse as _, Redirect, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;

use super::page;
use crate::{
    access::{Provenance, cookie_of, identify, token_in},
    metrics::Login,
    state::App,
};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    next: &'a str,
    problem: Option<&'a str>,
}

/// Where to go afterwards.
#[derive(Debug, Deserialize)]
pub(crate) struct Destination {
    #[serde(default)]
    next: String,
}

/// What the form sends.
#[derive(Deserialize)]
pub(crate) struct Credentials {
    #[serde(default)]
    key: String,
    #[serde(default)]
    next: String,
}

/// `GET /login`.
pub(crate) async fn form(
    State(app): State<Arc<App>>,
    Query(destination): Query<Destination>,
    headers: HeaderMap,
) -> Response {
    let next = own_path(&destination.next);
    if identify(&app, &headers).await.is_some() {
        return Redirect::to(next).into_response();
    }
    page(StatusCode::OK, &LoginPage { next, problem: None })
}

/// `POST /login`.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Form(credentials): Form<Credentials>,
) -> Response {
    let next = own_path(&credentials.next);
    let refuse = |status, problem| page(status, &LoginPage { next, problem: Some(problem) });
    if Provenance::of(&headers) == Provenance::Foreign {
        return refuse(StatusCode::FORBIDDEN, "This form was sent from another site. Log in here.");
    }
    let now = app.clock.now();
    if let Some(wait) = app.throttle.wait(peer.ip(), now) {
        app.metrics.login(Login::Throttled);
        let mut response = refuse(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many wrong keys from your address. Wait a minute, then try again.",
        );
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        return response;
    }
    let Some((name, role)) = app.keys.verify(credentials.key.trim().as_bytes()) else {
        app.throttle.failed(peer.ip(), now);
        app.metrics.login(Login::Refused);
        tracing::warn!(peer = %peer.ip(), "a login with a wrong key");
        return refuse(
            StatusCode::UNAUTHORIZED,
            "This key is not known. Is it WEBUI_API_KEY of this installation?",
        );
    };
    app.throttle.succeeded(peer.ip());
    app.metrics.login(Login::Granted);
    tracing::info!(peer = %peer.ip(), key = name, %role, "logged in");
    let token = app.sessions.open(name, role, now).await;
    with_cookie(Redirect::to(next).into_response(), &cookie_of(Some(&token), is_secure(&app, &headers)))
}

/// `POST /logout`.
pub(crate) async fn logout(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    if Provenance::of(&headers) != Provenance::Foreign
        && let Some(token) = token_in(&headers)
    {
        app.sessions.close(token).await;
    }
    with_cookie(Redirect::to("/login").into_response(), &cookie_of(None, is_secure(&app, &headers)))
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// Whether the browser's connection is encrypted, by us or by a proxy that says so.
fn is_secure(app: &App, headers: &HeaderMap) -> bool {
    app.is_tls || headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https")
}

/// A path of this console; anything that could lead elsewhere becomes the first page.
fn own_path(next: &str) -> &str {
    let is_own = next.starts_with('/')
        && !next.starts_with("//")
        && !next.starts_with("/login")
        && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_own { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_only_to_pages_of_this_console() {
        assert_eq!(own_path("/rules?q=1"), "/rules?q=1");
        for elsewhere in
            ["", "//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil", "/login"]
        {
            assert_eq!(own_path(elsewhere), "/", "{elsewhere:?}");
        }
    }
}
