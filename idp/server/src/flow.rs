//! The one way forward: load what the decision depends on, ask [`next_step`], do what it says.

use axum::response::{IntoResponse, Redirect, Response};
use idp_core::client::{Client, ClientId};
use idp_core::flow::{Answer, Approval, Consent, FlowTarget, Situation, Step, next_step};
use idp_core::ids::FlowId;
use idp_core::single_use::{AuthorizationCode, SingleUse};
use idp_core::time::Timestamp;
use idp_store::{AuditRecord, EndedFlow, Flow, SignedIn, StoreError, Tx};

use crate::errors::{PageError, Reason};
use crate::form::with_email;
use crate::refusal_log::Fault;
use crate::visit::Visit;

/// What is known of a walk beside its row.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) client: Option<Client>,
    pub(crate) consent: Option<Consent>,
}

/// Starts a walk, with what has just been read for it, and the address that was typed elsewhere.
/// What can be answered at once is answered at once; a row is written only when a page must be shown.
pub(crate) async fn begin(
    visit: &Visit,
    target: FlowTarget,
    known: Known,
    email: Option<&str>,
) -> Result<Response, PageError> {
    let app = &visit.app;
    let now = app.clock.now();
    let flow = Flow { id: FlowId::new(now), browser: visit.visitor.browser(), target, started_at: now };
    match decide(visit, &flow, &known, None) {
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
        step => Leaving { visit, flow: &flow, stored: false, said: None }.with(step).await,
    }
}

/// Where a walk goes on.
pub(crate) fn url(id: FlowId) -> String {
    format!("/flow/{id}")
}

/// A walk as it stands.
pub(crate) enum Found {
    Open(Flow),
    Over(EndedFlow),
}

/// The browser's own walk. Another browser is told the same of one that is open and one that is over.
pub(crate) async fn find(visit: &Visit, id: &str) -> Result<Found, PageError> {
    let id: FlowId = id.parse().map_err(|_| over())?;
    let found = visit
        .app
        .store
        .read((id, visit.app.clock.now()), |db, (id, now)| {
            Box::pin(async move {
                match db.flow(*id, *now).await? {
                    Some(flow) => Ok(Some(Found::Open(flow))),
                    None => Ok(db.ended_flow(*id, *now).await?.map(Found::Over)),
                }
            })
        })
        .await?
        .ok_or_else(over)?;
    let (Found::Open(flow) | Found::Over(EndedFlow { flow, .. })) = &found;
    if flow.browser != visit.visitor.browser() {
        return Err(PageError::new(Reason::FLOW_FOREIGN).action("/signin", "action-start-again"));
    }
    Ok(found)
}

/// The browser's own open walk.
pub(crate) async fn open(visit: &Visit, id: &str) -> Result<Flow, PageError> {
    match find(visit, id).await? {
        Found::Open(flow) => Ok(flow),
        Found::Over(EndedFlow { flow, answered }) => Err(ended(visit, &flow, answered).await),
    }
}

/// The browser's own open walk and what is known of it, for pages beside it: one that has ended, for whatever reason, is
/// none.
pub(crate) async fn on_the_way(visit: &Visit, id: Option<&str>) -> Option<(Flow, Known)> {
    let flow = open(visit, id?).await.ok()?;
    let known = load(visit, &flow.target).await.ok()?;
    Some((flow, known))
}

/// What is told of a walk that is over: how it ended, and the way back to the application it was for.
pub(crate) async fn ended(visit: &Visit, flow: &Flow, answered: bool) -> PageError {
    let client = match &flow.target {
        FlowTarget::Account => Ok(None),
        FlowTarget::Application(request) => {
            visit.app.store.read(request.client_id.clone(), |db, id| Box::pin(db.client(id))).await
        }
    };
    let client = match client {
        Ok(Some(client)) => client,
        Ok(None) if answered => return PageError::new(Reason::FLOW_ANSWERED),
        Ok(None) => return over(),
        Err(error) => return error.into(),
    };
    back_to(&client, if answered { Reason::FLOW_CLOSED } else { Reason::FLOW_EXPIRED_APP })
}

/// A walk that ends here: the page names the application, and leads there.
fn back_to(client: &Client, reason: Reason) -> PageError {
    let page = PageError { app: Some(client.name.to_string()), ..PageError::new(reason) };
    match &client.home_uri {
        Some(home) => page.action(home.as_str(), "action-back-to-app"),
        None => page,
    }
}

/// The application and what the signed-in person allowed it.
pub(crate) async fn known(visit: &Visit, client: ClientId) -> Result<Known, StoreError> {
    let store = &visit.app.store;
    let Some(SignedIn { user, .. }) = &visit.visitor.signed_in else {
        let client = store.read(client, |db, id| Box::pin(db.client(id))).await?;
        return Ok(Known { client, consent: None });
    };
    let found =
        store.read((client, user.id), |db, (id, user)| Box::pin(db.client_and_consent(id, *user))).await?;
    Ok(found.map_or_else(Known::default, |(client, consent)| Known { client: Some(client), consent }))
}

/// What is known of a walk that is under way, while its application is what it was.
pub(crate) async fn load(visit: &Visit, target: &FlowTarget) -> Result<Known, PageError> {
    let FlowTarget::Application(request) = target else { return Ok(Known::default()) };
    let known = known(visit, request.client_id.clone()).await?;
    match known.client.as_ref().filter(|client| client.enabled) {
        None => Err(PageError::new(Reason::CLIENT_UNKNOWN)),
        // It was checked against what the application might do then.
        Some(client) if client.epoch != request.client_epoch => Err(back_to(client, Reason::FLOW_CHANGED)),
        Some(_) => Ok(known),
    }
}

/// Asks the one function.
pub(crate) fn decide(visit: &Visit, flow: &Flow, known: &Known, answer: Option<Answer>) -> Step {
    next_step(Situation {
        target: &flow.target,
        client: known.client.as_ref(),
        started_at: flow.started_at,
        session: visit.visitor.signed_in.as_ref().map(|signed_in| &signed_in.session),
        consent: known.consent.as_ref(),
        answer,
        now: visit.app.clock.now(),
    })
}

/// A walk about to leave the pages: with a code or an error for the application, or for the person's own page.
pub(crate) struct Leaving<'a> {
    pub(crate) visit: &'a Visit,
    pub(crate) flow: &'a Flow,
    /// Whether the walk has a row, which is closed then.
    pub(crate) stored: bool,
    /// The record of what the person has just answered.
    pub(crate) said: Option<AuditRecord>,
}

/// What one write leaves behind.
struct Ending {
    /// The walk's row; `None` when it has none.
    flow: Option<FlowId>,
    said: Option<AuditRecord>,
    now: Timestamp,
}

impl Leaving<'_> {
    /// Takes the step, all of it in one write.
    pub(crate) async fn with(self, step: Step) -> Result<Response, PageError> {
        let issuer = self.visit.app.config.issuer.as_str();
        match (step, &self.flow.target) {
            (Step::Issue(approval), _) => self.issue(approval).await,
            (Step::Refuse(refusal), FlowTarget::Application(request)) => {
                let location = request.target.error(issuer, refusal);
                let (request_id, client_id) = (&self.visit.info.request_id, &request.client_id);
                let code = refusal.code.as_str();
                if self.visit.app.refusals.admits(Fault::Theirs, code) {
                    tracing::info!(request_id, %client_id, code, "authorization refused");
                }
                self.end().await?;
                Ok(Redirect::to(&location).into_response())
            }
            (Step::Enter, _) => {
                self.end().await?;
                Ok(Redirect::to("/account").into_response())
            }
            _ => Err(PageError::new(Reason::INTERNAL).detail("a step that shows a page was to leave")),
        }
    }

    fn ending(&self) -> Ending {
        let now = self.visit.app.clock.now();
        Ending { flow: self.stored.then_some(self.flow.id), said: self.said.clone(), now }
    }

    /// Closes the walk and writes down what was said. Of two tabs the second comes too late: the application has
    /// had its answer.
    async fn end(&self) -> Result<(), PageError> {
        let ending = self.ending();
        if ending.flow.is_none() && ending.said.is_none() {
            return Ok(());
        }
        let write = self.visit.app.store.write(ending, |tx, ending| Box::pin(ending.save(tx)));
        if write.await? { Ok(()) } else { Err(ended(self.visit, self.flow, true).await) }
    }

    /// One write: the walk is closed, the consent remembered and the code there, or nothing of it.
    async fn issue(&self, approval: Box<Approval>) -> Result<Response, PageError> {
        let app = &self.visit.app;
        let code = SingleUse::<AuthorizationCode>::generate();
        let location = approval.request().target.success(app.config.issuer.as_str(), code.expose());
        let ending = self.ending();
        let issued = approval.code(&app.config.lifetimes, ending.now);
        let input = (ending, code.digest(), issued, approval.request().client_epoch);
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
                // Somebody was signed out, switched off or narrowed since: the walk must stay open for the next try.
                Err(StoreError::Conflict("live session"))
            })
        });
        match write.await {
            Ok(true) => Ok(Redirect::to(&location).into_response()),
            Ok(false) => Err(ended(self.visit, self.flow, true).await),
            // The walk shows what is needed now.
            Err(StoreError::Conflict(_)) if self.stored => {
                Ok(Redirect::to(&url(self.flow.id)).into_response())
            }
            Err(StoreError::Conflict(_)) => Err(over()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Ending {
    /// `false`: the walk was closed already, and nothing was written.
    async fn save(&self, tx: &mut Tx) -> Result<bool, StoreError> {
        if let Some(id) = self.flow
            && !tx.close_flow(id, self.now).await?
        {
            return Ok(false);
        }
        if let Some(record) = &self.said {
            tx.audit(record).await?;
        }
        Ok(true)
    }
}

/// The walk expired long ago, or never was.
fn over() -> PageError {
    PageError::new(Reason::FLOW_EXPIRED).action("/signin", "action-start-again")
}
