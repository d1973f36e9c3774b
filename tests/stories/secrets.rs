//! Secrets stay secret: none is in the log, or readable in the database.

use idp_core::client::Client;
use idp_core::secret::Digest;

use crate::support::client::{authorize, basic_of, changed};
use crate::support::raw::{Raw, RawBrowser};
use crate::support::{Engine, TestApp, confidential, is_logged, on_both_engines};

const ADA: &str = "ada-of-the-secrets@example.org";
const PASSWORD: &str = "canary password lantern velvet";
const WRONG: &str = "canary password mistyped once";
const CLIENT_SECRET: &str = "canary-client-secret-0123456789-abcdefghijkl";
const VERIFIER: &str = "canary-verifier-0123456789-abcdefghijklmnopqrstuvwxyz";
const STATE: &str = "canary-state-of-the-application";
const NONCE: &str = "canary-nonce-of-the-application";

/// Runs a whole flow, with a mistake at each step. Returns every secret that was used.
async fn run_flow(app: &TestApp) -> Vec<(&'static str, String)> {
    let secret = Some(Digest::of(CLIENT_SECRET));
    app.register(&Client { secret, ..confidential("tides") }).await;
    let mut ada = RawBrowser::new(app);
    let mut secrets = register(app, &mut ada).await;

    let challenge = {
        use base64::Engine as _;
        use sha2::Digest as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(VERIFIER))
    };
    let scope = Some("openid profile email offline_access");
    let changes = [
        ("scope", scope),
        ("state", Some(STATE)),
        ("nonce", Some(NONCE)),
        ("code_challenge", Some(&challenge[..])),
    ];
    let login = ada.open(&authorize(&changed("tides", &changes))).await;
    ada.submit(&login, "/login", &[("email", ADA), ("password", WRONG)]).await;
    let consent = ada.submit(&login, "/login", &[("email", ADA), ("password", PASSWORD)]).await;
    let code =
        ada.submit(&consent, "/consent", &[("decision", "allow")]).await.redirect_param("code").unwrap();
    secrets.extend(ada.cookies.values().map(|value| ("cookie", value.clone())));

    let token = |pairs: Vec<(&'static str, String)>, secret: &'static str| async move {
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Raw::post("/token").header("Authorization", basic_of("tides", secret)).form(&pairs).send(app).await
    };
    let redemption = |code: &str| {
        vec![
            ("grant_type", "authorization_code".to_owned()),
            ("code", code.to_owned()),
            ("redirect_uri", "https://tides.example/cb".to_owned()),
            ("code_verifier", VERIFIER.to_owned()),
        ]
    };
    assert_eq!(token(redemption(&code), "canary-wrong-client-secret").await.status, 401);
    let tokens = token(redemption(&code), CLIENT_SECRET).await.tokens();
    let refresh = vec![("grant_type", "refresh_token".to_owned()), ("refresh_token", tokens.refresh.clone())];
    let next = token(refresh.clone(), CLIENT_SECRET).await.tokens();
    let bearer = format!("Bearer {}", next.access);
    assert_eq!(Raw::get("/userinfo").header("Authorization", &bearer).send(app).await.status, 200);
    assert_eq!(token(refresh, CLIENT_SECRET).await.status, 400, "a rotated token");
    let again = ada.open(&authorize(&changed("tides", &changes))).await.redirect_param("code").unwrap();
    assert_eq!(token(redemption(&again), CLIENT_SECRET).await.status, 200, "a new code is good");
    for used in [&code, &again] {
        assert_eq!(token(redemption(used), CLIENT_SECRET).await.status, 400, "a used code");
    }
    assert_eq!(Raw::get("/userinfo").header("Authorization", &bearer).send(app).await.status, 401);
    ada.open(&format!("/logout?id_token_hint={}&state={STATE}", next.id)).await;
    secrets.extend([
        ("code", code),
        ("code", again),
        ("access token", tokens.access),
        ("refresh token", tokens.refresh),
    ]);
    secrets.extend([("ID token", tokens.id), ("access token", next.access), ("refresh token", next.refresh)]);
    secrets
}

/// From the form to the account. Returns the link's token and the typed code.
async fn register(app: &TestApp, ada: &mut RawBrowser<'_>) -> Vec<(&'static str, String)> {
    let page = ada.open("/register").await;
    let form = [("name", "Ada"), ("email", ADA), ("password", PASSWORD), ("password_confirm", WRONG)];
    ada.submit(&page, "/register", &form).await;
    let form = [("name", "Ada"), ("email", ADA), ("password", PASSWORD), ("password_confirm", PASSWORD)];
    ada.submit(&page, "/register", &form).await;
    let mail = app.sink.mail_to(ADA, 1).await;
    let link = mail.link();
    let activate = ada.open(link.strip_prefix(&app.issuer).unwrap()).await;
    ada.submit(&activate, "/activate", &[]).await;
    ada.submit(&activate, "/activate", &[]).await;
    vec![("link", link.split_once("token=").unwrap().1.to_owned()), ("typed code", mail.code())]
}

/// Sends malformed requests. Returns the parts of them that must not be in the log.
async fn slips(app: &TestApp) -> Vec<String> {
    let mut ada = RawBrowser::new(app);
    let page = ada.open("/register").await;
    let torn = "canary-half-of-a-password";
    ada.submit(&page, "/register", &[("password", "x"), (torn, "")]).await;
    let login = ada.open("/signin").await;
    ada.submit(&login, "/login", &[("email", ADA), ("canary-other-half", "")]).await;
    for path in [
        "/activate?canary-token-without-name",
        "/activate%3Ftoken=canary-escaped-token",
        "/activate/canary-segment",
        "/nowhere/canary-of-nowhere",
    ] {
        let status = Raw::get(path).send(app).await.status;
        assert!([400, 404].contains(&status.as_u16()), "{path}: {status}");
    }
    let swapped = basic_of("canary-secret-as-id", "tides");
    let form = [("grant_type", "refresh_token"), ("refresh_token", "rt_x")];
    assert_eq!(Raw::post("/token").header("Authorization", swapped).form(&form).send(app).await.status, 401);
    let canaries = [
        torn,
        "canary-other-half",
        "canary-token-without-name",
        "canary-escaped-token",
        "canary-segment",
        "canary-of-nowhere",
        "canary-secret-as-id",
    ];
    canaries.map(str::to_owned).into()
}

on_both_engines! {
    async fn ls_01_ls_06_a_malformed_request_leaves_no_secret_in_the_log(engine: Engine) {
        let app = TestApp::start(engine).await;
        for canary in slips(&app).await {
            assert!(!is_logged(&canary), "{canary}");
        }
        for told in ["path=\"/activate\"", "path=\"/nowhere\"", "client_id: unknown client"] {
            assert!(is_logged(told), "{told} is not logged");
        }
    }

    async fn ls_01_ls_03_ls_06_no_secret_is_logged_or_kept_readable(engine: Engine) {
        let app = TestApp::start(engine).await;
        let mut secrets = run_flow(&app).await;
        let given = [PASSWORD, WRONG, CLIENT_SECRET, "canary-wrong-client-secret", VERIFIER];
        secrets.extend(given.map(|text| ("given", text.to_owned())));
        assert!(secrets.len() >= 15, "{secrets:?}");
        // The log still tells what happened: the kind of event and the request.
        for told in ["event=\"registration\"", "event=\"activation\"", "event=\"sign_in_failed\"", "event=\"sign_in\"",
            "event=\"consent\"", "event=\"refresh_reuse\"", "event=\"code_replay\"", "reason=\"invalid_client\"",
            "reason=\"invalid_grant\"", "reason=\"invalid_token\"", "request_id="]
        {
            assert!(is_logged(told), "{told} is not logged");
        }
        let stored = format!("{:?}", app.whole_state().await);
        let files = app.database.bytes();
        for (what, secret) in &secrets {
            assert!(!is_logged(secret), "{what} {secret} is in the log");
            assert!(!stored.contains(secret.as_str()), "{what} {secret} is in the database");
            let found = files.iter().any(|file| file.windows(secret.len()).any(|part| part == secret.as_bytes()));
            assert!(!found, "{what} {secret} is in the database's files");
        }
        // What the client sends along is no secret of ours, but it is nobody's business.
        assert!(!is_logged(STATE) && !is_logged(NONCE) && !is_logged("code_challenge="));
        for private in ["PRIVATE KEY", "\"d\":", "\"p\":"] {
            assert!(!stored.contains(private) && !is_logged(private), "{private}");
        }
    }
}
