//! One browser's visit: what a page's handler knows of who is asking.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use idp_core::audit::{Actor, AuditEvent, AuditRecord};
use idp_core::secret::{Digest, MacKey, Secret, base64url, from_base64url, random_bytes};
use idp_core::text::DisplayText;
use idp_store::SignedIn;

use crate::address::RequestInfo;
use crate::cookies::Cookie;
use crate::errors::{PageError, Reason};
use crate::refusal_log::Fault;
use crate::render::{DevLinks, FieldError, Frame, Html, Page, language};
use crate::state::Shared;

/// A browser, known by its cookies.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    browser: Secret,
    /// Whether the browser has just got its cookie.
    pub(crate) is_new: bool,
    session_cookie: Option<Secret>,
    /// The live session, if there is one.
    pub(crate) signed_in: Option<SignedIn>,
    notice: Option<Notice>,
    mailbox: Option<Secret>,
}

/// A success that the next page tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A mail was asked for.
    MailSent,
    /// Signed in.
    SignedIn,
    /// The account was activated, in another browser than the one that registered.
    Activated,
}

impl Notice {
    const ALL: [Self; 3] = [Self::MailSent, Self::SignedIn, Self::Activated];

    /// Its catalogue key, which is also the cookie's value.
    fn key(self) -> &'static str {
        match self {
            Self::MailSent => "mail-sent",
            Self::SignedIn => "signed-in",
            Self::Activated => "account-activated",
        }
    }
}

const CSRF: &str = "csrf";

impl Visitor {
    /// Reads the cookies and, where there is one, the session.
    pub(crate) async fn load(app: &Shared, headers: &HeaderMap) -> Result<Self, PageError> {
        let read = |cookie: Cookie| cookie.read(headers, &app.config).map(Secret::new);
        // Values that we did not make are none: a browser is not known by a word somebody chose.
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
            browser: known.unwrap_or_else(Secret::random),
            session_cookie,
            signed_in,
            notice,
            mailbox: read(Cookie::Mailbox),
        })
    }

    /// Writes down that the session was used. Where that fails, as on a full disk, the page is served all the same.
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
            tracing::warn!(%error, "the use of a session cannot be written down");
        }
    }

    /// What walks and registrations are bound to.
    pub(crate) fn browser(&self) -> Digest {
        self.browser.digest()
    }

    /// What its cookies are bound to.
    pub(crate) fn secret(&self) -> &[u8] {
        self.browser.expose().as_bytes()
    }

    /// What it shows of a mailbox whose links were opened in it ([`crate::mailbox`]).
    pub(crate) fn mailbox(&self) -> Option<&Secret> {
        self.mailbox.as_ref()
    }

    /// Whether it still shows a session that is over, or never was: nobody learns which.
    pub(crate) fn session_ended(&self) -> bool {
        self.session_cookie.is_some() && self.signed_in.is_none()
    }

    /// The cookie of a new browser.
    pub(crate) fn browser_cookie(&self, app: &Shared, max_age: Option<u64>) -> HeaderValue {
        Cookie::Browser.set(&self.browser, max_age, &app.config)
    }

    /// A CSRF token bound to browser and session, masked anew each time, since pages are compressed.
    pub(crate) fn csrf(&self, key: &MacKey) -> String {
        let mask = random_bytes::<32>();
        let tag = self.csrf_tag(key);
        let masked: Vec<u8> = mask.iter().zip(tag).map(|(mask, byte)| mask ^ byte).collect();
        base64url(&[&mask[..], &masked].concat())
    }

    /// Whether a form's token is this browser's and session's.
    pub(crate) fn csrf_matches(&self, key: &MacKey, token: &str) -> bool {
        let Some(bytes) = from_base64url(token).filter(|bytes| bytes.len() == 64) else { return false };
        let (mask, masked) = bytes.split_at(32);
        let tag: Vec<u8> = mask.iter().zip(masked).map(|(mask, byte)| mask ^ byte).collect();
        !self.is_new && key.verify(CSRF, &self.csrf_parts(), &tag)
    }

    fn csrf_tag(&self, key: &MacKey) -> [u8; 32] {
        key.tag(CSRF, &self.csrf_parts())
    }

    fn csrf_parts(&self) -> [&[u8]; 2] {
        let session = self.session_cookie.as_ref().filter(|_| self.signed_in.is_some());
        [self.browser.expose().as_bytes(), session.map_or(b"", |cookie| cookie.expose().as_bytes())]
    }
}

async fn session_behind(app: &Shared, cookie: &Secret) -> Result<Option<SignedIn>, PageError> {
    let now = app.clock.now();
    let digest = cookie.digest();
    Ok(app.store.read((digest, now), |db, (digest, now)| Box::pin(db.signed_in(digest, *now))).await?)
}

/// What a page's handler is given.
#[derive(Clone)]
pub(crate) struct Visit {
    pub(crate) app: Shared,
    pub(crate) visitor: Visitor,
    pub(crate) info: RequestInfo,
    /// The browser's name for itself, cleaned and capped.
    pub(crate) user_agent: DisplayText,
}

impl FromRequestParts<Shared> for Visit {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, PageError> {
        let missing = || PageError::new(Reason::INTERNAL).detail("the route does not load a visitor");
        let visitor = parts.extensions.get::<Visitor>().cloned().ok_or_else(missing)?;
        let info = parts.extensions.get::<RequestInfo>().cloned().ok_or_else(missing)?;
        let agent = parts.headers.get(header::USER_AGENT).map(|value| value.as_bytes()).unwrap_or_default();
        let user_agent = DisplayText::new(&String::from_utf8_lossy(agent), 200);
        Ok(Self { app: Shared::clone(app), visitor, info, user_agent })
    }
}

impl Visit {
    /// Renders a page.
    pub(crate) fn page<P: Page>(&self, page: &P) -> Result<Html, PageError> {
        self.page_with(page, Vec::new())
    }

    /// Renders a page that tells what must be corrected.
    pub(crate) fn page_with<P: Page>(&self, page: &P, errors: Vec<FieldError>) -> Result<Html, PageError> {
        let app = &self.app;
        let notice = self.visitor.notice.map(|notice| app.renderer.words.text(notice.key(), &[]));
        let frame = Frame {
            title: title(app, page.title(), &page.title_args(), !errors.is_empty()),
            csrf: self.visitor.csrf(&app.keys.load().mac),
            notice,
            errors,
            ..frame(app)
        };
        Ok(Html::new(app.renderer.fill(P::TEMPLATE, &[&frame, page])?))
    }

    /// A record for the audit trail.
    pub(crate) fn audit(&self, event: AuditEvent, actor: Actor, subject: Option<String>) -> AuditRecord {
        AuditRecord {
            at: self.app.clock.now(),
            event,
            actor,
            subject,
            client_id: None,
            source: self.info.audit_source(),
            detail: "",
        }
    }

    /// A redirect that tells a success on the next page.
    pub(crate) fn redirect_with(&self, notice: Notice, url: &str) -> Response {
        let value = Secret::new(notice.key().to_owned());
        let cookie = Cookie::Notice.set(&value, Some(60), &self.app.config);
        ([(header::SET_COOKIE, cookie)], Redirect::to(url)).into_response()
    }

    /// Whether a notice was there to be told; it is told once.
    pub(crate) fn had_notice(visitor: &Visitor) -> bool {
        visitor.notice.is_some()
    }
}

/// The frame of a page that nobody in particular looks at.
pub(crate) fn frame(app: &Shared) -> Frame<'_> {
    let (lang, dir) = language();
    Frame {
        lang,
        dir,
        title: String::new(),
        brand: &app.config.brand,
        assets: &app.assets.urls,
        csrf: String::new(),
        dev: app.config.dev.then_some(DevLinks { mailbox: "/dev/mail", clock: "/dev/clock" }),
        notice: None,
        errors: Vec::new(),
    }
}

/// "Task – Brand", with "Error: " before it after a failed post.
pub(crate) fn title(app: &Shared, key: &str, args: &[crate::i18n::Arg<'_>], failed: bool) -> String {
    let words = &app.renderer.words;
    let task = words.text(key, args);
    let title =
        words.text("document-title", &[("task", task.into()), ("place", app.config.brand.as_str().into())]);
    let title = match failed {
        true => words.text("document-title-error", &[("title", title.into())]),
        false => title,
    };
    crate::render::without_marks(&title)
}
