//! What people and applications do with the product, end to end: real sockets, real mail, both databases, a
//! real browser.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

mod journey;
