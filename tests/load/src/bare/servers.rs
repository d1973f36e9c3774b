//! Bare axum servers.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use josekit::jwk::KeyPair;
use josekit::jwk::alg::ec::{EcCurve, EcKeyPair};
use josekit::jws::{ES256, JwsSigner};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// How long a bare server runs at most, even if standard input does not end.
const LONGEST_LIFE: Duration = Duration::from_secs(2 * 60 * 60);

const HELLO: &str = r#"{"message":"hello"}"#;

async fn say_hello() -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(header::CONTENT_TYPE, "application/json")], HELLO)
}

/// `GET /`, and nothing else.
pub(super) async fn hello() -> anyhow::Result<()> {
    serve(Router::new().route("/", get(say_hello))).await
}

/// The same, with the headers that the server under load sends, set in the same way.
pub(super) async fn hello_with_headers() -> anyhow::Result<()> {
    let mut line = String::new();
    // One line only: the end of input stops the server.
    for byte in std::io::stdin().lock().bytes() {
        match byte? {
            b'\n' => break,
            byte => line.push(char::from(byte)),
        }
    }
    let pairs: Vec<(String, String)> =
        serde_json::from_str(&line).context("cannot parse the headers on standard input")?;
    let mut headers = HeaderMap::new();
    for (name, value) in &pairs {
        headers.insert(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?);
    }
    let layer = from_fn_with_state(Arc::new(headers), with_headers);
    serve(Router::new().route("/", get(say_hello)).layer(layer)).await
}

async fn with_headers(State(headers): State<Arc<HeaderMap>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in headers.iter() {
        response.headers_mut().entry(name).or_insert_with(|| value.clone());
    }
    response
}

/// A token request.
#[derive(Deserialize)]
struct TokenForm {
    grant_type: String,
    refresh_token: String,
    client_id: String,
}

struct Signing {
    signer: Box<dyn JwsSigner>,
    header: String,
}

/// Parses a form and signs one token, the least a token endpoint has to do.
pub(super) async fn sign() -> anyhow::Result<()> {
    let pair = EcKeyPair::generate(EcCurve::P256)?;
    let signer: Box<dyn JwsSigner> = Box::new(ES256.signer_from_der(pair.to_der_private_key())?);
    let header = URL_SAFE_NO_PAD
        .encode(r#"{"alg":"ES256","kid":"a-thumbprint-of-43-characters-as-keys-have-it-00","typ":"at+jwt"}"#);
    let signing = Arc::new(Signing { signer, header });
    serve(Router::new().route("/token", post(issue)).with_state(signing)).await
}

async fn issue(State(signing): State<Arc<Signing>>, body: Bytes) -> Result<Json<Value>, StatusCode> {
    let form: TokenForm = serde_urlencoded::from_bytes(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    if form.grant_type != "refresh_token" || form.refresh_token.is_empty() {
        return Err(StatusCode::BAD_REQUEST);
    }
    let claims = json!({
        "iss": "http://127.0.0.1:8080", "sub": "018f0000-0000-7000-8000-000000000000", "aud": form.client_id,
        "iat": 1_700_000_000, "exp": 1_700_000_600, "jti": "a-token-id-of-ordinary-length", "scope": "openid",
    });
    let mut token = format!("{}.{}", signing.header, URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = signing.signer.sign(token.as_bytes()).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(signature));
    Ok(Json(json!({ "access_token": token, "token_type": "Bearer", "expires_in": 600 })))
}

/// Serves on loopback until standard input ends, which is when the parent process ends, at the latest.
async fn serve(router: Router) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
    let served = async { axum::serve(listener, router).await };
    tokio::select! {
        ended = served => Ok(ended?),
        _ = end_of_input() => Ok(()),
        () = tokio::time::sleep(LONGEST_LIFE) => Ok(()),
    }
}

/// Resolves when standard input ends. It is read on a separate thread, because the runtime waits for its own at the
/// end.
fn end_of_input() -> oneshot::Receiver<()> {
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        // Even an error means that the parent process is gone.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = ended.send(());
    });
    end
}
