//! The people and the client of a run. They are created through the server's command line, as an operator would.

use anyhow::Context;

use crate::arguments::Algorithm;
use crate::browser::{Cookies, allow, sign_in};
use crate::http::{Connection, Target};
use crate::oauth::{Client, SCOPE, check_algorithm, code_flow};
use crate::server::CommandLine;

/// Connections use them round robin. 16 connections never share the rows of an account.
const PEOPLE: usize = 16;
/// Strong enough for the server's rules.
pub(crate) const PASSWORD: &str = "tinker brass umbrella orbit";
/// The client's `client_id`.
pub(crate) const CLIENT_ID: &str = "load";
/// The client's secret in a throw-away run; only its length matters.
pub(crate) const SECRET: &str = "a-secret-of-the-load-tool-43-characters-long";
/// Nothing listens there.
const REDIRECT_URI: &str = "https://load.example/cb";

/// Somebody with a live session.
pub(crate) struct Person {
    /// The email address to sign in with.
    pub(crate) email: String,
    /// The Cookie header of their signed-in browser.
    pub(crate) cookies: String,
}

impl Person {
    /// The password, which is everybody's.
    pub(crate) fn password(&self) -> &'static str {
        PASSWORD
    }
}

/// What scenarios run against: a server, its client and signed-in people.
pub(crate) struct Fixture {
    pub(crate) target: Target,
    pub(crate) client: Client,
    people: Vec<Person>,
}

impl Fixture {
    /// The person that the connection with this number uses.
    pub(crate) fn person(&self, number: usize) -> &Person {
        &self.people[number % self.people.len()]
    }

    /// Signs everybody in and has them allow the client, so that later code flows need no consent page.
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
        let first = people.first().context("there are no people")?;
        let authorize = client.authorize(&target, &first.cookies);
        let tokens = code_flow(&mut connection, &target, &client, &authorize).await;
        check_algorithm(&tokens.context("the first code flow")?, wanted)?;
        Ok(Self { target, client, people })
    }
}

fn person(email: String, cookies: &Cookies) -> Person {
    Person { email, cookies: cookies.header() }
}

/// What has been created before the server starts.
pub(crate) struct Accounts {
    client: Client,
    emails: Vec<String>,
}

impl Accounts {
    /// Creates people, and one client whose ID tokens are signed with `algorithm`.
    pub(crate) fn create(idp: &CommandLine, algorithm: Algorithm) -> anyhow::Result<Self> {
        let emails: Vec<String> = (0..PEOPLE).map(|number| format!("person{number}@load.example")).collect();
        for email in &emails {
            create_person(idp, email)?;
        }
        create_client(idp, algorithm)?;
        Ok(Self { client: Client::new(CLIENT_ID, REDIRECT_URI, SECRET), emails })
    }
}

/// Creates an account with everybody's password.
pub(crate) fn create_person(idp: &CommandLine, email: &str) -> anyhow::Result<()> {
    let words = ["user", "create", "--email", email, "--name", "Load Person", "--password-stdin"];
    idp.run(&words, PASSWORD)
}

/// Creates the client.
pub(crate) fn create_client(idp: &CommandLine, algorithm: Algorithm) -> anyhow::Result<()> {
    let client = ["client", "create", CLIENT_ID, "--name", "Load", "--redirect-uri", REDIRECT_URI];
    let options = ["--secret-stdin", "--scope", SCOPE, "--id-token-alg", algorithm.as_str()];
    idp.run(&[&client[..], &options].concat(), SECRET)
}
