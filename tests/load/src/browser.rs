//! A browser without JavaScript: cookies and forms. What it costs the server is what a person costs.

use std::fmt::Write;

use crate::http::{Connection, Failure, Response, Target, get, post};

/// The cookie that holds a session, on http.
const SESSION: &str = "idp-session";

/// Cookies by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cookies(Vec<(String, String)>);

impl Cookies {
    /// Keeps what a response sets.
    pub(crate) fn keep(&mut self, response: &Response<'_>) {
        let set = response.headers().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        for (name, value) in set.filter_map(|(_, cookie)| cookie.split(';').next()?.split_once('=')) {
            self.0.retain(|(kept, _)| kept != name);
            self.0.push((name.to_owned(), value.to_owned()));
        }
    }

    /// The Cookie header.
    pub(crate) fn header(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.0 {
            let separator = if text.is_empty() { "" } else { "; " };
            let _ = write!(text, "{separator}{name}={value}");
        }
        text
    }

    fn has_session(&self) -> bool {
        self.0.iter().any(|(name, value)| name == SESSION && !value.is_empty())
    }
}

/// A form of a page: where it goes, and its hidden token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) action: String,
    pub(crate) csrf: String,
}

/// The form of a page whose action ends with `end`.
fn form(page: &str, end: &str) -> Result<Form, Failure> {
    let forms = page.split("<form").skip(1).filter_map(|form| form.split("</form>").next());
    for form in forms {
        let action = attribute(form, "action").unwrap_or_default();
        if action.ends_with(end) {
            let hidden = form.split("<input").find(|input| attribute(input, "name") == Some("csrf"));
            let csrf = hidden.and_then(|input| attribute(input, "value"));
            let csrf = csrf.ok_or(Failure::Unexpected("a form without a token"))?;
            return Ok(Form { action: action.to_owned(), csrf: csrf.to_owned() });
        }
    }
    Err(Failure::Unexpected("a page without the form"))
}

/// The values looked for are base64url, ids and paths: nothing in them is written as an entity.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let tag = tag.split('>').next()?;
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split('"').next()
}

/// The way to sign-in of a new browser, up to the form.
pub(crate) async fn sign_in_form(
    connection: &mut Connection,
    target: &Target,
) -> Result<(Cookies, Form), Failure> {
    let mut cookies = Cookies::default();
    let response = connection.send(&get(target, "/signin", &[])).await?.expect(303)?;
    cookies.keep(&response);
    let path = response.location()?.to_owned();
    let form = open_form(connection, target, &mut cookies, (&path, "/login")).await?;
    Ok((cookies, form))
}

/// The form of a page whose action ends with `end`.
pub(crate) async fn open_form(
    connection: &mut Connection,
    target: &Target,
    cookies: &mut Cookies,
    (path, end): (&str, &str),
) -> Result<Form, Failure> {
    let request = get(target, path, &[("cookie", &cookies.header())]);
    let response = connection.send(&request).await?.expect(200)?;
    cookies.keep(&response);
    form(response.text()?, end)
}

/// One sign-in as a new browser makes it: the way in, the page, the form. Ends with the session's cookie.
pub(crate) async fn sign_in(
    connection: &mut Connection,
    target: &Target,
    (email, password): (&str, &str),
) -> Result<Cookies, Failure> {
    let (mut cookies, form) = sign_in_form(connection, target).await?;
    let fields = [("csrf", form.csrf.as_str()), ("email", email), ("password", password)];
    let request = post(target, &form.action, &[("cookie", &cookies.header())], &fields);
    let response = connection.send(&request).await?.expect(303)?;
    cookies.keep(&response);
    if cookies.has_session() { Ok(cookies) } else { Err(Failure::Unexpected("a sign-in without a session")) }
}

/// Walks from an authorization request through the question of consent, and says yes. An client that has
/// been allowed before is answered at once; that is as good.
pub(crate) async fn allow(
    connection: &mut Connection,
    target: &Target,
    cookies: &Cookies,
    authorize: &[u8],
) -> Result<(), Failure> {
    let response = connection.send(authorize).await?.expect(303)?;
    let path = response.location()?.to_owned();
    if !path.starts_with("/flow/") {
        return Ok(());
    }
    let header = cookies.header();
    let response = connection.send(&get(target, &path, &[("cookie", &header)])).await?.expect(200)?;
    let form = form(response.text()?, "/consent")?;
    let fields = [("csrf", form.csrf.as_str()), ("decision", "allow")];
    connection.send(&post(target, &form.action, &[("cookie", &header)], &fields)).await?.expect(303)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_found_by_where_it_goes() {
        let page = r#"<form method="post" action="/other"><input type="hidden" name="csrf" value="x"></form>
            <form method="post" action="/flow/7/login" novalidate><input id="e" name="email" value="">
            <input type="hidden" name="csrf" value="a-b_c"></form>"#;
        let found = Form { action: "/flow/7/login".to_owned(), csrf: "a-b_c".to_owned() };
        assert_eq!(form(page, "/login"), Ok(found));
        assert!(form(page, "/consent").is_err());
        assert!(form(r#"<form action="/login"></form><input name="csrf" value="x">"#, "/login").is_err());
    }
}
