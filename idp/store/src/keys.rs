//! Signing keys and the server's MAC key. All nodes share them; the private halves are sealed.

use idp_core::client::SigningAlg;
use idp_core::time::Timestamp;

use crate::engine::connection::{Reader, Tx, on};
use crate::error::StoreError;
use crate::row::{RowRef, timestamp, unless_newer};

/// Where a key is in its life. The next key is published before it signs, so that every cache has it in time. A
/// retiring key stays published until the last token it signed has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Published, not signing yet.
    Next,
    /// Signs.
    Active,
    /// Published, no longer signing.
    Retiring,
}

impl KeyState {
    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Retiring => "retiring",
        }
    }

    fn from_stored(text: &str) -> Option<Self> {
        [Self::Next, Self::Active, Self::Retiring].into_iter().find(|state| state.as_str() == text)
    }
}

/// A key as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// The `kid`; any unique name for a MAC key.
    pub id: String,
    /// `RS256`, `ES256` or `mac`.
    pub purpose: String,
    /// Where it is in its life.
    pub state: KeyState,
    /// The public JWK; a MAC key has none.
    pub public_jwk: Option<String>,
    /// Sealed under the key-encryption key.
    pub sealed_private: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it started signing.
    pub activated_at: Option<Timestamp>,
    /// When it stopped signing.
    pub retired_at: Option<Timestamp>,
}

fn is_known_purpose(purpose: &str) -> bool {
    purpose == StoredKey::MAC || SigningAlg::from_stored(purpose).is_some()
}

impl StoredKey {
    /// The purpose of the server's MAC key.
    pub const MAC: &'static str = "mac";
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    id: String,
    purpose: String,
    state: String,
    public_jwk: Option<String>,
    sealed_private: String,
    created_at: i64,
    activated_at: Option<i64>,
    retired_at: Option<i64>,
}

impl Reader {
    /// All keys that this version can use, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keys(&mut self) -> Result<Vec<StoredKey>, StoreError> {
        const SQL: &str = "SELECT id, purpose, state, public_jwk, sealed_private, created_at, \
            activated_at, retired_at FROM keys ORDER BY created_at, id";
        let rows: Vec<KeyRow> = on!(self, c => sqlx::query_as(SQL).fetch_all(c).await)?;
        let parse = |row: KeyRow| {
            let row_ref = RowRef { table: "keys", id: &row.id };
            row_ref.known_word("purpose", is_known_purpose(&row.purpose).then_some(()))?;
            Ok(StoredKey {
                state: row_ref.known_word("state", KeyState::from_stored(&row.state))?,
                id: row.id,
                purpose: row.purpose,
                public_jwk: row.public_jwk,
                sealed_private: row.sealed_private,
                created_at: timestamp(row.created_at),
                activated_at: row.activated_at.map(timestamp),
                retired_at: row.retired_at.map(timestamp),
            })
        };
        let keys = rows.into_iter().map(|row| unless_newer(parse(row)));
        keys.filter_map(Result::transpose).collect()
    }
}

/// The public part of a key, in the stored words. Also covers keys made by a newer node.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct KeyListing {
    /// The `kid`, or a MAC key's name.
    pub id: String,
    /// As in [`StoredKey::purpose`], or a newer version's word.
    pub purpose: String,
    /// As in [`KeyState::as_str`], or a newer version's word.
    pub state: String,
    /// The public JWK; a MAC key has none.
    pub public_jwk: Option<String>,
    /// When it was made, in milliseconds since 1970.
    #[sqlx(rename = "created_at")]
    created_millis: i64,
}

impl KeyListing {
    /// When it was made.
    pub fn created_at(&self) -> Timestamp {
        timestamp(self.created_millis)
    }
}

impl Reader {
    /// All keys, oldest first, including those this version cannot use: for listing and publishing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn listed_keys(&mut self) -> Result<Vec<KeyListing>, StoreError> {
        const SQL: &str =
            "SELECT id, purpose, state, public_jwk, created_at FROM keys ORDER BY created_at, id";
        Ok(on!(self, c => sqlx::query_as(SQL).fetch_all(c).await)?)
    }

    /// The purposes for which there is an active key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn active_key_purposes(&mut self) -> Result<Vec<String>, StoreError> {
        const SQL: &str = "SELECT purpose FROM keys WHERE state = 'active'";
        Ok(on!(self, c => sqlx::query_scalar(SQL).fetch_all(c).await)?)
    }
}

impl Tx {
    /// Stores a key. `false`: another node was first, and there already is an active (or next) key for this purpose.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert_key(&mut self, key: &StoredKey) -> Result<bool, StoreError> {
        const SQL: &str = "INSERT INTO keys (id, purpose, state, public_jwk, sealed_private, created_at, \
            activated_at, retired_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
        let made = on!(self, c => sqlx::query(SQL)
            .bind(key.id.as_str()).bind(key.purpose.as_str()).bind(key.state.as_str())
            .bind(key.public_jwk.as_deref()).bind(key.sealed_private.as_str()).bind(key.created_at.millis())
            .bind(key.activated_at.map(Timestamp::millis)).bind(key.retired_at.map(Timestamp::millis))
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(made == 1)
    }
}
