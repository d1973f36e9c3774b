//! Whether a browser is one in which an address is known, before the address has an account.
//!
//! Whoever opens a link that was mailed to an address reads its mail. The browser gets a cookie that says so: an authenticator of
//! this browser and this address, under the server's key. Nobody can make one for an address whose mail they do not read, and
//! it is worth nothing in another browser.

use axum::http::HeaderValue;
use idp_core::secret::{Secret, base64url, from_base64url};
use idp_core::user::Email;

use crate::http::context::RequestContext;
use crate::http::cookies::Cookie;

const PURPOSE: &str = "mailbox";

/// The cookie for a browser that has just shown a link mailed to this address. It lasts until the browser is closed, since
/// the browser's own cookie, which it is bound to, may last no longer.
pub(crate) fn opened(context: &RequestContext, email: &Email) -> HeaderValue {
    let tag = context.app.keys.load().mac.tag(PURPOSE, &parts(context, email));
    Cookie::Mailbox.set(&Secret::new(base64url(&tag)), None, &context.app.config)
}

/// Whether a link mailed to this address was opened in this browser, and none mailed to another address after it.
pub(crate) fn was_opened(context: &RequestContext, email: &Email) -> bool {
    let tag = context.browser.mailbox().and_then(|cookie| from_base64url(cookie.expose()));
    tag.is_some_and(|tag| context.app.keys.load().mac.verify(PURPOSE, &parts(context, email), &tag))
}

fn parts<'a>(context: &'a RequestContext, email: &'a Email) -> [&'a [u8]; 2] {
    [context.browser.secret(), email.key().as_bytes()]
}
