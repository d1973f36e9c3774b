//! Dates and times as people read them.

use idp_core::time::Timestamp;

/// A moment with its time zone: "23 November 2026, 14:05 UTC".
pub(crate) fn moment(at: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(at.millis()) {
        Ok(at) => at.strftime("%-d %B %Y, %H:%M UTC").to_string(),
        Err(_) => String::new(),
    }
}
