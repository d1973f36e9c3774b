//! HTML: what all pages have in common, and the only builder of HTML responses.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::http::assets::AssetUrls;
use crate::state::Shared;
use crate::text::catalogue::{Arg, LANGUAGE};
use crate::text::dates;
use crate::text::templates::without_marks;

/// A page: what its template needs beyond the layout.
pub(crate) trait Page: Serialize {
    /// The template's name.
    const TEMPLATE: &'static str;
    /// The catalogue key of the task, the first half of the title.
    const TITLE: &'static str;
    /// The same key, if it depends on the page's content.
    fn title(&self) -> &'static str {
        Self::TITLE
    }
    /// Arguments of the title.
    fn title_args(&self) -> Vec<Arg<'_>> {
        Vec::new()
    }
}

/// What `base.html` needs, and so what every page has.
#[derive(Serialize)]
pub(crate) struct Layout<'a> {
    pub(crate) lang: &'static str,
    pub(crate) dir: &'static str,
    pub(crate) title: String,
    pub(crate) brand: &'a str,
    pub(crate) assets: &'a AssetUrls,
    pub(crate) csrf: String,
    pub(crate) dev: Option<DevLinks>,
    pub(crate) notice: Option<String>,
    pub(crate) errors: Vec<FieldError>,
}

/// The links of the `dev` ribbon.
#[derive(Serialize)]
pub(crate) struct DevLinks {
    pub(crate) mailbox: &'static str,
    pub(crate) clock: &'static str,
    /// How far the clock was moved; `None`: it shows the real time.
    pub(crate) moved: Option<String>,
}

/// One thing to correct on a page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FieldError {
    /// The field's ID. `None`: the error concerns the whole form.
    pub(crate) field: Option<&'static str>,
    /// What to correct.
    pub(crate) text: String,
}

/// The layout without anything from the request: no CSRF token, no notice, no errors.
pub(crate) fn layout(app: &Shared) -> Layout<'_> {
    Layout {
        lang: LANGUAGE,
        dir: "ltr",
        title: String::new(),
        brand: &app.config.brand,
        assets: &app.assets.urls,
        csrf: String::new(),
        dev: app.config.dev.then(|| dev_links(app.clock.offset())),
        notice: None,
        errors: Vec::new(),
    }
}

fn dev_links(offset: Duration) -> DevLinks {
    let moved = (!offset.is_zero()).then(|| dates::span(offset));
    DevLinks { mailbox: "/dev/mail", clock: "/dev/clock", moved }
}

/// "Task – Brand", with "Error: " before it after a refused form.
pub(crate) fn title(app: &Shared, key: &str, args: &[Arg<'_>], failed: bool) -> String {
    let catalogue = &app.renderer.catalogue;
    let task = catalogue.text(key, args);
    let title = catalogue
        .text("document-title", &[("task", task.into()), ("place", app.config.brand.as_str().into())]);
    let title = match failed {
        true => catalogue.text("document-title-error", &[("title", title.into())]),
        false => title,
    };
    without_marks(&title)
}

/// An HTML response. All HTML leaves the server this way: never cached, never framed, and allowed only what its kind
/// needs.
pub(crate) struct Html {
    body: String,
    status: StatusCode,
    /// In seconds.
    retry_after: Option<u64>,
    kind: DocumentKind,
}

enum DocumentKind {
    /// From our templates, escaped by the renderer. It may load from and submit to this server only. `form_target` is
    /// the only other place where its form may end.
    Page { form_target: Option<String> },
    /// A mail, shown in `dev`. It may style its elements inline, as mails must, and nothing else.
    Mail,
}

impl Html {
    /// A page with status 200.
    pub(crate) fn new(body: String) -> Self {
        Self::of_kind(DocumentKind::Page { form_target: None }, body)
    }

    /// A mail, as a mail program would show it.
    pub(crate) fn mail(body: String) -> Self {
        Self::of_kind(DocumentKind::Mail, body)
    }

    fn of_kind(kind: DocumentKind, body: String) -> Self {
        Self { body, status: StatusCode::OK, retry_after: None, kind }
    }

    /// With another status.
    pub(crate) fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// With the number of seconds after which to try again.
    pub(crate) fn retry_after(self, seconds: Option<u64>) -> Self {
        Self { retry_after: seconds, ..self }
    }

    /// Allows the form to end in a redirect to this loopback origin or private-use scheme. With `'self'` alone,
    /// browsers silently block the redirect to the client.
    pub(crate) fn form_target(self, source: Option<String>) -> Self {
        Self { kind: DocumentKind::Page { form_target: source }, ..self }
    }

    fn csp(&self) -> String {
        let own = match &self.kind {
            DocumentKind::Page { form_target } => {
                let target = form_target.as_deref().map(|source| format!(" {source}")).unwrap_or_default();
                format!("style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'{target}")
            }
            DocumentKind::Mail => "style-src 'unsafe-inline'; form-action 'none'; sandbox".to_owned(),
        };
        format!("default-src 'none'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; {own}")
    }
}

/// No search engine has any use for our pages.
const X_ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");

/// A 401 must have a challenge (RFC 9110 section 15.5.2). Browsers have no window of their own for this one: the person
/// authenticates with the form on the page.
const FORM_CHALLENGE: &str = "Cookie realm=\"sign-in\"";

impl IntoResponse for Html {
    fn into_response(self) -> Response {
        let csp =
            HeaderValue::from_str(&self.csp()).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
            (header::CONTENT_SECURITY_POLICY, csp),
            (X_ROBOTS_TAG, HeaderValue::from_static("noindex")),
        ];
        let unauthorized = self.status == StatusCode::UNAUTHORIZED;
        let challenge = unauthorized.then_some([(header::WWW_AUTHENTICATE, FORM_CHALLENGE)]);
        let retry_after = self.retry_after.map(|seconds| [(header::RETRY_AFTER, HeaderValue::from(seconds))]);
        (self.status, headers, retry_after, challenge, self.body).into_response()
    }
}
