//! Pages and mails: templates compiled in, filled with what a handler gives, sent by one response builder.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;
use serde::Serialize;
use tera::{Context, Kwargs, State, Tera, TeraResult};

use fluent_bundle::FluentValue;
use std::sync::Arc;

use crate::assets::AssetUrls;
use crate::errors::{PageError, StartError};
use crate::i18n::{Arg, Catalogue, LANGUAGE};

#[derive(RustEmbed)]
#[folder = "templates"]
struct Templates;

#[derive(RustEmbed)]
#[folder = "locales"]
struct Locales;

/// Renders templates with the catalogue.
pub(crate) struct Renderer {
    tera: Tera,
    pub(crate) words: Arc<Catalogue>,
}

/// A page: what its template needs beyond the frame.
pub(crate) trait Page: Serialize {
    /// The template's name.
    const TEMPLATE: &'static str;
    /// The catalogue key of the task, the first half of the title.
    const TITLE: &'static str;
    /// The key, where it depends on what the page says.
    fn title(&self) -> &'static str {
        Self::TITLE
    }
    /// Arguments of the title.
    fn title_args(&self) -> Vec<Arg<'_>> {
        Vec::new()
    }
}

/// What every page has.
#[derive(Serialize)]
pub(crate) struct Frame<'a> {
    pub(crate) lang: &'static str,
    pub(crate) dir: &'static str,
    pub(crate) title: String,
    pub(crate) brand: &'a str,
    pub(crate) assets: &'a AssetUrls,
    pub(crate) csrf: String,
    pub(crate) dev: Option<DevLinks>,
    pub(crate) notice: Option<String>,
    pub(crate) errors: Vec<FieldError>,
}

/// Where the ribbon of `dev` leads.
#[derive(Serialize)]
pub(crate) struct DevLinks {
    pub(crate) mailbox: &'static str,
    pub(crate) clock: &'static str,
}

/// One thing to correct on a page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FieldError {
    /// The field's id; none when it is about the whole form.
    pub(crate) field: Option<&'static str>,
    /// The sentence.
    pub(crate) text: String,
}

impl Renderer {
    /// Loads every template; one that does not parse, or names an unknown function, stops the start.
    pub(crate) fn load() -> Result<Self, StartError> {
        let source = Locales::get("en/main.ftl").map(|file| file.data.into_owned()).unwrap_or_default();
        let words = Arc::new(Catalogue::parse(&String::from_utf8_lossy(&source))?);
        let mut tera = Tera::new();
        let catalogue = Arc::clone(&words);
        tera.register_function("t", move |kwargs: Kwargs, state: &State<'_>| {
            translate(&catalogue, &kwargs, state)
        });
        let files: Vec<(String, String)> = Templates::iter()
            .filter_map(|name| Some((name.to_string(), Templates::get(&name)?.data.into_owned())))
            .map(|(name, data)| (name, String::from_utf8_lossy(&data).into_owned()))
            .collect();
        let files = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        tera.add_raw_templates(files).map_err(|error| StartError::Defect(format!("template: {error}")))?;
        Ok(Self { tera, words })
    }

    /// Fills a template with several values, whose fields are merged.
    pub(crate) fn fill(&self, template: &str, values: &[&dyn ErasedContext]) -> Result<String, PageError> {
        let mut context = Context::new();
        for value in values {
            value.extend(&mut context)?;
        }
        self.tera.render(template, &context).map_err(|error| PageError::broken("template", &error))
    }

    /// The names of all templates, for the test that renders each.
    #[cfg(test)]
    pub(crate) fn template_names(&self) -> Vec<String> {
        self.tera.get_template_names().map(str::to_owned).collect()
    }
}

/// Something whose fields go into a template's context.
pub(crate) trait ErasedContext {
    fn extend(&self, context: &mut Context) -> Result<(), PageError>;
}

impl<T: Serialize> ErasedContext for T {
    fn extend(&self, context: &mut Context) -> Result<(), PageError> {
        let more = Context::from_serialize(self).map_err(|error| PageError::broken("context", &error))?;
        context.extend(more);
        Ok(())
    }
}

fn translate(words: &Catalogue, kwargs: &Kwargs, state: &State<'_>) -> TeraResult<String> {
    let key: String = kwargs.must_get("key")?;
    let mut owned: Vec<(String, FluentValue<'static>)> = Vec::new();
    for (name, value) in kwargs.iter() {
        let value = match (value.as_i128(), value.as_str()) {
            (Some(number), _) => FluentValue::from(i64::try_from(number).unwrap_or(i64::MAX)),
            (None, Some(text)) => FluentValue::from(text.to_owned()),
            _ => return Err(tera::Error::message(format!("t({key}): {name} is neither text nor number"))),
        };
        owned.push((name.to_string(), value));
    }
    let args: Vec<Arg<'_>> = owned.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let missing = || tera::Error::message(format!("t({key}): no such key, or an argument is missing"));
    let text = words.try_text(&key, &args).ok_or_else(missing)?;
    Ok(if state.autoescaping_enabled() { text } else { without_marks(&text) })
}

/// Plain text has no use for the marks that isolate arguments, and some mail programs draw them.
pub(crate) fn without_marks(text: &str) -> String {
    text.replace(['\u{2068}', '\u{2069}'], "")
}

/// The language of pages and mails.
pub(crate) fn language() -> (&'static str, &'static str) {
    (LANGUAGE, "ltr")
}

/// The one way HTML leaves this server: never cached, never framed, and allowed what its kind may do and no more.
pub(crate) struct Html {
    body: String,
    status: StatusCode,
    /// In seconds.
    retry_after: Option<u64>,
    kind: Kind,
}

enum Kind {
    /// Of our templates, escaped by the renderer: it may load and submit to this server only. `form_target` is the one
    /// other place where its form may end.
    Page { form_target: Option<String> },
    /// A mail, shown in `dev`: it may style its elements, as mails must, and nothing else.
    Mail,
}

impl Html {
    /// A page with status 200.
    pub(crate) fn new(body: String) -> Self {
        Self::of_kind(Kind::Page { form_target: None }, body)
    }

    /// A mail as a mail program shows it.
    pub(crate) fn mail(body: String) -> Self {
        Self::of_kind(Kind::Mail, body)
    }

    fn of_kind(kind: Kind, body: String) -> Self {
        Self { body, status: StatusCode::OK, retry_after: None, kind }
    }

    /// With another status.
    pub(crate) fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Before so many seconds it is no use to ask again.
    pub(crate) fn retry_after(self, seconds: Option<u64>) -> Self {
        Self { retry_after: seconds, ..self }
    }

    /// Whose form may end in a redirect to this loopback origin or private-use scheme: with `'self'` alone, browsers
    /// silently block the redirect to the application.
    pub(crate) fn form_target(self, source: Option<String>) -> Self {
        Self { kind: Kind::Page { form_target: source }, ..self }
    }

    fn csp(&self) -> String {
        let own = match &self.kind {
            Kind::Page { form_target } => {
                let target = form_target.as_deref().map(|source| format!(" {source}")).unwrap_or_default();
                format!("style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'{target}")
            }
            Kind::Mail => "style-src 'unsafe-inline'; form-action 'none'; sandbox".to_owned(),
        };
        format!("default-src 'none'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; {own}")
    }
}

impl IntoResponse for Html {
    fn into_response(self) -> Response {
        let csp =
            HeaderValue::from_str(&self.csp()).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
            (header::CONTENT_SECURITY_POLICY, csp),
        ];
        let retry_after = self.retry_after.map(|seconds| [(header::RETRY_AFTER, HeaderValue::from(seconds))]);
        (self.status, headers, retry_after, self.body).into_response()
    }
}
