//! Named steps that run one after the other and are timed.

use std::time::{Duration, Instant};

/// The steps that have run, and how long each took.
#[derive(Default)]
pub(crate) struct Steps {
    finished: Vec<(&'static str, Duration)>,
}

impl Steps {
    /// Runs a step. Its error begins with its name.
    pub(crate) fn run<T>(
        &mut self,
        name: &'static str,
        step: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        println!("\n== {name}");
        let start = Instant::now();
        let result = step();
        let duration = start.elapsed();
        println!("-- {name}: {}", format_duration(duration));
        self.finished.push((name, duration));
        result.map_err(|error| error.context(name))
    }

    /// A line for each step, and one for the sum.
    pub(crate) fn table(&self) -> String {
        let sum = self.finished.iter().map(|(_, duration)| *duration).sum();
        let rows = self.finished.iter().copied().chain([("all", sum)]);
        rows.map(|(name, duration)| format!("{name:<12}{:>14}\n", format_duration(duration))).collect()
    }
}

/// A duration for people: `4.2 s`, `3 min 05 s`.
fn format_duration(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 60 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{:.1} s", duration.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Steps, format_duration};
    use std::time::Duration;

    #[test]
    fn short_durations_have_tenths_and_long_ones_minutes() {
        assert_eq!(format_duration(Duration::from_millis(4_200)), "4.2 s");
        assert_eq!(format_duration(Duration::from_secs(60)), "1 min 00 s");
        assert_eq!(format_duration(Duration::from_secs(785)), "13 min 05 s");
    }

    #[test]
    fn the_error_of_a_step_begins_with_its_name() {
        let error = Steps::default()
            .run("clippy", || -> anyhow::Result<()> { anyhow::bail!("it broke") })
            .unwrap_err();
        assert_eq!(format!("{error:#}"), "clippy: it broke");
    }

    #[test]
    fn the_table_has_a_line_for_each_step_and_one_for_their_sum() {
        let steps =
            Steps { finished: vec![("format", Duration::from_secs(1)), ("tests", Duration::from_secs(90))] };
        let table = steps.table();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("format") && lines[0].ends_with("1.0 s"), "{}", lines[0]);
        assert!(lines[2].starts_with("all") && lines[2].ends_with("1 min 31 s"), "{}", lines[2]);
    }
}
