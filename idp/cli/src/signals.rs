//! The signals that stop a server.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

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
