//! What people and applications do with the product, end to end: real sockets, real mail, both databases, a
//! real browser.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// Proof reports are printed; the support is ahead of the stories that will use all of it.
#![allow(clippy::print_stdout, dead_code, unused_imports)]

mod support;

mod journey;
mod oauth_authorize;
mod oauth_jwt;
mod oauth_person;
mod oauth_requests;
mod routes;
mod routes_address;
