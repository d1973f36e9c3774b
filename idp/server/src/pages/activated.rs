//! "Your account is active": the end of a registration.

use axum::response::{IntoResponse, Response};
use idp_core::user::Email;
use idp_store::Registration;
use serde::Serialize;

use crate::flow;
use crate::http::context::RequestContext;
use crate::http::errors::PageError;
use crate::http::form::with_email;
use crate::http::html::Page;
use crate::pages::{AppView, app_of};

#[derive(Serialize)]
struct ActivatedPage {
    continue_url: String,
    app: Option<AppView>,
    signed_in: bool,
    /// The address of whoever is signed in, if it is somebody else.
    other: Option<String>,
}

impl Page for ActivatedPage {
    const TEMPLATE: &'static str = "pages/activated.html";
    const TITLE: &'static str = "activated-title";
}

/// The page. Its button continues the flow in which the person registered, if that is still open and nobody else is
/// signed in, who would go on in it.
pub(crate) async fn show(
    context: &RequestContext,
    registration: &Registration,
) -> Result<Response, PageError> {
    let id = registration.flow_id.map(|id| id.to_string());
    let (continue_url, app) = match flow::find_open(context, id.as_deref()).await {
        Some((flow, known)) => (flow::url(flow.id), app_of(&flow.target, &known).0),
        None => ("/signin".to_owned(), None),
    };
    let continue_url = with_email(&continue_url, registration.email.as_str());
    let signed_in = context.browser.signed_in.as_ref().map(|signed_in| &signed_in.user.email);
    let other = signed_in.filter(|email| email.key() != registration.email.key()).map(Email::to_string);
    let page = ActivatedPage { continue_url, app, signed_in: signed_in.is_some(), other };
    Ok(context.page(&page)?.into_response())
}
