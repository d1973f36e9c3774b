//! An independent judge: the `openidconnect` crate, which knows nothing of this server, runs the whole code flow.

use std::future::Future;
use std::pin::Pin;

use idp_core::client::{AuthMethod, Client, SigningAlg};
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreGenderClaim, CoreIdToken, CoreJwsSigningAlgorithm,
    CoreProviderMetadata,
};
use openidconnect::{
    AccessToken, AccessTokenHash, AsyncHttpClient, AuthType, AuthorizationCode, ClientId, ClientSecret,
    CsrfToken, EmptyAdditionalClaims, EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, IssuerUrl, Nonce, OAuth2TokenResponse, PkceCodeChallenge, RedirectUrl, Scope,
    TokenResponse, UserInfoClaims,
};

use crate::oauth_authorize::{ADA, ready, trusted};
use crate::support::browser::Browser;
use crate::support::{Engine, SECRET, TestApp, on_both_engines};

struct Http(reqwest::Client);

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = reqwest::Error;
    type Future = Pin<Box<dyn Future<Output = reqwest::Result<HttpResponse>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let answer = self.0.execute(request.try_into()?).await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            let mut response = HttpResponse::new(answer.bytes().await?.to_vec());
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            Ok(response)
        })
    }
}

type Judge = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

async fn judge(app: &TestApp, http: &Http, id: &str, secret: Option<&str>, auth: AuthType) -> Judge {
    let issuer = IssuerUrl::new(app.issuer.clone()).unwrap();
    let metadata = CoreProviderMetadata::discover_async(issuer, http).await.unwrap();
    let secret = secret.map(|secret| ClientSecret::new(secret.to_owned()));
    CoreClient::from_provider_metadata(metadata, ClientId::new(id.to_owned()), secret)
        .set_redirect_uri(RedirectUrl::new(format!("https://{id}.example/cb")).unwrap())
        .set_auth_type(auth)
}

/// Checks signature, issuer, audience, expiry, nonce and `at_hash`. Returns the subject.
fn verify(judge: &Judge, token: &CoreIdToken, access: &AccessToken, nonce: Option<&Nonce>) -> String {
    let verifier = judge.id_token_verifier().set_allowed_algs([
        CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
        CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    ]);
    let same = |given: Option<&Nonce>| {
        if given.map(Nonce::secret) == nonce.map(Nonce::secret) { Ok(()) } else { Err("nonce".to_owned()) }
    };
    let claims = token.claims(&verifier, same).unwrap();
    let (alg, key) = (token.signing_alg().unwrap(), token.signing_key(&verifier).unwrap());
    assert_eq!(claims.access_token_hash(), Some(&AccessTokenHash::from_token(access, alg, key).unwrap()));
    claims.subject().to_string()
}

async fn run_code_flow(app: &TestApp, browser: &Browser, http: &Http, judge: &Judge) {
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let flow = CoreAuthenticationFlow::AuthorizationCode;
    let (url, state, nonce) = judge
        .authorize_url(flow, CsrfToken::new_random, Nonce::new_random)
        .add_scopes(["profile", "email", "offline_access"].map(|name| Scope::new(name.to_owned())))
        .set_pkce_challenge(challenge)
        .url();
    let back = browser.open(url.as_str()).await;
    assert_eq!(back.redirect_param("state").as_ref(), Some(state.secret()));
    assert_eq!(back.redirect_param("iss").as_deref(), Some(app.issuer.as_str()));
    let code = AuthorizationCode::new(back.redirect_param("code").unwrap());
    let tokens =
        judge.exchange_code(code).unwrap().set_pkce_verifier(verifier).request_async(http).await.unwrap();
    let subject = verify(judge, tokens.id_token().unwrap(), tokens.access_token(), Some(&nonce));
    let info: UserInfoClaims<EmptyAdditionalClaims, CoreGenderClaim> = judge
        .user_info(
            tokens.access_token().clone(),
            Some(
                tokens
                    .id_token()
                    .unwrap()
                    .claims(&judge.id_token_verifier(), &nonce)
                    .unwrap()
                    .subject()
                    .clone(),
            ),
        )
        .unwrap()
        .request_async(http)
        .await
        .unwrap();
    assert_eq!(info.subject().as_str(), subject);
    assert_eq!((info.email().map(|email| email.as_str()), info.email_verified()), (Some(ADA), Some(true)));
    let refresh = tokens.refresh_token().unwrap();
    let again = judge.exchange_refresh_token(refresh).unwrap().request_async(http).await.unwrap();
    assert_eq!(verify(judge, again.id_token().unwrap(), again.access_token(), None), subject);
    assert_ne!(again.refresh_token().unwrap().secret(), refresh.secret());
    judge.exchange_refresh_token(refresh).unwrap().request_async(http).await.unwrap_err();
}

on_both_engines! {
    async fn the_openidconnect_crate_accepts_the_tokens_of_every_kind_of_client(engine: Engine) {
        let (app, browser) = ready(engine).await;
        let http = Http(reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap());
        for (id, method, alg, auth) in [
            ("public-rs", AuthMethod::None, SigningAlg::Rs256, AuthType::RequestBody),
            ("public-es", AuthMethod::None, SigningAlg::Es256, AuthType::RequestBody),
            ("basic-rs", AuthMethod::Basic, SigningAlg::Rs256, AuthType::BasicAuth),
            ("basic-es", AuthMethod::Basic, SigningAlg::Es256, AuthType::BasicAuth),
            ("post-rs", AuthMethod::Post, SigningAlg::Rs256, AuthType::RequestBody),
            ("post-es", AuthMethod::Post, SigningAlg::Es256, AuthType::RequestBody),
        ] {
            let base = trusted(id);
            let secret = base.secret.clone().filter(|_| method != AuthMethod::None);
            let access_token_alg = if alg == SigningAlg::Rs256 { SigningAlg::Es256 } else { SigningAlg::Rs256 };
            app.register(&Client { auth_method: method, secret, id_token_alg: alg, access_token_alg, ..base }).await;
            let secret = (method != AuthMethod::None).then_some(SECRET);
            let judge = judge(&app, &http, id, secret, auth).await;
            run_code_flow(&app, &browser, &http, &judge).await;
        }
        let unproven = judge(&app, &http, "basic-rs", Some("wrong"), AuthType::BasicAuth).await;
        let code = app.code(&browser, &crate::support::client::request("basic-rs")).await;
        let refused = unproven.exchange_code(AuthorizationCode::new(code)).unwrap().request_async(&http).await;
        assert!(refused.unwrap_err().to_string().contains("error response"));
    }
}
