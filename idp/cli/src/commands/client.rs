//! `idp client`: clients.

use std::path::PathBuf;

use clap::Subcommand;
use idp_core::audit::AuditEvent;
use idp_core::client::{Client, ClientId};
use idp_core::redirect_uri::{RedirectMatch, RedirectUri};
use idp_core::secret::Secret;
use idp_store::{Listed, UriList};
use serde_json::{Value, json};

use crate::commands::new_client::{self, ClientSpec};
use crate::failure::Failure;
use crate::operator::{self, Operator};
use crate::options::CommonOptions;
use crate::secret_input::SecretInput;
use crate::{audit, output};

/// Register and manage clients
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  idp client create my-app --redirect-uri https://app.example.com/callback
  idp client list
  idp client add-redirect-uri my-app https://app.example.com/other")]
pub(crate) struct ClientArgs {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    #[command(subcommand)]
    command: ClientCommand,
}

#[derive(Debug, Subcommand)]
enum ClientCommand {
    /// Register a client. Its secret is generated and shown once, unless you supply one
    #[command(after_help = "\
Examples:
  idp client create my-app --name \"My app\" --redirect-uri https://app.example.com/callback
  idp client create my-app --redirect-uri https://app.example.com/callback --scope \"profile email offline_access\"
  idp client create my-phone-app --public --native --redirect-uri com.example.app:/callback
  idp client create my-app --redirect-uri https://app.example.com/callback --secret-file my-app.secret")]
    Create(Box<CreateClient>),
    /// List clients by id
    #[command(after_help = "Examples:\n  idp client list\n  idp client list --limit 20 --after my-app")]
    List(ListClients),
    /// Show one client
    #[command(after_help = "Example:\n  idp client show my-app")]
    Show(OneClient),
    /// Add a redirect URI
    #[command(after_help = "Example:\n  idp client add-redirect-uri my-app https://app.example.com/callback")]
    AddRedirectUri(AddUri),
    /// Add a URI that browsers may return to after sign-out
    #[command(
        after_help = "Example:\n  idp client add-post-logout-redirect-uri my-app https://app.example.com/"
    )]
    AddPostLogoutRedirectUri(AddPostLogoutUri),
    /// Replace the scope a client may request; a narrower one revokes its tokens
    #[command(after_help = "Example:\n  idp client set-scope my-app profile email offline_access")]
    SetScope(SetScope),
    /// Disable a client and revoke its tokens
    #[command(after_help = "Example:\n  idp client disable my-app")]
    Disable(OneClient),
    /// Enable a client again
    #[command(after_help = "Example:\n  idp client enable my-app")]
    Enable(OneClient),
}

#[derive(Debug, clap::Args)]
struct OneClient {
    /// The client id
    #[arg(value_parser = ClientId::parse)]
    id: ClientId,
}

#[derive(Debug, clap::Args)]
struct AddUri {
    /// The client id
    #[arg(value_parser = ClientId::parse)]
    id: ClientId,
    /// The URI, exactly as it will be sent: it is compared byte for byte
    #[arg(value_parser = new_client::redirect_uri)]
    uri: RedirectUri,
}

#[derive(Debug, clap::Args)]
struct AddPostLogoutUri {
    /// The client id
    #[arg(value_parser = ClientId::parse)]
    id: ClientId,
    /// The URI, exactly as it will be sent: it is compared byte for byte
    #[arg(value_parser = new_client::post_logout_redirect_uri)]
    uri: RedirectUri,
}

#[derive(Debug, clap::Args)]
struct SetScope {
    /// The client id
    #[arg(value_parser = ClientId::parse)]
    id: ClientId,
    /// Everything it may request from now on: profile, email, offline_access; openid is always included
    #[arg(required = true)]
    scope: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct CreateClient {
    /// The client id
    id: String,
    /// Name shown to people [default: the client id]
    #[arg(long)]
    name: Option<String>,
    /// Redirect URI, exactly as it will be sent; can be repeated
    #[arg(long, value_name = "URI")]
    redirect_uri: Vec<String>,
    /// URI that browsers may return to after sign-out; can be repeated
    #[arg(long, value_name = "URI")]
    post_logout_redirect_uri: Vec<String>,
    /// Start page of the application
    #[arg(long, value_name = "URI")]
    home_uri: Option<String>,
    /// Scope it may request; can be repeated. `openid` is always included; `offline_access` allows refresh tokens
    /// [default: openid profile email]
    #[arg(long)]
    scope: Vec<String>,
    /// Register a public client, which cannot keep a secret: it runs in a browser, on a phone or on a desktop
    #[arg(long, conflicts_with_all = ["secret_stdin", "secret_file"])]
    public: bool,
    /// Accept any port in loopback redirect URIs, for an application that picks one at each start
    #[arg(long)]
    native: bool,
    /// How it authenticates: client_secret_basic, client_secret_post or client_secret_basic_or_post
    /// [default: client_secret_basic_or_post]
    #[arg(long, value_name = "METHOD")]
    auth_method: Option<String>,
    /// When PKCE is required: always, or-nonce or optional [default: or-nonce; always for a public client]
    #[arg(long, value_name = "POLICY")]
    pkce: Option<String>,
    /// Whether people are asked for consent: ask or skip [default: ask]
    #[arg(long, value_name = "POLICY")]
    consent: Option<String>,
    /// Signature algorithm of ID tokens: RS256 or ES256 [default: RS256]
    #[arg(long, value_name = "ALG")]
    id_token_alg: Option<String>,
    /// Signature algorithm of access tokens: RS256 or ES256 [default: ES256]
    #[arg(long, value_name = "ALG")]
    access_token_alg: Option<String>,
    /// Read the secret from the first line of standard input; at a terminal, ask for it without showing it
    #[arg(long, conflicts_with = "secret_file")]
    secret_stdin: bool,
    /// Read the secret from a file that is private to you or owned by root
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct ListClients {
    /// Start after this client
    #[arg(long, value_name = "ID", value_parser = ClientId::parse)]
    after: Option<ClientId>,
    /// Show at most this many, up to 1000
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=1000))]
    limit: i64,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn run(args: ClientArgs) -> Result<(), Failure> {
    let secret = match &args.command {
        ClientCommand::Create(create) => SecretInput::new(create.secret_stdin, create.secret_file.as_ref())?,
        _ => SecretInput::Nowhere,
    };
    let operator = operator::open(&args.common).await?;
    let done = match args.command {
        ClientCommand::Create(create) => create.run(&operator, secret).await,
        ClientCommand::List(list) => list.run(&operator).await,
        ClientCommand::Show(OneClient { id }) => show(&operator, id).await,
        ClientCommand::AddRedirectUri(add) => add_uri(&operator, UriList::Redirect, add).await,
        ClientCommand::AddPostLogoutRedirectUri(AddPostLogoutUri { id, uri }) => {
            add_uri(&operator, UriList::PostLogoutRedirect, AddUri { id, uri }).await
        }
        ClientCommand::SetScope(set) => set.run(&operator).await,
        ClientCommand::Disable(OneClient { id }) => switch(&operator, id, false).await,
        ClientCommand::Enable(OneClient { id }) => switch(&operator, id, true).await,
    };
    operator.store.close().await;
    done
}

impl CreateClient {
    async fn run(self: Box<Self>, operator: &Operator, secret: SecretInput) -> Result<(), Failure> {
        let supplied = secret.read("client secret")?;
        let generated = (supplied.is_none() && !self.public).then(Secret::random);
        let client = self.spec(supplied.or_else(|| generated.clone())).checked(operator.now)?;
        let (mut json, id) = (described(&client), client.id.clone());
        if !new_client::register(&operator.store, client).await? {
            let show = operator.command_about("client show", &[id.as_str()], "");
            let advice = format!("see it with `{show}`, or choose another id");
            return Err(Failure::new(format_args!("the client {id} already exists; {advice}")));
        }
        let mut text = format!("Registered {id}.");
        if let Some(secret) = generated {
            json["secret"] = json!(secret.expose());
            text.push_str(&format!("\nIts secret (shown only once): {}", secret.expose()));
        }
        if let Some(issuer) = &operator.issuer {
            let discovery = format!("{issuer}/.well-known/openid-configuration");
            text.push_str(&format!("\nIssuer: {issuer}\nDiscovery: {discovery}"));
            (json["issuer"], json["discovery"]) = (json!(issuer), json!(discovery));
        }
        output::answer(operator.format(), json, text);
        Ok(())
    }

    fn spec(self, secret: Option<Secret>) -> ClientSpec {
        ClientSpec {
            id: self.id,
            name: self.name,
            public: self.public,
            native: self.native,
            redirect_uris: self.redirect_uri,
            post_logout_redirect_uris: self.post_logout_redirect_uri,
            home_uri: self.home_uri,
            scopes: self.scope,
            auth_method: self.auth_method,
            pkce: self.pkce,
            consent: self.consent,
            id_token_alg: self.id_token_alg,
            access_token_alg: self.access_token_alg,
            secret,
            secret_file: None,
        }
    }
}

impl ListClients {
    async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let is_first = self.after.is_none();
        let input = (self.after, self.limit);
        let read = operator
            .store
            .read(input, |reader, (after, limit)| Box::pin(reader.clients(after.as_ref(), *limit)));
        let page = read.await?;
        let json: Value = page.found.iter().map(described).collect();
        output::answer(operator.format(), json, list(&page, self.limit, is_first, operator));
        output::unread(&page.left_out, &page.incomplete);
        Ok(())
    }
}

fn list(page: &Listed<Client>, limit: i64, is_first: bool, operator: &Operator) -> String {
    let row = |client: &Client| {
        let kind = if client.is_public() { "public" } else { "confidential" };
        let columns = [client.id.as_str(), client.name.as_str(), kind, state(client)];
        columns.map(str::to_owned)
    };
    let rows: Vec<_> = page.found.iter().map(row).collect();
    let table = output::table(["id", "name", "kind", "state"], &rows);
    match page.found.last() {
        None if !page.left_out.is_empty() => "There are no clients that this version can show.".to_owned(),
        None if is_first => "There are no clients.".to_owned(),
        None => "There are no more clients.".to_owned(),
        Some(last) if i64::try_from(rows.len()) == Ok(limit) => {
            let more = operator.command(&format!("client list --limit {limit} --after={}", last.id));
            format!("{table}\nFor more: {more}")
        }
        Some(_) => table,
    }
}

fn state(client: &Client) -> &'static str {
    if client.enabled { "enabled" } else { "disabled" }
}

fn texts(uris: &[RedirectUri]) -> Vec<&str> {
    uris.iter().map(RedirectUri::as_str).collect()
}

/// A client as JSON. Its secret is not in it: only a digest is stored.
fn described(client: &Client) -> Value {
    json!({
        "id": client.id.as_str(),
        "name": client.name.as_str(),
        "state": state(client),
        "public": client.is_public(),
        "native": client.redirect_match == RedirectMatch::LoopbackPort,
        "auth_method": client.auth_method.as_str(),
        "redirect_uris": texts(&client.redirect_uris),
        "post_logout_redirect_uris": texts(&client.post_logout_redirect_uris),
        "home_uri": client.home_uri.as_ref().map(RedirectUri::as_str),
        "scope": client.scope.to_string(),
        "pkce": client.pkce.as_str(),
        "consent": client.consent.as_str(),
        "id_token_alg": client.id_token_alg.as_str(),
        "access_token_alg": client.access_token_alg.as_str(),
        "created_at": output::moment(client.created_at),
    })
}

async fn show(operator: &Operator, id: ClientId) -> Result<(), Failure> {
    let read = operator.store.read(id.clone(), |reader, id| Box::pin(reader.client_and_gaps(id)));
    let (client, gaps) = read.await?.ok_or_else(|| no_client(operator, &id))?;
    let home = client.home_uri.as_ref().map(ToString::to_string).unwrap_or_default();
    let text = output::facts(&[
        ("id", client.id.to_string()),
        ("name", client.name.to_string()),
        ("state", state(&client).to_owned()),
        ("authentication", client.auth_method.as_str().to_owned()),
        ("redirect URIs", texts(&client.redirect_uris).join(" ")),
        ("after sign-out", texts(&client.post_logout_redirect_uris).join(" ")),
        ("home", home),
        ("scope", client.scope.to_string()),
        ("PKCE", client.pkce.as_str().to_owned()),
        ("consent", client.consent.as_str().to_owned()),
        ("ID token", client.id_token_alg.as_str().to_owned()),
        ("access token", client.access_token_alg.as_str().to_owned()),
        ("created", output::moment(client.created_at)),
    ]);
    output::answer(operator.format(), described(&client), text);
    output::unread(&[], &gaps);
    Ok(())
}

async fn add_uri(operator: &Operator, list: UriList, AddUri { id, uri }: AddUri) -> Result<(), Failure> {
    let input = (id.clone(), uri.clone(), operator.now);
    let write = operator.store.write(input, move |tx, (id, uri, now)| {
        Box::pin(async move {
            if tx.client(id).await?.is_none() {
                return Ok(None);
            }
            let added = tx.add_client_uri(id, list, uri).await?;
            if added {
                tx.audit(&audit::row(AuditEvent::ClientChanged, id, *now)).await?;
            }
            Ok(Some(added))
        })
    });
    let added = write.await?.ok_or_else(|| no_client(operator, &id))?;
    let text = match (added, list) {
        (true, UriList::Redirect) => format!("{id} now has the redirect URI {uri}."),
        (true, UriList::PostLogoutRedirect) => format!("{id} now has the post-logout redirect URI {uri}."),
        (false, _) => format!("{id} already has {uri}."),
    };
    output::answer(operator.format(), json!({ "id": id.as_str(), "changed": added }), text);
    Ok(())
}

impl SetScope {
    async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let scope = new_client::scope(&self.scope)?;
        let input = (self.id.clone(), scope.clone(), operator.now);
        let write = operator.store.write(input, |tx, (id, scope, now)| {
            Box::pin(async move {
                let Some(before) = tx.client(id).await? else { return Ok(None) };
                let changed = tx.set_client_scope(id, scope).await?;
                if changed {
                    tx.audit(&audit::row(AuditEvent::ClientChanged, id, *now)).await?;
                }
                Ok(Some((changed, scope.covers(&before.scope))))
            })
        });
        let (changed, wider) = write.await?.ok_or_else(|| no_client(operator, &self.id))?;
        let more = match (changed, wider) {
            (false, _) => " Nothing changed.",
            (true, true) => "",
            (true, false) => " Tokens with a wider scope are revoked.",
        };
        let json = json!({ "id": self.id.as_str(), "scope": scope.to_string(), "changed": changed });
        output::answer(operator.format(), json, format_args!("{} may request: {scope}.{more}", self.id));
        Ok(())
    }
}

async fn switch(operator: &Operator, id: ClientId, on: bool) -> Result<(), Failure> {
    let write = operator.store.write((id.clone(), on, operator.now), |tx, (id, on, now)| {
        Box::pin(async move {
            // Even a client that only a newer version can use.
            if !tx.has_client(id).await? {
                return Ok(None);
            }
            let changed = tx.set_client_enabled(id, *on).await?;
            if changed {
                let event = if *on { AuditEvent::ClientEnabled } else { AuditEvent::ClientDisabled };
                tx.audit(&audit::row(event, id, *now)).await?;
            }
            Ok(Some(changed))
        })
    });
    let changed = write.await?.ok_or_else(|| no_client(operator, &id))?;
    let text = match (on, changed) {
        (true, true) => format!("{id} is enabled."),
        (true, false) => format!("{id} is already enabled."),
        (false, true) => format!("{id} is disabled; its tokens are revoked."),
        (false, false) => format!("{id} is already disabled."),
    };
    output::answer(operator.format(), json!({ "id": id.as_str(), "changed": changed }), text);
    Ok(())
}

fn no_client(operator: &Operator, id: &ClientId) -> Failure {
    let list = operator.command("client list");
    Failure::new(format_args!("there is no client {id}; list them with `{list}`"))
}
