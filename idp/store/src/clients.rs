//! Clients.

use idp_core::client::{AuthMethod, Client, ClientId, ConsentPolicy, PkcePolicy, SigningAlg};
use idp_core::consent::Consent;
use idp_core::ids::UserId;
use idp_core::redirect_uri::{RedirectMatch, RedirectUri};
use idp_core::scope::Scope;
use idp_core::secret::Digest;
use idp_core::text::DisplayText;
use serde_json::Value;

use crate::engine::connection::{Reader, Tx, on};
use crate::error::StoreError;
use crate::row::{Listed, RowRef, timestamp};

/// The length of a client's name as people see it, in characters.
const LONGEST_NAME: usize = 60;

/// One of a client's lists of URIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UriList {
    /// Where authorization responses may be sent.
    Redirect,
    /// Where a browser may be sent after signing out.
    PostLogoutRedirect,
}

impl UriList {
    const fn column(self) -> &'static str {
        match self {
            Self::Redirect => "redirect_uris",
            Self::PostLogoutRedirect => "post_logout_redirect_uris",
        }
    }
}

/// The columns of a [`ClientRow`], by name: PostgreSQL refuses a prepared `*` once a newer node has added a column.
macro_rules! select {
    ($rest:literal) => {
        select!("", $rest)
    };
    ($more:literal, $rest:literal) => {
        concat!(
            "SELECT id, name, auth_method, secret_digest, redirect_uris, loopback_port, ",
            "post_logout_redirect_uris, home_uri, scope, pkce, consent, id_token_alg, access_token_alg, ",
            "enabled, epoch, created_at",
            $more,
            " FROM clients ",
            $rest
        )
    };
}

#[derive(sqlx::FromRow)]
struct ClientRow {
    id: String,
    name: String,
    auth_method: String,
    secret_digest: Option<String>,
    redirect_uris: String,
    loopback_port: bool,
    post_logout_redirect_uris: String,
    home_uri: Option<String>,
    scope: String,
    pkce: String,
    consent: String,
    id_token_alg: String,
    access_token_alg: String,
    enabled: bool,
    epoch: i64,
    created_at: i64,
}

impl ClientRow {
    fn auth_method(&self) -> Result<AuthMethod, StoreError> {
        self.row_ref().known_word("auth_method", AuthMethod::from_stored(&self.auth_method))
    }

    fn secret(&self) -> Result<Option<Digest>, StoreError> {
        let digest = |text: &str| self.row_ref().value("secret_digest", Digest::from_stored(text));
        self.secret_digest.as_deref().map(digest).transpose()
    }

    fn row_ref(&self) -> RowRef<'_> {
        RowRef { table: "clients", id: &self.id }
    }

    /// A list of URIs, and whether it is whole: what this version does not accept, a newer node may have registered.
    fn uris(&self, list: UriList) -> Result<(Vec<RedirectUri>, bool), StoreError> {
        let (column, stored) = (list.column(), self.stored_uris(list));
        let stored: Vec<Value> = self.row_ref().value(column, serde_json::from_str(stored).ok())?;
        let uri = |entry: &Value| RedirectUri::parse(entry.as_str()?).ok();
        let read: Vec<RedirectUri> = stored.iter().filter_map(uri).collect();
        let is_whole = read.len() == stored.len();
        Ok((read, is_whole))
    }

    fn known_uris(&self, list: UriList) -> Result<Vec<RedirectUri>, StoreError> {
        let (uris, is_whole) = self.uris(list)?;
        if !is_whole {
            self.row_ref().log_entries_left_alone(list.column());
        }
        Ok(uris)
    }

    fn stored_uris(&self, list: UriList) -> &str {
        match list {
            UriList::Redirect => &self.redirect_uris,
            UriList::PostLogoutRedirect => &self.post_logout_redirect_uris,
        }
    }

    /// The lists that have entries this version cannot read.
    fn incomplete(&self) -> impl Iterator<Item = StoreError> {
        let lists = [UriList::Redirect, UriList::PostLogoutRedirect].into_iter();
        let cut = lists.filter(|list| self.uris(*list).is_ok_and(|(_, is_whole)| !is_whole));
        cut.map(|list| StoreError::Newer { table: "clients", column: list.column(), id: self.id.clone() })
    }

    fn parse(&self) -> Result<Client, StoreError> {
        let row = self.row_ref();
        let uri = |text: &str| row.value("home_uri", RedirectUri::parse(text).ok());
        Ok(Client {
            id: row.value("id", ClientId::parse(&self.id).ok())?,
            name: DisplayText::new(&self.name, LONGEST_NAME),
            auth_method: self.auth_method()?,
            secret: self.secret()?,
            redirect_uris: self.known_uris(UriList::Redirect)?,
            redirect_match: if self.loopback_port {
                RedirectMatch::LoopbackPort
            } else {
                RedirectMatch::Exact
            },
            post_logout_redirect_uris: self.known_uris(UriList::PostLogoutRedirect)?,
            home_uri: self.home_uri.as_deref().map(uri).transpose()?,
            scope: row.value("scope", Scope::parse(&self.scope).ok())?,
            pkce: row.known_word("pkce", PkcePolicy::from_stored(&self.pkce))?,
            consent: row.known_word("consent", ConsentPolicy::from_stored(&self.consent))?,
            id_token_alg: row.known_word("id_token_alg", SigningAlg::from_stored(&self.id_token_alg))?,
            access_token_alg: row
                .known_word("access_token_alg", SigningAlg::from_stored(&self.access_token_alg))?,
            enabled: self.enabled,
            epoch: self.epoch,
            created_at: timestamp(self.created_at),
        })
    }
}

/// A client and what one person consented to.
#[derive(sqlx::FromRow)]
struct AllowedRow {
    #[sqlx(flatten)]
    client: ClientRow,
    allowed_scope: Option<String>,
    allowed_at: Option<i64>,
}

impl AllowedRow {
    fn consent(&self, user: UserId) -> Result<Option<Consent>, StoreError> {
        let (Some(scope), Some(granted_at)) = (&self.allowed_scope, self.allowed_at) else { return Ok(None) };
        let user = user.to_string();
        let row = RowRef { table: "consents", id: &user };
        let scope = row.value("scope", Scope::parse(scope).ok())?;
        Ok(Some(Consent { scope, granted_at: timestamp(granted_at) }))
    }
}

impl Reader {
    /// The client with this id, enabled or not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn client(&mut self, id: &ClientId) -> Result<Option<Client>, StoreError> {
        self.client_row(id).await?.as_ref().map(ClientRow::parse).transpose()
    }

    /// The same, and one error for each list of URIs that has entries this version cannot read.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn client_and_gaps(
        &mut self,
        id: &ClientId,
    ) -> Result<Option<(Client, Vec<StoreError>)>, StoreError> {
        let row = self.client_row(id).await?;
        row.map(|row| Ok((row.parse()?, row.incomplete().collect()))).transpose()
    }

    async fn client_row(&mut self, id: &ClientId) -> Result<Option<ClientRow>, StoreError> {
        const SQL: &str = select!("WHERE id = $1");
        Ok(on!(self, c => sqlx::query_as(SQL).bind(id.as_str()).fetch_optional(c).await)?)
    }

    /// The client with this id, enabled or not, and what this person consented to.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn client_and_consent(
        &mut self,
        id: &ClientId,
        user: UserId,
    ) -> Result<Option<(Client, Option<Consent>)>, StoreError> {
        const SQL: &str = select!(
            ", allowed_scope, allowed_at",
            "LEFT JOIN (SELECT client_id, scope AS allowed_scope, granted_at AS allowed_at FROM consents \
            WHERE user_id = $2) AS allowed ON client_id = id WHERE id = $1"
        );
        let row: Option<AllowedRow> = on!(self, c => sqlx::query_as(SQL)
            .bind(id.as_str()).bind(user.to_string()).fetch_optional(c).await)?;
        row.map(|row| Ok((row.client.parse()?, row.consent(user)?))).transpose()
    }

    /// Whether there is a client with this id, even one that only a newer version can use.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn has_client(&mut self, id: &ClientId) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT COUNT(*) FROM clients WHERE id = $1";
        let found: i64 = on!(self, c => sqlx::query_scalar(SQL).bind(id.as_str()).fetch_one(c).await)?;
        Ok(found == 1)
    }

    /// Up to `limit` clients whose id comes after `after`, and why others between them are left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn clients(
        &mut self,
        after: Option<&ClientId>,
        limit: i64,
    ) -> Result<Listed<Client>, StoreError> {
        const SQL: &str = select!("WHERE id > $1 ORDER BY id LIMIT $2");
        let (mut page, mut after) =
            (Listed::empty(), after.map(ClientId::as_str).unwrap_or_default().to_owned());
        loop {
            let wanted = page.missing(limit);
            let rows: Vec<ClientRow> =
                on!(self, c => sqlx::query_as(SQL).bind(after.as_str()).bind(wanted).fetch_all(c).await)?;
            for row in &rows {
                let client = row.parse();
                page.incomplete.extend(client.is_ok().then(|| row.incomplete()).into_iter().flatten());
                page.add(client)?;
            }
            match rows.into_iter().next_back() {
                Some(last) if page.missing(limit) > 0 => after = last.id,
                _ => return Ok(page),
            }
        }
    }
}

impl Tx {
    /// Creates a client. `false`: the id is taken, and nothing was changed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert_client(&mut self, client: &Client) -> Result<bool, StoreError> {
        const SQL: &str = "INSERT INTO clients (id, name, auth_method, secret_digest, redirect_uris, loopback_port, \
            post_logout_redirect_uris, home_uri, scope, pkce, consent, id_token_alg, access_token_alg, enabled, \
            epoch, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) \
            ON CONFLICT (id) DO NOTHING";
        let made = on!(self, c => sqlx::query(SQL)
            .bind(client.id.as_str()).bind(client.name.as_str()).bind(client.auth_method.as_str())
            .bind(client.secret.as_ref().map(Digest::as_str)).bind(json(&client.redirect_uris))
            .bind(client.redirect_match == RedirectMatch::LoopbackPort)
            .bind(json(&client.post_logout_redirect_uris))
            .bind(client.home_uri.as_ref().map(RedirectUri::as_str)).bind(client.scope.to_string())
            .bind(client.pkce.as_str()).bind(client.consent.as_str()).bind(client.id_token_alg.as_str())
            .bind(client.access_token_alg.as_str()).bind(client.enabled).bind(client.epoch)
            .bind(client.created_at.millis())
            .execute(c).await.map(|done| done.rows_affected()))?;
        Ok(made == 1)
    }

    /// Adds a URI to one of the lists. `false`: no such client, or it already has the URI.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_client_uri(
        &mut self,
        id: &ClientId,
        list: UriList,
        uri: &RedirectUri,
    ) -> Result<bool, StoreError> {
        // Compared with what was read: of two administrators at the same time, the second is told to try again.
        const REDIRECT: &str = "UPDATE clients SET redirect_uris = $3 WHERE id = $1 AND redirect_uris = $2";
        const POST_LOGOUT: &str = "UPDATE clients SET post_logout_redirect_uris = $3 \
            WHERE id = $1 AND post_logout_redirect_uris = $2";
        let Some(row) = self.client_row(id).await? else { return Ok(false) };
        let client = row.parse()?;
        let (sql, uris) = match list {
            UriList::Redirect => (REDIRECT, client.redirect_uris),
            UriList::PostLogoutRedirect => (POST_LOGOUT, client.post_logout_redirect_uris),
        };
        if uris.contains(uri) {
            return Ok(false);
        }
        let before = row.stored_uris(list);
        let longer = row.row_ref().value(list.column(), longer(before, uri))?;
        let changed = on!(self, c => sqlx::query(sql)
            .bind(id.as_str()).bind(before).bind(longer.as_str())
            .execute(c).await.map(|done| done.rows_affected()))?;
        if changed == 1 {
            Ok(true)
        } else {
            Err(StoreError::Conflict("this client was changed at the same time"))
        }
    }

    /// Changes a client's home page. `false`: no such client, or it already has this one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_client_home(&mut self, id: &ClientId, home: &RedirectUri) -> Result<bool, StoreError> {
        const SQL: &str =
            "UPDATE clients SET home_uri = $2 WHERE id = $1 AND (home_uri IS NULL OR home_uri <> $2)";
        let changed = on!(self, c => sqlx::query(SQL)
            .bind(id.as_str()).bind(home.as_str()).execute(c).await.map(|done| done.rows_affected()))?;
        Ok(changed == 1)
    }

    /// Changes the scope a client may ask for. A narrower scope ends its grants, which were given the wider one.
    /// `false`: no such client, or it already has this scope.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_client_scope(&mut self, id: &ClientId, scope: &Scope) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE clients SET scope = $3, epoch = epoch + $4 WHERE id = $1 AND scope = $2";
        let Some(client) = self.client(id).await? else { return Ok(false) };
        if client.scope == *scope {
            return Ok(false);
        }
        let narrower = i64::from(!scope.covers(&client.scope));
        let changed = on!(self, c => sqlx::query(SQL)
            .bind(id.as_str()).bind(client.scope.to_string()).bind(scope.to_string()).bind(narrower)
            .execute(c).await.map(|done| done.rows_affected()))?;
        if changed == 1 {
            Ok(true)
        } else {
            Err(StoreError::Conflict("this client was changed at the same time"))
        }
    }

    /// Enables or disables a client. Disabling ends its grants. `false`: no such client, or it already is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_client_enabled(&mut self, id: &ClientId, enabled: bool) -> Result<bool, StoreError> {
        const SQL: &str =
            "UPDATE clients SET enabled = $2, epoch = epoch + 1 WHERE id = $1 AND enabled <> $2";
        let changed = on!(self, c => sqlx::query(SQL)
            .bind(id.as_str()).bind(enabled).execute(c).await.map(|done| done.rows_affected()))?;
        Ok(changed == 1)
    }
}

/// A JSON array of strings.
fn json(uris: &[RedirectUri]) -> String {
    Value::from(uris.iter().map(RedirectUri::as_str).collect::<Vec<_>>()).to_string()
}

/// A stored JSON array with one more URI. Whatever is in it stays byte for byte: a newer node may have written it.
fn longer(stored: &str, uri: &RedirectUri) -> Option<String> {
    let rest = stored.trim_end().strip_suffix(']')?.trim_end();
    let comma = if rest.ends_with('[') { "" } else { "," };
    Some(format!("{rest}{comma}{}]", Value::from(uri.as_str())))
}
