//! Protection against cross-site request forgery: the token in our forms, and the check of forms that must carry it.

use axum::http::{HeaderMap, HeaderName, header};
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

/// Whether a token was made for this binding. `None`: it does not even look like one.
fn matches(key: &MacKey, binding: [&[u8]; 2], token: &str) -> Option<bool> {
    let bytes = from_base64url(token).filter(|bytes| bytes.len() == 64)?;
    let (mask, masked) = bytes.split_at(32);
    let tag: Vec<u8> = mask.iter().zip(masked).map(|(mask, byte)| mask ^ byte).collect();
    Some(key.verify(PURPOSE, &binding, &tag))
}

/// What the headers say about where a form comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    /// One of our own pages.
    Ours,
    /// They do not say: the browser is older than Fetch Metadata, or something on the way removed the headers.
    Unknown,
    /// Another site or origin.
    Foreign(&'static str),
}

impl Sender {
    /// Reads Fetch Metadata and `Origin`. One foreign value is enough, whatever stands beside it. An empty value says
    /// as little as none, and so does the origin `null`: browsers send it with our own forms, because our pages send no
    /// referrer. `Referer` is not read, for the same reason.
    fn of(headers: &HeaderMap, is_ours: impl Fn(&str) -> bool) -> Self {
        let said = |name: HeaderName| {
            let texts = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?").trim());
            texts.filter(|text| !text.is_empty()).collect::<Vec<&str>>()
        };
        let (sites, origins) = (said(SEC_FETCH_SITE), said(header::ORIGIN));
        if !sites.iter().all(|site| ["same-origin", "none"].contains(site)) {
            return Self::Foreign("the form came from another site");
        }
        if !origins.iter().all(|origin| *origin == "null" || is_ours(origin)) {
            return Self::Foreign("the form came from another origin");
        }
        let ours = sites.contains(&"same-origin") || origins.iter().any(|origin| *origin != "null");
        if ours { Self::Ours } else { Self::Unknown }
    }
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a form is refused.
#[derive(Clone, Copy)]
pub(crate) enum NotOurForm {
    /// It came from elsewhere.
    Foreign(&'static str),
    /// Its token is missing or was not made here. Or it is old, and nothing says that the form is ours.
    Token,
    /// It is ours, but its token is from before a sign-in or sign-out in another tab.
    Old,
    /// The browser sends no cookies.
    NoCookies,
}

/// Checks that a form comes from one of our pages: Fetch Metadata and `Origin` must not say otherwise, and the form must
/// have a token that only our pages contain. Removes the token from the fields.
pub(crate) fn check(
    app: &Shared,
    headers: &HeaderMap,
    browser: Option<&Browser>,
    fields: Option<&mut Fields>,
) -> Result<(), NotOurForm> {
    let sender = Sender::of(headers, |origin| app.config.issuer.is_origin(origin));
    if let Sender::Foreign(why) = sender {
        return Err(NotOurForm::Foreign(why));
    }
    let (Some(browser), Some(fields)) = (browser, fields) else {
        return Err(NotOurForm::Foreign("no form"));
    };
    if browser.is_new {
        return Err(NotOurForm::NoCookies);
    }
    let tokens: Vec<Secret> =
        fields.extract_if(.., |(name, _)| name == "csrf").map(|(_, value)| value).collect();
    let [token] = &tokens[..] else { return Err(NotOurForm::Token) };
    match (matches(&app.keys.load().mac, browser.csrf_binding(), token.expose()), sender) {
        (Some(true), _) => Ok(()),
        (Some(false), Sender::Ours) => Err(NotOurForm::Old),
        _ => Err(NotOurForm::Token),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn sender(lines: &[(&'static str, &str)]) -> Sender {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        Sender::of(&headers, |origin| origin == "https://id.example")
    }

    #[test]
    fn fault_07_what_is_left_out_is_unknown_and_not_foreign() {
        const OWN: (&str, &str) = ("origin", "https://id.example");
        for (lines, ours) in [
            (&[][..], false),
            (&[("origin", "null")], false),
            (&[("origin", "")], false),
            (&[("sec-fetch-site", "")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("origin", "null"), ("sec-fetch-site", "none")], false),
            (&[("origin", "null"), ("origin", "null")], false),
            (&[("referer", "https://evil.example/")], false),
            (&[("referer", "https://id.example/")], false),
            (&[OWN], true),
            (&[OWN, OWN], true),
            (&[OWN, ("sec-fetch-site", "none")], true),
            (&[("origin", "null"), ("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "same-origin")], true),
        ] {
            let expected = if ours { Sender::Ours } else { Sender::Unknown };
            assert_eq!(sender(lines), expected, "{lines:?}");
        }
        for lines in [
            &[("origin", "https://evil.example")][..],
            &[("origin", "https://evil.example"), OWN],
            &[OWN, ("origin", "https://evil.example")],
            &[OWN, ("sec-fetch-site", "same-site")],
            &[("origin", "null"), ("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "Same-Origin")],
            &[("sec-fetch-site", "same-origin, cross-site")],
            &[("origin", "\u{e4}")],
            &[("origin", "null null")],
        ] {
            assert!(matches!(sender(lines), Sender::Foreign(_)), "{lines:?}");
        }
    }
}
