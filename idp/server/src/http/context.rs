//! The request context of a page: what its handler knows about the browser, and how it responds.

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use idp_core::audit::{Actor, AuditEvent, AuditRecord};
use idp_core::text::DisplayText;

use crate::http::address::RequestInfo;
use crate::http::browser::{Browser, Notice};
use crate::http::csrf;
use crate::http::errors::{PageError, Reason};
use crate::http::html::{FieldError, Html, Layout, Page, layout, title};
use crate::state::Shared;

/// What the handler of a page receives.
#[derive(Clone)]
pub(crate) struct RequestContext {
    pub(crate) app: Shared,
    pub(crate) browser: Browser,
    pub(crate) info: RequestInfo,
    /// The browser's `User-Agent`, cleaned and cut at 200 characters.
    pub(crate) user_agent: DisplayText,
}

impl FromRequestParts<Shared> for RequestContext {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, PageError> {
        let missing = || PageError::new(Reason::INTERNAL).detail("the route does not load a browser");
        let browser = parts.extensions.get::<Browser>().cloned().ok_or_else(missing)?;
        let info = parts.extensions.get::<RequestInfo>().cloned().ok_or_else(missing)?;
        let agent = parts.headers.get(header::USER_AGENT).map(|value| value.as_bytes()).unwrap_or_default();
        let user_agent = DisplayText::new(&String::from_utf8_lossy(agent), 200);
        Ok(Self { app: Shared::clone(app), browser, info, user_agent })
    }
}

impl RequestContext {
    /// Renders a page.
    pub(crate) fn page<P: Page>(&self, page: &P) -> Result<Html, PageError> {
        self.page_with(page, Vec::new())
    }

    /// Renders a page that says what must be corrected.
    pub(crate) fn page_with<P: Page>(&self, page: &P, errors: Vec<FieldError>) -> Result<Html, PageError> {
        let app = &self.app;
        let notice = self.browser.notice.map(|notice| app.renderer.catalogue.text(notice.key(), &[]));
        let layout = Layout {
            title: title(app, page.title(), &page.title_args(), !errors.is_empty()),
            csrf: csrf::token(&app.keys.load().mac, self.browser.csrf_binding()),
            notice,
            errors,
            ..layout(app)
        };
        Ok(Html::new(app.renderer.fill(P::TEMPLATE, &[&layout, page])?))
    }

    /// A record for the audit trail.
    pub(crate) fn audit(&self, event: AuditEvent, actor: Actor, subject: Option<String>) -> AuditRecord {
        AuditRecord {
            at: self.app.clock.now(),
            event,
            actor,
            subject,
            client_id: None,
            source: self.info.audit_source(),
            detail: "",
        }
    }

    /// A redirect to a page that reports a success.
    pub(crate) fn redirect_with(&self, notice: Notice, url: &str) -> Response {
        ([(header::SET_COOKIE, notice.set(&self.app.config))], Redirect::to(url)).into_response()
    }
}
