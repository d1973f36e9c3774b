//! Commands that people are told to type: each runs as it stands, in the folder they are in.

use idp_server::config::quoted;

/// The name this program was started as: `idp`, or the way to it.
pub(crate) fn program() -> String {
    let name = std::env::args_os().next().unwrap_or_default();
    if name.is_empty() { "idp".to_owned() } else { quoted(&name.to_string_lossy()) }
}
