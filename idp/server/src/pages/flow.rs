//! `/flow/ID`: shows what the flow needs next.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use idp_core::flow::Step;
use serde::Deserialize;

use crate::flow::{self, FlowEnd, FlowState, Via};
use crate::http::context::RequestContext;
use crate::http::errors::PageError;
use crate::http::form::{LenientQuery, Query, shown_email};
use crate::pages::{consent, login};

#[derive(Deserialize)]
pub(crate) struct FlowQuery {
    /// "Use another account": the address is not filled in.
    switch: Option<String>,
    /// The button on the automatic redirect page.
    go: Option<String>,
}

/// `GET /flow/ID`. `email` in the query is an address to fill in again.
pub(crate) async fn show(
    context: RequestContext,
    Path(id): Path<String>,
    Query(query): Query<FlowQuery>,
    LenientQuery(typed): LenientQuery,
) -> Result<Response, PageError> {
    let flow = match flow::find(&context, &id).await? {
        FlowState::Open(flow) => flow,
        FlowState::Over(ended) => {
            let via = if query.go.is_some() { Via::Button } else { Via::Page };
            return flow::replay(&context, &ended, via).await;
        }
    };
    let known = flow::load(&context, &flow.target).await?;
    match flow::decide(&context, &flow, &known, None) {
        Step::SignIn(_) => {
            let again = login::asked_again(&context, &flow, &known).filter(|_| query.switch.is_none());
            let typed = typed.get("email").map(shown_email);
            let (confirm, email) = (again.is_some(), again.or(typed));
            let filled = login::FormState { confirm, email, ..login::FormState::default() };
            Ok(login::page(&context, &flow, &known, filled)?.into_response())
        }
        Step::Consent(_) => Ok(consent::page(&context, &flow, &known)?.into_response()),
        step => {
            FlowEnd { context: &context, flow: &flow, known: &known, via: Via::Page }.carry_out(step).await
        }
    }
}
