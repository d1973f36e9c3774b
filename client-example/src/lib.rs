//! A minimal but complete OpenID Connect relying party: a web application whose people sign in at an issuer.
//! Read it from top to bottom; the numbered steps are the protocol. What every web application needs
//! (sessions, pages, errors) is in `web.rs`. All cryptography is left to the `openidconnect` crate: never write
//! your own.

mod web;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use anyhow::Error;
use anyhow::{Context as _, anyhow, bail, ensure};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Router, extract::State, middleware};
use openidconnect::{core::*, *}; // the terms of the protocol
use tera::{Tera, context};
use tokio::sync::Mutex;

use web::{AuthorizationResponse, Browser, CookieNames, Errand, Failure, Http, Kept, User};

/// What was agreed when this application was registered as a client at the issuer.
#[derive(Clone)]
pub struct Config {
    /// The issuer's URL, exactly as the issuer writes it. Everything else about the issuer is discovered.
    pub issuer: String,
    /// The id of this application at the issuer.
    pub client_id: String,
    /// Its secret there. `None` makes it a public client, protected by PKCE alone.
    pub client_secret: Option<String>,
    /// Where browsers reach this application, such as `http://localhost:8081`. Register
    /// `{base_url}/callback` as redirect URI and `{base_url}/signed-out` as post-logout redirect URI.
    pub base_url: String,
}

/// Builds the router. The issuer is contacted at the first use, so it may start later.
///
/// # Errors
/// If `issuer` or `base_url` is not valid.
pub fn app(config: Config) -> Result<Router, Error> {
    let app = Arc::new(App::new(config)?);
    Ok(Router::new()
        .route("/", get(home))
        .route("/login", get(login))
        .route("/callback", get(callback))
        .route("/userinfo", post(userinfo))
        .route("/refresh", post(refresh))
        .route("/logout", post(logout))
        .route("/signed-out", get(signed_out))
        .route("/style.css", get(web::style))
        .fallback(web::not_found)
        .layer(middleware::from_fn_with_state(app.clone(), web::guard))
        .with_state(app))
}

struct App {
    config: Config,
    issuer: IssuerUrl,
    /// The name of the session cookie.
    cookies: CookieNames,
    http: Http,
    tera: Tera,
    provider: Mutex<Option<Arc<Provider>>>,
    /// Sign-ins in progress, by `state`.
    pending: Mutex<Kept<PendingSignIn>>,
    /// Who is signed in, by session id.
    sessions: Mutex<Kept<User>>,
}

type Shared = State<Arc<App>>;
type Reply = Result<Response, Failure>;

/// The issuer as discovered. The type parameters are its endpoints: the first (authorization) is always there,
/// the last two (token, userinfo) may be missing, the others are not used.
struct Provider {
    client: CoreClient<
        EndpointSet,
        EndpointNotSet,
        EndpointNotSet,
        EndpointNotSet,
        EndpointMaybeSet,
        EndpointMaybeSet,
    >,
    end_session_endpoint: Option<EndSessionUrl>,
    fetched: Instant,
}

/// A sign-in in progress: what the issuer's response must match. A browser may have several, one per tab.
struct PendingSignIn {
    nonce: Nonce,
    verifier: PkceCodeVerifier,
}

/// Somebody who is signed in. Tokens stay on this server; the browser has only a random session id.
struct SignedIn {
    subject: SubjectIdentifier,
    nonce: Nonce,
    id_token: CoreIdToken,
    access_token: AccessToken,
    refresh_token: Option<RefreshToken>,
    userinfo: Option<serde_json::Value>,
    notice: &'static str,
}

impl App {
    /// Step 1, discovery: `{issuer}/.well-known/openid-configuration` lists endpoints and keys.
    ///
    /// The result is cached. Issuers rotate keys without notice, so if a token is signed with an unknown key,
    /// we fetch it again, but at most once a minute, so that forged tokens cannot make us flood the issuer.
    async fn provider(&self, key_is_unknown: bool) -> Result<Arc<Provider>, Error> {
        let mut known = self.provider.lock().await;
        if let Some(provider) = &*known
            && (!key_is_unknown || provider.fetched.elapsed() < Duration::from_secs(60))
        {
            return Ok(provider.clone());
        }
        let metadata = ProviderMetadataWithLogout::discover_async(self.issuer.clone(), &self.http)
            .await
            .context("The issuer does not answer. Start it, then try again.")?;
        let end_session_endpoint = metadata.additional_metadata().end_session_endpoint.clone();
        let secret = self.config.client_secret.clone().map(ClientSecret::new);
        let client = CoreClient::from_provider_metadata(metadata, self.client_id(), secret)
            .set_redirect_uri(RedirectUrl::new(self.url("/callback"))?);
        let fetched = Instant::now();
        let provider = Arc::new(Provider { client, end_session_endpoint, fetched });
        *known = Some(provider.clone());
        Ok(provider)
    }
}

async fn home(State(app): Shared, user: Result<User, Failure>) -> Reply {
    let page = match user {
        Ok(User(user)) => web::signed_in(&*user.lock().await),
        Err(_) => context! { view => "start" },
    };
    Ok(app.page(page)?)
}

/// Step 2, send the browser to the issuer with three random values that bind the response to this sign-in.
///
/// `state` binds the response to this browser, `nonce` binds the ID token to this sign-in, and PKCE (RFC 7636)
/// binds the code to us: the issuer gets a hash now and the verifier later. `offline_access` asks for a
/// refresh token; the crate adds the scope `openid`.
async fn login(State(app): Shared, browser: Browser) -> Reply {
    let provider = app.provider(false).await?;
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let flow = CoreAuthenticationFlow::AuthorizationCode;
    let (url, state, nonce) = provider
        .client
        .authorize_url(flow, CsrfToken::new_random, Nonce::new_random)
        .add_scopes(["profile", "email", "offline_access"].map(|name| Scope::new(name.into())))
        .set_pkce_challenge(challenge)
        .url();
    let mut pending = app.pending.lock().await;
    let over = browser.superfluous(&pending);
    pending.put(state.secret().clone(), PendingSignIn { nonce, verifier });
    let response = app.send(Errand::SignIn, &state, url.as_str());
    Ok(over.iter().fold(response, |response, state| app.forget(Errand::SignIn, state, response)))
}

/// Step 3, the callback: the browser brings the response. Anybody can call this URL, so check first.
async fn callback(State(app): Shared, browser: Browser, response: AuthorizationResponse) -> Reply {
    // This browser must have left with this `state`, which works only once. Otherwise a link could sign you in to
    // somebody else's account.
    let state = response.state.clone().filter(|state| browser.left(Errand::SignIn, state));
    let state = state.context(
        "This sign-in is already finished, or was not started in this browser. See the start page, or start again.",
    )?;
    let reply = app.finish(&browser, &state, response).await.into_response();
    Ok(app.forget(Errand::SignIn, &state, reply))
}

impl App {
    async fn finish(&self, browser: &Browser, state: &CsrfToken, response: AuthorizationResponse) -> Reply {
        let pending = self.pending.lock().await.take(state.secret());
        let pending = pending
            .context("This sign-in is already finished or too old. See the start page, or start again.")?;
        let mut user = self.exchange(response.code(&self.issuer)?, pending).await?;
        // Userinfo (step 6) has the name. If it fails, the person is signed in all the same.
        self.ask_userinfo(&mut user).await.ok();
        // A new session id, so that one planted in the browser before sign-in is useless (session fixation).
        Ok(self.start_session(browser, user).await)
    }
}

impl AuthorizationResponse {
    fn code(self, issuer: &IssuerUrl) -> Result<AuthorizationCode, Error> {
        // `iss` (RFC 9207) says who sent the response. Clients of several issuers must require it. This one has
        // a single issuer, which may be too old to send it.
        let iss = self.iss.as_ref().unwrap_or(issuer);
        ensure!(iss == issuer.as_str(), "The response is from another issuer. Do not continue.");
        match self.error.as_deref() {
            None => self.code.context("The issuer sent no code. Start again."),
            Some("access_denied") => bail!("You did not sign in. Nothing was shared with us."),
            Some(error) => {
                let description = self.error_description.unwrap_or_default();
                bail!("The issuer refused the sign-in. It says: {error} {description}")
            }
        }
    }
}

impl App {
    /// Step 4, exchange the code for tokens, server to server. The PKCE verifier, and for a confidential
    /// client the secret, prove that the code was issued to us.
    async fn exchange(&self, code: AuthorizationCode, pending: PendingSignIn) -> Result<SignedIn, Error> {
        let provider = self.provider(false).await?;
        let tokens = provider
            .client
            .exchange_code(code)?
            .set_pkce_verifier(pending.verifier)
            .request_async(&self.http)
            .await
            .context("The issuer did not accept the code. Are client id and secret right?")?;
        let id_token =
            tokens.id_token().context("The issuer sent no ID token. Does it speak OpenID Connect?")?;
        Ok(SignedIn {
            subject: self.verify(id_token, tokens.access_token(), &pending.nonce).await?,
            nonce: pending.nonce,
            id_token: id_token.clone(),
            access_token: tokens.access_token().clone(),
            refresh_token: tokens.refresh_token().cloned(),
            userinfo: None,
            notice: "The ID token is verified.",
        })
    }

    /// Step 5, verify the ID token. Until then it is just text.
    async fn verify(
        &self,
        id_token: &CoreIdToken,
        access_token: &AccessToken,
        nonce: impl NonceVerifier,
    ) -> Result<SubjectIdentifier, Error> {
        let mut provider = self.provider(false).await?;
        let key = id_token.signing_key(&provider.client.id_token_verifier()).err();
        if key == Some(SignatureVerificationError::NoMatchingKey) {
            provider = self.provider(true).await?;
        }
        let verifier = provider.client.id_token_verifier();
        // The crate checks signature, issuer, audience (is it for us?), expiry and nonce.
        let claims = id_token.claims(&verifier, nonce).context("The ID token was rejected. Start again.")?;
        // `at_hash` binds the access token to the ID token. It is optional in the code flow.
        if let Some(expected) = claims.access_token_hash() {
            let (alg, key) = (id_token.signing_alg()?, id_token.signing_key(&verifier)?);
            let actual = AccessTokenHash::from_token(access_token, alg, key)?;
            ensure!(actual == *expected, "The two tokens do not belong together. Start again.");
        }
        Ok(claims.subject().clone())
    }
}

/// Step 6, userinfo: the access token gives access, and the response must be about the ID token's subject.
async fn userinfo(State(app): Shared, User(user): User) -> Reply {
    let mut user = user.lock().await;
    app.ask_userinfo(&mut user).await?;
    user.notice = "Userinfo has answered.";
    Ok(Redirect::to("/").into_response())
}

impl App {
    async fn ask_userinfo(&self, user: &mut SignedIn) -> Result<(), Error> {
        let provider = self.provider(false).await?;
        let claims: UserInfoClaims<web::OtherClaims, CoreGenderClaim> = provider
            .client
            .user_info(user.access_token.clone(), Some(user.subject.clone()))?
            .request_async(&self.http)
            .await
            .map_err(|error| match error {
                // The issuer explains itself in the body.
                UserInfoError::Response(status, body, _) => {
                    anyhow!("It answered {status}: {}", String::from_utf8_lossy(&body))
                }
                other => other.into(),
            })
            .context("Userinfo failed. Refresh the tokens, or sign out and in again.")?;
        user.userinfo = Some(serde_json::to_value(claims)?);
        Ok(())
    }
}

/// Step 7, refresh: a refresh token is exchanged for new tokens, often with a successor; keep the newest.
///
/// If we lost the successor and used the old token again, the issuer would take that for theft. So the task
/// runs to the end even if the browser hangs up, and the lock turns a double click into two refreshes in a row.
async fn refresh(State(app): Shared, User(user): User) -> Reply {
    tokio::spawn(async move { app.renew(&mut *user.lock().await).await }).await??;
    Ok(Redirect::to("/").into_response())
}

impl App {
    async fn renew(&self, user: &mut SignedIn) -> Result<(), Error> {
        let refresh_token = user
            .refresh_token
            .as_ref()
            .context("There is no refresh token. Allow the scope `offline_access` for this client.")?;
        let provider = self.provider(false).await?;
        let tokens = provider
            .client
            .exchange_refresh_token(refresh_token)?
            .request_async(&self.http)
            .await
            .context("The issuer did not refresh the tokens. Sign out and in again.")?;
        if let Some(id_token) = tokens.id_token() {
            // A refreshed ID token may omit the nonce. It must not change it, or the subject.
            let nonce = |new: Option<&Nonce>| new.map_or(Ok(()), |_| user.nonce.verify(new));
            let subject = self.verify(id_token, tokens.access_token(), nonce).await?;
            ensure!(subject == user.subject, "The new tokens belong to another person. Sign out.");
            user.id_token = id_token.clone();
        }
        user.access_token = tokens.access_token().clone();
        user.refresh_token = tokens.refresh_token().cloned().or(user.refresh_token.take());
        user.notice = "The tokens are refreshed.";
        Ok(())
    }
}

/// Step 8, sign out: here, and then at the issuer, which would otherwise sign you in again without asking.
async fn logout(State(app): Shared, browser: Browser, user: User) -> Reply {
    app.sessions.lock().await.take(browser.session());
    let endpoint = app.provider(false).await?.end_session_endpoint.clone();
    let state = CsrfToken::new_random();
    let url = endpoint
        .map(LogoutRequest::from)
        .context("You are signed out here only. The issuer does not offer sign-out.")?
        .set_id_token_hint(&user.0.lock().await.id_token)
        .set_client_id(app.client_id())
        .set_post_logout_redirect_uri(PostLogoutRedirectUrl::new(app.url("/signed-out"))?)
        .set_state(state.clone())
        .http_get_url();
    Ok(app.send(Errand::SignOut, &state, url.as_str()))
}

/// The issuer sends the browser back here. `state` shows that the sign-out began here. If it began at the
/// issuer there is none. People who are signed in here, perhaps again in another tab, are pointed to the start page.
async fn signed_out(
    State(app): Shared,
    browser: Browser,
    user: Result<User, Failure>,
    response: AuthorizationResponse,
) -> Reply {
    if user.is_ok() {
        let why =
            "You are signed in here. Perhaps you have signed in again in another tab: see the start page.";
        return Err(anyhow!(why).into());
    }
    let page = app.page(context! { view => "signed_out" })?;
    let Some(state) = response.state else { return Ok(page) };
    if !browser.left(Errand::SignOut, &state) {
        let why = "This sign-out is already finished, or was not started in this browser. The start page shows \
                   whether you are signed in.";
        return Err(anyhow!(why).into());
    }
    Ok(app.forget(Errand::SignOut, &state, page))
}
