//! Whether a request's body is a form, and if not, what was sent and what to send instead.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use idp_core::text::Excerpt;

/// The only media type that is read.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// How many bytes of a header are repeated.
const LONGEST: usize = 80;

/// Why a body is not read. Each says what was sent and what to send.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotAForm {
    /// It is of another type, or in another charset.
    Type(String),
    /// It is compressed.
    Coding(String),
}

/// Whether the headers announce a form in UTF-8. A form's type has no parameters, but many clients send a charset: any
/// spelling of UTF-8 is accepted, and parameters that mean nothing are ignored.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), NotAForm> {
    let is_coding = |text: &String| !text.is_empty() && !text.eq_ignore_ascii_case("identity");
    if let Some(coding) = sent(headers, &header::CONTENT_ENCODING).into_iter().find(is_coding) {
        let coding = Excerpt::new(coding, LONGEST);
        return Err(NotAForm::Coding(format!(
            "the Content-Encoding '{coding}' was sent; send the form without one"
        )));
    }
    let types = sent(headers, &header::CONTENT_TYPE);
    let told = match &types[..] {
        [] => format!("no Content-Type was sent; send {FORM}"),
        [one] => match refusal(one) {
            None => return Ok(()),
            Some(told) => told,
        },
        _ => format!("more than one Content-Type was sent; send one, {FORM}"),
    };
    Err(NotAForm::Type(told))
}

fn sent(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
    headers.get_all(name).iter().map(text).collect()
}

fn refusal(content_type: &str) -> Option<String> {
    let mut parts = parameters(content_type).into_iter();
    let essence = parts.next().unwrap_or_default();
    if essence.is_empty() {
        return Some(format!("an empty Content-Type was sent; send {FORM}"));
    }
    if !essence.eq_ignore_ascii_case(FORM) {
        return Some(format!("'{}' was sent; send {FORM}", Excerpt::new(essence, LONGEST)));
    }
    let charset = |part: &str| {
        let (name, value) = part.split_once('=')?;
        let value = value.trim().trim_matches(['"', '\'']);
        name.trim().eq_ignore_ascii_case("charset").then(|| value.to_owned())
    };
    let other = |charset: &String| !["", "utf-8", "utf8"].contains(&charset.to_ascii_lowercase().as_str());
    let other = parts.filter_map(charset).find(other)?;
    let other = Excerpt::new(other, LONGEST);
    Some(format!("the charset '{other}' was sent; send {FORM} in UTF-8, without a charset"))
}

/// The parts between the semicolons. A semicolon in a quoted string divides nothing (RFC 9110 section 5.6.6).
fn parameters(text: &str) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    let divides = |sign: char| {
        let divides = sign == ';' && !quoted;
        quoted ^= sign == '"' && !escaped;
        escaped = sign == '\\' && quoted && !escaped;
        divides
    };
    text.split(divides).map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_13_utf_8_is_accepted_however_it_is_written() {
        for rest in [
            "",
            ";",
            "; charset=utf8",
            ";CHARSET=\"UTF-8\"",
            "; charset='utf-8'",
            "; charset=",
            "; charset",
            "; a=\";charset=x\"",
            "; a=\"\\\";charset=x\"; b=c",
        ] {
            assert_eq!(refusal(&format!("{FORM}{rest}")), None, "{rest}");
        }
        assert_eq!(refusal("Application/X-WWW-Form-Urlencoded"), None);
    }

    #[test]
    fn fault_13_a_refusal_says_what_was_sent_and_what_to_send() {
        for (sent, told) in [
            ("", "an empty Content-Type was sent; send application/x-www-form-urlencoded"),
            ("text/plain; charset=utf-8", "'text/plain' was sent; send application/x-www-form-urlencoded"),
            (
                "application/x-www-form-urlencoded; charset=ISO-8859-1",
                "the charset 'ISO-8859-1' was sent; send application/x-www-form-urlencoded in UTF-8, without a charset",
            ),
            (
                "application/x-www-form-urlencoded; a=\"b;c\"; charset=\"latin1\"",
                "the charset 'latin1' was sent; send application/x-www-form-urlencoded in UTF-8, without a charset",
            ),
            ("\u{e4}\"", "'%C3%A4%22' was sent; send application/x-www-form-urlencoded"),
        ] {
            assert_eq!(refusal(sent).as_deref(), Some(told), "{sent}");
        }
    }
}
