//! Runs the built program, and checks its output and exit codes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a broken test must say so at once"
)]

mod clients;
mod configuration;
mod container;
mod databases;
mod default_file;
mod denied_files;
#[cfg(target_os = "linux")]
mod full_disk;
mod help;
mod hints;
mod mounted_secrets;
mod newcomer;
mod outgoing;
mod sandbox;
mod servers;
mod shared_files;
mod terminal;
mod users;
// It reads /proc, and takes a page to be 4 KB.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod wiped;
