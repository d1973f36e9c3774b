//! Passwords: what makes one good enough (NIST SP 800-63B-4) and how it is stored (Argon2id, RFC 9106).

use std::sync::LazyLock;

use argon2::password_hash::phc::{Output, ParamsString, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::account::judgement;
pub use crate::account::judgement::Warning;
use crate::secret::{Secret, random_bytes};

/// The lowest minimum length a policy may have (SP 800-63B-4 section 3.1.1.2).
pub const LOWEST_MIN_LENGTH: usize = 8;
/// The most characters a password may have; a longer one is refused, never cut off.
pub const MAX_LENGTH: usize = 256;
/// How many characters of a name, an address or a brand a password is searched for: as many as an address may have.
const OWN_TEXT: usize = 254;

/// What a new password must have: length and strength. There are no composition rules.
#[derive(Clone, Debug)]
pub struct PasswordPolicy {
    min: usize,
    brand: String,
}

/// Why a password was refused; the person is shown the reason.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WeakPassword {
    /// Fewer characters than the policy's minimum.
    TooShort {
        /// That minimum.
        min: usize,
    },
    /// More than [`MAX_LENGTH`] characters.
    TooLong,
    /// Little remains of it without the person's name, their address and the name of this service.
    OwnData,
    /// Guessed too soon; with the reason, if there is a single one.
    Guessable(Option<Warning>),
}

impl PasswordPolicy {
    /// A policy with this minimum, never below [`LOWEST_MIN_LENGTH`], for a service of this name.
    pub fn new(min: usize, brand: &str) -> Self {
        Self { min: min.clamp(LOWEST_MIN_LENGTH, MAX_LENGTH), brand: brand.to_owned() }
    }

    /// The minimum, in characters.
    pub fn min(&self) -> usize {
        self.min
    }

    /// Checks a new password against the policy and the person's own words (name, address). Takes up to ten
    /// milliseconds of one core, whatever is passed: never call it on a thread that serves requests.
    ///
    /// # Errors
    /// [`WeakPassword`]: the first reason found.
    pub fn check(&self, password: &str, own_words: &[&str]) -> Result<(), WeakPassword> {
        let password = normalized_beginning(password);
        let length = password.chars().count();
        if length < self.min {
            return Err(WeakPassword::TooShort { min: self.min });
        }
        if length > MAX_LENGTH {
            return Err(WeakPassword::TooLong);
        }
        let texts = own_words.iter().copied().chain([self.brand.as_str()]);
        let words: Vec<&str> = texts.flat_map(|text| parts(beginning(text))).collect();
        if without(&password, &words).chars().count() < LOWEST_MIN_LENGTH {
            return Err(WeakPassword::OwnData);
        }
        judgement::judge(&password, &words).verdict.map_err(WeakPassword::Guessable)
    }
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self::new(15, "")
    }
}

/// The first character of a password that nobody can type into a form: browsers drop line ends, forms refuse NUL, and no
/// keyboard has the other control characters or the mark at the beginning of some files.
pub fn untypable(password: &str) -> Option<char> {
    let separates = |sign| matches!(sign, '\u{2028}' | '\u{2029}' | '\u{FEFF}');
    password.chars().find(|sign| sign.is_control() || separates(*sign))
}

/// As much of a text as a field may hold: a longer text is refused anyway, so the rest is ignored here.
fn beginning(text: &str) -> &str {
    text.char_indices().nth(OWN_TEXT).map_or(text, |(end, _)| &text[..end])
}

/// The whole text and its words, each of three letters or more.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() >= 3);
    std::iter::once(text.trim()).filter(|text| text.chars().count() >= 3).chain(words)
}

fn without(password: &str, words: &[&str]) -> Zeroizing<String> {
    let mut rest = Zeroizing::new(password.to_lowercase());
    for word in words {
        // Allocated at its full size: `replace` would leave copies of what it held while it grew.
        let mut shorter = Zeroizing::new(String::with_capacity(rest.len()));
        shorter.extend(rest.split(&word.to_lowercase()));
        rest = shorter;
    }
    rest
}

/// A new password in NFKC, or enough of it to show that it is too long: one character may expand to eighteen.
fn normalized_beginning(password: &str) -> Zeroizing<String> {
    // Allocated at its full size: a string that grows leaves copies of what it held.
    let mut text = Zeroizing::new(String::with_capacity((MAX_LENGTH + 1) * 4));
    text.extend(password.nfkc().take(MAX_LENGTH + 1));
    text
}

/// One form for what is typed on different keyboards (SP 800-63B-4 section 3.1.1.2: NFKC).
fn normalized(password: &str) -> Zeroizing<String> {
    let size = password.nfkc().map(char::len_utf8).sum();
    let mut text = Zeroizing::new(String::with_capacity(size));
    text.extend(password.nfkc());
    text
}

/// Memory and time of a hash: the OWASP minimum, 19 MiB and two passes in one lane. More lanes would only
/// take cores from other requests.
const COST: (u32, u32, u32) = (19_456, 2, 1);
/// The most that a hash made elsewhere may cost: 1 GiB, ten passes, eight lanes.
const MAX_COST: (u32, u32, u32) = (1 << 20, 10, 8);

/// A password hash in PHC form, at a cost that this machine accepts.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

/// A text that is not an Argon2id hash, or costs more than this machine accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an argon2id hash within m=1048576, t=10, p=8")]
pub struct BadHash;

impl PasswordHash {
    /// Checks a stored or imported hash.
    ///
    /// # Errors
    /// [`BadHash`].
    pub fn parse(text: &str) -> Result<Self, BadHash> {
        let phc = argon2::PasswordHash::new(text).map_err(|_| BadHash)?;
        let params = Params::try_from(&phc).map_err(|_| BadHash)?;
        let (memory, passes, lanes) = MAX_COST;
        let within_limits =
            params.m_cost() <= memory && params.t_cost() <= passes && params.p_cost() <= lanes;
        let complete = phc.algorithm == ARGON2ID_IDENT && phc.salt.is_some() && phc.hash.is_some();
        if within_limits && complete { Ok(Self(text.to_owned())) } else { Err(BadHash) }
    }

    /// The stored form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// The working memory of one hashing thread, kept between hashes: allocating it each time costs a third of the rate
/// and leaves hundreds of megabytes with the allocator.
#[derive(Default)]
pub struct HashMemory {
    blocks: Vec<Block>,
    used: bool,
}

impl HashMemory {
    /// Whether a hash has used it since the last call.
    pub fn take_used(&mut self) -> bool {
        std::mem::take(&mut self.used)
    }
}

/// Hashes a new password. Takes about 15 ms of one core: never call it on a thread that serves requests.
///
/// # Errors
/// [`BadHash`] if Argon2 refuses the parameters or the input; not seen with the parameters in use.
pub fn hash(password: &Secret, memory: &mut HashMemory) -> Result<PasswordHash, BadHash> {
    let (m, t, p) = COST;
    let params = Params::new(m, t, p, None).map_err(|_| BadHash)?;
    let salt = random_bytes::<16>();
    let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
    derive(password, &salt, &params, memory, &mut out)?;
    let phc = argon2::PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).map_err(|_| BadHash)?,
        salt: Some(Salt::new(&salt).map_err(|_| BadHash)?),
        hash: Some(Output::new(&out).map_err(|_| BadHash)?),
    };
    Ok(PasswordHash(phc.to_string()))
}

/// Whether `password` is the one behind `hash`, compared in constant time. Same cost as [`hash`].
pub fn verify(password: &Secret, hash: &PasswordHash, memory: &mut HashMemory) -> bool {
    let Ok(phc) = argon2::PasswordHash::new(hash.as_str()) else { return false };
    let (Ok(params), Some(salt), Some(expected)) = (Params::try_from(&phc), phc.salt, phc.hash) else {
        return false;
    };
    let mut out = vec![0; expected.len()];
    let derived = derive(password, salt.as_ref(), &params, memory, &mut out);
    derived.is_ok() && bool::from(out.ct_eq(expected.as_bytes()))
}

fn derive(
    password: &Secret,
    salt: &[u8],
    params: &Params,
    memory: &mut HashMemory,
    out: &mut [u8],
) -> Result<(), BadHash> {
    memory.used = true;
    if memory.blocks.len() < params.block_count() {
        memory.blocks.resize(params.block_count(), Block::default());
    }
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    let password = normalized(password.expose());
    argon2
        .hash_password_into_with_memory(password.as_bytes(), salt, out, &mut memory.blocks)
        .map_err(|_| BadHash)
}

/// The hash to verify when there is no account: of a random password that nobody knows, at the same cost.
pub fn dummy_hash() -> &'static PasswordHash {
    static HASH: LazyLock<PasswordHash> = LazyLock::new(|| {
        let made = hash(&Secret::random(), &mut HashMemory::default());
        made.unwrap_or_else(|_| PasswordHash(String::new()))
    });
    &HASH
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(password: &str) -> Result<(), WeakPassword> {
        PasswordPolicy::new(15, "Acme").check(password, &["Ada Lovelace", "ada.lovelace@example.org"])
    }

    #[test]
    fn rg_11_length_spaces_and_any_unicode_are_accepted() {
        for good in [
            "correct umbrella staple orbit",
            "四つの単語で良いパスワードを作る",
            "tinker brass umbrella",
            "🦊🐻🐼🐨🐯🦁🐮🐷🐸🐵🐔🐧🐦🐤🦆🦅",
            &"brass umbrella tinker violet ".repeat(8),
            "ÄÖÜ schöne große Bäume 9",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn rg_11_each_refusal_has_its_reason() {
        for (bad, why) in [
            ("short and sweet".get(..14).unwrap(), WeakPassword::TooShort { min: 15 }),
            ("ada.lovelace@example.org", WeakPassword::OwnData),
            ("LOVELACE Ada 2026", WeakPassword::OwnData),
            ("AcmeAcmeAcmeAcme", WeakPassword::OwnData),
        ] {
            assert_eq!(check(bad), Err(why), "{bad}");
        }
        assert_eq!(check(&"ä ".repeat(129)), Err(WeakPassword::TooLong));
        for guessable in [
            "passwordpassword", "aaaaaaaaaaaaaaaaa", "123456789012345678", "qwertyuiopasdfghjkl",
            "abcabcabcabcabcabc",
        ] {
            assert!(matches!(check(guessable), Err(WeakPassword::Guessable(_))), "{guessable}");
        }
    }

    #[test]
    fn rl_05_what_follows_the_first_64_characters_is_not_judged() {
        let good = " tinker brass umbrella violet";
        let late = |repeated: usize| format!("{}{good}", "a".repeat(repeated));
        assert_eq!(check(&late(20)), Ok(()));
        assert!(matches!(check(&late(judgement::JUDGED)), Err(WeakPassword::Guessable(_))));
    }

    #[test]
    fn fault_02_own_words_come_only_from_as_much_text_as_a_field_may_hold() {
        let policy = PasswordPolicy::new(15, "Acme");
        let name = format!("{}umbrella", "ab ".repeat(OWN_TEXT / 3));
        assert_eq!(parts(beginning(&name)).count(), 1, "words of two letters, and the text itself");
        assert_eq!(policy.check("tinker brass umbrella", &[&name]), Ok(()));
        let many = "abc ".repeat(20_000);
        assert!(parts(beginning(&many)).count() <= OWN_TEXT / 3);
        assert_eq!(policy.check("tinker brass umbrella", &[&many, &many]), Ok(()));
        assert_eq!(policy.check(&"\u{fdfa}".repeat(20_000), &[]), Err(WeakPassword::TooLong));
        // Once composed, these are 256 characters, although many more were typed.
        let typed = "e\u{302}\u{301}tinker brass umbrella violet.".repeat(10);
        let length = normalized(&typed).chars().count();
        assert!(typed.chars().count() > MAX_LENGTH && length > MAX_LENGTH);
        let fits: String = typed.chars().take(typed.chars().count() * MAX_LENGTH / length).collect();
        assert_eq!(policy.check(&fits, &[]), Ok(()));
    }

    #[test]
    fn no_policy_goes_below_eight() {
        assert_eq!(PasswordPolicy::new(1, "").min(), LOWEST_MIN_LENGTH);
    }

    #[test]
    fn only_the_right_password_verifies() {
        let memory = &mut HashMemory::default();
        let hash = hash(&Secret::new("tinker brass umbrella".into()), memory).unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(PasswordHash::parse(hash.as_str()).is_ok());
        assert!(verify(&Secret::new("tinker brass umbrella".into()), &hash, memory));
        assert!(!verify(&Secret::new("tinker brass umbrellas".into()), &hash, memory));
        assert!(!verify(&Secret::new(String::new()), dummy_hash(), memory));
    }

    #[test]
    fn a_password_is_the_same_however_its_accents_are_composed() {
        let memory = &mut HashMemory::default();
        let hash = hash(&Secret::new("caf\u{e9} au lait".into()), memory).unwrap();
        assert!(verify(&Secret::new("cafe\u{301} au lait".into()), &hash, memory));
    }

    #[test]
    fn a_hash_made_elsewhere_is_read_within_bounds() {
        // Made with the argon2 reference command: password "password", salt "somesalt".
        let reference =
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let hash = PasswordHash::parse(reference).unwrap();
        assert!(verify(&Secret::new("password".into()), &hash, &mut HashMemory::default()));
        for refused in [
            "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ",
            "$2b$12$abc",
            "",
        ] {
            assert_eq!(PasswordHash::parse(refused), Err(BadHash), "{refused}");
        }
    }
}
