//! Clients to register, from the command line or a seed file, with the same checks for both.

use std::path::PathBuf;

use idp_core::audit::AuditEvent;
use idp_core::client::{AuthMethod, Client, ClientId, ConsentPolicy, PkcePolicy, SigningAlg};
use idp_core::redirect_uri::{RedirectMatch, RedirectUri};
use idp_core::scope::{KNOWN, Scope};
use idp_core::secret::Secret;
use idp_core::text::{DisplayText, readable};
use idp_core::time::Timestamp;
use idp_server::config::settings::unknown;
use idp_store::Store;
use serde::{Deserialize, Deserializer};

use crate::audit;
use crate::failure::Failure;

/// A client as an operator describes it, with options or in a seed file. Whatever is left out has a default that
/// suits most clients.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientSpec {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) public: bool,
    #[serde(default)]
    pub(crate) native: bool,
    #[serde(default)]
    pub(crate) redirect_uris: Vec<String>,
    #[serde(default)]
    pub(crate) post_logout_redirect_uris: Vec<String>,
    pub(crate) home_uri: Option<String>,
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    pub(crate) auth_method: Option<String>,
    pub(crate) pkce: Option<String>,
    pub(crate) consent: Option<String>,
    pub(crate) id_token_alg: Option<String>,
    pub(crate) access_token_alg: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    pub(crate) secret: Option<Secret>,
    /// A file with the secret. The reader of a seed replaces it with `secret`; `checked` ignores it.
    pub(crate) secret_file: Option<PathBuf>,
}

/// The default scope. It lacks `offline_access`, which outlives the session.
const SCOPES: [&str; 3] = ["openid", "profile", "email"];
/// The maximum number of characters in a client's name.
const LONGEST_NAME: usize = 60;
/// The minimum length of a supplied secret; generated ones have 43 characters.
const SHORTEST_SECRET: usize = 32;
/// The maximum length of one.
const LONGEST_SECRET: usize = 256;

/// A client's name as people see it. A name that would have to be changed is refused.
fn shown_name(text: &str) -> Result<DisplayText, String> {
    let name = readable(text).map_err(|why| format!("the name: {why}; type it again"))?;
    match name.chars().count() {
        0 => Err("the name is empty; people see it when they are asked for consent".to_owned()),
        count if count > LONGEST_NAME => {
            Err(format!("the name has {count} characters; pages show at most {LONGEST_NAME}"))
        }
        _ => Ok(DisplayText::new(&name, LONGEST_NAME)),
    }
}

impl ClientSpec {
    /// Checks it. Of the secret, only a digest is kept.
    ///
    /// # Errors
    /// One sentence: what is wrong, and what would be right.
    pub(crate) fn checked(self, now: Timestamp) -> Result<Client, String> {
        let id =
            ClientId::parse(&self.id).map_err(|why| format!("`{}` cannot be a client id: {why}", self.id))?;
        let auth_method = self.auth_method()?;
        let name = match &self.name {
            Some(name) => shown_name(name)?,
            None => DisplayText::new(&self.id, LONGEST_NAME),
        };
        if self.redirect_uris.is_empty() {
            return Err(format!("client {id} has no redirect URI; name the URI that its responses go to"));
        }
        Ok(Client {
            name,
            auth_method,
            secret: self.secret()?.map(Secret::digest),
            redirect_uris: all(&self.redirect_uris, redirect_uri)?,
            redirect_match: if self.native { RedirectMatch::LoopbackPort } else { RedirectMatch::Exact },
            post_logout_redirect_uris: all(&self.post_logout_redirect_uris, post_logout_redirect_uri)?,
            home_uri: self.home_uri.as_deref().map(|text| uri_exact(text, "home URI")).transpose()?,
            scope: scope(&self.scopes)?,
            pkce: self.pkce()?,
            consent: word("consent policy", &self.consent, ConsentPolicy::ALL, ConsentPolicy::as_str)?
                .unwrap_or(ConsentPolicy::Ask),
            id_token_alg: algorithm(&self.id_token_alg)?.unwrap_or(SigningAlg::Rs256),
            access_token_alg: algorithm(&self.access_token_alg)?.unwrap_or(SigningAlg::Es256),
            enabled: true,
            epoch: 0,
            created_at: now,
            id,
        })
    }

    fn auth_method(&self) -> Result<AuthMethod, String> {
        let method = word("authentication method", &self.auth_method, AuthMethod::ALL, AuthMethod::as_str)?;
        match (self.public, method) {
            (true, None | Some(AuthMethod::None)) => Ok(AuthMethod::None),
            (false, Some(AuthMethod::None)) => {
                Err("authentication method `none` is for public clients; make this client public".to_owned())
            }
            (true, Some(_)) => {
                Err("a public client has no secret and so no authentication method".to_owned())
            }
            (false, method) => Ok(method.unwrap_or(AuthMethod::BasicOrPost)),
        }
    }

    /// Public clients always use PKCE (RFC 9700 section 2.1.1).
    fn pkce(&self) -> Result<PkcePolicy, String> {
        let policy = word("PKCE policy", &self.pkce, PkcePolicy::ALL, PkcePolicy::as_str)?;
        match (self.public, policy) {
            (true, None | Some(PkcePolicy::Always)) => Ok(PkcePolicy::Always),
            (true, Some(_)) => Err("a public client always uses PKCE; leave the policy out".to_owned()),
            (false, policy) => Ok(policy.unwrap_or(PkcePolicy::OrNonce)),
        }
    }

    fn secret(&self) -> Result<Option<&Secret>, String> {
        match &self.secret {
            Some(_) if self.public => Err("a public client has no secret; leave it out".to_owned()),
            None if !self.public => Err("a client that is not public needs a secret".to_owned()),
            Some(secret) if !is_safe_in_all_encodings(secret) => Err(format!(
                "the secret needs {SHORTEST_SECRET} or more of the characters A-Z a-z 0-9 - . _ ~, and at most {LONGEST_SECRET}"
            )),
            secret => Ok(secret.as_ref()),
        }
    }
}

fn secret<'de, D: Deserializer<'de>>(text: D) -> Result<Option<Secret>, D::Error> {
    String::deserialize(text).map(|text| Some(Secret::new(text)))
}

/// Client libraries encode secrets differently; these characters survive all of them.
fn is_safe_in_all_encodings(secret: &Secret) -> bool {
    let text = secret.expose();
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    (SHORTEST_SECRET..=LONGEST_SECRET).contains(&text.len()) && text.bytes().all(unreserved)
}

fn uri_exact(text: &str, what: &str) -> Result<RedirectUri, String> {
    RedirectUri::parse_new(text).map_err(|why| format!("`{text}` cannot be a {what}: {why}"))
}

/// A redirect URI. Anyone who writes `*` expects a pattern, but there are none.
///
/// # Errors
/// One sentence.
pub(crate) fn redirect_uri(text: &str) -> Result<RedirectUri, String> {
    uri(text, "redirect URI")
}

/// A URI that browsers may return to after sign-out, by the same rules.
///
/// # Errors
/// One sentence.
pub(crate) fn post_logout_redirect_uri(text: &str) -> Result<RedirectUri, String> {
    uri(text, "post-logout redirect URI")
}

fn uri(text: &str, what: &str) -> Result<RedirectUri, String> {
    if text.contains('*') {
        return Err(format!(
            "`{text}` cannot be a {what}: URIs are compared byte for byte, so `*` is not a wildcard; \
             list each URI"
        ));
    }
    uri_exact(text, what)
}

fn all<T>(texts: &[String], parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    texts.iter().map(|text| parse(text)).collect()
}

/// A scope, with `openid` added: sign-in requires it (OpenID Connect Core section 3.1.2.1).
///
/// # Errors
/// One sentence, if a scope is unknown.
pub(crate) fn scope(texts: &[String]) -> Result<Scope, String> {
    let words: Vec<&str> = texts.iter().flat_map(|text| text.split_whitespace()).collect();
    match words.iter().find(|word| !KNOWN.contains(word)) {
        Some(unknown_scope) => Err(unknown(unknown_scope, "scope", KNOWN.into_iter())),
        None if words.is_empty() => Ok(Scope::of(&SCOPES)),
        None => Ok(Scope::of(&words).united(&Scope::of(&["openid"]))),
    }
}

fn algorithm(text: &Option<String>) -> Result<Option<SigningAlg>, String> {
    word("signature algorithm", text, SigningAlg::ALL, SigningAlg::as_str)
}

/// One of a fixed set of values.
fn word<T: Copy>(
    what: &str,
    given: &Option<String>,
    all: &[T],
    as_str: impl Fn(T) -> &'static str,
) -> Result<Option<T>, String> {
    let Some(given) = given else { return Ok(None) };
    let found = all.iter().copied().find(|value| as_str(*value) == given);
    let words = all.iter().map(|value| as_str(*value));
    found.map(Some).ok_or_else(|| unknown(given, what, words))
}

/// Registers it with its audit row. `false`: the id is taken, and nothing changed.
///
/// # Errors
/// [`Failure`] when the database fails.
pub(crate) async fn register(store: &Store, client: Client) -> Result<bool, Failure> {
    let write = store.write(client, |tx, client| {
        Box::pin(async move {
            let made = tx.insert_client(client).await?;
            if made {
                tx.audit(&audit::row(AuditEvent::ClientCreated, &client.id, client.created_at)).await?;
            }
            Ok(made)
        })
    });
    Ok(write.await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ClientSpec {
        ClientSpec {
            id: "app".to_owned(),
            redirect_uris: vec!["https://app.example.com/cb".to_owned()],
            secret: Some(Secret::random()),
            ..ClientSpec::default()
        }
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    fn checked(spec: ClientSpec) -> Result<Client, String> {
        spec.checked(Timestamp::from_millis(0))
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let client = checked(spec()).unwrap();
        assert_eq!(client.name.as_str(), "app");
        assert_eq!((client.auth_method, client.pkce), (AuthMethod::BasicOrPost, PkcePolicy::OrNonce));
        assert_eq!((client.id_token_alg, client.access_token_alg), (SigningAlg::Rs256, SigningAlg::Es256));
        assert_eq!((client.consent, client.redirect_match), (ConsentPolicy::Ask, RedirectMatch::Exact));
        assert_eq!(client.scope.to_string(), "email openid profile");
        let public = checked(ClientSpec { public: true, native: true, secret: None, ..spec() }).unwrap();
        assert_eq!((public.auth_method, public.pkce), (AuthMethod::None, PkcePolicy::Always));
        assert_eq!((public.secret, public.redirect_match), (None, RedirectMatch::LoopbackPort));
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_could() {
        let public = || ClientSpec { public: true, secret: None, ..spec() };
        let http = vec!["http://app.example.com/cb".to_owned()];
        for (spec, why) in [
            (ClientSpec { id: "a b".into(), ..spec() }, "`a b` cannot be a client id: a client id has"),
            (ClientSpec { name: some(" "), ..spec() }, "the name is empty"),
            (ClientSpec { redirect_uris: vec![], ..spec() }, "client app has no redirect URI"),
            (ClientSpec { redirect_uris: http.clone(), ..spec() }, "http is allowed for 127.0.0.1"),
            (ClientSpec { post_logout_redirect_uris: http, ..spec() }, "http is allowed for 127.0.0.1"),
            (
                ClientSpec { scopes: vec!["opnid email".into()], ..spec() },
                "the nearest valid name is `openid`",
            ),
            (ClientSpec { pkce: some("allways"), ..spec() }, "the nearest valid name is `always`"),
            (ClientSpec { consent: some("skp"), ..spec() }, "the nearest valid name is `skip`"),
            (ClientSpec { id_token_alg: some("HS256"), ..spec() }, "the nearest valid name is `"),
            (ClientSpec { auth_method: some("none"), ..spec() }, "`none` is for public clients"),
            (ClientSpec { auth_method: some("client_secret_post"), ..public() }, "has no secret"),
            (ClientSpec { pkce: some("optional"), ..public() }, "a public client always uses PKCE"),
            (ClientSpec { secret: Some(Secret::random()), ..public() }, "a public client has no secret"),
            (ClientSpec { secret: None, ..spec() }, "needs a secret"),
            (ClientSpec { secret: Some(Secret::new("short".into())), ..spec() }, "needs 32 or more"),
            // fault_13
            (ClientSpec { home_uri: some("foo"), ..spec() }, "`foo` cannot be a home URI: "),
            (
                ClientSpec { post_logout_redirect_uris: vec!["foo*".into()], ..spec() },
                "`foo*` cannot be a post-logout redirect URI: ",
            ),
            (ClientSpec { secret: Some(Secret::new("a".repeat(257))), ..spec() }, "and at most 256"),
            (ClientSpec { secret: Some(Secret::new("a b:".repeat(10))), ..spec() }, "A-Z a-z 0-9 - . _ ~"),
        ] {
            let told = checked(spec).err().unwrap_or_default();
            assert!(told.contains(why), "{why}: {told}");
        }
    }
}
