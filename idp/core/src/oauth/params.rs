//! Request parameters as RFC 6749 section 3.1 reads them: an empty one counts as absent, a repeated one is an
//! error.

use std::fmt;

use crate::secret::Secret;

/// The parameters of one request, in the order they came.
#[derive(Clone, Default)]
pub struct Params(Vec<(String, Secret)>);

impl fmt::Debug for Params {
    /// Names only: the values include codes, tokens and secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Params {
    /// From decoded name-value pairs.
    pub fn new(pairs: Vec<(String, String)>) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name, Secret::new(value))).collect())
    }

    /// From a decoded form, whose values are secrets already.
    pub fn of_form(pairs: Vec<(String, Secret)>) -> Self {
        Self(pairs)
    }

    /// The value of a parameter; `None` if it is absent or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.expose());
        value.filter(|value| !value.is_empty())
    }

    /// Whether a parameter was sent at all, even with an empty value.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// Whether a parameter came more than once.
    pub fn is_repeated(&self, name: &str) -> bool {
        self.0.iter().filter(|(key, _)| key == name).count() > 1
    }

    /// Whether any of these came more than once.
    pub fn any_repeated(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.is_repeated(name))
    }

    /// All of them, for a page that shows a developer what was sent.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.expose()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_parameter_is_absent_and_a_repeated_one_is_seen() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let params = Params::new(vec![pair("a", ""), pair("b", "1"), pair("b", "2"), pair("c", "3")]);
        assert_eq!((params.get("a"), params.get("c"), params.get("d")), (None, Some("3"), None));
        assert!(params.has("a") && !params.has("d"));
        assert!(params.is_repeated("b") && !params.is_repeated("c"));
    }

    #[test]
    fn ls_01_parameters_are_printed_without_their_values() {
        let params = Params::new(vec![("code".to_owned(), "ac_secret".to_owned())]);
        assert_eq!(format!("{params:?}"), r#"["code"]"#);
    }
}
