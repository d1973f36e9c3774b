//! Why a password was refused, as a text.

use idp_core::account::password::{MAX_LENGTH, Warning, WeakPassword};

use crate::text::catalogue::Catalogue;

/// The text for a refusal.
pub(crate) fn tell(catalogue: &Catalogue, weak: WeakPassword) -> String {
    match weak {
        WeakPassword::TooShort { min } => catalogue.text("password-too-short", &[("min", min.into())]),
        WeakPassword::TooLong => catalogue.text("password-too-long", &[("max", MAX_LENGTH.into())]),
        WeakPassword::OwnData => because(catalogue, "contains-your-data"),
        WeakPassword::Guessable(warning) => because(catalogue, warning.map_or("generic", reason)),
    }
}

fn because(catalogue: &Catalogue, reason: &str) -> String {
    let reason = catalogue.text(&format!("password-reason-{reason}"), &[]);
    catalogue.text("password-weak", &[("reason", reason.into())])
}

fn reason(warning: Warning) -> &'static str {
    match warning {
        Warning::StraightRowsOfKeysAreEasyToGuess => "straight-row",
        Warning::ShortKeyboardPatternsAreEasyToGuess => "keyboard-pattern",
        Warning::RepeatsLikeAaaAreEasyToGuess => "repeated-char",
        Warning::RepeatsLikeAbcAbcAreOnlySlightlyHarderToGuess => "repeated-pattern",
        Warning::ThisIsATop10Password => "top-10",
        Warning::ThisIsATop100Password => "top-100",
        Warning::ThisIsACommonPassword => "common",
        Warning::ThisIsSimilarToACommonlyUsedPassword => "similar-to-common",
        Warning::SequencesLikeAbcAreEasyToGuess => "sequence",
        Warning::RecentYearsAreEasyToGuess => "years",
        Warning::AWordByItselfIsEasyToGuess => "word-by-itself",
        Warning::DatesAreOftenEasyToGuess => "dates",
        Warning::NamesAndSurnamesByThemselvesAreEasyToGuess
        | Warning::CommonNamesAndSurnamesAreEasyToGuess => "names",
    }
}
