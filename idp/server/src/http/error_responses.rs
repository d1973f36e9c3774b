//! The responses to requests that fail: an error page, JSON for clients, or one sentence.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use idp_core::text::Excerpt;
use serde::Serialize;

use crate::http::address::RequestInfo;
use crate::http::errors::{Explanation, OAuthError, PageError, Reason};
use crate::http::html::{self, Html, Layout};
use crate::http::media_type;
use crate::http::refusal_log::Fault;
use crate::http::request_log::{LONGEST_DETAIL, RequestSummary};
use crate::state::Shared;
use crate::text::dates::moment;
use crate::text::templates::without_marks;

/// The error as a page, or as JSON at endpoints that clients call.
pub(crate) fn error_response(
    app: &Shared,
    error: PageError,
    bare: Response,
    info: &RequestInfo,
    summary: &RequestSummary,
) -> Response {
    // A refused request may still end a session.
    let kept = [header::ALLOW, header::SET_COOKIE].map(|name| {
        let values: Vec<HeaderValue> = bare.headers().get_all(&name).iter().cloned().collect();
        (name, values)
    });
    let mut response = match summary.speaks_json() {
        true => {
            // The client's developer sees the same detail as the log, but nothing of what broke on our side.
            let theirs = error.reason.status.is_client_error();
            let description = error.detail.as_deref().filter(|_| theirs).map(Box::from);
            OAuthError { description, ..error.as_oauth() }.into_response()
        }
        false => page(app, &error, info, summary),
    };
    for (name, values) in kept {
        for value in values {
            response.headers_mut().append(name.clone(), value);
        }
    }
    retry_after(&mut response, &error);
    accepted(&mut response, &error);
    response
}

/// What would have been accepted, on a 415 (RFC 9110 section 15.5.16).
fn accepted(response: &mut Response, error: &PageError) {
    let (name, value) = match error.reason {
        Reason::MEDIA_TYPE => (header::ACCEPT, media_type::FORM),
        Reason::CODING => (header::ACCEPT_ENCODING, "identity"),
        _ => return,
    };
    response.headers_mut().insert(name, HeaderValue::from_static(value));
}

fn retry_after(response: &mut Response, error: &PageError) {
    if let Some(seconds) = error.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
}

/// The error as one sentence, for errors that may come in great numbers.
pub(crate) fn short_error_response(app: &Shared, error: &PageError, summary: &RequestSummary) -> Response {
    if summary.speaks_json() {
        return error.as_oauth().into_response();
    }
    let seconds = [("seconds", error.retry_after.unwrap_or(60).into())];
    let text = app.renderer.catalogue.text(&format!("error-{}", error.reason.key), &seconds);
    let mut response = (error.reason.status, without_marks(&text)).into_response();
    retry_after(&mut response, error);
    response
}

/// What is wrong with a probe's request, for the person who set the probe up.
pub(crate) fn response_to_probe(app: &Shared, error: &PageError, summary: &RequestSummary) -> Response {
    match &error.detail {
        Some(detail) if error.reason.status.is_client_error() => {
            (error.reason.status, Excerpt::new(detail, LONGEST_DETAIL).to_string()).into_response()
        }
        _ => short_error_response(app, error, summary),
    }
}

#[derive(Serialize)]
struct ErrorPage<'a> {
    kind: &'static str,
    reason: &'static str,
    heading: String,
    text: String,
    action: Option<Button<'a>>,
    asked_client: Option<String>,
    reference: &'a str,
    at: String,
    dev_detail: Option<&'a Explanation>,
    dev_fix: Option<String>,
}

#[derive(Serialize)]
struct Button<'a> {
    url: &'a str,
    label: String,
}

fn page(app: &Shared, error: &PageError, info: &RequestInfo, summary: &RequestSummary) -> Response {
    let catalogue = &app.renderer.catalogue;
    let Reason { key, kind, .. } = error.reason.shown(summary.is_of_client());
    let domain = app.config.issuer.authority();
    let args = [
        ("seconds", error.retry_after.unwrap_or(60).into()),
        ("domain", domain.into()),
        ("brand", app.config.brand.as_str().into()),
        ("app", error.about.app.as_deref().unwrap_or_default().into()),
        ("asked", summary.host.as_deref().unwrap_or_default().into()),
    ];
    let heading = catalogue.text(&format!("error-{key}-title"), &args);
    let action = match (&error.action, &error.about.app) {
        (Some(action), _) => Some(Button { url: &action.url, label: catalogue.text(action.label, &args) }),
        (None, Some(_)) => None,
        (None, None) => Some(Button { url: "/", label: catalogue.text("action-home", &args) }),
    };
    let dev_detail = error.explanation.as_deref().filter(|_| app.config.dev);
    let fix = dev_detail.and_then(|detail| detail.fix.as_ref());
    let content = ErrorPage {
        kind,
        reason: error.reason.key,
        text: catalogue.text(&format!("error-{key}"), &args),
        heading,
        action,
        asked_client: error.about.shown_client(kind),
        reference: &info.request_id,
        at: moment(app.clock.now()),
        dev_detail,
        dev_fix: fix.map(|fix| app.config.command.line(fix.verb, &fix.arguments)),
    };
    let layout = Layout {
        title: html::title(app, &format!("error-{key}-title"), &args, false),
        notice: error.notice.map(|key| catalogue.text(key, &args)),
        ..html::layout(app)
    };
    match app.renderer.fill("pages/error.html", &[&layout, &content]) {
        Ok(body) => Html::new(body).status(error.reason.status).into_response(),
        Err(error) => {
            if app.refusals.admits(Fault::Ours, "broken error page") {
                let detail = Excerpt::new(PageError::from(error).detail.unwrap_or_default(), LONGEST_DETAIL);
                tracing::error!(%detail, "the error page cannot be rendered");
            }
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("Something went wrong. Reference: {}", info.request_id),
            )
                .into_response()
        }
    }
}
