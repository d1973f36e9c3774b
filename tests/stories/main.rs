//! What people and applications do with the product, end to end: real sockets, real email, both databases, a
//! real browser.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// Proof reports are printed.
#![allow(clippy::print_stdout)]

mod support;

mod activation;
mod activation_pages;
mod activation_races;
mod back_and_reload;
mod browser;
mod browser_test;
mod codes_and_mails;
mod cookies;
mod developer;
mod example_tabs;
mod headers;
mod headers_injection_and_caching;
mod hosts;
mod http2;
mod http_rules;
mod journey;
mod keys;
mod layers;
mod limits;
mod lockout;
mod mail;
mod mail_server;
mod mail_server_limits;
mod newer_node;
mod oauth_authorize;
mod oauth_documents;
mod oauth_failures;
mod oauth_independent_client;
mod oauth_jwt;
mod oauth_logout;
mod oauth_prompt_and_consent;
mod oauth_query_counts;
mod oauth_races;
mod oauth_refresh;
mod oauth_requests;
mod oauth_token;
mod oauth_token_http;
mod oauth_userinfo;
mod old_forms;
mod onward;
mod outages;
mod pre_registration_attacks;
mod refusals;
mod registration;
mod registration_mails;
mod routes;
mod routes_address;
mod secrets;
mod session;
mod shares;
mod sign_in;
mod signed_in_page;
mod unrouted;
mod upgrade;
