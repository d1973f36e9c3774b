//! The hosted pages: each handler, next to the values of its template.

pub(crate) mod account;
pub(crate) mod activate;
pub(crate) mod activated;
pub(crate) mod check_mail;
pub(crate) mod consent;
pub(crate) mod continue_to_client;
pub(crate) mod dev;
pub(crate) mod flow;
pub(crate) mod login;
pub(crate) mod register;
pub(crate) mod signed_in;

#[cfg(test)]
mod tests;

use axum::http::Uri;
use axum::response::Redirect;
use idp_core::flow::FlowTarget;
use serde::Serialize;

use crate::flow::ClientAndConsent;
use crate::http::context::RequestContext;
use crate::http::form;
use crate::http::html::FieldError;
use idp_core::redirect_uri::RedirectUri;

/// `GET` on the URL of a form (a reload after an error, a bookmark): redirects to the page that has the form.
pub(crate) async fn of_form(context: RequestContext, uri: Uri) -> Redirect {
    Redirect::to(form::page_of(uri.path(), context.browser.signed_in.is_some()))
}

/// The client that a page names.
#[derive(Serialize)]
pub(crate) struct AppView {
    name: String,
    host: String,
}

/// The client of a flow, if there is one, and where its answer goes.
pub(crate) fn app_of<'a>(
    target: &'a FlowTarget,
    known: &ClientAndConsent,
) -> (Option<AppView>, Option<&'a RedirectUri>) {
    let (FlowTarget::Client(request), Some(client)) = (target, &known.client) else {
        return (None, None);
    };
    let uri = request.target.uri();
    (Some(AppView { name: client.name.to_string(), host: uri.host() }), Some(uri))
}

/// An error text for one field.
pub(crate) fn field_error(context: &RequestContext, field: &'static str, key: &str) -> FieldError {
    FieldError { field: Some(field), text: context.app.renderer.catalogue.text(key, &[]) }
}
