//! The server's keys: made at the first start and kept sealed in the database, so that all nodes share them.

use std::collections::BTreeSet;

use idp_core::audit::{Actor, AuditEvent, AuditRecord, AuditSource};
use idp_core::client::SigningAlg;
use idp_core::oauth::issuer::Issuer;
use idp_core::oauth::keys::{KeySet, NewKey, SigningKey};
use idp_core::seal::{Keyring, SealLocation, key_id};
use idp_core::secret::{MacKey, base64url, random_bytes};
use idp_core::time::Timestamp;
use idp_store::{KeyListing, KeyState, OpenError, Store, StoredKey};

use crate::config::Config;
use crate::keys::key_files;
use crate::start_error::StartError;

const MAC: &str = StoredKey::MAC;
/// The purposes for which this program needs an active key.
pub(crate) const PURPOSES: [&str; 3] = [SigningAlg::Rs256.as_str(), SigningAlg::Es256.as_str(), MAC];

/// The keys in use.
pub(crate) struct ServerKeys {
    /// Signs and verifies tokens.
    pub(crate) tokens: KeySet,
    /// Authenticates refresh tokens, CSRF tokens and typed codes.
    pub(crate) mac: MacKey,
}

/// Reads the key-encryption keys, makes the missing keys, and opens the server's keys.
///
/// # Errors
/// [`StartError`]: a key is missing or does not open, or the database fails.
pub(crate) async fn open(
    store: &Store,
    config: &Config,
    now: Timestamp,
) -> Result<(Keyring, ServerKeys), StartError> {
    let dir = &config.keys_dir;
    let found = key_files::load_or_make(dir, &sealed_under(store).await?, now)?;
    for warning in &found.warnings {
        tracing::warn!("{warning}");
    }
    make_missing(store, &found.ring, now).await?;
    match found.settle(&sealed_under(store).await?, dir)? {
        Some(file) if !config.dev => {
            tracing::warn!(file = %file.display(), "a key-encryption key was made: back it up, apart from the database");
        }
        _ => {}
    }
    let keys = load(store, &found.ring, &config.issuer).await?;
    Ok((found.ring, keys))
}

/// Checks whether [`open`] would succeed, as far as that shows without creating anything.
///
/// # Errors
/// As [`open`].
pub(crate) async fn check(store: &Store, ring: &Keyring, config: &Config) -> Result<(), StartError> {
    match store.require_current().await {
        // There may be no table of keys yet; a start migrates first.
        Err(OpenError::Behind(_)) => return Ok(()),
        outcome => outcome?,
    }
    key_files::require(ring, &sealed_under(store).await?, &config.keys_dir)?;
    for key in store.read((), |db, ()| Box::pin(db.keys())).await? {
        ring.open(place(&key.id), &key.sealed_private)?;
    }
    Ok(())
}

/// The IDs of the key-encryption keys under which something is sealed in this database.
async fn sealed_under(store: &Store) -> Result<BTreeSet<String>, StartError> {
    let keys = store.read((), |db, ()| Box::pin(db.keys())).await?;
    Ok(keys.iter().map(|key| key_id(&key.sealed_private).to_owned()).collect())
}

/// Makes the missing keys. Several nodes may do so at once: the keys of the first are kept.
async fn make_missing(store: &Store, ring: &Keyring, now: Timestamp) -> Result<(), StartError> {
    let stored = store.read((), |db, ()| Box::pin(db.keys())).await?;
    let missing =
        |purpose: &str| !stored.iter().any(|key| key.purpose == purpose && key.state == KeyState::Active);
    let mut new = Vec::new();
    for alg in SigningAlg::ALL {
        if missing(alg.as_str()) {
            new.push(signing_key(*alg, ring, now)?);
        }
    }
    if missing(MAC) {
        new.push(mac_key(ring, now)?);
    }
    store
        .write((new, now), |tx, (new, now)| {
            Box::pin(async move {
                for key in new {
                    if tx.insert_key(key).await? {
                        tx.audit(&made(key, *now)).await?;
                    }
                }
                Ok(())
            })
        })
        .await?;
    Ok(())
}

fn signing_key(alg: SigningAlg, ring: &Keyring, now: Timestamp) -> Result<StoredKey, StartError> {
    let new = NewKey::generate(alg)?;
    Ok(StoredKey {
        sealed_private: ring.seal(place(&new.kid), &new.private_der)?,
        id: new.kid,
        purpose: alg.as_str().to_owned(),
        state: KeyState::Active,
        public_jwk: Some(new.public_jwk),
        created_at: now,
        activated_at: Some(now),
        retired_at: None,
    })
}

fn mac_key(ring: &Keyring, now: Timestamp) -> Result<StoredKey, StartError> {
    let id = format!("mac-{}", base64url(&random_bytes::<12>()));
    Ok(StoredKey {
        sealed_private: ring.seal(place(&id), MacKey::generate().expose())?,
        id,
        purpose: MAC.to_owned(),
        state: KeyState::Active,
        public_jwk: None,
        created_at: now,
        activated_at: Some(now),
        retired_at: None,
    })
}

fn place(id: &str) -> SealLocation<'_> {
    SealLocation { table: "keys", column: "sealed_private", row: id }
}

fn made(key: &StoredKey, at: Timestamp) -> AuditRecord {
    AuditRecord {
        at,
        event: AuditEvent::KeyCreated,
        actor: Actor::System,
        subject: Some(key.id.clone()),
        client_id: None,
        source: AuditSource::default(),
        detail: "",
    }
}

/// Reads and unseals the keys.
pub(crate) async fn load(store: &Store, ring: &Keyring, issuer: &Issuer) -> Result<ServerKeys, StartError> {
    let (stored, listed) = store
        .read((), |db, ()| Box::pin(async move { Ok((db.keys().await?, db.listed_keys().await?)) }))
        .await?;
    let mut signing = Vec::new();
    let mut mac = None;
    for key in stored.iter().filter(|key| key.state == KeyState::Active) {
        let private = ring.open(place(&key.id), &key.sealed_private)?;
        match SigningAlg::from_stored(&key.purpose) {
            Some(alg) => signing.push(SigningKey::new(alg, &key.id, &private)?),
            None if key.purpose == MAC => mac = MacKey::from_bytes(&private),
            None => {}
        }
    }
    let (known, newer): (Vec<_>, Vec<_>) =
        listed.into_iter().partition(|listed| stored.iter().any(|key| key.id == listed.id));
    let public = |keys: Vec<KeyListing>| -> Vec<String> {
        keys.into_iter().filter_map(|key| key.public_jwk).collect()
    };
    let mac = mac.ok_or_else(|| StartError::Keys("the server's own MAC key is missing".to_owned()))?;
    Ok(ServerKeys { tokens: KeySet::new(issuer.clone(), signing, &public(known), &public(newer))?, mac })
}
