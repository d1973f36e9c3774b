//! Sign-out: the end-session endpoint (RP-Initiated Logout 1.0), the confirmation page, and the page afterwards.

use axum::Extension;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use idp_core::audit::{Actor, AuditEvent};
use idp_core::client::{Client, ClientId};
use idp_core::oauth::discovery::path;
use idp_core::oauth::logout::{
    self, AfterLogout, Logout, LogoutFlaw, LogoutRequest, LogoutTarget, RepeatedParameter,
};
use idp_core::oauth::params::Params;
use idp_core::redirect_uri::RedirectUri;
use serde::{Deserialize, Serialize};

use super::authorize::{redirect_as_get, sent};
use crate::http::address::RequestInfo;
use crate::http::context::RequestContext;
use crate::http::cookies::Cookie;
use crate::http::errors::{About, Explanation, Fix, PageError, Reason, Registered};
use crate::http::form::{self, Form, LenientQuery, ProtocolBody};
use crate::http::html::Page;
use crate::http::policy::LONGEST_TARGET;
use crate::http::refusal_log::Fault;
use crate::pages::continue_to_client::ContinuePage;
use crate::state::Shared;
use crate::text::catalogue::Arg;

/// `GET /logout`: signs out at once if a client proves that it asks for this very session, otherwise asks the person.
pub(crate) async fn get(context: RequestContext, uri: Uri) -> Result<Response, PageError> {
    let params = parameters(&context.app, &context.info, uri.query().unwrap_or_default().as_bytes())?;
    let asked = SignOutRequest::read(&context, &params).await?;
    if asked.logout.needs_confirmation {
        asked.confirmation_page(&context)
    } else {
        asked.sign_out(&context, false).await
    }
}

/// `POST /logout`: the same request as a form. It is turned into a GET, which carries the session cookie.
pub(crate) async fn post(
    State(app): State<Shared>,
    Extension(info): Extension<RequestInfo>,
    ProtocolBody(body): ProtocolBody,
) -> Result<Response, PageError> {
    let params = parameters(&app, &info, &body)?;
    Ok(redirect_as_get(path::END_SESSION, &params, logout::is_parameter))
}

/// The parameters of a sign-out request. Nothing that cannot be decoded keeps a person from signing out. Of what is
/// ignored the log tells; what counts as bad is logged as such.
fn parameters(app: &Shared, info: &RequestInfo, text: &[u8]) -> Result<Params, PageError> {
    let params = form::protocol_with(text, logout::is_parameter, logout::undecodable)?;
    if let Some(name) = form::undecodable(text, logout::is_optional)
        && app.refusals.admits(Fault::Theirs, "sign-out parameter ignored")
    {
        let (request_id, client_id) = (&info.request_id, About::claimed(&params).client_id);
        let detail = format!("{name} cannot be decoded: percent-encode UTF-8, without NUL");
        tracing::info!(request_id, client_id, detail, "sign-out parameter ignored");
    }
    Ok(params)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfirmForm {
    /// The query of the original request. It is checked again from scratch.
    #[serde(default)]
    request: String,
}

/// `POST /logout/confirm`: the person confirmed.
pub(crate) async fn confirm(
    context: RequestContext,
    Form(form): Form<ConfirmForm>,
) -> Result<Response, PageError> {
    let pairs = form::decode(form.request.as_bytes()).ok_or_else(|| PageError::new(Reason::BAD_REQUEST))?;
    SignOutRequest::read(&context, &Params::of_form(pairs)).await?.sign_out(&context, true).await
}

/// A sign-out request, and what was decided about it.
struct SignOutRequest<'a> {
    params: &'a Params,
    /// The client registered under the request's client ID.
    client: Option<Client>,
    logout: Logout,
    about: About,
}

impl<'a> SignOutRequest<'a> {
    async fn read(context: &RequestContext, params: &'a Params) -> Result<Self, PageError> {
        let keys = context.app.keys.load();
        let request = LogoutRequest::read(params, &keys.tokens).map_err(|why| repeated(why, params))?;
        let client = match request.client_id().cloned() {
            Some(id) => context.app.store.read(id, |db, id| Box::pin(db.client(id))).await?,
            None => None,
        };
        let session = context.browser.signed_in.as_ref().map(|signed_in| &signed_in.session);
        let logout = request.decide(client.as_ref(), session);
        let about = request.client_id().map_or_else(|| About::claimed(params), About::client);
        let about = about.parameter(logout.flaw.map(LogoutFlaw::parameter), params);
        Ok(Self { params, client, logout, about })
    }

    /// The client, if it is enabled. Only then may a page name it.
    fn enabled(&self) -> Option<&Client> {
        self.client.as_ref().filter(|client| client.enabled)
    }

    /// Logs what is wrong with the request and what was done.
    fn log_flaw(&self, context: &RequestContext, done: &'static str) {
        let admits = |flaw: &LogoutFlaw| context.app.refusals.admits(Fault::Theirs, flaw.rule());
        let Some(flaw) = self.logout.flaw.filter(admits) else { return };
        let About { client_id, value, .. } = &self.about;
        let (request_id, client_id, value) =
            (&context.info.request_id, client_id.as_deref(), value.as_deref());
        tracing::info!(request_id, client_id, detail = flaw.rule(), value, "{done}");
    }

    /// The error page after sign-out: it says that the person is signed out, and why they are not sent back to the
    /// client.
    fn refusal(&self, flaw: LogoutFlaw) -> PageError {
        let error = PageError {
            explanation: Some(Box::new(self.explanation(flaw))),
            notice: Some("signed-out-title"),
            ..PageError::new(reason(flaw)).detail(flaw.rule())
        };
        match self.enabled() {
            Some(Client { name, home_uri: Some(home), .. }) => {
                let about = About { app: Some(name.to_string()), ..self.about.clone() };
                error.about(about).action(home.as_str(), "action-back-to-app")
            }
            _ => error.about(self.about.clone()),
        }
    }

    /// Shown in `dev` only.
    fn explanation(&self, flaw: LogoutFlaw) -> Explanation {
        Explanation {
            reason: flaw.rule().to_owned(),
            sent: sent(self.params),
            registered: self.client.as_ref().map(registered).unwrap_or_default(),
            differs: Some(flaw.parameter()),
            fix: self
                .enabled()
                .filter(|_| flaw == LogoutFlaw::UnregisteredUri)
                .and_then(|client| fix(self.params, client)),
        }
    }
}

fn repeated(RepeatedParameter(name): RepeatedParameter, params: &Params) -> PageError {
    let why = "each parameter must be sent once";
    let explanation = Explanation {
        reason: why.to_owned(),
        sent: sent(params),
        registered: Vec::new(),
        differs: None,
        fix: None,
    };
    let about = About::claimed(params).parameter(Some(name), params);
    let error = PageError::new(Reason::PARAMETER_REPEATED).detail(why).about(about);
    PageError { explanation: Some(Box::new(explanation)), ..error }
}

/// What the confirmation page says about a flaw: the key of the sentence, and the page's `data-reason`.
fn flaw_text(flaw: LogoutFlaw) -> (&'static str, &'static str) {
    match flaw {
        LogoutFlaw::BadHint => ("sign-out-bad-hint", reason(flaw).key),
        LogoutFlaw::HintOfAnotherClient => ("sign-out-hint-client", reason(flaw).key),
        LogoutFlaw::OtherSession => ("sign-out-hint-session", "id-token-hint-session"),
        LogoutFlaw::UnknownClient => ("sign-out-unknown-client", reason(flaw).key),
        LogoutFlaw::NoClient => ("sign-out-no-client", reason(flaw).key),
        LogoutFlaw::UnregisteredUri => ("sign-out-uri", reason(flaw).key),
    }
}

/// Which page says, after sign-out, why the person is not sent on.
fn reason(flaw: LogoutFlaw) -> Reason {
    match flaw {
        // A hint of another session does not prevent the return, so `OtherSession` never gets here.
        LogoutFlaw::BadHint | LogoutFlaw::OtherSession => Reason::HINT_INVALID,
        LogoutFlaw::HintOfAnotherClient => Reason::HINT_CLIENT,
        LogoutFlaw::UnknownClient => Reason::CLIENT_UNKNOWN,
        LogoutFlaw::NoClient => Reason::HINT_MISSING,
        LogoutFlaw::UnregisteredUri => Reason::POST_LOGOUT_URI,
    }
}

fn registered(client: &Client) -> Vec<Registered> {
    let uris = client.post_logout_redirect_uris.iter().map(ToString::to_string).collect();
    vec![
        Registered { name: "client_id", values: vec![client.id.to_string()] },
        Registered { name: "post_logout_redirect_uri", values: uris },
    ]
}

/// The command that would make this request valid.
fn fix(params: &Params, client: &Client) -> Option<Fix> {
    let uri = params.get("post_logout_redirect_uri").filter(|uri| RedirectUri::parse_new(uri).is_ok())?;
    Some(Fix::about("client add-post-logout-redirect-uri", &[client.id.as_str(), uri], ""))
}

impl SignOutRequest<'_> {
    /// Ends the session, if there is one, and sends the browser on. `by_form`: one of our forms was sent.
    async fn sign_out(&self, context: &RequestContext, by_form: bool) -> Result<Response, PageError> {
        end_session(context).await?;
        if self.logout.then == AfterLogout::Stay {
            // No page shows the flaw.
            self.log_flaw(context, "signed out");
        }
        let mut response = match (&self.logout.then, &self.client) {
            (AfterLogout::Refuse(flaw), _) => self.refusal(*flaw).into_response(),
            (AfterLogout::Return(target), Some(client)) if by_form && target.uri().is_https() => {
                let page = by_our_page(client, target);
                match page.len() > LONGEST_TARGET {
                    // It shows the same page at once. A reload then says that the person is signed out.
                    true => {
                        ContinuePage::signed_out(client.name.to_string(), &target.location()).show(context)?
                    }
                    false => Redirect::to(&page).into_response(),
                }
            }
            (AfterLogout::Return(target), _) => Redirect::to(&target.location()).into_response(),
            (AfterLogout::Stay, client) => Redirect::to(&afterwards(client.as_ref())).into_response(),
        };
        response.headers_mut().append(header::SET_COOKIE, Cookie::Session.clear(&context.app.config));
        Ok(response)
    }
}

async fn end_session(context: &RequestContext) -> Result<(), PageError> {
    let Some(signed_in) = &context.browser.signed_in else { return Ok(()) };
    let (id, user) = (signed_in.session.id, signed_in.user.id);
    let record = context.audit(AuditEvent::SignedOut, Actor::User(user), Some(user.to_string()));
    let write = context.app.store.write((id, record), |tx, (id, record)| {
        Box::pin(async move {
            if tx.end_session(*id, record.at).await? {
                tx.audit(record).await?;
            }
            Ok(())
        })
    });
    Ok(write.await?)
}

/// Our own page, which leads back to the client that asked.
fn afterwards(client: Option<&Client>) -> String {
    match client {
        Some(client) => format!("/signed-out?client_id={}", client.id),
        None => "/signed-out".to_owned(),
    }
}

/// Our page that goes on to the client: after one of our forms, no redirect may lead to an https client
/// ([`RedirectUri::is_https`]).
fn by_our_page(client: &Client, target: &LogoutTarget) -> String {
    let pairs = std::iter::once(("client_id", client.id.as_str())).chain(target.params());
    format!("/signed-out?{}", form::encode(pairs))
}

#[derive(Serialize)]
struct SignOutPage<'a> {
    action: &'static str,
    email: &'a str,
    request: String,
    /// For people who did not want to sign out.
    stay_url: String,
    flaw: Option<Flaw>,
    dev_detail: Option<Explanation>,
    dev_fix: Option<String>,
    #[serde(skip)]
    brand_name: &'a str,
}

/// What is wrong with the request.
#[derive(Serialize)]
struct Flaw {
    reason: &'static str,
    text: String,
    asked_client: Option<String>,
}

impl Page for SignOutPage<'_> {
    const TEMPLATE: &'static str = "pages/sign_out.html";
    const TITLE: &'static str = "sign-out-title";
    fn title_args(&self) -> Vec<Arg<'_>> {
        vec![("brand", self.brand_name.into())]
    }
}

impl SignOutRequest<'_> {
    /// The confirmation page. Its form carries what counts of the original request: the page afterwards needs it.
    fn confirmation_page(&self, context: &RequestContext) -> Result<Response, PageError> {
        let app = &context.app;
        let Logout { flaw, then, .. } = &self.logout;
        self.log_flaw(context, "asked before signing out");
        let email = context.browser.signed_in.as_ref().map(|signed_in| signed_in.user.email.as_str());
        let kept = match then {
            AfterLogout::Stay => String::new(),
            AfterLogout::Return(_) | AfterLogout::Refuse(_) => {
                form::encode(self.params.iter().filter(|(name, _)| logout::is_parameter(name)))
            }
        };
        let source = match then {
            AfterLogout::Return(target) => target.uri().form_source(),
            AfterLogout::Stay | AfterLogout::Refuse(_) => None,
        };
        let home = self.enabled().and_then(|client| client.home_uri.as_ref());
        let dev_detail = flaw.filter(|_| app.config.dev).map(|flaw| self.explanation(flaw));
        let fix = dev_detail.as_ref().and_then(|detail| detail.fix.as_ref());
        let page = SignOutPage {
            action: "/logout/confirm",
            email: email.unwrap_or_default(),
            request: kept,
            stay_url: home.map_or_else(|| "/account".to_owned(), |home| home.as_str().to_owned()),
            flaw: flaw.map(|flaw| {
                let (key, reason) = flaw_text(flaw);
                let text = app.renderer.catalogue.text(key, &[]);
                Flaw { reason, text, asked_client: self.about.shown_client("app") }
            }),
            dev_fix: fix.map(|fix| app.config.command.line(fix.verb, &fix.arguments)),
            dev_detail,
            brand_name: &app.config.brand,
        };
        Ok(context.page(&page)?.form_target(source).into_response())
    }
}

#[derive(Serialize)]
struct SignedOutPage {
    app: Option<AppLink>,
    login_url: &'static str,
}

#[derive(Serialize)]
struct AppLink {
    name: String,
    url: String,
}

impl Page for SignedOutPage {
    const TEMPLATE: &'static str = "pages/signed_out.html";
    const TITLE: &'static str = "signed-out-title";
}

/// `GET /signed-out`: goes on to the registered URI at which the sign-out should end, or links to the registered home
/// page of the named client. Somebody who is signed in, perhaps since in another tab, is asked instead.
pub(crate) async fn signed_out(
    context: RequestContext,
    LenientQuery(query): LenientQuery,
) -> Result<Response, PageError> {
    // Goes on only if nobody is signed in: a session means that somebody signed in since or followed a stranger's link.
    if context.browser.signed_in.is_none()
        && let Ok(SignOutRequest { client: Some(client), logout, .. }) =
            SignOutRequest::read(&context, &query).await
        && let AfterLogout::Return(target) = logout.then
        && target.uri().is_https()
    {
        return ContinuePage::signed_out(client.name.to_string(), &target.location()).show(&context);
    }
    // This page would be untrue, and the question tells the truth.
    if context.browser.signed_in.is_some() {
        return Ok(Redirect::to("/logout").into_response());
    }
    let client = match query.get("client_id").and_then(|id| ClientId::parse(id).ok()) {
        Some(id) => context.app.store.read(id, |db, id| Box::pin(db.client(id))).await?,
        None => None,
    };
    let app = client.filter(|client| client.enabled).and_then(|client| {
        let home = client.home_uri?;
        Some(AppLink { name: client.name.to_string(), url: home.as_str().to_owned() })
    });
    Ok(context.page(&SignedOutPage { app, login_url: "/signin" })?.into_response())
}
