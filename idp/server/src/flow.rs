//! Advances a flow: load what the decision depends on, call [`next_step`], do what it says.

use axum::response::{IntoResponse, Redirect, Response};
use idp_core::audit::AuditRecord;
use idp_core::client::{Client, ClientId};
use idp_core::consent::Consent;
use idp_core::flow::{Answer, Approval, FlowTarget, Situation, Step, next_step};
use idp_core::ids::FlowId;
use idp_core::oauth::authorize::AuthorizationRequest;
use idp_core::oauth::error::Refusal;
use idp_core::oauth::response::AuthorizationResponse;
use idp_core::redirect_uri::RedirectUri;
use idp_core::single_use::{AuthorizationCode, SingleUse, SingleUseDigest};
use idp_core::time::Timestamp;
use idp_store::{EndedFlow, Flow, SignedIn, StoreError, Tx};

use crate::http::context::RequestContext;
use crate::http::errors::{About, PageError, Reason};
use crate::http::form::with_email;
use crate::http::refusal_log::Fault;
use crate::pages::continue_to_client::ContinuePage;
use crate::pages::signed_in::SignedInPage;

/// What a decision needs besides the flow's row.
#[derive(Default)]
pub(crate) struct ClientAndConsent {
    pub(crate) client: Option<Client>,
    pub(crate) consent: Option<Consent>,
}

/// Starts a flow. `known` has just been read for it; `email` is an address typed elsewhere, to fill in.
/// If no page is needed, the response is returned at once; a row is written only when a page must be shown.
pub(crate) async fn start(
    context: &RequestContext,
    target: FlowTarget,
    known: ClientAndConsent,
    email: Option<&str>,
) -> Result<Response, PageError> {
    let app = &context.app;
    let now = app.clock.now();
    let flow = Flow { id: FlowId::new(now), browser: context.browser.digest(), target, started_at: now };
    match decide(context, &flow, &known, None) {
        Step::SignIn(_) | Step::Consent(_) => {
            let url = with_email(&url(flow.id), email.unwrap_or_default());
            insert(context, flow).await?;
            Ok(Redirect::to(&url).into_response())
        }
        step => FlowEnd { context, flow: &flow, known: &known, via: Via::Request }.carry_out(step).await,
    }
}

/// Writes a flow's row, because a page must be shown.
async fn insert(context: &RequestContext, flow: Flow) -> Result<(), StoreError> {
    let expires_at = flow.started_at.plus(context.app.config.lifetimes.flow);
    let write = context
        .app
        .store
        .write((flow, expires_at), |tx, (flow, expires_at)| Box::pin(tx.insert_flow(flow, *expires_at)));
    write.await
}

/// The URL of a flow's page.
pub(crate) fn url(id: FlowId) -> String {
    format!("/flow/{id}")
}

/// Where the button on the automatic redirect page leads: back to us, so that a code redeemed in the meantime is
/// not sent a second time.
fn button_url(id: FlowId) -> String {
    format!("{}?go=1", url(id))
}

/// A flow, open or over.
pub(crate) enum FlowState {
    Open(Flow),
    Over(EndedFlow),
}

/// Finds this browser's flow. Any other browser gets the same error, whether the flow is open or over.
pub(crate) async fn find(context: &RequestContext, id: &str) -> Result<FlowState, PageError> {
    // The text is not logged: what is no ID may be a secret.
    let id: FlowId =
        id.parse().map_err(|_| expired().detail("the path has something else in place of an ID"))?;
    let gone = || expired().about(About::id("flow", &id));
    let found = context
        .app
        .store
        .read((id, context.app.clock.now()), |db, (id, now)| {
            Box::pin(async move {
                match db.flow(*id, *now).await? {
                    Some(flow) => Ok(Some(FlowState::Open(flow))),
                    None => Ok(db.ended_flow(*id, *now).await?.map(FlowState::Over)),
                }
            })
        })
        .await?
        .ok_or_else(gone)?;
    let (FlowState::Open(flow) | FlowState::Over(EndedFlow { flow, .. })) = &found;
    if flow.browser != context.browser.digest() {
        let why = match context.browser.is_new {
            true => "the request has no browser cookie",
            false => "this flow began in another browser",
        };
        let error = PageError::new(Reason::FLOW_FOREIGN).detail(why);
        return Err(error.about(About::client_of(&flow.target)).action("/signin", "action-start-again"));
    }
    Ok(found)
}

/// This browser's open flow, for pages outside the flow. `None` if it is over or cannot be loaded, for whatever reason.
pub(crate) async fn find_open(
    context: &RequestContext,
    id: Option<&str>,
) -> Option<(Flow, ClientAndConsent)> {
    let FlowState::Open(flow) = find(context, id?).await.ok()? else { return None };
    let known = load(context, &flow.target).await.ok()?;
    Some((flow, known))
}

/// The response for a flow that is over: the authorization response once more while it is still usable; then, if the
/// client got a code, its https start page, or, if it redeemed the code, a page that says that the sign-in is done;
/// otherwise a page that says how the flow ended and links back to the client.
///
/// If the response is a redirect, only a second click on the same form gets it again. Reload and Back do not: each
/// would start the client's app again.
pub(crate) async fn replay(
    context: &RequestContext,
    ended: &EndedFlow,
    via: Via,
) -> Result<Response, PageError> {
    let FlowTarget::Client(request) = &ended.flow.target else {
        return if ended.answered { Ok(to_home_page()) } else { Err(expired()) };
    };
    let id = request.client_id.clone();
    let Some(client) = context.app.store.read(id, |db, id| Box::pin(db.client(id))).await? else {
        return Err(already_over(&ended.flow, ended.answered));
    };
    let response = opened(context, ended);
    let unchanged = client.enabled && client.epoch == request.client_epoch;
    let shown = unchanged && (request.target.uri().is_https() || matches!(via, Via::Form(_)));
    if let Some(response) = response.as_ref().filter(|_| shown)
        && is_usable(context, response).await?
    {
        let known = ClientAndConsent { client: Some(client), consent: None };
        return FlowEnd { context, flow: &ended.flow, known: &known, via }
            .redirect_to_client(request, response);
    }
    // Nothing is left to say about a sign-in, so the browser goes to the client.
    let code = response.as_ref().and_then(AuthorizationResponse::code).filter(|_| client.enabled);
    let home = client.home_uri.as_ref().filter(|_| code.is_some());
    let web_home = home.filter(|home| home.is_https());
    if web_home.is_none() && !(unchanged && was_redeemed(context, code).await?) {
        let reason = if ended.answered { Reason::FLOW_CLOSED } else { Reason::FLOW_EXPIRED_APP };
        return Err(back_to(&client, reason));
    }
    // After a form no redirect may lead to an https client; the page after this one goes on.
    if matches!(via, Via::Form(_)) {
        return Ok(Redirect::to(&url(ended.flow.id)).into_response());
    }
    let name = client.name.to_string();
    match web_home {
        Some(home) => ContinuePage::home(name, home.as_str()).show(context),
        None => SignedInPage::new(name, home.map(RedirectUri::as_str)).show(context),
    }
}

/// The authorization response that closed a flow.
fn opened(context: &RequestContext, ended: &EndedFlow) -> Option<AuthorizationResponse> {
    let app = &context.app;
    match AuthorizationResponse::open(&app.ring, ended.flow.id, ended.sealed_response.as_ref()?) {
        Ok(response) => Some(response),
        // Another node sealed it under a newer key, or somebody altered the row. It lasts only a minute anyway.
        Err(error) => {
            if app.refusals.admits(Fault::Ours, "sealed response") {
                tracing::warn!(request_id = context.info.request_id, %error, "cannot open a flow's sealed response");
            }
            None
        }
    }
}

/// Whether an answer may be sent again: it has not expired, its code can still be redeemed, and the code was issued in
/// this browser's current session.
async fn is_usable(context: &RequestContext, response: &AuthorizationResponse) -> Result<bool, PageError> {
    let (app, now) = (&context.app, context.app.clock.now());
    match (response.code(), &context.browser.signed_in) {
        _ if now >= response.expires_at() => Ok(false),
        (None, _) => Ok(true),
        (Some(digest), Some(SignedIn { session, .. })) => {
            let input = (digest.clone(), session.id, now);
            let read = app.store.read(input, |db, (digest, session, now)| {
                Box::pin(db.code_is_usable(digest, *session, *now))
            });
            Ok(read.await?)
        }
        (Some(_), None) => Ok(false),
    }
}

/// Whether the client redeemed this code, issued in this browser's current session: the person is signed in there.
async fn was_redeemed(
    context: &RequestContext,
    code: Option<&SingleUseDigest<AuthorizationCode>>,
) -> Result<bool, PageError> {
    let (Some(code), Some(SignedIn { session, .. })) = (code, &context.browser.signed_in) else {
        return Ok(false);
    };
    let input = (code.clone(), session.id);
    let read =
        context.app.store.read(input, |db, (code, session)| Box::pin(db.code_was_redeemed(code, *session)));
    Ok(read.await?)
}

/// The error page of a flow that ends here: it names the client and links to it.
fn back_to(client: &Client, reason: Reason) -> PageError {
    let about = About { app: Some(client.name.to_string()), ..About::client(&client.id) };
    let page = PageError::new(reason).about(about);
    match &client.home_uri {
        Some(home) => page.action(home.as_str(), "action-back-to-app"),
        None => page,
    }
}

/// The client, and what the signed-in person has allowed it.
pub(crate) async fn client_and_consent(
    context: &RequestContext,
    client: ClientId,
) -> Result<ClientAndConsent, StoreError> {
    let store = &context.app.store;
    let Some(SignedIn { user, .. }) = &context.browser.signed_in else {
        let client = store.read(client, |db, id| Box::pin(db.client(id))).await?;
        return Ok(ClientAndConsent { client, consent: None });
    };
    let found =
        store.read((client, user.id), |db, (id, user)| Box::pin(db.client_and_consent(id, *user))).await?;
    Ok(found.map_or_else(ClientAndConsent::default, |(client, consent)| ClientAndConsent {
        client: Some(client),
        consent,
    }))
}

/// Loads what an open flow needs. Fails if its client has since been deleted, disabled or changed.
pub(crate) async fn load(
    context: &RequestContext,
    target: &FlowTarget,
) -> Result<ClientAndConsent, PageError> {
    let FlowTarget::Client(request) = target else { return Ok(ClientAndConsent::default()) };
    let known = client_and_consent(context, request.client_id.clone()).await?;
    match known.client.as_ref().filter(|client| client.enabled) {
        None => {
            let why = "the client was deleted or disabled while the flow was open";
            Err(PageError::new(Reason::CLIENT_UNKNOWN).detail(why).about(About::client(&request.client_id)))
        }
        // The request was checked against what the client was allowed at that time.
        Some(client) if client.epoch != request.client_epoch => {
            Err(back_to(client, Reason::FLOW_CHANGED)
                .detail("the client was changed while the flow was open"))
        }
        Some(_) => Ok(known),
    }
}

/// Calls [`next_step`].
pub(crate) fn decide(
    context: &RequestContext,
    flow: &Flow,
    known: &ClientAndConsent,
    answer: Option<Answer>,
) -> Step {
    next_step(Situation {
        target: &flow.target,
        client: known.client.as_ref(),
        started_at: flow.started_at,
        session: context.browser.signed_in.as_ref().map(|signed_in| &signed_in.session),
        consent: known.consent.as_ref(),
        answer,
        now: context.app.clock.now(),
    })
}

/// The request with which a flow leaves our pages. It decides how the browser gets to the client.
pub(crate) enum Via {
    /// `GET /authorize`: no page was shown, the flow has no row, and the response is a redirect.
    Request,
    /// `GET /flow/ID`.
    Page,
    /// The button on the automatic redirect page.
    Button,
    /// One of our forms, with the audit record of what the person decided in it.
    Form(Option<AuditRecord>),
}

/// A flow about to leave our pages: to the client with a code or an error, or to the person's account page.
pub(crate) struct FlowEnd<'a> {
    pub(crate) context: &'a RequestContext,
    pub(crate) flow: &'a Flow,
    pub(crate) known: &'a ClientAndConsent,
    pub(crate) via: Via,
}

/// What the write that closes a flow stores.
struct ClosingWrite {
    /// `None` if the flow has no row.
    flow: Option<FlowId>,
    sealed_response: Option<String>,
    decision: Option<AuditRecord>,
    now: Timestamp,
}

impl FlowEnd<'_> {
    /// Carries out the step, in one write.
    pub(crate) async fn carry_out(self, step: Step) -> Result<Response, PageError> {
        match (step, &self.flow.target) {
            (Step::Issue(approval), _) => self.issue(approval).await,
            (Step::Refuse(refusal), FlowTarget::Client(request)) => self.refuse(request, refusal).await,
            (Step::ShowAccount, _) => match self.close(None).await? {
                true => Ok(Redirect::to("/account").into_response()),
                false => Ok(to_home_page()),
            },
            _ => Err(PageError::new(Reason::INTERNAL).detail("a step that needs a page cannot end a flow")),
        }
    }

    /// Sends the browser to the client. After a form, browsers apply its page's `form-action` to every redirect that
    /// follows, including those of the client's callback. So after one of our forms, an https client is reached from
    /// the automatic redirect page. In all other cases a redirect is better: an in-app browser may open another app
    /// only after a gesture, and a redirect after a tap counts as one.
    fn redirect_to_client(
        &self,
        request: &AuthorizationRequest,
        response: &AuthorizationResponse,
    ) -> Result<Response, PageError> {
        let name = self.known.client.as_ref().map(|client| client.name.to_string());
        match &self.via {
            Via::Form(_) if request.target.uri().is_https() => {
                Ok(Redirect::to(&url(self.flow.id)).into_response())
            }
            Via::Page if request.target.uri().is_https() => {
                let (url, button) = (response.location().expose(), button_url(self.flow.id));
                ContinuePage::signed_in(name.unwrap_or_default(), url, &button).show(self.context)
            }
            _ => Ok(Redirect::to(response.location().expose()).into_response()),
        }
    }

    fn is_stored(&self) -> bool {
        !matches!(self.via, Via::Request)
    }

    fn closing_write(&self, response: Option<&AuthorizationResponse>) -> Result<ClosingWrite, PageError> {
        let flow = self.is_stored().then_some(self.flow.id);
        let seal = |response: &AuthorizationResponse| response.seal(&self.context.app.ring, self.flow.id);
        let sealed_response = match response.filter(|_| flow.is_some()).map(seal).transpose() {
            Ok(sealed) => sealed,
            Err(error) => return Err(PageError::broken("seal", &error)),
        };
        let decision = match &self.via {
            Via::Form(decision) => decision.clone(),
            Via::Request | Via::Page | Via::Button => None,
        };
        Ok(ClosingWrite { flow, sealed_response, decision, now: self.context.app.clock.now() })
    }

    /// Closes the flow and records what the person decided. `false`: another request has already closed it.
    async fn close(&self, response: Option<&AuthorizationResponse>) -> Result<bool, PageError> {
        let closing = self.closing_write(response)?;
        if closing.flow.is_none() && closing.decision.is_none() {
            return Ok(true);
        }
        let write = self.context.app.store.write(closing, |tx, closing| Box::pin(closing.save(tx)));
        Ok(write.await?)
    }

    async fn refuse(self, request: &AuthorizationRequest, refusal: Refusal) -> Result<Response, PageError> {
        let config = &self.context.app.config;
        let until = self.context.app.clock.now().plus(config.lifetimes.code);
        let response = AuthorizationResponse::error(&request.target, config.issuer.as_str(), refusal, until);
        if !self.close(Some(&response)).await? {
            return self.already_closed().await;
        }
        let (request_id, client_id) = (&self.context.info.request_id, request.client_id.as_str());
        let (code, detail) = (refusal.code.as_str(), refusal.hint);
        if self.context.app.refusals.admits(Fault::Theirs, code) {
            tracing::info!(request_id, code, client_id, detail, "authorization refused");
        }
        self.redirect_to_client(request, &response)
    }

    /// Closes the flow with its response, stores the consent and stores the code: one write, all or nothing.
    async fn issue(self, approval: Box<Approval>) -> Result<Response, PageError> {
        let app = &self.context.app;
        let request = approval.request();
        let code = SingleUse::generate();
        let issued = approval.code(&app.config.lifetimes, app.clock.now());
        let issuer = app.config.issuer.as_str();
        let response = AuthorizationResponse::success(&request.target, issuer, &code, issued.expires_at);
        let input = (self.closing_write(Some(&response))?, code.digest(), issued, request.client_epoch);
        let write = app.store.write(input, |tx, (closing, digest, code, client_epoch)| {
            Box::pin(async move {
                if !closing.save(tx).await? {
                    return Ok(false);
                }
                if closing.decision.is_some() {
                    let facts = &code.facts;
                    tx.remember_consent(facts.user_id, &facts.client_id, &facts.scope, closing.now).await?;
                }
                if tx.insert_code(digest, code, *client_epoch).await? {
                    return Ok(true);
                }
                // Since then the session ended, or user or client changed: the flow must stay open for another try.
                Err(StoreError::Conflict("the session ended, or the user or client changed"))
            })
        });
        match write.await {
            Ok(true) => self.redirect_to_client(request, &response),
            Ok(false) => self.already_closed().await,
            // The flow's page shows what is needed now.
            Err(StoreError::Conflict(_)) => {
                if !self.is_stored() {
                    insert(self.context, self.flow.clone()).await?;
                }
                Ok(Redirect::to(&url(self.flow.id)).into_response())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The second of two tabs or clicks: the client has its response already; the browser is sent there all the same.
    async fn already_closed(self) -> Result<Response, PageError> {
        let input = (self.flow.id, self.context.app.clock.now());
        let ended = self.context.app.store.read(input, |db, (id, now)| Box::pin(db.ended_flow(*id, *now)));
        match ended.await? {
            Some(ended) => replay(self.context, &ended, self.via).await,
            None => Err(expired()),
        }
    }
}

impl ClosingWrite {
    /// `false`: the flow was already closed; nothing is written.
    async fn save(&self, tx: &mut Tx) -> Result<bool, StoreError> {
        if let Some(id) = self.flow
            && !tx.close_flow(id, self.sealed_response.as_deref(), self.now).await?
        {
            return Ok(false);
        }
        if let Some(record) = &self.decision {
            tx.audit(record).await?;
        }
        Ok(true)
    }
}

/// Back, or a second tab, after a sign-in that led to the person's own pages: goes there.
fn to_home_page() -> Response {
    Redirect::to("/").into_response()
}

/// A flow that is over and whose client no longer exists.
fn already_over(flow: &Flow, answered: bool) -> PageError {
    if answered {
        PageError::new(Reason::FLOW_ANSWERED).about(About::client_of(&flow.target))
    } else {
        expired()
    }
}

/// The flow expired long ago or never existed.
fn expired() -> PageError {
    PageError::new(Reason::FLOW_EXPIRED).action("/signin", "action-start-again")
}
