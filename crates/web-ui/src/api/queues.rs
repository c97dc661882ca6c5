//! What waits where, and whether all of it is accounted for: `/api/v2/queues`, `/api/v2/ledger`.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{
    answer::{Answer, Refusal},
    input::Params,
};
use crate::{sampler::Sample, state::App};

/// `GET /queues`: as seen at most two seconds ago.
pub(crate) async fn queues(State(app): State<Arc<App>>, params: Params) -> Answer<Response> {
    params.finish()?;
    let sample = fresh(&app)?;
    let body = json!({ "sampled_at": sample.at, "stages": sample.depths.stages, "dead": sample.depths.dead });
    Ok(Json(body).into_response())
}

/// `GET /ledger`: taken in, outcomes, held; as seen at most two seconds ago, all at one instant.
pub(crate) async fn ledger(State(app): State<Arc<App>>, params: Params) -> Answer<Response> {
    params.finish()?;
    let sample = fresh(&app)?;
    let body = json!({
        "sampled_at": sample.at,
        "imbalance": sample.ledger.imbalance(),
        "balanced": sample.ledger.imbalance() == 0,
        "stages": sample.ledger.stages,
    });
    Ok(Json(body).into_response())
}

/// The last sample, unless looking has failed since.
fn fresh(app: &App) -> Answer<Arc<Sample>> {
    let seen = app.samples.now();
    match (seen.last, seen.failing_since) {
        (Some(sample), None) => Ok(sample),
        _ => Err(Refusal::redis_away()),
    }
}
