//! The one way forward in a flow: load what the decision depends on, ask [`next_step`], do what it says.

use axum::response::{IntoResponse, Redirect, Response};
use idp_core::audit::AuditRecord;
use idp_core::client::{Client, ClientId};
use idp_core::consent::Consent;
use idp_core::flow::{Answer, Approval, FlowTarget, Situation, Step, next_step};
use idp_core::ids::FlowId;
use idp_core::oauth::authorize::AuthorizationRequest;
use idp_core::oauth::error::Refusal;
use idp_core::oauth::response::AuthorizationResponse;
use idp_core::single_use::SingleUse;
use idp_core::time::Timestamp;
use idp_store::{EndedFlow, Flow, SignedIn, StoreError, Tx};

use crate::http::context::RequestContext;
use crate::http::errors::{About, PageError, Reason};
use crate::http::form::with_email;
use crate::http::refusal_log::Fault;
use crate::pages::onward::Onward;

/// What is known of a flow beside its row.
#[derive(Default)]
pub(crate) struct ClientAndConsent {
    pub(crate) client: Option<Client>,
    pub(crate) consent: Option<Consent>,
}

/// Starts a flow, with what has just been read for it, and the address that was typed elsewhere.
/// What can be answered at once is answered at once; a row is written only when a page must be shown.
pub(crate) async fn begin(
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
            let (url, expires_at) =
                (with_email(&url(flow.id), email.unwrap_or_default()), now.plus(app.config.lifetimes.flow));
            app.store
                .write((flow, expires_at), |tx, (flow, expires_at)| {
                    Box::pin(tx.insert_flow(flow, *expires_at))
                })
                .await?;
            Ok(Redirect::to(&url).into_response())
        }
        step => FlowAnswer { context, flow: &flow, known: &known, via: Via::Request }.with(step).await,
    }
}

/// The page of a flow.
pub(crate) fn url(id: FlowId) -> String {
    format!("/flow/{id}")
}

/// Where the button of the page that goes on by itself leads: here, so that a code that was redeemed meanwhile is not
/// sent a second time.
fn button_url(id: FlowId) -> String {
    format!("{}?go=1", url(id))
}

/// A flow as it stands.
pub(crate) enum FlowState {
    Open(Flow),
    Over(EndedFlow),
}

/// The browser's own flow. Another browser is told the same of one that is open and one that is over.
pub(crate) async fn find(context: &RequestContext, id: &str) -> Result<FlowState, PageError> {
    let id: FlowId = id.parse().map_err(|_| expired())?;
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
        .ok_or_else(expired)?;
    let (FlowState::Open(flow) | FlowState::Over(EndedFlow { flow, .. })) = &found;
    if flow.browser != context.browser.digest() {
        let error = PageError::new(Reason::FLOW_FOREIGN).detail("this flow began in another browser");
        return Err(error.about(About::client_of(&flow.target)).action("/signin", "action-start-again"));
    }
    Ok(found)
}

/// The browser's own open flow and what is known of it, for pages beside it: one that has ended, for whatever reason, is
/// none.
pub(crate) async fn under_way(
    context: &RequestContext,
    id: Option<&str>,
) -> Option<(Flow, ClientAndConsent)> {
    let FlowState::Open(flow) = find(context, id?).await.ok()? else { return None };
    let known = load(context, &flow.target).await.ok()?;
    Some((flow, known))
}

/// What a flow that is over answers: the client's answer once more, as long as it is good for something, else how the
/// flow ended and the way back to the client.
///
/// Where the answer is a redirect, only a second click on the same form gets it again. A reload or Back does not: it would
/// start the application each time.
pub(crate) async fn again(
    context: &RequestContext,
    ended: &EndedFlow,
    via: Via,
) -> Result<Response, PageError> {
    let FlowTarget::Client(request) = &ended.flow.target else {
        return if ended.answered { Ok(entered()) } else { Err(expired()) };
    };
    let id = request.client_id.clone();
    let Some(client) = context.app.store.read(id, |db, id| Box::pin(db.client(id))).await? else {
        return Err(over(&ended.flow, ended.answered));
    };
    let unchanged = client.enabled && client.epoch == request.client_epoch;
    let shown = unchanged && (request.target.uri().is_https() || matches!(via, Via::Form(_)));
    if let Some(response) = kept(context, ended).await?.filter(|_| shown) {
        let known = ClientAndConsent { client: Some(client), consent: None };
        return FlowAnswer { context, flow: &ended.flow, known: &known, via }.go(request, &response);
    }
    Err(back_to(&client, if ended.answered { Reason::FLOW_CLOSED } else { Reason::FLOW_EXPIRED_APP }))
}

/// The answer that closed a flow, while it may be sent again: its time has not run out, its code can still be redeemed,
/// and the session it was issued in is the one that lives in this browser.
async fn kept(
    context: &RequestContext,
    ended: &EndedFlow,
) -> Result<Option<AuthorizationResponse>, PageError> {
    let (app, now) = (&context.app, context.app.clock.now());
    let Some(sealed) = &ended.sealed_response else { return Ok(None) };
    let response = match AuthorizationResponse::open(&app.ring, ended.flow.id, sealed) {
        Ok(response) => response,
        // Another node sealed it under a newer key, or somebody altered the row. It is good for a minute anyway.
        Err(error) => {
            if app.refusals.admits(Fault::Ours, "sealed answer") {
                tracing::warn!(request_id = context.info.request_id, %error, "a flow's kept answer does not open");
            }
            return Ok(None);
        }
    };
    let usable = match response.code() {
        _ if now >= response.expires_at() => false,
        None => true,
        Some(digest) => match &context.browser.signed_in {
            Some(SignedIn { session, .. }) => {
                let input = (digest.clone(), session.id, now);
                let read = app.store.read(input, |db, (digest, session, now)| {
                    Box::pin(db.code_is_usable(digest, *session, *now))
                });
                read.await?
            }
            None => false,
        },
    };
    Ok(usable.then_some(response))
}

/// A flow that ends here: the page names the application, and leads there.
fn back_to(client: &Client, reason: Reason) -> PageError {
    let about = About { app: Some(client.name.to_string()), ..About::client(&client.id) };
    let page = PageError::new(reason).about(about);
    match &client.home_uri {
        Some(home) => page.action(home.as_str(), "action-back-to-app"),
        None => page,
    }
}

/// The client and what the signed-in person allowed it.
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

/// What is known of a flow that is under way, while its client is what it was.
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
        // It was checked against what the client might do then.
        Some(client) if client.epoch != request.client_epoch => {
            Err(back_to(client, Reason::FLOW_CHANGED)
                .detail("the client was changed while the flow was open"))
        }
        Some(_) => Ok(known),
    }
}

/// Asks the one function.
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

/// By which request a flow leaves the pages. It decides how the browser gets to the client.
pub(crate) enum Via {
    /// `GET /authorize`: no page was shown, the flow has no row, and the answer is a redirect.
    Request,
    /// `GET /flow/ID`.
    Page,
    /// The button of the page that goes on by itself.
    Button,
    /// A form of ours, with the record of what the person said in it.
    Form(Option<AuditRecord>),
}

/// A flow about to leave the pages: with a code or an error for the client, or for the person's own page.
pub(crate) struct FlowAnswer<'a> {
    pub(crate) context: &'a RequestContext,
    pub(crate) flow: &'a Flow,
    pub(crate) known: &'a ClientAndConsent,
    pub(crate) via: Via,
}

/// What one write leaves behind.
struct ClosingWrite {
    /// The flow's row; `None` when it has none.
    flow: Option<FlowId>,
    sealed_response: Option<String>,
    said: Option<AuditRecord>,
    now: Timestamp,
}

impl FlowAnswer<'_> {
    /// Takes the step, all of it in one write.
    pub(crate) async fn with(self, step: Step) -> Result<Response, PageError> {
        match (step, &self.flow.target) {
            (Step::Issue(approval), _) => self.issue(approval).await,
            (Step::Refuse(refusal), FlowTarget::Client(request)) => self.refuse(request, refusal).await,
            (Step::Enter, _) => match self.end(None).await? {
                true => Ok(Redirect::to("/account").into_response()),
                false => Ok(entered()),
            },
            _ => Err(PageError::new(Reason::INTERNAL).detail("a step that shows a page was to leave")),
        }
    }

    /// To the client. Browsers apply the `form-action` of the page that sent a form to every redirect that follows, those
    /// of the client's callback as well: after a form of ours, an https client is reached from a page that goes on by
    /// itself. Elsewhere the redirect is the better way, since an application's own browser may not open another
    /// application without a gesture.
    fn go(
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
                Onward::signed_in(name.unwrap_or_default(), url, &button).show(self.context)
            }
            _ => Ok(Redirect::to(response.location().expose()).into_response()),
        }
    }

    fn is_stored(&self) -> bool {
        !matches!(self.via, Via::Request)
    }

    fn ending(&self, response: Option<&AuthorizationResponse>) -> Result<ClosingWrite, PageError> {
        let flow = self.is_stored().then_some(self.flow.id);
        let seal = |response: &AuthorizationResponse| response.seal(&self.context.app.ring, self.flow.id);
        let sealed_response = match response.filter(|_| flow.is_some()).map(seal).transpose() {
            Ok(sealed) => sealed,
            Err(error) => return Err(PageError::broken("seal", &error)),
        };
        let said = match &self.via {
            Via::Form(said) => said.clone(),
            Via::Request | Via::Page | Via::Button => None,
        };
        Ok(ClosingWrite { flow, sealed_response, said, now: self.context.app.clock.now() })
    }

    /// Closes the flow and writes down what was said. `false`: somebody else has closed it.
    async fn end(&self, response: Option<&AuthorizationResponse>) -> Result<bool, PageError> {
        let ending = self.ending(response)?;
        if ending.flow.is_none() && ending.said.is_none() {
            return Ok(true);
        }
        let write = self.context.app.store.write(ending, |tx, ending| Box::pin(ending.save(tx)));
        Ok(write.await?)
    }

    async fn refuse(self, request: &AuthorizationRequest, refusal: Refusal) -> Result<Response, PageError> {
        let config = &self.context.app.config;
        let until = self.context.app.clock.now().plus(config.lifetimes.code);
        let response = AuthorizationResponse::error(&request.target, config.issuer.as_str(), refusal, until);
        if !self.end(Some(&response)).await? {
            return self.too_late().await;
        }
        let (request_id, client_id) = (&self.context.info.request_id, request.client_id.as_str());
        let (code, detail) = (refusal.code.as_str(), refusal.hint);
        if self.context.app.refusals.admits(Fault::Theirs, code) {
            tracing::info!(request_id, code, client_id, detail, "authorization refused");
        }
        self.go(request, &response)
    }

    /// One write: the flow is closed with its answer, the consent remembered and the code there, or nothing of it.
    async fn issue(self, approval: Box<Approval>) -> Result<Response, PageError> {
        let app = &self.context.app;
        let request = approval.request();
        let code = SingleUse::generate();
        let issued = approval.code(&app.config.lifetimes, app.clock.now());
        let issuer = app.config.issuer.as_str();
        let response = AuthorizationResponse::success(&request.target, issuer, &code, issued.expires_at);
        let input = (self.ending(Some(&response))?, code.digest(), issued, request.client_epoch);
        let write = app.store.write(input, |tx, (ending, digest, code, client_epoch)| {
            Box::pin(async move {
                if !ending.save(tx).await? {
                    return Ok(false);
                }
                if ending.said.is_some() {
                    let facts = &code.facts;
                    tx.remember_consent(facts.user_id, &facts.client_id, &facts.scope, ending.now).await?;
                }
                if tx.insert_code(digest, code, *client_epoch).await? {
                    return Ok(true);
                }
                // Somebody was signed out, switched off or narrowed since: the flow must stay open for the next try.
                Err(StoreError::Conflict("live session"))
            })
        });
        match write.await {
            Ok(true) => self.go(request, &response),
            Ok(false) => self.too_late().await,
            // The flow shows what is needed now.
            Err(StoreError::Conflict(_)) if self.is_stored() => {
                Ok(Redirect::to(&url(self.flow.id)).into_response())
            }
            Err(StoreError::Conflict(_)) => Err(expired()),
            Err(error) => Err(error.into()),
        }
    }

    /// Of two tabs, or two clicks, the second one: the client has had its answer, and the browser is led there all the same.
    async fn too_late(self) -> Result<Response, PageError> {
        let input = (self.flow.id, self.context.app.clock.now());
        let ended = self.context.app.store.read(input, |db, (id, now)| Box::pin(db.ended_flow(*id, *now)));
        match ended.await? {
            Some(ended) => again(self.context, &ended, self.via).await,
            None => Err(expired()),
        }
    }
}

impl ClosingWrite {
    /// `false`: the flow was closed already, and nothing was written.
    async fn save(&self, tx: &mut Tx) -> Result<bool, StoreError> {
        if let Some(id) = self.flow
            && !tx.close_flow(id, self.sealed_response.as_deref(), self.now).await?
        {
            return Ok(false);
        }
        if let Some(record) = &self.said {
            tx.audit(record).await?;
        }
        Ok(true)
    }
}

/// Back, or a second tab, after signing in to the person's own pages: on to where that led.
fn entered() -> Response {
    Redirect::to("/").into_response()
}

/// A flow whose client is no more.
fn over(flow: &Flow, answered: bool) -> PageError {
    if answered {
        PageError::new(Reason::FLOW_ANSWERED).about(About::client_of(&flow.target))
    } else {
        expired()
    }
}

/// The flow expired long ago, or never was.
fn expired() -> PageError {
    PageError::new(Reason::FLOW_EXPIRED).action("/signin", "action-start-again")
}
