//! Whether a browser is known to read an address's mail, before the address has an account.
//!
//! Whoever opens a link that was mailed to an address reads its mail. The browser gets a cookie that says so: a MAC
//! over this browser and this address, under the server's key. Nobody can get one for an address whose mail they do not
//! read, and it is worthless in another browser.

use axum::http::HeaderValue;
use idp_core::secret::{Secret, base64url, from_base64url};
use idp_core::user::Email;

use crate::http::context::RequestContext;
use crate::http::cookies::Cookie;

const PURPOSE: &str = "mailbox";

/// The cookie for a browser that has just opened a link mailed to this address. It lasts until the browser is closed,
/// because the browser's own cookie, to which it is bound, may last no longer.
pub(crate) fn opened(context: &RequestContext, email: &Email) -> HeaderValue {
    let tag = context.app.keys.load().mac.tag(PURPOSE, &parts(context, email));
    Cookie::Mailbox.set(&Secret::new(base64url(&tag)), None, &context.app.config)
}

/// Whether the last mailed link that was opened in this browser was mailed to this address.
pub(crate) fn was_opened(context: &RequestContext, email: &Email) -> bool {
    let tag = context.browser.mailbox().and_then(|cookie| from_base64url(cookie.expose()));
    tag.is_some_and(|tag| context.app.keys.load().mac.verify(PURPOSE, &parts(context, email), &tag))
}

fn parts<'a>(context: &'a RequestContext, email: &'a Email) -> [&'a [u8]; 2] {
    [context.browser.secret(), email.key().as_bytes()]
}
