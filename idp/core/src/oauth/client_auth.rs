//! Client authentication at the token endpoint (RFC 6749 section 2.3).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::error::{ErrorCode, Refusal};
use super::params::Params;
use crate::client::{AuthMethod, ClientId};
use crate::secret::{Digest, Secret};

/// What a request presents to prove which client it is.
#[derive(Debug)]
pub struct Credentials {
    /// The client it claims to be.
    pub client_id: ClientId,
    secret: Presented,
}

/// What is registered about a client for its authentication.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The client.
    pub id: ClientId,
    /// How it authenticates.
    pub auth_method: AuthMethod,
    /// Digest of its secret; a public client has none.
    pub secret: Option<Digest>,
    /// A disabled client never authenticates.
    pub enabled: bool,
}

impl AsRef<Self> for Registered {
    fn as_ref(&self) -> &Self {
        self
    }
}

#[derive(Debug)]
enum Presented {
    Nothing,
    Basic(Secret),
    Post(Secret),
}

const TWO_METHODS: Refusal =
    Refusal::new(ErrorCode::InvalidRequest, "authenticate either by header or in the body, not both");
const FAILED: Refusal = Refusal::new(ErrorCode::InvalidClient, "client authentication failed");

/// Reads the credentials of a request.
///
/// # Errors
/// `invalid_request` if two methods are used at once or a parameter is repeated, `invalid_client` if there is nothing
/// readable.
pub fn read(authorization: Option<&str>, params: &Params) -> Result<Credentials, Refusal> {
    if let Some(name) = ["client_id", "client_secret"].into_iter().find(|name| params.is_repeated(name)) {
        let refusal = Refusal::new(ErrorCode::InvalidRequest, "a parameter is there more than once");
        return Err(refusal.because_of(name));
    }
    let Some(header) = authorization else {
        let client_id = parse_id(params.get("client_id").ok_or(FAILED)?)?;
        // An empty secret was still presented: it is wrong, not absent.
        let secret = match params.get("client_secret") {
            Some(secret) => Presented::Post(Secret::new(secret.to_owned())),
            None if params.has("client_secret") => Presented::Post(Secret::new(String::new())),
            None => Presented::Nothing,
        };
        return Ok(Credentials { client_id, secret });
    };
    if params.has("client_secret") {
        return Err(TWO_METHODS);
    }
    let (client_id, secret) = basic(header).ok_or(FAILED)?;
    let client_id = parse_id(&client_id)?;
    if params.get("client_id").is_some_and(|id| id != client_id.as_str()) {
        return Err(TWO_METHODS);
    }
    Ok(Credentials { client_id, secret: Presented::Basic(Secret::new(secret)) })
}

/// Both parts of a Basic header are form-encoded before they are joined (RFC 6749 section 2.3.1).
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, value) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((form_decoded(id)?, form_decoded(secret)?))
}

fn form_decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8().ok().map(|text| text.into_owned())
}

fn parse_id(text: &str) -> Result<ClientId, Refusal> {
    ClientId::parse(text).map_err(|_| FAILED)
}

/// Checks the credentials against what is registered under their client ID. An unknown client costs the same
/// comparison as a known one and gets the same answer.
///
/// # Errors
/// `invalid_client`.
pub fn check<'a, C: AsRef<Registered>>(
    credentials: &Credentials,
    client: Option<&'a C>,
) -> Result<&'a C, Refusal> {
    let known = client.map(AsRef::as_ref);
    let known = known.filter(|client| client.enabled && client.id == credentials.client_id);
    let method = known.map_or(AuthMethod::BasicOrPost, |client| client.auth_method);
    let (presented, allowed) = match &credentials.secret {
        Presented::Nothing => (None, method == AuthMethod::None),
        Presented::Basic(secret) => {
            (Some(secret), matches!(method, AuthMethod::Basic | AuthMethod::BasicOrPost))
        }
        Presented::Post(secret) => {
            (Some(secret), matches!(method, AuthMethod::Post | AuthMethod::BasicOrPost))
        }
    };
    let right = match presented {
        None => known.is_some_and(|client| client.secret.is_none()),
        Some(secret) => secret_matches(secret, known.and_then(|client| client.secret.as_ref())),
    };
    client.filter(|_| known.is_some() && allowed && right).ok_or(FAILED)
}

/// Why [`check`] refused, for the log only: the client gets the same answer every time.
pub fn failure<C: AsRef<Registered>>(credentials: &Credentials, client: Option<&C>) -> &'static str {
    let Some(client) = client.map(AsRef::as_ref) else { return "unknown client" };
    let registered = match &credentials.secret {
        Presented::Nothing => client.auth_method == AuthMethod::None,
        Presented::Basic(_) => matches!(client.auth_method, AuthMethod::Basic | AuthMethod::BasicOrPost),
        Presented::Post(_) => matches!(client.auth_method, AuthMethod::Post | AuthMethod::BasicOrPost),
    };
    match (client.enabled, registered) {
        (false, _) => "this client is disabled",
        (true, false) => "its authentication method is not the registered one",
        (true, true) => "wrong secret",
    }
}

fn secret_matches(presented: &Secret, registered: Option<&Digest>) -> bool {
    let nobodys = Digest::of("");
    let right = registered.unwrap_or(&nobodys).matches(presented.expose());
    right && registered.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(pairs: &[(&str, &str)]) -> Params {
        Params::new(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
    }

    fn header(id: &str, secret: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
    }

    const NOBODY: Option<&Registered> = None;

    fn registered(auth_method: AuthMethod) -> Registered {
        let secret = (auth_method != AuthMethod::None).then(|| Digest::of("p+w %2B"));
        Registered { id: ClientId::parse("app").unwrap(), auth_method, secret, enabled: true }
    }

    fn outcome(header: Option<&str>, body: &[(&str, &str)], method: AuthMethod) -> Result<(), ErrorCode> {
        let client = registered(method);
        let credentials = read(header, &params(body)).map_err(|refusal| refusal.code)?;
        check(&credentials, Some(&client)).map(|_| ()).map_err(|refusal| refusal.code)
    }

    #[test]
    fn each_method_works_where_it_is_registered() {
        let basic = header("app", "p%2Bw+%252B");
        let post: &[_] = &[("client_id", "app"), ("client_secret", "p+w %2B")];
        for (method, basic_works, post_works, none_works) in [
            (AuthMethod::Basic, true, false, false),
            (AuthMethod::Post, false, true, false),
            (AuthMethod::BasicOrPost, true, true, false),
            (AuthMethod::None, false, false, true),
        ] {
            assert_eq!(outcome(Some(&basic), &[], method).is_ok(), basic_works, "{method:?}");
            assert_eq!(
                outcome(Some(&basic), &[("client_id", "app")], method).is_ok(),
                basic_works,
                "{method:?}"
            );
            assert_eq!(outcome(None, post, method).is_ok(), post_works, "{method:?}");
            assert_eq!(outcome(None, &[("client_id", "app")], method).is_ok(), none_works, "{method:?}");
        }
    }

    #[test]
    fn tk_10_wrong_empty_missing_or_repeated_credentials_are_refused() {
        use ErrorCode::*;
        let (good, wrong, empty) = (header("app", "p%2Bw+%252B"), header("app", "wrong"), header("app", ""));
        let foreign = header("other", "p%2Bw+%252B");
        for (header, body, code) in [
            (Some(wrong.as_str()), vec![], InvalidClient),
            (Some(&empty), vec![], InvalidClient),
            (Some(&foreign), vec![], InvalidClient),
            (Some("Basic %%%"), vec![], InvalidClient),
            (Some("Bearer x"), vec![], InvalidClient),
            (None, vec![], InvalidClient),
            (None, vec![("client_id", "app")], InvalidClient),
            (None, vec![("client_id", "app"), ("client_secret", "")], InvalidClient),
            (None, vec![("client_id", "app"), ("client_secret", "wrong")], InvalidClient),
            (None, vec![("client_id", "a b"), ("client_secret", "x")], InvalidClient),
            (Some(&good), vec![("client_secret", "p+w %2B")], InvalidRequest),
            (Some(&good), vec![("client_secret", "")], InvalidRequest),
            (Some(&good), vec![("client_id", "other")], InvalidRequest),
            (
                None,
                vec![("client_id", "app"), ("client_id", "app"), ("client_secret", "p+w %2B")],
                InvalidRequest,
            ),
        ] {
            assert_eq!(outcome(header, &body, AuthMethod::BasicOrPost), Err(code), "{header:?} {body:?}");
        }
    }

    #[test]
    fn the_log_gets_the_real_reason() {
        let body = |pairs: &[(&str, &str)]| read(None, &params(pairs)).unwrap();
        let wrong = body(&[("client_id", "app"), ("client_secret", "wrong")]);
        let post = registered(AuthMethod::Post);
        let disabled = Registered { enabled: false, ..post.clone() };
        assert_eq!(failure(&wrong, NOBODY), "unknown client");
        assert_eq!(failure(&wrong, Some(&disabled)), "this client is disabled");
        assert_eq!(failure(&wrong, Some(&post)), "wrong secret");
        let other = "its authentication method is not the registered one";
        assert_eq!(failure(&wrong, Some(&registered(AuthMethod::Basic))), other);
        assert_eq!(failure(&body(&[("client_id", "app")]), Some(&post)), other);
    }

    #[test]
    fn an_unknown_or_disabled_client_never_passes() {
        let credentials = read(None, &params(&[("client_id", "app")])).unwrap();
        assert!(check(&credentials, NOBODY).is_err());
        let disabled = Registered { enabled: false, ..registered(AuthMethod::None) };
        assert!(check(&credentials, Some(&disabled)).is_err());
        let secretless = read(None, &params(&[("client_id", "app"), ("client_secret", "")])).unwrap();
        assert!(check(&secretless, NOBODY).is_err(), "the digest nobody has opens nothing");
    }
}
