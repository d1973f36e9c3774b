//! Registration: what a person must enter, and every reason to refuse it, reported all at once.

use crate::account::password::{PasswordPolicy, WeakPassword};
use crate::secret::Secret;
use crate::time::{DAY, Timestamp};
use crate::user::{BadName, Email, FullName};

use std::time::Duration;

/// How long an activation link and its code work.
pub const ACTIVATION_LIFETIME: Duration = DAY;
/// Emails to one address within an hour, whoever asks for them; the fourth is not sent.
pub const MAILS_PER_HOUR: i64 = 3;
/// Further emails to one address within an hour, only for browsers in which the address is known. Strangers cannot use
/// these up.
pub const MAILS_PER_HOUR_IF_KNOWN: i64 = 2;
/// How long a person waits before asking for the next email.
pub const RESEND_WAIT: Duration = Duration::from_secs(60);

/// The form as typed.
pub struct RegistrationForm<'a> {
    /// Full name.
    pub name: &'a str,
    /// Email address.
    pub email: &'a str,
    /// Password.
    pub password: &'a str,
    /// The password again.
    pub password_confirm: &'a str,
}

/// A form that passed every check.
pub struct CheckedRegistration {
    /// Full name.
    pub name: FullName,
    /// Email address, not proven yet.
    pub email: Email,
    /// The password, to be hashed.
    pub password: Secret,
}

/// One thing to correct. Each belongs to one field.
#[derive(Debug, Clone, PartialEq)]
pub enum RegistrationRefusal {
    /// The name.
    Name(BadName),
    /// Nothing in the address field.
    EmailMissing,
    /// Not a plain address.
    EmailInvalid,
    /// Nothing in the password field.
    PasswordMissing,
    /// The password.
    Password(WeakPassword),
    /// Nothing in the second password field.
    ConfirmMissing,
    /// The two passwords differ.
    PasswordMismatch,
}

/// Checks the whole form.
///
/// # Errors
/// Every refusal, in the order of the fields.
pub fn check(
    form: &RegistrationForm<'_>,
    policy: &PasswordPolicy,
) -> Result<CheckedRegistration, Vec<RegistrationRefusal>> {
    let mut refusals = Vec::new();
    let name = FullName::parse(form.name).map_err(|why| refusals.push(RegistrationRefusal::Name(why))).ok();
    let email = check_email(form.email).map_err(|why| refusals.push(why)).ok();
    refusals.extend(check_passwords(form, policy));
    match (name, email) {
        (Some(name), Some(email)) if refusals.is_empty() => {
            Ok(CheckedRegistration { name, email, password: Secret::new(form.password.to_owned()) })
        }
        _ => Err(refusals),
    }
}

/// Checks both fields at once, so that nobody corrects the first only to be sent back for the second.
fn check_passwords(
    form: &RegistrationForm<'_>,
    policy: &PasswordPolicy,
) -> impl Iterator<Item = RegistrationRefusal> {
    let first = match policy.check(form.password, &[form.name, form.email]) {
        _ if form.password.is_empty() => Some(RegistrationRefusal::PasswordMissing),
        checked => checked.err().map(RegistrationRefusal::Password),
    };
    let second = match form.password_confirm {
        "" => Some(RegistrationRefusal::ConfirmMissing),
        _ if form.password.is_empty() => None,
        confirm => (form.password != confirm).then_some(RegistrationRefusal::PasswordMismatch),
    };
    first.into_iter().chain(second)
}

fn check_email(text: &str) -> Result<Email, RegistrationRefusal> {
    if text.trim().is_empty() {
        return Err(RegistrationRefusal::EmailMissing);
    }
    Email::parse(text).map_err(|_| RegistrationRefusal::EmailInvalid)
}

/// Seconds until the next email may be asked for.
pub fn resend_wait(last_sent: Timestamp, now: Timestamp) -> u64 {
    let left = RESEND_WAIT.saturating_sub(now.since(last_sent));
    u64::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form<'a>(name: &'a str, email: &'a str, password: &'a str, confirm: &'a str) -> RegistrationForm<'a> {
        RegistrationForm { name, email, password, password_confirm: confirm }
    }

    #[test]
    fn a_good_form_becomes_a_registration() {
        let good = form("Ada Lovelace", "Ada@example.org", "tinker brass umbrella", "tinker brass umbrella");
        let registration = check(&good, &PasswordPolicy::default()).ok().unwrap();
        assert_eq!(registration.email.key(), "ada@example.org");
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let bad = form(" ", "a@b", "short", "other");
        let refusals = check(&bad, &PasswordPolicy::default()).err().unwrap();
        assert_eq!(
            refusals,
            [
                RegistrationRefusal::Name(BadName::Missing),
                RegistrationRefusal::EmailInvalid,
                RegistrationRefusal::Password(WeakPassword::TooShort { min: 15 }),
                RegistrationRefusal::PasswordMismatch,
            ]
        );
    }

    #[test]
    fn an_empty_password_field_is_called_empty() {
        use RegistrationRefusal::{ConfirmMissing, PasswordMissing};
        let good = "tinker brass umbrella";
        for (password, confirm, expected) in [
            ("", "", vec![PasswordMissing, ConfirmMissing]),
            ("", good, vec![PasswordMissing]),
            (good, "", vec![ConfirmMissing]),
        ] {
            let refusals =
                check(&form("Ada", "a@example.org", password, confirm), &PasswordPolicy::default());
            assert_eq!(refusals.err(), Some(expected), "{password:?} {confirm:?}");
        }
    }

    #[test]
    fn two_different_passwords_are_refused() {
        let bad = form("Ada", "a@example.org", "tinker brass umbrella", "tinker brass umbrella ");
        assert_eq!(
            check(&bad, &PasswordPolicy::default()).err().unwrap(),
            [RegistrationRefusal::PasswordMismatch]
        );
    }

    #[test]
    fn the_timer_counts_down_to_zero() {
        let sent = Timestamp::from_millis(0);
        assert_eq!(resend_wait(sent, sent), 60);
        assert_eq!(resend_wait(sent, sent.plus(Duration::from_secs(59))), 1);
        assert_eq!(resend_wait(sent, sent.plus(Duration::from_secs(600))), 0);
    }
}
