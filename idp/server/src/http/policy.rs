//! The policy of a route, which the middleware around its handler enforces.
//!
//! | class | what it decides |
//! |---|---|
//! | [`Auth`] | who may send the request, and what is read about them before the handler runs |
//! | [`Csrf`] | whether a form must carry our token |
//! | [`BodyClass`] | which body is read, and how much of it |
//! | [`Cache`] | who may cache the response |
//! | [`Rate`] | which limit per client address applies |

use idp_core::oauth::discovery::path;

/// Who may send the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Auth {
    /// Anybody. Nothing is read about them.
    Anyone,
    /// Any browser. Its cookies and session are read.
    Browser,
    /// A browser with a live session. Others are redirected to sign in.
    SignedIn,
    /// A client. The handler authenticates it first.
    Client,
    /// Whoever holds an access token.
    Bearer,
    /// A probe of the operator, under any host name.
    Probe,
}

/// Whether a form must prove that it is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Csrf {
    /// GET: there is nothing to protect.
    Safe,
    /// Only our own form, with our token.
    Token,
    /// A POST that clients send or that changes nothing by itself. Its cookies are ignored.
    NotNeeded,
}

/// Which body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyClass {
    /// None.
    None,
    /// A form of at most so many bytes.
    Form(usize),
}

/// Who may cache the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cache {
    /// Nobody.
    NoStore,
    /// Anybody, for five minutes.
    Minutes,
    /// Anybody, for a year: the name changes with the content.
    Immutable,
}

impl Cache {
    /// The value of `Cache-Control`, if it differs from the one that every response has.
    pub(crate) fn header(self) -> Option<&'static str> {
        match self {
            Self::NoStore => None,
            Self::Minutes => Some("public, max-age=300"),
            Self::Immutable => Some("public, max-age=31536000, immutable"),
        }
    }
}

/// Which limit on requests per client address applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rate {
    /// None: documents made in advance, and probes.
    Unlimited,
    /// Pages.
    Page,
    /// Tries at passwords and codes.
    SignIn,
    /// Registrations, and requests for mail.
    Register,
    /// Calls of clients.
    Client,
    /// What no route answers.
    Unrouted,
}

/// The five classes of a route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) auth: Auth,
    pub(crate) csrf: Csrf,
    pub(crate) body: BodyClass,
    pub(crate) cache: Cache,
    pub(crate) rate: Rate,
}

/// The policy for requests that no route answers: unknown paths and files, methods that a path does not have, other
/// hosts, malformed targets. Nothing else of such a request is read. It has a limit of its own, so that a browser that
/// looks for `/favicon.ico` does not use up the limit for pages.
pub(crate) const UNROUTED: Policy = Policy {
    auth: Auth::Anyone,
    csrf: Csrf::Safe,
    body: BodyClass::None,
    cache: Cache::NoStore,
    rate: Rate::Unrouted,
};

/// The longest request target, in bytes. Longer ones are refused before they are parsed.
pub(crate) const LONGEST_TARGET: usize = 8 * 1024;

/// Probes.
pub(crate) const ALIVE: &str = "/healthz";
pub(crate) const READY: &str = "/readyz";

/// Whether clients, not people, read the responses of this path.
pub(crate) fn speaks_json(path: &str) -> bool {
    [path::TOKEN, path::USERINFO, path::JWKS, path::OPENID_CONFIGURATION, path::OAUTH_METADATA]
        .contains(&path)
}

/// Whether clients send browsers to this path, with a request that the person neither sees nor can change.
pub(crate) fn is_of_client(path: &str) -> bool {
    [path::AUTHORIZE, path::END_SESSION].contains(&path)
}

/// Whether this is the path of a probe, which may come under any host name.
pub(crate) fn is_probe(path: &str) -> bool {
    [ALIVE, READY].contains(&path)
}
