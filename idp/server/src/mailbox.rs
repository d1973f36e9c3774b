//! Whether a browser is one in which an address is known, before the address has an account.
//!
//! Whoever opens a link that was mailed to an address reads its mail. The browser gets a cookie that says so: an authenticator of
//! this browser and this address, under the server's key. Nobody can make one for an address whose mail they do not read, and
//! it is worth nothing in another browser.

use axum::http::HeaderValue;
use idp_core::secret::{Secret, base64url, from_base64url};
use idp_core::user::Email;

use crate::cookies::Cookie;
use crate::visit::Visit;

const PURPOSE: &str = "mailbox";

/// The cookie for a browser that has just shown a link mailed to this address. It lasts until the browser is closed, since
/// the browser's own cookie, which it is bound to, may last no longer.
pub(crate) fn opened(visit: &Visit, email: &Email) -> HeaderValue {
    let tag = visit.app.keys.load().mac.tag(PURPOSE, &parts(visit, email));
    Cookie::Mailbox.set(&Secret::new(base64url(&tag)), None, &visit.app.config)
}

/// Whether a link mailed to this address was opened in this browser, and none mailed to another address after it.
pub(crate) fn was_opened(visit: &Visit, email: &Email) -> bool {
    let tag = visit.visitor.mailbox().and_then(|cookie| from_base64url(cookie.expose()));
    tag.is_some_and(|tag| visit.app.keys.load().mac.verify(PURPOSE, &parts(visit, email), &tag))
}

fn parts<'a>(visit: &'a Visit, email: &'a Email) -> [&'a [u8]; 2] {
    [visit.visitor.secret(), email.key().as_bytes()]
}
