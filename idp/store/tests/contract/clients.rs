//! Clients.

use idp_core::client::{AuthMethod, Client, ClientId, ConsentPolicy, PkcePolicy, SigningAlg};
use idp_core::redirect_uri::RedirectMatch;
use idp_core::scope::Scope;
use idp_core::secret::Digest;
use idp_core::text::DisplayText;
use idp_core::time::SECOND;
use idp_store::{StoreError, UriList};

use crate::given::{NOW, a_client, after, client_id, new_client, new_digest, uri};
use crate::harness::Db;

contract! {
    a_confidential_client_reads_back_as_written,
    a_native_client_reads_back_as_written,
    an_unknown_client_is_none,
    tk_12_a_client_is_found_by_exactly_its_own_id,
    an_id_that_is_taken_changes_nothing,
    a_client_is_disabled_and_enabled_once_each,
    the_scope_is_changed_and_a_narrower_one_ends_what_was_issued,
    a_redirect_uri_is_added_once,
    the_home_page_of_a_client_is_changed_once,
    redirect_uris_added_at_the_same_time_are_all_kept_or_refused,
    clients_are_listed_in_pages,
    ad_09_a_page_of_zero_or_negative_size_is_empty,
}

async fn a_confidential_client_reads_back_as_written(db: Db) {
    let secret = new_digest();
    let written = Client {
        name: DisplayText::new("Müller & Söhne <\"quoted\"> 😀", 60),
        secret: Some(secret.clone()),
        redirect_uris: vec![uri("https://app.example/cb?a=b&c='d'"), uri("http://127.0.0.1:8000")],
        post_logout_redirect_uris: vec![uri("https://app.example/bye")],
        home_uri: Some(uri("https://app.example/")),
        pkce: PkcePolicy::Optional,
        consent: ConsentPolicy::Skip,
        epoch: 3,
        created_at: after(SECOND),
        ..new_client("app.example~1_x")
    };
    let read = reads_back(&db, &written).await;
    assert_eq!(read.secret.as_ref().map(Digest::as_str), Some(secret.as_str()));
}

async fn a_native_client_reads_back_as_written(db: Db) {
    let written = Client {
        auth_method: AuthMethod::None,
        secret: None,
        redirect_uris: vec![uri("http://127.0.0.1/cb"), uri("com.example.app:/cb")],
        redirect_match: RedirectMatch::LoopbackPort,
        scope: Scope::of(&["openid"]),
        pkce: PkcePolicy::Always,
        id_token_alg: SigningAlg::Es256,
        access_token_alg: SigningAlg::Rs256,
        enabled: false,
        ..new_client("native")
    };
    assert!(reads_back(&db, &written).await.secret.is_none());
}

/// `Debug` shows every field except the secret's digest.
async fn reads_back(db: &Db, written: &Client) -> Client {
    assert!(tell!(db, |tx, written| tx.insert_client(written)));
    let id = &written.id;
    let read = ask!(db, |r, id| r.client(id)).unwrap();
    assert_eq!(format!("{read:#?}"), format!("{written:#?}"));
    read
}

async fn an_unknown_client_is_none(db: Db) {
    a_client(&db, "app").await;
    for id in ["ap", "App", "app.", "0"] {
        let id = client_id(id);
        assert!(ask!(db, |r, id| r.client(id)).is_none(), "{id}");
    }
}

async fn tk_12_a_client_is_found_by_exactly_its_own_id(db: Db) {
    let secret = Some(new_digest());
    let confidential = Client { auth_method: AuthMethod::Post, secret, ..new_client("confidential") };
    let public = Client { auth_method: AuthMethod::None, secret: None, ..new_client("public") };
    for written in [&confidential, &public] {
        let stored = reads_back(&db, written).await;
        assert_eq!((stored.auth_method, &stored.secret), (written.auth_method, &written.secret));
    }
    for id in ["confidentia", "Public", "nobody", "~"].map(client_id) {
        assert!(ask!(db, |r, id| r.client(id)).is_none(), "{id}");
    }
}

async fn an_id_that_is_taken_changes_nothing(db: Db) {
    a_client(&db, "app").await;
    let before = db.database.everything().await;
    let second = Client { name: DisplayText::new("Eve", 60), ..new_client("app") };
    assert!(!tell!(db, |tx, second| tx.insert_client(second)));
    assert_eq!(db.database.everything().await, before);
    a_client(&db, "APP").await;
}

async fn a_client_is_disabled_and_enabled_once_each(db: Db) {
    let (app, other, nobody) =
        (a_client(&db, "app").await.id, a_client(&db, "other").await.id, client_id("nobody"));
    assert!(!tell!(db, |tx, app| tx.set_client_enabled(app, true)), "it is already on");
    assert!(tell!(db, |tx, app| tx.set_client_enabled(app, false)));
    assert!(!tell!(db, |tx, app| tx.set_client_enabled(app, false)), "it is already off");
    let read = ask!(db, |r, app| r.client(app)).unwrap();
    assert_eq!((read.enabled, read.epoch), (false, 1));
    assert!(tell!(db, |tx, app| tx.set_client_enabled(app, true)));
    assert!(!tell!(db, |tx, nobody| tx.set_client_enabled(nobody, false)));
    let read = ask!(db, |r, other| r.client(other)).unwrap();
    assert_eq!((read.enabled, read.epoch), (true, 0), "no other is touched");
}

async fn the_scope_is_changed_and_a_narrower_one_ends_what_was_issued(db: Db) {
    let (app, other) = (a_client(&db, "app").await.id, a_client(&db, "other").await.id);
    let before = ask!(db, |r, other| r.client(other)).unwrap().scope;
    let nobody = client_id("nobody");
    let wide = before.united(&Scope::of(&["address"]));
    let narrow = Scope::of(&["openid"]);
    for (scope, changed, epoch) in
        [(&before, false, 0), (&wide, true, 0), (&wide, false, 0), (&narrow, true, 1), (&narrow, false, 1)]
    {
        assert_eq!(tell!(db, |tx, app, scope| tx.set_client_scope(app, scope)), changed, "{scope}");
        let read = ask!(db, |r, app| r.client(app)).unwrap();
        assert_eq!((&read.scope, read.epoch), (scope, epoch));
    }
    assert!(!tell!(db, |tx, nobody, narrow| tx.set_client_scope(nobody, narrow)));
    let read = ask!(db, |r, other| r.client(other)).unwrap();
    assert_eq!((read.scope, read.epoch), (before, 0), "no other is touched");
}

async fn a_redirect_uri_is_added_once(db: Db) {
    let (app, other) = (a_client(&db, "app").await.id, a_client(&db, "other").await.id);
    let (added, nobody) = (uri("https://app.example/cb/"), client_id("nobody"));
    assert!(tell!(db, |tx, app, added| tx.add_client_uri(app, UriList::Redirect, added)));
    assert!(
        !tell!(db, |tx, app, added| tx.add_client_uri(app, UriList::Redirect, added)),
        "it is already there"
    );
    assert!(!tell!(db, |tx, nobody, added| tx.add_client_uri(nobody, UriList::Redirect, added)));
    let before = uri("https://app.example/cb");
    assert_eq!(ask!(db, |r, app| r.client(app)).unwrap().redirect_uris, [before.clone(), added]);
    assert_eq!(ask!(db, |r, other| r.client(other)).unwrap().redirect_uris, [before]);
    let bye = uri("https://app.example/bye/");
    let lists = ask!(db, |r, app| r.client(app)).unwrap();
    assert!(tell!(db, |tx, app, bye| tx.add_client_uri(app, UriList::PostLogoutRedirect, bye)));
    assert!(!tell!(db, |tx, app, bye| tx.add_client_uri(app, UriList::PostLogoutRedirect, bye)));
    let now = ask!(db, |r, app| r.client(app)).unwrap();
    assert_eq!(now.redirect_uris, lists.redirect_uris);
    assert_eq!(now.post_logout_redirect_uris, [lists.post_logout_redirect_uris, vec![bye]].concat());
}

async fn the_home_page_of_a_client_is_changed_once(db: Db) {
    let (app, other) = (a_client(&db, "app").await.id, a_client(&db, "other").await.id);
    let nobody = client_id("nobody");
    let before = ask!(db, |r, other| r.client(other)).unwrap().home_uri;
    for home in [uri("https://app.example/start"), uri("https://app.example/begin")] {
        assert!(tell!(db, |tx, app, home| tx.set_client_home(app, home)));
        assert!(!tell!(db, |tx, app, home| tx.set_client_home(app, home)), "it already is");
        assert_eq!(ask!(db, |r, app| r.client(app)).unwrap().home_uri, Some(home.clone()));
        assert!(!tell!(db, |tx, nobody, home| tx.set_client_home(nobody, home)));
    }
    assert_eq!(ask!(db, |r, other| r.client(other)).unwrap().home_uri, before, "no other is touched");
}

async fn redirect_uris_added_at_the_same_time_are_all_kept_or_refused(db: Db) {
    let app = a_client(&db, "app").await.id;
    let administrators: Vec<_> = (0..20)
        .map(|number| {
            let (store, app, added) =
                (db.store.clone(), app.clone(), uri(&format!("https://{number}.example/")));
            tokio::spawn(async move {
                match try_tell!(store, |tx, app, added| tx.add_client_uri(app, UriList::Redirect, added)) {
                    Ok(true) => Some(added),
                    Err(StoreError::Conflict(_)) => None,
                    other => panic!("{other:?}"),
                }
            })
        })
        .collect();
    let mut expected = vec![uri("https://app.example/cb").as_str().to_owned()];
    for administrator in administrators {
        expected.extend(administrator.await.unwrap().map(|uri| uri.as_str().to_owned()));
    }
    let kept = ask!(db, |r, app| r.client(app)).unwrap().redirect_uris;
    let mut kept: Vec<_> = kept.iter().map(|uri| uri.as_str().to_owned()).collect();
    expected.sort();
    kept.sort();
    assert!(kept.len() > 1);
    assert_eq!(kept, expected);
}

async fn clients_are_listed_in_pages(db: Db) {
    for id in ["b", "d", "a", "c"] {
        a_client(&db, id).await;
    }
    assert_eq!(page(&db, None, 3).await, ["a", "b", "c"]);
    assert_eq!(page(&db, Some("c"), 3).await, ["d"]);
    assert_eq!(page(&db, Some("bb"), 3).await, ["c", "d"], "an id that is gone works as well");
    assert!(page(&db, Some("d"), 3).await.is_empty());
}

async fn ad_09_a_page_of_zero_or_negative_size_is_empty(db: Db) {
    a_client(&db, "app").await;
    for size in [0, -1, i64::MIN] {
        assert!(page(&db, None, size).await.is_empty());
    }
    assert_eq!(page(&db, None, i64::MAX).await, ["app"]);
}

async fn page(db: &Db, after: Option<&str>, limit: i64) -> Vec<String> {
    let after: Option<ClientId> = after.map(client_id);
    let found = ask!(db, |r, after, limit| r.clients(after.as_ref(), *limit)).found;
    assert!(found.iter().all(|client| client.created_at == NOW));
    found.into_iter().map(|client| client.id.as_str().to_owned()).collect()
}
