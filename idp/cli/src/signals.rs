//! The signals that stop a server.

use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// Lets a write beyond the limit on the size of files (`ulimit -f`) fail as on a full disk. Otherwise its signal would
/// end the program in the middle of its work.
pub(crate) fn outlive_the_limit_on_files() {
    // Once somebody has listened, the system's own reaction is off for good. If it stays on, nothing else is lost.
    let _ = signal(SignalKind::from_raw(Number::XFSZ.as_raw()));
}

/// Starts listening for the signals that end a program at a terminal. The future resolves when one arrives.
///
/// # Errors
/// When the system does not allow it.
pub(crate) fn ended() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let (mut hung_up, mut terminate, mut interrupt) =
        (signal(SignalKind::hangup())?, signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = hung_up.recv() => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Starts listening for SIGTERM and Ctrl-C. The future resolves when one arrives.
///
/// # Errors
/// When the system does not allow it.
pub(crate) fn stop() -> Result<impl Future<Output = ()> + Send + 'static, Failure> {
    let listen = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
    let (mut terminate, mut interrupt): (Signal, Signal) =
        (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping; finishing requests in progress");
    })
}
