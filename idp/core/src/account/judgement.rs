//! How soon a password would be guessed, at a bounded cost whatever the password.
//!
//! zxcvbn looks up every part of a password in its dictionaries: once forwards, once backwards, and once more for each
//! way to read its l33t characters as letters. If several characters can stand for one letter, or one character for
//! several letters, these readings multiply, up to 800. So a text is judged whole only while its [`work`] is within
//! [`WORK`]. Every text whose only characters are digits is within it.

use zeroize::Zeroizing;
pub use zxcvbn::feedback::Warning;
use zxcvbn::{Score, zxcvbn};

/// How many characters of a password are judged. The rest can only add strength.
pub(super) const JUDGED: usize = 64;
/// The most work that one run of zxcvbn may cost: passes over a text, times the square of its length.
const WORK: usize = 10 * JUDGED * JUDGED;

/// The characters that zxcvbn reads as one letter only.
const OF_ONE_LETTER: [&[char]; 9] =
    [&['4', '@'], &['8'], &['(', '{', '[', '<'], &['3'], &['6', '9'], &['0'], &['$', '5'], &['%'], &['2']];
/// The characters that it reads as `i`, `l` and `t`: some of them as either of two of these letters.
const OF_SEVERAL: [&[char]; 3] = [&['1', '!', '|'], &['1', '|', '7'], &['+', '7']];

/// What a judgement found, and the work it cost.
pub(super) struct Judgement {
    /// `Err`: guessed too soon; with the reason, if there is a single one.
    pub(super) verdict: Result<(), Option<Warning>>,
    /// In the unit of [`WORK`].
    pub(super) work: usize,
}

/// Judges a password, given the person's own words.
///
/// One with l33t characters is judged twice and must pass both times: with one character for each letter, which finds
/// words however they are spelt; and as typed, which finds keyboard rows, dates and whatever else such characters are
/// part of. The second run goes piece by piece if the characters have too many readings; one good piece makes a good
/// password.
///
/// A repeated text is judged once: repetition adds no strength, and a repetition that breaks off, or a piece that
/// begins in the middle of one, looks like something else.
pub(super) fn judge(password: &str, words: &[&str]) -> Judgement {
    // These buffers have their full size from the start: one that grows leaves copies of what it held.
    let mut judged = Zeroizing::new(Vec::with_capacity(JUDGED));
    judged.extend(password.chars().take(JUDGED));
    let chars = repeated(&judged);
    let spelt: Zeroizing<Vec<char>> =
        Zeroizing::new(chars.iter().copied().map(one_substitute_per_letter).collect());
    // If that changes nothing, one run is enough.
    let mut work = 0;
    if spelt.as_slice() != chars {
        let spelt = run(piece(&spelt), words);
        if spelt.verdict.is_err() {
            return spelt;
        }
        work = spelt.work;
    }
    let pieces = judge_pieces(chars, words);
    Judgement { work: work + pieces.work, ..pieces }
}

/// The first good piece decides; if there is none, the verdict on the first piece.
fn judge_pieces(chars: &[char], words: &[&str]) -> Judgement {
    let first = piece(chars);
    let mut judged = run(first, words);
    let mut rest = &chars[first.len()..];
    while judged.verdict.is_err() && !rest.is_empty() {
        let next = piece(rest);
        if judged.work + work(next) > WORK {
            break;
        }
        let Judgement { verdict, work } = run(next, words);
        judged = Judgement { verdict: verdict.or(judged.verdict), work: judged.work + work };
        rest = &rest[next.len()..];
    }
    judged
}

fn run(chars: &[char], words: &[&str]) -> Judgement {
    let mut text = Zeroizing::new(String::with_capacity(chars.iter().map(|sign| sign.len_utf8()).sum()));
    text.extend(chars);
    let entropy = zxcvbn(&text, words);
    let verdict = match entropy.score() < Score::Three {
        true => Err(entropy.feedback().and_then(zxcvbn::feedback::Feedback::warning)),
        false => Ok(()),
    };
    Judgement { verdict, work: work(chars) }
}

/// The part that a text repeats, perhaps broken off at the end; the whole text if nothing is repeated.
fn repeated(chars: &[char]) -> &[char] {
    let length = chars.len();
    let repeats = |unit: &usize| (*unit..length).all(|at| chars[at] == chars[at - unit]);
    &chars[..(1..=length / 2).find(repeats).unwrap_or(length)]
}

/// The longest prefix that may be judged in one run, at least one character.
fn piece(chars: &[char]) -> &[char] {
    let longest = (1..=chars.len()).take_while(|&length| work(&chars[..length]) <= WORK).last();
    &chars[..longest.unwrap_or(1).min(chars.len())]
}

/// The work that a text costs zxcvbn, in the unit of [`WORK`].
fn work(chars: &[char]) -> usize {
    (2 + readings(chars)) * chars.len() * chars.len()
}

/// In how many ways zxcvbn reads the l33t characters of a text: in one reading, each letter is spelt with one character
/// only, and each character means one letter only.
fn readings(chars: &[char]) -> usize {
    let present = |of_letter: &[char]| -> Vec<char> {
        of_letter.iter().copied().filter(|c| chars.contains(c)).collect()
    };
    let alone: usize = OF_ONE_LETTER.iter().map(|chars| present(chars).len().max(1)).product();
    let mut shared: Vec<Vec<char>> = vec![Vec::new()];
    for here in OF_SEVERAL.map(present).iter().filter(|here| !here.is_empty()) {
        let read = |c: char, before: &Vec<char>| match before.contains(&c) {
            // It means this letter, or the other one.
            true => vec![before.clone(), before.clone()],
            false => vec![[before.as_slice(), &[c]].concat()],
        };
        shared = here.iter().flat_map(|c| shared.iter().flat_map(move |before| read(*c, before))).collect();
    }
    let any = OF_ONE_LETTER.iter().chain(&OF_SEVERAL).any(|chars| !present(chars).is_empty());
    if any { alone * shared.len() } else { 0 }
}

/// The one character used for this one's letter: a digit if there is one, because zxcvbn also looks for dates and rows
/// of digits.
fn one_substitute_per_letter(c: char) -> char {
    match c {
        '@' => '4',
        '{' | '[' | '<' => '(',
        '!' | '|' => '1',
        '$' => '5',
        '+' => '7',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL_L33T: &str = "4@8({[<369!1|7+$50%2";
    const REPORTED: &str = "4a@8b({c[<3e69g1!i|l0o$s5+t7%x2zp4s$w0rd|3t!m3!n7ru$7n01m0nk3y5!";

    fn chars(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    fn of_256(text: &str) -> String {
        text.chars().cycle().take(256).collect()
    }

    /// Passwords known to be slow, and rows of all characters, alone and mixed with letters.
    fn families() -> Vec<String> {
        let mut all: Vec<String> = [
            REPORTED,
            ALL_L33T,
            "1234567890",
            "1234567890!@#$%^&*()_+[]{}|<>",
            "a",
            "4",
            "1|7!",
            "ab",
            "4@",
            "11.11.1991",
            "11111991",
            "qwertyuiop[]asdfghjkl;'zxcvbnm,./",
            "!@#$%^&*()_+",
            "1q2w3e4r5t6y7u8i9o0p[",
            "correct horse ",
            "thebeandoftoinaisit",
            "p4$$w0rd",
            "p@55w0rd|",
            "四つの単語",
            "🦊🐻🐼🐨",
            "١٢٣٤٥٦٧٨٩٠",
            "İıſK",
            "\u{fdfa}",
            "e\u{301}",
            "kQz#vW~pR^mX&jT*hY-bN_gF=dC;sA:lE'oU,iP.xZ?qK/wV`rM\"tJy",
            "1|7!4@69$5+({[<",
            "4@69({[<1|7!$5+thebeandofto",
        ]
        .map(of_256)
        .into();
        let chars = chars(ALL_L33T);
        for from in (0..chars.len()).step_by(5) {
            for filler in ["", "the", "🦊"] {
                let distinct: String = chars.iter().cycle().skip(from).take(chars.len()).collect();
                all.push(of_256(&format!("{distinct}{filler}")));
                all.push(of_256(&distinct.chars().map(|c| format!("{filler}{c}")).collect::<String>()));
                all.push(format!("{distinct}{}", of_256(if filler.is_empty() { "x" } else { filler })));
            }
        }
        all
    }

    #[test]
    fn fault_02_a_judgement_costs_a_bounded_amount_of_work_whatever_the_password() {
        for password in families() {
            for length in [16, 32, 256] {
                let password: String = password.chars().take(length).collect();
                let worked = judge(&password, &["Ada Lovelace"]).work;
                assert!(worked <= 2 * WORK, "{worked} for {password}");
            }
        }
        let digits: String = "1234567890".chars().cycle().take(JUDGED).collect();
        assert!(work(&chars(&digits)) <= WORK, "digits alone are judged whole");
        assert!(work(&chars(REPORTED)) > 50 * WORK, "the reported password is as expensive as it was");
    }

    #[test]
    fn fault_02_readings_are_counted_as_zxcvbn_makes_them() {
        for (text, expected) in [
            ("", 0),
            ("tinker brass", 0),
            ("p4ssw0rd", 1),
            ("p4$$w0rd", 1),
            ("p4@", 2),
            ("1", 2),
            ("7", 2),
            ("17", 4),
            ("({[<", 4),
            ("1234567890", 8),
            (ALL_L33T, 800),
        ] {
            let count = readings(&chars(text));
            // If letters share characters, the number depends on which letter is read first.
            assert!(count >= expected && count <= expected * 5 / 4, "{text}: {count}");
        }
    }

    #[test]
    fn fault_02_a_weak_password_stays_weak_however_many_signs_are_in_it() {
        for weak in [
            "1234567890p@$$w0rd",
            "1234567890!@#$%^&*()",
            "!@#$%^&*()_+!@#$%^&*()_+",
            "1234567890123456789012345678901234567890",
            "p4$$w0rdp@55w0rd",
            "p@$$w0rd1234567890",
            "12345678901234567890!@#$%^&*()_+",
            "4@4@4@4@4@4@4@4@4@4@",
            "123456789!123456789!123456789!123456789!",
            "[{[{[{[{[{[{[{[{[{[{1|1|",
            "qwertyuiop1234567890",
            "|||||||||||||||||||||||!",
            "+7+7+7+7+7+7+7+7+7+71|1|",
            "1!1!1!1!1!1!1!1!4@4@4@4@",
        ] {
            assert!(judge(weak, &[]).verdict.is_err(), "{weak}");
        }
        for (unit, times) in [
            ("1234567890", 6),
            ("0123456789", 6),
            ("P@ssw0rd1!", 6),
            ("iloveyou1!", 6),
            ("passw0rd$1", 6),
            ("2024-01-01", 6),
            ("12/31/1999", 6),
            ("1q2w3e4r5t6y", 5),
            ("qwerty1234567890", 4),
            ("Ada12345", 8),
            ("a1b2c3d4", 8),
            ("4a1b", 16),
            ("aaaa1111", 8),
            ("11111111112222222222", 3),
            ("1234567890 ", 5),
            ("1234567890!@#$%^&*()", 3),
            ("[{1|7!", 10),
        ] {
            for length in (4 * unit.len()..=times * unit.len()).rev().take(unit.len()) {
                let weak: String = unit.chars().cycle().take(length.max(15)).collect();
                assert!(judge(&weak, &["Ada"]).verdict.is_err(), "{weak}");
            }
        }
        let name = "Wolfeschlegelsteinhausenbergerdorff";
        assert!(
            judge("W0lf35ch1393l573inh4u53nb3r93rd0rff", &[name]).verdict.is_err(),
            "one's own name in l33t characters"
        );
        assert!(
            judge("W01f35ch1393|573inh@u$3nb3r93rd0rff", &[name]).verdict.is_err(),
            "and in more of them"
        );
    }

    #[test]
    fn fault_02_a_long_strong_password_is_accepted_however_many_signs_are_in_it() {
        for strong in [
            REPORTED,
            ALL_L33T,
            "1234567890-=!@#$%^&*()_+ tinker brass umbrella violet",
            "kQz#4vW~p@R^m({X&j[T*h<Y-3bN6gF9",
            "x7%|q+0$z!(2){5}[8]<@>4",
            "tinker (1) brass [2] umbrella {3} violet <4> + 5 | 6 ! 7 @ 8 $ 9",
        ] {
            assert!(judge(strong, &[]).verdict.is_ok(), "{strong}");
        }
    }
}
