//! The decision as a hand-written table, and invariants over every combination.

use super::*;
use crate::ids::{SessionId, UserId};
use crate::oauth::authorize::tests::client;
use crate::oauth::authorize::{Prompt, check};
use crate::oauth::keys::{Hint, HintVerifier};
use crate::oauth::params::Params;
use crate::scope::Scope;
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

#[test]
fn a_flow_stored_without_the_client_epoch_is_read_with_epoch_zero() {
    let client = Client { epoch: 3, ..client() };
    let request = AuthorizationRequest { client_epoch: client.epoch, ..request() };
    let mut kept = serde_json::to_value(&request).unwrap();
    assert_eq!(kept["client_epoch"], 3);
    kept.as_object_mut().unwrap().remove("client_epoch");
    let read: AuthorizationRequest = serde_json::from_value(kept).unwrap();
    assert_eq!(read, AuthorizationRequest { client_epoch: 0, ..request });
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

/// The step's name in the tables.
fn name(step: &Step) -> &'static str {
    match step {
        Step::SignIn(SignInReason::NoSession) => "sign in: no session",
        Step::SignIn(SignInReason::Prompt) => "sign in: prompt",
        Step::SignIn(SignInReason::TooOld) => "sign in: too old",
        Step::SignIn(SignInReason::OtherSubject) => "sign in: other subject",
        Step::Consent(ConsentReason::NotGranted) => "consent: not granted",
        Step::Consent(ConsentReason::Prompt) => "consent: prompt",
        Step::Issue(_) => "issue",
        Step::ShowAccount => "account",
        Step::Refuse(refusal) => refusal.code.as_str(),
    }
}

fn step(
    request: AuthorizationRequest,
    session: Option<&Session>,
    consent: Option<&Consent>,
    now: Timestamp,
) -> Step {
    answered(request, session, consent, None, now)
}

fn answered(
    request: AuthorizationRequest,
    session: Option<&Session>,
    consent: Option<&Consent>,
    answer: Option<Answer>,
    now: Timestamp,
) -> Step {
    let (client, target) = (client(), FlowTarget::Client(Box::new(request)));
    let client = Some(&client);
    next_step(Situation { target: &target, client, started_at: START, session, consent, answer, now })
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
        (login, None, some, Some(&full), "sign in: prompt"),
        (login, None, Some(&since), Some(&full), "issue"),
        (select, None, some, Some(&full), "sign in: prompt"),
        (asking, None, some, Some(&full), "consent: prompt"),
        // The consent was given in another flow, perhaps to less: this one still asks.
        (asking, None, some, Some(&anew), "consent: prompt"),
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
fn only_the_answer_to_this_flow_allows_or_denies_it() {
    let (session, full) = (session(START), consent("openid email", START.minus(HOUR)));
    let asking = Prompt { consent: true, ..Prompt::default() };
    let (allow, deny) = (Some(Answer::Allow), Some(Answer::Deny));
    let (some, nobody) = (Some(&session), None);
    for (prompt, session, remembered, answer, expected) in [
        (Prompt::default(), some, None, allow, "issue"),
        (asking, some, None, allow, "issue"),
        (asking, some, Some(&full), allow, "issue"),
        (Prompt::default(), some, None, deny, "access_denied"),
        (Prompt::default(), some, Some(&full), deny, "access_denied"),
        (asking, some, Some(&full), deny, "access_denied"),
        (Prompt::default(), nobody, None, allow, "sign in: no session"),
        (Prompt::default(), nobody, None, deny, "sign in: no session"),
    ] {
        let request = AuthorizationRequest { prompt, ..request() };
        let found = answered(request, session, remembered, answer, START);
        assert_eq!(name(&found), expected, "{prompt:?} {session:?} {remembered:?} {answer:?}");
    }
}

#[test]
fn a_person_who_lingers_after_signing_in_must_sign_in_again_if_max_age_demands_it() {
    let (session, full) = (session(START), consent("openid email", START));
    let minutes = |count: u32| START.plus(MINUTE * count);
    for (max_age, now, expected) in [
        (Some(0), minutes(2), "issue"),
        (Some(0), minutes(3), "sign in: too old"),
        (Some(60), minutes(3), "issue"),
        (Some(60), minutes(4), "sign in: too old"),
        (None, minutes(20), "issue"),
    ] {
        let request = AuthorizationRequest { max_age, ..request() };
        assert_eq!(name(&step(request, Some(&session), Some(&full), now)), expected, "{max_age:?} {now:?}");
    }
}

#[test]
fn az_16_az_20_a_request_for_another_subject_is_never_answered_for_this_person() {
    let (session, full) = (session(START), consent("openid email", START));
    for (none, expected) in [(false, "sign in: other subject"), (true, "login_required")] {
        let prompt = Prompt { none, ..Prompt::default() };
        let other = AuthorizationRequest { subjects: Some(vec!["eve".into()]), prompt, ..request() };
        assert_eq!(name(&step(other, Some(&session), Some(&full), START)), expected);
    }
    let same =
        AuthorizationRequest { subjects: Some(vec!["eve".into(), session.user_id.to_string()]), ..request() };
    assert_eq!(name(&step(same, Some(&session), Some(&full), START)), "issue");
}

#[test]
fn a_client_that_skips_consent_still_gets_the_question_with_prompt_consent() {
    let client = Client { consent: ConsentPolicy::Skip, ..client() };
    let session = session(START);
    for (asks, expected) in [(false, "issue"), (true, "consent: prompt")] {
        let prompt = Prompt { consent: asks, ..Prompt::default() };
        let target = FlowTarget::Client(Box::new(AuthorizationRequest { prompt, ..request() }));
        let situation = Situation {
            target: &target,
            client: Some(&client),
            started_at: START,
            session: Some(&session),
            consent: None,
            answer: None,
            now: START,
        };
        assert_eq!(name(&next_step(situation)), expected);
    }
}

#[test]
fn a_target_is_read_back_as_it_was_written() {
    for target in [FlowTarget::Account, FlowTarget::Client(Box::new(request()))] {
        let stored = serde_json::to_string(&target).unwrap();
        assert_eq!(serde_json::from_str::<FlowTarget>(&stored).unwrap(), target, "{stored}");
    }
}

#[test]
fn a_persons_own_pages_need_only_a_session() {
    let session = session(START);
    for (session, expected) in [(None, "sign in: no session"), (Some(&session), "account")] {
        let situation = Situation {
            target: &FlowTarget::Account,
            client: None,
            started_at: START,
            session,
            consent: None,
            answer: None,
            now: START,
        };
        assert_eq!(name(&next_step(situation)), expected);
    }
}

/// Every combination of prompt, max_age, session age, consent and answer.
#[test]
fn invariants_hold_for_every_combination() {
    let now = START.plus(MINUTE * 5);
    let bits = [false, true];
    let mut seen = 0;
    for (none, login, asking, select) in itertools(bits) {
        for max_age in [None, Some(0), Some(60), Some(86_400)] {
            for auth_time in [None, Some(START.minus(HOUR)), Some(START), Some(now)] {
                for scope in [None, Some("openid"), Some("openid email"), Some("openid email profile")] {
                    for answer in [None, Some(Answer::Allow), Some(Answer::Deny)] {
                        let prompt = Prompt { none, login, consent: asking, select_account: select };
                        let request = AuthorizationRequest { prompt, max_age, ..request() };
                        let session = auth_time.map(session);
                        let consent = scope.map(|scope| consent(scope, START));
                        let step = answered(request.clone(), session.as_ref(), consent.as_ref(), answer, now);
                        if let Step::Issue(_) = step {
                            a_code_is_deserved(&request, session, consent, answer, now);
                        }
                        pages_are_shown_or_not(&step, prompt, answer);
                        seen += 1;
                    }
                }
            }
        }
    }
    assert_eq!(seen, 16 * 4 * 4 * 4 * 3);
}

fn itertools(bits: [bool; 2]) -> impl Iterator<Item = (bool, bool, bool, bool)> {
    bits.into_iter().flat_map(move |a| {
        bits.into_iter().flat_map(move |b| {
            bits.into_iter().flat_map(move |c| bits.into_iter().map(move |d| (a, b, c, d)))
        })
    })
}

fn a_code_is_deserved(
    request: &AuthorizationRequest,
    session: Option<Session>,
    consent: Option<Consent>,
    answer: Option<Answer>,
    now: Timestamp,
) {
    let prompt = request.prompt;
    let session = session.expect("no code without a live session");
    assert_ne!(answer, Some(Answer::Deny), "no code after a denial");
    if answer.is_none() {
        let consent = consent.expect("no code without consent");
        assert!(consent.scope.covers(&request.scope), "no code beyond what was allowed");
        assert!(!prompt.consent, "prompt=consent is obeyed");
    }
    let signed_in_here = session.auth_time >= START;
    assert!(signed_in_here || !(prompt.login || prompt.select_account), "prompt=login is obeyed");
    if let Some(most) = request.max_age {
        let grace = if signed_in_here { MINUTE * 2 } else { Duration::ZERO };
        assert!(now.since(session.auth_time) <= SECOND * most + grace, "max_age is obeyed");
    }
}

fn pages_are_shown_or_not(step: &Step, prompt: Prompt, answer: Option<Answer>) {
    let said_no = answer == Some(Answer::Deny);
    match step {
        Step::Issue(_) => {}
        Step::SignIn(_) | Step::Consent(_) => assert!(!prompt.none, "prompt=none never shows a page"),
        Step::Refuse(_) => assert!(prompt.none || said_no, "only prompt=none and a denial are refused here"),
        Step::ShowAccount => panic!("a client's request never leads to the person's own pages"),
    }
}
