//! The three kinds of refusal, each checked in full: an HTML error page, an error redirect, a JSON token error.

use super::TestApp;
use super::browser::Answer;
use super::client::STATE;

impl Answer {
    /// An error page: our own HTML, 400, no redirect, no code; the input appears nowhere unescaped.
    #[track_caller]
    pub(crate) fn assert_page(&self, reason: &str) {
        self.assert_error_page(400, reason);
    }

    /// An error page with another status.
    #[track_caller]
    pub(crate) fn assert_error_page(&self, status: u16, reason: &str) {
        assert_eq!(self.status, status, "{} {:?} {}", self.url, self.location(), self.body);
        assert_eq!(self.reason(), Some(reason), "{}", self.url);
        assert_eq!(self.location(), None, "{}", self.url);
        assert!(self.header("content-type").starts_with("text/html"), "{}", self.url);
        assert!(self.header("cache-control").contains("no-store"), "{}", self.url);
        assert!(!holds_a_code(&self.body) && !self.body.contains("<script>alert"), "{}", self.body);
    }

    /// Where the answer to the client leads. A flow ends with a form of ours, so it reaches an https client by a page
    /// that goes on; everything else is a redirect.
    #[track_caller]
    pub(crate) fn answer_to_client(&self) -> String {
        let what = format!("{} {} {:?} {}", self.url, self.status, self.location(), self.text());
        let location = self.leads_to().unwrap_or_else(|| panic!("{what}"));
        let by_page = self.url.contains("/flow/") && location.starts_with("https:");
        assert_eq!(self.status.as_u16(), if by_page { 200 } else { 303 }, "{what}");
        assert_eq!(self.location().is_none(), by_page, "{what}");
        assert!(self.header("cache-control").contains("no-store"), "{what}");
        location
    }

    /// An error redirect: a response to the client at `uri` with this `error`, the exact state that was sent, and the
    /// issuer; no code or token.
    #[track_caller]
    pub(crate) fn assert_refused(&self, app: &TestApp, uri: &str, error: &str) {
        self.assert_refused_with(app, uri, error, Some(STATE));
    }

    #[track_caller]
    pub(crate) fn assert_refused_with(&self, app: &TestApp, uri: &str, error: &str, state: Option<&str>) {
        let location = self.answer_to_client();
        assert!(location.starts_with(uri) && location[uri.len()..].starts_with(['?', '&']), "{location}");
        assert_eq!(self.redirect_param("error").as_deref(), Some(error), "{} -> {location}", self.url);
        assert_eq!(self.redirect_param("state").as_deref(), state, "{location}");
        assert_eq!(self.redirect_param("iss").as_deref(), Some(app.issuer.as_str()), "{location}");
        for name in ["code", "access_token", "id_token"] {
            assert_eq!(self.redirect_param(name), None, "{location}");
        }
        assert!(!location.contains('#'), "{location}");
        let description = self.redirect_param("error_description").unwrap_or_default();
        let legal = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
        assert!(description.chars().all(legal), "{description}");
    }

    /// A token error: JSON that no cache may store, without token or cookie.
    #[track_caller]
    pub(crate) fn assert_token_error(&self, status: u16, error: &str) {
        assert_eq!(self.status, status, "{}", self.body);
        self.assert_token_frame();
        let json = self.json();
        assert_eq!(json["error"], error, "{}", self.body);
        for name in ["access_token", "refresh_token", "id_token"] {
            assert!(json.get(name).is_none(), "{}", self.body);
        }
    }

    /// What every answer of the token endpoint must have (TK-31).
    #[track_caller]
    pub(crate) fn assert_token_frame(&self) {
        assert_eq!(self.header("content-type"), "application/json", "{}", self.body);
        assert!(self.header("cache-control").contains("no-store"));
        assert_eq!(self.header("x-content-type-options"), "nosniff");
        assert!(self.cookies().is_empty(), "{:?}", self.cookies());
        assert!(self.json().is_object());
    }

    /// A token response, checked in full.
    #[track_caller]
    pub(crate) fn tokens(&self) -> Tokens {
        assert_eq!(self.status, 200, "{}", self.body);
        self.assert_token_frame();
        let json = self.json();
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        assert_eq!(text("token_type"), "Bearer");
        assert!(json["expires_in"].as_u64().is_some_and(|seconds| seconds > 0), "{}", self.body);
        Tokens {
            access: text("access_token"),
            refresh: text("refresh_token"),
            id: text("id_token"),
            scope: text("scope"),
        }
    }

    /// A success of the authorization endpoint; returns the code.
    #[track_caller]
    pub(crate) fn code(&self, app: &TestApp, uri: &str) -> String {
        let location = self.answer_to_client();
        assert!(location.starts_with(uri) && location[uri.len()..].starts_with(['?', '&']), "{location}");
        assert_eq!(self.redirect_param("iss").as_deref(), Some(app.issuer.as_str()), "{location}");
        assert_eq!(self.redirect_param("error"), None, "{location}");
        assert!(!location.contains('#'), "{location}");
        self.redirect_param("code").unwrap()
    }

    /// A 401 from the userinfo endpoint.
    #[track_caller]
    pub(crate) fn assert_invalid_token(&self) {
        assert_eq!(self.status, 401, "{}", self.body);
        assert!(self.header("www-authenticate").contains("error=\"invalid_token\""), "{:?}", self.headers);
        self.assert_token_frame();
        assert_eq!(self.json()["error"], "invalid_token");
        assert!(self.json().get("sub").is_none());
    }
}

/// What the token endpoint returned; an absent value is empty.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) id: String,
    pub(crate) scope: String,
}

/// Whether a text contains an authorization code.
fn holds_a_code(text: &str) -> bool {
    let of_a_code = |c: &char| c.is_ascii_alphanumeric() || "-_".contains(*c);
    text.split("ac_").skip(1).any(|rest| rest.chars().take_while(of_a_code).count() >= 43)
}
