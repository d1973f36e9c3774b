//! The person's account page.

use axum::response::{IntoResponse, Redirect, Response};
use serde::Serialize;

use crate::http::context::RequestContext;
use crate::http::errors::{PageError, Reason};
use crate::http::html::Page;
use crate::text::catalogue::Arg;
use crate::text::dates;

#[derive(Serialize)]
struct AccountPage {
    name: String,
    email: String,
    since: String,
    sign_out_action: &'static str,
}

impl Page for AccountPage {
    const TEMPLATE: &'static str = "pages/account.html";
    const TITLE: &'static str = "account-title";
    fn title_args(&self) -> Vec<Arg<'_>> {
        vec![("name", self.name.as_str().into())]
    }
}

/// `GET /`: redirects to the account page, or to sign-in.
pub(crate) async fn home(context: RequestContext) -> Redirect {
    Redirect::to(if context.browser.signed_in.is_some() { "/account" } else { "/signin" })
}

/// `GET /account`.
pub(crate) async fn show(context: RequestContext) -> Result<Response, PageError> {
    let signed_in = context.browser.signed_in.as_ref().ok_or_else(|| PageError::new(Reason::INTERNAL))?;
    let page = AccountPage {
        name: signed_in.user.name.to_string(),
        email: signed_in.user.email.to_string(),
        since: dates::moment(signed_in.session.auth_time),
        sign_out_action: "/logout/confirm",
    };
    Ok(context.page(&page)?.into_response())
}
