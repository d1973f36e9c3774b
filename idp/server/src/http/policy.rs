//! What a route declares about itself, and what of it the layers around a handler must know.
//!
//! | class | what it decides |
//! |---|---|
//! | [`Auth`] | who may come, and what is read of them before the handler runs |
//! | [`Csrf`] | whether a form must carry our own token |
//! | [`BodyClass`] | what body is read, and how much of it |
//! | [`Cache`] | who may keep the answer, and with it whether HEAD is answered |
//! | [`Rate`] | how often one client address may come |

use idp_core::oauth::discovery::path;

/// Who may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Auth {
    /// Anybody; nothing is read of them.
    Anyone,
    /// Any browser; its cookies and session are read.
    Browser,
    /// A browser with a live session; others are sent to sign in.
    SignedIn,
    /// An application that proves itself in the handler's own first step.
    Client,
    /// Whoever holds an access token.
    Bearer,
    /// A probe of the operator's, under whatever host name.
    Probe,
}

/// Whether a form must prove where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Csrf {
    /// GET: nothing to protect.
    Safe,
    /// Our own form, with our own token.
    Token,
    /// A POST that applications send, or that changes nothing by itself: it carries no cookie that counts.
    NoCookies,
}

/// What body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyClass {
    /// None.
    None,
    /// A form of at most so many bytes.
    Form(usize),
}

/// Who may keep the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cache {
    /// Nobody.
    NoStore,
    /// Nobody; but HEAD is answered.
    Probe,
    /// Anybody, for minutes.
    Minutes,
    /// Anybody, for ever: the name changes with the content.
    Immutable,
}

impl Cache {
    /// Whether it is a document that anybody may have and keep: HEAD is answered where GET changes nothing and costs
    /// nothing; elsewhere it would issue and consume unseen.
    pub(crate) fn is_document(self) -> bool {
        self != Self::NoStore
    }

    /// The header's value, where it is not the one that every answer has.
    pub(crate) fn header(self) -> Option<&'static str> {
        match self {
            Self::NoStore | Self::Probe => None,
            Self::Minutes => Some("public, max-age=300"),
            Self::Immutable => Some("public, max-age=31536000, immutable"),
        }
    }
}

/// Which limit of requests per client address counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rate {
    /// None: documents made in advance.
    Unlimited,
    /// Pages.
    Page,
    /// Tries of passwords and codes.
    SignIn,
    /// Registrations, and mails asked for.
    Register,
    /// Applications.
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

/// The classes of everything that no route answers: unknown paths and files, methods a path does not have, hosts that are
/// not ours, targets that cannot be read. Nothing is read of such a request, and its limit is its own, so that a browser
/// that looks for `/favicon.ico` uses up nobody's pages.
pub(crate) const UNROUTED: Policy = Policy {
    auth: Auth::Anyone,
    csrf: Csrf::Safe,
    body: BodyClass::None,
    cache: Cache::NoStore,
    rate: Rate::Unrouted,
};

/// Probes.
pub(crate) const ALIVE: &str = "/healthz";
pub(crate) const READY: &str = "/readyz";

/// Where applications, not people, read the answers.
pub(crate) fn speaks_json(path: &str) -> bool {
    [path::TOKEN, path::USERINFO, path::JWKS, path::OPENID_CONFIGURATION, path::OAUTH_METADATA]
        .contains(&path)
}

/// Whether an operator's probe comes here, under whatever host name.
pub(crate) fn is_probe(path: &str) -> bool {
    [ALIVE, READY].contains(&path)
}
