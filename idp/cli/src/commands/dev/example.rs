//! The example application of `idp dev`: registered, and served in the same process.

use std::path::Path;

use axum::Router;
use idp_core::audit::AuditEvent;
use idp_core::client::Client;
use idp_core::secret::Secret;
use idp_core::time::Timestamp;
use idp_store::{Store, StoreError, UriList};

use crate::audit;
use crate::commands::dev::kept_secret;
use crate::commands::new_client::{self, ClientSpec};
use crate::failure::Failure;

const ID: &str = "example";

/// The application, served at `base_url`, as a client of `issuer`.
///
/// # Errors
/// When one of the two URLs cannot be used.
pub(crate) fn router(issuer: &str, base_url: &str, secret: &Secret) -> Result<Router, Failure> {
    let config = client_example::Config {
        issuer: issuer.to_owned(),
        client_id: ID.to_owned(),
        client_secret: Some(secret.expose().to_owned()),
        base_url: base_url.to_owned(),
    };
    client_example::app(config).map_err(|why| Failure::new(format_args!("the example application: {why:#}")))
}

/// Registers it on the first start, and returns its secret.
///
/// # Errors
/// [`Failure`]: the secret's file is missing or cannot be written, or the database fails.
pub(crate) async fn register(
    store: &Store,
    folder: &Path,
    base_url: &str,
    now: Timestamp,
) -> Result<Secret, Failure> {
    let secret = kept_secret::find_or_make(&folder.join("example-client.secret"), Secret::random)?;
    let spec = ClientSpec {
        id: ID.to_owned(),
        name: Some("Example application".to_owned()),
        redirect_uris: vec![format!("{base_url}/callback")],
        post_logout_redirect_uris: vec![format!("{base_url}/signed-out")],
        home_uri: Some(format!("{base_url}/")),
        scopes: ["openid", "profile", "email", "offline_access"].map(str::to_owned).to_vec(),
        secret: Some(secret.clone()),
        ..ClientSpec::default()
    };
    let client = spec.checked(now)?;
    if !new_client::register(store, client.clone()).await? && !adopt(store, client).await? {
        return Err(Failure::new(format_args!(
            "the secret of the client `{ID}` is not in {0}; remove {0} to start over",
            folder.display()
        )));
    }
    Ok(secret)
}

/// Updates the client of an earlier start, which may have had another `--client-port`. `false`: it has another
/// secret.
async fn adopt(store: &Store, client: Client) -> Result<bool, StoreError> {
    let write = store.write(client, |tx, client| {
        Box::pin(async move {
            let known = tx.client(&client.id).await?;
            if known.is_none_or(|known| known.secret != client.secret) {
                return Ok(false);
            }
            let mut changed = false;
            for uri in &client.redirect_uris {
                changed |= tx.add_client_uri(&client.id, UriList::Redirect, uri).await?;
            }
            for uri in &client.post_logout_redirect_uris {
                changed |= tx.add_client_uri(&client.id, UriList::PostLogoutRedirect, uri).await?;
            }
            if let Some(home) = &client.home_uri {
                changed |= tx.set_client_home(&client.id, home).await?;
            }
            if changed {
                tx.audit(&audit::row(AuditEvent::ClientChanged, &client.id, client.created_at)).await?;
            }
            Ok(true)
        })
    });
    write.await
}
