//! The browser that sent a request, recognized by its cookies.

use axum::http::{HeaderMap, HeaderValue};
use idp_core::secret::{Digest, Secret, from_base64url};
use idp_store::SignedIn;

use crate::config::Config;
use crate::http::cookies::Cookie;
use crate::http::errors::PageError;
use crate::http::refusal_log::Fault;
use crate::state::Shared;

/// A browser, recognized by its cookies.
#[derive(Clone, Debug)]
pub(crate) struct Browser {
    cookie: Secret,
    /// Whether the request came without a browser cookie, so that this response sets one.
    pub(crate) is_new: bool,
    session_cookie: Option<Secret>,
    /// The live session, if there is one.
    pub(crate) signed_in: Option<SignedIn>,
    pub(crate) notice: Option<Notice>,
    mailbox: Option<Secret>,
    registration: Option<Secret>,
    /// Sets and deletes what came under the names of earlier versions.
    pub(crate) renamed: Vec<HeaderValue>,
}

/// How long a browser stays known after a sign-in, in seconds.
const KNOWN_FOR: u64 = 180 * 24 * 60 * 60;

impl Browser {
    /// Reads the cookies and the session, if there is one.
    pub(crate) async fn load(app: &Shared, headers: &HeaderMap) -> Result<Self, PageError> {
        let config = &app.config;
        let browser = Self::of(app, |cookie| cookie.read(headers, config)).await?;
        // Cookies of earlier versions are read until this browser has one of ours, so once.
        let is_renamed = config.issuer.port().is_some() && !Cookie::Browser.is_sent(headers, config);
        if !is_renamed || browser.signed_in.is_some() {
            return Ok(browser);
        }
        let old = Self::of(app, |cookie| cookie.read_without_port(headers, config)).await?;
        Ok(if old.is_new && old.signed_in.is_none() { browser } else { old.renamed(config) })
    }

    async fn of(app: &Shared, read: impl Fn(Cookie) -> Option<Secret>) -> Result<Self, PageError> {
        // A value that we cannot have made is ignored: nobody may choose the value that identifies a browser.
        let made_here =
            |value: &Secret| from_base64url(value.expose()).is_some_and(|bytes| bytes.len() == 32);
        let known = read(Cookie::Browser).filter(made_here);
        let session_cookie = read(Cookie::Session).filter(made_here);
        let signed_in = match &session_cookie {
            Some(cookie) => session_behind(app, cookie).await?,
            None => None,
        };
        let notice = read(Cookie::Notice)
            .and_then(|value| Notice::ALL.into_iter().find(|notice| notice.key() == value.expose()));
        Ok(Self {
            is_new: known.is_none(),
            cookie: known.unwrap_or_else(Secret::random),
            session_cookie,
            signed_in,
            notice,
            mailbox: read(Cookie::Mailbox),
            registration: read(Cookie::Registration),
            renamed: Vec::new(),
        })
    }

    /// Under the names of today. Another server of this host may use the names without a port, so only what is certainly
    /// ours is deleted: a session that lives here, and a notice that is shown here.
    fn renamed(self, config: &Config) -> Self {
        let mut renamed = Vec::new();
        // A session that does not live here may be the other server's.
        let session_cookie = self.session_cookie.filter(|_| self.signed_in.is_some());
        if let Some(session) = &session_cookie {
            renamed.push(Cookie::Session.set(session, None, config));
            renamed.push(Cookie::Session.clear_without_port(config));
        }
        if !self.is_new {
            let max_age = session_cookie.as_ref().map(|_| KNOWN_FOR);
            renamed.push(Cookie::Browser.set(&self.cookie, max_age, config));
        }
        if let Some(mailbox) = &self.mailbox {
            renamed.push(Cookie::Mailbox.set(mailbox, None, config));
        }
        if let Some(notice) = self.notice {
            renamed.push(notice.set(config));
            renamed.push(Cookie::Notice.clear_without_port(config));
        }
        Self { session_cookie, renamed, ..self }
    }

    /// Records that the session was used. If that fails, as on a full disk, the page is served all the same.
    pub(crate) async fn touch(&self, app: &Shared) {
        let now = app.clock.now();
        let Some(SignedIn { session, .. }) = &self.signed_in else { return };
        if !session.wants_touch(now) {
            return;
        }
        let input = (session.id, app.config.session, now);
        let touched =
            app.store.write(input, |tx, (id, lifetime, now)| Box::pin(tx.touch_session(*id, lifetime, *now)));
        if let Err(error) = touched.await
            && app.refusals.admits(Fault::Ours, "session not touched")
        {
            tracing::warn!(%error, "cannot record that a session was used");
        }
    }

    /// The digest that flows and registrations are bound to.
    pub(crate) fn digest(&self) -> Digest {
        self.cookie.digest()
    }

    /// The secret that its other cookies are bound to.
    pub(crate) fn secret(&self) -> &[u8] {
        self.cookie.expose().as_bytes()
    }

    /// The cookie that shows that mailed links were opened in this browser ([`crate::accounts::known_mailbox`]).
    pub(crate) fn mailbox(&self) -> Option<&Secret> {
        self.mailbox.as_ref()
    }

    /// The cookie that shows that a registration's password was proven in this browser
    /// ([`crate::accounts::proven_registration`]).
    pub(crate) fn registration(&self) -> Option<&Secret> {
        self.registration.as_ref()
    }

    /// Whether it sends a session cookie without a live session. Nobody learns whether there ever was one.
    pub(crate) fn session_ended(&self) -> bool {
        self.session_cookie.is_some() && self.signed_in.is_none()
    }

    /// The header that sets the cookie of a new browser, which lives until the browser is closed.
    pub(crate) fn set_cookie(&self, app: &Shared) -> HeaderValue {
        Cookie::Browser.set(&self.cookie, None, &app.config)
    }

    /// The header that makes the cookie last, so that this stays a known browser.
    pub(crate) fn keep_cookie(&self, app: &Shared) -> HeaderValue {
        Cookie::Browser.set(&self.cookie, Some(KNOWN_FOR), &app.config)
    }

    /// What CSRF tokens are bound to: the browser and its live session.
    pub(crate) fn csrf_binding(&self) -> [&[u8]; 2] {
        let session = self.session_cookie.as_ref().filter(|_| self.signed_in.is_some());
        [self.cookie.expose().as_bytes(), session.map_or(b"", |cookie| cookie.expose().as_bytes())]
    }
}

/// A success that the next page reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A mail was requested.
    MailSent,
    /// Signed in.
    SignedIn,
    /// The account was activated in another browser than the one that registered.
    Activated,
    /// The same, in a browser where somebody else is signed in.
    OtherActivated,
}

impl Notice {
    const ALL: [Self; 4] = [Self::MailSent, Self::SignedIn, Self::Activated, Self::OtherActivated];

    /// Its catalogue key, which is also the cookie's value.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::MailSent => "mail-sent",
            Self::SignedIn => "signed-in",
            Self::Activated => "account-activated",
            Self::OtherActivated => "other-account-activated",
        }
    }

    /// The header that sets its cookie, for the next page.
    pub(crate) fn set(self, config: &Config) -> HeaderValue {
        Cookie::Notice.set(&Secret::new(self.key().to_owned()), Some(60), config)
    }
}

async fn session_behind(app: &Shared, cookie: &Secret) -> Result<Option<SignedIn>, PageError> {
    let now = app.clock.now();
    let digest = cookie.digest();
    Ok(app.store.read((digest, now), |db, (digest, now)| Box::pin(db.signed_in(digest, *now))).await?)
}
