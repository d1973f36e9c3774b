//! The token endpoint's rules, as tables.

use super::*;
use crate::ids::{GrantId, SessionId, UserId};
use crate::redirect_uri::RedirectUri;
use crate::session::Authentication;
use crate::time::{DAY, SECOND};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const URI: &str = "http://127.0.0.1:8000";

pub(crate) fn facts(scope: &str) -> GrantFacts {
    GrantFacts {
        id: GrantId::new(NOW),
        client_id: ClientId::parse("app").unwrap(),
        user_id: UserId::new(NOW),
        session_id: SessionId::new(NOW),
        scope: Scope::parse(scope).unwrap(),
        auth_time: NOW,
        authentication: Authentication::Password,
    }
}

fn code() -> IssuedCode {
    IssuedCode {
        facts: facts("openid offline_access"),
        redirect_uri: RedirectUri::parse(URI).unwrap(),
        nonce: None,
        code_challenge: Some(CHALLENGE.to_owned()),
        expires_at: NOW.plus(SECOND * 60),
    }
}

fn params(pairs: &[(&str, &str)]) -> Params {
    Params::new(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
}

#[test]
fn tk_23_only_two_grant_types_are_supported() {
    for (pairs, expected) in [
        (vec![("grant_type", "password")], ErrorCode::UnsupportedGrantType),
        (vec![("grant_type", "client_credentials")], ErrorCode::UnsupportedGrantType),
        (vec![], ErrorCode::InvalidRequest),
        (vec![("grant_type", "refresh_token"), ("grant_type", "refresh_token")], ErrorCode::InvalidRequest),
        (vec![("grant_type", "authorization_code")], ErrorCode::InvalidRequest),
        (vec![("grant_type", "refresh_token")], ErrorCode::InvalidRequest),
        (
            vec![("grant_type", "refresh_token"), ("refresh_token", "x"), ("resource", "y")],
            ErrorCode::InvalidTarget,
        ),
    ] {
        assert_eq!(TokenRequest::read(&params(&pairs)).unwrap_err().code, expected, "{pairs:?}");
    }
}

#[test]
fn a_code_is_redeemed_if_everything_matches() {
    let (code, app) = (code(), ClientId::parse("app").unwrap());
    assert_eq!(redeem(&code, &app, URI, Some(VERIFIER), NOW), Ok(()));
    let exempt = IssuedCode { code_challenge: None, ..code };
    assert_eq!(redeem(&exempt, &app, URI, None, NOW), Ok(()));
}

#[test]
fn tk_03_tk_05_tk_07_a_code_that_does_not_match_is_invalid_grant() {
    let (app, other) = (ClientId::parse("app").unwrap(), ClientId::parse("other").unwrap());
    let (code, exempt) = (code(), IssuedCode { code_challenge: None, ..code() });
    let long = "a".repeat(129);
    let late = NOW.plus(SECOND * 60);
    for (code, client, uri, verifier, now) in [
        (&code, &other, URI, Some(VERIFIER), NOW),
        (&code, &app, "http://127.0.0.1:8000/", Some(VERIFIER), NOW),
        (&code, &app, "", Some(VERIFIER), NOW),
        (&code, &app, "http://127.0.0.1:8001", Some(VERIFIER), NOW),
        (&code, &app, URI, None, NOW),
        (&code, &app, URI, Some("short"), NOW),
        (&code, &app, URI, Some(long.as_str()), NOW),
        (&code, &app, URI, Some(CHALLENGE), NOW),
        (&code, &app, URI, Some(VERIFIER), late),
        (&exempt, &app, URI, Some(VERIFIER), NOW),
    ] {
        let refusal = redeem(code, client, uri, verifier, now).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::InvalidGrant, "{uri} {verifier:?}");
    }
}

#[test]
fn a_refresh_is_decided_by_owner_age_and_generation() {
    let lifetimes = Lifetimes::default();
    let grant = Grant { generation: 3, ..Grant::of_code(&code(), &lifetimes, NOW) };
    let (app, other) = (ClientId::parse("app").unwrap(), ClientId::parse("other").unwrap());
    let refused = |decision| matches!(decision, RefreshDecision::Refuse(_));
    assert_eq!(refresh(&grant, 3, &app, None, NOW), RefreshDecision::Rotate(grant.facts.scope.clone()));
    assert_eq!(refresh(&grant, 2, &app, None, NOW), RefreshDecision::Reused);
    assert!(refused(refresh(&grant, 2, &other, None, NOW)), "another client revokes nothing");
    assert!(refused(refresh(&grant, 3, &other, None, NOW)));
    assert!(refused(refresh(&grant, 3, &app, None, NOW.plus(DAY * 30))), "idle too long");
    assert!(refused(refresh(&grant, 3, &app, Some("openid profile"), NOW)));
    for empty in [" ", "  ", " openid"] {
        assert!(refused(refresh(&grant, 3, &app, Some(empty), NOW)), "{empty:?}");
    }
    assert_eq!(
        refresh(&grant, 3, &app, Some("openid"), NOW),
        RefreshDecision::Rotate(Scope::of(&["openid"]))
    );
}

#[test]
fn tk_22_no_refresh_extends_a_grant_beyond_its_absolute_end() {
    let lifetimes = Lifetimes::default();
    let grant = Grant::of_code(&code(), &lifetimes, NOW);
    let late = NOW.plus(DAY * 80);
    assert_eq!(grant.next_idle_expiry(&lifetimes, late), NOW.plus(DAY * 90));
    let kept_alive = Grant { idle_expires_at: NOW.plus(DAY * 200), ..grant };
    assert!(kept_alive.is_expired(NOW.plus(DAY * 90)));
}

#[test]
fn a_grant_without_offline_access_cannot_be_refreshed() {
    let code = IssuedCode { facts: facts("openid"), ..code() };
    let grant = Grant::of_code(&code, &Lifetimes::default(), NOW);
    let app = ClientId::parse("app").unwrap();
    assert!(matches!(refresh(&grant, 0, &app, None, NOW), RefreshDecision::Refuse(_)));
    assert_eq!(grant.expires_at, NOW.plus(Lifetimes::default().token));
}
