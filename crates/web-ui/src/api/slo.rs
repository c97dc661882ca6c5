//! Objectives: `GET /api/v{1,2}/slo`. Never waits for Prometheus.

use std::sync::Arc;

use axum::{Json, extract::State};

use super::{answer::Answer, input::Params};
use crate::{slo::Standings, state::App};

/// `GET /slo`.
pub(crate) async fn list(State(app): State<Arc<App>>, params: Params) -> Answer<Json<Standings>> {
    params.finish()?;
    Ok(Json(app.board.standings()))
}
