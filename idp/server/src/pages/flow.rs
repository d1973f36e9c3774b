//! `/flow/ID`: whatever the walk needs next.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use idp_core::flow::{SignInReason, Step};
use serde::Deserialize;

use crate::errors::PageError;
use crate::flow::{self, Leaving};
use crate::form::Query;
use crate::pages::{consent, login};
use crate::visit::Visit;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FlowQuery {
    /// "Use another account": the address is not kept.
    switch: Option<String>,
}

/// `GET /flow/ID`.
pub(crate) async fn show(
    visit: Visit,
    Path(id): Path<String>,
    Query(query): Query<FlowQuery>,
) -> Result<Response, PageError> {
    let flow = flow::open(&visit, &id).await?;
    let known = flow::load(&visit, &flow.target).await?;
    match flow::decide(&visit, &flow, &known, None) {
        Step::SignIn(reason) => {
            // Somebody is signed in already and is asked once more: the page says so and keeps the address.
            let again =
                matches!(reason, SignInReason::Asked | SignInReason::TooOld) && query.switch.is_none();
            let known_address = visit.visitor.signed_in.as_ref().filter(|_| again);
            let email = known_address.map(|signed_in| signed_in.user.email.to_string());
            let filled = login::Filled { confirm: email.is_some(), email, ..login::Filled::default() };
            Ok(login::page(&visit, &flow, &known, filled)?.into_response())
        }
        Step::Consent(_) => Ok(consent::page(&visit, &flow, &known)?.into_response()),
        step => Leaving { visit: &visit, flow: &flow, stored: true, said: None }.with(step).await,
    }
}
