//! What `dev` prints when it is ready: where to click, and whom to sign in as.

use std::fmt;
use std::path::Path;

use crate::commands::dev::first_account::{FIRST_EMAIL, FirstAccount};
use crate::options::CommonOptions;

/// The text on standard output. Nothing stands before it, and nothing after it until something happens.
pub(crate) struct Banner<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) app_url: &'a str,
    pub(crate) account: &'a FirstAccount,
    /// What the seed has done.
    pub(crate) seeded: Option<String>,
    /// The options that select this database in another command.
    pub(crate) options: &'a CommonOptions,
    /// The data folder.
    pub(crate) folder: &'a Path,
}

impl fmt::Display for Banner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { issuer, app_url, .. } = self;
        let mut rows = vec![
            ("Example app", format!("{app_url}/")),
            ("Sign in", format!("{issuer}/signin")),
            ("Create account", format!("{issuer}/register")),
            ("Mailbox", format!("{issuer}/dev/mail")),
            ("Clock", format!("{issuer}/dev/clock")),
            ("Discovery", format!("{issuer}/.well-known/openid-configuration")),
            ("", String::new()),
        ];
        rows.extend(self.seeded.iter().map(|seeded| ("Seed", seeded.clone())));
        rows.extend(self.account());
        writeln!(f, "idp dev is ready. Everything stays on this computer.\n")?;
        for (name, value) in rows {
            writeln!(f, "{}", format!("  {name:<16} {value}").trim_end())?;
        }
        write!(f, "\nCtrl-C stops it.")
    }
}

impl Banner<'_> {
    fn account(&self) -> Vec<(&'static str, String)> {
        let more = "--email you@example.com --name You --role admin --password-stdin";
        let another = format!("{} {more}", self.options.command("user create"));
        match self.account {
            FirstAccount::OfDev(password) => vec![
                ("Account", format!("{FIRST_EMAIL}, with the role admin")),
                ("Its password", password.expose().to_owned()),
            ],
            FirstAccount::Exists(email) => vec![
                ("Account", format!("{email}, with the role admin")),
                ("Create another", another),
                ("Start over", format!("stop this, and remove the folder {}", self.folder.display())),
            ],
            FirstAccount::Taken => vec![("Create an admin", another)],
        }
    }
}
