//! Who is there during a run: people and applications, made through the server's command line as an operator
//! makes them.

use anyhow::Context;

use crate::arguments::Algorithm;
use crate::browser::{Cookies, allow, sign_in};
use crate::http::{Connection, Target};
use crate::oauth::{Client, SCOPE, check_algorithm, code_flow};
use crate::server::CommandLine;

/// Connections share them round robin: enough that no two of 16 work on one account's rows.
const PEOPLE: usize = 16;
/// Strong by the server's own rules.
pub(crate) const PASSWORD: &str = "tinker brass umbrella orbit";
/// The client's id.
pub(crate) const CLIENT_ID: &str = "load";
/// The client's secret, of a run that is thrown away: its length is what matters.
pub(crate) const SECRET: &str = "a-secret-of-the-load-tool-43-characters-long";
/// Nothing listens there.
const REDIRECT_URI: &str = "https://load.example/cb";

/// A person with a live session.
pub(crate) struct Person {
    /// The address to sign in with.
    pub(crate) email: String,
    /// The Cookie header of a browser that is signed in.
    pub(crate) cookies: String,
}

impl Person {
    /// The password of everybody here.
    pub(crate) fn password(&self) -> &'static str {
        PASSWORD
    }
}

/// Everything a scenario needs to know.
pub(crate) struct Fixture {
    pub(crate) target: Target,
    pub(crate) client: Client,
    people: Vec<Person>,
}

impl Fixture {
    /// The person of the connection with this number.
    pub(crate) fn person(&self, number: usize) -> &Person {
        &self.people[number % self.people.len()]
    }

    /// Signs everybody in and lets them allow the client: from here on a code costs no question.
    pub(crate) async fn sign_in_everybody(
        target: Target,
        accounts: Accounts,
        wanted: Algorithm,
    ) -> anyhow::Result<Self> {
        let Accounts { client, emails } = accounts;
        let mut connection = Connection::open(&target).await?;
        let mut people = Vec::new();
        for email in emails {
            let cookies = sign_in(&mut connection, &target, (&email, PASSWORD)).await;
            let cookies = cookies.with_context(|| format!("{email} cannot sign in"))?;
            let authorize = client.authorize(&target, &cookies.header());
            let allowed = allow(&mut connection, &target, &cookies, &authorize).await;
            allowed.with_context(|| format!("{email} cannot allow the client"))?;
            people.push(person(email, &cookies));
        }
        let first = people.first().context("nobody is there")?;
        let authorize = client.authorize(&target, &first.cookies);
        let tokens = code_flow(&mut connection, &target, &client, &authorize).await;
        check_algorithm(&tokens.context("the first code flow")?, wanted)?;
        Ok(Self { target, client, people })
    }
}

fn person(email: String, cookies: &Cookies) -> Person {
    Person { email, cookies: cookies.header() }
}

/// Who has been registered.
pub(crate) struct Accounts {
    client: Client,
    emails: Vec<String>,
}

impl Accounts {
    /// Registers people and one client whose ID tokens are signed with `algorithm`.
    pub(crate) fn create(idp: &CommandLine, algorithm: Algorithm) -> anyhow::Result<Self> {
        let emails: Vec<String> = (0..PEOPLE).map(|number| format!("person{number}@load.example")).collect();
        for email in &emails {
            create_person(idp, email)?;
        }
        create_client(idp, algorithm, &[])?;
        Ok(Self { client: Client::new(CLIENT_ID, REDIRECT_URI, SECRET), emails })
    }
}

/// Makes an account with everybody's password.
pub(crate) fn create_person(idp: &CommandLine, email: &str) -> anyhow::Result<()> {
    let words = ["user", "create", "--email", email, "--name", "Load Person", "--password-stdin"];
    idp.run(&words, PASSWORD)
}

/// Makes the client; `more` are further options of the command.
pub(crate) fn create_client(idp: &CommandLine, algorithm: Algorithm, more: &[&str]) -> anyhow::Result<()> {
    let client = ["client", "create", CLIENT_ID, "--name", "Load", "--redirect-uri", REDIRECT_URI];
    let options = ["--secret-stdin", "--scope", SCOPE, "--id-token-alg", algorithm.as_str()];
    idp.run(&[&client[..], &options, more].concat(), SECRET)
}
