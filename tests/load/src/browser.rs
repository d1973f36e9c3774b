//! A browser without JavaScript: cookies and forms. It costs the server as much as a person does.

use std::fmt::Write;

use crate::http::{Connection, Failure, Response, Target, get, post};

/// The session cookie's name on http, without the port.
const SESSION: &str = "idp-session";

/// Cookies by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cookies(Vec<(String, String)>);

impl Cookies {
    /// Stores the cookies that a response sets.
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
        self.0.iter().any(|(name, value)| name.starts_with(SESSION) && !value.is_empty())
    }
}

/// A form on a page: its action and its hidden CSRF token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) action: String,
    pub(crate) csrf: String,
}

/// The form on `page` whose action ends with `end`.
fn form(page: &str, end: &str) -> Result<Form, Failure> {
    let forms = page.split("<form").skip(1).filter_map(|form| form.split("</form>").next());
    for form in forms {
        let action = attribute(form, "action").unwrap_or_default();
        if action.ends_with(end) {
            let hidden = form.split("<input").find(|input| attribute(input, "name") == Some("csrf"));
            let csrf = hidden.and_then(|input| attribute(input, "value"));
            let csrf = csrf.ok_or(Failure::Unexpected("a form without a CSRF token"))?;
            return Ok(Form { action: action.to_owned(), csrf: csrf.to_owned() });
        }
    }
    Err(Failure::Unexpected("a page without the expected form"))
}

/// The value of an attribute. Those we need are base64url, ids and paths, so there are no entities to decode.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let tag = tag.split('>').next()?;
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split('"').next()
}

/// Opens the sign-in form in a new browser.
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

/// Loads a page and returns the form whose action ends with `end`.
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

/// One sign-in in a new browser: start, page, form. Returns cookies with a session.
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

/// Sends an authorization request and gives consent. If the client already has consent, the server does not ask; that
/// is fine, too.
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
    fn a_form_is_found_by_its_action() {
        let page = r#"<form method="post" action="/other"><input type="hidden" name="csrf" value="x"></form>
            <form method="post" action="/flow/7/login" novalidate><input id="e" name="email" value="">
            <input type="hidden" name="csrf" value="a-b_c"></form>"#;
        let found = Form { action: "/flow/7/login".to_owned(), csrf: "a-b_c".to_owned() };
        assert_eq!(form(page, "/login"), Ok(found));
        assert!(form(page, "/consent").is_err());
        assert!(form(r#"<form action="/login"></form><input name="csrf" value="x">"#, "/login").is_err());
    }
}
