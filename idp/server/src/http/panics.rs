//! Records where a panic happened. Its message is never logged, because it may quote what a person sent.

use std::cell::Cell;
use std::panic::PanicHookInfo;
use std::sync::LazyLock;

use governor::DefaultDirectRateLimiter;

use crate::http::refusal_log::lines;

/// Limits the log lines, because whoever finds a request that panics can repeat it. The failed request itself is always
/// logged or counted.
static LINES: LazyLock<DefaultDirectRateLimiter> = LazyLock::new(lines);

thread_local! {
    /// Where this thread panicked last. The hook and the code that catches the panic both run on this thread.
    static PLACE: Cell<Option<String>> = const { Cell::new(None) };
}

/// The program's panic hook. It logs the place, and keeps it for the log line of the failed request.
pub fn note(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    if LINES.check().is_ok() {
        tracing::error!(target: "idp", place, "panic");
    }
    PLACE.set(Some(place));
}

/// Where the panic happened that this thread has just caught.
pub(crate) fn place() -> String {
    PLACE.take().unwrap_or_default()
}
