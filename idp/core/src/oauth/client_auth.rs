//! Client authentication at the token endpoint (RFC 6749 section 2.3).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::error::{ErrorCode, Refusal};
use super::params::Params;
use crate::client::{AuthMethod, Client, ClientId};
use crate::secret::Secret;

/// What a request presents to prove which client it is.
#[derive(Debug)]
pub struct PresentedCredentials {
    /// The client it claims to be.
    pub client_id: ClientId,
    secret: PresentedSecret,
}

#[derive(Debug)]
enum PresentedSecret {
    Nothing,
    Basic(Secret),
    Post(Secret),
}

const TWO_METHODS: Refusal =
    Refusal::new(ErrorCode::InvalidRequest, "authenticate either by header or in the body, not both");
const TWO_IDS: Refusal = Refusal::new(
    ErrorCode::InvalidRequest,
    "client_id in the body differs from the one in the Authorization header",
)
.because_of("client_id");
/// The one response to a client that fails to authenticate.
pub const FAILED: Refusal = Refusal::new(ErrorCode::InvalidClient, "client authentication failed");

/// The parameters of a request that [`read`] reads.
pub(super) const PARAMETERS: [&str; 2] = ["client_id", "client_secret"];

/// Reads the credentials of a request.
///
/// # Errors
/// `invalid_request` if two methods or two client IDs are used at once, or a parameter is repeated; `invalid_client` if
/// there is nothing readable.
pub fn read(authorization: Option<&str>, params: &Params) -> Result<PresentedCredentials, Refusal> {
    if let Some(name) = PARAMETERS.into_iter().find(|name| params.is_repeated(name)) {
        let refusal = Refusal::new(ErrorCode::InvalidRequest, "a parameter is repeated");
        return Err(refusal.because_of(name));
    }
    let Some(header) = authorization else {
        let client_id = parse_id(params.get("client_id").ok_or(FAILED)?)?;
        // An empty secret was still presented: it is wrong, not absent.
        let secret = match params.get("client_secret") {
            Some(secret) => PresentedSecret::Post(Secret::new(secret.to_owned())),
            None if params.has("client_secret") => PresentedSecret::Post(Secret::new(String::new())),
            None => PresentedSecret::Nothing,
        };
        return Ok(PresentedCredentials { client_id, secret });
    };
    if params.has("client_secret") {
        return Err(TWO_METHODS);
    }
    let (client_id, secret) = basic(header).ok_or(FAILED)?;
    let client_id = parse_id(&client_id)?;
    if params.get("client_id").is_some_and(|id| id != client_id.as_str()) {
        return Err(TWO_IDS);
    }
    Ok(PresentedCredentials { client_id, secret: PresentedSecret::Basic(secret) })
}

/// Both parts of a Basic header are form-encoded before they are joined (RFC 6749 section 2.3.1).
fn basic(header: &str) -> Option<(String, Secret)> {
    let (scheme, value) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = Zeroizing::new(STANDARD.decode(value.trim()).ok()?);
    let (id, secret) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    Some((form_decoded(id)?.expose().to_owned(), form_decoded(secret)?))
}

/// Nothing else is left of it in memory, because it may be a secret.
fn form_decoded(text: &str) -> Option<Secret> {
    let spaced = Zeroizing::new(text.replace('+', " "));
    // No longer than what it is decoded from. A buffer that grows would leave copies.
    let mut bytes = Zeroizing::new(Vec::with_capacity(spaced.len()));
    bytes.extend(percent_encoding::percent_decode_str(&spaced));
    std::str::from_utf8(&bytes).ok().map(|text| Secret::new(text.to_owned()))
}

fn parse_id(text: &str) -> Result<ClientId, Refusal> {
    ClientId::parse(text).map_err(|_| FAILED)
}

/// Why a client failed to authenticate, for the log only: the client gets one response, [`FAILED`], for every reason.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientAuthFailure {
    /// The registered client, if the ID is one.
    pub client_id: Option<ClientId>,
    /// The reason.
    pub why: &'static str,
}

/// Checks the credentials against the client that is registered under their client ID, and returns that client.
///
/// # Errors
/// [`ClientAuthFailure`]; the client is answered [`FAILED`].
pub fn authenticate(
    credentials: &PresentedCredentials,
    registered: Option<Client>,
) -> Result<Client, ClientAuthFailure> {
    let registered = registered.filter(|client| client.id == credentials.client_id);
    let Some(client) = registered else {
        return Err(ClientAuthFailure { client_id: None, why: "unknown client" });
    };
    let why = if !client.enabled {
        "this client is disabled"
    } else if !uses_registered_method(credentials, &client) {
        "its authentication method is not the registered one"
    } else if !secret_matches(credentials, &client) {
        "wrong secret"
    } else {
        return Ok(client);
    };
    Err(ClientAuthFailure { client_id: Some(client.id), why })
}

fn secret_matches(credentials: &PresentedCredentials, client: &Client) -> bool {
    match (&credentials.secret, &client.secret) {
        (PresentedSecret::Nothing, registered) => registered.is_none(),
        (PresentedSecret::Basic(secret) | PresentedSecret::Post(secret), Some(registered)) => {
            registered.matches(secret.expose())
        }
        (PresentedSecret::Basic(_) | PresentedSecret::Post(_), None) => false,
    }
}

fn uses_registered_method(credentials: &PresentedCredentials, client: &Client) -> bool {
    match credentials.secret {
        PresentedSecret::Nothing => client.auth_method == AuthMethod::None,
        PresentedSecret::Basic(_) => {
            matches!(client.auth_method, AuthMethod::Basic | AuthMethod::BasicOrPost)
        }
        PresentedSecret::Post(_) => matches!(client.auth_method, AuthMethod::Post | AuthMethod::BasicOrPost),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::authorize::tests::client;
    use crate::secret::Digest;

    fn params(pairs: &[(&str, &str)]) -> Params {
        Params::new(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
    }

    fn header(id: &str, secret: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
    }

    fn registered(auth_method: AuthMethod) -> Client {
        let secret = (auth_method != AuthMethod::None).then(|| Digest::of("p+w %2B"));
        Client { id: ClientId::parse("app").unwrap(), auth_method, secret, enabled: true, ..client() }
    }

    fn outcome(header: Option<&str>, body: &[(&str, &str)], method: AuthMethod) -> Result<(), ErrorCode> {
        let credentials = read(header, &params(body)).map_err(|refusal| refusal.code)?;
        authenticate(&credentials, Some(registered(method))).map(drop).map_err(|_| FAILED.code)
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
        let failure = |credentials: &PresentedCredentials, client: Option<Client>| {
            let ClientAuthFailure { client_id, why } = authenticate(credentials, client).unwrap_err();
            (client_id.map(|id| id.to_string()), why)
        };
        let wrong = body(&[("client_id", "app"), ("client_secret", "wrong")]);
        let post = registered(AuthMethod::Post);
        let disabled = Client { enabled: false, ..post.clone() };
        let app = || Some("app".to_owned());
        assert_eq!(failure(&wrong, None), (None, "unknown client"));
        assert_eq!(failure(&wrong, Some(disabled)), (app(), "this client is disabled"));
        assert_eq!(failure(&wrong, Some(post.clone())), (app(), "wrong secret"));
        let other = (app(), "its authentication method is not the registered one");
        assert_eq!(failure(&wrong, Some(registered(AuthMethod::Basic))), other);
        assert_eq!(failure(&body(&[("client_id", "app")]), Some(post)), other);
    }

    #[test]
    fn an_unknown_or_disabled_client_never_passes() {
        let credentials = read(None, &params(&[("client_id", "app")])).unwrap();
        assert!(authenticate(&credentials, None).is_err());
        let disabled = Client { enabled: false, ..registered(AuthMethod::None) };
        assert!(authenticate(&credentials, Some(disabled)).is_err());
        let another = Client { id: ClientId::parse("other").unwrap(), ..registered(AuthMethod::None) };
        assert!(authenticate(&credentials, Some(another)).is_err());
        let secretless = read(None, &params(&[("client_id", "app"), ("client_secret", "")])).unwrap();
        let public = registered(AuthMethod::None);
        assert!(authenticate(&secretless, Some(public)).is_err(), "an empty secret opens nothing");
    }
}
