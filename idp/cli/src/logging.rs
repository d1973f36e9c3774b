//! Log lines to standard error: one line per event, whatever its values contain.

use std::io::{self, IsTerminal, Write};

use idp_core::text::is_misleading;
use idp_server::config::settings::LogConfig;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging.
pub(crate) fn start(config: LogConfig) {
    start_with(config, filter(LevelFilter::from_level(config.level)));
}

/// Starts logging for `dev`: until [`Quiet::speak`] only warnings and errors, so that nothing stands above the banner,
/// unless somebody has chosen a level.
pub(crate) fn start_quietly(config: LogConfig, level_is_chosen: bool) -> Quiet {
    let level = LevelFilter::from_level(config.level);
    let (filter, handle) = reload::Layer::new(filter(match level_is_chosen {
        true => level,
        false => level.min(LevelFilter::WARN),
    }));
    start_with(config, filter);
    Quiet { handle, level }
}

/// A log that keeps quiet for now.
pub(crate) struct Quiet {
    handle: reload::Handle<Targets, Registry>,
    level: LevelFilter,
}

impl Quiet {
    /// Logs everything from now on.
    pub(crate) fn speak(self) {
        // It fails only if logging never started.
        let _ = self.handle.reload(filter(self.level));
    }
}

/// Third-party crates log from `warn` up only: below that they can quote requests.
fn filter(level: LevelFilter) -> Targets {
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("idp", level)
}

fn start_with(config: LogConfig, filter: impl Layer<Registry> + Send + Sync) {
    let registry = tracing_subscriber::registry().with(filter);
    let lines = layer().with_writer(OneLine::stderr);
    let json = config.json.unwrap_or_else(|| !io::stderr().is_terminal());
    // A second call, as in tests, changes nothing.
    let _ = if json {
        registry.with(lines.json().flatten_event(true).with_span_list(false)).try_init()
    } else {
        registry.with(lines.with_ansi(false).with_target(false)).try_init()
    };
    std::panic::set_hook(Box::new(idp_server::panics::note));
}

/// Writes each event as one line of visible characters. The formatter calls `write` once per event, and itself escapes
/// only some of the characters that end lines, hide text or control terminals (RUSTSEC-2025-0055).
struct OneLine<W>(W);

impl OneLine<io::Stderr> {
    fn stderr() -> Self {
        Self(io::stderr())
    }
}

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let mut line = String::with_capacity(text.len() + 1);
        for c in text.strip_suffix('\n').unwrap_or(&text).chars() {
            match is_misleading(c) {
                // This is also how JSON escapes: four digits, and a surrogate pair beyond U+FFFF.
                true => c
                    .encode_utf16(&mut [0; 2])
                    .iter()
                    .for_each(|unit| line.push_str(&format!("\\u{unit:04x}"))),
                false => line.push(c),
            }
        }
        line.push('\n');
        self.0.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const NASTY: &str = "a\r\nb\u{1b}[31m\u{2028}\u{85}\u{202e}\"\\\u{7}\u{ad}\u{e0041}c";

    fn logged(json: bool) -> String {
        let memory = Memory::default();
        let writer = memory.clone();
        let lines = layer().with_writer(move || OneLine(writer.clone()));
        let log = || tracing::info!(shown = %NASTY, text = NASTY, "said {NASTY}");
        if json {
            tracing::subscriber::with_default(tracing_subscriber::registry().with(lines.json()), log);
        } else {
            tracing::subscriber::with_default(
                tracing_subscriber::registry().with(lines.with_ansi(false)),
                log,
            );
        }
        let bytes = memory.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn ls_02_an_event_is_one_line_of_visible_characters_whatever_it_holds() {
        for json in [false, true] {
            let line = logged(json);
            assert_eq!(line.chars().filter(|c| is_misleading(*c)).collect::<String>(), "\n", "{line:?}");
            assert!(line.ends_with('\n'));
        }
    }

    #[test]
    fn ls_02_a_json_line_gives_the_value_back_as_it_was() {
        let event: serde_json::Value = serde_json::from_str(&logged(true)).unwrap();
        assert_eq!(event["fields"]["text"], NASTY);
        assert_eq!(event["fields"]["shown"], NASTY);
    }
}
