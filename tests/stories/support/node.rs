//! The nodes of a product: the first one, or a second one on the same database, reached under the same name as behind a
//! load balancer.

use idp_server::App;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::browser::{Answer, Browser};
use super::client::{basic, redemption};
use super::{Engine, TestApp};

/// One node. Requests to it share connections, so many at once cost little.
pub(crate) struct Node {
    browser: Browser,
    issuer: String,
    via: Option<String>,
    _stop: Option<oneshot::Sender<()>>,
}

impl TestApp {
    /// The node at the issuer's own address.
    pub(crate) fn first_node(&self) -> Node {
        Node { browser: self.browser(), issuer: self.issuer.clone(), via: None, _stop: None }
    }

    /// On PostgreSQL another node on the same database and keys; SQLite allows only one, so there it is the first
    /// node again.
    pub(crate) async fn second_node(&self) -> Node {
        if self.engine() == Engine::Sqlite {
            return self.first_node();
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let via = format!("http://{}", listener.local_addr().unwrap());
        let app = App::build(self.config.clone(), self.clock.clone()).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(app.serve(vec![listener], async move { drop(stopped.await) }));
        let browser = Browser::through(&self.issuer, &via);
        Node { browser, issuer: self.issuer.clone(), via: Some(via), _stop: Some(stop) }
    }
}

impl Node {
    /// The node at another address than the issuer's.
    pub(crate) fn at(issuer: &str, via: &str) -> Self {
        let browser = Browser::through(issuer, via);
        Self { browser, issuer: issuer.to_owned(), via: Some(via.to_owned()), _stop: None }
    }

    /// A fresh browser that reaches this node.
    pub(crate) fn browser(&self) -> Browser {
        match &self.via {
            Some(via) => Browser::through(&self.issuer, via),
            None => Browser::new(&self.issuer),
        }
    }

    /// A token request of a confidential client, its secret in a Basic header.
    pub(crate) async fn token(&self, id: &str, fields: &[(&str, &str)]) -> Answer {
        let header = basic(id);
        self.browser.send(reqwest::Method::POST, "/token", Some(fields), &[("authorization", &header)]).await
    }

    /// Redeems a code as its client would.
    pub(crate) async fn redeem(&self, id: &str, code: &str) -> Answer {
        let fields = redemption(id, code);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.token(id, &fields).await
    }

    /// Refreshes as the client would.
    pub(crate) async fn refresh(&self, id: &str, token: &str) -> Answer {
        self.token(id, &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    /// Calls userinfo.
    pub(crate) async fn userinfo(&self, token: &str) -> Answer {
        let header = format!("Bearer {token}");
        self.browser.send(reqwest::Method::GET, "/userinfo", None, &[("authorization", &header)]).await
    }
}
