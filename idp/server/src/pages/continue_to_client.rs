//! The automatic redirect page, between one of our forms and an https client: it redirects without a script, and has a
//! link in case the browser does not follow.

use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::http::context::RequestContext;
use crate::http::errors::PageError;
use crate::http::html::Page;
use crate::text::catalogue::Arg;

#[derive(Serialize)]
pub(crate) struct ContinuePage<'a> {
    app: String,
    /// May contain a code.
    url: &'a str,
    /// Where the link leads. A code may have been redeemed before somebody clicks, so the link for an authorization
    /// response is `/flow/ID?go=1`, which checks again.
    link: &'a str,
    signed_out: bool,
}

impl<'a> ContinuePage<'a> {
    /// Redirects with the response to an authorization request.
    pub(crate) fn signed_in(app: String, url: &'a str, link: &'a str) -> Self {
        Self { app, url, link, signed_out: false }
    }

    /// Goes back to the client's start page: it has its answer already.
    pub(crate) fn home(app: String, url: &'a str) -> Self {
        Self { app, url, link: url, signed_out: false }
    }

    /// Redirects after sign-out.
    pub(crate) fn signed_out(app: String, url: &'a str) -> Self {
        Self { app, url, link: url, signed_out: true }
    }

    /// Renders the page. `url` must be made from an https URI that is registered for the client.
    pub(crate) fn show(&self, context: &RequestContext) -> Result<Response, PageError> {
        Ok(context.page(self)?.into_response())
    }
}

impl Page for ContinuePage<'_> {
    const TEMPLATE: &'static str = "pages/continue_to_client.html";
    const TITLE: &'static str = "onward-title";
    fn title(&self) -> &'static str {
        if self.signed_out { "signed-out-title" } else { Self::TITLE }
    }
    fn title_args(&self) -> Vec<Arg<'_>> {
        vec![("app", self.app.as_str().into())]
    }
}
