//! Signing out on a client's behalf (OpenID Connect RP-Initiated Logout 1.0).
//!
//! | the request | this browser has a live session | it has none |
//! |---|---|---|
//! | a good hint from this session | signed out at once | |
//! | anything else | the person is asked | signed out already |
//!
//! A hint is good if this server signed it for a client that it knows, which is also the one that `client_id` names, if
//! that was sent (section 2). Afterwards the browser goes to `post_logout_redirect_uri` only if that is registered for
//! the client of the good hint, or for the one that `client_id` names (section 3). What failed a check is not used
//! (section 4).

use super::keys::{Hint, HintVerifier};
use super::params::Params;
use crate::client::{Client, ClientId};
use crate::redirect_uri::RedirectUri;
use crate::session::Session;

/// A sign-out request, read but not decided.
#[derive(Debug)]
pub struct LogoutRequest<'a> {
    hint: HintState,
    client: ClientState,
    redirect_uri: Option<&'a str>,
    state: Option<&'a str>,
}

#[derive(Debug)]
enum HintState {
    None,
    Good(Hint),
    Bad(LogoutFlaw),
}

/// The client that the good hint was issued to, otherwise the one that `client_id` names.
#[derive(Debug)]
enum ClientState {
    None,
    Named(ClientId),
    Malformed,
}

/// Where the browser goes after signing out: made only from a registered URI.
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

    /// The registered URI.
    pub fn uri(&self) -> &RedirectUri {
        &self.uri
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logout {
    /// Whether the person is asked first: anybody could have sent this browser here.
    pub needs_confirmation: bool,
    /// What is wrong with the request, for the page and the log.
    pub flaw: Option<LogoutFlaw>,
    /// What comes after signing out.
    pub then: AfterLogout,
}

/// What comes after signing out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterLogout {
    /// The browser goes to the registered URI.
    Return(LogoutTarget),
    /// Our own page: nothing else was asked for.
    Stay,
    /// Our own page, which names the flaw: a URI was asked for, but nobody is sent there.
    Refuse(LogoutFlaw),
}

/// What is wrong with a sign-out request. None of these keeps a person from signing out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogoutFlaw {
    /// `id_token_hint` is not an ID token that this server signed, such as an altered one or an access token.
    BadHint,
    /// `id_token_hint` was issued to a different client from the one that `client_id` names.
    HintOfAnotherClient,
    /// The client is unknown or disabled, or `client_id` is malformed.
    UnknownClient,
    /// `post_logout_redirect_uri` without a hint or `client_id`: nothing says whose it is.
    NoClient,
    /// `post_logout_redirect_uri` is not registered for the client.
    UnregisteredUri,
    /// The good hint is from a different session from this browser's.
    OtherSession,
}

impl LogoutFlaw {
    /// The rule in the client's terms, for its developer and for the log.
    pub fn rule(self) -> &'static str {
        match self {
            Self::BadHint => "id_token_hint is not an ID token signed by this server",
            Self::HintOfAnotherClient => {
                "id_token_hint was issued to a client other than the one in client_id"
            }
            Self::UnknownClient => "no enabled client has this client_id",
            Self::NoClient => "post_logout_redirect_uri needs id_token_hint or client_id beside it",
            Self::UnregisteredUri => {
                "post_logout_redirect_uri is not registered for this client; it must match a registered URI byte for byte"
            }
            Self::OtherSession => "id_token_hint belongs to a session other than this browser's",
        }
    }

    /// The parameter that breaks the rule.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::BadHint | Self::HintOfAnotherClient | Self::OtherSession => "id_token_hint",
            Self::UnknownClient => "client_id",
            Self::NoClient | Self::UnregisteredUri => "post_logout_redirect_uri",
        }
    }
}

/// A parameter came twice: nothing says which one counts, so nothing is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepeatedParameter(pub &'static str);

const PARAMETERS: [&str; 4] = ["id_token_hint", "client_id", "post_logout_redirect_uri", "state"];

/// Whether this is the name of a parameter that [`LogoutRequest::read`] reads. All others are ignored.
pub fn is_parameter(name: &str) -> bool {
    PARAMETERS.contains(&name)
}

/// What counts in place of a value that cannot be decoded. A `state` counts as absent, since it only goes back to the
/// client. Of the others, this is no token, client ID or registered URI.
pub fn undecodable(name: &str) -> &'static str {
    if name == "state" { "" } else { "\u{fffd}" }
}

/// Whether a request is understood without this parameter. We read only `state` of these.
pub fn is_optional(name: &str) -> bool {
    ["state", "ui_locales", "logout_hint"].contains(&name)
}

impl<'a> LogoutRequest<'a> {
    /// Reads the parameters. A hint that this server did not sign counts as bad, not as absent.
    ///
    /// # Errors
    /// [`RepeatedParameter`].
    pub fn read(params: &'a Params, hints: &dyn HintVerifier) -> Result<Self, RepeatedParameter> {
        for name in PARAMETERS {
            if params.is_repeated(name) {
                return Err(RepeatedParameter(name));
            }
        }
        let named = params.get("client_id");
        let hint = match params.get("id_token_hint").map(|token| hints.verify(token)) {
            None => HintState::None,
            Some(None) => HintState::Bad(LogoutFlaw::BadHint),
            Some(Some(hint)) if named.is_some_and(|id| id != hint.audience) => {
                HintState::Bad(LogoutFlaw::HintOfAnotherClient)
            }
            Some(Some(hint)) => HintState::Good(hint),
        };
        let id = match &hint {
            HintState::Good(hint) => Some(hint.audience.as_str()),
            HintState::None | HintState::Bad(_) => named,
        };
        let client = match id.map(ClientId::parse) {
            None => ClientState::None,
            Some(Ok(id)) => ClientState::Named(id),
            Some(Err(_)) => ClientState::Malformed,
        };
        let (redirect_uri, state) = (params.get("post_logout_redirect_uri"), params.get("state"));
        Ok(Self { hint, client, redirect_uri, state })
    }

    /// The client to load before deciding.
    pub fn client_id(&self) -> Option<&ClientId> {
        match &self.client {
            ClientState::Named(id) => Some(id),
            ClientState::None | ClientState::Malformed => None,
        }
    }

    /// Decides. `client` is the stored client with [`LogoutRequest::client_id`], `session` this browser's live one.
    pub fn decide(&self, client: Option<&Client>, session: Option<&Session>) -> Logout {
        let target = self.target(client.filter(|client| client.enabled));
        let proven = match (&self.hint, session) {
            (HintState::Good(hint), Some(session)) => {
                hint_matches_session(hint, session) && target != Err(LogoutFlaw::UnknownClient)
            }
            (HintState::None | HintState::Bad(_), Some(_)) => false,
            (_, None) => true,
        };
        let other_session = matches!(self.hint, HintState::Good(_)) && !proven;
        let flaw = target.as_ref().err().copied();
        let then = match (target, flaw) {
            (Ok(Some(target)), _) => AfterLogout::Return(target),
            (Err(_), Some(flaw)) if self.redirect_uri.is_some() => AfterLogout::Refuse(flaw),
            _ => AfterLogout::Stay,
        };
        Logout {
            needs_confirmation: !proven,
            flaw: flaw.or(other_session.then_some(LogoutFlaw::OtherSession)),
            then,
        }
    }

    /// Where the browser may be sent; `None` if the request does not ask for a redirect.
    fn target(&self, client: Option<&Client>) -> Result<Option<LogoutTarget>, LogoutFlaw> {
        if let HintState::Bad(flaw) = self.hint {
            return Err(flaw);
        }
        match (&self.client, client, self.redirect_uri) {
            (ClientState::None, _, None) => Ok(None),
            (ClientState::None, _, Some(_)) => Err(LogoutFlaw::NoClient),
            (ClientState::Malformed | ClientState::Named(_), None, _) | (ClientState::Malformed, ..) => {
                Err(LogoutFlaw::UnknownClient)
            }
            (ClientState::Named(_), Some(_), None) => Ok(None),
            (ClientState::Named(_), Some(client), Some(requested)) => {
                let uri = client.redirect_match.find(&client.post_logout_redirect_uris, requested);
                let uri = uri.ok_or(LogoutFlaw::UnregisteredUri)?;
                Ok(Some(LogoutTarget { uri, state: self.state.map(str::to_owned) }))
            }
        }
    }
}

/// Whether a hint is from exactly this session and person. A token from an earlier session of the same person is not
/// enough: whoever has it may have had it for months.
fn hint_matches_session(hint: &Hint, session: &Session) -> bool {
    hint.session.as_ref() == Some(&session.id.to_string()) && hint.subject == session.user_id.to_string()
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

    struct Signer(Session);
    impl HintVerifier for Signer {
        fn verify(&self, token: &str) -> Option<Hint> {
            let hint = |subject: UserId, session: Option<SessionId>, audience: &str| {
                let (subject, session) = (subject.to_string(), session.map(|id| id.to_string()));
                Some(Hint { subject, session, audience: audience.to_owned() })
            };
            let (user, session) = (self.0.user_id, Some(self.0.id));
            match token {
                "mine" => hint(user, session, "app"),
                "elsewhere" => hint(user, session, "other"),
                "of an unknown client" => hint(user, session, "gone"),
                "old" => hint(user, Some(SessionId::new(NOW)), "app"),
                "without a session" => hint(user, None, "app"),
                "someone" => hint(UserId::new(NOW), Some(SessionId::new(NOW)), "app"),
                "someone in this session" => hint(UserId::new(NOW), session, "app"),
                _ => None,
            }
        }
    }

    fn decide(pairs: &[(&str, &str)], signed_in: bool) -> Result<Logout, RepeatedParameter> {
        let session = Session {
            id: SessionId::new(NOW),
            user_id: UserId::new(NOW),
            auth_time: NOW,
            authentication: Authentication::Password,
            last_seen_at: NOW,
            created_at: NOW,
        };
        let registered =
            Client { post_logout_redirect_uris: vec![RedirectUri::parse(URI).unwrap()], ..client() };
        let params = Params::new(pairs.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect());
        let signer = Signer(session.clone());
        let request = LogoutRequest::read(&params, &signer)?;
        let known = request.client_id().filter(|id| id.as_str() == "app").map(|_| &registered);
        Ok(request.decide(known, signed_in.then_some(&session)))
    }

    fn to(state: Option<&str>) -> AfterLogout {
        let state = state.map(str::to_owned);
        AfterLogout::Return(LogoutTarget { uri: RedirectUri::parse(URI).unwrap(), state })
    }

    const BACK: (&str, &str) = ("post_logout_redirect_uri", URI);
    const EVIL: (&str, &str) = ("post_logout_redirect_uri", "https://evil.example/");
    const ADDED: (&str, &str) = ("post_logout_redirect_uri", "https://app.example/bye?foo=bar");
    const APP: (&str, &str) = ("client_id", "app");

    fn hint(token: &str) -> (&str, &str) {
        ("id_token_hint", token)
    }

    #[test]
    fn fault_12_a_good_hint_of_the_live_session_signs_out_at_once() {
        use AfterLogout::{Refuse, Stay};
        use LogoutFlaw::UnregisteredUri;
        for (pairs, flaw, then) in [
            (vec![hint("mine"), BACK, ("state", "s")], None, to(Some("s"))),
            (vec![hint("mine"), APP, BACK], None, to(None)),
            (vec![hint("mine")], None, Stay),
            (vec![hint("mine"), ("state", "s")], None, Stay),
            (vec![hint("mine"), EVIL], Some(UnregisteredUri), Refuse(UnregisteredUri)),
            (vec![hint("mine"), APP, ADDED], Some(UnregisteredUri), Refuse(UnregisteredUri)),
        ] {
            assert_eq!(
                decide(&pairs, true),
                Ok(Logout { needs_confirmation: false, flaw, then }),
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn fault_12_anything_else_asks_and_names_its_real_reason() {
        use AfterLogout::{Refuse, Stay};
        use LogoutFlaw::*;
        for (pairs, flaw, then) in [
            (vec![], None, Stay),
            (vec![("state", "s")], None, Stay),
            (vec![APP], None, Stay),
            (vec![APP, BACK, ("state", "s")], None, to(Some("s"))),
            (vec![APP, EVIL], Some(UnregisteredUri), Refuse(UnregisteredUri)),
            (vec![BACK], Some(NoClient), Refuse(NoClient)),
            (vec![("client_id", "nobody"), BACK], Some(UnknownClient), Refuse(UnknownClient)),
            (vec![("client_id", "a b"), BACK], Some(UnknownClient), Refuse(UnknownClient)),
            (vec![("client_id", "nobody")], Some(UnknownClient), Stay),
            (vec![hint("of an unknown client"), BACK], Some(UnknownClient), Refuse(UnknownClient)),
            (vec![hint("of an unknown client")], Some(UnknownClient), Stay),
            (vec![hint("forged")], Some(BadHint), Stay),
            (vec![hint("forged"), BACK], Some(BadHint), Refuse(BadHint)),
            (vec![hint("forged"), APP, BACK], Some(BadHint), Refuse(BadHint)),
            (vec![hint("elsewhere"), APP, BACK], Some(HintOfAnotherClient), Refuse(HintOfAnotherClient)),
            (
                vec![hint("mine"), ("client_id", "a b"), BACK],
                Some(HintOfAnotherClient),
                Refuse(HintOfAnotherClient),
            ),
            (vec![hint("old")], Some(OtherSession), Stay),
            (vec![hint("old"), BACK], Some(OtherSession), to(None)),
            (vec![hint("old"), EVIL], Some(UnregisteredUri), Refuse(UnregisteredUri)),
            (vec![hint("without a session"), BACK], Some(OtherSession), to(None)),
            (vec![hint("someone"), APP, BACK], Some(OtherSession), to(None)),
            (vec![hint("someone in this session"), BACK], Some(OtherSession), to(None)),
        ] {
            let asked = decide(&pairs, true);
            assert_eq!(asked, Ok(Logout { needs_confirmation: true, flaw, then: then.clone() }), "{pairs:?}");
            // Without a session there is nothing to ask, and no other session that a hint could be from.
            let flaw = flaw.filter(|flaw| *flaw != OtherSession);
            assert_eq!(
                decide(&pairs, false),
                Ok(Logout { needs_confirmation: false, flaw, then }),
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn fault_12_a_value_that_cannot_be_decoded_is_a_bad_one_and_a_state_is_none() {
        use AfterLogout::{Refuse, Stay};
        use LogoutFlaw::{BadHint, HintOfAnotherClient, UnknownClient, UnregisteredUri};
        let broken = |name| (name, undecodable(name));
        for (pairs, flaw, then) in [
            (vec![broken("id_token_hint"), BACK], Some(BadHint), Refuse(BadHint)),
            (vec![broken("client_id"), BACK], Some(UnknownClient), Refuse(UnknownClient)),
            (vec![hint("mine"), broken("client_id")], Some(HintOfAnotherClient), Stay),
            (vec![APP, broken("post_logout_redirect_uri")], Some(UnregisteredUri), Refuse(UnregisteredUri)),
            (vec![APP, BACK, broken("state")], None, to(None)),
        ] {
            let asked = decide(&pairs, true);
            assert_eq!(asked, Ok(Logout { needs_confirmation: true, flaw, then }), "{pairs:?}");
        }
        assert_eq!(decide(&[("state", "a"), broken("state")], true), Err(RepeatedParameter("state")));
    }

    #[test]
    fn a_repeated_parameter_is_named() {
        for name in ["id_token_hint", "client_id", "post_logout_redirect_uri", "state"] {
            assert_eq!(decide(&[(name, "a"), (name, "b")], true), Err(RepeatedParameter(name)));
        }
    }
}
