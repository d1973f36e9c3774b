//! One request that never changes and must succeed with 200.

use crate::http::{Connection, Failure, Target, get, post};
use crate::oauth::code_flow;
use crate::scenarios::VirtualUser;

/// A request to a bare server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BareRequest {
    /// `GET /`
    Hello,
    /// A form like that of a token request.
    Form,
}

/// The request, ready to send.
pub(crate) struct FixedRequest(Vec<u8>);

impl FixedRequest {
    pub(super) fn discovery(user: &VirtualUser<'_>) -> Self {
        Self(get(&user.fixture.target, "/.well-known/openid-configuration", &[]))
    }

    pub(super) fn jwks(user: &VirtualUser<'_>) -> Self {
        Self(get(&user.fixture.target, "/jwks.json", &[]))
    }

    /// The access token lives ten minutes, longer than any measurement.
    pub(super) async fn userinfo(
        user: &VirtualUser<'_>,
        connection: &mut Connection,
    ) -> Result<Self, Failure> {
        let (target, client) = (&user.fixture.target, &user.fixture.client);
        let tokens = code_flow(connection, target, client, &user.authorize()).await?;
        let bearer = format!("Bearer {}", tokens.access_token);
        Ok(Self(get(target, "/userinfo", &[("authorization", &bearer)])))
    }

    pub(super) fn bare(target: &Target, request: BareRequest) -> Self {
        Self(match request {
            BareRequest::Hello => get(target, "/", &[]),
            BareRequest::Form => {
                let refresh_token =
                    "a-token-as-long-as-a-refresh-token-is-which-is-some-ninety-characters-of-base64url";
                let fields = [
                    ("grant_type", "refresh_token"),
                    ("refresh_token", refresh_token),
                    ("client_id", "load"),
                ];
                post(target, "/token", &[("authorization", "Basic bG9hZDphLXNlY3JldA==")], &fields)
            }
        })
    }

    pub(super) async fn step(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        connection.send(&self.0).await?.expect(200).map(drop)
    }
}
