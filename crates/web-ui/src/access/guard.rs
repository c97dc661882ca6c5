//! The door: finds out who calls, and keeps out who may not.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, Method, header};
use mutt_core::http::Problem;

use super::{Caller, Role, sessions::token_in};
use crate::{api::answer::Answer, metrics::Login, state::App};

const KEY_HEADER: &str = "x-api-key";

/// Middleware of the API: lets in who is known, with a [`Caller`] in the request's extensions.
pub(crate) async fn require(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let admitted = admit(&app, request.headers(), request.method()).await;
    match admitted {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Middleware of everything: a key in an address ends up in logs, histories and referrers, so it is not looked at.
pub(crate) async fn refuse_keys_in_addresses(request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    if query.split('&').any(|pair| pair.split('=').next() == Some("api_key")) {
        return Problem::unauthorized("a key does not belong in an address: send it in the header X-API-KEY")
            .into_response();
    }
    next.run(request).await
}

async fn admit(app: &App, headers: &HeaderMap, method: &Method) -> Answer<Caller> {
    if let Some(presented) = headers.get(KEY_HEADER) {
        return by_key(app, presented.as_bytes());
    }
    let Some(caller) = identify(app, headers).await else {
        return Err(Problem::unauthorized("send a key in the header X-API-KEY, or log in at /login").into());
    };
    // A browser sends the cookie along whoever made it send the request.
    if !method.is_safe() && Provenance::of(headers) != Provenance::Ours {
        let detail = "a change with a session must come from this console's own pages";
        return Err(Problem::forbidden(detail).into());
    }
    Ok(caller)
}

/// Wrong keys are counted, not kept waiting: behind a proxy all callers have one address, and a script with an old key must
/// not lock out the others. The login form, where people type, does keep waiting.
fn by_key(app: &App, presented: &[u8]) -> Answer<Caller> {
    if let Some((name, role)) = app.keys.verify(presented) {
        return Ok(Caller { name: format!("key:{name}"), role });
    }
    app.metrics.login(Login::Refused);
    Err(Problem::unauthorized("the key in X-API-KEY is not known").into())
}

/// Whom the session cookie of a request stands for.
pub(crate) async fn identify(app: &App, headers: &HeaderMap) -> Option<Caller> {
    let session = app.sessions.find(token_in(headers)?, app.clock.now()).await?;
    app.keys
        .has(&session.key)
        .then(|| Caller { name: format!("session:{}", session.key), role: session.role })
}

/// Where a request was made, as the browser tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provenance {
    /// On a page of this very origin.
    Ours,
    /// On a page of somebody else.
    Foreign,
    /// Not by a page: browsers say where a change comes from.
    Unknown,
}

impl Provenance {
    /// `Sec-Fetch-Site` is sent on secure connections, `Origin` with every change.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
        let is_ours = match text(http::HeaderName::from_static("sec-fetch-site")) {
            Some(site) => site == "same-origin",
            None => match (text(header::ORIGIN), text(header::HOST)) {
                (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, ours)| ours == host),
                (Some(_), None) => false,
                (None, _) => return Self::Unknown,
            },
        };
        if is_ours { Self::Ours } else { Self::Foreign }
    }
}

impl Caller {
    /// Checks that the caller may do something.
    ///
    /// # Errors
    /// 403, naming the role that could.
    pub(crate) fn must_be(&self, role: Role) -> Answer<()> {
        if self.role >= role {
            return Ok(());
        }
        let detail = format!("this needs the role {role}; {} has the role {}", self.name, self.role);
        Err(Problem::forbidden(detail).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_our_own_pages_may_change_things_with_a_cookie() {
        let ours = [
            &[("sec-fetch-site", "same-origin")][..],
            &[("origin", "http://mutt:8090"), ("host", "mutt:8090")],
        ];
        for ours in ours {
            assert_eq!(Provenance::of(&headers(ours)), Provenance::Ours, "{ours:?}");
        }
        let foreign = [
            &[("sec-fetch-site", "cross-site"), ("origin", "http://mutt"), ("host", "mutt")][..],
            &[("sec-fetch-site", "same-site")],
            &[("origin", "http://evil"), ("host", "mutt")],
            &[("origin", "null"), ("host", "mutt")],
        ];
        for foreign in foreign {
            assert_eq!(Provenance::of(&headers(foreign)), Provenance::Foreign, "{foreign:?}");
        }
        assert_eq!(Provenance::of(&headers(&[("host", "mutt")])), Provenance::Unknown);
    }
}
