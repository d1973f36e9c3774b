//! Protection against cross-site request forgery: the token in our forms, and the check of forms that must carry it.

use axum::http::{HeaderMap, header};
use idp_core::secret::{MacKey, Secret, base64url, from_base64url, random_bytes};

use crate::http::browser::Browser;
use crate::http::form::Fields;
use crate::state::Shared;

/// Separates the MAC tags of CSRF tokens from those for other purposes.
const PURPOSE: &str = "csrf";

/// A token bound to browser and session. It gets a new mask each time, because a constant secret could be guessed from
/// the lengths of compressed pages (BREACH).
pub(crate) fn token(key: &MacKey, binding: [&[u8]; 2]) -> String {
    let mask = random_bytes::<32>();
    let tag = key.tag(PURPOSE, &binding);
    let masked: Vec<u8> = mask.iter().zip(tag).map(|(mask, byte)| mask ^ byte).collect();
    base64url(&[&mask[..], &masked].concat())
}

/// Whether a token was made for this binding.
fn matches(key: &MacKey, binding: [&[u8]; 2], token: &str) -> bool {
    let Some(bytes) = from_base64url(token).filter(|bytes| bytes.len() == 64) else { return false };
    let (mask, masked) = bytes.split_at(32);
    let tag: Vec<u8> = mask.iter().zip(masked).map(|(mask, byte)| mask ^ byte).collect();
    key.verify(PURPOSE, &binding, &tag)
}

/// Why a form is refused.
#[derive(Clone, Copy)]
pub(crate) enum NotOurForm {
    /// It came from elsewhere.
    Foreign(&'static str),
    /// Its token is missing, or older than the last sign-in or sign-out.
    Token,
    /// The browser sends no cookies.
    NoCookies,
}

/// Checks in three ways that a form comes from one of our pages: Fetch Metadata, `Origin`, and a token that only our
/// pages contain. Each alone is enough in today's browsers. Removes the token from the fields.
pub(crate) fn check(
    app: &Shared,
    headers: &HeaderMap,
    browser: Option<&Browser>,
    fields: Option<&mut Fields>,
) -> Result<(), NotOurForm> {
    let foreign = |why| Err(NotOurForm::Foreign(why));
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let mut origins = headers.get_all(header::ORIGIN).iter().map(|value| value.to_str().unwrap_or("?"));
    let site = text("sec-fetch-site");
    if !matches!(site, None | Some("same-origin" | "none")) {
        return foreign("the form came from another site");
    }
    let is_ours = |origin: &str| match origin {
        // Chromium sends this for our own forms, because our pages send no referrer. Then `Sec-Fetch-Site` decides.
        "null" => site.is_some(),
        origin => app.config.issuer.is_origin(origin),
    };
    if !origins.all(is_ours) {
        return foreign("the form came from another origin");
    }
    let (Some(browser), Some(fields)) = (browser, fields) else { return foreign("no form") };
    if browser.is_new {
        return Err(NotOurForm::NoCookies);
    }
    let tokens: Vec<Secret> =
        fields.extract_if(.., |(name, _)| name == "csrf").map(|(_, value)| value).collect();
    match &tokens[..] {
        [token] if matches(&app.keys.load().mac, browser.csrf_binding(), token.expose()) => Ok(()),
        _ => Err(NotOurForm::Token),
    }
}
