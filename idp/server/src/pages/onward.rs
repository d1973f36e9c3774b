//! The page between a form of ours and a web application: it goes on by itself, without a script, and has a link for whoever
//! it does not take there.

use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::http::context::RequestContext;
use crate::http::errors::PageError;
use crate::http::html::Page;
use crate::text::catalogue::Arg;

#[derive(Serialize)]
pub(crate) struct Onward<'a> {
    app: String,
    /// With a code in it, maybe.
    url: &'a str,
    /// Where the link leads. A code may have been redeemed by the time somebody clicks, so for an answer with one it is a
    /// page of ours that looks once more.
    link: &'a str,
    signed_out: bool,
}

impl<'a> Onward<'a> {
    /// With the answer to an authorization request.
    pub(crate) fn signed_in(app: String, url: &'a str, link: &'a str) -> Self {
        Self { app, url, link, signed_out: false }
    }

    /// After signing out.
    pub(crate) fn signed_out(app: String, url: &'a str) -> Self {
        Self { app, url, link: url, signed_out: true }
    }

    /// The page. `url` is an https redirect URI that is registered for the application.
    pub(crate) fn show(&self, context: &RequestContext) -> Result<Response, PageError> {
        Ok(context.page(self)?.into_response())
    }
}

impl Page for Onward<'_> {
    const TEMPLATE: &'static str = "pages/onward.html";
    const TITLE: &'static str = "onward-title";
    fn title(&self) -> &'static str {
        if self.signed_out { "signed-out-title" } else { Self::TITLE }
    }
    fn title_args(&self) -> Vec<Arg<'_>> {
        vec![("app", self.app.as_str().into())]
    }
}
