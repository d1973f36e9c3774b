use idp_core::audit::AuditEvent;
use idp_core::secret::Digest;
use serde_json::json;

use crate::sandbox::Sandbox;

const APP: &str = "client create app --name App --redirect-uri https://app.example.com/cb";

#[test]
fn a_client_secret_is_made_and_shown_once() {
    let sandbox = Sandbox::new();
    let made = sandbox.idp(&format!("{APP} -o json")).json();
    let secret = made["secret"].as_str().unwrap();
    assert_eq!(secret.len(), 43);
    assert_eq!(made["redirect_uris"], json!(["https://app.example.com/cb"]));
    let shown = sandbox.idp("client show app").good();
    assert!(shown.contains("authentication  client_secret_basic_or_post"), "{shown}");
    let stored = Digest::of(secret);
    for args in ["client show app", "client show app -o json", "client list -o json"] {
        let shown = sandbox.idp(args).good();
        assert!(!shown.contains(secret) && !shown.contains(stored.as_str()), "{shown}");
    }
    let text = sandbox.idp(&APP.replace("app ", "other ")).good();
    assert!(text.starts_with("Registered other.\nIts secret (shown only once): "), "{text}");
    assert_eq!(text.lines().count(), 2, "without a configuration the issuer is not known: {text}");
    assert_eq!(sandbox.audited(AuditEvent::ClientCreated), 2);
}

#[test]
fn a_secret_can_be_brought_along_by_file_or_standard_input() {
    let sandbox = Sandbox::new();
    let secret = "0123456789abcdef0123456789abcdef";
    let said = sandbox.pipe(&format!("{APP} --secret-stdin"), secret).good();
    assert_eq!(said, "Registered app.\n", "a secret that is known is not shown");
    sandbox.file("secret", &format!("{secret}\n"));
    sandbox
        .idp(&APP.replace("create app", "create b").replace("--name", "--secret-file secret --name"))
        .good();
    let refusal = sandbox.pipe(&APP.replace("create app", "create c --secret-stdin"), "too-short").refusal();
    assert!(refusal.contains("32 or more") && !refusal.contains("too-short"), "{refusal}");
}

#[test]
fn fault_11_a_name_is_kept_or_refused_and_never_changed() {
    let sandbox = Sandbox::new();
    let long = "n".repeat(61);
    for (name, why) in [
        ("Ti\u{202E}de", "the name: it contains U+202E, an invisible or misleading character"),
        (long.as_str(), "the name has 61 characters; pages show at most 60"),
    ] {
        let refusal = sandbox.idp(&APP.replace("--name App", &format!("--name {name}"))).refusal();
        assert!(refusal.contains(why), "{refusal}");
    }
    sandbox.idp(&APP.replace("--name App", "--name علی\u{200C}رضا")).good();
    assert!(sandbox.idp("client show app -o json").good().contains("علی\u{200C}رضا"));
}

#[test]
fn a_public_client_has_no_secret() {
    let sandbox = Sandbox::new();
    let made = sandbox.idp(&format!("{APP} --public --native -o json")).json();
    assert_eq!(
        (&made["public"], &made["native"], &made["pkce"]),
        (&json!(true), &json!(true), &json!("always"))
    );
    assert!(made.get("secret").is_none());
}

#[test]
fn a_client_is_switched_off_and_on() {
    let sandbox = Sandbox::new();
    sandbox.idp(APP).good();
    assert_eq!(sandbox.idp("client disable app").good(), "app is disabled; its tokens are revoked.\n");
    assert_eq!(sandbox.idp("client disable app").good(), "app is already disabled.\n");
    assert_eq!(sandbox.idp("client show app -o json").json()["state"], "disabled");
    assert_eq!(sandbox.idp("client enable app -o json").json(), json!({ "id": "app", "changed": true }));
    assert_eq!(
        (sandbox.audited(AuditEvent::ClientDisabled), sandbox.audited(AuditEvent::ClientEnabled)),
        (1, 1)
    );
}

#[test]
fn a_redirect_uri_is_added_once() {
    let sandbox = Sandbox::new();
    sandbox.idp(APP).good();
    let add = "client add-redirect-uri app https://app.example.com/cb2";
    assert!(sandbox.idp(add).good().contains("now has the redirect URI https://app.example.com/cb2"));
    assert_eq!(sandbox.idp(&format!("{add} -o json")).json()["changed"], false);
    let uris = json!(["https://app.example.com/cb", "https://app.example.com/cb2"]);
    assert_eq!(sandbox.idp("client show app -o json").json()["redirect_uris"], uris);
    assert_eq!(sandbox.audited(AuditEvent::ClientChanged), 1);
    let bye = "client add-post-logout-redirect-uri app https://app.example.com/bye";
    assert!(
        sandbox.idp(bye).good().contains("now has the post-logout redirect URI https://app.example.com/bye")
    );
    let uris = json!(["https://app.example.com/bye"]);
    assert_eq!(sandbox.idp("client show app -o json").json()["post_logout_redirect_uris"], uris);
    assert_eq!(sandbox.idp("client add-redirect-uri app http://app.example.com/").code, Some(2));
}

#[test]
fn a_new_client_is_told_where_its_issuer_is() {
    let sandbox = Sandbox::empty();
    sandbox.file("idp.toml", "[server]\nissuer = 'https://id.example.com'\n");
    sandbox.idp("db migrate --config idp.toml").good();
    let text = sandbox.idp(&format!("{APP} --config idp.toml")).good();
    for line in [
        "Issuer: https://id.example.com",
        "Discovery: https://id.example.com/.well-known/openid-configuration",
    ] {
        assert!(text.lines().any(|said| said == line), "{text}");
    }
    let json = sandbox.idp(&format!("{APP} --config idp.toml -o json").replace("app ", "b ")).json();
    assert_eq!(json["issuer"], "https://id.example.com");
    assert_eq!(json["discovery"], "https://id.example.com/.well-known/openid-configuration");
    sandbox.idp("db migrate --dev").good();
    assert_eq!(sandbox.idp(&format!("{APP} --dev -o json")).json()["issuer"], "http://localhost:8080");
    drop(sandbox.start(&mut sandbox.command("dev --port 0 --client-port 0"), "Ctrl-C stops it."));
    let issuer = sandbox.idp(&format!("{APP} --dev -o json").replace("app ", "c ")).json()["issuer"].clone();
    let port: u16 = issuer.as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
    assert!(port != 8080 && port > 0, "the port that `dev` was started with");
}

#[test]
fn the_scope_always_has_openid_and_can_be_changed() {
    let sandbox = Sandbox::new();
    let made = sandbox.idp(&format!("{APP} --scope offline_access -o json")).json();
    assert_eq!(made["scope"], "offline_access openid");
    let set = "client set-scope app email profile";
    assert_eq!(
        sandbox.idp(set).good(),
        "app may request: email openid profile. Tokens with a wider scope are revoked.\n"
    );
    assert_eq!(sandbox.idp(set).good(), "app may request: email openid profile. Nothing changed.\n");
    let wider = "client set-scope app openid email profile offline_access";
    assert_eq!(sandbox.idp(wider).good(), "app may request: email offline_access openid profile.\n");
    assert_eq!(sandbox.idp("client show app -o json").json()["scope"], "email offline_access openid profile");
    assert_eq!(sandbox.audited(AuditEvent::ClientChanged), 2);
    assert_eq!(sandbox.idp("client set-scope app").code, Some(2));
    let refusal = sandbox.idp("client set-scope app opnid").refusal();
    assert!(refusal.contains("the nearest valid name is `openid`"), "{refusal}");
    assert!(sandbox.idp("client set-scope b openid").refusal().starts_with("there is no client b"));
}

#[test]
fn a_redirect_uri_is_no_pattern() {
    let sandbox = Sandbox::new();
    sandbox.idp(APP).good();
    let why = "URIs are compared byte for byte, so `*` is not a wildcard; list each URI";
    for args in [
        "client create b --redirect-uri https://app.example.com/*",
        "client create b --redirect-uri https://b.example/ --post-logout-redirect-uri https://b.example/?a=*",
    ] {
        let refusal = sandbox.idp(args).refusal();
        assert!(refusal.ends_with(why), "{refusal}");
    }
    for verb in ["add-redirect-uri", "add-post-logout-redirect-uri"] {
        let answer = sandbox.idp(&format!("client {verb} app https://app.example.com/*"));
        assert_eq!(answer.code, Some(2));
        assert!(answer.err.contains(why), "{}", answer.err);
    }
}

#[test]
fn a_client_that_cannot_be_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.idp(APP).good();
    for (args, why) in [
        (APP, "the client app already exists; see it with `idp client show app`"),
        ("client create b", "client b has no redirect URI"),
        (
            "client create b --redirect-uri http://b.example/cb",
            "`http://b.example/cb` cannot be a redirect URI",
        ),
        (
            "client create b --redirect-uri https://b.example/cb --scope opnid",
            "the nearest valid name is `openid`",
        ),
        ("client create b --redirect-uri https://b.example/cb --pkce S256", "there is no PKCE policy `S256`"),
        ("client show b", "there is no client b; list them with `idp client list`"),
        ("client enable b", "there is no client b"),
    ] {
        let refusal = sandbox.idp(args).refusal();
        assert!(refusal.contains(why), "{why}: {refusal}");
    }
    assert_eq!(sandbox.audited(AuditEvent::ClientCreated), 1);
}
