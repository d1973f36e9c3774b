//! The catalogue: every user-facing text, by key (Project Fluent).

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};

use crate::start_error::StartError;

/// The only language so far.
pub(crate) const LANGUAGE: &str = "en";

/// The user-facing texts.
pub(crate) struct Catalogue(FluentBundle<FluentResource>);

/// An argument of a text.
pub(crate) type Arg<'a> = (&'a str, FluentValue<'a>);

impl Catalogue {
    /// Reads a catalogue.
    pub(crate) fn parse(source: &str) -> Result<Self, StartError> {
        let broken = |what: String| StartError::Defect(format!("catalogue: {what}"));
        let resource = FluentResource::try_new(source.to_owned())
            .map_err(|(_, errors)| broken(format!("{errors:?}")))?;
        let language = LANGUAGE.parse().map_err(|_| broken("language".to_owned()))?;
        let mut bundle = FluentBundle::new_concurrent(vec![language]);
        bundle.set_use_isolating(true);
        bundle.add_resource(resource).map_err(|errors| broken(format!("{errors:?}")))?;
        Ok(Self(bundle))
    }

    /// A text; `None` if the key or one of its arguments is missing.
    pub(crate) fn try_text(&self, key: &str, args: &[Arg<'_>]) -> Option<String> {
        let pattern = self.0.get_message(key)?.value()?;
        let args: FluentArgs<'_> = args.iter().map(|(name, value)| (*name, value.clone())).collect();
        let mut errors = Vec::new();
        let text = self.0.format_pattern(pattern, Some(&args), &mut errors).into_owned();
        errors.is_empty().then_some(text)
    }

    /// A text, or its key if the text is missing, which a test rules out.
    pub(crate) fn text(&self, key: &str, args: &[Arg<'_>]) -> String {
        self.try_text(key, args).unwrap_or_else(|| key.to_owned())
    }
}
