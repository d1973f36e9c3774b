//! The flow through the hosted pages: what is needed next, in one pure function.
//!
//! ```text
//!             ┌── not signed in, not fresh enough, other subject ──> SignIn ──┐
//! target ─────┼── scope not consented ─────────────────────────────> Consent ─┼──> next_step again
//!             ├── nothing missing ──> Issue(Approval) | Enter                 │
//!             └── "no", or prompt=none and something missing ──> Refuse(refusal) │
//!                  ▲──────────────────────────────────────────────────────────┘
//! ```
//! Sign-in, a live session, `prompt=none` and a person's "allow" all ask this function; nothing else decides. Only
//! it makes an [`Approval`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::client::{Client, ConsentPolicy};
use crate::consent::Consent;
use crate::ids::GrantId;
use crate::oauth::authorize::AuthorizationRequest;
use crate::oauth::error::{ErrorCode, Refusal};
use crate::oauth::grant::{GrantFacts, IssuedCode, Lifetimes};
use crate::session::Session;
use crate::time::{MINUTE, SECOND, Timestamp};

/// What a flow is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "snake_case")]
pub enum FlowTarget {
    /// To answer a client.
    #[serde(rename = "application")]
    Client(Box<AuthorizationRequest>),
    /// To show a person their own pages here.
    Account,
}

impl FlowTarget {
    /// The values of `for` in a stored target.
    pub const KINDS: [&str; 2] = ["application", "account"];
}

/// A person's answer to the consent question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Yes.
    Allow,
    /// No.
    Deny,
}

/// Everything the decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// What the flow is for.
    pub target: &'a FlowTarget,
    /// The client, if the flow is for one.
    pub client: Option<&'a Client>,
    /// When the flow began: a sign-in since then satisfies `prompt`.
    pub started_at: Timestamp,
    /// The browser's live session.
    pub session: Option<&'a Session>,
    /// What the session's person allowed this client before.
    pub consent: Option<&'a Consent>,
    /// What the person has just answered in this flow. An answer given in another flow does not count.
    pub answer: Option<Answer>,
    /// The present moment.
    pub now: Timestamp,
}

/// What is needed next, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The person signs in.
    SignIn(SignInReason),
    /// The person is asked.
    Consent(ConsentReason),
    /// Nothing is missing: answer the client with a code.
    Issue(Box<Approval>),
    /// Nothing is missing: show the person's own pages.
    ShowAccount,
    /// The client gets an error.
    Refuse(Refusal),
}

/// Why somebody has to sign in; for the log and the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInReason {
    /// There is no live session.
    NoSession,
    /// `prompt=login` or `select_account`, and nobody has signed in since the flow began.
    Prompt,
    /// The last sign-in is older than `max_age`.
    TooOld,
    /// The client asked for somebody else.
    OtherSubject,
}

/// Why somebody has to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsentReason {
    /// Nothing, or less, was allowed before.
    NotGranted,
    /// `prompt=consent`, whatever was allowed before.
    Prompt,
}

/// Proof that everything the policy demands has happened. Only [`next_step`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    session: Session,
    request: AuthorizationRequest,
}

impl Approval {
    /// The code that this approval allows.
    pub fn code(&self, lifetimes: &Lifetimes, now: Timestamp) -> IssuedCode {
        let (session, request) = (&self.session, &self.request);
        IssuedCode {
            facts: GrantFacts {
                id: GrantId::new(now),
                client_id: request.client_id.clone(),
                user_id: session.user_id,
                session_id: session.id,
                scope: request.scope.clone(),
                auth_time: session.auth_time,
                authentication: session.authentication,
            },
            redirect_uri: request.target.uri().clone(),
            nonce: request.nonce.clone(),
            code_challenge: request.code_challenge.clone(),
            expires_at: now.plus(lifetimes.code),
        }
    }

    /// The request that is answered.
    pub fn request(&self) -> &AuthorizationRequest {
        &self.request
    }
}

/// Decides what is needed next.
pub fn next_step(situation: Situation<'_>) -> Step {
    let request = match situation.target {
        FlowTarget::Account if situation.session.is_some() => return Step::ShowAccount,
        FlowTarget::Account => return Step::SignIn(SignInReason::NoSession),
        FlowTarget::Client(request) => request,
    };
    let silent = request.prompt.none;
    let session = match signed_in(request, situation) {
        Ok(session) => session,
        Err(_) if silent => return Step::Refuse(LOGIN_REQUIRED),
        Err(reason) => return Step::SignIn(reason),
    };
    if situation.answer == Some(Answer::Deny) {
        return Step::Refuse(ACCESS_DENIED);
    }
    match consented(request, situation) {
        Ok(()) => Step::Issue(Box::new(Approval { session: session.clone(), request: (**request).clone() })),
        Err(_) if silent => Step::Refuse(CONSENT_REQUIRED),
        Err(reason) => Step::Consent(reason),
    }
}

const ACCESS_DENIED: Refusal = Refusal::new(ErrorCode::AccessDenied, "the user denied the request");
const LOGIN_REQUIRED: Refusal =
    Refusal::new(ErrorCode::LoginRequired, "prompt=none, but the person has to sign in");
const CONSENT_REQUIRED: Refusal =
    Refusal::new(ErrorCode::ConsentRequired, "prompt=none, but the user has not consented");

/// How long a sign-in on this flow's own pages satisfies any `max_age`: `max_age=0` asks for a new sign-in, not for
/// the impossible. A person who lingers on the next page for longer must sign in once more.
const JUST_NOW: Duration = MINUTE.saturating_mul(2);

fn signed_in<'a>(
    request: &AuthorizationRequest,
    situation: Situation<'a>,
) -> Result<&'a Session, SignInReason> {
    let session = situation.session.ok_or(SignInReason::NoSession)?;
    let since_start = session.auth_time >= situation.started_at;
    if request.subjects.as_ref().is_some_and(|subjects| !subjects.contains(&session.user_id.to_string())) {
        return Err(SignInReason::OtherSubject);
    }
    if (request.prompt.login || request.prompt.select_account) && !since_start {
        return Err(SignInReason::Prompt);
    }
    let grace = if since_start { JUST_NOW } else { Duration::ZERO };
    let fresh = |age: u32| situation.now.since(session.auth_time) <= SECOND * age + grace;
    if request.max_age.is_some_and(|age| !fresh(age)) {
        return Err(SignInReason::TooOld);
    }
    Ok(session)
}

fn consented(request: &AuthorizationRequest, situation: Situation<'_>) -> Result<(), ConsentReason> {
    if situation.answer == Some(Answer::Allow) {
        return Ok(());
    }
    if request.prompt.consent {
        return Err(ConsentReason::Prompt);
    }
    let remembered = situation.consent.is_some_and(|consent| consent.scope.covers(&request.scope));
    let skips = situation.client.is_some_and(|client| client.consent == ConsentPolicy::Skip);
    if skips || remembered { Ok(()) } else { Err(ConsentReason::NotGranted) }
}

#[cfg(test)]
#[path = "flow_tests.rs"]
mod tests;
