//! People, clients and sessions that tests start with. All times are relative to [`NOW`].

use std::time::Duration;

use idp_core::account::password::PasswordHash;
use idp_core::audit::{Actor, AuditEvent, AuditRecord, AuditSource};
use idp_core::client::{AuthMethod, Client, ClientId, ConsentPolicy, PkcePolicy, SigningAlg};
use idp_core::ids::{GrantId, RegistrationId, SessionId, UserId};
use idp_core::oauth::grant::{Grant, GrantFacts, IssuedCode, Lifetimes};
use idp_core::redirect_uri::{RedirectMatch, RedirectUri};
use idp_core::scope::Scope;
use idp_core::secret::{Digest, Secret};
use idp_core::session::{Authentication, SessionLifetime};
use idp_core::single_use::{AuthorizationCode, SingleUse, SingleUseDigest};
use idp_core::text::DisplayText;
use idp_core::time::{SECOND, Timestamp};
use idp_core::user::{Email, FullName, User, UserState};
use idp_store::{ConsumedCode, KeyState, LeftOut, NewRegistration, NewSession, Store, StoredKey};

/// A claim that leaves out no mail.
pub(crate) static NONE_LEFT_OUT: LeftOut = LeftOut { domains: Vec::new(), retries: false };

/// 2027-01-15 08:00 UTC, when every test starts.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

pub(crate) const OFFLINE: &str = "openid offline_access";
pub(crate) const ONLINE: &str = "openid profile";

pub(crate) fn after(span: Duration) -> Timestamp {
    NOW.plus(span)
}

pub(crate) fn email(address: &str) -> Email {
    Email::parse(address).unwrap()
}

pub(crate) fn uri(text: &str) -> RedirectUri {
    RedirectUri::parse(text).unwrap()
}

pub(crate) fn client_id(text: &str) -> ClientId {
    ClientId::parse(text).unwrap()
}

/// The digest of a new random secret.
pub(crate) fn new_digest() -> Digest {
    Secret::random().digest()
}

/// A well-formed hash for which nobody knows a password.
pub(crate) fn a_hash() -> PasswordHash {
    let (salt, hash) = ("c2FsdHNhbHRzYWx0c2FsdA", "A".repeat(43));
    PasswordHash::parse(&format!("$argon2id$v=19$m=19456,t=2,p=1${salt}${hash}")).unwrap()
}

/// An account that is not stored yet.
pub(crate) fn new_user(address: &str) -> User {
    User {
        id: UserId::new(NOW),
        email: email(address),
        name: FullName::parse("Ada Lovelace").unwrap(),
        state: UserState::Active,
        epoch: 0,
        created_at: NOW,
        updated_at: NOW,
    }
}

/// An account with a password.
pub(crate) async fn a_user(store: &Store, address: &str) -> User {
    let (user, hash) = (new_user(address), a_hash());
    assert!(tell!(store, |tx, user, hash| tx.insert_user(user, Some(hash))));
    user
}

/// A confidential client that is not stored yet.
pub(crate) fn new_client(id: &str) -> Client {
    Client {
        id: client_id(id),
        name: DisplayText::new("Analytical Engine", 60),
        auth_method: AuthMethod::BasicOrPost,
        secret: Some(new_digest()),
        redirect_uris: vec![uri("https://app.example/cb")],
        redirect_match: RedirectMatch::Exact,
        post_logout_redirect_uris: vec![],
        home_uri: None,
        scope: Scope::of(&["openid", "profile", "email", "offline_access"]),
        pkce: PkcePolicy::OrNonce,
        consent: ConsentPolicy::Ask,
        id_token_alg: SigningAlg::Rs256,
        access_token_alg: SigningAlg::Es256,
        enabled: true,
        epoch: 0,
        created_at: NOW,
    }
}

/// A stored client.
pub(crate) async fn a_client(store: &Store, id: &str) -> Client {
    let client = new_client(id);
    assert!(tell!(store, |tx, client| tx.insert_client(client)));
    client
}

/// A session that is not stored yet.
pub(crate) fn new_session(user: UserId) -> NewSession {
    NewSession {
        id: SessionId::new(NOW),
        digest: new_digest(),
        user_id: user,
        user_epoch: 0,
        authentication: Authentication::Password,
        client_address: "192.0.2.7".to_owned(),
        user_agent: "Lynx".to_owned(),
    }
}

pub(crate) async fn begin_session(store: &Store, session: &NewSession, now: Timestamp) -> bool {
    let lifetime = SessionLifetime::default();
    tell!(store, |tx, session, lifetime, now| tx.insert_session(session, lifetime, *now))
}

/// A session that begins at [`NOW`].
pub(crate) async fn a_session(store: &Store, user: UserId) -> NewSession {
    let epoch = ask!(store, |r, user| r.user(*user)).map_or(0, |user| user.epoch);
    let session = NewSession { user_epoch: epoch, ..new_session(user) };
    assert!(begin_session(store, &session, NOW).await);
    session
}

/// A registration that is not stored yet.
pub(crate) fn new_registration(address: &str) -> NewRegistration {
    NewRegistration {
        id: RegistrationId::new(NOW),
        email: email(address),
        name: FullName::parse("Ada Lovelace").unwrap(),
        password: a_hash(),
        known_address: false,
        browser: new_digest(),
        flow_id: None,
    }
}

/// A registration made at `now`.
pub(crate) async fn a_registration(store: &Store, address: &str, now: Timestamp) -> NewRegistration {
    let registration = NewRegistration { id: RegistrationId::new(now), ..new_registration(address) };
    tell!(store, |tx, registration, now| tx.insert_registration(registration, *now));
    registration
}

/// A signing key that is not stored yet.
pub(crate) fn a_key(id: &str, state: KeyState) -> StoredKey {
    StoredKey {
        id: id.to_owned(),
        purpose: "RS256".to_owned(),
        state,
        public_jwk: Some(r#"{"kty":"RSA"}"#.to_owned()),
        sealed_private: "c2VhbGVk".to_owned(),
        created_at: NOW,
        activated_at: None,
        retired_at: None,
    }
}

/// A record that is not stored yet.
pub(crate) fn a_record(event: AuditEvent) -> AuditRecord {
    AuditRecord {
        at: NOW,
        event,
        actor: Actor::System,
        subject: None,
        client_id: None,
        source: AuditSource::default(),
        detail: "",
    }
}

/// A signed-in person and a client.
pub(crate) struct SignedInPerson {
    pub(crate) user: User,
    pub(crate) session: NewSession,
    pub(crate) client: Client,
}

impl SignedInPerson {
    pub(crate) async fn new(store: &Store) -> Self {
        Self::named(store, "ada@example.org", "app").await
    }

    pub(crate) async fn named(store: &Store, address: &str, client: &str) -> Self {
        let user = a_user(store, address).await;
        Self { session: a_session(store, user.id).await, client: a_client(store, client).await, user }
    }

    /// A code that is not stored yet.
    pub(crate) fn new_code(&self, scope: &str) -> IssuedCode {
        IssuedCode {
            facts: GrantFacts {
                id: GrantId::new(NOW),
                client_id: self.client.id.clone(),
                user_id: self.user.id,
                session_id: self.session.id,
                scope: Scope::parse(scope).unwrap(),
                auth_time: NOW,
                authentication: Authentication::Password,
            },
            redirect_uri: uri("https://app.example/cb"),
            nonce: Some("n-0S6_WzA2Mj".to_owned()),
            code_challenge: Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".to_owned()),
            expires_at: after(SECOND * 60),
        }
    }

    /// An issued code.
    pub(crate) async fn a_code(&self, store: &Store, scope: &str) -> CodeDigest {
        let (digest, code) = (new_code_digest(), self.new_code(scope));
        assert!(insert_code(store, &digest, &code).await);
        digest
    }

    /// A code that was just consumed.
    pub(crate) async fn a_consumed_code(&self, store: &Store, scope: &str) -> ConsumedCode {
        let digest = self.a_code(store, scope).await;
        let client = self.client.id.clone();
        tell!(store, |tx, digest, client| tx.consume_code(digest, client, NOW)).unwrap()
    }

    /// The grant of a redeemed code.
    pub(crate) async fn a_grant(&self, store: &Store, scope: &str) -> Grant {
        let code = self.a_consumed_code(store, scope).await;
        let grant = Grant::of_code(&code.code, &Lifetimes::default(), NOW);
        assert!(tell!(store, |tx, grant, code| tx.insert_grant(grant, code, NOW)));
        grant
    }
}

pub(crate) type CodeDigest = SingleUseDigest<AuthorizationCode>;

pub(crate) fn new_code_digest() -> CodeDigest {
    SingleUse::generate().digest()
}

pub(crate) async fn insert_code(store: &Store, digest: &CodeDigest, code: &IssuedCode) -> bool {
    tell!(store, |tx, digest, code| tx.insert_code(digest, code, 0))
}
