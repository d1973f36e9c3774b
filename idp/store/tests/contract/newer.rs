//! Rows of a newer node: whatever this version does not know is left untouched, survives everything this version
//! does, and does not hold up anything else.

use idp_core::account::throttle::ACCOUNT;
use idp_core::client::{Client, ClientId};
use idp_core::ids::{FlowId, MailId, RegistrationId};
use idp_core::secret::Digest;
use idp_core::single_use::{ActivationLink, SingleUse};
use idp_core::time::{DAY, HOUR, MINUTE};
use idp_core::user::{FullName, UserState};
use idp_store::{KeyState, Listed, Mail, MailKind, RegistrationState, StoreError, ThrottleKey, UriList};

use crate::given::{
    NONE_LEFT_OUT, NOW, OFFLINE, SignedInPerson, a_client, a_key, a_registration, a_user, after, email,
    new_digest, uri,
};
use crate::harness::Db;

contract! {
    fault_19_keys_of_an_unknown_purpose_or_state_are_left_alone,
    fault_19_mail_of_an_unknown_kind_waits_for_a_node_that_knows_it,
    fault_19_clients_with_an_unknown_policy_are_left_out_and_left_alone,
    fault_19_uris_this_version_does_not_accept_are_skipped_and_kept,
    fault_19_flows_for_an_unknown_target_are_none_and_unknown_members_stay,
    fault_19_accounts_sessions_and_grants_in_unknown_states_are_not_used_and_not_changed,
    fault_19_a_registration_with_an_unknown_outcome_reveals_nothing_and_keeps_it,
    fault_19_whatever_has_not_expired_survives_the_cleanup,
}

/// The rows of a table that contain a word of tomorrow, for comparing them byte for byte.
async fn of_tomorrow(db: &Db, table: &str) -> Vec<String> {
    let mut rows = db.database.dump(&format!("SELECT * FROM {table}")).await;
    rows.retain(|row| row.contains("tomorrow"));
    rows.sort();
    rows
}

async fn fault_19_keys_of_an_unknown_purpose_or_state_are_left_alone(db: Db) {
    let key = a_key("known", KeyState::Active);
    assert!(tell!(db, |tx, key| tx.insert_key(key)));
    for (id, purpose, state) in [
        ("a", "tomorrow", "active"),
        ("b", "tomorrow", "next"),
        ("c", "mac", "of tomorrow"),
        ("d", "RS256", "of tomorrow"),
    ] {
        let values = format!("('{id}', '{purpose}', '{state}', '{{}}', 'c2VhbGVk', 0, NULL, NULL)");
        db.database.execute(&format!("INSERT INTO keys VALUES {values}")).await;
    }
    let before = of_tomorrow(&db, "keys").await;
    assert_eq!(before.len(), 4);
    for _ in 0..2 {
        assert_eq!(ask!(db, |r| r.keys()), std::slice::from_ref(&key), "not used");
        let listed = ask!(db, |r| r.listed_keys());
        let shown = listed.iter().map(|key| format!("{} {} {}", key.id, key.purpose, key.state));
        let all = ["a tomorrow active", "b tomorrow next", "c mac of tomorrow", "d RS256 of tomorrow"];
        assert_eq!(shown.collect::<Vec<_>>()[..4], all, "but listed, in the stored words");
        assert!(listed.iter().all(|key| key.public_jwk.is_some()), "and published");
    }
    let other = a_key("other", KeyState::Retiring);
    assert!(tell!(db, |tx, other| tx.insert_key(other)));
    assert_eq!(of_tomorrow(&db, "keys").await, before);
}

async fn fault_19_mail_of_an_unknown_kind_waits_for_a_node_that_knows_it(db: Db) {
    for number in 0..3 {
        let values = format!("('tomorrow-{number}', 'of_tomorrow', 'a@b.example', 'Ada', 'x', 0, 0, 0, 1)");
        let columns = "id, kind, recipient, name, subject, created_at, due_at, attempts, expires_at";
        db.database.execute(&format!("INSERT INTO outbox ({columns}) VALUES {values}")).await;
    }
    let before = of_tomorrow(&db, "outbox").await;
    assert_eq!(before.len(), 3);
    let mail = Mail {
        id: MailId::new(NOW),
        kind: MailKind::Welcome,
        recipient: email("ada@example.org"),
        name: FullName::parse("Ada").unwrap(),
        subject: "whoever".to_owned(),
        minutes: None,
        created_at: NOW,
        attempts: 0,
    };
    tell!(db, |tx, mail| tx.enqueue_mail(mail));
    let claimed =
        tell!(db, |tx| tx.claim_mail(MINUTE, &NONE_LEFT_OUT, NOW)).expect("no mail before it holds it up");
    assert_eq!(claimed.mail.unwrap().id, mail.id);
    assert!(tell!(db, |tx| tx.claim_mail(MINUTE, &NONE_LEFT_OUT, NOW)).is_none());
    ask!(db, |r| r.note_newer_mails());
    let id = claimed.id;
    tell!(db, |tx, id| tx.delete_mail(id));
    assert_eq!(of_tomorrow(&db, "outbox").await, before);
}

async fn fault_19_clients_with_an_unknown_policy_are_left_out_and_left_alone(db: Db) {
    let columns = ["auth_method", "pkce", "consent", "id_token_alg", "access_token_alg"];
    let mut known = Vec::new();
    for (number, column) in columns.into_iter().enumerate() {
        known.push(a_client(&db, &format!("known-{number}")).await.id);
        let id = a_client(&db, &format!("known-{number}-not")).await.id;
        db.database.execute(&format!("UPDATE clients SET {column} = 'tomorrow' WHERE id = '{id}'")).await;
        let read = try_ask!(db, |r, id| r.client(id));
        match read {
            Err(StoreError::Newer { table: "clients", column: told, id: row }) => {
                assert_eq!((told, row.as_str()), (column, id.as_str()));
            }
            other => panic!("{column}: {other:?}"),
        }
        let (added, scope) = (uri("https://app.example/more"), idp_core::scope::Scope::of(&["openid"]));
        assert!(try_tell!(db, |tx, id, added| tx.add_client_uri(id, UriList::Redirect, added)).is_err());
        assert!(try_tell!(db, |tx, id, scope| tx.set_client_scope(id, scope)).is_err());
        assert!(ask!(db, |r, id| r.has_client(id)));
    }
    let before = of_tomorrow(&db, "clients").await;
    assert_eq!(before.len(), columns.len());
    let ids =
        |page: Listed<Client>| -> Vec<ClientId> { page.found.into_iter().map(|client| client.id).collect() };
    let named: Vec<_> = ask!(db, |r| r.clients(None, 100)).left_out.iter().map(ToString::to_string).collect();
    let expected = columns.iter().enumerate().map(|(number, column)| {
        format!("clients.{column} of row known-{number}-not holds a value that this version does not know")
    });
    assert_eq!(named, expected.collect::<Vec<_>>(), "and named");
    assert_eq!(ids(ask!(db, |r| r.clients(None, 100))), known);
    // Clients that are left out take up no space on a page.
    assert_eq!(ids(ask!(db, |r| r.clients(None, 3))), known[..3]);
    let last = known[2].clone();
    assert_eq!(ids(ask!(db, |r, last| r.clients(Some(last), 3))), known[3..]);
    assert_eq!(of_tomorrow(&db, "clients").await, before);
    // An operator may still disable one; its words stay.
    let id = ClientId::parse("known-0-not").unwrap();
    assert!(tell!(db, |tx, id| tx.set_client_enabled(id, false)));
    assert_eq!(of_tomorrow(&db, "clients").await.len(), columns.len());
}

async fn fault_19_uris_this_version_does_not_accept_are_skipped_and_kept(db: Db) {
    let client = a_client(&db, "app").await;
    let (id, known) = (client.id.clone(), client.redirect_uris.clone());
    for (number, member) in [
        r#""http://app.example/cb""#,
        r#""https://[2001:db8::1]/cb""#,
        r#"{"uri": "https://a.example/", "a": 1.50}"#,
        r#""urn:x:oob""#,
        "7",
        "[ ]",
    ]
    .into_iter()
    .enumerate()
    {
        for (list, column) in
            [(UriList::Redirect, "redirect_uris"), (UriList::PostLogoutRedirect, "post_logout_redirect_uris")]
        {
            let stored = format!(r#"[ "{}" , {member} ]"#, known[0]);
            db.database.execute(&format!("UPDATE clients SET {column} = '{stored}' WHERE id = 'app'")).await;
            let (read, gaps) = ask!(db, |r, id| r.client_and_gaps(id)).unwrap();
            let uris =
                if list == UriList::Redirect { &read.redirect_uris } else { &read.post_logout_redirect_uris };
            assert_eq!(*uris, known, "{column} {member}");
            let gap = format!("clients.{column} of row app holds a value that this version does not know");
            assert_eq!(gaps.iter().map(ToString::to_string).collect::<Vec<_>>(), [gap], "{member}");
            let page = ask!(db, |r| r.clients(None, 10));
            assert_eq!((page.found.len(), page.left_out.len(), page.incomplete.len()), (1, 0, 1), "{member}");
            let added = uri(&format!("https://app.example/more-{number}"));
            assert!(tell!(db, |tx, id, list, added| tx.add_client_uri(id, *list, added)), "{member}");
            assert!(!tell!(db, |tx, id, list, added| tx.add_client_uri(id, *list, added)), "{member}");
            let kept = format!(r#"[ "{}" , {member},"{added}"]"#, known[0]);
            let rows = db.database.dump(&format!("SELECT {column} FROM clients")).await;
            assert!(rows[0].replace('\\', "").contains(&kept), "{rows:?}");
            let whole = format!("UPDATE clients SET {column} = '[\"{}\"]'", known[0]);
            db.database.execute(&whole).await;
        }
    }
}

async fn fault_19_flows_for_an_unknown_target_are_none_and_unknown_members_stay(db: Db) {
    let far = i64::MAX;
    let digest = new_digest();
    let insert = async |target: &str| {
        let id = FlowId::new(NOW);
        let columns = "id, browser_digest, target, started_at, expires_at";
        let values = format!("'{id}', '{}', '{target}', 0, {far}", digest.as_str());
        db.database.execute(&format!("INSERT INTO flows ({columns}) VALUES ({values})")).await;
        id
    };
    let unknown = insert(r#"{"for":"tomorrow","x":1}"#).await;
    let members = insert(r#"{"for":"account","tomorrow":{"a":[1]}}"#).await;
    let before = of_tomorrow(&db, "flows").await;
    for _ in 0..2 {
        assert!(ask!(db, |r, unknown| r.flow(*unknown, NOW)).is_none());
        assert!(ask!(db, |r, unknown| r.ended_flow(*unknown, NOW)).is_none());
        assert!(ask!(db, |r, members| r.flow(*members, NOW)).is_some());
    }
    assert_eq!(of_tomorrow(&db, "flows").await, before);
    assert!(tell!(db, |tx, members| tx.close_flow(*members, None, NOW)));
    assert!(ask!(db, |r, members| r.ended_flow(*members, NOW)).unwrap().answered);
    let targets = "SELECT target FROM flows ORDER BY target";
    assert_eq!(db.database.dump(targets).await.len(), 2);
    assert!(db.database.dump(targets).await[0].contains(r#"tomorrow\":{\"a\":[1]}"#));
}

async fn fault_19_accounts_sessions_and_grants_in_unknown_states_are_not_used_and_not_changed(db: Db) {
    let ada = SignedInPerson::new(&db).await;
    let (user, digest) = (ada.user.id, ada.session.digest.clone());
    let grant = ada.a_grant(&db, OFFLINE).await.facts.id;
    let code = ada.a_code(&db, OFFLINE).await;
    for table in ["sessions", "grants", "codes"] {
        db.database.execute(&format!("UPDATE {table} SET authentication = 'tomorrow'")).await;
    }
    let before = db.database.everything().await;
    assert!(ask!(db, |r, digest| r.signed_in(digest, NOW)).is_none());
    assert!(matches!(try_ask!(db, |r, grant| r.grant(*grant)), Err(StoreError::Newer { .. })));
    let client = ada.client.id.clone();
    let consumed = try_tell!(db, |tx, code, client| tx.consume_code(code, client, NOW));
    assert!(matches!(consumed, Err(StoreError::Newer { .. })), "{consumed:?}");
    assert_eq!(db.database.everything().await, before, "not consumed");

    db.database.execute("UPDATE users SET password_hash = '$tomorrow$v=1$x'").await;
    let (before, address) = (of_tomorrow(&db, "users").await, ada.user.email.clone());
    assert!(
        ask!(db, |r, address| r.credentials(address)).unwrap().password.is_none(),
        "no password can prove it"
    );
    assert_eq!(of_tomorrow(&db, "users").await, before);

    db.database.execute("UPDATE users SET state = 'tomorrow'").await;
    let before = of_tomorrow(&db, "users").await;
    assert_eq!(ask!(db, |r, user| r.user(*user)).unwrap().state, UserState::Newer);
    assert_eq!(ask!(db, |r, address| r.credentials(address)).unwrap().user.state, UserState::Newer);
    assert_eq!(ask!(db, |r| r.users(None, 10)).found.len(), 1);
    for state in [UserState::Active, UserState::Deactivated] {
        assert!(!tell!(db, |tx, user, state| tx.set_user_state(*user, *state, NOW)));
    }
    assert_eq!(of_tomorrow(&db, "users").await, before);
}

async fn fault_19_a_registration_with_an_unknown_outcome_reveals_nothing_and_keeps_it(db: Db) {
    let unknown = a_registration(&db, "ada@example.org", NOW).await;
    db.database.execute("UPDATE registrations SET outcome = 'tomorrow'").await;
    let id: RegistrationId = unknown.id;
    assert_eq!(ask!(db, |r, id| r.registration_and_state(*id, NOW)).unwrap().1, RegistrationState::Waiting);
    let late = after(DAY * 2);
    assert_eq!(
        ask!(db, |r, id, late| r.registration_and_state(*id, *late)).unwrap().1,
        RegistrationState::Expired
    );
    let hashed = a_registration(&db, "mia@example.org", NOW).await;
    db.database
        .execute("UPDATE registrations SET password_hash = '$tomorrow$' WHERE email_key = 'mia@example.org'")
        .await;
    let (mia, mias) = (hashed.email, hashed.id);
    assert!(ask!(db, |r, mia| r.newest_registration(mia, None, NOW)).is_none());
    assert!(matches!(try_tell!(db, |tx, mias| tx.activate(*mias, NOW)), Err(StoreError::Newer { .. })));
    let other = a_registration(&db, "ada@example.org", NOW).await.id;
    assert!(matches!(tell!(db, |tx, other| tx.activate(*other, NOW)), idp_store::Activation::Activated(..)));
    assert_eq!(of_tomorrow(&db, "registrations").await.len(), 2);
}

async fn fault_19_whatever_has_not_expired_survives_the_cleanup(db: Db) {
    let user = a_user(&db, "ada@example.org").await;
    let (soon, far) = (after(HOUR).millis(), after(DAY * 400).millis());
    let digest = Digest::of("tomorrow");
    for sql in [
        format!("INSERT INTO single_use VALUES ('tomorrow-1', 'tm_', 'x', {soon}, NULL)"),
        format!("INSERT INTO single_use VALUES ('tomorrow-2', 'tm_', 'x', {far}, NULL)"),
        format!(
            "INSERT INTO throttles VALUES ('tomorrow:{}', '{}', 3, 0, 3, 0, NULL, FALSE, {far})",
            user.id, user.id
        ),
        "INSERT INTO epochs VALUES ('tomorrow', 7)".to_owned(),
        "INSERT INTO roles VALUES ('tomorrow', 'tomorrow', '', FALSE)".to_owned(),
        format!(
            "INSERT INTO audit (id, at, event, actor, detail) VALUES ('tomorrow', 0, 'of_tomorrow', \
             'robot:{}', '')",
            digest.as_str()
        ),
    ] {
        db.database.execute(&sql).await;
    }
    let tables = ["throttles", "epochs", "roles", "audit"];
    let mut before = Vec::new();
    for table in tables {
        before.push(of_tomorrow(&db, table).await);
    }
    // Unlock an account, use a link, clear a counter.
    let key = ThrottleKey::Account { email_key: user.email.key().to_owned(), user: Some(user.id) };
    tell!(db, |tx, key| tx.reserve(key, &ACCOUNT, NOW));
    assert!(tell!(db, |tx, user| tx.unlock(user)));
    let link = SingleUse::<ActivationLink>::generate().digest();
    assert!(tell!(db, |tx, link| tx.consume(link, NOW)).is_none());
    let later = after(DAY * 30);
    while db.delete_expired(later).await.unwrap() > 0 {}
    for (table, before) in tables.into_iter().zip(before) {
        assert_eq!((before.len(), of_tomorrow(&db, table).await), (1, before), "{table}");
    }
    assert_eq!(of_tomorrow(&db, "single_use").await.len(), 1, "whatever has expired is deleted");
}
