//! Forms and queries, read once and within limits: our own strictly, those of clients as OAuth says.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use idp_core::oauth::params::Params;
use idp_core::secret::Secret;
use idp_core::text::DisplayText;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;
use zeroize::{Zeroize, Zeroizing};

use crate::http::errors::{About, PageError, Reason};
use crate::http::field_value::FieldValue;

/// The most fields a form may have.
const FIELDS: usize = 64;

/// The names and values of a form or query. Every value is a secret: which of them is a password, only the handler knows.
pub(crate) type Fields = Vec<(String, Secret)>;

/// Decodes `application/x-www-form-urlencoded` text. Unlike a browser's parser it repairs nothing: it refuses bytes
/// that are not UTF-8, NUL, and more fields than any of our forms has.
pub(crate) fn decode(text: &[u8]) -> Option<Fields> {
    let mut pairs = Fields::new();
    for (name, value) in pairs_of(text) {
        if pairs.len() == FIELDS {
            return None;
        }
        pairs.push((name?, value?));
    }
    Some(pairs)
}

/// The names and values of a form. `None`: it cannot be decoded.
fn pairs_of(text: &[u8]) -> impl Iterator<Item = (Option<String>, Option<Secret>)> {
    text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let middle = pair.iter().position(|byte| *byte == b'=');
        let (name, value) = match middle {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &b""[..]),
        };
        (decode_part(name), decode_part(value).map(Secret::new))
    })
}

/// Decodes one name, value or path. Nothing else is left of it in memory, because it may be a password.
pub(crate) fn decode_part(part: &[u8]) -> Option<String> {
    let mut bytes = part.to_vec();
    bytes.iter_mut().filter(|byte| **byte == b'+').for_each(|byte| *byte = b' ');
    if bytes.contains(&b'%') {
        let encoded = Zeroizing::new(bytes);
        // No longer than what it is decoded from. A buffer that grows would leave copies.
        bytes = Vec::with_capacity(encoded.len());
        bytes.extend(percent_encoding::percent_decode(&encoded));
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Some(text),
        Ok(mut text) => {
            text.zeroize();
            None
        }
        Err(error) => {
            error.into_bytes().zeroize();
            None
        }
    }
}

/// Whether a query has this parameter, whatever else it has.
pub(crate) fn has_field(query: &str, wanted: &str) -> bool {
    pairs_of(query.as_bytes()).any(|(name, _)| name.as_deref() == Some(wanted))
}

/// The first value of a query's parameter, if it can be decoded, whatever else the query has.
pub(crate) fn field(query: &str, wanted: &str) -> Option<Secret> {
    pairs_of(query.as_bytes()).find(|(name, _)| name.as_deref() == Some(wanted))?.1
}

/// What is escaped in the value of a query: what may not stand there (RFC 3986 section 3.4); `&`, `+` and `%`, which mean
/// something; and the quote and parentheses of scripts, so that a page shows none that a stranger sent.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'\'')
    .add(b'(')
    .add(b')')
    .add(b'+')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Names and values as a query again. Hardly anything is escaped that need not be, so that a query of allowed length
/// does not become too long.
pub(crate) fn encode<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> String {
    const ESCAPED_IN_NAMES: &AsciiSet = &ESCAPED.add(b'=');
    let pairs = pairs.into_iter().map(|(name, value)| {
        let name = utf8_percent_encode(name.as_ref(), ESCAPED_IN_NAMES);
        format!("{name}={}", utf8_percent_encode(value.as_ref(), ESCAPED))
    });
    pairs.collect::<Vec<String>>().join("&").replace("%20", "+")
}

/// The page whose form is sent to `path`. A browser that opens that path, or sends an old form to it, goes there.
pub(crate) fn page_of(path: &str, signed_in: bool) -> &str {
    match path {
        "/logout/confirm" if signed_in => "/account",
        "/logout/confirm" => "/signed-out",
        "/activate/resend" => "/activate",
        _ if path.starts_with("/flow/") || path.starts_with("/register/") => {
            path.rsplit_once('/').map_or(path, |(page, _)| page)
        }
        _ => path,
    }
}

/// The length of the longest e-mail address (RFC 5321).
const LONGEST_EMAIL: usize = 254;

/// What somebody typed as their address, safe to show in a field.
pub(crate) fn shown_email(text: &str) -> String {
    DisplayText::new(text, LONGEST_EMAIL).to_string()
}

/// A link within this server with what somebody typed as their address, so that they need not type it again.
pub(crate) fn with_email(url: &str, email: &str) -> String {
    if email.is_empty() {
        return url.to_owned();
    }
    let email: String = email.chars().take(LONGEST_EMAIL).collect();
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("email", &email).finish();
    format!("{url}{}{query}", if url.contains('?') { '&' } else { '?' })
}

/// A decoded form of ours. [`crate::http::enforcement`] puts it into the request.
#[derive(Clone)]
pub(crate) struct FormBody(pub(crate) Fields);

/// The form of a client, as it came. [`crate::http::enforcement`] puts it into the request. Which of its parameters
/// count is for the endpoint to say.
#[derive(Clone, Default)]
pub(crate) struct ProtocolBody(pub(crate) Arc<Zeroizing<Vec<u8>>>);

impl<S: Sync> FromRequestParts<S> for ProtocolBody {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.remove().unwrap_or_default())
    }
}

/// A form in the type that its handler expects. Unknown and repeated fields are refused.
pub(crate) struct Form<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Form<T> {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, PageError> {
        let FormBody(pairs) = parts.extensions.remove().unwrap_or(FormBody(Fields::new()));
        read(pairs.into_iter().map(|(name, value)| (name, Some(value)))).map(Form)
    }
}

/// The query of a page in the type that its handler expects. Mail programs and other sites add parameters to links, so
/// unknown ones are ignored, however they are written. Known ones are read strictly, and only once.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, PageError> {
        let query = parts.uri.query().unwrap_or_default();
        read(pairs_of(query.as_bytes()).map(|(name, value)| (name.unwrap_or_default(), value))).map(Query)
    }
}

/// The protocol parameters of a query or of a client's form. `is_known` names those that the endpoint reads; any other
/// is ignored, however it is written (RFC 6749 sections 3.1 and 3.2). Some of these are kept, for a page that shows a
/// developer what was sent.
///
/// # Errors
/// A known parameter cannot be decoded, or there are too many of them.
pub(crate) fn protocol(text: &[u8], is_known: fn(&str) -> bool) -> Result<Params, PageError> {
    let mut broken = None;
    let params = protocol_with(text, is_known, |name| {
        broken.get_or_insert_with(|| name.to_owned());
        ""
    })?;
    match broken {
        Some(name) => {
            let detail = format!("{name} cannot be decoded: percent-encode UTF-8, without NUL");
            let about = About::claimed(&params).parameter(Some(&name), &Params::default());
            Err(PageError::new(Reason::BAD_REQUEST).detail(detail).about(about))
        }
        None => Ok(params),
    }
}

/// The same, with something `instead` of the value of a known parameter that cannot be decoded.
///
/// # Errors
/// There are too many known parameters.
pub(crate) fn protocol_with(
    text: &[u8],
    is_known: fn(&str) -> bool,
    mut instead: impl FnMut(&str) -> &'static str,
) -> Result<Params, PageError> {
    let (mut known, mut others) = (Fields::new(), Fields::new());
    for (name, value) in pairs_of(text) {
        let Some(name) = name else { continue };
        if is_known(&name) {
            let value = value.unwrap_or_else(|| Secret::new(instead(&name).to_owned()));
            known.push((name, value));
        } else if let Some(value) = value.filter(|_| others.len() < FIELDS) {
            others.push((name, value));
        }
    }
    others.truncate(FIELDS.saturating_sub(known.len()));
    let too_many = known.len() > FIELDS;
    known.extend(others);
    let params = Params::of_form(known);
    if too_many {
        let detail = format!("more than {FIELDS} parameters");
        return Err(PageError::new(Reason::BAD_REQUEST).detail(detail).about(About::claimed(&params)));
    }
    Ok(params)
}

/// The name of the first of these parameters whose value cannot be decoded.
pub(crate) fn undecodable(text: &[u8], is_wanted: fn(&str) -> bool) -> Option<String> {
    let broken = pairs_of(text).filter(|(_, value)| value.is_none());
    broken.filter_map(|(name, _)| name).find(|name| is_wanted(name))
}

/// The parameters of a page's query that can be decoded, for a page that is not strict about any.
pub(crate) struct LenientQuery(pub(crate) Params);

impl<S: Sync> FromRequestParts<S> for LenientQuery {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = pairs_of(query.as_bytes()).filter_map(|(name, value)| name.zip(value));
        Ok(Self(Params::of_form(pairs.collect())))
    }
}

/// Reads pairs into a type. `None` is a value that could not be decoded. The type refuses a field that is repeated, and,
/// if it says so, one that it does not know.
fn read<T: DeserializeOwned>(pairs: impl Iterator<Item = (String, Option<Secret>)>) -> Result<T, PageError> {
    let fields = MapDeserializer::new(pairs.map(|(name, value)| (name, FieldValue(value))));
    // serde's message is dropped because it quotes field names: an unescaped `&` makes half of a password one.
    let shape = |_| {
        PageError::new(Reason::BAD_REQUEST)
            .detail("a field is missing, repeated, unknown or has an invalid value")
    };
    T::deserialize(fields).map_err(shape)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{
        ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
    };
    use proptest::sample::select;

    use super::*;

    fn plain(fields: Option<Fields>) -> Option<Vec<(String, String)>> {
        Some(fields?.into_iter().map(|(name, value)| (name, value.expose().to_owned())).collect())
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Typed {
        #[serde(default)]
        email: String,
        #[serde(default)]
        password: Secret,
        flow: Option<String>,
        answer: Option<Answer>,
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Answer {
        Allow,
    }

    #[test]
    fn a_form_is_read_into_the_type_of_its_handler() {
        let typed = |text: &str| {
            let pairs = decode(text.as_bytes()).unwrap().into_iter();
            read::<Typed>(pairs.map(|(name, value)| (name, Some(value))))
        };
        let full = typed("email=a&password=b+c&flow=&answer=allow").unwrap();
        let (password, flow) = (Secret::new("b c".to_owned()), Some(String::new()));
        assert_eq!(full, Typed { email: "a".to_owned(), password, flow, answer: Some(Answer::Allow) });
        let empty = Typed { email: String::new(), password: Secret::default(), flow: None, answer: None };
        assert_eq!(typed("").unwrap(), empty);
        for (bad, why) in
            [("email=a&email=b", "repeated"), ("name=a", "unknown"), ("answer=maybe", "invalid")]
        {
            let refused = typed(bad).unwrap_err();
            assert!(refused.reason == Reason::BAD_REQUEST && refused.detail.unwrap().contains(why), "{bad}");
        }
    }

    #[test]
    fn a_form_is_decoded_strictly() {
        let pair = |name: &str, value: &str| (name.to_owned(), Secret::new(value.to_owned()));
        assert_eq!(
            decode(b"a=1&b=%C3%A4+c&d&=e").unwrap(),
            [pair("a", "1"), pair("b", "ä c"), pair("d", ""), pair("", "e")]
        );
        for bad in [&b"a=%FF"[..], b"a=%00", b"\xFF\xFEa\0=\0"] {
            assert!(decode(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn fault_21_values_are_secrets_as_soon_as_they_are_decoded() {
        let fields = decode(b"email=ada%40example.org&password=hunter2%21").unwrap();
        let shown = format!("{fields:?}");
        assert!(
            shown.contains("password") && !shown.contains("hunter2") && !shown.contains("ada@"),
            "{shown}"
        );
    }

    #[test]
    fn fault_08_a_clients_form_is_read_by_the_names_that_count() {
        let is_known = |name: &str| ["code", "state"].contains(&name);
        let read = |text: &str| protocol(text.as_bytes(), is_known);
        for junk in ["a=%FF", "%FF=a", "%00", "b=\0", &"a=1&".repeat(200), "x=y"] {
            let params = read(&format!("code=1&{junk}&state=2")).unwrap();
            assert_eq!((params.get("code"), params.get("state")), (Some("1"), Some("2")), "{junk}");
            assert!(params.iter().count() <= FIELDS);
        }
        for broken in ["code=%FF", "code=1&state=%00", "state=%C3%28&code=1"] {
            assert!(read(broken).unwrap_err().detail.unwrap().contains("cannot be decoded"), "{broken}");
            let instead = |name: &str| if name == "state" { "" } else { "none" };
            let params = protocol_with(broken.as_bytes(), is_known, instead).unwrap();
            assert!(params.get("state").is_none() && params.has("code"), "{broken}");
        }
        assert!(read(&"code=1&".repeat(65)).is_err());
    }

    #[test]
    fn fault_12_a_query_is_not_made_longer_than_it_came() {
        let raw = "-._~!$*,;:@/?=".repeat(20);
        assert_eq!(encode([("state", raw.as_str())]), format!("state={raw}"));
        assert_eq!(encode([("a=b", "c d+e%20"), ("ä", "&")]), "a%3Db=c+d%2Be%2520&%C3%A4=%26");
    }

    #[test]
    fn tk_30_a_form_of_ten_thousand_fields_is_refused() {
        assert!(decode("a=1&".repeat(10_000).as_bytes()).is_none());
        assert!(decode("a=1&".repeat(64).as_bytes()).is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_was_encoded_is_decoded(pairs in prop::collection::vec(("[^\0]{0,8}", "[^\0]{0,12}"), 0..=FIELDS)) {
            let mut text = form_urlencoded::Serializer::new(String::new());
            text.extend_pairs(&pairs);
            let ours = encode(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            prop_assert!(ours.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(plain(decode(ours.as_bytes())), Some(pairs.clone()));
            prop_assert_eq!(plain(decode(text.finish().as_bytes())), Some(pairs));
        }

        #[test]
        fn a_form_is_never_repaired(text in prop::collection::vec(prop_oneof![
            4 => select(vec![&b"a"[..], b"=", b"&", b"+", b"%", b"%4", b"%41", b"%C3%A4", b"%C3", b"%FF", b"%00", b"%zz", b"\xc3", b"\xa4", b"\xff", b"\0"]).prop_map(<[u8]>::to_vec),
            1 => any::<u8>().prop_map(|byte| vec![byte]),
        ], 0..40).prop_map(|parts| parts.concat())) {
            // A browser's parser repairs with U+FFFD.
            let mended: Vec<(String, String)> = form_urlencoded::parse(&text).into_owned().collect();
            match plain(decode(&text)) {
                Some(pairs) => prop_assert_eq!(pairs, mended),
                None => {
                    let odd = |text: &str| text.contains(['\u{fffd}', '\0']);
                    let is_mended = mended.iter().any(|(name, value)| odd(name) || odd(value));
                    prop_assert!(mended.len() > FIELDS || is_mended);
                }
            }
        }
    }
}
