//! A scraping browser: cookies, forms, redirects, no JavaScript. What it can do, anyone can do.

use std::sync::Arc;

use reqwest::cookie::{CookieStore, Jar};
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Method, StatusCode};

/// A browser without JavaScript. It follows redirects only when told to.
#[derive(Clone)]
pub(crate) struct Browser {
    http: reqwest::Client,
    jar: Arc<Jar>,
    origin: String,
    /// The address of another node, reached under the same name.
    via: Option<String>,
}

/// A response.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The URL that answered.
    pub(crate) url: String,
    pub(crate) body: String,
}

impl Browser {
    pub(crate) fn new(origin: &str) -> Self {
        let jar = Arc::<Jar>::default();
        let http = reqwest::Client::builder()
            .cookie_provider(Arc::clone(&jar))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self { http, jar, origin: origin.to_owned(), via: None }
    }

    /// Its cookies, as it would send them.
    pub(crate) fn cookies(&self) -> String {
        let cookies = self.jar.cookies(&self.origin.parse().unwrap());
        cookies.map_or(String::new(), |cookies| cookies.to_str().unwrap().to_owned())
    }

    /// The same for a page of the same host.
    pub(crate) fn cookies_for(&self, path: &str) -> String {
        self.at(&format!("{}{path}", self.origin)).cookies()
    }

    /// Adds these cookies.
    pub(crate) fn with_cookies(self, cookies: &str) -> Self {
        for cookie in cookies.split("; ") {
            self.jar.add_cookie_str(cookie, &self.origin.parse().unwrap());
            if let Some(via) = &self.via {
                self.jar.add_cookie_str(cookie, &via.parse().unwrap());
            }
        }
        self
    }

    /// A browser that a load balancer sends to another node.
    pub(crate) fn through(origin: &str, via: &str) -> Self {
        Self { via: Some(via.to_owned()), ..Self::new(origin) }
    }

    /// The same browser, sent by the load balancer to the node of `other`.
    pub(crate) fn via(&self, other: &Self) -> Self {
        Self { via: other.via.clone(), ..self.clone() }
    }

    /// The same browser at another server.
    pub(crate) fn at(&self, origin: &str) -> Self {
        Self { origin: origin.to_owned(), ..self.clone() }
    }

    fn url(&self, target: &str) -> String {
        if target.starts_with('/') { format!("{}{target}", self.origin) } else { target.to_owned() }
    }

    /// Opens a page without following redirects.
    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.send(Method::GET, target, None, &[]).await
    }

    /// Sends a form as given: adds no token.
    pub(crate) async fn post(&self, target: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(Method::POST, target, Some(fields), &[]).await
    }

    /// Sends anything.
    pub(crate) async fn send(
        &self,
        method: Method,
        target: &str,
        fields: Option<&[(&str, &str)]>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let url = self.url(target);
        let to = self.via.as_ref().map_or(url.clone(), |via| url.replacen(&self.origin, via, 1));
        let mut request = self.http.request(method, &to);
        if self.via.is_some() {
            request = request.header("host", self.origin.trim_start_matches("http://"));
        }
        if let Some(fields) = fields {
            request = request.form(fields);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, url, body: response.text().await.unwrap() }
    }

    /// Follows redirects within the product; stops at a page, or at a redirect that leaves it.
    pub(crate) async fn follow(&self, answer: Answer) -> Answer {
        let mut answer = answer;
        for _ in 0..10 {
            match answer.location() {
                Some(to) if to.starts_with('/') || to.starts_with(&self.origin) => {
                    answer = self.get(&to).await
                }
                _ => return answer,
            }
        }
        panic!("too many redirects, the last to {:?}", answer.location());
    }

    /// Opens a page and follows redirects.
    pub(crate) async fn open(&self, target: &str) -> Answer {
        let answer = self.get(target).await;
        self.follow(answer).await
    }

    /// Fills in the form whose action ends with `action`, sends it as the page would, with its hidden fields, and
    /// follows redirects.
    pub(crate) async fn submit(&self, page: &Answer, action: &str, fields: &[(&str, &str)]) -> Answer {
        let answer = self.submit_only(page, action, fields).await;
        self.follow(answer).await
    }

    /// The same without following redirects.
    pub(crate) async fn submit_only(&self, page: &Answer, action: &str, fields: &[(&str, &str)]) -> Answer {
        let form = page.form(action);
        let hidden = form.hidden.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let all: Vec<(&str, &str)> = hidden.chain(fields.iter().copied()).collect();
        self.post(&form.action, &all).await
    }

    /// Signs in on a sign-in page.
    pub(crate) async fn sign_in(&self, page: &Answer, email: &str, password: &str) -> Answer {
        self.submit(page, "/login", &[("email", email), ("password", password)]).await
    }
}

/// A form on a page.
#[derive(Debug)]
pub(crate) struct FormOnPage {
    pub(crate) action: String,
    pub(crate) hidden: Vec<(String, String)>,
}

impl Answer {
    pub(crate) fn location(&self) -> Option<String> {
        self.headers.get(LOCATION).map(|to| to.to_str().unwrap().to_owned())
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn cookies(&self) -> Vec<String> {
        self.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    /// Where our page goes on to by itself. Asserts that its link leads there too; a flow's link does so by way of a
    /// page of ours that looks once more.
    pub(crate) fn onward(&self) -> Option<String> {
        let rest = self.body.split_once("<meta http-equiv=\"refresh\" content=\"0;url=")?.1;
        let to = unescape(rest.split('"').next().unwrap());
        let link =
            self.body.split_once("id=\"onward\" href=\"").expect("a link for when it does not go on").1;
        let button = self.flow_button().unwrap_or_else(|| to.clone());
        assert_eq!(unescape(link.split('"').next().unwrap()), button, "{}", self.url);
        Some(to)
    }

    /// Where the button on a flow's page leads.
    pub(crate) fn flow_button(&self) -> Option<String> {
        let path = &self.url[self.url.find("/flow/")?..];
        Some(format!("{}?go=1", path.split('?').next()?))
    }

    /// Where a browser goes from here by itself.
    pub(crate) fn leads_to(&self) -> Option<String> {
        self.location().or_else(|| self.onward())
    }

    /// The value of a query parameter in [`Self::leads_to`].
    pub(crate) fn redirect_param(&self, name: &str) -> Option<String> {
        let url = url::Url::parse(&self.leads_to()?).unwrap();
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// What a person reads: the body with entities resolved, without the invisible marks around values.
    pub(crate) fn text(&self) -> String {
        unescape(&self.body.replace(['\u{2068}', '\u{2069}'], ""))
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }

    /// The reason that an error page names.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.body.split_once("data-reason=\"")?.1.split('"').next()
    }

    /// The form whose action ends with `action`, not counting a query.
    pub(crate) fn form(&self, action: &str) -> FormOnPage {
        let forms =
            self.body.split("<form").skip(1).map(|form| form.split("</form>").next().unwrap_or_default());
        for form in forms {
            let to = attribute(form, "action").unwrap_or_default();
            if to.split('?').next().unwrap_or_default().ends_with(action) {
                return FormOnPage { hidden: hidden_fields(form), action: to };
            }
        }
        panic!("no form to {action} on {} {}:\n{}", self.status, self.url, self.body);
    }
}

fn hidden_fields(form: &str) -> Vec<(String, String)> {
    let inputs = form.split("<input").skip(1).map(|input| input.split('>').next().unwrap_or_default());
    inputs
        .filter(|input| attribute(input, "type").as_deref() == Some("hidden"))
        .map(|input| (attribute(input, "name").unwrap(), attribute(input, "value").unwrap_or_default()))
        .collect()
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let value = tag.split_once(&format!(" {name}=\""))?.1.split('"').next()?;
    Some(unescape(value))
}

fn unescape(text: &str) -> String {
    text.replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&#x27;", "'")
        .replace("&#x2F;", "/")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}
