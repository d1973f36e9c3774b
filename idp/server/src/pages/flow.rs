//! `/flow/ID`: whatever the flow needs next.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use idp_core::flow::Step;
use serde::Deserialize;

use crate::errors::PageError;
use crate::flow::{self, Found, Leaving, Via};
use crate::form::{Query, shown_email};
use crate::pages::{consent, login};
use crate::visit::Visit;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FlowQuery {
    /// "Use another account": the address is not kept.
    switch: Option<String>,
    /// An address to fill in again.
    email: Option<String>,
    /// The button of the page that goes on by itself.
    go: Option<String>,
}

/// `GET /flow/ID`.
pub(crate) async fn show(
    visit: Visit,
    Path(id): Path<String>,
    Query(query): Query<FlowQuery>,
) -> Result<Response, PageError> {
    let flow = match flow::find(&visit, &id).await? {
        Found::Open(flow) => flow,
        Found::Over(ended) => {
            let via = if query.go.is_some() { Via::Button } else { Via::Page };
            return flow::again(&visit, &ended, via).await;
        }
    };
    let known = flow::load(&visit, &flow.target).await?;
    match flow::decide(&visit, &flow, &known, None) {
        Step::SignIn(_) => {
            let again = login::asked_again(&visit, &flow, &known).filter(|_| query.switch.is_none());
            let typed = query.email.as_deref().map(shown_email);
            let (confirm, email) = (again.is_some(), again.or(typed));
            let filled = login::Filled { confirm, email, ..login::Filled::default() };
            Ok(login::page(&visit, &flow, &known, filled)?.into_response())
        }
        Step::Consent(_) => Ok(consent::page(&visit, &flow, &known)?.into_response()),
        step => Leaving { visit: &visit, flow: &flow, known: &known, via: Via::Page }.with(step).await,
    }
}
