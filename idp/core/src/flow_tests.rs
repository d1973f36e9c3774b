//! The decision as a hand-written table, and invariants over every combination.

use super::*;
use crate::ids::{SessionId, UserId};
use crate::oauth::authorize::tests::client;
use crate::oauth::authorize::{Prompt, check};
use crate::oauth::keys::{Hint, HintVerifier};
use crate::oauth::params::Params;
use crate::session::Authentication;
use crate::time::{HOUR, MINUTE};

const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

struct NoHints;
impl HintVerifier for NoHints {
    fn verify(&self, _: &str) -> Option<Hint> {
        None
    }
}

fn request() -> AuthorizationRequest {
    let pairs = [
        ("client_id", "app"),
        ("redirect_uri", "https://app.example/cb"),
        ("response_type", "code"),
        ("scope", "openid email"),
        ("nonce", "n"),
    ];
    let params = Params::new(pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).into());
    check(&params, Some(&client()), &NoHints).unwrap()
}

fn session(auth_time: Timestamp) -> Session {
    Session {
        id: SessionId::new(START),
        user_id: UserId::new(START),
        auth_time,
        authentication: Authentication::Password,
        last_seen_at: auth_time,
        created_at: auth_time,
    }
}

fn consent(scope: &str, granted_at: Timestamp) -> Consent {
    Consent { scope: Scope::parse(scope).unwrap(), granted_at }
}

/// The step's name, as a table writes it.
fn name(step: &Step) -> &'static str {
    match step {
        Step::SignIn(SignInReason::NoSession) => "sign in: no session",
        Step::SignIn(SignInReason::Asked) => "sign in: asked",
        Step::SignIn(SignInReason::TooOld) => "sign in: too old",
        Step::SignIn(SignInReason::OtherSubject) => "sign in: other subject",
        Step::Consent(ConsentReason::NotGranted) => "consent: not granted",
        Step::Consent(ConsentReason::Asked) => "consent: asked",
        Step::Issue(_) => "issue",
        Step::Enter => "enter",
        Step::Refuse(refusal) => refusal.code.as_str(),
    }
}

fn step(
    request: AuthorizationRequest,
    session: Option<&Session>,
    consent: Option<&Consent>,
    now: Timestamp,
) -> Step {
    let (client, target) = (client(), FlowTarget::Application(Box::new(request)));
    next_step(Situation { target: &target, client: Some(&client), started_at: START, session, consent, now })
}

#[test]
fn the_decision_table() {
    let hour_ago = session(START.minus(HOUR));
    let since = session(START.plus(MINUTE));
    let (full, part) = (consent("openid email", START.minus(HOUR)), consent("openid", START.minus(HOUR)));
    let anew = consent("openid email", START.plus(MINUTE));
    let now = START.plus(MINUTE * 2);
    let none = Prompt { none: true, ..Prompt::default() };
    let login = Prompt { login: true, ..Prompt::default() };
    let select = Prompt { select_account: true, ..Prompt::default() };
    let asking = Prompt { consent: true, ..Prompt::default() };
    let plain = Prompt::default();
    let (some, nobody) = (Some(&hour_ago), None);
    for (prompt, max_age, session, consent, expected) in [
        (plain, None, nobody, None, "sign in: no session"),
        (plain, None, some, None, "consent: not granted"),
        (plain, None, some, Some(&part), "consent: not granted"),
        (plain, None, some, Some(&full), "issue"),
        (plain, Some(10_000), some, Some(&full), "issue"),
        (plain, Some(60), some, Some(&full), "sign in: too old"),
        (plain, Some(0), some, Some(&full), "sign in: too old"),
        (plain, Some(0), Some(&since), Some(&full), "issue"),
        (plain, Some(1), Some(&since), Some(&full), "issue"),
        (login, None, some, Some(&full), "sign in: asked"),
        (login, None, Some(&since), Some(&full), "issue"),
        (select, None, some, Some(&full), "sign in: asked"),
        (asking, None, some, Some(&full), "consent: asked"),
        (asking, None, some, Some(&anew), "issue"),
        (asking, None, nobody, Some(&anew), "sign in: no session"),
        (none, None, nobody, None, "login_required"),
        (none, Some(60), some, Some(&full), "login_required"),
        (none, None, some, None, "consent_required"),
        (none, None, some, Some(&part), "consent_required"),
        (none, None, some, Some(&full), "issue"),
    ] {
        let request = AuthorizationRequest { prompt, max_age, ..request() };
        let found = step(request, session, consent, now);
        assert_eq!(name(&found), expected, "{prompt:?} {max_age:?} {session:?} {consent:?}");
    }
}

#[test]
fn az_16_az_20_a_request_for_somebody_else_never_gets_this_person() {
    let (session, full) = (session(START), consent("openid email", START));
    for (none, expected) in [(false, "sign in: other subject"), (true, "login_required")] {
        let prompt = Prompt { none, ..Prompt::default() };
        let other = AuthorizationRequest { subject: Some("eve".into()), prompt, ..request() };
        assert_eq!(name(&step(other, Some(&session), Some(&full), START)), expected);
    }
    let same = AuthorizationRequest { subject: Some(session.user_id.to_string()), ..request() };
    assert_eq!(name(&step(same, Some(&session), Some(&full), START)), "issue");
}

#[test]
fn a_client_of_the_house_is_not_asked_for_unless_it_asks() {
    let client = Client { consent: ConsentPolicy::Skip, ..client() };
    let session = session(START);
    for (asks, expected) in [(false, "issue"), (true, "consent: asked")] {
        let prompt = Prompt { consent: asks, ..Prompt::default() };
        let target = FlowTarget::Application(Box::new(AuthorizationRequest { prompt, ..request() }));
        let situation = Situation {
            target: &target,
            client: Some(&client),
            started_at: START,
            session: Some(&session),
            consent: None,
            now: START,
        };
        assert_eq!(name(&next_step(situation)), expected);
    }
}

#[test]
fn a_target_is_read_back_as_it_was_written() {
    for target in [FlowTarget::Account, FlowTarget::Application(Box::new(request()))] {
        let stored = serde_json::to_string(&target).unwrap();
        assert_eq!(serde_json::from_str::<FlowTarget>(&stored).unwrap(), target, "{stored}");
    }
}

#[test]
fn the_own_pages_need_a_session_only() {
    let session = session(START);
    for (session, expected) in [(None, "sign in: no session"), (Some(&session), "enter")] {
        let situation = Situation {
            target: &FlowTarget::Account,
            client: None,
            started_at: START,
            session,
            consent: None,
            now: START,
        };
        assert_eq!(name(&next_step(situation)), expected);
    }
}

/// Every combination of prompt, max_age, session age, consent and hint.
#[test]
fn invariants_hold_for_every_combination() {
    let now = START.plus(MINUTE * 5);
    let bits = [false, true];
    let mut seen = 0;
    for (none, login, asking, select) in itertools(bits) {
        for max_age in [None, Some(0), Some(60), Some(86_400)] {
            for auth_time in [None, Some(START.minus(HOUR)), Some(START), Some(now)] {
                for given in [None, Some(START.minus(HOUR)), Some(START)] {
                    for scope in ["openid", "openid email", "openid email profile"] {
                        let prompt = Prompt { none, login, consent: asking, select_account: select };
                        let request = AuthorizationRequest { prompt, max_age, ..request() };
                        let session = auth_time.map(session);
                        let consent = given.map(|at| consent(scope, at));
                        let step = step(request.clone(), session.as_ref(), consent.as_ref(), now);
                        holds(&step, &request, session.as_ref(), consent.as_ref(), now);
                        seen += 1;
                    }
                }
            }
        }
    }
    assert_eq!(seen, 16 * 4 * 4 * 3 * 3);
}

fn itertools(bits: [bool; 2]) -> impl Iterator<Item = (bool, bool, bool, bool)> {
    bits.into_iter().flat_map(move |a| {
        bits.into_iter().flat_map(move |b| {
            bits.into_iter().flat_map(move |c| bits.into_iter().map(move |d| (a, b, c, d)))
        })
    })
}

fn holds(
    step: &Step,
    request: &AuthorizationRequest,
    session: Option<&Session>,
    consent: Option<&Consent>,
    now: Timestamp,
) {
    let prompt = request.prompt;
    match step {
        Step::Issue(_) => {
            let session = session.expect("no code without a live session");
            let consent = consent.expect("no code without consent");
            assert!(consent.scope.covers(&request.scope), "no code beyond what was allowed");
            let signed_in_here = session.auth_time >= START;
            if let Some(age) = request.max_age {
                assert!(signed_in_here || now.since(session.auth_time) <= SECOND * age, "max_age is kept");
            }
            assert!(signed_in_here || !(prompt.login || prompt.select_account), "prompt=login is kept");
            assert!(consent.granted_at >= START || !prompt.consent, "prompt=consent is kept");
        }
        Step::SignIn(_) | Step::Consent(_) => assert!(!prompt.none, "prompt=none never shows a page"),
        Step::Refuse(_) => assert!(prompt.none, "only prompt=none is refused here"),
        Step::Enter => panic!("an application's request never enters the account"),
    }
}
