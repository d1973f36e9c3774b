//! "Your account is active": the end of a registration.

use axum::response::{IntoResponse, Response};
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
}

impl Page for ActivatedPage {
    const TEMPLATE: &'static str = "pages/activated.html";
    const TITLE: &'static str = "activated-title";
}

/// The page. Its button continues the flow in which the person registered, if that is still open.
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
    let page = ActivatedPage { continue_url, app, signed_in: context.browser.signed_in.is_some() };
    Ok(context.page(&page)?.into_response())
}
