//! The one way forward: load what the decision depends on, ask [`next_step`], do what it says.

use axum::response::{IntoResponse, Redirect, Response};
use idp_core::client::Client;
use idp_core::flow::{Approval, Consent, FlowTarget, Situation, Step, next_step};
use idp_core::ids::FlowId;
use idp_core::single_use::{AuthorizationCode, SingleUse};
use idp_store::{Flow, StoreError};

use crate::errors::{PageError, Reason};
use crate::visit::Visit;

/// What is known of a walk beside its row.
pub(crate) struct Known {
    pub(crate) client: Option<Client>,
    pub(crate) consent: Option<Consent>,
}

/// Starts a walk. What can be answered at once is answered at once; a row is written only when a page must be
/// shown.
pub(crate) async fn begin(visit: &Visit, target: FlowTarget) -> Result<Response, PageError> {
    let app = &visit.app;
    let now = app.clock.now();
    let flow = Flow { id: FlowId::new(now), browser: visit.visitor.browser(), target, started_at: now };
    let known = load(visit, &flow.target).await?;
    match decide(visit, &flow, &known) {
        Step::SignIn(_) | Step::Consent(_) => {
            let (url, expires_at) = (url(flow.id), now.plus(app.config.lifetimes.flow));
            app.store
                .write((flow, expires_at), |tx, (flow, expires_at)| {
                    Box::pin(tx.insert_flow(flow, *expires_at))
                })
                .await?;
            Ok(Redirect::to(&url).into_response())
        }
        step => leave(visit, None, &flow, step).await,
    }
}

/// Where a walk goes on.
pub(crate) fn url(id: FlowId) -> String {
    format!("/flow/{id}")
}

/// The browser's own open walk.
pub(crate) async fn open(visit: &Visit, id: &str) -> Result<Flow, PageError> {
    let expired = || PageError::new(Reason::FLOW_EXPIRED).action("/signin", "action-start-again");
    let id: FlowId = id.parse().map_err(|_| expired())?;
    let now = visit.app.clock.now();
    let flow = visit.app.store.read((id, now), |db, (id, now)| Box::pin(db.flow(*id, *now))).await?;
    let flow = flow.ok_or_else(expired)?;
    if flow.browser != visit.visitor.browser() {
        return Err(PageError::new(Reason::FLOW_FOREIGN).action("/signin", "action-start-again"));
    }
    Ok(flow)
}

/// Loads the application and what the signed-in person allowed it.
pub(crate) async fn load(visit: &Visit, target: &FlowTarget) -> Result<Known, PageError> {
    let FlowTarget::Application(request) = target else { return Ok(Known { client: None, consent: None }) };
    let user = visit.visitor.signed_in.as_ref().map(|signed_in| signed_in.user.id);
    let known = visit
        .app
        .store
        .read((request.client_id.clone(), user), |db, (client, user)| {
            Box::pin(async move {
                let consent = match user {
                    Some(user) => db.consent(*user, client).await?,
                    None => None,
                };
                Ok(Known { client: db.client(client).await?, consent })
            })
        })
        .await?;
    if known.client.as_ref().is_some_and(|client| client.enabled) {
        return Ok(known);
    }
    Err(PageError::new(Reason::CLIENT_UNKNOWN))
}

/// Asks the one function.
pub(crate) fn decide(visit: &Visit, flow: &Flow, known: &Known) -> Step {
    next_step(Situation {
        target: &flow.target,
        client: known.client.as_ref(),
        started_at: flow.started_at,
        session: visit.visitor.signed_in.as_ref().map(|signed_in| &signed_in.session),
        consent: known.consent.as_ref(),
        now: visit.app.clock.now(),
    })
}

/// Leaves the pages: a code or an error for the application, or the person's own page. `stored` is the walk's
/// row, if it has one.
pub(crate) async fn leave(
    visit: &Visit,
    stored: Option<FlowId>,
    flow: &Flow,
    step: Step,
) -> Result<Response, PageError> {
    let issuer = visit.app.config.issuer.as_str();
    match (step, &flow.target) {
        (Step::Issue(approval), _) => issue(visit, stored, approval).await,
        (Step::Refuse(refusal), FlowTarget::Application(request)) => {
            tracing::info!(request_id = visit.info.request_id, client_id = %request.client_id, code = refusal.code.as_str(), "authorization refused");
            Ok(Redirect::to(&request.target.error(issuer, refusal)).into_response())
        }
        (Step::Enter, _) => {
            close(visit, stored).await?;
            Ok(Redirect::to("/account").into_response())
        }
        _ => Err(PageError::new(Reason::INTERNAL).detail("a step that shows a page was to leave")),
    }
}

/// One write: the walk is closed and the code is there, or neither.
async fn issue(
    visit: &Visit,
    stored: Option<FlowId>,
    approval: Box<Approval>,
) -> Result<Response, PageError> {
    let app = &visit.app;
    let now = app.clock.now();
    let code = SingleUse::<AuthorizationCode>::generate();
    let location = approval.request().target.success(app.config.issuer.as_str(), code.expose());
    let input = (stored, code.digest(), approval.code(&app.config.lifetimes, now), now);
    let issued = app
        .store
        .write(input, |tx, (stored, digest, code, now)| {
            Box::pin(async move {
                if let Some(id) = stored
                    && !tx.close_flow(*id, *now).await?
                {
                    return Ok(false);
                }
                if tx.insert_code(digest, code).await? {
                    return Ok(true);
                }
                // Somebody was signed out or switched off since: the walk must stay open for the next try.
                Err(StoreError::Conflict("live session"))
            })
        })
        .await;
    match issued {
        Ok(true) => Ok(Redirect::to(&location).into_response()),
        Ok(false) | Err(StoreError::Conflict(_)) => {
            Err(PageError::new(Reason::FLOW_EXPIRED).action("/signin", "action-start-again"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Closes a walk that has a row.
pub(crate) async fn close(visit: &Visit, stored: Option<FlowId>) -> Result<(), PageError> {
    if let Some(id) = stored {
        let now = visit.app.clock.now();
        visit.app.store.write((id, now), |tx, (id, now)| Box::pin(tx.close_flow(*id, *now))).await?;
    }
    Ok(())
}
