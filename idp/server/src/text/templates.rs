//! The templates of pages and mails. They are compiled in and take their texts from the catalogue.

use std::sync::Arc;

use fluent_bundle::FluentValue;
use rust_embed::RustEmbed;
use serde::Serialize;
use tera::{Context, Kwargs, State, Tera, TeraResult};

use crate::start_error::StartError;
use crate::text::catalogue::{Arg, Catalogue};

#[derive(RustEmbed)]
#[folder = "templates"]
struct Templates;

#[derive(RustEmbed)]
#[folder = "locales"]
struct Locales;

/// Renders templates with the catalogue.
pub(crate) struct Renderer {
    tera: Tera,
    pub(crate) catalogue: Arc<Catalogue>,
}

impl Renderer {
    /// Loads every template. One that does not parse or calls an unknown function prevents the start.
    pub(crate) fn load() -> Result<Self, StartError> {
        let source = Locales::get("en/main.ftl").map(|file| file.data.into_owned()).unwrap_or_default();
        let catalogue = Arc::new(Catalogue::parse(&String::from_utf8_lossy(&source))?);
        let mut tera = Tera::new();
        let texts = Arc::clone(&catalogue);
        tera.register_function("t", move |kwargs: Kwargs, state: &State<'_>| {
            translate(&texts, &kwargs, state)
        });
        let files: Vec<(String, String)> = Templates::iter()
            .filter_map(|name| Some((name.to_string(), Templates::get(&name)?.data.into_owned())))
            .map(|(name, data)| (name, String::from_utf8_lossy(&data).into_owned()))
            .collect();
        let files = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        tera.add_raw_templates(files).map_err(|error| StartError::Defect(format!("template: {error}")))?;
        Ok(Self { tera, catalogue })
    }

    /// Fills a template with the merged fields of several values.
    pub(crate) fn fill(&self, template: &str, values: &[&dyn ErasedContext]) -> TeraResult<String> {
        let mut context = Context::new();
        for value in values {
            value.extend(&mut context)?;
        }
        self.tera.render(template, &context)
    }

    /// The names of all templates, for the test that renders each one.
    #[cfg(test)]
    pub(crate) fn template_names(&self) -> Vec<String> {
        self.tera.get_template_names().map(str::to_owned).collect()
    }
}

/// A value whose fields go into a template's context.
pub(crate) trait ErasedContext {
    fn extend(&self, context: &mut Context) -> TeraResult<()>;
}

impl<T: Serialize> ErasedContext for T {
    fn extend(&self, context: &mut Context) -> TeraResult<()> {
        context.extend(Context::from_serialize(self)?);
        Ok(())
    }
}

fn translate(catalogue: &Catalogue, kwargs: &Kwargs, state: &State<'_>) -> TeraResult<String> {
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
    let text = catalogue.try_text(&key, &args).ok_or_else(missing)?;
    Ok(if state.autoescaping_enabled() { text } else { without_marks(&text) })
}

/// Removes the marks that isolate arguments: plain text does not need them, and some mail programs show them.
pub(crate) fn without_marks(text: &str) -> String {
    text.replace(['\u{2068}', '\u{2069}'], "")
}
