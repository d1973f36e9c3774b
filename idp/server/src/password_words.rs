//! Why a password was refused, in words.

use idp_core::account::password::{LONGEST, Warning, WeakPassword};

use crate::i18n::Catalogue;

/// The sentence for a refusal.
pub(crate) fn tell(words: &Catalogue, weak: WeakPassword) -> String {
    match weak {
        WeakPassword::TooShort { min } => words.text("password-too-short", &[("min", min.into())]),
        WeakPassword::TooLong => words.text("password-too-long", &[("max", LONGEST.into())]),
        WeakPassword::OwnData => because(words, "contains-your-data"),
        WeakPassword::Guessable(warning) => because(words, warning.map_or("generic", reason)),
    }
}

fn because(words: &Catalogue, reason: &str) -> String {
    let reason = words.text(&format!("password-reason-{reason}"), &[]);
    words.text("password-weak", &[("reason", reason.into())])
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
