//! "You are signed in at …": an old page of a flow that ended with a code, if the client has no https start page.

use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::http::context::RequestContext;
use crate::http::errors::PageError;
use crate::http::html::Page;
use crate::text::catalogue::Arg;

#[derive(Serialize)]
pub(crate) struct SignedInPage<'a> {
    app: String,
    /// The client's start page. The page links to it and does not redirect.
    home_url: Option<&'a str>,
}

impl<'a> SignedInPage<'a> {
    pub(crate) fn new(app: String, home_url: Option<&'a str>) -> Self {
        Self { app, home_url }
    }

    /// Renders the page.
    pub(crate) fn show(&self, context: &RequestContext) -> Result<Response, PageError> {
        Ok(context.page(self)?.into_response())
    }
}

impl Page for SignedInPage<'_> {
    const TEMPLATE: &'static str = "pages/signed_in.html";
    const TITLE: &'static str = "signed-in-at-title";
    fn title_args(&self) -> Vec<Arg<'_>> {
        vec![("app", self.app.as_str().into())]
    }
}
