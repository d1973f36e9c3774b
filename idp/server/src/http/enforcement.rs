//! Enforces the policy of a route before its handler runs: reads the body, loads the browser, checks the CSRF token.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http_body_util::BodyExt;
use idp_core::ids::FlowId;
use idp_core::oauth::discovery::path;
use idp_core::oauth::logout;
use idp_core::secret::Secret;
use zeroize::Zeroizing;

use crate::http::browser::Browser;
use crate::http::cookies::Cookie;
use crate::http::csrf::{self, NotOurForm};
use crate::http::errors::{PageError, Reason, TOO_SLOW};
use crate::http::form::{self, FormBody, ProtocolBody};
use crate::http::media_type::{self, NotAForm};
use crate::http::policy::{Auth, BodyClass, Csrf, LONGEST_TARGET, Policy};
use crate::http::shares::{AddressShare, ShareKind, Taken};
use crate::state::Shared;

/// How long a body may take to arrive.
const SLOWEST_BODY: Duration = Duration::from_secs(15);

/// The middleware of one route.
pub(crate) async fn enforce(
    State((app, policy)): State<(Shared, Policy)>,
    request: Request,
    next: Next,
) -> Response {
    // HEAD uses nothing up: neither a notice nor the session.
    let is_head = request.method() == Method::HEAD;
    match pass(&app, policy, request).await {
        Ok(Passed { request, browser, room }) => {
            let response = next.run(request).await;
            drop(room);
            finish(&app, policy, browser, is_head, response)
        }
        Err(Stopped::Error(error)) => error.into_response(),
        Err(Stopped::See(page)) => Redirect::to(&page).into_response(),
    }
}

struct Passed {
    request: Request,
    browser: Option<Browser>,
    /// The body's part of the address's share. The handler has the body, so it is kept until the handler ends.
    room: Option<Taken>,
}

enum Stopped {
    Error(PageError),
    See(String),
}

impl From<PageError> for Stopped {
    fn from(error: PageError) -> Self {
        Self::Error(error)
    }
}

async fn pass(app: &Shared, policy: Policy, request: Request) -> Result<Passed, Stopped> {
    let (mut parts, body) = request.into_parts();
    let mut room =
        parts.extensions.get::<AddressShare>().and_then(|caller| caller.share.take(ShareKind::Bytes, 0));
    let body = read_body(policy, &parts.headers, body, room.as_mut()).await?;
    // Our own forms are read here, as strictly as our pages write them. Each protocol endpoint reads its own.
    let mut fields = match (&body, policy.csrf) {
        (Some(body), Csrf::Token) => Some(form::decode(body).ok_or_else(malformed)?),
        _ => None,
    };
    let browser = match policy.auth {
        Auth::Browser | Auth::SignedIn => Some(Browser::load(app, &parts.headers).await?),
        Auth::Anyone | Auth::Client | Auth::Bearer | Auth::Probe => None,
    };
    if policy.csrf == Csrf::Token {
        csrf::check(app, &parts.headers, browser.as_ref(), fields.as_mut())
            .map_err(|why| old_form(why, &parts.uri, browser.as_ref(), fields.as_deref()))?;
    }
    if policy.auth == Auth::SignedIn && browser.as_ref().is_none_or(|browser| browser.signed_in.is_none()) {
        return Err(Stopped::See("/signin".to_owned()));
    }
    // Only now, because a refused request does not count as a use of the session.
    if let Some(browser) = browser.as_ref().filter(|_| parts.method != Method::HEAD) {
        browser.touch(app).await;
    }
    match (fields, body) {
        (Some(fields), _) => drop(parts.extensions.insert(FormBody(fields))),
        (None, Some(body)) => drop(parts.extensions.insert(ProtocolBody(Arc::new(body)))),
        (None, None) => {}
    }
    if let Some(browser) = &browser {
        parts.extensions.insert(browser.clone());
    }
    Ok(Passed { request: Request::from_parts(parts, Body::empty()), browser, room })
}

fn malformed() -> PageError {
    PageError::new(Reason::BAD_REQUEST)
        .detail("the form is malformed: percent-encode UTF-8, with at most 64 fields")
}

/// The length of the body according to `Content-Length`.
fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok())
}

async fn read_body(
    policy: Policy,
    headers: &HeaderMap,
    body: Body,
    room: Option<&mut Taken>,
) -> Result<Option<Zeroizing<Vec<u8>>>, PageError> {
    let limit = match policy.body {
        BodyClass::None => return Ok(None),
        BodyClass::Form(limit) => limit,
    };
    let announced = announced(headers);
    if announced.is_some_and(|length: u64| length > limit as u64) {
        return Err(PageError::new(Reason::TOO_LARGE));
    }
    // A POST without a body, such as a userinfo call, need not name a type.
    let empty =
        announced.is_none_or(|length: u64| length == 0) && !headers.contains_key(header::TRANSFER_ENCODING);
    if empty && !headers.contains_key(header::CONTENT_TYPE) {
        return Ok(Some(Zeroizing::default()));
    }
    media_type::check(headers).map_err(not_a_form)?;
    let slow = |_| PageError::new(Reason::TIMEOUT).detail(TOO_SLOW);
    tokio::time::timeout(SLOWEST_BODY, collect(body, limit, room)).await.map_err(slow)?.map(Some)
}

/// Reads a body. Each piece counts against the share as it arrives; a length that is only announced costs nothing.
async fn collect(
    mut body: Body,
    limit: usize,
    mut room: Option<&mut Taken>,
) -> Result<Zeroizing<Vec<u8>>, PageError> {
    let mut bytes = Zeroizing::new(Vec::new());
    while let Some(frame) = body.frame().await {
        let broken = |_| PageError::new(Reason::BAD_REQUEST).detail("the body ended early");
        let Ok(piece) = frame.map_err(broken)?.into_data() else { continue };
        if piece.len() > limit - bytes.len() {
            return Err(PageError::new(Reason::TOO_LARGE));
        }
        if room.as_mut().is_some_and(|room| !room.grow(piece.len() as u64)) {
            let detail = "too many request bodies are in progress";
            return Err(
                PageError { retry_after: Some(1), ..PageError::new(Reason::UNAVAILABLE) }.detail(detail)
            );
        }
        append(&mut bytes, &piece);
    }
    Ok(bytes)
}

/// Appends. The buffer that has become too small is wiped, because the body may hold a password.
fn append(bytes: &mut Zeroizing<Vec<u8>>, piece: &[u8]) {
    let length = bytes.len() + piece.len();
    if bytes.capacity() < length {
        let mut larger = Zeroizing::new(Vec::with_capacity(length.next_power_of_two()));
        larger.extend_from_slice(bytes);
        *bytes = larger;
    }
    bytes.extend_from_slice(piece);
}

fn not_a_form(why: NotAForm) -> PageError {
    match why {
        NotAForm::Type(told) => PageError::new(Reason::MEDIA_TYPE).detail(told),
        NotAForm::Coding(told) => PageError::new(Reason::CODING).detail(told),
    }
}

/// The response to a refused form. An old one of ours leads to where its page leads by now; of any other we say why it
/// is refused, and lead to the form's page as well, which shows a fresh form.
fn old_form(
    why: NotOurForm,
    uri: &Uri,
    browser: Option<&Browser>,
    fields: Option<&[(String, Secret)]>,
) -> Stopped {
    let signed_in = browser.is_some_and(|browser| browser.signed_in.is_some());
    let fields = fields.unwrap_or_default();
    let detail = match why {
        NotOurForm::NoCookies => return PageError::new(Reason::COOKIES).into(),
        // A second click, or sign-out in another tab: the session has already ended.
        NotOurForm::Token | NotOurForm::Old if uri.path() == "/logout/confirm" && !signed_in => {
            return Stopped::See(with_request("/signed-out", fields));
        }
        NotOurForm::Old => return Stopped::See(page_again(uri, signed_in, fields, true)),
        NotOurForm::Token => "the form's token is missing, old, or of another session",
        NotOurForm::Foreign(detail) => detail,
    };
    let again = page_again(uri, signed_in, fields, false);
    PageError::new(Reason::CSRF).detail(detail).action(again, "action-try-again").into()
}

/// The page on which a form stands, with what it needs from the form. Somebody who has signed in since need not register
/// or sign in; others find the address that they typed, if the form is ours.
fn page_again(uri: &Uri, signed_in: bool, fields: &[(String, Secret)], is_ours: bool) -> String {
    let page = form::page_of(uri.path(), signed_in);
    let field =
        |wanted: &str| fields.iter().find(|(name, value)| name == wanted && !value.expose().is_empty());
    let typed = field("email").filter(|_| is_ours).map_or("", |(_, email)| email.expose());
    match (page, uri.query()) {
        ("/activate", _) => match field("token") {
            Some(token) => with_query(page, std::slice::from_ref(token)),
            None => page.to_owned(),
        },
        ("/register", query) => {
            let flow = form::field(query.unwrap_or_default(), "flow");
            match flow.and_then(|id| id.expose().parse::<FlowId>().ok()) {
                Some(flow) if signed_in => format!("/flow/{flow}"),
                None if signed_in => "/account".to_owned(),
                Some(flow) => form::with_email(&format!("/register?flow={flow}"), typed),
                None => form::with_email(page, typed),
            }
        }
        _ if !signed_in && uri.path().ends_with("/login") => form::with_email(page, typed),
        // The question whether to sign out, which an application's request had led to.
        ("/account", _) if field("request").is_some() => with_request(path::END_SESSION, fields),
        (_, Some(query)) if page == uri.path() => format!("{page}?{query}"),
        _ => page.to_owned(),
    }
}

/// A page with the sign-out request that a form carries, unless that would be too long for us. The page checks it again.
fn with_request(page: &str, fields: &[(String, Secret)]) -> String {
    let request = fields.iter().find(|(name, _)| name == "request");
    let mut pairs =
        request.and_then(|(_, request)| form::decode(request.expose().as_bytes())).unwrap_or_default();
    pairs.retain(|(name, _)| logout::is_parameter(name));
    let url = with_query(page, &pairs);
    if pairs.is_empty() || url.len() > LONGEST_TARGET { page.to_owned() } else { url }
}

fn with_query(page: &str, pairs: &[(String, Secret)]) -> String {
    format!("{page}?{}", form::encode(pairs.iter().map(|(name, value)| (name.as_str(), value.expose()))))
}

fn finish(
    app: &Shared,
    policy: Policy,
    browser: Option<Browser>,
    is_head: bool,
    mut response: Response,
) -> Response {
    let headers = response.headers_mut();
    if let Some(browser) = browser {
        let is_page = headers.get(header::CONTENT_TYPE).is_some();
        if is_page && !is_head && browser.notice.is_some() {
            headers.append(header::SET_COOKIE, Cookie::Notice.clear(&app.config));
        }
        let own = browser.is_new.then(|| browser.set_cookie(app));
        for cookie in own.into_iter().chain(browser.renamed) {
            if !sets(headers, &cookie) {
                headers.append(header::SET_COOKIE, cookie);
            }
        }
    }
    if let Some(value) = policy.cache.header().filter(|_| response.status().is_success()) {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(value));
    }
    response
}

/// Whether this cookie is already set or deleted.
fn sets(headers: &HeaderMap, cookie: &HeaderValue) -> bool {
    let name = |value: &HeaderValue| value.as_bytes().split(|byte| *byte == b'=').next().map(<[u8]>::to_vec);
    headers.get_all(header::SET_COOKIE).iter().any(|set| name(set) == name(cookie))
}
