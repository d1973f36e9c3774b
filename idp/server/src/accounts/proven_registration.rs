//! Whether the password of a registration was proven in a browser other than its own.
//!
//! Whoever signs in with the password of a registration that is not activated is the person who made it, in whatever
//! browser. That browser gets a cookie that says so: a MAC over this browser and this registration, under the server's
//! key. The registration itself stays as it is, so its own browser, which may be waiting for the mail, goes on too. The
//! cookie says nothing about the address: it is set for a registration that can become nothing, too.

use axum::http::HeaderValue;
use idp_core::ids::RegistrationId;
use idp_core::secret::{Secret, base64url, from_base64url};
use idp_store::Registration;

use crate::http::context::RequestContext;
use crate::http::cookies::Cookie;

const PURPOSE: &str = "registration";

/// The cookie for a browser in which the password was just proven. It lasts until the browser is closed, because the
/// browser's own cookie, to which it is bound, may last no longer.
pub(crate) fn proved(context: &RequestContext, id: RegistrationId) -> HeaderValue {
    let tag =
        context.app.keys.load().mac.tag(PURPOSE, &[context.browser.secret(), id.to_string().as_bytes()]);
    Cookie::Registration.set(&Secret::new(base64url(&tag)), None, &context.app.config)
}

/// Whether the last password that was proven in this browser was this registration's.
pub(crate) fn was_proved(context: &RequestContext, id: RegistrationId) -> bool {
    let tag = context.browser.registration().and_then(|cookie| from_base64url(cookie.expose()));
    let parts = [context.browser.secret(), &id.to_string().into_bytes()];
    tag.is_some_and(|tag| context.app.keys.load().mac.verify(PURPOSE, &parts, &tag))
}

/// Whether this browser may go on with a registration: it made it, or the password was proven in it.
pub(crate) fn belongs_here(context: &RequestContext, registration: &Registration) -> bool {
    registration.browser == context.browser.digest() || was_proved(context, registration.id)
}
