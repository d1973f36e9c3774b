//! Where something panicked. What a panic says is never logged: it may quote what a person sent.

use std::cell::Cell;
use std::panic::PanicHookInfo;
use std::sync::LazyLock;

use governor::DefaultDirectRateLimiter;

use crate::http::refusal_log::lines;

/// Whoever finds a request that panics could send it often. The request that a panic ended is counted in any case.
static LINES: LazyLock<DefaultDirectRateLimiter> = LazyLock::new(lines);

thread_local! {
    /// Where this thread panicked last: the hook runs on it, and so does whoever catches the panic.
    static PLACE: Cell<Option<String>> = const { Cell::new(None) };
}

/// The program's panic hook: logs the place, and keeps it for the log line of the request that it ended.
pub fn note(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    if LINES.check().is_ok() {
        tracing::error!(target: "idp", place, "a panic");
    }
    PLACE.set(Some(place));
}

/// Where the panic was that this thread has just caught.
pub(crate) fn place() -> String {
    PLACE.take().unwrap_or_default()
}
