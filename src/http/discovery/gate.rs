//! The one thing that the handler of evaluations is given: keys, threads and the quota, and no way to a record.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::engine::oprf::evaluator::{Answered, Evaluation};
use crate::http::app::App;
use crate::http::extract::Scope;
use crate::http::problem::Problem;

pub(super) use crate::discovery::oprf::Element;

/// One caller's evaluations in the tenant of the path.
pub(in crate::http) struct Gate(Evaluation);

impl Gate {
    /// See [`Evaluation::evaluate`].
    pub(super) async fn evaluate(self, epoch: u32, blinded: Vec<Element>, proof: bool) -> Result<Answered, Problem> {
        Ok(self.0.evaluate(epoch, blinded, proof).await?)
    }
}

impl FromRequestParts<App> for Gate {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let scope = Scope::from_request_parts(parts, app).await?;
        Ok(Self(scope.engine.evaluation(&scope.tenant, &scope.caller.principal)?))
    }
}
