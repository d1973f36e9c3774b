//! What people and applications do with the product, end to end: real sockets, real mail, both databases, a
//! real browser.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// Proof reports are printed.
#![allow(clippy::print_stdout)]

mod support;

mod activation;
mod activation_races;
mod browser;
mod browser_test;
mod codes_and_mails;
mod detours;
mod developer;
mod example_tabs;
mod floors;
mod headers;
mod headers_more;
mod hosts;
mod http2;
mod journey;
mod keys;
mod limits;
mod lockout;
mod mail;
mod newer;
mod oauth_authorize;
mod oauth_budget;
mod oauth_documents;
mod oauth_failures;
mod oauth_judge;
mod oauth_jwt;
mod oauth_logout;
mod oauth_person;
mod oauth_races;
mod oauth_refresh;
mod oauth_requests;
mod oauth_token;
mod oauth_token_http;
mod oauth_userinfo;
mod onward;
mod outages;
mod prepared;
mod refusals;
mod registration;
mod registration_mails;
mod routes;
mod routes_address;
mod secrets;
mod session;
mod shares;
mod sign_in;
mod unrouted;
mod upgrade;
