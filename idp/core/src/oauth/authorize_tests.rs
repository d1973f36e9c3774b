//! The rules of the authorization request, as tables.

use super::*;
use crate::client::{AuthMethod, ConsentPolicy, SigningAlg};
use crate::oauth::keys::Hint;
use crate::redirect_uri::RedirectMatch;
use crate::text::DisplayText;
use crate::time::Timestamp;

const URI: &str = "https://app.example/cb";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const STATE: &str = "x y&z=\u{e4}%";

pub(crate) fn client() -> Client {
    Client {
        id: ClientId::parse("app").unwrap(),
        name: DisplayText::new("App", 60),
        auth_method: AuthMethod::BasicOrPost,
        secret: None,
        redirect_uris: vec![RedirectUri::parse(URI).unwrap()],
        redirect_match: RedirectMatch::Exact,
        post_logout_redirect_uris: vec![],
        home_uri: None,
        scope: Scope::of(&["openid", "profile", "email"]),
        pkce: PkcePolicy::OrNonce,
        consent: ConsentPolicy::Ask,
        id_token_alg: SigningAlg::Rs256,
        access_token_alg: SigningAlg::Es256,
        enabled: true,
        epoch: 0,
        created_at: Timestamp::from_millis(0),
    }
}

/// Where the client's good requests are answered.
pub(crate) fn target() -> RedirectTarget {
    RedirectTarget { uri: RedirectUri::parse(URI).unwrap(), state: Some(STATE.to_owned()) }
}

/// Knows two hints: `good` for this client, `foreign` for another.
struct Hints;
impl HintVerifier for Hints {
    fn verify(&self, token: &str) -> Option<Hint> {
        let audience = match token {
            "good" => "app",
            "foreign" => "other",
            _ => return None,
        };
        Some(Hint { subject: "ada".to_owned(), session: None, audience: audience.to_owned() })
    }
}

fn params(changes: &[(&str, Option<&str>)]) -> Params {
    let mut pairs: Vec<(String, String)> = [
        ("client_id", "app"),
        ("redirect_uri", URI),
        ("response_type", "code"),
        ("scope", "openid email"),
        ("state", STATE),
        ("nonce", "n"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    for (name, value) in changes {
        pairs.retain(|(key, _)| key != name);
        pairs.extend(value.map(|value| ((*name).to_owned(), value.to_owned())));
    }
    Params::new(pairs)
}

fn twice(name: &str) -> Params {
    let mut pairs: Vec<_> = params(&[]).iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    pairs.push((name.to_owned(), "again".to_owned()));
    pairs.push((name.to_owned(), "and again".to_owned()));
    Params::new(pairs)
}

fn outcome(params: &Params, client: &Client) -> Result<AuthorizationRequest, AuthorizeRefusal> {
    check(params, Some(client), &Hints)
}

fn code(changes: &[(&str, Option<&str>)], client: &Client) -> Option<ErrorCode> {
    match outcome(&params(changes), client) {
        Ok(_) => None,
        Err(AuthorizeRefusal::Redirect(target, refusal)) => {
            assert_eq!(target.uri.as_str(), URI);
            Some(refusal.code)
        }
        Err(AuthorizeRefusal::Page(reason)) => panic!("a page, {reason:?}, for {changes:?}"),
    }
}

#[test]
fn a_good_request_is_kept_as_it_was_sent() {
    let request =
        outcome(&params(&[("max_age", Some("60")), ("prompt", Some("login consent"))]), &client()).unwrap();
    assert_eq!(request.scope.to_string(), "email openid");
    assert_eq!((request.nonce.as_deref(), request.max_age), (Some("n"), Some(60)));
    assert!(request.prompt.login && request.prompt.consent && !request.prompt.none);
    let stored = serde_json::to_string(&request).unwrap();
    assert_eq!(serde_json::from_str::<AuthorizationRequest>(&stored).unwrap(), request);
}

#[test]
fn az_06_an_unknown_or_disabled_client_gets_the_same_page() {
    let disabled = Client { enabled: false, ..client() };
    for (params, client) in [
        (params(&[]), None),
        (params(&[]), Some(disabled)),
        (params(&[("client_id", Some("a b"))]), Some(client())),
        (params(&[("client_id", Some("other"))]), Some(client())),
    ] {
        let page = AuthorizeRefusal::Page(PageReason::UnknownClient);
        assert_eq!(check(&params, client.as_ref(), &Hints), Err(page));
    }
    for (params, reason) in [
        (params(&[("client_id", None)]), PageReason::MissingClient),
        (params(&[("client_id", Some(""))]), PageReason::MissingClient),
        (twice("client_id"), PageReason::Repeated),
    ] {
        let page = Err(AuthorizeRefusal::Page(reason));
        assert_eq!(check(&params, Some(&client()), &Hints), page);
        assert_eq!(check(&params, None, &Hints), page, "whether the client is known or not");
    }
}

#[test]
fn az_01_az_04_a_redirect_uri_that_is_not_registered_gets_a_page() {
    let none = Client { redirect_uris: vec![], ..client() };
    for (params, client, reason) in [
        (params(&[("redirect_uri", None)]), client(), PageReason::MissingRedirectUri),
        (params(&[("redirect_uri", Some(""))]), client(), PageReason::MissingRedirectUri),
        (
            params(&[("redirect_uri", Some("https://app.example/cb/x"))]),
            client(),
            PageReason::UnregisteredRedirectUri,
        ),
        (params(&[]), none, PageReason::UnregisteredRedirectUri),
        (twice("redirect_uri"), self::client(), PageReason::Repeated),
    ] {
        assert_eq!(outcome(&params, &client), Err(AuthorizeRefusal::Page(reason)));
    }
}

#[test]
fn each_rule_refuses_with_its_code() {
    use ErrorCode::*;
    let confidential = client();
    for (name, value, expected) in [
        ("response_type", Some("token"), UnsupportedResponseType),
        ("response_type", Some("id_token token"), UnsupportedResponseType),
        ("response_type", Some(""), InvalidRequest),
        ("response_type", None, InvalidRequest),
        ("scope", None, InvalidScope),
        ("scope", Some("a\u{1}"), InvalidScope),
        ("code_challenge_method", Some("plain"), InvalidRequest),
        ("code_challenge_method", None, InvalidRequest),
        ("code_challenge", Some("abc"), InvalidRequest),
        ("code_challenge", None, InvalidRequest),
        ("response_mode", Some("fragment"), InvalidRequest),
        ("response_mode", Some("form_post"), InvalidRequest),
        ("response_mode", Some("query.jwt"), InvalidRequest),
        ("prompt", Some("none login"), InvalidRequest),
        ("prompt", Some("create"), InvalidRequest),
        ("max_age", Some("-1"), InvalidRequest),
        ("max_age", Some("+1"), InvalidRequest),
        ("max_age", Some("1e3"), InvalidRequest),
        ("max_age", Some("9223372036854775808"), InvalidRequest),
        ("max_age", Some("soon"), InvalidRequest),
        ("request", Some("e30."), RequestNotSupported),
        ("request_uri", Some("http://169.254.169.254/"), RequestUriNotSupported),
        ("registration", Some("{}"), RegistrationNotSupported),
        ("resource", Some("https://api.example"), InvalidTarget),
        ("id_token_hint", Some("forged"), LoginRequired),
        ("id_token_hint", Some("foreign"), LoginRequired),
        ("claims", Some("not json"), InvalidRequest),
        ("claims", Some("[]"), InvalidRequest),
        ("claims", Some(r#"{"id_token":[]}"#), InvalidRequest),
        ("claims", Some(r#"{"id_token":{"sub":[]}}"#), InvalidRequest),
        ("claims", Some(r#"{"id_token":{"sub":{"value":1}}}"#), InvalidRequest),
        ("claims", Some(r#"{"id_token":{"sub":{"values":"ada"}}}"#), InvalidRequest),
        ("claims", Some(r#"{"id_token":{"sub":{"values":[]}}}"#), LoginRequired),
    ] {
        assert_eq!(code(&[(name, value)], &confidential), Some(expected), "{name}={value:?}");
    }
}

#[test]
fn az_19_a_deep_claims_document_is_refused_not_followed() {
    for depth in [200, 200_000] {
        let deep = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert_eq!(code(&[("claims", Some(&deep))], &client()), Some(ErrorCode::InvalidRequest), "{depth}");
    }
}

#[test]
fn az_20_the_subject_asked_for_is_kept() {
    let claims = r#"{"id_token":{"sub":{"value":"eve"},"name":null}}"#;
    let request = outcome(&params(&[("claims", Some(claims))]), &client()).unwrap();
    assert_eq!(request.subjects, Some(vec!["eve".to_owned()]));
    let hinted = outcome(&params(&[("id_token_hint", Some("good"))]), &client()).unwrap();
    assert_eq!(hinted.subjects, Some(vec!["ada".to_owned()]));
    let several =
        r#"{"id_token":{"sub":{"values":["eve","ada"]}},"userinfo":{"sub":{"values":["ada","bob"]}}}"#;
    let request = outcome(&params(&[("claims", Some(several))]), &client()).unwrap();
    assert_eq!(request.subjects, Some(vec!["ada".to_owned()]));
    for nobody in
        [r#"{"id_token":null}"#, r#"{"id_token":{"sub":null}}"#, r#"{"userinfo":{"sub":{"essential":true}}}"#]
    {
        assert_eq!(
            outcome(&params(&[("claims", Some(nobody))]), &client()).unwrap().subjects,
            None,
            "{nobody}"
        );
    }
    let both = [("claims", Some(claims)), ("id_token_hint", Some("good"))];
    assert_eq!(code(&both, &client()), Some(ErrorCode::LoginRequired));
}

#[test]
fn az_11_the_policy_decides_whether_pkce_is_required() {
    let public = Client { auth_method: AuthMethod::None, pkce: PkcePolicy::Optional, ..client() };
    let of = |pkce| Client { pkce, ..client() };
    let (no_pkce, neither): (&[_], &[_]) = (
        &[("code_challenge", None), ("code_challenge_method", None)],
        &[("code_challenge", None), ("code_challenge_method", None), ("nonce", None)],
    );
    for (client, changes, good) in [
        (&public, no_pkce, false),
        (&of(PkcePolicy::Always), no_pkce, false),
        (&of(PkcePolicy::OrNonce), no_pkce, true),
        (&of(PkcePolicy::OrNonce), neither, false),
        (&of(PkcePolicy::Optional), neither, true),
    ] {
        let expected = (!good).then_some(ErrorCode::InvalidRequest);
        assert_eq!(code(changes, client), expected, "{:?} {changes:?}", client.pkce);
    }
    let plain_oauth = [("code_challenge", None), ("code_challenge_method", None), ("scope", Some("email"))];
    assert_eq!(
        code(&plain_oauth, &client()),
        Some(ErrorCode::InvalidRequest),
        "a nonce without openid protects nothing"
    );
}

#[test]
fn unknown_parameters_and_hints_for_the_page_are_ignored() {
    for (name, value) in [
        ("extra", "foobar"),
        ("display", "popup"),
        ("ui_locales", "se"),
        ("claims_locales", "se"),
        ("acr_values", "1 2"),
        ("login_hint", "buffy@id.example"),
        ("prompt", ""),
        ("scope", "email openid address phone"),
    ] {
        assert_eq!(code(&[(name, Some(value))], &client()), None, "{name}");
    }
}

#[test]
fn a_parameter_sent_twice_is_refused() {
    for name in SINGLE_VALUED {
        match outcome(&twice(name), &client()) {
            Err(AuthorizeRefusal::Redirect(target, refusal)) => {
                assert_eq!(refusal.code, ErrorCode::InvalidRequest, "{name}");
                assert_eq!(target.state.is_none(), name == "state", "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn az_27_every_answer_carries_state_and_issuer() {
    let target = outcome(&params(&[]), &client()).unwrap().target;
    let refusal = Refusal::new(ErrorCode::AccessDenied, "no");
    let success = target.success("https://id.example", &SingleUse::generate());
    for location in [success.expose(), &target.error("https://id.example", refusal)] {
        let url = url::Url::parse(location).unwrap();
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        assert!(pairs.contains(&("state".into(), STATE.into())), "{location}");
        assert!(pairs.contains(&("iss".into(), "https://id.example".into())), "{location}");
    }
}
