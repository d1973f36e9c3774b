//! One request that never changes, and must be answered with 200.

use crate::http::{Connection, Failure, Target, get, post};
use crate::oauth::code_flow;
use crate::scenarios::Seat;

/// What a bare server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// `GET /`
    Hello,
    /// A form as a token request has it.
    Form,
}

/// The request, ready to send.
pub(crate) struct Fixed(Vec<u8>);

impl Fixed {
    pub(super) fn discovery(seat: &Seat<'_>) -> Self {
        Self(get(&seat.world.target, "/.well-known/openid-configuration", &[]))
    }

    pub(super) fn jwks(seat: &Seat<'_>) -> Self {
        Self(get(&seat.world.target, "/jwks.json", &[]))
    }

    /// The access token lives ten minutes, longer than any measurement.
    pub(super) async fn userinfo(seat: &Seat<'_>, connection: &mut Connection) -> Result<Self, Failure> {
        let (target, application) = (&seat.world.target, &seat.world.application);
        let tokens = code_flow(connection, target, application, &seat.authorize()).await?;
        let bearer = format!("Bearer {}", tokens.access_token);
        Ok(Self(get(target, "/userinfo", &[("authorization", &bearer)])))
    }

    pub(super) fn bare(target: &Target, request: Request) -> Self {
        Self(match request {
            Request::Hello => get(target, "/", &[]),
            Request::Form => {
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
