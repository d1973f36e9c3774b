//! How an operator names an account.

use std::fmt;
use std::str::FromStr;

use idp_core::ids::UserId;
use idp_core::user::{Email, User};
use idp_store::{Reader, StoreError};

use crate::failure::Failure;
use crate::operator::Operator;

/// An account by email address or id.
#[derive(Clone, Debug)]
pub(crate) enum AccountRef {
    Email(Email),
    Id(UserId),
}

impl AccountRef {
    /// The account, if it exists.
    pub(crate) async fn find(&self, reader: &mut Reader) -> Result<Option<User>, StoreError> {
        match self {
            Self::Id(id) => reader.user(*id).await,
            Self::Email(email) => Ok(reader.credentials(email).await?.map(|credentials| credentials.user)),
        }
    }

    /// The failure to report when it does not exist.
    pub(crate) fn not_found(&self, operator: &Operator) -> Failure {
        let list = operator.command("user list");
        Failure::new(format_args!("there is no account {self}; list them with `{list}`"))
    }
}

impl FromStr for AccountRef {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = text.parse().map(Self::Id);
        id.or_else(|_| Email::parse(text).map(Self::Email)).map_err(|_| "give an email address or an id")
    }
}

impl fmt::Display for AccountRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Email(email) => email.fmt(f),
            Self::Id(id) => id.fmt(f),
        }
    }
}
