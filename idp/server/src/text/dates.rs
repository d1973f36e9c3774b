//! Dates and times as people read them.

use std::time::Duration;

use idp_core::time::Timestamp;

/// A moment with its time zone: "23 November 2026, 14:05 UTC".
pub(crate) fn moment(at: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(at.millis()) {
        Ok(at) => at.strftime("%-d %B %Y, %H:%M UTC").to_string(),
        Err(_) => String::new(),
    }
}

/// A length of time, in whole minutes: "1 d 2 h 5 min".
pub(crate) fn span(length: Duration) -> String {
    let minutes = length.as_secs() / 60;
    format!("{} d {} h {} min", minutes / 1440, minutes / 60 % 24, minutes % 60)
}
