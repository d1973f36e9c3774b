//! The pairs: what each side sends, and which accounts it needs.

use std::net::Ipv4Addr;

use clap::ValueEnum;
use serde::Serialize;

use crate::arguments::Algorithm;
use crate::browser::{Cookies, Form, open_form, sign_in_form};
use crate::http::{Connection, Failure, Target, get, post};
use crate::oauth::basic;
use crate::people::{CLIENT_ID, PASSWORD, SECRET, create_client, create_person};
use crate::server::CommandLine;

/// The network reserved for benchmarks (RFC 2544), with 131 072 client addresses.
const FIRST_NETWORK: u32 = Ipv4Addr::new(198, 18, 0, 0).to_bits();

/// The pairs, in the order of timing. Registration comes last, because sign-in looks at registrations, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
pub(crate) enum PairKind {
    /// TK-12: a wrong secret that shares no characters with the right one; one that shares the first 30
    #[value(name = "tk-12")]
    #[serde(rename = "TK-12")]
    SimilarSecret,
    /// LG-01: a wrong password for an unknown address; for an account
    #[value(name = "lg-01a")]
    #[serde(rename = "LG-01a")]
    Account,
    /// LG-01: a wrong password for an unknown address; for a deactivated account
    #[value(name = "lg-01b")]
    #[serde(rename = "LG-01b")]
    Deactivated,
    /// RG-01: registering a new address; one that has an account
    #[value(name = "rg-01a")]
    #[serde(rename = "RG-01a")]
    KnownAddress,
    /// RG-01: the page that asks for the mailed code, for a new address; for one that has an account
    #[value(name = "rg-01b")]
    #[serde(rename = "RG-01b")]
    WaitingPage,
    /// RG-01: a wrong code on that page
    #[value(name = "rg-01c")]
    #[serde(rename = "RG-01c")]
    WrongCode,
}

impl PairKind {
    /// Its name in tables.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::SimilarSecret => "TK-12",
            Self::Account => "LG-01a",
            Self::Deactivated => "LG-01b",
            Self::KnownAddress => "RG-01a",
            Self::WaitingPage => "RG-01b",
            Self::WrongCode => "RG-01c",
        }
    }

    fn sides(self) -> [&'static str; 2] {
        match self {
            Self::SimilarSecret => ["0 equal characters", "30 equal characters"],
            Self::Account => ["unknown address", "account"],
            Self::Deactivated => ["unknown address", "deactivated account"],
            Self::KnownAddress | Self::WaitingPage | Self::WrongCode => ["new address", "known address"],
        }
    }

    /// The expected status, the same for both.
    fn status(self) -> u16 {
        match self {
            Self::KnownAddress => 303,
            Self::WaitingPage => 200,
            Self::WrongCode => 422,
            Self::SimilarSecret | Self::Account | Self::Deactivated => 401,
        }
    }

    /// Its index among the pairs about registration, each of which uses addresses of its own.
    fn registration_index(self) -> Option<usize> {
        [Self::KnownAddress, Self::WaitingPage, Self::WrongCode].iter().position(|kind| *kind == self)
    }
}

/// An address that has an account. All three kinds of address have the same length.
fn existing_address(number: usize) -> String {
    format!("resident{number:05}@load.example")
}

/// An address without an account.
fn new_address(number: usize) -> String {
    format!("stranger{number:05}@load.example")
}

/// An address whose account is deactivated.
fn deactivated_address(number: usize) -> String {
    format!("deserter{number:05}@load.example")
}

/// Creates the client, and an account for each round of the pairs that need one. Tries are counted per account and
/// emails per address, so none is used twice.
pub(crate) fn create_accounts(
    idp: &CommandLine,
    algorithm: Algorithm,
    kinds: &[PairKind],
    rounds: usize,
) -> anyhow::Result<()> {
    create_client(idp, algorithm)?;
    let needs_existing =
        kinds.iter().any(|kind| *kind == PairKind::Account || kind.registration_index().is_some());
    let needs_deactivated = kinds.contains(&PairKind::Deactivated);
    for number in 0..rounds {
        if needs_existing {
            create_person(idp, &existing_address(number))?;
        }
        if needs_deactivated {
            create_person(idp, &deactivated_address(number))?;
            idp.run(&["user", "deactivate", &deactivated_address(number)], "")?;
        }
    }
    Ok(())
}

/// Builds requests. It holds the forms to register and to sign in that a new browser has open; each is good for many
/// tries.
struct RequestBuilder {
    target: Target,
    register: (Cookies, Form),
    sign_in: (Cookies, Form),
}

impl RequestBuilder {
    async fn open(connection: &mut Connection, target: &Target) -> Result<Self, Failure> {
        let sign_in = sign_in_form(connection, target).await?;
        let mut cookies = Cookies::default();
        let form = open_form(connection, target, &mut cookies, ("/register", "/register")).await?;
        Ok(Self { target: target.clone(), register: (cookies, form), sign_in })
    }

    fn token(&self, id: &str, secret: &str) -> Vec<u8> {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", "ac_a-code-that-nobody-was-ever-given-0123456789abcd"),
            ("redirect_uri", "https://load.example/cb"),
        ];
        post(&self.target, "/token", &[("authorization", &basic(id, secret))], &fields)
    }

    fn register(&self, email: &str) -> Vec<u8> {
        let fields = [("name", "Load Person"), ("password", PASSWORD), ("password_confirm", PASSWORD)];
        self.fill(&self.register, email, &fields, None)
    }

    /// Registers, and returns the path of the page that asks for the mailed code.
    async fn complete_registration(
        &self,
        connection: &mut Connection,
        email: &str,
    ) -> Result<String, Failure> {
        let response = connection.send(&self.register(email)).await?.expect(303)?;
        Ok(response.location()?.to_owned())
    }

    fn waiting_page(&self, page: &str) -> Vec<u8> {
        get(&self.target, page, &[("cookie", &self.register.0.header())])
    }

    fn wrong_code(&self, page: &str) -> Vec<u8> {
        let (cookies, form) = &self.register;
        let fields = [("csrf", form.csrf.as_str()), ("code", "2222-2222")];
        post(&self.target, &format!("{page}/code"), &[("cookie", &cookies.header())], &fields)
    }

    fn sign_in(&self, email: &str, network: u32) -> Vec<u8> {
        let network = Ipv4Addr::from_bits(network);
        self.fill(&self.sign_in, email, &[("password", "not the password of anybody")], Some(network))
    }

    fn fill(
        &self,
        (cookies, form): &(Cookies, Form),
        email: &str,
        more: &[(&str, &str)],
        network: Option<Ipv4Addr>,
    ) -> Vec<u8> {
        let (cookies, network) = (cookies.header(), network.map(|address| address.to_string()));
        let mut headers = vec![("cookie", cookies.as_str())];
        headers.extend(network.as_deref().map(|address| ("x-forwarded-for", address)));
        let fields = [&[("csrf", form.csrf.as_str()), ("email", email)], more].concat();
        post(&self.target, &form.action, &headers, &fields)
    }
}

/// Two requests that must be indistinguishable.
pub(crate) struct Pair {
    pub(crate) kind: PairKind,
    pub(crate) sides: [&'static str; 2],
    /// The expected status of both responses.
    pub(crate) status: u16,
    rounds: usize,
    requests: RequestBuilder,
    /// Paths of the pages that ask for the mailed code, for each round, if the pair needs them.
    pages: Vec<[String; 2]>,
}

impl Pair {
    /// Opens the forms and pages that the pair needs.
    pub(crate) async fn open(
        kind: PairKind,
        rounds: usize,
        connection: &mut Connection,
        target: &Target,
    ) -> Result<Self, Failure> {
        let requests = RequestBuilder::open(connection, target).await?;
        let (sides, status) = (kind.sides(), kind.status());
        let mut pair = Self { kind, sides, status, rounds, requests, pages: Vec::new() };
        if matches!(kind, PairKind::WaitingPage | PairKind::WrongCode) {
            for round in 0..rounds {
                let new =
                    pair.requests.complete_registration(connection, &pair.unused_address(round)).await?;
                let known = pair.requests.complete_registration(connection, &existing_address(round)).await?;
                pair.pages.push([new, known]);
            }
        }
        Ok(pair)
    }

    /// A new address that no other pair uses.
    fn unused_address(&self, round: usize) -> String {
        new_address((2 + self.kind.registration_index().unwrap_or_default()) * self.rounds + round)
    }

    /// The request of one side in a round.
    pub(crate) fn request(&self, side: usize, round: usize) -> Vec<u8> {
        let far = "x".repeat(SECRET.len());
        let near = format!("{}{}", &SECRET[..30], &far[30..]);
        match (self.kind, side) {
            (PairKind::SimilarSecret, 0) => self.requests.token(CLIENT_ID, &far),
            (PairKind::SimilarSecret, _) => self.requests.token(CLIENT_ID, &near),
            (PairKind::Account, 0) => self.sign_in(&new_address(round), side, round),
            (PairKind::Account, _) => self.sign_in(&existing_address(round), side, round),
            (PairKind::Deactivated, 0) => self.sign_in(&new_address(self.rounds + round), side, round),
            (PairKind::Deactivated, _) => self.sign_in(&deactivated_address(round), side, round),
            (PairKind::KnownAddress, 0) => self.requests.register(&self.unused_address(round)),
            (PairKind::KnownAddress, _) => self.requests.register(&existing_address(round)),
            (PairKind::WaitingPage, side) => self.requests.waiting_page(&self.pages[round][side]),
            (PairKind::WrongCode, side) => self.requests.wrong_code(&self.pages[round][side]),
        }
    }

    /// Wrong passwords are also counted per client address, so each comes from an address of its own.
    fn sign_in(&self, email: &str, side: usize, round: usize) -> Vec<u8> {
        let block = if self.kind == PairKind::Account { 0 } else { self.rounds };
        let number = (block + round) * 2 + side;
        self.requests.sign_in(email, FIRST_NETWORK.saturating_add(u32::try_from(number).unwrap_or(u32::MAX)))
    }
}
