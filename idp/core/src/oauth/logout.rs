//! Signing out on an application's behalf (OpenID Connect RP-Initiated Logout 1.0).

use super::keys::{Hint, HintVerifier};
use super::params::Params;
use crate::client::{Client, ClientId};
use crate::redirect_uri::RedirectUri;
use crate::session::Session;

/// A sign-out request, read but not decided.
#[derive(Debug)]
pub struct LogoutRequest<'a> {
    hint: HintState,
    client_id: Option<ClientId>,
    redirect_uri: Option<&'a str>,
    state: Option<&'a str>,
}

#[derive(Debug)]
enum HintState {
    None,
    Good(Hint),
    Bad,
}

/// Where the browser goes after signing out: made from a registered URI only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutTarget {
    uri: RedirectUri,
    state: Option<String>,
}

impl LogoutTarget {
    /// The registered URI, with exactly the state that was sent.
    pub fn location(&self) -> String {
        match &self.state {
            Some(state) => self.uri.with_params(&[("state", state)]),
            None => self.uri.as_str().to_owned(),
        }
    }

    /// The request's parameters that lead here.
    pub fn params(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let state = self.state.as_deref().map(|state| ("state", state));
        std::iter::once(("post_logout_redirect_uri", self.uri.as_str())).chain(state)
    }

    /// For `form-action` of the page that asks.
    pub fn uri(&self) -> &RedirectUri {
        &self.uri
    }
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Logout {
    /// End the session, if there is one, without a question: the request proves that it comes from an
    /// application of this very person.
    Now(Option<LogoutTarget>),
    /// Ask first: anybody could have sent this browser here.
    Ask(Option<LogoutTarget>),
}

/// Why a sign-out request is answered with a page: nothing is ended, nobody is redirected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogoutRefusal {
    /// `post_logout_redirect_uri` is not registered, or nothing says for which client.
    ForeignRedirectUri,
    /// `client_id` is unknown.
    UnknownClient,
    /// A parameter came twice.
    Repeated,
}

impl<'a> LogoutRequest<'a> {
    /// Reads the parameters; hints that this server did not sign count as bad, not as absent.
    ///
    /// # Errors
    /// [`LogoutRefusal`] for repeated parameters and malformed client ids.
    pub fn read(params: &'a Params, hints: &dyn HintVerifier) -> Result<Self, LogoutRefusal> {
        if params.any_repeated(&["id_token_hint", "client_id", "post_logout_redirect_uri", "state"]) {
            return Err(LogoutRefusal::Repeated);
        }
        let hint = match params.get("id_token_hint") {
            None => HintState::None,
            Some(token) => hints.verify(token).map_or(HintState::Bad, HintState::Good),
        };
        let named = match params.get("client_id") {
            Some(id) => Some(ClientId::parse(id).map_err(|_| LogoutRefusal::UnknownClient)?),
            None => None,
        };
        let (hint, client_id) = match (hint, named) {
            (HintState::Good(hint), Some(id)) if hint.audience != id.as_str() => (HintState::Bad, Some(id)),
            (HintState::Good(hint), None) => {
                let id = ClientId::parse(&hint.audience).ok();
                (HintState::Good(hint), id)
            }
            other => other,
        };
        Ok(Self {
            hint,
            client_id,
            redirect_uri: params.get("post_logout_redirect_uri"),
            state: params.get("state"),
        })
    }

    /// The client to load before deciding.
    pub fn client_id(&self) -> Option<&ClientId> {
        self.client_id.as_ref()
    }

    /// Decides. `client` is what the store has under [`LogoutRequest::client_id`].
    ///
    /// # Errors
    /// [`LogoutRefusal`] for a client or a redirect URI that is not registered.
    pub fn decide(
        &self,
        client: Option<&Client>,
        session: Option<&Session>,
    ) -> Result<Logout, LogoutRefusal> {
        let client = client.filter(|client| client.enabled);
        if self.client_id.is_some() && client.is_none() {
            return Err(LogoutRefusal::UnknownClient);
        }
        let target = self.target(client)?;
        Ok(match (&self.hint, session) {
            // Somebody else's or a forged hint earns a question, and no way back to whoever sent it.
            (HintState::Bad, Some(_)) => Logout::Ask(None),
            (HintState::Bad, None) => Logout::Now(None),
            (HintState::Good(_), None) => Logout::Now(target),
            (HintState::Good(hint), Some(session)) if hint.subject == session.user_id.to_string() => {
                Logout::Now(target)
            }
            (HintState::Good(_), Some(_)) => Logout::Ask(target),
            (HintState::None, None) => Logout::Now(target),
            (HintState::None, Some(_)) => Logout::Ask(target),
        })
    }

    fn target(&self, client: Option<&Client>) -> Result<Option<LogoutTarget>, LogoutRefusal> {
        let Some(requested) = self.redirect_uri else { return Ok(None) };
        let client = client.ok_or(LogoutRefusal::ForeignRedirectUri)?;
        let uri = client.redirect_match.find(&client.post_logout_redirect_uris, requested);
        let uri = uri.ok_or(LogoutRefusal::ForeignRedirectUri)?;
        Ok(Some(LogoutTarget { uri, state: self.state.map(str::to_owned) }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::authorize::tests::client;
    use super::*;
    use crate::ids::{SessionId, UserId};
    use crate::session::Authentication;
    use crate::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const URI: &str = "https://app.example/bye";

    struct Signer(UserId);
    impl HintVerifier for Signer {
        fn verify(&self, token: &str) -> Option<Hint> {
            let hint = |subject: UserId, audience: &str| {
                Some(Hint { subject: subject.to_string(), audience: audience.to_owned() })
            };
            match token {
                "mine" => hint(self.0, "app"),
                "elsewhere" => hint(self.0, "other"),
                "someone" => hint(UserId::new(NOW), "app"),
                _ => None,
            }
        }
    }

    fn decide(pairs: &[(&str, &str)], signed_in: bool) -> Result<Logout, LogoutRefusal> {
        let user_id = UserId::new(NOW);
        let session = Session {
            id: SessionId::new(NOW),
            user_id,
            auth_time: NOW,
            authentication: Authentication::Password,
            last_seen_at: NOW,
            created_at: NOW,
        };
        let registered =
            Client { post_logout_redirect_uris: vec![RedirectUri::parse(URI).unwrap()], ..client() };
        let params = Params::new(pairs.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect());
        let request = LogoutRequest::read(&params, &Signer(user_id))?;
        let known = request.client_id().filter(|id| id.as_str() == "app").map(|_| &registered);
        request.decide(known, signed_in.then_some(&session))
    }

    fn target(state: Option<&str>) -> Option<LogoutTarget> {
        Some(LogoutTarget { uri: RedirectUri::parse(URI).unwrap(), state: state.map(str::to_owned) })
    }

    #[test]
    fn an_applications_own_hint_signs_out_and_comes_back() {
        let back = ("post_logout_redirect_uri", URI);
        for (pairs, expected) in [
            (vec![("id_token_hint", "mine"), back, ("state", "s")], Logout::Now(target(Some("s")))),
            (vec![("id_token_hint", "mine"), ("client_id", "app"), back], Logout::Now(target(None))),
            (vec![("id_token_hint", "mine")], Logout::Now(None)),
            (vec![("client_id", "app"), back], Logout::Ask(target(None))),
            (vec![("state", "s")], Logout::Ask(None)),
            (vec![], Logout::Ask(None)),
        ] {
            assert_eq!(decide(&pairs, true), Ok(expected), "{pairs:?}");
        }
    }

    #[test]
    fn lo_01_lo_02_lo_03_nobody_else_signs_a_person_out_or_sends_them_elsewhere() {
        let (back, evil) =
            (("post_logout_redirect_uri", URI), ("post_logout_redirect_uri", "https://evil.example/"));
        let added = ("post_logout_redirect_uri", "https://app.example/bye?foo=bar");
        let foreign = || Err(LogoutRefusal::ForeignRedirectUri);
        for (pairs, expected) in [
            (vec![("id_token_hint", "forged"), ("client_id", "app"), back], Ok(Logout::Ask(None))),
            (vec![("id_token_hint", "elsewhere"), ("client_id", "app"), back], Ok(Logout::Ask(None))),
            (vec![("id_token_hint", "someone"), back], Ok(Logout::Ask(target(None)))),
            (vec![("id_token_hint", "forged")], Ok(Logout::Ask(None))),
            (vec![("id_token_hint", "mine"), added], foreign()),
            (vec![("client_id", "app"), evil], foreign()),
            (vec![back], foreign()),
            (vec![("client_id", "nobody"), back], Err(LogoutRefusal::UnknownClient)),
            (vec![back, evil, ("client_id", "app")], Err(LogoutRefusal::Repeated)),
        ] {
            assert_eq!(decide(&pairs, true), expected, "{pairs:?}");
        }
    }

    #[test]
    fn without_a_session_there_is_nothing_to_ask() {
        let back = ("post_logout_redirect_uri", URI);
        assert_eq!(decide(&[], false), Ok(Logout::Now(None)));
        assert_eq!(
            decide(&[("id_token_hint", "forged"), ("client_id", "app"), back], false),
            Ok(Logout::Now(None))
        );
        assert_eq!(decide(&[("client_id", "app"), back], false), Ok(Logout::Now(target(None))));
        assert_eq!(decide(&[("id_token_hint", "someone"), back], false), Ok(Logout::Now(target(None))));
    }
}
